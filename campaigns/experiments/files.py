"""The same report for an experiment from outside: a table with a row per person, its arm and its outcomes.

1. The file is read once, row by row, whatever its size; only sums are kept.
2. A metric whose every cell is 0 or 1 (yes/no, 是/否 too) is a conversion; any other is a mean.
3. A cell that cannot be read stops the report with its row and column: a report on part of the people would mislead.
4. The planned shares are equal unless they are given; sizes that fit one of the CUSTOMARY splits are checked against that one.
5. Money is the metric that is named, else the last one that is no conversion: in yuan with at most four decimals.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from django.utils.translation import gettext as _

from campaigns.experiments import intervals, reading
from campaigns.experiments.intervals import Exact, Moments
from campaigns.experiments.reading import Kind, Metric, Report, Terms
from scrm.copyin import source
from scrm.copyin.source import Source
from scrm.errors import RuleViolation

MAX_ARMS = 12
MAX_CELL = 200
YES = {"1", "yes", "true", "y", "是"}
NO = {"0", "no", "false", "n", "否"}
PARTS = (10, 20, 25, 30, 40, 5, 1, 2, 15, 33)  # customary shares of the control, in percent
DIGITS = 60  # sums and products stay exact


class BadTable(RuleViolation):
    code = "experiment_table"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a table; columns by their names."""

    arm: str
    control: str
    metrics: tuple[str, ...]
    before: dict[str, str] = field(default_factory=dict)  # metric → column with the same before the start
    shares: dict[str, int] = field(default_factory=dict)
    money: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    report: Report
    kinds: dict[str, str]
    money: str
    row_count: int
    split: str  # the shares that the sizes were checked against


@dataclass(slots=True)
class _Sums:
    count: int = 0
    total: Exact = 0
    squares: Exact = 0
    before_total: Exact = 0
    before_squares: Exact = 0
    cross: Exact = 0

    def add(self, value: Exact, before: Exact) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value
        if before:
            self.before_total += before
            self.before_squares += before * before
            self.cross += value * before

    def moments(self) -> Moments:
        return Moments(self.count, self.total, self.squares, self.before_total, self.before_squares, self.cross)


def read(*, file: Source, question: Question, terms: Terms) -> Answer:
    """The report on a table; BadTable or FileRefused with a sentence that says what to do."""
    with localcontext() as context:
        context.prec = DIGITS
        table = _Table(file, question)
        rows = table.add_up()
        kinds = {name: Kind.SHARE if name in table.binary else Kind.NUMBER for name in question.metrics}
        money = question.money or next((name for name in reversed(question.metrics) if kinds[name] != Kind.SHARE), "")
        if money and kinds.get(money) != Kind.SHARE:
            kinds[money] = Kind.FEN
            table.scale(money, 100)
        arms, split = _arms(table, question)
    metrics = [Metric(name, kinds[name]) for name in question.metrics]
    is_money = money and kinds[money] == Kind.FEN
    report = reading.read(arms=arms, metrics=metrics, terms=terms, money_metric=money if is_money else "")
    return Answer(report, dict(kinds), money if is_money else "", rows, split)


class _Table:
    def __init__(self, file: Source, question: Question) -> None:
        self.question = question
        self.sums: dict[str, dict[str, _Sums]] = {}
        self.binary = set(question.metrics)
        self.file, is_workbook = source.unpack(file)
        if is_workbook:
            raise BadTable(_("This is an Excel workbook. Save it as CSV and give that."))

    def add_up(self) -> int:
        rows = _rows(self.file)
        head = [name.strip() for name in next(rows, (0, []))[1]]
        places = self._places(head)
        count = 0
        for line, cells in rows:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if len(cells) != len(head):
                text = _("Row %(row)s has %(found)s cells, the head has %(wanted)s.")
                raise BadTable(text % {"row": line, "found": len(cells), "wanted": len(head)})
            self._add(line, cells, places)
            count += 1
        if not count:
            raise BadTable(_("The table has no rows."))
        if self.question.control not in self.sums:
            known = "、".join(sorted(self.sums)[:MAX_ARMS])
            text = _("No row of column “%(column)s” says “%(control)s”. It says: %(known)s.")
            raise BadTable(text % {"column": self.question.arm, "control": self.question.control, "known": known})
        if len(self.sums) < 2:
            raise BadTable(_("Every row belongs to the control group; there is nothing to compare."))
        return count

    def scale(self, metric: str, factor: int) -> None:
        """Yuan to fen; what was before keeps its unit."""
        for sums in self.sums.values():
            one = sums[metric]
            one.total, one.squares, one.cross = one.total * factor, one.squares * factor**2, one.cross * factor

    def _places(self, head: list[str]) -> dict[str, int]:
        question = self.question
        wanted = [question.arm, *question.metrics, *question.before.values()]
        missing = [name for name in wanted if name not in head]
        if missing:
            text = _("The table has no column “%(missing)s”. It has: %(columns)s.")
            raise BadTable(text % {"missing": "”、“".join(missing), "columns": "、".join(head)})
        doubled = [name for name in wanted if head.count(name) > 1]
        if doubled:
            raise BadTable(_("The table has column “%(column)s” twice.") % {"column": doubled[0]})
        strangers = [name for name in [*question.before, question.money] if name and name not in question.metrics]
        if strangers:
            raise BadTable(_("“%(name)s” is none of the metrics asked for.") % {"name": strangers[0]})
        return {name: head.index(name) for name in wanted}

    def _add(self, line: int, cells: list[str], places: dict[str, int]) -> None:
        arm = cells[places[self.question.arm]].strip()
        if not arm:
            raise BadTable(_cell_text(line, self.question.arm, _("is empty: every row needs its arm")))
        sums = self.sums.get(arm)
        if sums is None:
            if len(self.sums) == MAX_ARMS:
                text = _("Column “%(column)s” has more than %(count)s different arms; is it the right column?")
                raise BadTable(text % {"column": self.question.arm, "count": MAX_ARMS})
            sums = self.sums[arm] = {name: _Sums() for name in self.question.metrics}
        for name in self.question.metrics:
            value = _number(cells[places[name]], line, name)
            if value not in (0, 1):
                self.binary.discard(name)
            column = self.question.before.get(name)
            sums[name].add(value, _number(cells[places[column]], line, column) if column else 0)


def _arms(table: _Table, question: Question) -> tuple[list[reading.Arm], str]:
    names = [question.control, *sorted(name for name in table.sums if name != question.control)]
    first = question.metrics[0]
    counts = [table.sums[name][first].count for name in names]
    weights = _weights(names, counts, question)
    whole = sum(weights)
    split = " : ".join(f"{100 * weight / whole:.4g}%" for weight in weights)
    arms = [
        reading.Arm(number, name, weight, count, {metric: sums.moments() for metric, sums in table.sums[name].items()})
        for number, (name, weight, count) in enumerate(zip(names, weights, counts, strict=True))
    ]
    return arms, split


def _weights(names: Sequence[str], counts: Sequence[int], question: Question) -> list[int]:
    if question.shares:
        unknown = sorted(set(names) ^ set(question.shares))
        if unknown:
            text = _("The shares must name exactly the arms of the table; look at “%(name)s”.")
            raise BadTable(text % {"name": unknown[0]})
        return [question.shares[name] for name in names]
    equal = [1] * len(names)
    if intervals.ratio_p(counts, equal) >= reading.RATIO_STOPS:
        return equal
    treated = len(names) - 1
    for part in [*PARTS, *(100 - part for part in PARTS)]:
        weights = [part * treated, *[100 - part] * treated]
        if intervals.ratio_p(counts, weights) >= reading.RATIO_STOPS:
            return weights
    return equal


def _rows(file: Source) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their first line; commas, semicolons or tabs."""
    encoding = source.detect_encoding(file)
    with file.opener() as stream, io.TextIOWrapper(stream, encoding=encoding, errors="strict", newline="") as text:
        line = 1
        try:
            head = text.readline()
            separator = max(",;\t", key=head.count)
            yield from ((1, cells) for cells in csv.reader([head], delimiter=separator))
            reader = csv.reader(text, delimiter=separator, strict=True)
            for cells in reader:
                line += 1
                yield line, cells
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            text_ = _("Row %(row)s or one after it is not readable as %(encoding)s. Save the table as UTF-8.")
            raise BadTable(text_ % {"row": line, "encoding": encoding}) from error
        except csv.Error as error:
            text_ = _("Row %(row)s is no row of a CSV table: a quotation mark is missing or stands in a wrong place.")
            raise BadTable(text_ % {"row": line + 1}) from error


def _number(cell: str, line: int, column: str) -> Exact:
    text = cell.strip()
    if text == "0" or text == "1":
        return int(text)
    lower = text.lower()
    if lower in YES or lower in NO:
        return int(lower in YES)
    if not text:
        raise BadTable(_cell_text(line, column, _("is empty; write 0 when nothing happened")))
    try:
        value = Decimal(text.replace(",", "")) if len(text) <= MAX_CELL else Decimal("NaN")
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) >= 10**15 or value.as_tuple().exponent < -9:  # type: ignore[operator]
        shown = text if len(text) <= 20 else text[:20] + "…"
        raise BadTable(_cell_text(line, column, _("“%(cell)s” is not a number") % {"cell": shown}))
    return value


def _cell_text(line: int, column: str, problem: str) -> str:
    return _("Row %(row)s, column “%(column)s”: %(problem)s.") % {"row": line, "column": column, "problem": problem}
