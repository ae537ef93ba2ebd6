"""The plan of an SOP: when a step is due and which one follows. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
OPENS, CLOSES = dt.time(9), dt.time(21)  # nobody is written to or called outside these hours
LATE = dt.timedelta(hours=24)  # a step that long behind its time is passed over
END = 0


GROUP_KINDS = ("GROUP_POST", "GROUP_SEND", "GROUP_NOTICE")


@dataclass(frozen=True, slots=True)
class Step:
    """``yes_to`` and ``question`` of a branch only; ``next_to``: None the next by number, 0 the end."""

    position: int
    kind: str
    title: str = ""
    text: str = ""
    wait_days: int = 0
    at_time: dt.time | None = None
    wait_minutes: int = 0
    valid_hours: int = 24
    minutes: int = 2
    tag_id: int | None = None
    coupon_id: int | None = None  # a template
    script_id: int | None = None
    content_id: int | None = None
    question: str = ""
    yes_to: int | None = None
    next_to: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """``step``: its number; 0 for the plan as a whole."""

    step: int
    code: str


def planned(after: dt.datetime, step: Step) -> dt.datetime:
    """When a step comes that follows something planned at ``after``: a branch at once, anything that reaches a customer
    within the hours in which she may be reached."""
    if step.kind == "BRANCH" and not (step.wait_days or step.wait_minutes or step.at_time):
        return after
    local = after.astimezone(SHANGHAI)
    if step.at_time is not None:
        at = dt.datetime.combine(local.date() + dt.timedelta(days=step.wait_days), step.at_time, SHANGHAI)
        if at < local:  # the time of day has passed already: the next day
            at += dt.timedelta(days=1)
    else:
        at = local + dt.timedelta(days=step.wait_days, minutes=step.wait_minutes)
    return (at if step.kind in ("BRANCH", "TAG") else awake(at)).astimezone(dt.UTC)


def awake(at: dt.datetime) -> dt.datetime:
    """The same moment, or the next opening when nobody may be reached at it."""
    local = at.astimezone(SHANGHAI)
    if local.time() < OPENS:
        return dt.datetime.combine(local.date(), OPENS, SHANGHAI)
    if local.time() >= CLOSES:
        return dt.datetime.combine(local.date() + dt.timedelta(days=1), OPENS, SHANGHAI)
    return local


def follower(steps: Mapping[int, Step], step: Step, answer: bool | None) -> int:
    """The number of the step after this one; ``END`` when there is none. ``answer``: of a branch."""
    if answer:
        assert step.yes_to is not None
        return step.yes_to
    if step.next_to is not None:
        return step.next_to
    return min((number for number in steps if number > step.position), default=END)


def first(steps: Mapping[int, Step]) -> Step:
    return steps[min(steps)]


def faults(steps: Sequence[Step], *, of_groups: bool = False) -> list[Fault]:
    """What is wrong with a plan: no step, a step that leads nowhere, back to itself, or that nobody comes to, and one that
    is for customers in a plan for groups or the other way round."""
    if not steps:
        return [Fault(0, "no_steps")]
    by_number = {step.position: step for step in steps}
    found = [Fault(step.position, code) for step in steps for code in _lacks(step)]
    strange = "not_in_groups" if of_groups else "only_in_groups"
    found += [Fault(step.position, strange) for step in steps if (step.kind in GROUP_KINDS) != of_groups]
    missing = [Fault(step.position, "no_such_step") for step in steps if not _leads(by_number, step)]
    if missing:
        return found + missing
    seen = _reached(by_number)
    found += [Fault(step.position, "circle") for step in steps if step.position in _circles(by_number)]
    return found + [Fault(number, "never_reached") for number in sorted(by_number) if number not in seen]


def ways(steps: Mapping[int, Step], step: Step) -> tuple[int, ...]:
    """Where a step may lead, yes before no; ``END`` included."""
    no = follower(steps, step, None)
    return (follower(steps, step, True), no) if step.kind == "BRANCH" else (no,)


def _lacks(step: Step) -> list[str]:
    """What a step needs and has not; a coupon speaks for itself."""
    found = []
    if step.kind == "GROUP_NOTICE" and not step.text.strip():
        found.append("no_notice")
    elif step.kind in ("MESSAGE", "GROUP_POST", "GROUP_SEND") and not step.text.strip():
        if step.script_id:
            found.append("no_fallback")
        elif not step.content_id:
            found.append("no_text")
    if (step.kind == "TAG" or step.question == "TAGGED") and step.tag_id is None:
        found.append("no_tag")
    if step.kind == "COUPON" and step.coupon_id is None:
        found.append("no_coupon")
    return found


def _leads(steps: Mapping[int, Step], step: Step) -> bool:
    wanted = [number for number in (step.yes_to, step.next_to) if number is not None]
    return all(number == END or number in steps for number in wanted)


def _reached(steps: Mapping[int, Step]) -> set[int]:
    seen: set[int] = set()
    todo = [min(steps)]
    while todo:
        number = todo.pop()
        if number != END and number not in seen:
            seen.add(number)
            todo += ways(steps, steps[number])
    return seen


def _circles(steps: Mapping[int, Step]) -> set[int]:
    """Steps from which one comes back to them: what is left when those that lead only to an end are taken away."""
    left = dict(steps)
    while True:
        ended = [number for number, step in left.items() if not any(to in left for to in ways(steps, step))]
        if not ended:
            return {number for number in left if _comes_back(steps, number)}
        for number in ended:
            del left[number]


def _comes_back(steps: Mapping[int, Step], start: int) -> bool:
    seen: set[int] = set()
    todo: list[int] = [to for to in ways(steps, steps[start]) if to != END]
    while todo:
        number = todo.pop()
        if number == start:
            return True
        if number not in seen:
            seen.add(number)
            todo += [to for to in ways(steps, steps[number]) if to != END]
    return False


def timeline(steps: Iterable[Step], start: dt.datetime) -> list[tuple[Step, dt.datetime]]:
    """The plan of somebody who enters at ``start`` and answers every branch with no."""
    by_number = {step.position: step for step in steps}
    shown: list[tuple[Step, dt.datetime]] = []
    at, number = start, min(by_number, default=END)
    while number != END and len(shown) < len(by_number):
        step = by_number[number]
        at = planned(at, step)
        shown.append((step, at))
        number = follower(by_number, step, None)
    return shown
