"""Which columns a member list may have, what makes a row broken, and the registry of columns that other topics own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from scrm import copyin, imports
from scrm.copyin import Column, Kind, Layout
from scrm.copyin.rules import Check
from scrm.models import Brand

KIND = "import_members"
OLDEST_BIRTHDAY = "1900-01-01"
# a tags cell: 宝妈|送礼、大客户
TAG_SEPARATORS = "[|,，;；、/]"
MAX_TAG = 64

GENDERS = {"男": "M", "女": "F", "M": "M", "F": "F", "男性": "M", "女性": "F", "male": "M", "female": "F", "未知": ""}

COLUMNS = (
    Column("card", _("card number"), ("会员卡号", "卡号", "会员号", "会员编号", "card_no", "card"), kind=Kind.CODE, max_length=64),
    Column("name", _("name"), ("姓名", "会员姓名", "名字", "客户姓名", "name"), max_length=64),
    Column(
        "mobile", _("mobile number"), ("手机号", "手机号码", "手机", "联系电话", "电话", "mobile", "phone"), kind=Kind.MOBILE,
        code="bad_mobile",
    ),
    Column("gender", _("gender"), ("性别", "gender", "sex"), kind=Kind.CHOICE, choices=GENDERS),
    Column("birthday", _("birthday"), ("生日", "出生日期", "birthday", "birth_date"), kind=Kind.DATE),
    Column("tier", _("tier"), ("等级", "会员等级", "级别", "tier", "level"), max_length=32),
    Column("points", _("points"), ("积分", "当前积分", "可用积分", "积分余额", "points"), kind=Kind.INTEGER),
    Column("store", _("home store"), ("开卡门店", "所属门店", "归属门店", "门店编码", "store_code", "home_store"), kind=Kind.CODE),
    Column(
        "registered_on", _("registered on"), ("开卡日期", "注册日期", "入会日期", "开卡时间", "注册时间", "registered_on"),
        kind=Kind.DATE,
    ),
    Column("tags", _("tags"), ("标签", "会员标签", "tags")),
    Column("remark", _("remark"), ("备注", "说明", "remark", "note"), max_length=500),
)  # fmt: skip

copyin.problems.register({
    "bad_gender": _("Write 男, 女, M or F, or leave the cell empty."),
    "bad_birthday": _("This is not a birthday. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日, not in the future."),
    "bad_registered_on": _(
        "This is not a registration date. Write it as 2024-05-01, 2024/5/1, 20240501 or 2024年5月1日, not in the future."
    ),
    "bad_points": _("Points are a whole number, zero or more."),
    "unknown_store": _("There is no store with this code. Import the store list first, or correct the code."),
    "unknown_tier": _("There is no such tier. Correct it, create the tier first, or import with the option to create tiers."),
    "missing_card_and_mobile": _("The row has neither a card number nor a mobile number. Fill in at least one of them."),
    "identity_conflict": _("The card belongs to one member and the mobile number to another. Find out which is right, or merge them."),
    "bad_tags": _("A tag has at most 64 characters. Separate tags with | or a comma."),
})  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    """What the after-merge step of an extra column works on, inside the chunk's transaction.

    ``table`` has one row per person: ``member_id``, ``is_new``, the folded cells of the list and the extra values.
    """

    cursor: Any
    table: str
    brand: Brand
    job_id: int


@dataclass(frozen=True)
class ExtraColumn:
    """A column of the member list whose meaning belongs to a topic above (专属导购).

    The check sees the typed row as ``t`` and the member it was matched with, if any, as ``m``. ``values`` are kept per row
    as name → SQL; of several rows of one person the last one that is not null counts, or the least one for a name in
    ``earliest``. ``news`` says whether a row of a known member brings something to write; ``counts`` are figures of rows
    that bring nothing but have to be reported; such rows are never settled. ``after_merge`` writes for the persons of one chunk and returns counts.
    """

    column: Column
    before: str  # the column of the list that it usually follows; only the order of the preview depends on it
    joins: Callable[[Brand], str]
    values: dict[str, str]
    news: str
    after_merge: Callable[[Chunk], dict[str, int]]
    checks: tuple[Check, ...] = ()
    earliest: frozenset[str] = frozenset()
    counts: dict[str, str] = field(default_factory=dict)
    references: Callable[[], dict[str, int]] | None = None  # what the column's cells name → its id
    settled: str = "true"  # whether a row that was written can bring nothing more, whatever happens to other tables


_extras: list[ExtraColumn] = []


def add_column(extra: ExtraColumn) -> None:
    """Called from ``AppConfig.ready`` of the topic that owns the column."""
    _extras[:] = [known for known in _extras if known.column.name != extra.column.name] + [extra]
    register()


def extras() -> tuple[ExtraColumn, ...]:
    return tuple(_extras)


def columns() -> tuple[Column, ...]:
    found = list(COLUMNS)
    for extra in _extras:
        names = [column.name for column in found]
        found.insert(names.index(extra.before) if extra.before in names else len(found), extra.column)
    return tuple(found)


def checks(layout: Layout, *, create_tiers: bool) -> list[Check]:
    """What makes a row broken beyond what its cells say about themselves."""
    today = f"(now() AT TIME ZONE '{copyin.rules.ZONE}')::date"
    found = [
        Check(
            "card" if layout.has("card") else "mobile", "missing_card_and_mobile",
            "t.card = '' AND t.mobile_index IS NULL AND t.mobile_verdict = ''",
        ),
        Check("birthday", "bad_birthday", f"t.birthday NOT BETWEEN '{OLDEST_BIRTHDAY}' AND {today}"),
        Check("points", "bad_points", "t.points < 0"),
        Check("store", "unknown_store", "t.store <> '' AND home.id IS NULL"),
        Check("registered_on", "bad_registered_on", f"t.registered_on > {today}"),
        Check("tags", "bad_tags", f"t.tags ~ '[^|,，;；、/]{{{MAX_TAG + 1}}}'"),
        Check("mobile", "identity_conflict", "ci.member_id <> mi.member_id"),
    ]  # fmt: skip
    if not create_tiers:
        found.append(Check("tier", "unknown_tier", "t.tier <> '' AND tier.id IS NULL"))
    for extra in _extras:
        found += extra.checks
    return found


def register() -> None:
    """The kind of job, with the columns known so far."""
    from members.legacy_import import run

    imports.register(KIND, columns(), run)
