"""Making a batch: a job that takes the lines, then settles what each beneficiary gets. Killed at any point, it goes on.

0. What guides earned in the month above the cap of their rule is owed back before anything is taken.
1. Lines are taken in ranges of entry ids, each range a transaction of its own; what is taken is not taken again.
2. Then, in one transaction: lines blocked meanwhile are given back, the debts are read under the locks of their accounts
   (``cut_at``), statements and payments are written, the periods' digests noted and the batch is ready.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from attribution import caps, periods
from attribution.models import Batch, BatchLine, ClosedPeriod, Entry, Payment, Statement
from attribution.settlement import dues, plan
from scrm import db, jobs

IDS_AT_ONCE = 200_000

TAKE = f"""
    INSERT INTO attribution_batchline
        (batch_id, entry_id, vested_on, hold_id, beneficiary_id, store_id, company_id, amount_fen, is_live)
    SELECT %(batch)s, e.id, e.posted_on, v.hold_id, a.beneficiary_id, e.store_id, {dues.COMPANY}, e.amount_fen, true
    {dues.WAITING} AND e.id >= %(low)s AND e.id < %(high)s ORDER BY e.id
"""
GIVE_BACK_BLOCKED = """
    UPDATE attribution_batchline l SET is_live = false FROM attribution_moneyblock m
    WHERE l.batch_id = %s AND l.is_live AND m.hold_id = l.hold_id AND m.released_at IS NULL
"""
DIGEST = """
    SELECT coalesce(sum(n), 0)::bigint, encode(sha256(coalesce(string_agg(block, ''::bytea ORDER BY id_block), ''::bytea)), 'hex')
    FROM (
        SELECT l.entry_id / 65536 AS id_block, count(*) AS n,
               sha256(convert_to(string_agg(concat_ws('|', l.entry_id, l.vested_on, l.beneficiary_id, l.store_id, l.company_id,
                                                      l.amount_fen), E'\\n' ORDER BY l.entry_id), 'UTF8')) AS block
        FROM attribution_batchline l WHERE l.batch_id = %s AND l.is_live GROUP BY 1
    ) blocks
"""
# the period of the earliest money that was due in time and is in no batch: only blocks keep it out
OPEN_FROM = """
    SELECT to_char(min(t.posted_on), 'YYYY-MM') FROM attribution_moneyblock m
    JOIN attribution_txn t ON t.key = 'VEST|' || m.hold_id
    WHERE m.released_at IS NULL AND t.posted_on < %(end)s
      AND NOT EXISTS (SELECT 1 FROM attribution_batchline l WHERE l.hold_id = m.hold_id AND l.is_live)
"""
LAST = """
    SELECT DISTINCT ON (s.beneficiary_id) s.beneficiary_id, s.carried_fen, b.cut_at
    FROM attribution_statement s JOIN attribution_batch b ON b.id = s.batch_id AND b.status IN ('POSTED', 'SETTLED')
    WHERE s.beneficiary_id = ANY(%s::bigint[]) ORDER BY s.beneficiary_id, b.period DESC
"""
WRITTEN_OFF = """
    SELECT a.beneficiary_id, t.posted_at, e.amount_fen
    FROM attribution_txn t JOIN attribution_entry e ON e.txn_id = t.id AND e.posted_on = t.posted_on
    JOIN attribution_account a ON a.id = e.account_id AND a.kind = 'RECV'
    WHERE t.kind = 'WRITEOFF' AND a.beneficiary_id = ANY(%s::bigint[])
"""


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The job."""
    batch = Batch.objects.get(pk=progress.job.params["batch"])
    if batch.status == Batch.Status.MAKING:
        caps.take_back(period=batch.period, now=batch.requested_at)
        _take_lines(batch, progress)
        progress.stage("settle")
        _finish(batch.pk)
        batch.refresh_from_db()
    return {"lines": batch.line_count, "payees": batch.payee_count, "paid_fen": batch.paid_fen}


def _take_lines(batch: Batch, progress: jobs.Progress) -> None:
    values = {**dues.values(batch.period), "batch": batch.pk}
    ids = "SELECT min(id), max(id), min(posted_on) FROM attribution_entry WHERE posted_on >= %s AND posted_on < %s"
    low, high, since = db.read(ids, [values["first"], values["end"]])[0]
    if low is None:
        return
    progress.stage("take", high - low + 1)
    db.ensure_partitions(BatchLine, since, periods.first_day(batch.period))
    for start in range(low, high + 1, IDS_AT_ONCE):
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            if _locked(batch.pk) is None:
                raise jobs.Cancelled
            cursor.execute(TAKE, {**values, "low": start, "high": start + IDS_AT_ONCE})
        progress.done(min(start + IDS_AT_ONCE, high + 1) - low)


@transaction.atomic(durable=True)
def _finish(batch_id: int) -> None:
    batch = _locked(batch_id)
    if batch is None:
        raise jobs.Cancelled
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK_BLOCKED, [batch.pk])
    found = dues.taken(batch)
    debts = _locked_debts(list(found))
    batch.cut_at = db.clock()
    batch.frozen = _frozen(batch.period)
    batch.open_from = db.fetch(OPEN_FROM, dues.values(batch.period))[0][0] or periods.following(batch.period)
    _write(batch, found, debts)
    batch.line_count, batch.digest = db.read(DIGEST, [batch.pk])[0]
    batch.payee_count = len(found)
    batch.earned_fen = sum(due.due_fen for parts in found.values() for due in parts)
    batch.paid_fen = batch.earned_fen - batch.netted_fen
    batch.status = Batch.Status.READY
    batch.save()


def _locked(batch_id: int) -> Batch | None:
    batch = db.lock(Batch.objects.filter(pk=batch_id))[0]
    return batch if batch.status == Batch.Status.MAKING else None


def _locked_debts(payees: list[int]) -> dict[int, int]:
    """Debts of everybody in the batch and of everybody who owes; nothing is posted to them before this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT beneficiary_id, -balance_fen FROM attribution_account WHERE id = ANY(ARRAY("
            "  SELECT a.id FROM attribution_account a JOIN attribution_beneficiary b ON b.id = a.beneficiary_id"
            "  WHERE a.kind = 'RECV' AND b.kind IN ('GUIDE', 'STORE_POOL', 'ENTITY')"
            "    AND (a.balance_fen < 0 OR a.beneficiary_id = ANY(%s)))) ORDER BY id FOR NO KEY UPDATE",
            [payees],
        )
        return {who: max(0, fen) for who, fen in cursor.fetchall()}


def _frozen(period: str) -> list[tuple[str, int, int, str]]:
    """The digest of every period up to this one that is not closed and has entries."""
    first = Entry.objects.order_by("posted_on").values_list("posted_on", flat=True).first()
    if first is None:
        return []
    closed = ClosedPeriod.objects.order_by("-pk").values_list("period", flat=True).first()
    at = periods.following(closed) if closed else periods.period_of_day(first)
    found = []
    while at <= period:
        found.append((at, *periods.frozen(at)))
        at = periods.following(at)
    return found


def _write(batch: Batch, found: dict[int, list[plan.Due]], debts: dict[int, int]) -> None:
    """Statements and payments; sets ``batch.netted_fen``."""
    everybody = sorted({*found, *(who for who, fen in debts.items() if fen)})
    before = {who: (carried, cut_at) for who, carried, cut_at in db.read(LAST, [db.array(everybody)])}
    written_off, above = _written_off(everybody, before, batch), caps.open_debts()
    batch.netted_fen = 0
    statements: list[Statement] = []
    payments: list[Payment] = []
    ids = db.next_ids(Statement, len(everybody)) if everybody else []
    for pk, who in zip(ids, everybody, strict=True):
        parts, debt = found.get(who, []), debts.get(who, 0)
        kept = plan.netted(parts, debt, batch.cap_bp, above.get(who, 0))
        opening, gone = before.get(who, (0, None))[0], written_off.get(who, 0)
        statement = Statement(
            pk=pk, batch=batch, beneficiary_id=who, store_id=_store_of(parts), line_count=sum(due.lines for due in parts),
            earned_fen=sum(due.earned_fen for due in parts), late_fen=sum(due.late_fen for due in parts),
            opening_debt_fen=opening, reversed_fen=debt - opening + gone, written_off_fen=gone, netted_fen=kept,
            paid_fen=sum(due.due_fen for due in parts) - kept, carried_fen=debt - kept,
            capped_fen=plan.capped(parts, debt, above.get(who, 0)),
        )  # fmt: skip
        statements.append(statement)
        batch.netted_fen += kept
        for company_id, (company_kept, paid) in sorted(plan.by_company(plan.parts(parts, kept)).items()):
            if paid:
                number = f"{batch.code}-{len(payments) + 1:06d}"
                payments.append(
                    Payment(
                        statement_id=pk,
                        batch=batch,
                        company_id=company_id,
                        number=number,
                        amount_fen=paid,
                        netted_fen=company_kept,
                    )
                )
    Statement.objects.bulk_create(statements, batch_size=2_000)
    Payment.objects.bulk_create(payments, batch_size=2_000)


def _written_off(everybody: list[int], before: dict[int, tuple[int, Any]], batch: Batch) -> dict[int, int]:
    """What was written off of each since her last statement."""
    found: dict[int, int] = {}
    for who, posted_at, fen in db.read(WRITTEN_OFF, [db.array(everybody)]):
        since = before.get(who, (0, None))[1]
        if since is None or posted_at > since:
            found[who] = found.get(who, 0) + fen
    return found


def _store_of(parts: list[plan.Due]) -> int | None:
    """Where most of it was earned."""
    if not parts:
        return None
    return max(parts, key=lambda due: (due.due_fen, -(due.store_id or 0))).store_id
