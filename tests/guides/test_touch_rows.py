"""Touches as rows: once per fact, never changed, found by member and time."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection, transaction

from guides import touches
from guides.models import Contact, Touch
from scrm.models import Corp
from tests.factories import shops as factory

AT = dt.datetime(2026, 5, 31, 15, 59, 59, tzinfo=dt.UTC)  # 23:59:59 in Shanghai
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    company.member("安琪", store="S1")
    company.member("白鹭", store="S2")
    return company


def record(shops: factory.Shops, key: str = "scan 1", at: dt.datetime = AT, **values: Any) -> tuple[Touch, bool]:
    return touches.record(
        **{
            "key": key,
            "kind": "QR",
            "guide_id": shops.guides["A"].pk,
            "store_id": shops.stores["S1"].pk,
            "at": at,
            **values,
        }
    )


def test_the_same_fact_is_one_row_and_another_content_an_error(shops: factory.Shops) -> None:
    first, is_new = record(shops)
    again, is_new_again = record(shops, member_id=shops.members["安琪"].pk)
    assert (is_new, is_new_again) == (True, False)
    assert again == first and again.member is None
    with pytest.raises(touches.TouchDiffers):
        record(shops, guide_id=shops.guides["B"].pk)
    assert Touch.objects.count() == 1


def test_a_touch_lies_in_the_month_of_its_business_day(shops: factory.Shops) -> None:
    record(shops)
    record(shops, "scan 2", AT + SECOND)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, key FROM guides_touch ORDER BY key")
        assert cursor.fetchall() == [("guides_touch_202605", "scan 1"), ("guides_touch_202606", "scan 2")]


def test_touches_never_change(shops: factory.Shops, app_role: Any) -> None:
    touch, _is_new = record(shops)
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        Touch.objects.filter(pk=touch.pk).delete()
    with app_role(), pytest.raises(Exception, match="permission denied"), transaction.atomic():
        Touch.objects.filter(pk=touch.pk).update(is_signed=False)


def test_a_touch_names_a_guide_who_exists(shops: factory.Shops) -> None:
    with pytest.raises(Exception, match="guide_id names no row"), transaction.atomic():
        record(shops, guide_id=987_654_321)


def test_evidence_is_found_by_member_and_time_whenever_she_was_recognised(shops: factory.Shops) -> None:
    anqi, bailu = shops.members["安琪"].pk, shops.members["白鹭"].pk
    corp = Corp.objects.create(corp_id="ww1", name="企业")
    contact = Contact.objects.create(corp=corp, external_userid="wm1")
    record(shops, "by contact", contact_id=contact.pk)
    record(shops, "by both", AT - SECOND, contact_id=contact.pk, member_id=anqi)
    record(shops, "too early", AT - 3 * SECOND, member_id=anqi)
    record(shops, "hers", AT, member_id=bailu, kind="SHARE", object_kind="SKU", object_code="X1")
    found = touches.of_members([anqi, bailu], since=AT - 2 * SECOND, until=AT)
    assert [touch.at for touch in found[anqi]] == [AT - SECOND]
    assert (found[bailu][0].guide, found[bailu][0].object_code) == ("G00001", "X1")
    Contact.objects.filter(pk=contact.pk).update(member=anqi, linked_by="UNIONID", linked_at=AT + SECOND)
    found = touches.of_members([anqi, bailu], since=AT - 2 * SECOND, until=AT)
    assert [touch.at for touch in found[anqi]] == [AT - SECOND, AT]


def test_the_evidence_of_a_member_is_read_through_indexes(shops: factory.Shops) -> None:
    record(shops, member_id=shops.members["安琪"].pk)
    values: list[Any] = [f"{{{shops.members['安琪'].pk}}}", *[AT.date(), AT.date(), AT, AT] * 3]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + touches.OF_MEMBERS, values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "member_id_at_idx" in plan and "contact_id_at_idx" in plan and "visitor_id_at_idx" in plan
    assert "guides_touch_2026" in plan
