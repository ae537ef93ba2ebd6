"""What a simulation found, cut to the reader's stores: sums, winners and losers, the distribution, the lines."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from attribution import explanations
from attribution.models import ChangedLine, RuleBudget, RuleVersion, Simulation, SimulationRow
from attribution.simulation import runs
from members.models import Channel
from scrm import audit, org
from scrm.errors import RuleViolation
from scrm.money import round_half_up, yuan

HQ_POOL = "HQ_POOL"
RANKED = 10
SHOWN = 200
BINS = 16

DIMENSIONS: dict[str, Any] = {
    "guide": _("guide or pool"),
    "store": _("store"),
    "region": _("region"),
    "entity": _("legal entity"),
    "channel": _("channel"),
}
# the columns that name one group: (code, name)
COLUMNS = {
    "guide": ("beneficiary_code", "beneficiary_code"),
    "store": ("store__code", "store__name"),
    "region": ("store__region__code", "store__region__name"),
    "entity": ("store__entity__code", "store__entity__name"),
    "channel": ("channel", "channel"),
}
LINES = "lines"
HEADS = (
    _("credit now"), _("credit then"), _("credit difference"), _("commission now"), _("commission then"), _("commission difference"),
    _("lines now"), _("lines then"),
)  # fmt: skip
LINE_HEADS = (
    "#", _("order line"), _("winner now"), _("winner then"), _("commission that moves"), _("commission now"), _("commission then"),
    _("decision now"), _("decision then"),
)  # fmt: skip
SUMS = (
    "credit_now_fen", "credit_then_fen", "commission_now_fen", "commission_then_fen", "line_now_count", "line_then_count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """One guide, store, region, company or channel now and then."""

    code: str
    name: str
    credit_now_fen: int = 0
    credit_then_fen: int = 0
    commission_now_fen: int = 0
    commission_then_fen: int = 0
    line_now_count: int = 0
    line_then_count: int = 0

    @property
    def credit_fen(self) -> int:
        return self.credit_then_fen - self.credit_now_fen

    @property
    def commission_fen(self) -> int:
        return self.commission_then_fen - self.commission_now_fen


@dataclass(frozen=True, slots=True)
class Bar:
    """``count`` guides whose commission changes by at least ``least_fen`` and less than ``below_fen``."""

    least_fen: int
    below_fen: int
    count: int


# --- pure ---


def distribution(changes: Sequence[int]) -> list[Bar]:
    """How many gain or lose how much: those unchanged apart, the others in steps of a round width around nought."""
    moved = sorted(change for change in changes if change)
    if not moved:
        return [Bar(0, 1, len(changes))] if changes else []
    width = _round_width(max(abs(moved[0]), abs(moved[-1])))
    bars: dict[int, int] = {}
    for change in moved:
        step = change // width if change > 0 else -(-change // width) - 1
        bars[step] = bars.get(step, 0) + 1
    lowest, highest = min(*bars, 0), max(*bars, -1)
    found = [Bar(step * width, (step + 1) * width, bars.get(step, 0)) for step in range(lowest, highest + 1)]
    return [
        *(bar for bar in found if bar.least_fen < 0),
        Bar(0, 1, len(changes) - len(moved)),
        *(bar for bar in found if bar.least_fen >= 0),
    ]


def _round_width(most_fen: int) -> int:
    """1, 2 or 5 times a power of ten, so that at most BINS/2 steps lie on either side."""
    least = -(-most_fen // (BINS // 2))
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10


def winners(groups: Iterable[Group]) -> list[Group]:
    gaining = [group for group in groups if group.commission_fen > 0]
    return sorted(gaining, key=lambda group: (-group.commission_fen, group.code))[:RANKED]


def losers(groups: Iterable[Group]) -> list[Group]:
    losing = [group for group in groups if group.commission_fen < 0]
    return sorted(losing, key=lambda group: (group.commission_fen, group.code))[:RANKED]


# --- reads ---


def total(*, simulation: Simulation, scope: org.Scope) -> Group:
    sums = _rows(simulation, scope).aggregate(**{f"sum_{name}": Sum(name) for name in SUMS})
    return Group("", "", *(int(sums[f"sum_{name}"] or 0) for name in SUMS))


def groups(*, simulation: Simulation, by: str, scope: org.Scope) -> list[Group]:
    """One group per guide, store, … of DIMENSIONS, the greatest change first; money of no store stands with HQ only."""
    code, name = COLUMNS[by]
    rows = (
        _rows(simulation, scope).values_list(code, name) if code != name else _rows(simulation, scope).values_list(code)
    )
    found = rows.annotate(**{f"sum_{field}": Sum(field) for field in SUMS}).order_by()
    result = []
    for row in found:
        key, shown = (row[0], row[1]) if code != name else (row[0], row[0])
        result.append(Group(key or "", shown or "", *(int(value) for value in row[-len(SUMS) :])))
    return sorted(
        _named(result, by, scope), key=lambda group: (-abs(group.commission_fen), -abs(group.credit_fen), group.code)
    )


def lines(*, simulation: Simulation, scope: org.Scope) -> list[dict[str, Any]]:
    """The lines on which most changes, those of the reader's stores; names of others are left to whoever sees all."""
    rows = list(org.visible(ChangedLine.objects.filter(simulation=simulation), scope).order_by("rank")[:SHOWN])
    codes = {row.now_winner_code for row in rows} | {row.then_winner_code for row in rows}
    names = explanations.beneficiary_names(codes=codes, scope=scope)
    orders = explanations.order_numbers(keys={(row.line_id, row.booked_on) for row in rows})
    return [
        {
            "row": row,
            "order": orders.get(row.line_id, str(row.line_id)),
            "now_name": names.get(row.now_winner_code, row.now_winner_code),
            "then_name": names.get(row.then_winner_code, row.then_winner_code),
            "now": row.now_named if scope.is_everything else row.now_plain,
            "then": row.then_named if scope.is_everything else row.then_plain,
        }
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a publisher is told about a draft: its last finished simulation, and whether the draft still says the same."""

    simulation: Simulation | None
    is_current: bool


def last_of(rule: RuleVersion) -> Checked:
    """The last finished simulation of a version in its own mode; one of what it says now before one of what it said."""
    done = Simulation.objects.filter(rule=rule, mode="", finished_at__isnull=False).order_by("-finished_at")
    current = done.filter(rule_digest=runs.digest_now(rule.pk)).first()
    return Checked(current or done.first(), current is not None)


def _rows(simulation: Simulation, scope: org.Scope) -> QuerySet[SimulationRow]:
    return org.visible(SimulationRow.objects.filter(simulation=simulation), scope)


def _named(found: list[Group], by: str, scope: org.Scope) -> list[Group]:
    if by == "channel":
        names = dict(Channel.objects.values_list("code", "name"))
    elif by == "guide":
        names = explanations.beneficiary_names(codes=[group.code for group in found], scope=scope)
        names[HQ_POOL] = str(_("HQ pool"))
    else:
        names = {"": str(_("no store"))}
    return [replace(group, name=names.get(group.code, group.name)) for group in found]


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget of the period. ``plan_fen`` None: nobody planned one; 0 is a plan."""

    name: str
    now_fen: int
    then_fen: int
    plan_fen: int | None

    @property
    def change_fen(self) -> int:
        return self.then_fen - self.now_fen

    @property
    def used_bp(self) -> int | None:
        return self.then_fen * 10_000 // self.plan_fen if self.plan_fen else None

    @property
    def is_over(self) -> bool:
        return self.plan_fen is not None and self.then_fen > self.plan_fen


def planned(month_fen: int, first_day: dt.date, last_day: dt.date) -> int:
    """A monthly budget's part of a period: of each month the days that lie in it, rounded once a month."""
    total, day = 0, first_day
    while day <= last_day:
        length = calendar.monthrange(day.year, day.month)[1]
        end = min(last_day, day.replace(day=length))
        total += round_half_up(month_fen * (end.day - day.day + 1), length)
        day = end + dt.timedelta(days=1)
    return total


def budgets(*, simulation: Simulation) -> list[Budget]:
    """What each budget pays now and then, against the plan that was given or the rule's monthly one; HQ's."""
    rule, plans = simulation.rule, {}
    if simulation.budget_fen is not None:
        spent = [sum(pair[place] for pair in simulation.budgets.values()) for place in (0, 1)]
        return [Budget(str(_("all budgets")), spent[0], spent[1], simulation.budget_fen)]
    if rule is not None:
        months = RuleBudget.objects.filter(rule=rule).values_list("budget", "month_fen")
        plans = {name: planned(fen, simulation.first_day, simulation.last_day) for name, fen in months}
    labels = dict(RuleVersion.Budget.choices)
    names = sorted({*simulation.budgets, *plans})
    return [
        Budget(str(labels.get(name, name)), now_fen, then_fen, plans.get(name))
        for name in names
        for now_fen, then_fen in [simulation.budgets.get(name, (0, 0))]
    ]


def is_current(simulation: Simulation) -> bool:
    """Whether the rule still says what it said when it was simulated."""
    return runs.digest_now(simulation.rule_id) == simulation.rule_digest


def people(found: Sequence[Group]) -> list[Group]:
    """The guides among beneficiaries: no pools, no companies."""
    return [group for group in found if group.code != HQ_POOL and ":" not in group.code]


class NothingToExport(RuleViolation):
    code = "simulation_nothing_to_export"


@transaction.atomic
def export(*, simulation: Simulation, by: str, scope: org.Scope, actor: Any) -> list[list[str]]:
    """A table with its head, of the reader's stores; ``by`` is one of DIMENSIONS or LINES. Taking it is an act."""
    if simulation.finished_at is None or (by != LINES and by not in DIMENSIONS):
        raise NothingToExport(gettext("This simulation has nothing to export."))
    rows = list(_line_rows(simulation, scope) if by == LINES else _group_rows(simulation, by, scope))
    audit.record(actor=actor, verb="simulation.export", target=simulation, by=by, rows=len(rows) - 1)
    return rows


def _group_rows(simulation: Simulation, by: str, scope: org.Scope) -> Iterator[list[str]]:
    yield [str(head) for head in (_("code"), DIMENSIONS[by], *HEADS)]
    for group in groups(simulation=simulation, by=by, scope=scope):
        credit = (group.credit_now_fen, group.credit_then_fen, group.credit_fen)
        paid = (group.commission_now_fen, group.commission_then_fen, group.commission_fen)
        lines_of = (str(group.line_now_count), str(group.line_then_count))
        yield [group.code, group.name, *map(_plain_yuan, (*credit, *paid)), *lines_of]


def _line_rows(simulation: Simulation, scope: org.Scope) -> Iterator[list[str]]:
    yield [str(head) for head in LINE_HEADS]
    for found in lines(simulation=simulation, scope=scope):
        row: ChangedLine = found["row"]
        money = (row.moved_fen, row.commission_now_fen, row.commission_then_fen)
        yield [
            str(row.rank), found["order"], found["now_name"], found["then_name"], *map(_plain_yuan, money),
            "\n".join(found["now"]), "\n".join(found["then"]),
        ]  # fmt: skip


def _plain_yuan(fen: int) -> str:
    return yuan(fen).replace(",", "")
