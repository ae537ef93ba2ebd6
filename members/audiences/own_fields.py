"""The fields that members bring: who she is, what she agreed to, her tags, her facts, her purchases in a window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from members import consent, member_value
from members.audiences import fields
from members.audiences.fields import MEMBER, Ask, Field, Kind, Sql
from members.models import Category, Channel, Member, Product, Purpose, Stage, Tag, Tier
from scrm import org
from scrm.models import Region, Store

PROFILE, CONSENT, TAGS, PURCHASES, VALUE = (
    _("Member"), _("Consent"), _("Tags"), _("Purchases"), _("Life cycle and value"),
)  # fmt: skip
WEEKDAYS = (
    (1, _("Monday")), (2, _("Tuesday")), (3, _("Wednesday")), (4, _("Thursday")), (5, _("Friday")), (6, _("Saturday")),
    (7, _("Sunday")),
)  # fmt: skip
MONTH_DAY = "(extract(month FROM members_member.birthday) * 100 + extract(day FROM members_member.birthday))::int"


def birthdays(today: dt.date, days: int) -> list[int]:
    """Months and days (229 for 29 February) of today and the ``days`` after it; a birthday of 29 February is kept on
    the 28th of other years, as SOPs and the guides' lists keep it."""
    found = []
    for place in range(days + 1):
        day = today + dt.timedelta(days=place)
        found.append(day.month * 100 + day.day)
        if (day.month, day.day) == (2, 28) and not _is_leap(day.year):
            found.append(229)
    return found


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def stores_of_regions(regions: Sequence[int]) -> list[int]:
    """Those of the regions and of all below them; two queries, however many regions."""
    below = set(regions)
    parents = dict(Region.objects.order_by("pk").values_list("pk", "parent_id"))
    while new := {pk for pk, parent in parents.items() if parent in below} - below:
        below |= new
    return list(Store.objects.filter(region__in=below).order_by("pk").values_list("pk", flat=True))


def _score(name: str, column: str, kind: str) -> Any:
    def expression(ask: Ask) -> Sql:
        cuts = member_value.latest_cuts(ask.brand_id)
        if cuts is None:
            return "NULL::int", []  # before the first night nobody is scored
        begin = [value for value in getattr(cuts, name) if value is not None]
        terms = "".join(f" + ({column} >= %s::{kind})::int" for _value in begin)
        return f"(CASE WHEN {column} IS NOT NULL THEN 1{terms} END)", begin

    return expression


def _fact(key: str, label: Any, kind: Kind, *, group: Any = PURCHASES, **more: Any) -> Field:
    shown = f"f.{key}::text" if kind is not Kind.MONEY else f"coalesce(f.{key}, 0)::text"
    return Field(key, label, group, kind, expression=f"f.{key}", of_all_stores=True, **{"shown": shown, **more})


def register() -> None:
    """Called from ``AppConfig.ready``."""
    fields.add(*_profile(), *_agreed(), *_facts(), *_worth())


def _profile() -> list[Field]:
    def regions(ask: Ask) -> Any:
        stores = org.visible(Store.objects.all(), ask.scope)
        return (
            Region.objects.all() if ask.scope.is_everything else Region.objects.filter(pk__in=stores.values("region"))
        )

    return [
        Field(
            "home_store", _("home store"), PROFILE, Kind.CHOICE, expression="members_member.home_store_id",
            rows=lambda ask: org.visible(Store.objects.all(), ask.scope),
            shown="(SELECT s.name FROM scrm_store s WHERE s.id = members_member.home_store_id)",
        ),
        Field(
            "region", _("region"), PROFILE, Kind.CHOICE, expression="members_member.home_store_id", rows=regions,
            widen=stores_of_regions,
            shown="(SELECT r.name FROM scrm_store s JOIN scrm_region r ON r.id = s.region_id"
            " WHERE s.id = members_member.home_store_id)",
        ),
        Field(
            "tier", _("tier"), PROFILE, Kind.CHOICE, expression="members_member.tier_id",
            rows=lambda ask: Tier.objects.filter(brand=ask.brand_id),
            shown="(SELECT t.name FROM members_tier t WHERE t.id = members_member.tier_id)",
        ),
        Field(
            "gender", _("gender"), PROFILE, Kind.CHOICE, expression="members_member.gender", choices=Member.Gender.choices,
            array="text", shown="CASE members_member.gender WHEN 'F' THEN '女' WHEN 'M' THEN '男' ELSE '' END",
        ),
        Field(
            "registered_on", _("registered on"), PROFILE, Kind.DATE, expression="members_member.registered_on",
            shown="members_member.registered_on::text",
        ),
        Field(
            "birthday", _("birthday"), PROFILE, Kind.BIRTHDAY, expression=MONTH_DAY, most=366,
            shown="to_char(members_member.birthday, 'MM-DD')",
        ),
    ]  # fmt: skip


def _agreed() -> list[Field]:
    tags = "SELECT x.tag_id FROM members_membertag x WHERE x.member_id = {member}"
    return [
        Field(
            "may_wecom", _("may be reached through WeCom"), CONSENT, Kind.FLAG,
            exists=consent.allowed_sql(Purpose.WECOM_MARKETING, MEMBER),
        ),
        Field(
            "may_sms", _("may be reached by text message"), CONSENT, Kind.FLAG,
            exists=consent.allowed_sql(Purpose.SMS_MARKETING, MEMBER),
        ),
        Field(
            "tags", _("tag"), TAGS, Kind.MANY, rows=lambda ask: Tag.objects.filter(brand=ask.brand_id),
            exists=f"EXISTS ({tags} AND x.tag_id = ANY(%s::bigint[]))", every=f"ARRAY({tags})",
            shown="(SELECT string_agg(t.name, '、' ORDER BY t.name) FROM members_membertag x JOIN members_tag t ON t.id = x.tag_id"
            " WHERE x.member_id = members_member.id)",
        ),
    ]  # fmt: skip


def _facts() -> list[Field]:
    times: dict[str, Any] = {"absent": 0, "unit": _("order(s)")}
    orders = Kind.NUMBER
    return [
        _fact("last_on", _("last purchase"), Kind.DATE),
        _fact("first_on", _("first purchase"), Kind.DATE),
        _fact("orders_count", _("orders ever"), orders, **times),
        _fact("orders_30", _("orders in 30 days"), orders, **times),
        _fact("orders_90", _("orders in 90 days"), orders, **times),
        _fact("orders_365", _("orders in 365 days"), orders, **times),
        _fact("spend_fen", _("spend ever"), Kind.MONEY, absent=0),
        _fact("spend_30_fen", _("spend in 30 days"), Kind.MONEY, absent=0),
        _fact("spend_90_fen", _("spend in 90 days"), Kind.MONEY, absent=0),
        _fact("spend_365_fen", _("spend in 365 days"), Kind.MONEY, absent=0),
        _fact("average_fen", _("average order"), Kind.MONEY, absent=0),
        Field(
            "category", _("favourite category"), PURCHASES, Kind.CHOICE, expression="f.category_id",
            rows=lambda ask: Category.objects.all(), of_all_stores=True, shown="(SELECT c.name FROM members_category c WHERE c.id = f.category_id)",
        ),
        _fact("weekday", _("favourite weekday"), Kind.CHOICE, choices=WEEKDAYS),
        _fact("hour", _("favourite hour"), Kind.NUMBER, most=23, unit=_("o'clock")),
        Field(
            "channels", _("bought on channels"), PURCHASES, Kind.MANY, exists="f.channels && %s::varchar[]",
            every="f.channels", array="varchar", rows=lambda ask: Channel.objects.all(), value_of="code", of_all_stores=True,
            shown="(SELECT string_agg(coalesce(c.name, w.code), '、' ORDER BY w.code) FROM unnest(f.channels) w (code)"
            " LEFT JOIN members_channel c ON c.code = w.code)",
        ),
        Field("purchases", _("purchases in a window"), PURCHASES, Kind.PURCHASES, absent=0),
        Field("product", _("product"), PURCHASES, Kind.CHOICE, rows=lambda ask: Product.objects.all(), is_hidden=True),
    ]  # fmt: skip


def _worth() -> list[Field]:
    score: dict[str, Any] = {"of_all_stores": True, "least": 1, "most": member_value.FIFTHS, "unit": _("points of 5")}
    return [
        Field(
            "stage", _("life-cycle stage"), VALUE, Kind.CHOICE, expression="f.stage", choices=Stage.choices,
            absent=Stage.PROSPECT.value, array="text", shown=_stage_text(), of_all_stores=True,
        ),
        Field("rfm_r", _("RFM: recency"), VALUE, Kind.NUMBER, expression=_score("recency", "f.last_on", "date"), **score),
        Field("rfm_f", _("RFM: frequency"), VALUE, Kind.NUMBER, expression=_score("frequency", "f.orders_count", "int"), **score),
        Field("rfm_m", _("RFM: money"), VALUE, Kind.NUMBER, expression=_score("money", "f.spend_fen", "bigint"), **score),
    ]  # fmt: skip


def _stage_text() -> str:
    """Her stage by its code; a screen translates it."""
    return f"coalesce(f.stage, '{Stage.PROSPECT.value}')"
