"""Posting an approved batch: a job, some hundred statements in a transaction. Killed at any point, it goes on.

The debt is netted first (due → debt), what is left is paid (due → batch); each with the stores in which it was earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from attribution import ledger, postings
from attribution.models import Batch, Payment, Statement
from attribution.settlement import dues, plan
from scrm import db, jobs

STATEMENTS_AT_ONCE = 500


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The job."""
    batch = Batch.objects.select_related("approved_by").get(pk=progress.job.params["batch"])
    waiting = Statement.objects.filter(batch=batch, is_posted=False)
    progress.stage("post", waiting.count())
    done = 0
    while count := _post_some(batch, waiting):
        done += count
        progress.done(done)
    _finish(batch.pk)
    return {"statements": done, "paid_fen": batch.paid_fen}


@transaction.atomic(durable=True)
def _post_some(batch: Batch, waiting: QuerySet[Statement]) -> int:
    chosen = waiting.select_related("beneficiary").order_by("pk").select_for_update(of=("self",), skip_locked=True)
    statements = list(chosen[:STATEMENTS_AT_ONCE])
    if not statements:
        return 0
    found = dues.taken(batch, beneficiary_ids=[statement.beneficiary_id for statement in statements])
    batch_postings: list[ledger.Posting] = []
    for statement in statements:
        parts = plan.parts(found.get(statement.beneficiary_id, []), statement.netted_fen)
        batch_postings += _postings(batch, statement, parts)
    ledger.post(batch=batch_postings)
    Statement.objects.filter(pk__in=[statement.pk for statement in statements]).update(is_posted=True)
    return len(statements)


def _postings(batch: Batch, statement: Statement, parts: Sequence[plan.Part]) -> list[ledger.Posting]:
    who, at, actor = statement.beneficiary.code, batch.approved_at, str(batch.approved_by_id)
    assert at is not None
    result = []
    if statement.netted_fen:
        netted = [postings.Part(who, part.store, part.netted_fen) for part in parts]
        txn = postings.net(postings.key(postings.Kind.NET, batch.code, who), netted, at)
        result.append(ledger.Posting(txn, actor=actor, reason="SETTLEMENT", fact=f"SETTLEMENT {batch.code}"))
    for company_id in sorted({part.company_id for part in parts}):
        paid = [postings.Part(who, part.store, part.paid_fen) for part in parts if part.company_id == company_id]
        if any(part.amount_fen for part in paid):
            key = postings.key(postings.Kind.PAY, batch.code, who, company_id)
            txn = postings.pay(key, paid, at, batch.code)
            result.append(ledger.Posting(txn, actor=actor, reason="SETTLEMENT", fact=f"SETTLEMENT {batch.code}"))
    return result


@transaction.atomic(durable=True)
def _finish(batch_id: int) -> None:
    """The batch is to be paid out once every statement is posted; with nothing to pay it has ended."""
    batch = db.lock(Batch.objects.filter(pk=batch_id))[0]
    if batch.status != Batch.Status.APPROVED or Statement.objects.filter(batch=batch, is_posted=False).exists():
        return
    batch.status, batch.posted_at = Batch.Status.POSTED, db.clock()
    batch.save()
    if not Payment.objects.filter(batch=batch).exists():
        batch.status, batch.settled_at = Batch.Status.SETTLED, batch.posted_at
        batch.save()
