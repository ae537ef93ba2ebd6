"""The people behind a code as HQ writes them: one guide a line, her days and hours after her code.

``G00001 周一至周五 09:00-18:00``, ``G00002 备用``, ``G00003 周六、周日 节假日休``: nothing after the code means always.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

from django.utils.translation import gettext as _

from guides.contact_ways.making import BadWay, Staff
from guides.models import Guide, WayStaff

DAYS = "一二三四五六日"
BACKUP, OFF_ON_HOLIDAYS = "备用", "节假日休"
_HOURS = re.compile(r"^(\d{1,2}):(\d{2})[-–—至~](\d{1,2}):(\d{2})$")
_RANGE = re.compile(rf"^周([{DAYS}天])[-–—至到~]周?([{DAYS}天])$")
_DAY_LIST = re.compile(rf"^(?:周[{DAYS}天]+[、,，/]?)+$")


def parse(text: str) -> list[Staff]:
    """Raises BadWay, naming the line and the word that nobody understands."""
    lines = [line.split() for line in text.replace("：", ":").splitlines() if line.strip()]
    codes = [words[0].upper() for words in lines]
    guides = {guide.code.upper(): guide for guide in Guide.objects.filter(code__in=codes)}
    unknown = [code for code in codes if code not in guides]
    if unknown:
        raise BadWay(_("There is no guide %(code)s.") % {"code": unknown[0]})
    return [_staff(guides[code], words[1:]) for code, words in zip(codes, lines, strict=True)]


def written(rows: Iterable[WayStaff]) -> str:
    """The lines that ``parse`` would read as ``rows``."""
    return "\n".join(" ".join(filter(None, _words(row))) for row in rows)


def _staff(guide: Guide, words: list[str]) -> Staff:
    is_backup, is_off = BACKUP in words, OFF_ON_HOLIDAYS in words
    days: tuple[int, ...] = ()
    hours: tuple[dt.time, dt.time] | None = None
    for word in words:
        if word in (BACKUP, OFF_ON_HOLIDAYS):
            continue
        named, times = days_of(word), _hours_of(word)
        if not named and times is None:
            raise BadWay(
                _("%(guide)s: “%(word)s” is not understood. Write for example: %(example)s")
                % {"guide": guide, "word": word, "example": "G00001 周一至周五 09:00-18:00 节假日休"}
            )
        days, hours = named or days, times or hours
    starts_at, ends_at = hours or (None, None)
    return Staff(guide, is_backup, days, starts_at, ends_at, is_off)


def days_of(word: str) -> tuple[int, ...]:
    """``周一至周五`` and ``周六、周日`` as 1 to 7; empty for anything else."""
    word = word.replace("天", "日")
    if found := _RANGE.match(word):
        first, last = (DAYS.index(day) for day in found.groups())
        count = (last - first) % 7 + 1
        return tuple(sorted((first + number) % 7 + 1 for number in range(count)))
    if _DAY_LIST.match(word):
        return tuple(sorted({DAYS.index(day) + 1 for day in word if day in DAYS}))
    return ()


def _hours_of(word: str) -> tuple[dt.time, dt.time] | None:
    found = _HOURS.match(word)
    if found is None:
        return None
    numbers = [int(number) for number in found.groups()]
    if numbers[2:] == [24, 0]:
        numbers[2:] = [0, 0]
    try:
        return dt.time(numbers[0], numbers[1]), dt.time(numbers[2], numbers[3])
    except ValueError:
        return None


def _words(row: WayStaff) -> Iterable[str]:
    yield row.guide.code
    yield BACKUP if row.is_backup else ""
    yield "、".join(f"周{DAYS[day - 1]}" for day in row.weekdays)
    yield f"{row.starts_at:%H:%M}-{row.ends_at:%H:%M}" if row.starts_at and row.ends_at else ""
    yield OFF_ON_HOLIDAYS if row.is_off_on_holidays else ""
