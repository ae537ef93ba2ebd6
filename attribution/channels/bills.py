"""Channel bills (渠道账单): a channel's own file of one shop and day against our books, order by order.

1. The same file of a shop and day is refused; another file of that day takes the place of the one before it when it has been
   read to its end. Until then the one before it stays in force.
2. Rows are taken all together: a file with broken rows comes into force only when a person declares how many there are.
3. A line of totals (合计) is checked and not counted; a file that was cut fails on it. Where a file has none, the total may be
   given with it.
4. A payment is counted on the day of its payment, a refund on the day its money went back. Rows of one order are added up, in
   whatever order they stand; a repeated flow number is a broken row.
5. What only one side has, or has with another amount, is a difference with an age. It is compared again while it is open: gone
   when the sides agree, explained or closed by a person with a reason; a change of its amounts opens it again.
6. Reading goes in parts, each its own transaction, and may be killed anywhere and run again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution.models import ChannelBill, ChannelBillLine, ChannelDifference
from scrm import audit, copyin, db, imports, jobs, uploads
from scrm.copyin import Column, FileRefused, Kind
from scrm.copyin.rules import Check
from scrm.errors import RuleViolation
from scrm.models import Job

KIND = "channel_bill"
PARTS = 20  # of a file, by a digest of the order number
COMPARED_DAYS = 62  # a bill is compared again this long
REFUND_WORDS = {
    "退款": "R", "售后退款": "R", "支出": "R", "退款支出": "R", "退货": "R", "refund": "R",
    "收入": "P", "支付": "P", "付款": "P", "交易": "P", "交易收款": "P", "订单": "P", "货款": "P", "销售": "P", "paid": "P",
}  # fmt: skip

COLUMNS = (
    Column("order_no", gettext_lazy("order no."), ("订单号", "订单编号", "主订单编号", "业务基础订单号", "商户订单号", "平台订单号", "order_no", "order_sn"),
           True, Kind.CODE, max_length=64),
    Column("amount", gettext_lazy("amount"), ("实收金额", "收入金额", "支付金额", "实付金额", "订单实付", "商家实收", "金额", "amount"), True, Kind.MONEY,
           code="bad_amount"),
    Column("refund", gettext_lazy("refunded amount"), ("退款金额", "支出金额", "refund"), kind=Kind.MONEY, code="bad_amount"),
    Column("type", gettext_lazy("kind"), ("业务类型", "账务类型", "交易类型", "类型", "type"), kind=Kind.CHOICE, choices=REFUND_WORDS, code="bad_bill_type"),
    Column("flow_no", gettext_lazy("flow no."), ("账务流水号", "流水号", "支付流水号", "flow_no"), kind=Kind.CODE, max_length=64),
)  # fmt: skip

IS_TOTAL = "t.order_no ~ '^(合计|总计|总合计|本页合计|[Tt]otal)'"
IS_REFUND = "(r.type = 'R' OR r.amount < 0)"

copyin.problems.register({
    "bad_bill_type": gettext_lazy("This kind of row is not known. Leave it out, or write 收入 or 退款."),
    "repeated_flow": gettext_lazy("This flow number stands in the file more than once."),
})  # fmt: skip


class BillRefused(RuleViolation):
    code = "channel_bill_refused"


# --- operations -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def take(
    *, actor: Any, channel: str, shop_no: str, day: dt.date, upload: Any, with_freight: bool = True, total_fen: int | None = None,
    mapping: dict[str, str] | None = None,
) -> ChannelBill:  # fmt: skip
    """A bill to be read by a job. Raises BillRefused for a file that was taken before."""
    if day > timezone.localdate():
        raise BillRefused(_("The day of a bill is not in the future."))
    known = {"channel": channel, "shop_no": shop_no, "day": day, "sha256": upload.sha256}
    bill, is_new = ChannelBill.objects.get_or_create(
        **known, defaults={"name": upload.name, "with_freight": with_freight, "uploaded_by": actor}
    )
    if not is_new:
        text = _("This very file was taken for this day already, on %(at)s.")
        raise BillRefused(
            text % {"at": timezone.localtime(bill.uploaded_at).strftime("%Y-%m-%d %H:%M")}, code="bill_known"
        )
    params = {"bill": bill.pk, "total_fen": total_fen, "mapping": mapping or {}, "accepted_bad": 0}
    bill.job = jobs.enqueue(KIND, actor=actor, params=params, upload=upload, key=f"bill {bill.pk}")
    bill.save(update_fields=["job"])
    audit.record(actor=actor, verb="bill.take", target=bill, day=day.isoformat())
    return bill


@transaction.atomic
def accept_bad(*, actor: Any, bill: ChannelBill, count: int, reason: str) -> Job:
    """Declare the broken rows of a bill: it is read again and comes into force without exactly so many rows."""
    (bill,) = db.lock(ChannelBill.objects.filter(pk=bill.pk))
    if bill.job is None or bill.job.upload is None or bill.is_current or not bill.bad_count:
        raise BillRefused(_("This bill does not wait for its broken rows to be declared."))
    if count != bill.bad_count:
        raise BillRefused(_("The file has %(count)d broken rows, not as many as declared.") % {"count": bill.bad_count})
    params = {**bill.job.params, "accepted_bad": count}
    bill.job = jobs.enqueue(
        KIND, actor=actor, params=params, upload=bill.job.upload, key=f"bill {bill.pk} without {count}"
    )
    bill.save(update_fields=["job"])
    audit.record(actor=actor, verb="bill.accept_bad", target=bill, reason=reason, count=count)
    return bill.job


def read(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``channel_bill``."""
    bill = ChannelBill.objects.get(pk=progress.job.params["bill"])
    with imports.opened(progress, COLUMNS) as run:
        checked = run.check([
            Check("order_no", "missing_value", "t.order_no = ''"),
            Check("amount", "missing_value", "t.amount IS NULL"),
        ])  # fmt: skip
        _mark_repeated_flows(run, checked.table)
        summary = run.summary(checked)
        total = _check_total(checked.table, run, progress.job.params.get("total_fen"))
        ChannelBill.objects.filter(pk=bill.pk).update(bad_count=summary["bad"])
        if summary["bad"] != progress.job.params.get("accepted_bad", 0):
            return {**summary, "in_force": 0}
        progress.stage("write", PARTS)
        for part in range(PARTS):
            _write_part(bill, checked.table, run.layout, part)
            progress.done(part + 1)
    put_in_force(bill=bill, now=timezone.now())
    return {**summary, "in_force": 1, "total_checked": int(total)}


@transaction.atomic
def put_in_force(*, bill: ChannelBill, now: dt.datetime) -> None:
    others = ChannelBill.objects.filter(channel=bill.channel, shop_no=bill.shop_no, day=bill.day)
    db.lock(others)
    others.filter(is_current=True).exclude(pk=bill.pk).update(is_current=False)
    with connection.cursor() as cursor:
        cursor.execute(TOTALS, {"bill": bill.pk})
    _compare(bill.pk, now)


def compare_again(*, now: dt.datetime, bill_ids: Iterable[int] | None = None) -> int:
    """Compare bills in force once more, each in its own transaction: recent ones, or those named."""
    rows = ChannelBill.objects.filter(is_current=True)
    rows = rows.filter(pk__in=list(bill_ids)) if bill_ids is not None else rows.filter(
        day__gte=timezone.localdate(now) - dt.timedelta(days=COMPARED_DAYS)
    )  # fmt: skip
    count = 0
    for bill_id in rows.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            if db.lock(ChannelBill.objects.filter(pk=bill_id, is_current=True)):
                _compare(bill_id, now)
                count += 1
    return count


@transaction.atomic
def decide(*, actor: Any, difference: ChannelDifference, state: str, reason: str, now: dt.datetime) -> None:
    """A person explains a difference or closes it."""
    if state not in (ChannelDifference.State.EXPLAINED, ChannelDifference.State.CLOSED):
        raise BillRefused(_("A difference is explained or closed by a person; it opens and goes by itself."))
    if not reason.strip():
        raise BillRefused(_("Say why."))
    (row,) = db.lock(ChannelDifference.objects.filter(pk=difference.pk))
    row.state, row.reason, row.decided_by = state, reason.strip()[:200], actor
    row.ended_at = now if state == ChannelDifference.State.CLOSED else None
    row.save(update_fields=["state", "reason", "decided_by", "ended_at"])
    audit.record(actor=actor, verb="bill.decide", target=row, reason=row.reason, state=state)


# --- reading ------------------------------------------------------------------------------------------------------------------


def _mark_repeated_flows(run: imports.Run, table: str) -> None:
    if not run.layout.has("flow_no"):
        return
    with connection.cursor() as cursor:
        cursor.execute(f"""
            WITH again AS (
                SELECT line_no, row_number() OVER (PARTITION BY flow_no ORDER BY line_no) AS place FROM {table}
                WHERE problem IS NULL AND flow_no <> ''
            )
            UPDATE {table} t SET problem = 'flow_no:repeated_flow' FROM again a WHERE a.line_no = t.line_no AND a.place > 1
            RETURNING t.line_no
        """)
        run.report((line, "flow_no", "repeated_flow") for (line,) in cursor.fetchall())


def _check_total(table: str, run: imports.Run, given: int | None) -> bool:
    """Was there a total to check? FileRefused when it does not fit."""
    refund = "coalesce(t.refund, 0)" if run.layout.has("refund") else "0"
    with connection.cursor() as cursor:
        cursor.execute(f"""
            SELECT sum(t.amount) FILTER (WHERE {IS_TOTAL}), coalesce(sum(t.amount) FILTER (WHERE NOT {IS_TOTAL}), 0),
                   sum({refund}) FILTER (WHERE {IS_TOTAL}), coalesce(sum({refund}) FILTER (WHERE NOT {IS_TOTAL}), 0)
            FROM {table} t WHERE t.amount IS NOT NULL
        """)
        said, amount, said_refund, refunded = cursor.fetchone()
    expected = said if said is not None else given
    is_wrong = expected is not None and int(expected) != int(amount)
    if is_wrong or (said is not None and run.layout.has("refund") and int(said_refund or 0) != int(refunded)):
        text = _(
            "The rows add up to %(rows)s, but the total is %(total)s. The file was cut or changed: download it again."
        )
        shown = {"rows": f"{int(amount) / 100:.2f}", "total": f"{int(expected or 0) / 100:.2f}"}
        raise FileRefused(text % shown, code="bill_total")
    return expected is not None


def _write_part(bill: ChannelBill, table: str, layout: copyin.Layout, part: int) -> None:
    """The orders of one part, added up; written again they are the same rows."""
    refund = "coalesce(r.refund, 0)" if layout.has("refund") else "0"
    kind = IS_REFUND if layout.has("type") else "(r.amount < 0)"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {ChannelBillLine._meta.db_table} (bill_id, order_no, paid_fen, refunded_fen)
            SELECT %s, r.order_no, coalesce(sum(r.amount) FILTER (WHERE NOT coalesce({kind}, false)), 0),
                   coalesce(sum(abs(r.amount)) FILTER (WHERE {kind}), 0) + sum(abs({refund}))
            FROM {table} r WHERE r.problem IS NULL AND NOT {IS_TOTAL.replace("t.", "r.")}
              AND abs(hashtext(r.order_no)::bigint) %% {PARTS} = %s
            GROUP BY r.order_no ORDER BY r.order_no ON CONFLICT DO NOTHING
            """,
            [bill.pk, part],
        )


# --- comparing ----------------------------------------------------------------------------------------------------------------

OURS = """
    WITH b AS (
        SELECT id, channel, shop_no, day, with_freight, (day::timestamp AT TIME ZONE 'Asia/Shanghai') AS since,
               ((day + 1)::timestamp AT TIME ZONE 'Asia/Shanghai') AS until
        FROM attribution_channelbill WHERE id = %(bill)s
    ), paid AS (
        SELECT o.order_no, sum(l.paid_fen + CASE WHEN b.with_freight THEN l.freight_fen ELSE 0 END)::bigint AS fen
        FROM b JOIN members_orderline l ON l.channel = b.channel AND l.paid_at >= b.since AND l.paid_at < b.until
        JOIN members_order o ON o.id = l.order_id AND o.shop = b.shop_no
        WHERE NOT l.is_voided AND NOT l.is_test GROUP BY o.order_no
    ), refunded AS (
        SELECT r.order_no, sum(r.amount_fen)::bigint AS fen
        FROM b JOIN members_refund r ON r.channel = b.channel AND r.shop = b.shop_no AND r.refunded_at >= b.since
             AND r.refunded_at < b.until AND r.status = 'APPLIED'
        GROUP BY r.order_no
    )
"""
TOTALS = """
    UPDATE attribution_channelbill b SET is_current = true, order_count = t.orders, paid_fen = t.paid, refunded_fen = t.refunded
    FROM (
        SELECT count(*) AS orders, coalesce(sum(paid_fen), 0)::bigint AS paid, coalesce(sum(refunded_fen), 0)::bigint AS refunded
        FROM attribution_channelbillline WHERE bill_id = %(bill)s
    ) t WHERE b.id = %(bill)s
"""
DIFFERENCES = (
    OURS
    + """
    , sides AS (
        SELECT 'PAID' AS measure, order_no, coalesce(p.fen, 0) AS ours, coalesce(t.fen, 0) AS theirs
        FROM paid p FULL JOIN (
            SELECT order_no, paid_fen AS fen FROM attribution_channelbillline WHERE bill_id = %(bill)s
        ) t USING (order_no)
        UNION ALL
        SELECT 'REFUNDED', order_no, coalesce(p.fen, 0), coalesce(t.fen, 0)
        FROM refunded p FULL JOIN (
            SELECT order_no, refunded_fen AS fen FROM attribution_channelbillline WHERE bill_id = %(bill)s
        ) t USING (order_no)
    )
    INSERT INTO attribution_channeldifference AS d (channel, shop_no, day, order_no, measure, kind, ours_fen, theirs_fen, state,
                                                    reason, found_at, seen_at)
    SELECT b.channel, b.shop_no, b.day, s.order_no, s.measure,
           CASE WHEN s.theirs = 0 THEN 'ONLY_OURS' WHEN s.ours = 0 THEN 'ONLY_THEIRS' ELSE 'AMOUNT' END, s.ours, s.theirs, 'OPEN', '',
           %(now)s, %(now)s
    FROM b, sides s WHERE s.ours <> s.theirs ORDER BY s.order_no, s.measure
    ON CONFLICT (channel, shop_no, day, order_no, measure) DO UPDATE
    SET kind = EXCLUDED.kind, ours_fen = EXCLUDED.ours_fen, theirs_fen = EXCLUDED.theirs_fen, seen_at = EXCLUDED.seen_at,
        state = CASE WHEN (d.ours_fen, d.theirs_fen) = (EXCLUDED.ours_fen, EXCLUDED.theirs_fen) AND d.state <> 'GONE'
                     THEN d.state ELSE 'OPEN' END,
        ended_at = CASE WHEN (d.ours_fen, d.theirs_fen) = (EXCLUDED.ours_fen, EXCLUDED.theirs_fen) AND d.state <> 'GONE'
                        THEN d.ended_at END
"""
)
GONE = """
    UPDATE attribution_channeldifference d SET state = 'GONE', ended_at = %(now)s
    FROM attribution_channelbill b
    WHERE b.id = %(bill)s AND (d.channel, d.shop_no, d.day) = (b.channel, b.shop_no, b.day) AND d.seen_at < %(now)s
      AND d.state IN ('OPEN', 'EXPLAINED')
"""
OUR_TOTALS = (
    OURS
    + """
    UPDATE attribution_channelbill x SET compared_at = %(now)s, our_paid_fen = (SELECT coalesce(sum(fen), 0) FROM paid),
        our_refunded_fen = (SELECT coalesce(sum(fen), 0) FROM refunded)
    WHERE x.id = %(bill)s
"""
)


def _compare(bill_id: int, now: dt.datetime) -> None:
    values: dict[str, Any] = {"bill": bill_id, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, values)
        cursor.execute(GONE, values)
        cursor.execute(OUR_TOTALS, values)


def store_file(*, actor: Any, name: str, chunks: Iterable[bytes], now: dt.datetime) -> Any:
    """Seal a bill as it arrives, and see that it is one. FileRefused otherwise."""
    upload = uploads.store(actor=actor, purpose=KIND, name=name, chunks=chunks, now=now)
    table = uploads.opened(upload, COLUMNS)
    copyin.guess(table.header, COLUMNS).require()
    return upload
