"""Rewards in the books (奖励入账): the ledger follows the status of each claim.

1. A claim that is held is accrued from the promotion budget to the guide; a claim that ended before it was accrued posts
   nothing.
2. A claim that was earned vests with the next run, like any other hold; one that ended is reversed; one that was taken back
   is reversed where it has not vested and clawed back where it has.
3. The claim's id is the business fact. Claims are taken by status (SKIP LOCKED): two runs share them, a killed run leaves
   them, and what was posted once is not posted again.
4. While a case holds money, what it looks at is blocked: the rewards it names that were earned before, and the commission of the
   order lines it names. Its end releases them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, Q

from attribution import blocks, figures, ledger, postings
from attribution.ledger import SHANGHAI, HoldMove, NewHold, Posting
from attribution.models import Hold
from attribution.postings import Part
from guides.models import IntegrityCase, RewardClaim
from guides.models.integrity import HOLDING

AT_ONCE = 2_000  # claims in one transaction
ROLE = "REWARD"
BLOCKED, FREE = "BLOCKED", "FREE"

Status = RewardClaim.Status


def follow(*, now: dt.datetime) -> dict[str, int]:
    """Post what claims say until none is behind, then block and release; counts of claims and cases."""
    claims = 0
    while done := _follow_claims(now):
        claims += done
    return {"claims": claims, "cases": _follow_cases()}


def fact_of(claim_id: int) -> str:
    return f"REWARD {claim_id}"


@transaction.atomic(durable=True)
def _follow_claims(now: dt.datetime) -> int:
    behind = RewardClaim.objects.filter(~Q(posted_as=F("status"))).select_related("guide", "store")
    claims = list(behind.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:AT_ONCE])
    if not claims:
        return 0
    holds = {hold.fact: hold for hold in Hold.objects.filter(fact__in=[fact_of(claim.pk) for claim in claims])}
    ids = ledger.Ids(Hold, len(claims))
    batch: list[Posting] = []
    ripe: list[int] = []
    for claim in claims:
        hold = holds.get(fact_of(claim.pk))
        if hold is None and claim.status in (Status.CLAIMED, Status.VESTED):
            batch.append(_accrual(claim, ids.take()))
        elif hold is not None and claim.status == Status.VESTED:
            ripe.append(claim.pk)
        elif hold is not None and claim.status in (Status.VOID, Status.CLAWED_BACK):
            batch += _reversal(claim, hold)
    ledger.post(batch=batch)
    _ripen([claim for claim in claims if claim.pk in set(ripe)], holds)
    for status in {claim.status for claim in claims}:
        those = [claim.pk for claim in claims if claim.status == status]
        RewardClaim.objects.filter(pk__in=those).update(posted_as=status)
    figures.mark({_day(claim) for claim in claims})
    return len(claims)


def _accrual(claim: RewardClaim, hold_id: int) -> Posting:
    key = postings.key(postings.Kind.ACCRUE, "REWARD", claim.pk)
    part = Part(claim.guide.code, claim.store.code, claim.amount_fen)
    txn = postings.accrue(key, [part], claim.added_at, postings.PROMO)
    hold = NewHold(hold_id, ROLE, claim.guide.code, claim.store_id, claim.amount_fen, _day(claim), claim.vested_at)
    return Posting(txn, holds=(hold,), reason="REWARD", fact=fact_of(claim.pk))


def _reversal(claim: RewardClaim, hold: Hold) -> list[Posting]:
    """What has not vested back to the budget, what has vested as a debt of the guide."""
    held = hold.amount_fen - hold.vested_fen - hold.reversed_fen
    owed = hold.vested_fen - hold.clawed_fen
    part = Part(claim.guide.code, claim.store.code, held + owed)
    assert claim.decided_at is not None
    result = []
    for txn in postings.reverse(("REWARD", claim.pk), [part], [held], claim.decided_at, postings.PROMO):
        is_unhold = txn.kind == postings.Kind.UNHOLD
        move = HoldMove(hold.pk, reversed_fen=held) if is_unhold else HoldMove(hold.pk, clawed_fen=owed)
        result.append(
            Posting(
                txn, reverses_key=postings.key(postings.Kind.ACCRUE, "REWARD", claim.pk), reason=claim.reason,
                moves=(move,), fact=fact_of(claim.pk),
            )
        )  # fmt: skip
    return result


def _ripen(claims: Sequence[RewardClaim], holds: dict[str, Hold]) -> None:
    for claim in claims:
        hold = holds[fact_of(claim.pk)]
        Hold.objects.filter(pk=hold.pk, vests_at=None).update(vests_at=claim.vested_at)


def _day(claim: RewardClaim) -> dt.date:
    return claim.added_at.astimezone(SHANGHAI).date()


def _follow_cases() -> int:
    """Block for cases that hold money, release for those that have ended."""
    is_holding = Q(status__in=HOLDING)
    count = 0
    for wanted, cases in (
        (BLOCKED, IntegrityCase.objects.filter(is_holding).exclude(money_state=BLOCKED)),
        (FREE, IntegrityCase.objects.filter(~is_holding).exclude(money_state=FREE)),
    ):
        for case_id in list(cases.order_by("pk").values_list("pk", flat=True)):
            count += _follow_case(case_id, wanted)
    return count


@transaction.atomic(durable=True)
def _follow_case(case_id: int, wanted: str) -> bool:
    case = IntegrityCase.objects.select_for_update(skip_locked=True).filter(pk=case_id).first()
    if case is None or case.is_holding != (wanted == BLOCKED) or case.money_state == wanted:
        return False
    cause = f"integrity:{case.pk}"
    if wanted == BLOCKED:
        facts = [fact_of(claim_id) for claim_id in case.claims.values_list("pk", flat=True)]
        holds = Hold.objects.filter(fact__in=facts).values_list("pk", flat=True)
        blocks.block(cause=cause, actor=None, line_ids=case.line_ids, hold_ids=list(holds))
    else:
        blocks.release(cause=cause, actor=case.decided_by)
    IntegrityCase.objects.filter(pk=case.pk).update(money_state=wanted)
    return True
