"""Scripts and materials through the guide API."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from campaigns.models import Content, Script, ScriptUse, ShortLink
from guides.models import Share
from members.models import OrderLine
from scrm.models import Corp
from tests.factories import content as factory
from tests.factories import shops as shop_factory

pytestmark = pytest.mark.django_db


def test_scripts_ready_to_send_the_most_personal_first(api, shops, settings, django_assert_max_num_queries):
    member, durian = shops.members["安琪"], shop_factory.product("榴莲")
    OrderLine.objects.filter(pk=shops.lines["a"].pk).update(product=durian)
    factory.script("到货", {1: "{商品}到货了", 4: "{称呼}，您上次买的{上次购买}又到了"}, product=durian)
    factory.script("问候", {2: "{称呼}您好，我是{门店}的{导购}"})
    factory.script("二店的", {1: "到货"}, store=shops.stores["S2"])
    factory.script("节日", {3: "{节日}快乐", 1: "{品类}"})
    items = api("A").get(f"members/{member.pk}/scripts").json()["items"]
    assert [(item["name"], item["level"], item["text"]) for item in items] == [
        ("到货", 4, "安女士，您上次买的榴莲又到了"), ("问候", 2, "安女士您好，我是S1店的王芳"),
    ]  # fmt: skip
    assert items[0]["why"] == "层级“上次购买与到货”：上次购买＝榴莲"
    assert [item["name"] for item in api("A").get(f"members/{member.pk}/scripts", sku=durian.sku).json()["items"]] == [
        "到货"
    ]


def test_the_number_of_queries_does_not_grow_with_the_scripts(api, shops, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    member, device = shops.members["安琪"], api("A")
    counts = []
    for number in (1, 4):
        for each in range(number):
            factory.script(
                f"到货{number}{each}", {1: "{商品}到货了"}, product=shop_factory.product(f"果{number}{each}")
            )
        device.get(f"members/{member.pk}/scripts")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert device.get(f"members/{member.pk}/scripts").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_what_she_bought_elsewhere_is_not_told(api, shops):
    """Principle 16: a purchase in another store is not this guide's to know."""
    member, durian = shops.members["安琪"], shop_factory.product("榴莲")
    shops.line("elsewhere", member="安琪", store="S2", paid_fen=100, at=timezone.now() - dt.timedelta(days=1))
    OrderLine.objects.filter(pk=shops.lines["elsewhere"].pk).update(product=durian)
    factory.script("到货", {1: "{商品}到货了", 4: "您上次买的{上次购买}又到了"}, product=durian)
    (item,) = api("A").get(f"members/{member.pk}/scripts").json()["items"]
    assert (item["level"], item["skipped"][0]["lacking"]) == (1, ["上次购买"])


def test_a_sent_script_is_counted_with_its_level_once(api, shops):
    script, member = factory.script("到货", {1: "到货了"}), shops.members["安琪"]
    for _ in range(2):
        answer = api("A").post(
            f"members/{member.pk}/scripts/{script.pk}/use", {"level": 1}, Idempotency_Key="sent-once-1"
        )
        assert answer.status_code == 200
    use = ScriptUse.objects.get()
    assert (use.level, use.version_no, use.store_id, Script.objects.get().use_count) == (1, 1, shops.stores["S1"].pk, 1)
    refused = api("A").post(f"members/{member.pk}/scripts/{script.pk}/use", {"level": 4}, Idempotency_Key="sent-once-2")
    assert (refused.status_code, refused.json()["code"]) == (409, "script_not_usable")


def test_a_link_to_send_is_my_own_short_link(api, shops, settings):
    settings.PUBLIC_URL = "https://scrm.example.com"
    row = factory.material()
    mine = api("A").post(f"materials/{row.pk}/use", Idempotency_Key="use-of-a-link").json()
    assert mine["url"] == f"https://scrm.example.com/s/{ShortLink.objects.get().code}"
    assert ShortLink.objects.get().guide_id == shops.guides["A"].pk and Content.objects.get().use_count == 1
    other = api("B").post(f"materials/{row.pk}/use", Idempotency_Key="use-of-a-link").json()
    assert other["url"] != mine["url"]


def test_a_card_carries_my_share_token_and_a_file_waits_for_wecom(api, shops):
    from guides.models import WecomMember

    corp = Corp.objects.create(corp_id="ww1", name="示例公司")
    WecomMember.objects.create(corp=corp, userid="a", guide=shops.guides["A"], state_at=timezone.now())
    row = factory.material("卡片", "MINI_PROGRAM")
    said = api("A").post(f"materials/{row.pk}/use", Idempotency_Key="use-of-a-card").json()
    assert said["mini_program"]["app_id"] == "wx1234567890abcdef"
    assert said["mini_program"]["page"].startswith("pages/goods/detail?id=1&s=")
    assert (said["media_state"], said["media_id"]) == ("WAITING", "") and Share.objects.count() == 1


def test_the_list_of_materials_page_by_page(api, shops):
    for number in range(5):
        factory.material(f"素材{number}", "TEXT", tags=["新品"] if number % 2 else [])
    device = api("A")
    first = device.get("materials", size=2).json()
    second = device.get("materials", size=2, cursor=first["next_cursor"]).json()
    assert [item["name"] for item in first["items"] + second["items"]] == ["素材4", "素材3", "素材2", "素材1"]
    assert [item["name"] for item in device.get("materials", tag="新品").json()["items"]] == ["素材3", "素材1"]
    assert device.get("materials", kind="IMAGE").json() == {"items": [], "next_cursor": None}


def test_the_picture_of_a_material(api, shops):
    row = factory.material(kind="IMAGE")
    answer = api("A").get(f"materials/{row.pk}/file")
    assert answer["Content-Type"] == "image/jpeg" and answer.content.startswith(b"\xff\xd8")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert api("A").get(f"materials/{factory.material('文', 'TEXT').pk}/file").status_code == 404
