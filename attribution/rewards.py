"""Rewards in the books (奖励入账): the ledger follows the status of each claim.

1. A claim that is held is accrued from the promotion budget to the guide; a claim that ended before it was accrued posts
   nothing.
2. A claim that was earned vests with the next run, like any other hold; one that ended is reversed; one that was taken back
   is reversed where it has not vested and clawed back where it has.
   A referral (老带新) that pays its guide is such a claim too, with facts of its own word.
3. The claim's id is the business fact. Claims are taken by status (SKIP LOCKED): two runs share them, a killed run leaves
   them, and what was posted once is not posted again.
4. While a case holds money, what it looks at is blocked: the rewards it names that were earned before, and the commission of the
   order lines it names. Its end releases them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from attribution import blocks, figures, ledger, postings
from attribution.ledger import SHANGHAI, HoldMove, NewHold, Posting
from attribution.models import Hold
from attribution.postings import Part
from campaigns.models import Referral
from guides.models import IntegrityCase, RewardClaim
from guides.models.integrity import HOLDING

AT_ONCE = 2_000  # claims in one transaction
ROLE = "REWARD"
BLOCKED, FREE = "BLOCKED", "FREE"

Status = RewardClaim.Status
Claim = RewardClaim | Referral
WORDS: dict[type[Claim], str] = {RewardClaim: "REWARD", Referral: "REFERRAL"}


def follow(*, now: dt.datetime) -> dict[str, int]:
    """Post what claims say until none is behind, then block and release; counts of claims and cases."""
    claims = 0
    for model in WORDS:
        while done := _follow_claims(model):
            claims += done
    return {"claims": claims, "cases": _follow_cases()}


def fact_of(claim_id: int, word: str = "REWARD") -> str:
    return f"{word} {claim_id}"


@transaction.atomic(durable=True)
def _follow_claims(model: type[Any]) -> int:
    behind = model.objects.filter(~Q(posted_as=F("status"))).select_related("guide", "store")
    claims = list(behind.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:AT_ONCE])
    if not claims:
        return 0
    holds = {hold.fact: hold for hold in Hold.objects.filter(fact__in=[_fact(claim) for claim in claims])}
    ids = ledger.Ids(Hold, len(claims))
    batch: list[Posting] = []
    ripe: list[int] = []
    for claim in claims:
        hold = holds.get(_fact(claim))
        if not claim.guide_id or not claim.amount_fen:  # a referral of a member whom no guide serves
            continue
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
        model.objects.filter(pk__in=those).update(posted_as=status)
    figures.mark({_day(claim) for claim in claims})
    return len(claims)


def _fact(claim: Claim) -> str:
    return fact_of(claim.pk, WORDS[type(claim)])


def _accrual(claim: Claim, hold_id: int) -> Posting:
    assert claim.guide is not None
    key = postings.key(postings.Kind.ACCRUE, WORDS[type(claim)], claim.pk)
    part = Part(claim.guide.code, claim.store.code, claim.amount_fen)
    txn = postings.accrue(key, [part], claim.added_at, postings.PROMO)
    hold = NewHold(hold_id, ROLE, claim.guide.code, claim.store_id, claim.amount_fen, _day(claim), claim.vested_at)
    return Posting(txn, holds=(hold,), reason=WORDS[type(claim)], fact=_fact(claim))


def _reversal(claim: Claim, hold: Hold) -> list[Posting]:
    """What has not vested back to the budget, what has vested as a debt of the guide."""
    held = hold.amount_fen - hold.vested_fen - hold.reversed_fen
    owed = hold.vested_fen - hold.clawed_fen
    assert claim.decided_at is not None and claim.guide is not None
    part = Part(claim.guide.code, claim.store.code, held + owed)
    result = []
    for txn in postings.reverse((WORDS[type(claim)], claim.pk), [part], [held], claim.decided_at, postings.PROMO):
        is_unhold = txn.kind == postings.Kind.UNHOLD
        move = HoldMove(hold.pk, reversed_fen=held) if is_unhold else HoldMove(hold.pk, clawed_fen=owed)
        result.append(
            Posting(
                txn, reverses_key=postings.key(postings.Kind.ACCRUE, WORDS[type(claim)], claim.pk), reason=claim.reason,
                moves=(move,), fact=_fact(claim),
            )
        )  # fmt: skip
    return result


def _ripen(claims: Sequence[Claim], holds: dict[str, Hold]) -> None:
    for claim in claims:
        hold = holds[_fact(claim)]
        Hold.objects.filter(pk=hold.pk, vests_at=None).update(vests_at=claim.vested_at)


def _day(claim: Claim) -> dt.date:
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
