"""Service acts (服务记录): proof that a guide looked after a member.

1. A chat task done, a follow-up visit, a fitting, a telephone call: each is recorded once per fact, with what was done, and
   never changes.
2. The guide works somewhere at that moment. What she records herself happened today or yesterday, with a member of hers or of
   a guide for whom she stands in, or with a member nobody has.
3. An act of the guide who has the member, or of who stands in for her, renews the binding (绑定): its validity counts from the
   last purchase or the last such act, whichever is later. An act of anybody else renews nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from guides import bindings
from guides.models import Binding, Delegation, ServiceAct
from guides.touches import SHANGHAI
from members.models import Member
from scrm import db
from scrm.errors import RuleViolation

TOLD_WITHIN = dt.timedelta(days=1)


class ActDiffers(RuleViolation):
    """The same fact was recorded before with another content."""

    code = "service_act_differs"


class ActRefused(RuleViolation):
    code = "service_act_refused"


# SQL for the last act before a moment that renews the binding of ``{guide}``; null when there is none
LAST_BEFORE = """
    (SELECT a.at FROM guides_serviceact a WHERE a.member_id = {member} AND a.holder_id = {guide} AND a.at < {at}
     ORDER BY a.at DESC LIMIT 1)
"""


def record(
    *,
    key: str,
    kind: str,
    guide_id: int,
    member_id: int,
    at: dt.datetime,
    note: str,
    proof: str = "",
) -> tuple[ServiceAct, bool]:
    """The act of the fact ``key`` (96 characters), and whether it is new. Raises ActDiffers, ActRefused."""
    day = at.astimezone(SHANGHAI).date()
    store_id = bindings.store_id_at(guide_id, at)
    if store_id is None:
        raise ActRefused(_("The guide does not work in any store at that moment."), code="guide_not_employed")
    values: dict[str, Any] = {
        "kind": kind, "guide_id": guide_id, "member_id": member_id, "at": at, "note": note, "proof": proof
    }  # fmt: skip
    db.ensure_partitions(ServiceAct, day, day)
    try:
        with transaction.atomic():
            holder_id = renewed_by(member_id=member_id, guide_id=guide_id, at=at)
            act = ServiceAct.objects.create(key=key, acted_on=day, store_id=store_id, holder_id=holder_id, **values)
            return act, True
    except IntegrityError:
        first = ServiceAct.objects.filter(key=key, acted_on=day).first()
        if first is None:
            raise
    if any(getattr(first, name) != value for name, value in values.items()):
        raise ActDiffers(_("This service act was recorded before with another content."))
    return first, False


@transaction.atomic
def tell(
    *, key: str, kind: str, guide_id: int, member_id: int, at: dt.datetime, note: str, proof: str, now: dt.datetime
) -> ServiceAct:
    """What a guide records herself. Raises ActDiffers, ActRefused."""
    if not now - TOLD_WITHIN <= at <= now:
        raise ActRefused(_("Record it on the day or the day after."), code="service_act_time")
    return record(key=key, kind=kind, guide_id=guide_id, member_id=member_id, at=at, note=note, proof=proof)[0]


def served_member(*, member_id: int, guide_id: int, at: dt.datetime) -> Member | None:
    """The member if she is the guide's, or a colleague's for whom the guide stands in; None otherwise."""
    alive = Member.objects.filter(pk=member_id, status__in=[Member.Status.ACTIVE, Member.Status.FROZEN])
    return alive.first() if renewed_by(member_id=member_id, guide_id=guide_id, at=at) is not None else None


def renewed_by(*, member_id: int, guide_id: int, at: dt.datetime) -> int | None:
    """The guide whose binding an act of ``guide_id`` renews: her own, or that of the one for whom she stands in."""
    covers = Q(started_at__lte=at) & (Q(ended_at=None) | Q(ended_at__gt=at))
    bound = Binding.objects.filter(covers, member_id=member_id).order_by("-started_at")
    holder_id = bound.values_list("guide_id", flat=True).first()
    if holder_id is None or holder_id == guide_id:
        return holder_id
    stands_in = Delegation.objects.filter(covers, guide_id=holder_id, delegate_id=guide_id).exists()
    return holder_id if stands_in else None


OF_GUIDE = f"""
    SELECT a.id, a.kind, a.member_id, m.name AS member_name, a.note, a.proof, a.holder_id IS NOT NULL AS is_renewing,
        {db.iso("a.at")} AS at
    FROM guides_serviceact a JOIN members_member m ON m.id = a.member_id
    WHERE a.guide_id = %(guide)s AND a.id < COALESCE(%(after)s::bigint, 9223372036854775807)
    ORDER BY a.id DESC LIMIT %(limit)s
"""


def of_guide(*, guide_id: int, after: int | None, limit: int) -> Sequence[dict[str, Any]]:
    """What a guide has done, the newest first."""
    return db.fetch_dicts(OF_GUIDE, {"guide": guide_id, "after": after, "limit": limit})
