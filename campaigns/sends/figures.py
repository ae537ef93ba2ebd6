"""How a send stands: who was left out and why, how far regions, stores and guides are, and whether it adds up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, F, Q, Sum, When
from django.utils.translation import gettext as _

from campaigns.models import GroupRecipient, Recipient, Send, SendBatch
from campaigns.sends import targets
from scrm import org

LEVELS = {
    "region": ("store__region_id", "store__region__name"),
    "store": ("store_id", "store__name"),
    "guide": ("guide_id", "guide__name"),
}
SHOWN = 200
COUNTS = ("planned_count", "sent_count", "failed_count", "left_count", "excluded_count")


@dataclass(frozen=True, slots=True)
class Line:
    """A region, a store or a guide. ``task_count`` tasks, of which ``confirmed_count`` are confirmed."""

    key: int | None
    name: str
    task_count: int
    confirmed_count: int
    planned_count: int
    sent_count: int
    failed_count: int
    left_count: int
    excluded_count: int

    @property
    def waiting_count(self) -> int:
        return self.planned_count - self.sent_count - self.failed_count - self.left_count - self.excluded_count

    @property
    def confirmed_bp(self) -> int:
        return self.confirmed_count * 10_000 // self.task_count if self.task_count else 0

    @property
    def sent_bp(self) -> int:
        return self.sent_count * 10_000 // self.planned_count if self.planned_count else 0


def execution(*, send: Send, level: str, scope: org.Scope, within: int | None = None) -> list[Line]:
    """The tasks of a send by region, by store of a region, or by guide of a store; the least confirmed first."""
    key, name = LEVELS[level]
    rows = _tasks(send, scope)
    if within is not None and level != "region":
        rows = rows.filter(**{"store__region_id" if level == "store" else "store_id": within})
    sums: dict[str, Any] = {f"sum_{field}": Sum(field) for field in COUNTS}
    found = rows.values(key, name).annotate(
        tasks=Count("pk"), confirmed=Count("pk", filter=Q(confirmed_at__isnull=False)), **sums
    )
    lines = [
        Line(row[key], row[name] or "", row["tasks"], row["confirmed"], *(row[f"sum_{field}"] for field in COUNTS))
        for row in found.order_by(key)
    ]
    return sorted(lines, key=lambda line: (line.confirmed_bp, line.name))[:SHOWN]


def totals(*, send: Send, scope: org.Scope) -> Line:
    sums: dict[str, Any] = {f"sum_{field}": Sum(field) for field in COUNTS}
    row = _tasks(send, scope).aggregate(
        tasks=Count("pk"), confirmed=Count("pk", filter=Q(confirmed_at__isnull=False)), **sums
    )
    return Line(None, "", row["tasks"], row["confirmed"], *(row[f"sum_{field}"] or 0 for field in COUNTS))


def left_out(*, send: Send) -> list[tuple[str, int]]:
    """Reasons with the members or groups they leave out, in the order in which they are asked."""
    kind = targets.of(send)
    rows = kind.model.objects.filter(send=send, state=Recipient.State.EXCLUDED).values_list("reason")
    counts = dict(rows.annotate(count=Count(kind.who)).order_by("reason"))
    return [(str(reason.label), counts[reason.value]) for reason in kind.model.Reason if reason.value in counts]


def groups_of(*, send: Send, scope: org.Scope, guide_id: int | None = None) -> list[GroupRecipient]:
    """The groups of a send, of one guide or of all: those still waiting first, then who was left out, the first SHOWN."""
    rows = org.visible(GroupRecipient.objects.filter(send=send), scope)
    if guide_id is not None:
        rows = rows.filter(batch__guide=guide_id)
    first = Case(When(state="PLANNED", then=0), When(state="EXCLUDED", then=1), default=2)
    shown = rows.select_related("group__store", "batch__guide")
    return list(shown.order_by(first, "group_id")[:SHOWN])


def prove(*, send: Send) -> list[str]:
    """M2: what does not add up, nothing when all does. Every member has one end, and tasks say what their members say."""
    problems = []
    kind = targets.of(send)
    states = dict(
        kind.model.objects.filter(send=send).values_list("state").annotate(count=Count(kind.who)).order_by("state")
    )
    if send.planned_at is not None and sum(states.values()) != send.audience_count:
        problems.append(_("members of the audience"))
    batches = SendBatch.objects.filter(send=send)
    ended = batches.filter(status__in=(SendBatch.Status.ENDED, SendBatch.Status.CANCELLED))
    parts = F("sent_count") + F("failed_count") + F("left_count") + F("excluded_count")
    problems += [
        _("task %(number)s") % {"number": pk} for pk in ended.exclude(planned_count=parts).values_list("pk", flat=True)
    ]
    told = batches.aggregate(sent=Sum("sent_count"), failed=Sum("failed_count"), left=Sum("left_count"))
    gone = states.get(Recipient.State.NOT_FRIENDS, 0) + states.get(Recipient.State.OVER_QUOTA, 0)
    for name, count_told, count in (
        (_("sent"), told["sent"], states.get(Recipient.State.SENT, 0)),
        (_("failed"), told["failed"], gone),
        (_("not executed"), told["left"], states.get(Recipient.State.LEFT, 0)),
    ):
        if (
            not batches.exclude(status__in=(SendBatch.Status.ENDED, SendBatch.Status.CANCELLED)).exists()
            and (count_told or 0) != count
        ):
            problems.append(name)
    if send.status in (Send.Status.ENDED, Send.Status.CANCELLED) and states.get(Recipient.State.PLANNED, 0):
        open_ones = batches.filter(status__in=(SendBatch.Status.MADE, SendBatch.Status.QUEUED))
        if not open_ones.exists():
            problems.append(_("members still waiting"))
    return problems


def _tasks(send: Send, scope: org.Scope) -> Any:
    rows = SendBatch.objects.filter(send=send)
    return rows if scope.is_everything else rows.filter(store__in=scope.store_ids or ())
