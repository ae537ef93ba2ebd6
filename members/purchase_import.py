"""Lists of orders and refunds (订单表、退款表) as companies export them: columns, checks, and the way into ``purchases``.

1. The version of a row is its ``updated_at``; where that is missing, the time of the export (``--exported-at``); where that is
   missing too, the line's own ``paid_at`` or the refund's own ``refunded_at``. So a file without any version that comes again
   with other content contradicts what stands and is parked.
2. A missing ``created_at`` is ``paid_at``, a missing list amount is the paid amount and the discounts. A blank shop of an
   order is the store that took it, else ``main``. Times without an offset are Asia/Shanghai.
3. Whether a line is eligible is said by its flags only; a file without them means eligible.
4. A line with an unknown channel or store is broken; an unknown cashier is kept as written, for attribution to judge.
5. Rows are written in chunks, each its own transaction. Killed and run again, the rows that stand are repeats.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from members import purchases
from members.models import OrderLine
from members.purchases import line_numbers, lines, refunds
from scrm import copyin, db, imports, jobs
from scrm.copyin import Column, FileRefused, Kind
from scrm.copyin.rules import Check, literal

ORDERS, REFUNDS = "import_orders", "import_refunds"
CHUNK_ROWS = 20_000
CLOCK_SKEW = dt.timedelta(days=1)  # a till's clock may be wrong by hours, not by days

YES_NO = {
    "1": "1", "true": "1", "yes": "1", "y": "1", "t": "1", "是": "1", "√": "1",
    "0": "", "false": "", "no": "", "n": "", "f": "", "否": "",
}  # fmt: skip

DELIVERIES = {
    "EXPRESS": "EXPRESS", "快递": "EXPRESS", "物流": "EXPRESS", "STORE_SHIP": "STORE_SHIP", "门店发货": "STORE_SHIP", "CITY": "CITY",
    "同城": "CITY", "同城配送": "CITY", "PICKUP": "PICKUP", "自提": "PICKUP", "到店自提": "PICKUP", "IN_STORE": "IN_STORE", "店内": "IN_STORE",
    "店内取走": "IN_STORE", "VIRTUAL": "VIRTUAL", "无需交付": "VIRTUAL", "虚拟": "VIRTUAL",
}  # fmt: skip


def _flag(name: str, label: Any, *headers: str) -> Column:
    return Column(name, label, (name, *headers), kind=Kind.CHOICE, choices=YES_NO, code="bad_flag")


def _amount(name: str, label: Any, *headers: str, required: bool = False) -> Column:
    return Column(name, label, (name, *headers), required, Kind.MONEY, code="bad_amount")


def _time(name: str, label: Any, *headers: str, required: bool = False) -> Column:
    return Column(name, label, (name, *headers), required, Kind.DATETIME, code="bad_time")


CHANNEL = Column("channel", _("channel"), ("channel", "渠道", "渠道编码", "来源渠道"), True, Kind.CODE, max_length=24)
SHOP = Column("shop", _("shop"), ("shop", "店铺", "店铺编码", "网店"), kind=Kind.CODE, max_length=64)
ORDER_NO = Column("order_no", _("order no."), ("order_no", "订单号", "订单编号", "单号"), True, Kind.CODE, max_length=64)  # fmt: skip
# "line_no" is the line of the file
LINE_NO = Column(
    "number", _("line no."), ("line_no", "明细号", "明细行号", "子订单号", "行序号", "序号"), True, Kind.CODE,
    max_length=line_numbers.LONGEST, code="bad_line_no",
)  # fmt: skip

ORDER_COLUMNS = (
    CHANNEL,
    SHOP,
    ORDER_NO,
    LINE_NO,
    _time("paid_at", _("paid at"), "付款时间", "支付时间", "成交时间", required=True),
    Column("buyer_mobile", _("buyer's mobile number"), ("buyer_mobile", "手机号", "买家手机号", "会员手机号"),
           kind=Kind.MOBILE_INDEX, code="bad_mobile"),
    Column("buyer_card_no", _("buyer's card"), ("buyer_card_no", "会员卡号", "卡号"), kind=Kind.CODE, max_length=64),
    Column("store_code", _("store code"), ("store_code", "门店编码", "门店编号", "门店"), kind=Kind.CODE, max_length=32),
    Column("cashier_code", _("cashier's guide code"), ("cashier_guide_code", "收银导购", "导购编码", "收银员", "导购工号"),
           kind=Kind.CODE, max_length=32),
    Column("sku", _("SKU"), ("sku", "商品编码", "商品编号", "货号"), True, Kind.CODE, max_length=64),
    Column("product_name", _("product name"), ("product_name", "商品名称", "品名"), max_length=200),
    Column("quantity", _("quantity"), ("quantity", "数量"), True, Kind.DECIMAL, scale=3),
    Column("unit_price", _("unit price"), ("unit_price", "单价"), kind=Kind.DECIMAL, scale=4),
    _amount("paid_amount", _("paid amount"), "实付金额", "实收金额", "实付", required=True),
    _time("created_at", _("ordered at"), "下单时间", "创建时间"),
    _time("completed_at", _("completed at"), "完成时间", "交易完成时间"),
    _time("updated_at", _("version"), "更新时间", "修改时间", "最后修改时间"),
    _amount("list_amount", _("list amount"), "应付金额", "吊牌金额", "原价金额"),
    _amount("points_amount", _("paid with points or gift card"), "积分抵扣", "积分抵扣金额", "礼品卡抵扣"),
    _amount("freight", _("freight"), "运费"),
    Column("category", _("category"), ("category", "类目", "品类", "商品分类"), kind=Kind.CODE, max_length=32),
    Column("buyer_account", _("buyer's account"), ("buyer_account", "买家账号", "买家昵称"), kind=Kind.CODE, max_length=128),
    Column("buyer_unionid", _("buyer's unionid"), ("buyer_unionid", "unionid"), kind=Kind.CODE, max_length=64),
    _flag("test", _("test order"), "测试单"),
    _flag("gift_card", _("gift card sale"), "售卡", "礼品卡"),
    _flag("wholesale", _("wholesale"), "批发", "团购批发"),
    _flag("staff_price", _("staff price"), "员工价", "内购"),
    _flag("voided", _("voided"), "作废", "已作废"),
    Column("risk_mark", _("risk mark"), ("risk_mark", "风控标记"), max_length=32),
    _amount("discount_hq", _("discount paid by HQ"), "总部优惠"),
    _amount("discount_store", _("discount paid by the store"), "门店优惠"),
    _amount("discount_platform", _("discount paid by the platform"), "平台优惠"),
    Column("delivery_mode", _("delivery"), ("delivery_mode", "配送方式", "发货方式"), kind=Kind.CHOICE, choices=DELIVERIES, code="bad_delivery"),
    Column("fulfil_store_code", _("code of the store that hands over"), ("fulfil_store_code", "交付门店", "发货门店", "自提门店"),
           kind=Kind.CODE, max_length=32),
    Column("exchange_of", _("order exchanged by it"), ("exchange_of", "换货原订单号"), kind=Kind.CODE, max_length=64),
    Column("live_no", _("live room"), ("live_no", "直播间", "直播间编号"), kind=Kind.CODE, max_length=64),
    Column("group_no", _("group no."), ("group_no", "团号", "接龙号"), kind=Kind.CODE, max_length=64),
    _amount("gift_card_amount", _("paid by gift card"), "储值卡支付", "礼品卡支付"),
    Column("campaign", _("campaign"), ("campaign", "活动编码", "活动编号", "营销活动"), kind=Kind.CODE, max_length=64),
    Column("fulfil_clerk", _("guide who hands over"), ("fulfil_clerk", "交付导购", "发货导购", "发货店员", "核销员"), kind=Kind.CODE,
           max_length=32),
)  # fmt: skip

REFUND_COLUMNS = (
    CHANNEL,
    SHOP,
    ORDER_NO,
    LINE_NO,
    Column(
        "refund_no", _("refund no."), ("refund_no", "退款单号", "退款编号", "售后单号"), True, Kind.CODE, max_length=64
    ),
    _time("refunded_at", _("refunded at"), "退款时间", "退款完成时间", required=True),
    Column("quantity", _("quantity"), ("quantity", "数量", "退货数量"), kind=Kind.DECIMAL, scale=3),
    _amount("amount", _("refunded amount"), "退款金额", required=True),
    _time("updated_at", _("version"), "更新时间", "修改时间"),
)

copyin.problems.register({
    "bad_line_no": _("A line number is made of digits and letters. Format the column as text, so that no digit of a long one is lost."),
    "bad_quantity": _("This is not a quantity: a number that is not negative, with at most three decimals."),
    "bad_unit_price": _("This is not a price in yuan with at most four decimals."),
    "bad_flag": _("Write 1 or 0 (是 or 否)."),
    "bad_delivery": _("This is no way of delivery. Write 快递, 门店发货, 同城, 自提, 店内 or 无需交付."),
    "gift_card_exceeds": _("The part paid by gift card exceeds the part settled in points or gift cards that contains it."),
    "negative_amount": _("This amount must not be negative. Refunds belong in the list of refunds."),
    "unknown_channel": _("There is no channel with this code. Correct it, or create the channel in the console first."),
    "points_exceed_paid": _("The part settled in points or gift cards exceeds the paid amount that contains it."),
    "time_out_of_range": _("This time lies in the future, or before the year 2000. Correct the date."),
    lines.CONFLICT: _("This line has been recorded with the same version but other content. It waits to be checked by a person."),
    lines.BELOW_REFUNDS: _("This version of the line pays less than what has been refunded on it. It waits to be checked."),
    refunds.MOVED: _("This refund was applied to another order line. The new version waits to be checked by a person."),
    refunds.EXCEEDS: _("The refunds on this line would exceed what was paid on it. Correct the amount."),
    refunds.AMBIGUOUS: _("Several shops of the channel have an order with this number. Add the column with the shop."),
})  # fmt: skip

# --- SQL over the typed rows ``t`` ------------------------------------------------------------------------------------

_FLAGS = ("test", "gift_card", "wholesale", "staff_price", "voided")
_DISCOUNTS = {"HQ": "discount_hq", "STORE": "discount_store", "PLATFORM": "discount_platform"}

ORDER_JOINS = """
    LEFT JOIN members_channel ch ON ch.code = t.channel
    LEFT JOIN scrm_store st ON st.code = t.store_code
    LEFT JOIN scrm_store fs ON fs.code = t.fulfil_store_code
"""
# what only some lists say: the column of OrderLine, the column of the file, its value
SAID_BY_SOME = (
    ("delivery_mode", "delivery_mode", "t.delivery_mode"),
    ("fulfil_store_id", "fulfil_store_code", "t.fulfil_store_id"),
    ("exchange_of", "exchange_of", "t.exchange_of"),
    ("live_no", "live_no", "t.live_no"),
    ("group_no", "group_no", "t.group_no"),
    ("gift_card_fen", "gift_card_amount", "coalesce(t.gift_card_amount, 0)"),
)
DETAILS = "nullif(jsonb_strip_nulls(jsonb_build_object('campaign', nullif(t.campaign, ''), 'fulfil_clerk', nullif(t.fulfil_clerk, ''))), '{}'::jsonb)"
LINE_REF = "CASE WHEN t.line_number = t.number_itself THEN '' ELSE t.number END"  # fmt: skip
LINE_SELECT = f"""
    SELECT t.line_no, t.channel, coalesce(nullif(t.shop, ''), nullif(t.store_code, ''), 'main'), t.order_no, t.line_number,
           coalesce(t.updated_at, %s, t.paid_at), t.sku, t.product_name, t.category, coalesce(t.created_at, t.paid_at), t.paid_at,
           t.completed_at, t.store_id, t.cashier_code, coalesce(t.buyer_mobile_index, ''), t.buyer_card_no, t.buyer_account,
           t.buyer_unionid, t.quantity, t.unit_price, coalesce(t.list_amount, t.paid_amount + t.discount_fen), t.discounts,
           t.paid_amount, coalesce(t.points_amount, 0), coalesce(t.freight, 0),
           {", ".join(f"t.{flag} = '1'" for flag in _FLAGS)}, t.risk_mark{{more}}
    FROM {{table}} t WHERE t.problem IS NULL AND t.line_no > %s AND t.line_no <= %s
"""
NUMBERS = f"{line_numbers.NUMBER} AS line_number, {line_numbers.NUMBER} AS number_itself"
REFUND_SELECT = """
    SELECT t.line_no, t.channel, t.shop, t.refund_no, t.order_no, t.line_number, coalesce(t.updated_at, %s, t.refunded_at),
           t.refunded_at, coalesce(t.quantity, 0), t.amount
    FROM {table} t WHERE t.problem IS NULL AND t.line_no > %s AND t.line_no <= %s
"""


# --- operations -------------------------------------------------------------------------------------------------------


def import_orders(progress: jobs.Progress) -> dict[str, Any]:
    """Read, check and record a list of order lines; the summary. Deciding them is the caller's."""
    with imports.opened(progress, ORDER_COLUMNS) as run:
        discounts = ", ".join(f"'{sponsor}', nullif(t.{column}, 0)" for sponsor, column in _DISCOUNTS.items())
        discount_fen = " + ".join(f"coalesce(t.{column}, 0)" for column in _DISCOUNTS.values())
        checked = run.check(
            _order_checks(),
            joins=ORDER_JOINS,
            values=f"st.id AS store_id, fs.id AS fulfil_store_id, {discount_fen} AS discount_fen,"
            f" jsonb_strip_nulls(jsonb_build_object({discounts})) AS discounts, {NUMBERS}",
        )
        figures = _order_figures(checked.table)
        if run.is_dry:
            return run.summary(checked, **figures)
        _open_months(checked.table)
        has_long = line_numbers.number_long_ones(checked.table)
        progress.stage("write", checked.good)
        total = purchases.LinesRecorded()
        said = [(name, value) for name, column, value in SAID_BY_SOME if run.layout.has(column)]
        said += [("details", DETAILS)] if run.layout.has("campaign") or run.layout.has("fulfil_clerk") else []
        said += [("line_ref", LINE_REF)] if has_long else []
        more = "".join(f", {value}" for _name, value in said)
        select, exported_at = LINE_SELECT.format(table=checked.table, more=more), _exported_at(run)
        names, written = [name for name, _value in said], 0
        for after, last in run.ranges(checked, CHUNK_ROWS):
            result = purchases.record_lines_of(select=select, params=[exported_at, after, last], more=names)
            run.report((line, "number", code) for line, code in result.parked)
            total.add(result)
            written += CHUNK_ROWS
            progress.done(min(written, checked.good))
        return run.summary(checked, **figures, **total.counts())


def import_refunds(progress: jobs.Progress) -> dict[str, Any]:
    """Read, check and record a list of refunds; the summary."""
    with imports.opened(progress, REFUND_COLUMNS) as run:
        joins = "LEFT JOIN members_channel ch ON ch.code = t.channel"
        checked = run.check(_refund_checks(), joins=joins, values=NUMBERS)
        figures = _refund_figures(checked.table)
        if run.is_dry:
            return run.summary(checked, **figures)
        line_numbers.number_long_ones(checked.table)
        progress.stage("write", checked.good)
        total = purchases.RefundsRecorded()
        select, exported_at = REFUND_SELECT.format(table=checked.table), _exported_at(run)
        written = 0
        for after, last in run.ranges(checked, CHUNK_ROWS):
            result = purchases.record_refunds_of(select=select, params=[exported_at, after, last])
            run.report(
                (line, "amount" if code == refunds.EXCEEDS else "refund_no", code) for line, code in result.refused
            )
            total.add(result)
            written += CHUNK_ROWS
            progress.done(min(written, checked.good))
        return run.summary(checked, **figures, **total.counts())


def _order_checks() -> list[Check]:
    amounts = ("paid_amount", "list_amount", "points_amount", "freight", *_DISCOUNTS.values(), "gift_card_amount")
    return [
        *_missing("channel", "order_no", "number", "sku"),
        *_missing("paid_at", "quantity", "paid_amount", is_text=False),
        Check("channel", "unknown_channel", "ch.id IS NULL"),
        Check("store_code", "unknown_store", "t.store_code <> '' AND st.id IS NULL"),
        Check("number", "bad_line_no", line_numbers.IS_NO_NUMBER),
        Check("quantity", "bad_quantity", "t.quantity NOT BETWEEN 0 AND 999999999"),
        Check("unit_price", "bad_unit_price", "t.unit_price NOT BETWEEN 0 AND 9999999999"),
        *(Check(name, "negative_amount", f"t.{name} < 0") for name in amounts),
        Check("points_amount", "points_exceed_paid", "t.points_amount > t.paid_amount"),
        Check("fulfil_store_code", "unknown_store", "t.fulfil_store_code <> '' AND fs.id IS NULL"),
        Check("gift_card_amount", "gift_card_exceeds", "t.gift_card_amount > coalesce(t.points_amount, 0)"),
        *_times("paid_at", "created_at", "completed_at", "updated_at"),
    ]


def _refund_checks() -> list[Check]:
    return [
        *_missing("channel", "order_no", "number", "refund_no"),
        *_missing("refunded_at", "amount", is_text=False),
        Check("channel", "unknown_channel", "ch.id IS NULL"),
        Check("number", "bad_line_no", line_numbers.IS_NO_NUMBER),
        Check("quantity", "bad_quantity", "t.quantity NOT BETWEEN 0 AND 999999999"),
        Check("amount", "negative_amount", "t.amount < 0"),
        *_times("refunded_at", "updated_at"),
    ]


def _missing(*names: str, is_text: bool = True) -> list[Check]:
    return [Check(name, "missing_value", f"t.{name} = ''" if is_text else f"t.{name} IS NULL") for name in names]


def _times(*names: str) -> list[Check]:
    latest = literal((timezone.now() + CLOCK_SKEW).isoformat())
    return [
        Check(name, "time_out_of_range", f"t.{name} NOT BETWEEN '2000-01-01 00:00:00+08' AND {latest}::timestamptz")
        for name in names
    ]


def _exported_at(run: imports.Run) -> dt.datetime | None:
    """The time of the export as given; without an offset it is the clock of Shanghai."""
    text = run.job.params.get("exported_at")
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        message = gettext("The time of the export cannot be read. Write it as 2024-05-01 12:30:00.")
        raise FileRefused(message, code="bad_exported_at")
    return moment if timezone.is_aware(moment) else moment.replace(tzinfo=ZoneInfo(copyin.rules.ZONE))


def _open_months(table: str) -> None:
    """Partitions exist before the rows, in a transaction of their own; month by month, because a list may have gaps."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT date_trunc('month', paid_at AT TIME ZONE '{copyin.rules.ZONE}')::date FROM {table}"
            " WHERE problem IS NULL ORDER BY 1"
        )
        months = [month for (month,) in cursor.fetchall()]
    for month in months:
        db.ensure_partitions(OrderLine, month, month)


def _order_figures(table: str) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(f"""
            SELECT coalesce(sum(lines), 0)::bigint, count(*), coalesce(sum(paid_fen), 0)::bigint
            FROM (SELECT count(*) AS lines, sum(paid_amount) AS paid_fen FROM {table} WHERE problem IS NULL
                  GROUP BY channel, coalesce(nullif(shop, ''), store_code), order_no) o
        """)
        return dict(zip(("lines", "orders", "gmv_fen"), cursor.fetchone(), strict=True))


def _refund_figures(table: str) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), coalesce(sum(amount), 0)::bigint FROM {table} WHERE problem IS NULL")
        return dict(zip(("refunds", "refunded_fen"), cursor.fetchone(), strict=True))
