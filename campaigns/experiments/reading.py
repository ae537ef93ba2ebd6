"""What an experiment says, out of the sums of its arms. No database, no clock.

1. The sample ratio (分组人数核对) is looked at first: below RATIO_STOPS nothing is read, since who is in which arm was not
   left to the draw.
2. Everybody counts in the arm she was assigned to, whatever was then done (intention to treat).
3. Each treated arm is compared with the control arm; with several of them the chance of error is shared between them.
4. An effect is found when the test and the interval both exclude nought. Otherwise the minimum detectable effect
   (最小可检出差异) stands beside it; that there is no effect worth having is said only when the interval excludes one.
5. Worth having (值得关心): what pays for itself where cost and margin are known, else ``relevant_bp`` of the control's mean.
6. Brought (增量) is the difference times the people treated; what a last-touch report would claim (归因) stands beside it.
   Net is the margin on what was brought less the cost of the people treated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from campaigns.experiments import intervals
from campaigns.experiments.intervals import Estimate, Moments
from scrm.money import BP, round_half_up

ALPHA = 0.05
RATIO_STOPS = 0.001
RELEVANT_BP = 1000


class Kind(StrEnum):
    SHARE = "SHARE"  # 0 or 1 per person
    NUMBER = "NUMBER"
    FEN = "FEN"


class Verdict(StrEnum):
    GAIN = "GAIN"
    LOSS = "LOSS"
    NOTHING_WORTH = "NOTHING_WORTH"  # an effect worth having is excluded
    TOO_SMALL = "TOO_SMALL"  # too few people to tell


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: str
    is_guard: bool = False  # less is better; looked at for harm


@dataclass(frozen=True, slots=True)
class Arm:
    """Number 0 is the control."""

    number: int
    name: str
    weight: int
    count: int
    moments: dict[str, Moments]
    attributed_fen: int | None = None  # what a last-touch report would claim; None: all that the people treated spent


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of one treated arm against the control. ``detectable`` None: no size of effect could be found."""

    metric: str
    kind: str
    arm: int
    difference: float
    low: float
    high: float
    p: float
    control: float
    treated: float
    detectable: float | None
    worth: float
    verdict: str
    reduction_bp: int | None = None  # of the variance by CUPED; None: not used for this metric


@dataclass(frozen=True, slots=True)
class Money:
    arm: int
    brought_fen: int
    low_fen: int
    high_fen: int
    attributed_fen: int
    cost_fen: int | None = None
    net_fen: int | None = None  # of margin and cost; None without them
    net_low_fen: int | None = None
    net_high_fen: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    alpha: float
    ratio_p: float
    arms: list[dict[str, Any]]
    findings: list[Finding] = field(default_factory=list)
    guards: list[Finding] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)

    @property
    def is_readable(self) -> bool:
        return self.ratio_p >= RATIO_STOPS


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known of the money: cost in fen per person treated, margin in bp; None: not known."""

    cost_fen: int | Decimal | None = None  # a text message costs 4.5 fen; the sum is whole
    margin_bp: int | None = None
    relevant_bp: int = RELEVANT_BP

    @property
    def break_even_fen(self) -> float | None:
        """Sales per person that pay for the contact."""
        if self.cost_fen is None or not self.margin_bp:
            return None
        return float(self.cost_fen) * BP / self.margin_bp


def read(*, arms: Sequence[Arm], metrics: Sequence[Metric], terms: Terms, money_metric: str = "") -> Report:
    """The whole report; only sizes and the sample ratio when that forbids to read on."""
    ordered = sorted(arms, key=lambda arm: arm.number)
    ratio_p = intervals.ratio_p([arm.count for arm in ordered], [arm.weight for arm in ordered])
    alpha = ALPHA / max(1, len(ordered) - 1)
    report = Report(alpha, ratio_p, [_size(arm) for arm in ordered])
    control, treated = ordered[0], [arm for arm in ordered[1:] if arm.count > 1]
    if not report.is_readable or control.count < 2:
        return report
    for arm in treated:
        for metric in metrics:
            found = compare(
                metric=metric,
                treated=arm,
                control=control,
                terms=terms,
                alpha=alpha,
                is_money=metric.name == money_metric,
            )
            (report.guards if metric.is_guard else report.findings).append(found)
            if metric.name == money_metric:
                report.money.append(_money(found, arm, terms))
    return report


def compare(
    *, metric: Metric, treated: Arm, control: Arm, terms: Terms, alpha: float, is_money: bool = False
) -> Finding:
    """One metric of one arm. A share is never adjusted by what was before; a mean is where that takes noise away."""
    one, other = treated.moments[metric.name], control.moments[metric.name]
    reduction: float | None = None
    if metric.kind == Kind.SHARE:
        estimate = intervals.shares(one, other, alpha)
        variance = estimate.control * (1 - estimate.control)
    else:
        estimate, reduction = intervals.adjusted(one, other, alpha)
        variance = other.variance * (1 - reduction)
    size = intervals.detectable(variance, one.count, other.count, alpha)
    worth = worth_of(estimate.control, terms, is_money=is_money)
    return Finding(
        metric=metric.name, kind=metric.kind, arm=treated.number, **asdict(estimate),
        detectable=size if math.isfinite(size) and variance > 0 else None, worth=worth, verdict=verdict_of(estimate, worth, alpha),
        reduction_bp=None if reduction is None else int(reduction * BP),
    )  # fmt: skip


def worth_of(control_mean: float, terms: Terms, *, is_money: bool) -> float:
    """The smallest difference per person that somebody would act upon."""
    if is_money and terms.break_even_fen is not None:
        return terms.break_even_fen
    return abs(control_mean) * terms.relevant_bp / BP


def verdict_of(estimate: Estimate, worth: float, alpha: float) -> Verdict:
    if estimate.p < alpha and not estimate.low <= 0 <= estimate.high:
        return Verdict.GAIN if estimate.difference > 0 else Verdict.LOSS
    if -worth < estimate.low and estimate.high < worth:
        return Verdict.NOTHING_WORTH
    return Verdict.TOO_SMALL


def plan(
    *, moments: Moments, kind: str, weights: Sequence[int], people: int, terms: Terms, is_money: bool = False
) -> dict[str, Any]:
    """Before the start: what one metric was in a like period, and the smallest effect that these arms would show.

    ``weights`` begin with the control's. The smallest treated arm speaks for all.
    """
    scale, alpha = sum(weights), ALPHA / max(1, len(weights) - 1)
    control, treated = (round_half_up(people * weight, scale) for weight in (weights[0], min(weights[1:])))
    reduction = 0.0
    if kind == Kind.SHARE:
        variance = moments.mean * (1 - moments.mean)
    else:
        if moments.variance > 0 and moments.before_variance > 0:
            reduction = moments.covariance**2 / (moments.variance * moments.before_variance)
        variance = moments.variance * (1 - reduction)
    size = intervals.detectable(variance, treated, control, alpha)
    return {
        "kind": kind, "mean": moments.mean, "detectable": size if math.isfinite(size) and variance > 0 else None,
        "worth": worth_of(moments.mean, terms, is_money=is_money), "reduction_bp": int(reduction * BP),
        "control": control, "treated": treated,
    }  # fmt: skip


def as_json(report: Report) -> dict[str, Any]:
    return asdict(report)


def from_json(content: dict[str, Any]) -> Report:
    return Report(
        content["alpha"], content["ratio_p"], content["arms"], [Finding(**row) for row in content["findings"]],
        [Finding(**row) for row in content["guards"]], [Money(**row) for row in content["money"]],
    )  # fmt: skip


def _size(arm: Arm) -> dict[str, Any]:
    totals = {name: str(sums.total) for name, sums in arm.moments.items()}
    return {"number": arm.number, "name": arm.name, "weight": arm.weight, "count": arm.count, "totals": totals}


def _money(found: Finding, arm: Arm, terms: Terms) -> Money:
    brought, low, high = (round(value * arm.count) for value in (found.difference, found.low, found.high))
    spent = arm.attributed_fen
    attributed = int(arm.moments[found.metric].total) if spent is None else int(spent)
    cost = None if terms.cost_fen is None else _whole(terms.cost_fen * arm.count)
    if cost is None or terms.margin_bp is None:
        return Money(arm.number, brought, low, high, attributed, cost)
    net = [round_half_up(value * terms.margin_bp, BP) - cost for value in (brought, low, high)]
    return Money(arm.number, brought, low, high, attributed, cost, *net)


def _whole(fen: int | Decimal) -> int:
    return int(Decimal(fen).to_integral_value(ROUND_HALF_UP))
