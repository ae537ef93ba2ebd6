"""Slots of scripts (话术槽位): the words in braces, what fills each, and when it is not known.

1. A slot has a level. A text may use the slots of its own level and of the levels before it; a text of level 3 or deeper uses at
   least one slot of its own level, else it would not be what it says it is.
2. A slot is filled from facts: the guide, the product, the member, what she bought as far as the asker may see it, and her
   taste. Where the fact is missing the slot is not filled, and the text that needs it is not used.
3. "Last bought" is about what the script is about: its product, else a product of its category, else anything. What she gave
   back does not count.
4. A buying day or hour is a habit from four visits on of which two in five fall on it, the same for the hour.
5. A birthday is near within seven days.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.models import Level

SHANGHAI = ZoneInfo("Asia/Shanghai")
HABIT_VISITS = 4
HABIT_PERCENT = 40
BIRTHDAY_DAYS = 7

BRACES = re.compile(r"[{｛]([^{}｛｝]*)[}｝]")
COMPOUND_SURNAMES = frozenset("欧阳 司马 上官 诸葛 司徒 东方 独孤 南宫 夏侯 皇甫 尉迟 公孙 慕容 令狐 长孙 宇文".split())
WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")
HOURS = (  # the first hour that is not of it any more
    (5, "深夜"), (9, "早上"), (12, "上午"), (14, "中午"), (17, "下午"), (19, "傍晚"), (23, "晚上"), (24, "深夜"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bought:
    """One line she bought and kept, at least a part of it."""

    sku: str
    name: str
    category_id: int | None
    at: dt.datetime
    order_no: Hashable


@dataclass(frozen=True, slots=True)
class About:
    """What the script is about."""

    sku: str = ""
    product: str = ""
    category_id: int | None = None
    category: str = ""
    features: str = ""  # of the product, from its attributes
    occasion: str = ""
    arrived_on: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """The member; everything may be unknown."""

    name: str = ""
    gender: str = ""
    tier: str = ""
    birthday: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    today: dt.date
    guide: str = ""
    store: str = ""
    about: About = About()
    who: Who = Who()
    bought: Sequence[Bought] = ()  # the newest first
    reason: str = ""  # why she likes the product
    alike: str = ""  # what she bought that is most like it
    taste: str = ""  # what she likes in general
    last: Bought | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", last_bought(self.about, self.bought))


Fill = Callable[[Facts], str]


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    level: Level
    meaning: object  # a lazy sentence
    example: str
    fill: Fill


# --- what fills them: pure --------------------------------------------------------------------------------------------


def address(who: Who) -> str:
    """``李女士`` where name and gender are known, else the whole name; empty for a name that is none."""
    name = who.name.strip()
    if len(name) < 2 or not all("\u4e00" <= sign <= "\u9fff" or sign == "·" for sign in name):
        return name if len(name) >= 2 and name.isprintable() and "*" not in name else ""
    surname = name[:2] if name[:2] in COMPOUND_SURNAMES else name[:1]
    title = {"F": "女士", "M": "先生"}.get(who.gender, "")
    return surname + title if title and len(name) <= 4 else name


def last_bought(about: About, bought: Sequence[Bought]) -> Bought | None:
    if about.sku:
        return next((one for one in bought if one.sku == about.sku), None)
    if about.category_id is not None:
        return next((one for one in bought if one.category_id == about.category_id), None)
    return bought[0] if bought else None


def habit(values: Iterable[str]) -> str:
    """The value that is a habit, else empty. One value per visit."""
    counts = Counter(values)
    visits = sum(counts.values())
    if visits < HABIT_VISITS:
        return ""
    value, count = max(counts.items(), key=lambda item: (item[1], item[0]))
    return value if count * 100 >= visits * HABIT_PERCENT else ""


def visits(bought: Sequence[Bought]) -> list[dt.datetime]:
    """When she came: one moment per order."""
    return list({one.order_no: one.at.astimezone(SHANGHAI) for one in bought}.values())


def part_of_day(at: dt.datetime) -> str:
    return next(name for before, name in HOURS if at.hour < before)


def day_text(day: dt.date, today: dt.date) -> str:
    text = f"{day.month}月{day.day}日"
    return text if day.year == today.year else f"{day.year}年{text}"


def near_birthday(birthday: dt.date | None, today: dt.date) -> str:
    if birthday is None:
        return ""
    for year in (today.year, today.year + 1):
        try:
            day = birthday.replace(year=year)
        except ValueError:  # 29 February
            day = dt.date(year, 2, 28)
        if 0 <= (day - today).days <= BIRTHDAY_DAYS:
            return f"{day.month}月{day.day}日"
    return ""


def _last_day(facts: Facts) -> dt.date | None:
    return facts.last.at.astimezone(SHANGHAI).date() if facts.last else None


def _last_day_text(facts: Facts) -> str:
    day = _last_day(facts)
    return day_text(day, facts.today) if day else ""


def _days_since(facts: Facts) -> str:
    day = _last_day(facts)
    return f"{(facts.today - day).days}天" if day and day < facts.today else ""


def _arrival(facts: Facts) -> str:
    day = facts.about.arrived_on
    return day_text(day, facts.today) if day and day <= facts.today else ""


REGISTRY: dict[str, Slot] = {
    slot.name: slot
    for slot in (
        Slot("导购", Level.PRODUCT, gettext_lazy("name of the guide"), "王芳", lambda f: f.guide),
        Slot("门店", Level.PRODUCT, gettext_lazy("name of her store"), "人民路店", lambda f: f.store),
        Slot("商品", Level.PRODUCT, gettext_lazy("product of the script"), "金枕榴莲", lambda f: f.about.product),
        Slot("品类", Level.PRODUCT, gettext_lazy("category of the script or its product"), "榴莲山竹", lambda f: f.about.category),
        Slot("商品特点", Level.PRODUCT, gettext_lazy("strongest attributes of the product"), "很甜、软糯", lambda f: f.about.features),
        Slot("到货日", Level.PRODUCT, gettext_lazy("day on which it came in, entered in the script"), "6月1日", _arrival),
        Slot("称呼", Level.SMALL_TALK, gettext_lazy("how the member is addressed"), "李女士", lambda f: address(f.who)),
        Slot("等级", Level.SMALL_TALK, gettext_lazy("tier of the member"), "金卡", lambda f: f.who.tier),
        Slot("节日", Level.OCCASION, gettext_lazy("occasion of the script"), "端午节", lambda f: f.about.occasion),
        Slot("生日", Level.OCCASION, gettext_lazy("birthday, within seven days"), "6月3日", lambda f: near_birthday(f.who.birthday, f.today)),
        Slot("上次购买", Level.LAST_BOUGHT, gettext_lazy("what she bought last"), "金枕榴莲", lambda f: f.last.name if f.last else ""),
        Slot("上次购买日", Level.LAST_BOUGHT, gettext_lazy("when she bought it"), "5月12日", _last_day_text),
        Slot("距上次", Level.LAST_BOUGHT, gettext_lazy("days since then"), "20天", _days_since),
        Slot("口味理由", Level.TASTE, gettext_lazy("why she likes the product"), "您偏爱很甜、软糯的水果，它正好很甜、软糯", lambda f: f.reason),
        Slot("相似商品", Level.TASTE, gettext_lazy("what she bought that is most like it"), "猫山王榴莲", lambda f: f.alike),
        Slot("口味", Level.TASTE, gettext_lazy("what she likes"), "很甜、软糯", lambda f: f.taste),
        Slot("常购日", Level.RHYTHM, gettext_lazy("weekday on which she mostly buys"), "周六", lambda f: habit(WEEKDAYS[at.weekday()] for at in visits(f.bought))),
        Slot("常购时段", Level.RHYTHM, gettext_lazy("time of day at which she mostly buys"), "傍晚", lambda f: habit(part_of_day(at) for at in visits(f.bought))),
    )
}  # fmt: skip


# --- texts ------------------------------------------------------------------------------------------------------------


def names_in(text: str) -> list[str]:
    """The words in braces, each once, in their order."""
    return list(dict.fromkeys(name.strip() for name in BRACES.findall(text)))


def fault(text: str, level: Level) -> str:
    """What is wrong with a text of this level; empty when nothing is."""
    names = names_in(text)
    unknown = next((name for name in names if name not in REGISTRY), None)
    if unknown is not None:
        return _("There is no slot {%(name)s}. Possible are %(all)s.") % {
            "name": unknown,
            "all": " ".join(f"{{{name}}}" for name in REGISTRY),
        }
    rest = BRACES.sub("", text)
    if any(sign in rest for sign in "{}｛｝"):
        return _("A brace is open or closed without the other.")
    deeper = next((name for name in names if REGISTRY[name].level > level), None)
    if deeper is not None:
        return _("{%(name)s} belongs to the level “%(level)s”; write it there.") % {
            "name": deeper,
            "level": REGISTRY[deeper].level.label,
        }
    own = [slot.name for slot in REGISTRY.values() if slot.level == level]
    if level >= Level.OCCASION and not set(names) & set(own):
        return _("A text of this level uses at least one of its own slots: %(own)s.") % {
            "own": " ".join(f"{{{name}}}" for name in own)
        }
    return ""


def filled(text: str, facts: Facts) -> tuple[str, list[str]]:
    """The text with its slots filled, and the names of those that are not known; then the text is of no use."""
    lacking: list[str] = []

    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        words = REGISTRY[name].fill(facts) if name in REGISTRY else ""
        if not words and name not in lacking:
            lacking.append(name)
        return words

    return BRACES.sub(value, text), lacking
