"""Members of a customer group as an audience: who is in it now, in one of her own stores' groups, and since when."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from campaigns.models import Group, GroupStay
from members import audiences
from members.models import Member
from scrm import db
from scrm.org import EVERYTHING, Scope
from tests.factories import friends
from tests.factories import shops as factory

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    shops = factory.shops()
    for name in ("安琪", "白鹭", "陈曦", "丁香"):
        shops.member(name, store="S1")
    return shops


def group(shops: factory.Shops, name: str, store: str, **stays: tuple[dt.datetime, dt.datetime | None]) -> Group:
    row = Group.objects.create(
        corp=friends.corp(), chat_id=f"wr{name}", name=name, store=shops.stores[store], asked_at=NOW
    )
    for who, (joined_at, left_at) in stays.items():
        GroupStay.objects.create(
            group=row, userid=f"wm{who}", member=shops.members[who], joined_at=joined_at, left_at=left_at
        )
    return row


def meant(shops: factory.Shops, field: str, op: str, value: Any = None, scope: Scope = EVERYTHING) -> set[str]:
    rule = {"field": field, "is": op, "value": value}
    query = audiences.compile(rule, brand_id=shops.brand.pk, scope=scope, now=NOW)
    ids = [key for (key,) in db.read(query.ids(), query.params)]
    return set(Member.objects.filter(pk__in=ids).values_list("name", flat=True))


def test_who_is_in_a_group_can_be_asked_for(shops: factory.Shops) -> None:
    north = group(shops, "早市群", "S1", 安琪=(NOW - 40 * DAY, None), 白鹭=(NOW - 9 * DAY, NOW - DAY))
    south = group(shops, "晚市群", "S2", 陈曦=(NOW - 3 * DAY, None))
    gone = group(shops, "旧群", "S1", 丁香=(NOW - 90 * DAY, None))
    Group.objects.filter(pk=gone.pk).update(dissolved_at=NOW - DAY)
    assert meant(shops, "in_group", "yes") == {"安琪", "陈曦"}
    assert meant(shops, "in_group", "no") == {"白鹭", "丁香"}
    assert meant(shops, "groups", "any_of", [north.pk]) == {"安琪"}
    assert meant(shops, "groups", "none_of", [north.pk]) == {"白鹭", "陈曦", "丁香"}
    assert meant(shops, "joined_group", "within_days", 7) == {"陈曦"}
    own = Scope(frozenset({shops.stores["S1"].pk}))
    with pytest.raises(audiences.BadRule):  # a group of another store is nobody's business
        meant(shops, "groups", "any_of", [south.pk], own)
