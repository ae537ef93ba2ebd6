"""Day files of tills (收银日结文件): every receipt of one store and business day, sales and returns, with a line of totals.

1. The file is the whole truth of its store and day. The same file is refused, unless it never came into force; another file of
   the day takes the place of the one before it: what is no longer in it is taken back (voided, or refunded with nothing), nothing
   is deleted. Files of a day are written one after the other, and none takes the place of one that was sent later.
2. The line of totals (合计) is required and checked, so that a file that was cut fails as a whole. A row of another store or day, or
   one that cannot be read, is broken; a file with broken rows is taken only when a person declares how many there are.
3. A receipt is known by store, till, day and number, since numbers begin anew every day. A sale is complete when it is sold.
4. A return is a refund of the line that its original receipt and SKU name, the newest of the last 90 days; one that finds none is
   reported and waits for a person to enter it. A negative quantity is a return, whatever the kind says.
5. Training and void receipts are not sales. A receipt that hands over an online order is left out: its channel tells it.
6. The guide of the ticket is the guide's code, never the cashier's.
7. Reading goes in parts, each its own transaction; killed and run again it ends in the same rows.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import decisions
from attribution.models import PosDay
from members import purchases
from members.models import OrderLine
from scrm import audit, copyin, db, imports, jobs
from scrm.copyin import Column, FileRefused, Kind
from scrm.copyin.rules import Check
from scrm.errors import RuleViolation
from scrm.models import Job, Store

KIND = "pos_day"
CHANNEL = "POS"
CHUNK_ROWS = 5_000
TURN_MILLISECONDS = 500
SALE, RETURN, VOID, TRAINING = "S", "R", "V", "T"
KINDS = {
    "SALE": SALE, "销售": SALE, "销": SALE, "RETURN": RETURN, "退货": RETURN, "退": RETURN, "换货退": RETURN, "VOID": VOID, "作废": VOID, "取消": VOID,
    "TRAINING": TRAINING, "练习": TRAINING, "培训": TRAINING,
}  # fmt: skip

COLUMNS = (
    Column("store_code", gettext_lazy("store code"), ("store_code", "门店编码", "店号"), True, Kind.CODE, max_length=32),
    Column("till_no", gettext_lazy("till"), ("till_no", "收银台", "机号"), kind=Kind.CODE, max_length=8),
    Column("business_date", gettext_lazy("business day"), ("business_date", "营业日期"), True, Kind.DATE, code="bad_date"),
    Column("receipt_no", gettext_lazy("receipt no."), ("receipt_no", "小票号", "流水号", "单号"), True, Kind.CODE, max_length=24),
    Column("number", gettext_lazy("line no."), ("line_no", "序号", "行号"), True, Kind.INTEGER, code="bad_line_no"),
    Column("sold_at", gettext_lazy("sold at"), ("sold_at", "交易时间", "销售时间"), True, Kind.DATETIME, code="bad_time"),
    Column("doc_type", gettext_lazy("kind"), ("doc_type", "单据类型", "类型"), kind=Kind.CHOICE, choices=KINDS, code="bad_doc_type"),
    Column("orig_receipt_no", gettext_lazy("original receipt"), ("orig_receipt_no", "原单号", "原小票号"), kind=Kind.CODE, max_length=24),
    Column("online_no", gettext_lazy("online order"), ("online_no", "线上单号", "线上订单号"), kind=Kind.CODE, max_length=64),
    Column("sku", gettext_lazy("SKU"), ("sku_code", "货号", "商品编码"), True, Kind.CODE, max_length=64),
    Column("product_name", gettext_lazy("product name"), ("name", "品名", "商品名称"), max_length=200),
    Column("quantity", gettext_lazy("quantity"), ("qty", "数量"), True, Kind.DECIMAL, scale=3),
    Column("list_price", gettext_lazy("unit price"), ("list_price", "零售价", "单价"), kind=Kind.DECIMAL, scale=4),
    Column("paid_amount", gettext_lazy("paid amount"), ("paid_amount", "实收", "实收金额"), True, Kind.MONEY, code="bad_amount"),
    Column("member_no", gettext_lazy("card"), ("member_no", "会员卡号"), kind=Kind.CODE, max_length=64),
    Column("mobile", gettext_lazy("mobile number"), ("phone", "手机号"), kind=Kind.MOBILE_INDEX, code="bad_mobile"),
    Column("guide_code", gettext_lazy("guide"), ("guide_code", "导购员", "导购编码"), kind=Kind.CODE, max_length=32),
)  # fmt: skip

copyin.problems.register({
    "bad_doc_type": gettext_lazy("This kind of receipt is not known. Write 销售, 退货, 作废 or 练习."),
    "other_store_or_day": gettext_lazy("This row is of another store or business day than the file."),
    "repeated_row": gettext_lazy("This line of the receipt stands in the file more than once."),
    "unmatched_return": gettext_lazy("No sale of the last 90 days fits this return. Enter it with the list of refunds."),
})  # fmt: skip

IS_TOTAL = "(t.store_code ~ '^(合计|总计)' OR t.receipt_no ~ '^(合计|总计)')"
IS_RETURN = "(t.doc_type = 'R' OR t.quantity < 0)"
COUNTS = f"(t.problem IS NULL AND NOT {IS_TOTAL} AND coalesce(nullif(t.doc_type, ''), 'S') IN ('S', 'R') AND t.online_no = '')"
RECEIPT = "t.store_code || '/' || coalesce(nullif(t.till_no, ''), '0') || '/' || to_char(t.business_date, 'YYYYMMDD') || '/' || t.receipt_no"
LINES = f"""
    SELECT t.line_no, '{CHANNEL}', t.store_code, {RECEIPT}, t.number, %s::timestamptz, t.sku, t.product_name, '', t.sold_at, t.sold_at, t.sold_at,
           %s::bigint, t.guide_code, coalesce(t.mobile_index, ''), t.member_no, '', '', t.quantity, t.list_price,
           greatest(t.paid_amount, coalesce(round(t.list_price * t.quantity * 100)::bigint, 0)), '{{{{}}}}'::jsonb, t.paid_amount, 0::bigint, 0::bigint,
           false, false, false, false, false, ''
    FROM {{table}} t WHERE {COUNTS} AND NOT {IS_RETURN} AND t.line_no > %s AND t.line_no <= %s
"""
ORIGINALS = f"""
    UPDATE {{table}} t SET orig_order_no = f.order_no, orig_line_no = f.line_no
    FROM (
        SELECT DISTINCT ON (t.line_no) t.line_no AS seq, o.order_no, l.line_no
        FROM {{table}} t
        JOIN members_order o ON o.channel = '{CHANNEL}' AND o.shop = t.store_code AND starts_with(o.order_no, t.store_code || '/')
                             AND split_part(o.order_no, '/', 4) = t.orig_receipt_no
        JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on AND NOT l.is_voided
        JOIN members_product p ON p.id = l.product_id AND p.sku = t.sku
        WHERE {COUNTS} AND {IS_RETURN} AND t.orig_receipt_no <> '' AND l.paid_at <= t.sold_at AND l.paid_at > t.sold_at - interval '90 days'
        ORDER BY t.line_no, l.paid_at DESC, l.line_no
    ) f WHERE f.seq = t.line_no
"""
REFUNDS = f"""
    SELECT t.line_no, '{CHANNEL}', t.store_code, {RECEIPT} || '/' || t.number, t.orig_order_no, t.orig_line_no, %s::timestamptz, t.sold_at,
           abs(t.quantity), abs(t.paid_amount)
    FROM {{table}} t WHERE {COUNTS} AND {IS_RETURN} AND t.orig_order_no IS NOT NULL
"""
# lines of the day that are no longer in the file, as they stand, voided
GONE_LINES = f"""
    SELECT l.id, '{CHANNEL}', o.shop, o.order_no, l.line_no, w.at, p.sku, '', '', l.created_at, l.paid_at, l.completed_at, l.store_id,
           l.cashier_code, l.buyer_mobile_index, l.buyer_card_no, l.buyer_account, l.buyer_unionid, l.quantity, l.unit_price, l.list_fen,
           l.discounts, l.paid_fen, l.points_fen, l.freight_fen, l.is_test, l.is_gift_card, l.is_wholesale, l.is_staff_price, true, l.risk_mark
    FROM (SELECT %s::timestamptz AS at, %s::text AS store, %s::text AS day) w
    CROSS JOIN members_order o
    JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on AND NOT l.is_voided AND l.version_at < w.at
    JOIN members_product p ON p.id = l.product_id
    WHERE o.channel = '{CHANNEL}' AND o.shop = w.store AND starts_with(o.order_no, w.store || '/') AND split_part(o.order_no, '/', 3) = w.day
      AND NOT EXISTS (SELECT 1 FROM {{table}} t WHERE {COUNTS} AND NOT {IS_RETURN} AND {RECEIPT} = o.order_no AND t.number = l.line_no)
"""
GONE_REFUNDS = f"""
    SELECT r.id, '{CHANNEL}', r.shop, r.refund_no, r.order_no, r.line_no, w.at, r.refunded_at, 0::numeric, 0::bigint
    FROM (SELECT %s::timestamptz AS at, %s::text AS store, %s::text AS day) w
    CROSS JOIN members_refund r
    WHERE r.channel = '{CHANNEL}' AND r.shop = w.store AND starts_with(r.refund_no, w.store || '/') AND split_part(r.refund_no, '/', 3) = w.day
      AND r.amount_fen > 0 AND r.version_at < w.at
      AND NOT EXISTS (SELECT 1 FROM {{table}} t WHERE {COUNTS} AND {IS_RETURN} AND {RECEIPT} || '/' || t.number = r.refund_no)
"""


class DayRefused(RuleViolation):
    code = "pos_day_refused"


@transaction.atomic
def take(*, actor: Any, store: Store, day: dt.date, upload: Any, now: dt.datetime) -> PosDay:
    """A day file to be read by a job. Raises DayRefused for one that was taken before."""
    if day > timezone.localdate(now):
        raise DayRefused(_("The day of a file is not in the future."))
    row, is_new = PosDay.objects.get_or_create(
        store=store,
        day=day,
        sha256=upload.sha256,
        defaults={"name": upload.name, "uploaded_by": actor, "uploaded_at": now},
    )
    if not is_new and not _may_come_again(row):
        at = timezone.localtime(row.uploaded_at).strftime("%Y-%m-%d %H:%M")
        raise DayRefused(
            _("This very file was taken for this day already, on %(at)s.") % {"at": at}, code="pos_day_known"
        )
    row.name, row.uploaded_by, row.uploaded_at = upload.name, actor, now
    row.job = jobs.enqueue(KIND, actor=actor, params={"day": row.pk, "accepted_bad": 0}, upload=upload, key=_key(row))
    row.save(update_fields=["name", "uploaded_by", "uploaded_at", "job"])
    audit.record(actor=actor, verb="pos_day.take", target=row, day=day.isoformat())
    return row


def _may_come_again(row: PosDay) -> bool:
    """Whether a file was read and refused, so that nothing of it ever counted; in a transaction, the row locked."""
    (row,) = db.lock(PosDay.objects.filter(pk=row.pk))
    if row.is_current or row.line_count or row.paid_fen or row.refunded_fen or row.job is None:
        return False
    has_ended = row.job.status not in (Job.Status.QUEUED, Job.Status.RUNNING)
    return has_ended and not row.job.summary.get("in_force")


def _key(row: PosDay) -> str:
    return f"{KIND} {row.pk} {row.uploaded_at:%Y%m%d%H%M%S%f}"


@transaction.atomic
def accept_bad(*, actor: Any, row: PosDay, count: int, reason: str) -> Job:
    """Declare the broken rows of a file: it is read again and taken without exactly so many rows."""
    _require_latest(row)
    row.refresh_from_db()
    if row.job is None or row.job.upload is None or row.is_current or row.bad_count != count or not count:
        raise DayRefused(_("The file has %(count)d broken rows, not as many as declared.") % {"count": row.bad_count})
    params = {**row.job.params, "accepted_bad": count}
    row.job = jobs.enqueue(KIND, actor=actor, params=params, upload=row.job.upload, key=f"{_key(row)} without {count}")
    row.save(update_fields=["job"])
    audit.record(actor=actor, verb="pos_day.accept_bad", target=row, reason=reason, count=count)
    return row.job


def read(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``pos_day``."""
    row = PosDay.objects.select_related("store").get(pk=progress.job.params["day"])
    with imports.opened(progress, COLUMNS) as run:
        checked = run.check(_checks(row), values="NULL::text AS orig_order_no, NULL::bigint AS orig_line_no")
        _mark_repeated(run, checked.table)
        summary = run.summary(checked)
        _check_total(checked.table)
        PosDay.objects.filter(pk=row.pk).update(bad_count=summary["bad"])
        if summary["bad"] != progress.job.params["accepted_bad"]:
            return {**summary, "in_force": 0}
        progress.stage("write", checked.good)
        with _turn(row, progress):
            done = _write(row, run, checked, progress)
    purchases.apply_waiting()
    decisions.decide_open()
    return {**summary, **done, "in_force": 1}


@contextmanager
def _turn(row: PosDay, progress: jobs.Progress) -> Iterator[None]:
    """One file of a store and day is written at a time: two that overlapped would each leave rows that the other never saw."""
    while True:
        with db.advisory_lock(f"pos day {row.store_id} {row.day}") as is_ours:
            if is_ours:
                _require_latest(row)
                yield
                return
        progress.done(0)
        time.sleep(TURN_MILLISECONDS / 1000)


@transaction.atomic
def _require_latest(row: PosDay) -> None:
    """Locks the files of the day. Raises DayRefused when one that was sent later is in force."""
    others = PosDay.objects.filter(store=row.store_id, day=row.day)
    db.lock(others)
    if others.filter(is_current=True, uploaded_at__gt=row.uploaded_at).exists():
        raise DayRefused(
            _("A file of this day that was sent later is in force. Send this one again if it is the right one."),
            code="pos_day_overtaken",
        )


def _checks(row: PosDay) -> list[Check]:
    is_row = f"NOT {IS_TOTAL}"
    store, day = copyin.rules.literal(row.store.code), copyin.rules.literal(row.day.isoformat())
    return [
        Check("store_code", "other_store_or_day", f"{is_row} AND (t.store_code <> {store} OR t.business_date <> {day}::date)"),
        *(Check(name, "missing_value", f"{is_row} AND t.{name} = ''") for name in ("receipt_no", "sku")),
        *(Check(name, "missing_value", f"{is_row} AND t.{name} IS NULL") for name in ("business_date", "number", "sold_at", "quantity", "paid_amount")),
        Check("number", "bad_line_no", f"{is_row} AND t.number NOT BETWEEN 0 AND 2147483647"),
        Check("paid_amount", "bad_amount", f"{is_row} AND (t.paid_amount < 0) <> (t.quantity < 0) AND t.paid_amount <> 0 AND t.doc_type <> 'R'"),
    ]  # fmt: skip


def _mark_repeated(run: imports.Run, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"""
            UPDATE {table} t SET problem = 'number:repeated_row' FROM (
                SELECT line_no, row_number() OVER (PARTITION BY {RECEIPT}, number ORDER BY line_no) AS place FROM {table} t
                WHERE problem IS NULL AND NOT {IS_TOTAL}
            ) a WHERE a.line_no = t.line_no AND a.place > 1 RETURNING t.line_no
        """)
        run.report((line, "number", "repeated_row") for (line,) in cursor.fetchall())


def _check_total(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"""
            SELECT sum(t.paid_amount) FILTER (WHERE {IS_TOTAL}), coalesce(sum(t.paid_amount) FILTER (WHERE NOT {IS_TOTAL}), 0) FROM {table} t
        """)
        said, rows = cursor.fetchone()
    if said is None:
        raise FileRefused(_("The line of totals is missing: the file was cut. Export it again."), code="pos_day_total")
    if int(said) != int(rows):
        text = _(
            "The rows add up to %(rows)s, but the total is %(total)s. The file was cut or changed: download it again."
        )
        raise FileRefused(
            text % {"rows": f"{int(rows) / 100:.2f}", "total": f"{int(said) / 100:.2f}"}, code="pos_day_total"
        )


def _write(row: PosDay, run: imports.Run, checked: imports.Checked, progress: jobs.Progress) -> dict[str, int]:
    table, at = checked.table, row.uploaded_at
    day = timezone.localtime(dt.datetime.combine(row.day, dt.time(12), timezone.get_current_timezone())).date()
    db.ensure_partitions(OrderLine, day - dt.timedelta(days=1), day + dt.timedelta(days=1))
    # first what is gone: a sale may be smaller by now, and no return is booked on a line that the file no longer has
    where = [at, row.store.code, f"{row.day:%Y%m%d}"]
    gone_refunds = purchases.record_refunds_of(select=GONE_REFUNDS.format(table=table), params=where)
    gone = purchases.record_lines_of(select=GONE_LINES.format(table=table), params=where)
    voided = gone.counts()["updated"]
    total, written = purchases.LinesRecorded(), 0
    for after, last in run.ranges(checked, CHUNK_ROWS):
        found = purchases.record_lines_of(select=LINES.format(table=table), params=[at, row.store_id, after, last])
        run.report((line, "number", code) for line, code in found.parked)
        total.add(found)
        written += CHUNK_ROWS
        progress.done(min(written, checked.good))
    with connection.cursor() as cursor:
        cursor.execute(ORIGINALS.format(table=table))
        cursor.execute(f"SELECT t.line_no FROM {table} t WHERE {COUNTS} AND {IS_RETURN} AND t.orig_order_no IS NULL")
        unmatched = [line for (line,) in cursor.fetchall()]
    run.report((line, "orig_receipt_no", "unmatched_return") for line in unmatched)
    refunds = purchases.record_refunds_of(select=REFUNDS.format(table=table), params=[at])
    run.report((line, "paid_amount", code) for line, code in refunds.refused)
    _put_in_force(row, table, voided)
    return {
        **total.counts(),
        "unmatched": len(unmatched),
        "voided": voided,
        "refunds_taken_back": gone_refunds.counts()["updated"],
    }


@transaction.atomic
def _put_in_force(row: PosDay, table: str, voided: int) -> None:
    _require_latest(row)
    others = PosDay.objects.filter(store=row.store_id, day=row.day)
    with connection.cursor() as cursor:
        cursor.execute(f"""
            SELECT count(*) FILTER (WHERE NOT {IS_RETURN}), coalesce(sum(t.paid_amount) FILTER (WHERE NOT {IS_RETURN}), 0)::bigint,
                   coalesce(sum(abs(t.paid_amount)) FILTER (WHERE {IS_RETURN}), 0)::bigint FROM {table} t WHERE {COUNTS}
        """)
        lines, paid, refunded = cursor.fetchone()
    others.filter(is_current=True).exclude(pk=row.pk).update(is_current=False)
    PosDay.objects.filter(pk=row.pk).update(
        is_current=True, line_count=lines, paid_fen=paid, refunded_fen=refunded, voided_count=voided
    )
