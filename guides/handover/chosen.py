"""A handover of some customers of a guide, chosen by who asks for it: planned at once, confirmed and run like any other.

1. Only customers whom the guide is bound to now move; whoever is another's stays there. The friendship goes along where it
   stands.
2. They are spread like those of any handover (``policy``). Nothing has moved before ``plan.confirm``, and from FOUR_EYES_FROM
   customers on that is for a second person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from guides.handover import cases, plan
from guides.models import Binding, Friendship, Guide, HandoverCase, HandoverItem, HandoverTaker
from scrm import audit, db

CHUNK = 2_000


@transaction.atomic
def plan_some(
    *, guide: Guide, member_ids: Sequence[int], takers: Sequence[Guide], reason: str, actor: Any, now: dt.datetime
) -> HandoverCase | None:
    """The planned case, None when nobody of them is hers. Raises cases.WrongState, plan.NoTaker, plan.NotAllowed."""
    takers = [taker for taker in takers if taker.pk != guide.pk and plan.employed_at(taker, now)]
    if not takers:
        raise plan.NoTaker(_("Nobody of those who should take over works in a store now."))
    plan.require_in_scope(takers, actor)
    bound = list(Binding.objects.filter(guide=guide, member_id__in=list(member_ids), ended_at=None).order_by("pk"))
    if not bound:
        return None
    case = cases.open_by_hand(guide=guide, reason=reason, actor=actor, now=now)
    (case,) = db.lock(HandoverCase.objects.filter(pk=case.pk))
    rows = [HandoverTaker(case=case, guide=taker, userid=(taker.wecom_userid or "").lower()) for taker in takers]
    HandoverTaker.objects.bulk_create(rows)
    contacts = _friends(case, [row.member_id for row in bound])
    items = [
        HandoverItem(
            case=case, member_id=row.member_id, contact_id=contacts.get(row.member_id), binding=row,
            state=HandoverItem.State.NO_TAKER, state_at=now,
        )
        for row in bound
    ]  # fmt: skip
    HandoverItem.objects.bulk_create(items, batch_size=CHUNK)
    plan.spread(case, now)
    case.policy, case.planned_by, case.planned_at, case.status = plan.Policy.NAMED, actor, now, cases.Status.PLANNED
    case.plan_number, case.item_count = case.plan_number + 1, len(items)
    case.needs_second = len(items) >= plan.FOUR_EYES_FROM
    case.save()
    audit.record(
        actor=actor, verb="handover.plan", target=case, policy=case.policy, takers=[taker.pk for taker in takers], most_each=None
    )  # fmt: skip
    return case


def _friends(case: HandoverCase, member_ids: Sequence[int]) -> dict[int, int]:
    """Of each member the contact that was added last and still stands."""
    if case.corp_id is None or not case.userid:
        return {}
    rows = Friendship.objects.filter(
        corp=case.corp_id, userid=case.userid, ended_at=None, is_confirmed=True, customer_left_at=None,
        contact__member_id__in=list(member_ids),
    )  # fmt: skip
    return dict(rows.order_by("added_at", "pk").values_list("contact__member_id", "contact_id"))
