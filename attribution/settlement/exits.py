"""Debts at exit (离职核销): written off when nothing is left to net them from."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from attribution import ledger, periods, postings
from attribution.settlement.terms import terms_of
from scrm import audit, db

# She has left every store, is promised nothing more, nothing is due to her and no batch is about to net or pay her: the debt
# stands alone. The last entry on her debt is the business fact: a debt that arises later is another one.
LEFT_WITH_DEBT = """
    SELECT b.code, r.id, (SELECT max(e.id) FROM attribution_entry e WHERE e.account_id = r.id)
    FROM attribution_account r
    JOIN attribution_beneficiary b ON b.id = r.beneficiary_id AND b.kind = 'GUIDE'
    WHERE r.kind = 'RECV' AND r.balance_fen < 0
      AND EXISTS (SELECT 1 FROM guides_employment m WHERE m.guide_id = b.guide_id)
      AND NOT EXISTS (SELECT 1 FROM guides_employment m WHERE m.guide_id = b.guide_id AND (m.ended_at IS NULL OR m.ended_at > %(now)s))
      AND NOT EXISTS (SELECT 1 FROM attribution_account a
                      WHERE a.beneficiary_id = b.id AND a.kind IN ('HOLD', 'DUE') AND a.balance_fen <> 0)
      AND NOT EXISTS (SELECT 1 FROM attribution_batch t WHERE t.status IN ('MAKING', 'READY', 'APPROVED'))
    ORDER BY b.code LIMIT 1000
"""
BY_STORE = """
    SELECT e.account_id, s.code, -sum(e.amount_fen)::bigint FROM attribution_entry e
    LEFT JOIN scrm_store s ON s.id = e.store_id WHERE e.account_id = ANY(%s::bigint[]) GROUP BY 1, 2
"""


@transaction.atomic
def write_off_exits(*, now: dt.datetime) -> int:
    """Write off what guides owe who have left and got their last pay; returns how many. Nothing if the terms say no."""
    if not terms_of(periods.period_of(now)).exit_writes_off:
        return 0
    found = db.fetch(LEFT_WITH_DEBT, {"now": now})
    stores: dict[int, list[tuple[str | None, int]]] = {}
    for account_id, store, fen in db.read(BY_STORE, [db.array(account_id for _who, account_id, _last in found)]):
        stores.setdefault(account_id, []).append((store, fen))
    batch = []
    for who, account_id, last in found:
        key = postings.key(postings.Kind.WRITEOFF, who, last)
        txn = _write_off(key, who, stores[account_id], now)
        batch.append(ledger.Posting(txn, reason="EXIT", fact=f"EXIT {who}"))
    ledger.post(batch=batch)
    for who, _account_id, _last in found:
        audit.record(actor=None, verb="settlement.write_off", target_type="attribution.Beneficiary", target_id=who)
    return len(found)


def _write_off(key: str, who: str, debts: list[tuple[str | None, int]], now: dt.datetime) -> postings.Transaction:
    """The whole debt, at the stores where it arose; a store that netted more than it is owed stands against the others."""
    legs = [postings.Entry(postings.recv_account(who), who, store, fen) for store, fen in debts]
    whole = sum(fen for _store, fen in debts)
    legs.insert(0, postings.Entry(postings.LOSS, None, None, -whole))
    return postings.transaction(postings.Kind.WRITEOFF, key, now, legs)
