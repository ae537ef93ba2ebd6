"""Opening a handover, and withdrawing one.

1. A guide has at most one open case; whoever opens a second gets the first.
2. One departure opens one case, however often it is told and however that case has ended.
3. A case that nobody has planned yet is withdrawn when the account comes back; a planned one is for a person to cancel.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from guides.models import Binding, Employment, Friendship, Guide, HandoverCase, HandoverTaker
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp

Cause, Status = HandoverCase.Cause, HandoverCase.Status
OPEN = (Status.OPEN, Status.PLANNED, Status.RUNNING)
LEAVERS_AT_ONCE = 1_000


class WrongState(RuleViolation):
    """The case is not where this act needs it to be."""

    code = "handover_state"


@transaction.atomic
def open_case(
    *, guide: Guide, cause: str, at: dt.datetime, actor: Any, corp: Corp | None = None, userid: str = "",
    is_resigned: bool = False, reason: str = "",
) -> HandoverCase | None:  # fmt: skip
    """The open case of ``guide``, new or not; None when this departure had its case already."""
    db.lock(Guide.objects.filter(pk=guide.pk))
    standing = HandoverCase.objects.filter(guide=guide, status__in=OPEN).first()
    if standing is not None:
        if is_resigned and not standing.is_resigned and standing.status != Status.RUNNING:
            standing.is_resigned = True  # the account went while the case stood open
            standing.save(update_fields=["is_resigned"])
        return standing
    if HandoverCase.objects.filter(guide=guide, cause=cause, opened_at=at).exists():
        return None
    job = Employment.objects.filter(guide=guide).order_by("-started_at").first()
    case = HandoverCase.objects.create(
        guide=guide, corp=corp, userid=userid, store=job.store if job else None, cause=cause, is_resigned=is_resigned,
        reason=reason, opened_at=at,
    )  # fmt: skip
    audit.record(actor=actor, verb="handover.open", target=case, reason=reason, guide=guide.pk, cause=cause)
    return case


@transaction.atomic
def open_by_hand(*, guide: Guide, reason: str, actor: Any, now: dt.datetime) -> HandoverCase:
    """HQ wants the customers of ``guide`` handed over, on the job or after she has left. Raises WrongState."""
    if HandoverCase.objects.filter(guide=guide, status__in=OPEN).exists():
        raise WrongState(_("A handover of this guide is open already."))
    corp, userid, is_gone = _account_of(guide)
    case = open_case(
        guide=guide, cause=Cause.BY_HAND, at=now, actor=actor, corp=corp, userid=userid, is_resigned=is_gone, reason=reason
    )  # fmt: skip
    assert case is not None
    return case


def _account_of(guide: Guide) -> tuple[Corp | None, str, bool]:
    """Her corp and WeCom account, and whether it is gone: from the directory, else from her record."""
    accounts = list(guide.wecom_members.select_related("corp").order_by("left_at", "pk"))
    present = [account for account in accounts if account.left_at is None]
    if accounts:
        account = (present or accounts)[-1]
        return account.corp, account.userid, not present
    corps = list(Corp.objects.order_by("pk")[:2])
    if guide.wecom_userid and len(corps) == 1:
        return corps[0], guide.wecom_userid.lower(), False
    return None, "", False


@transaction.atomic
def withdraw(*, guide: Guide, at: dt.datetime) -> bool:
    """The account of ``guide`` was there at ``at``: a case of an earlier departure that nobody planned ends."""
    cases = db.lock(
        HandoverCase.objects.filter(guide=guide, cause=Cause.LEFT_WECOM, status=Status.OPEN, opened_at__lt=at)
    )
    for case in cases:
        _cancel(case, at, None, "")
    return bool(cases)


@transaction.atomic
def cancel(*, case: HandoverCase, actor: Any, reason: str, now: dt.datetime) -> HandoverCase:
    """End a case that does not run yet. Raises WrongState."""
    (case,) = db.lock(HandoverCase.objects.filter(pk=case.pk))
    if case.status not in (Status.OPEN, Status.PLANNED):
        raise WrongState(_("Only a handover that has not begun can be cancelled."))
    _cancel(case, now, actor, reason)
    return case


def _cancel(case: HandoverCase, at: dt.datetime, actor: Any, reason: str) -> None:
    case.status, case.ended_at = Status.CANCELLED, at
    case.save(update_fields=["status", "ended_at"])
    audit.record(actor=actor, verb="handover.cancel", target=case, reason=reason)


def rename_account(*, corp: Corp, old: str, new: str) -> None:
    """The account goes by another userid from now on, in cases that are not over too."""
    HandoverCase.objects.filter(corp=corp, userid=old, status__in=OPEN).update(userid=new)
    HandoverTaker.objects.filter(case__corp=corp, case__status__in=OPEN, userid=old).update(userid=new)


def open_for_leavers(*, now: dt.datetime) -> int:
    """Cases for guides whose employment has ended while customers still stand with them; the number of new ones."""
    opened = 0
    for guide in _leavers(now):
        corp, userid, is_gone = _account_of(guide)
        job = guide.employments.order_by("-started_at").first()
        case = open_case(
            guide=guide, cause=Cause.EMPLOYMENT_ENDED, at=job.ended_at if job and job.ended_at else now, actor=None,
            corp=corp, userid=userid, is_resigned=is_gone,
        )  # fmt: skip
        opened += case is not None
    return opened


def _leavers(now: dt.datetime) -> Sequence[Guide]:
    open_case_ = HandoverCase.objects.filter(guide=OuterRef("pk"), status__in=OPEN)
    works = Employment.objects.filter(Q(ended_at=None) | Q(ended_at__gt=now), guide=OuterRef("pk"))
    bound = Binding.objects.filter(guide=OuterRef("pk"), ended_at=None)
    befriended = Friendship.objects.filter(guide=OuterRef("pk"), ended_at=None)
    had = HandoverCase.objects.filter(
        guide=OuterRef("pk"), cause=Cause.EMPLOYMENT_ENDED, opened_at__gte=OuterRef("last_day")
    )
    jobs = Employment.objects.filter(guide=OuterRef("pk")).order_by("-started_at")
    found = Guide.objects.annotate(last_day=Subquery(jobs.values("ended_at")[:1])).filter(
        ~Exists(works), ~Exists(open_case_), ~Exists(had), Exists(bound) | Exists(befriended), last_day__isnull=False
    )
    return list(found.order_by("pk")[:LEAVERS_AT_ONCE])
