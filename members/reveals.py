"""Reveals (查看明文): personal identifiers are shown masked; in full only for a reason, and on the record.

1. A mobile number, card or account is shown masked to everybody.
2. A mobile number is shown in full to somebody who may see the member, who says why. The record is written before the
   number leaves, also when the answer is lost on its way.
3. Everybody has a budget of reveals per business day; who has spent it waits until tomorrow.
4. Looking a whole number up is on the record too, found or not; the record never holds the number.
5. Whether the person may see the member at all is the caller's question; it is asked before.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from members.models import Identity, Member
from scrm import audit, crypto, db
from scrm.errors import RuleViolation
from scrm.models import Act, User

log = structlog.get_logger(__name__)

SHANGHAI = ZoneInfo("Asia/Shanghai")
VERB, LOOKUP = "member.reveal", "member.lookup"
REVEALS_PER_DAY = 30
SHORTEST_REASON = 4  # characters
LONGEST_REASON = 200
Sealed = bytes | memoryview


class BudgetSpent(RuleViolation):
    """Passes by itself: ``extra`` says in how many seconds."""

    code = "reveal_budget_spent"


class NoReason(RuleViolation):
    code = "reveal_needs_reason"


def masked(kind: str, value: str, sealed: Sealed | None = None) -> str:
    """An identity as a screen may show it without a record."""
    if kind == Identity.Kind.MOBILE:
        return masked_mobile(sealed)
    return f"****{value[-4:]}" if len(value) > 6 else "****"


def masked_mobile(sealed: Sealed | None) -> str:
    """``139****1234``; a number that cannot be opened does not take the screen down with it."""
    if sealed is None:
        return ""
    try:
        return crypto.mask(crypto.open_mobile(bytes(sealed)))
    except crypto.SealBroken:
        log.exception("seal_broken")
        return "****"


@transaction.atomic
def reveal(*, actor: Any, member: Member, reason: str, now: dt.datetime) -> list[str]:
    """The member's mobile numbers in full, recorded. Raises NoReason, BudgetSpent."""
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise NoReason(_("Say in a few words why you need the number."))
    db.lock(User.objects.filter(pk=actor.pk))  # two reveals at once may not both take the last of the budget
    midnight = now.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    if Act.objects.filter(actor_id=actor.pk, verb=VERB, at__gte=midnight).count() >= REVEALS_PER_DAY:
        seconds = int((midnight + dt.timedelta(days=1) - now).total_seconds()) + 1
        message = _("You have looked up %(count)s numbers today; more are possible tomorrow.")
        raise BudgetSpent(message % {"count": REVEALS_PER_DAY}, extra={"retry_after_seconds": seconds})
    mobiles = Identity.objects.filter(member=member, kind=Identity.Kind.MOBILE).order_by("pk")[:10]
    numbers = [_open(identity).removeprefix("+86") for identity in mobiles]
    audit.record(actor=actor, verb=VERB, target=member, reason=reason[:LONGEST_REASON], count=len(numbers))
    return numbers


@transaction.atomic
def record_lookup(*, actor: Any, member_id: int | None) -> None:
    """Somebody has looked a whole number up; None: nobody was found."""
    target_id = "" if member_id is None else str(member_id)
    audit.record(actor=actor, verb=LOOKUP, target_type=Member._meta.label, target_id=target_id)


def _open(identity: Identity) -> str:
    assert identity.sealed is not None  # a constraint of the table
    return crypto.open_mobile(bytes(identity.sealed))
