"""``manage.py experiment_report``: what an experiment from outside says, out of a table with a row per person."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from campaigns.experiments import files, reading, telling
from scrm.copyin import source
from scrm.errors import RuleViolation
from scrm.money import BP

BREACHED = 3  # the exit code of a report that may not be read


class Command(BaseCommand):
    help = "Compare the arms of a table: sample ratio, differences with intervals, smallest effect that could be found, money."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="CSV with a head, one row per person; may be gzipped")
        parser.add_argument("--arm", required=True, metavar="COLUMN", help="the column that names the arm")
        parser.add_argument("--control", required=True, metavar="VALUE", help="the arm that was left alone")
        parser.add_argument("--metrics", required=True, metavar="A,B,C", help="columns with the outcomes")
        parser.add_argument(
            "--before", default="", metavar="METRIC=COLUMN,…", help="the same before the start, for CUPED"
        )
        parser.add_argument(
            "--shares", default="", metavar="ARM=SHARE,…", help="planned shares; default: equal or a customary split"
        )
        parser.add_argument(
            "--money", default="", metavar="METRIC", help="the metric in yuan; default: the last that is not 0/1"
        )
        parser.add_argument("--cost-per-unit", metavar="YUAN", help="cost per person treated")
        parser.add_argument("--margin", metavar="SHARE", help="margin on the money metric: 0.4, or 40%%")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asked = files.Question(
                arm=options["arm"], control=options["control"], metrics=tuple(_names(options["metrics"])),
                before=dict(_pairs(options["before"])), shares=_shares(options["shares"]), money=options["money"],
            )  # fmt: skip
            terms = reading.Terms(_fen(options["cost_per_unit"]), _margin(options["margin"]))
            answer = files.read(file=source.from_path(options["file"]), question=asked, terms=terms)
        except RuleViolation as error:
            raise CommandError(str(error.message)) from error
        except OSError as error:
            text = _("The file “%(name)s” cannot be read: %(error)s.")
            raise CommandError(text % {"name": options["file"], "error": error.strerror}) from error
        self._show(answer)
        if not answer.report.is_readable:
            raise CommandError(telling.ratio_sentence(answer.report), returncode=BREACHED)

    def _show(self, answer: files.Answer) -> None:
        report, write = answer.report, self.stdout.write
        write(_("%(count)s people in %(arms)s arms; planned shares %(split)s.") % {
            "count": f"{answer.row_count:,}", "arms": len(report.arms), "split": answer.split,
        })  # fmt: skip
        for arm in report.arms:
            role = _("control group") if arm["number"] == 0 else _("treated")
            write(f"  {arm['name']} ({role}): {arm['count']:,}")
        if not report.is_readable:
            return
        write(telling.ratio_sentence(report))
        for name, kind in answer.kinds.items():
            is_share = kind == reading.Kind.SHARE
            write("\n" + (_("%(name)s (conversion)") if is_share else _("%(name)s (mean per person)")) % {"name": name})
            for line in telling.lines(report, [found for found in report.findings if found.metric == name]):
                self._show_line(report, line)
        names = {arm["number"]: arm["name"] for arm in report.arms}
        for money in report.money:
            write("\n" + telling.money_sentence(report, money, str(names[money.arm])))
        if len(report.arms) > 2:
            words = {"level": telling.level(report), "count": len(report.arms) - 1}
            write("\n" + _("%(count)s arms share the chance of error of 5 %%: each range is one of %(level)s.") % words)
        write(_("Shares: Newcombe's score interval and the pooled score test; means: Welch, with CUPED where a column before is given. "
                "Everybody counts in the assigned arm. The ranges hold for one look at the planned end."))  # fmt: skip

    def _show_line(self, report: reading.Report, line: telling.Line) -> None:
        found = line.finding
        digits = _("  %(arm)s: %(treated)s against %(control)s, difference %(difference)s [%(low)s, %(high)s], relative %(relative)s, p = %(p)s, smallest effect to be found %(detectable)s") % {
            name: getattr(line, name) for name in ("arm", "treated", "control", "difference", "low", "high", "relative", "p", "detectable")
        }  # fmt: skip
        if found.reduction_bp:
            digits += _(", variance less %(reduction)s by CUPED") % {"reduction": line.reduction}
        self.stdout.write(digits)
        self.stdout.write("    " + line.sentence)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise CommandError(_("--metrics names no column."))
    if len(set(names)) < len(names):
        raise CommandError(_("--metrics names a column twice."))
    return names


def _pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.rpartition("=")
        if not equals or not name.strip() or not value.strip():
            raise CommandError(_("“%(part)s” is not written as NAME=VALUE.") % {"part": part})
        found.append((name.strip(), value.strip()))
    return found


def _shares(text: str) -> dict[str, int]:
    """Shares of any scale, kept whole: 0.9 and 90 % alike."""
    shares = {}
    for name, value in _pairs(text):
        share = _decimal(value.rstrip("%"), "--shares")
        if not 0 < share < BP:
            raise CommandError(_("--shares: the share of “%(name)s” must be above nought.") % {"name": name})
        shares[name] = int(share * 1_000_000)
    return shares


def _fen(text: str | None) -> Decimal | None:
    if text is None:
        return None
    value = _decimal(text, "--cost-per-unit") * 100
    if not 0 <= value < 10**9:
        raise CommandError(_("--cost-per-unit is an amount in yuan, not below nought: 0.045."))
    return value


def _margin(text: str | None) -> int | None:
    if text is None:
        return None
    value = _decimal(text.rstrip("%"), "--margin")
    value = value * 100 if text.endswith("%") else value * BP
    if not 0 < value <= BP:
        raise CommandError(_("--margin lies above 0 and not above 1: 0.4 or 40%%.") % {})
    return int(value)


def _decimal(text: str, option: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise CommandError(_("%(option)s: “%(text)s” is not a number.") % {"option": option, "text": text})
    return value
