"""An SOP as a picture (流程图): where each step stands and which arrows lead where. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaigns.sops import rules

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 200, 84, 40, 44, 16
END_SIZE = 28


@dataclass(frozen=True, slots=True)
class Box:
    """In pixels, from the upper left corner. ``step`` None: the end."""

    x: int
    y: int
    step: rules.Step | None
    told: str = ""  # what the step hands over or asks

    @property
    def middle(self) -> int:
        return self.x + WIDTH // 2


@dataclass(frozen=True, slots=True)
class Arrow:
    """``answer``: "yes", "no" of a branch, else empty."""

    path: str  # of SVG
    label_x: int
    label_y: int
    answer: str


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def draw(steps: Sequence[rules.Step], told: Mapping[int, str] | None = None) -> Picture:
    """Rows by the longest way from the first step; within a row below what leads there, yes to the left of no. ``told``: a line per step.

    Raises ValueError for a plan with faults.
    """
    if rules.faults(steps) and any(
        fault.code in ("no_steps", "no_such_step", "circle") for fault in rules.faults(steps)
    ):
        raise ValueError("this plan cannot be drawn")
    by_number = {step.position: step for step in steps}
    boxes = _place(by_number, _depths(by_number), told or {})
    arrows = [
        _arrow(boxes[number], boxes[to], answer)
        for number, step in by_number.items()
        for to, answer in _ways(by_number, step)
    ]
    width = max(box.x for box in boxes.values()) + WIDTH + MARGIN
    height = max(box.y for box in boxes.values()) + HEIGHT + MARGIN
    return Picture(width, height, tuple(boxes.values()), tuple(arrows))


def _ways(steps: Mapping[int, rules.Step], step: rules.Step) -> list[tuple[int, str]]:
    answers = ("yes", "no") if step.kind == "BRANCH" else ("",)
    return list(zip(rules.ways(steps, step), answers, strict=True))


def _depths(steps: Mapping[int, rules.Step]) -> dict[int, int]:
    depths = dict.fromkeys(steps, 0)
    depths[rules.END] = 1
    for _round in steps:
        for number, step in steps.items():
            for to, _answer in _ways(steps, step):
                depths[to] = max(depths[to], depths[number] + 1)
    return depths


def _place(steps: Mapping[int, rules.Step], depths: Mapping[int, int], told: Mapping[int, str]) -> dict[int, Box]:
    rows: dict[int, list[int]] = {}
    for number in (*sorted(steps), rules.END):
        rows.setdefault(depths[number], []).append(number)
    widest = max(len(row) for row in rows.values())
    boxes = {}
    sides: dict[int, float] = {}  # where the arrows come from, in columns from the middle
    for depth, row in sorted(rows.items()):
        row.sort(key=lambda number: (sides.get(number, 0.0), number == rules.END, number))
        for column, number in enumerate(row):
            if number in steps:
                for to, answer in _ways(steps, steps[number]):
                    side = column - (len(row) - 1) / 2 + {"yes": -0.3, "no": 0.3}.get(answer, 0.0)
                    sides.setdefault(to, side)
        left = MARGIN + (widest - len(row)) * (WIDTH + GAP_X) // 2
        for column, number in enumerate(row):
            x, y = left + column * (WIDTH + GAP_X), MARGIN + depth * (HEIGHT + GAP_Y)
            boxes[number] = Box(x, y, steps.get(number), told.get(number, ""))
    return boxes


def _arrow(start: Box, end: Box, answer: str) -> Arrow:
    shift = {"yes": -WIDTH // 4, "no": WIDTH // 4, "": 0}[answer]
    x1, y1, x2, y2 = start.middle + shift, start.y + HEIGHT, end.middle, end.y
    bend = min(GAP_Y, max(20, (y2 - y1) // 2))
    path = f"M{x1} {y1} C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
    return Arrow(path, x1 + (6 if answer == "yes" else -6), y1 + 16, answer)
