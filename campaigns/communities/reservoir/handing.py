"""Giving the pool to the hired guides: what would move is counted, then planned as handovers that a person confirms.

1. Takers are the guides whom the store employs now, other than the borrowed ones. Without any the pool stays where it is.
2. One handover for each borrowed guide who has customers of the pool. It runs, tells WeCom and shows what came of it like any
   other; whoever was bound to another meanwhile stays there.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.communities.reservoir.planning import Status, WrongState, hired
from campaigns.models import Reservoir, ReservoirCase
from guides.handover import chosen
from guides.models import Binding, Guide, HandoverCase
from scrm import audit, db


@dataclass(frozen=True, slots=True)
class Giver:
    guide: Guide
    customers: int


@dataclass(frozen=True, slots=True)
class Preview:
    givers: tuple[Giver, ...]
    takers: tuple[Guide, ...]
    with_others: int  # members of the pool whom somebody else serves: they stay there
    unbound: int

    @property
    def customers(self) -> int:
        return sum(giver.customers for giver in self.givers)


def preview(*, reservoir: Reservoir, now: dt.datetime) -> Preview:
    """Who would give how many, to whom. Four queries, bounded by the pool."""
    members = set(reservoir.entries.filter(member__isnull=False).values_list("member_id", flat=True))
    takers = tuple(_takers(reservoir, now))
    staying = {guide.pk for guide in takers}
    borrowed = {row.guide_id: row.guide for row in reservoir.staff.select_related("guide").order_by("pk")}
    held: dict[int, int] = {}
    for guide_id in Binding.objects.filter(member_id__in=members, ended_at=None).values_list("guide_id", flat=True):
        held[guide_id] = held.get(guide_id, 0) + 1
    givers = tuple(Giver(guide, held[pk]) for pk, guide in borrowed.items() if pk in held and pk not in staying)
    moving = sum(giver.customers for giver in givers)
    return Preview(givers, takers, sum(held.values()) - moving, len(members) - sum(held.values()))


@transaction.atomic
def plan(*, reservoir: Reservoir, actor: Any, now: dt.datetime) -> list[HandoverCase]:
    """The handovers, planned and to be confirmed. Raises WrongState, and what a handover refuses."""
    (row,) = db.lock(Reservoir.objects.filter(pk=reservoir.pk))
    if row.status not in (Status.OPEN, Status.ENDED):
        raise WrongState(_("Only a pool that has collected is handed over."))
    found = preview(reservoir=row, now=now)
    if not found.takers:
        raise WrongState(_("The store has hired nobody yet who could take the customers."))
    if not found.givers:
        raise WrongState(_("No borrowed guide has customers of this pool."))
    members = list(row.entries.filter(member__isnull=False).values_list("member_id", flat=True).distinct())
    cases = []
    for giver in found.givers:
        case = chosen.plan_some(
            guide=giver.guide, member_ids=members, takers=found.takers, reason=f"{row.name}"[:200], actor=actor, now=now
        )
        if case is not None:
            ReservoirCase.objects.create(reservoir=row, case=case)
            cases.append(case)
    audit.record(actor=actor, verb="reservoir.hand_over", target=row, cases=[case.pk for case in cases])
    return cases


def _takers(reservoir: Reservoir, now: dt.datetime) -> list[Guide]:
    borrowed = reservoir.staff.values("guide_id")
    jobs = hired(reservoir, now).exclude(guide_id__in=borrowed)
    return list(Guide.objects.filter(pk__in=jobs.values("guide_id")).order_by("code"))
