"""Cases (核查案): opened by what was found, decided by people, appealed by the guide; see the package for the rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from guides import bindings, rewards
from guides.integrity import counting, evidence, suspicions
from guides.integrity.counting import KIND
from guides.integrity.suspicions import Signal
from guides.models import FirstMessage, IntegrityCase, IntegrityFlag, IntegritySettings, RewardClaim
from guides.models.integrity import HOLDING
from guides.touches import SHANGHAI
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand

BRAND = "MAIN"
Status, Subject = IntegrityCase.Status, IntegrityCase.Subject


class CannotDecide(RuleViolation):
    code = "case_cannot_decide"


class CannotAppeal(RuleViolation):
    code = "case_cannot_appeal"


def limits_of(brand_id: int) -> IntegritySettings:
    """The limits of the brand; the suggested ones until somebody has set others."""
    return IntegritySettings.objects.get_or_create(brand_id=brand_id)[0]


# --- looking --------------------------------------------------------------------------------------------------------------


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``look_for_fraud``."""
    progress.stage("look for fraud")
    now = db.clock()
    opened = look(now=now)
    return {"cases": opened, "final": finish(now=now)}


def start_daily(*, now: dt.datetime) -> None:
    jobs.enqueue(KIND, actor=None, key=f"{KIND} {now.astimezone(SHANGHAI).date()}")


def look(*, now: dt.datetime) -> int:
    """Hold what was found against the limits; the number of cases opened. Each case is a transaction of its own."""
    brand = Brand.objects.get(code=BRAND)
    limits = limits_of(brand.pk)
    since = now - dt.timedelta(days=limits.lookback_days)
    return _look_at_friends(brand, limits, since, now) + _look_at_orders(brand, limits, since, now)


def _look_at_friends(brand: Brand, limits: IntegritySettings, since: dt.datetime, now: dt.datetime) -> int:
    counted = counting.counts(limits=limits, since=since, until=now)
    found = {counts.guide_id: suspicions.of_guide(counts, counted, limits) for counts in counted}
    flagged = [guide_id for guide_id, reached in found.items() if reached]
    adds = counting.adds_of(flagged, limits=limits, since=since, until=now)
    devices = counting.devices_at_bursts(limits, flagged, since, now) if flagged else {}
    opened = 0
    for guide_id in flagged:
        mine = adds[guide_id]
        unionids = sorted({add.unionid for add in mine if add.unionid})
        guides_of = counting.people_of_many(limits=limits, since=since, until=now, unionids=unionids)
        wrote = FirstMessage.objects.filter(friendship__in=[add.friendship_id for add in mine])
        silent = frozenset(add.friendship_id for add in mine) - set(wrote.values_list("friendship_id", flat=True))
        flags, friends = [], set()
        for signal in found[guide_id]:
            about = evidence.friends_of(signal, mine, limits, guides_of, silent)
            friends |= {add.friendship_id for add in about}
            flags.append((signal, evidence.of_friends(signal, mine, about, guides_of, devices.get(guide_id, ()))))
        claims = RewardClaim.objects.filter(friendship__in=friends)
        ids = list(claims.exclude(status=RewardClaim.Status.VOID).values_list("pk", flat=True))
        opened += _open(brand, limits, guide_id, Subject.FRIENDS, since, now, flags, claim_ids=ids)
    return opened


def _look_at_orders(brand: Brand, limits: IntegritySettings, since: dt.datetime, now: dt.datetime) -> int:
    opened = 0
    deals = evidence.own_deals(counting.own_purchases(since=since, until=now), limits)
    for guide_id, found in sorted(deals.items()):
        flags = [(signal, evidence.of_purchases(lines)) for signal, lines in found]
        line_ids = sorted({line.line_id for _signal, lines in found for line in lines})
        opened += _open(brand, limits, guide_id, Subject.ORDERS, since, now, flags, line_ids=line_ids)
    return opened


@transaction.atomic
def _open(
    brand: Brand,
    limits: IntegritySettings,
    guide_id: int,
    subject: str,
    since: dt.datetime,
    now: dt.datetime,
    flags: Sequence[tuple[Signal, dict[str, Any]]],
    *,
    claim_ids: Sequence[int] = (),
    line_ids: Sequence[int] = (),
) -> int:
    """Open the case, or add to the one that holds money already; 1 for a new one."""
    case = IntegrityCase.objects.select_for_update().filter(guide=guide_id, subject=subject, status__in=HOLDING).first()
    is_new = case is None
    if case is None:
        case = IntegrityCase.objects.create(
            brand=brand, guide_id=guide_id, store_id=bindings.store_id_at(guide_id, now), subject=subject, opened_at=now,
            since=since, until=now, due_at=now + dt.timedelta(days=limits.review_days),
            appeal_until=now + dt.timedelta(days=limits.appeal_days),
        )  # fmt: skip
        audit.record(actor=None, verb="integrity.open", target=case, guide=guide_id)
    elif not case.is_undecided:
        return 0  # confirmed, the appeal runs: what came since is looked at when it has ended
    rewards.lock()
    RewardClaim.objects.filter(pk__in=claim_ids).update(case=case)
    held = case.claims.exclude(status=RewardClaim.Status.VOID).aggregate(fen=Sum("amount_fen"))["fen"] or 0
    case.until, case.held_fen = now, held
    added = sorted(set(line_ids) - set(case.line_ids))
    if added:
        case.line_ids = sorted({*case.line_ids, *added})
        case.money_state = ""  # the ledger has more to block
    case.save(update_fields=["until", "held_fen", "line_ids", "money_state"])
    IntegrityFlag.objects.bulk_create(
        [
            IntegrityFlag(
                case=case,
                kind=signal.kind,
                value=signal.value,
                threshold=signal.threshold,
                evidence=shown,
                found_at=now,
            )
            for signal, shown in flags
        ],
        ignore_conflicts=True,
    )
    return int(is_new)


# --- deciding -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def release(*, case: IntegrityCase, actor: Any, reason: str, now: dt.datetime) -> IntegrityCase:
    """Nothing wrong: the money goes on. Raises CannotDecide."""
    row = _undecided(case, actor)
    row.status, row.decided_by, row.decided_at, row.reason = Status.RELEASED, actor, now, reason
    row.proposed_by = None
    row.save(update_fields=["status", "decided_by", "decided_at", "reason", "proposed_by"])
    audit.record(actor=actor, verb="integrity.release", target=row, reason=reason, held_fen=row.held_fen)
    return row


@transaction.atomic
def confirm(*, case: IntegrityCase, actor: Any, reason: str, now: dt.datetime) -> IntegrityCase:
    """Fraud: proposed by the first person where the amount asks for two, confirmed otherwise. Raises CannotDecide."""
    row = _undecided(case, actor)
    limits = limits_of(row.brand_id)
    if row.status == Status.OPEN and row.held_fen >= limits.four_eyes_fen:
        row.status, row.proposed_by, row.reason = Status.PROPOSED, actor, reason
        row.save(update_fields=["status", "proposed_by", "reason"])
        audit.record(actor=actor, verb="integrity.propose", target=row, reason=reason, held_fen=row.held_fen)
        return row
    if row.proposed_by_id is not None and row.proposed_by_id == actor.pk:
        raise CannotDecide(_("Whoever proposed it cannot confirm it; ask a colleague."), code="own_proposal")
    row.decided_by, row.decided_at, row.reason = actor, now, reason
    row.status = Status.CONFIRMED if row.appealed_at is None else Status.FINAL
    row.appeal_until = now + dt.timedelta(days=limits.appeal_days) if row.appealed_at is None else row.appeal_until
    row.save(update_fields=["status", "decided_by", "decided_at", "reason", "appeal_until"])
    taken = _take_away(row, now) if row.status == Status.FINAL else (0, 0)
    audit.record(
        actor=actor, verb="integrity.confirm", target=row, reason=reason, held_fen=row.held_fen, ended=taken[0],
        taken_back=taken[1],
    )  # fmt: skip
    return row


@transaction.atomic
def appeal(*, case_id: int, guide_id: int, text: str, now: dt.datetime) -> IntegrityCase:
    """The guide's side of it, once; a confirmed case is open again. Raises CannotAppeal."""
    row = IntegrityCase.objects.select_for_update().filter(pk=case_id, guide=guide_id).first()
    if row is None or not row.is_holding:
        raise CannotAppeal(_("This review has ended."), code="case_ended")
    if row.appealed_at is not None:
        raise CannotAppeal(_("You have appealed already."), code="appealed_already")
    if row.appeal_until is not None and now >= row.appeal_until and row.status == Status.CONFIRMED:
        raise CannotAppeal(_("The time to appeal is over."), code="appeal_too_late")
    row.appeal, row.appealed_at = text, now
    if row.status == Status.CONFIRMED:
        row.appealed_against, row.decided_by, row.decided_at, row.proposed_by = row.decided_by, None, None, None
        row.status = Status.OPEN
        row.due_at = now + dt.timedelta(days=limits_of(row.brand_id).review_days)
    row.save()
    audit.record(actor=row.guide.user, verb="integrity.appeal", target=row)
    return row


def finish(*, now: dt.datetime) -> int:
    """Confirmed cases whose time to appeal is over become final; how many. Each is a transaction of its own."""
    over = IntegrityCase.objects.filter(status=Status.CONFIRMED, appeal_until__lte=now)
    return sum(_finish(case_id, now) for case_id in list(over.order_by("pk").values_list("pk", flat=True)))


@transaction.atomic
def _finish(case_id: int, now: dt.datetime) -> bool:
    (row,) = db.lock(IntegrityCase.objects.filter(pk=case_id))
    if row.status != Status.CONFIRMED or row.appeal_until is None or row.appeal_until > now:
        return False
    row.status = Status.FINAL
    row.save(update_fields=["status"])
    ended, taken_back = _take_away(row, now)
    audit.record(actor=None, verb="integrity.final", target=row, ended=ended, taken_back=taken_back)
    return True


def _take_away(case: IntegrityCase, now: dt.datetime) -> tuple[int, int]:
    return rewards.take_away(claim_ids=list(case.claims.values_list("pk", flat=True)), now=now)


def _undecided(case: IntegrityCase, actor: Any) -> IntegrityCase:
    (row,) = db.lock(IntegrityCase.objects.filter(pk=case.pk))
    if not row.is_undecided:
        raise CannotDecide(_("This case is decided already."))
    if row.guide.user_id == actor.pk:
        raise CannotDecide(_("Nobody decides about herself."), code="own_case")
    if row.appealed_against_id == actor.pk:
        raise CannotDecide(_("Somebody else decides about an appeal."), code="own_decision")
    return row
