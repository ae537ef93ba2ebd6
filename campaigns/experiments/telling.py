"""Experiments in plain sentences: what was found, how sure that is, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.experiments.reading import Finding, Kind, Money, Report, Verdict
from scrm.money import yuan

NAMES: dict[str, Any] = {
    "conversion": gettext_lazy("share of members who bought"),
    "orders": gettext_lazy("orders per member"),
    "gmv": gettext_lazy("GMV per member"),
    "left": gettext_lazy("share of members who deleted a guide"),
    "refunded": gettext_lazy("share of members with a refund"),
    "opted_out": gettext_lazy("share of members who opted out"),
}
VERDICTS: dict[str, Any] = {
    Verdict.GAIN: gettext_lazy("higher"),
    Verdict.LOSS: gettext_lazy("lower"),
    Verdict.NOTHING_WORTH: gettext_lazy("no difference worth having"),
    Verdict.TOO_SMALL: gettext_lazy("cannot be told yet"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A finding ready to be shown."""

    name: str
    arm: str
    control: str
    treated: str
    difference: str
    low: str
    high: str
    relative: str
    p: str
    detectable: str
    verdict: str
    verdict_text: str
    sentence: str
    reduction: str
    finding: Finding


def name_of(metric: str) -> str:
    return str(NAMES.get(metric, metric))


def amount(value: float | None, kind: str, *, signed: bool = False) -> str:
    """A share in percent or, as a difference, in percentage points; fen in yuan; a mean with two decimals."""
    if value is None:
        return "—"
    sign = "+" if signed and value > 0 else ""
    if kind == Kind.SHARE:
        return sign + (_("%(value)s points") % {"value": f"{100 * value:.2f}"} if signed else f"{100 * value:.2f}%")
    if kind == Kind.FEN:
        return sign + _("%(value)s yuan") % {"value": yuan(round(value))}
    return f"{sign}{value:.4g}"


def size(value: float | None, kind: str) -> str:
    """How large a difference is, whatever its direction."""
    if value is None:
        return "—"
    return (
        _("%(value)s points") % {"value": f"{100 * abs(value):.2f}"} if kind == Kind.SHARE else amount(abs(value), kind)
    )


def level(report: Report) -> str:
    return f"{100 * (1 - report.alpha):.4g}%"


def lines(report: Report, findings: Sequence[Finding]) -> list[Line]:
    names = {arm["number"]: arm["name"] for arm in report.arms}
    return [line(report, found, str(names[found.arm])) for found in findings]


def line(report: Report, found: Finding, arm: str) -> Line:
    relative = f"{100 * found.difference / found.control:+.1f}%" if found.control else "—"
    return Line(
        name=name_of(found.metric), arm=arm, control=amount(found.control, found.kind), treated=amount(found.treated, found.kind),
        difference=amount(found.difference, found.kind, signed=True), low=amount(found.low, found.kind, signed=True),
        high=amount(found.high, found.kind, signed=True), relative=relative, p=p_text(found.p),
        detectable=size(found.detectable, found.kind), verdict=str(found.verdict), verdict_text=str(VERDICTS[Verdict(found.verdict)]),
        sentence=sentence(report, found, arm), reduction="—" if found.reduction_bp is None else f"{found.reduction_bp / 100:.1f}%",
        finding=found,
    )  # fmt: skip


def p_text(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def sentence(report: Report, found: Finding, arm: str) -> str:
    """One metric of one arm in words. That there is no effect is never said."""
    words = {
        "metric": name_of(found.metric), "arm": arm, "treated": amount(found.treated, found.kind), "size": size(found.difference, found.kind), "level": level(report),
        "low": amount(found.low, found.kind, signed=True), "high": amount(found.high, found.kind, signed=True),
        "worth": size(found.worth, found.kind), "detectable": size(found.detectable, found.kind),
        "relative": f"{100 * abs(found.difference / found.control):.1f}%" if found.control else "—",
    }  # fmt: skip
    verdict = Verdict(found.verdict)
    if verdict in (Verdict.GAIN, Verdict.LOSS) and not found.control:  # nothing to be a part of
        return (
            _(
                "In the control group there was no %(metric)s at all; in “%(arm)s” it is %(treated)s, the %(level)s range of the difference is %(low)s to %(high)s."
            )
            % words
        )
    if verdict == Verdict.GAIN:
        return (
            _(
                "Compared with the control group, %(metric)s of “%(arm)s” is higher by %(size)s (%(relative)s more); the %(level)s range is %(low)s to %(high)s."
            )
            % words
        )
    if verdict == Verdict.LOSS:
        return (
            _(
                "Compared with the control group, %(metric)s of “%(arm)s” is lower by %(size)s (%(relative)s less); the %(level)s range is %(low)s to %(high)s."
            )
            % words
        )
    if verdict == Verdict.NOTHING_WORTH:
        return (
            _(
                "Compared with the control group, %(metric)s of “%(arm)s” differs by less than the %(worth)s that would be worth having: the %(level)s range is %(low)s to %(high)s; a difference from %(detectable)s on would have been found."
            )
            % words
        )
    if found.detectable is None:
        return (
            _(
                "Of %(metric)s of “%(arm)s” nothing can be told: too little happened. This does not say that there is no effect."
            )
            % words
        )
    return (
        _(
            "Too few people to tell whether %(metric)s of “%(arm)s” differs from the control group: only a difference from %(detectable)s on would have been found; the %(level)s range is %(low)s to %(high)s. This does not say that there is no effect."
        )
        % words
    )


def ratio_sentence(report: Report) -> str:
    if report.is_readable:
        return _("The sizes of the arms fit their planned shares (p = %(p)s).") % {"p": p_text(report.ratio_p)}
    return _(
        "The sizes of the arms do not fit their planned shares (p = %(p)s, limit 0.001): something else than the draw decided who is in which arm. Nothing is read from this experiment before the cause is found."
    ) % {"p": p_text(report.ratio_p)}


def money_sentence(report: Report, money: Money, arm: str, days: int | None = None) -> str:
    """What an arm brought, against the control group, in yuan."""
    count = next(one["count"] for one in report.arms if one["number"] == money.arm)
    words = {
        "arm": arm, "count": f"{count:,}", "level": level(report), "brought": yuan(money.brought_fen), "low": yuan(money.low_fen),
        "high": yuan(money.high_fen), "attributed": yuan(money.attributed_fen), "days": days,
    }  # fmt: skip
    if days is None:
        text = (
            _(
                "Compared with the control group, the %(count)s people of “%(arm)s” brought %(brought)s yuan more (%(level)s range %(low)s to %(high)s yuan)."
            )
            % words
        )
    else:
        text = (
            _(
                "Compared with the control group, the %(count)s members of “%(arm)s” brought %(brought)s yuan more within %(days)s days (%(level)s range %(low)s to %(high)s yuan)."
            )
            % words
        )
    if money.low_fen <= 0 <= money.high_fen:
        text += _(" The range includes nought: whether it brought anything is not settled.")
    text += (
        _(" Without a control group, %(attributed)s yuan of what they spent would have been called its success.")
        % words
    )
    return text + _net_sentence(report, money)


def _net_sentence(report: Report, money: Money) -> str:
    if money.cost_fen is None:
        return ""
    words = {"cost": yuan(money.cost_fen), "level": level(report)}
    if money.net_fen is None or money.net_low_fen is None or money.net_high_fen is None:
        return _(" It cost %(cost)s yuan.") % words
    words |= {"net": yuan(money.net_fen), "low": yuan(money.net_low_fen), "high": yuan(money.net_high_fen)}
    if money.net_low_fen > 0:
        verdict = _("it pays for itself")
    elif money.net_high_fen < 0:
        verdict = _("it does not pay for itself")
    else:
        verdict = _("whether it pays for itself is not settled")
    return _(
        " Margin less the cost of %(cost)s yuan leaves %(net)s yuan (%(level)s range %(low)s to %(high)s yuan): %(verdict)s."
    ) % {**words, "verdict": verdict}


def look_sentence(number: int, *, is_final: bool) -> str:
    """How far a look may be trusted, given the others."""
    if is_final and number == 1:
        return _("Read once, at the planned end: the ranges hold as they stand.")
    if is_final:
        return _(
            "Read at the planned end, look no. %(number)s. Only this one decides; the earlier ones do not count, and they must not have ended or changed anything."
        ) % {"number": number}
    return _(
        "An early look (no. %(number)s), before the planned end. Who looks often finds a difference by chance much more often than in 5 %% of cases: decide at the end, and stop now only for harm."
    ) % {"number": number}


def plan_sentence(name: str, found: dict[str, Any]) -> str:
    """Before the start: what this many people could show."""
    kind = found["kind"]
    words = {
        "metric": name_of(name), "mean": amount(found["mean"], kind), "detectable": size(found["detectable"], kind),
        "control": f"{found['control']:,}", "treated": f"{found['treated']:,}", "worth": size(found["worth"], kind),
        "relative": f"{100 * found['detectable'] / found['mean']:.1f}%" if found["detectable"] and found["mean"] else "—",
    }  # fmt: skip
    if found["detectable"] is None:
        return _("Of %(metric)s too little happened lately to say what could be found.") % words
    text = (
        _(
            "%(metric)s was %(mean)s in a period of the same length; with %(control)s people in the control group and %(treated)s treated, a difference from %(detectable)s on (%(relative)s) is found in four cases of five."
        )
        % words
    )
    if found["detectable"] > found["worth"]:
        text += (
            _(
                " That is more than the %(worth)s that would be worth having: take more people, a larger control group or a longer window."
            )
            % words
        )
    return text
