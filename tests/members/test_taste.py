"""Taste: sums that follow purchases, preferences shrunk to the mean, ranking, reasons."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from members import facts, offers, taste
from members.models import MemberTaste, OrderLine, Product, ProductPopularity, TasteAttribute, TasteScale
from members.taste import Liking, Words
from scrm import org
from tests.factories import content as content_factory
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db
NOW = timezone.now()
SWEET, SOUR, CRISP = "甜度", "酸度", "脆度"
FRUIT = {
    "榴莲": (9, 1, 1),
    "冰糖橙": (8, 2, 3),
    "柠檬": (1, 10, 2),
    "青苹果": (3, 8, 9),
    "脆柿": (8, 1, 9),
    "白开水": (5, 5, 5),
}


@pytest.fixture
def company(db):
    shops = factory.shops()
    for name, words, low in ((SWEET, "很甜", ""), (SOUR, "酸爽", "不酸"), (CRISP, "脆", "软糯")):
        content_factory.attribute(name, words, low)
    for name, (sweet, sour, crisp) in FRUIT.items():
        content_factory.values_of(factory.product(name), **{SWEET: sweet, SOUR: sour, CRISP: crisp})
    for number in range(6):
        shops.member(f"客{number}", store="S1", guide="A")
    return shops


def buy(shops, member, fruit, *, days_ago=5, **values):
    shops.line(
        f"{member}{fruit}{days_ago}", member=member, store="S1", paid_fen=1_000, at=NOW - dt.timedelta(days=days_ago)
    )
    line = shops.lines[f"{member}{fruit}{days_ago}"]
    OrderLine.objects.filter(pk=line.pk, booked_on=line.booked_on).update(product=factory.product(fruit), **values)
    return line


def sums(shops, member):
    rows = MemberTaste.objects.filter(member=shops.members[member])
    names = dict(TasteAttribute.objects.values_list("pk", "name"))
    return {names[row.attribute_id]: (row.weight, row.total) for row in rows}


def test_sums_count_a_product_once_a_day_and_leave_out_what_is_no_purchase(company):
    buy(company, "客0", "榴莲", days_ago=5)
    buy(company, "客0", "榴莲", days_ago=5)
    buy(company, "客0", "榴莲", days_ago=9)
    buy(company, "客0", "柠檬", days_ago=7, refunded_fen=1_000)
    buy(company, "客0", "柠檬", days_ago=8, is_test=True)
    buy(company, "客0", "柠檬", days_ago=10, is_wholesale=True)
    buy(company, "客0", "柠檬", days_ago=11, is_gift_card=True)
    buy(company, "客0", "柠檬", days_ago=12, is_voided=True)
    buy(company, "客0", "青苹果", days_ago=13, refunded_fen=400)
    taste.rebuild(now=NOW)
    assert sums(company, "客0") == {SWEET: (3, 21), SOUR: (3, 10), CRISP: (3, 11)}


def test_following_one_member_gives_the_same_as_everything_anew(company):
    for number, fruit in enumerate(FRUIT):
        buy(company, f"客{number}", fruit)
        buy(company, f"客{(number + 1) % 6}", fruit, days_ago=20)
    taste.rebuild(now=NOW)
    line = buy(company, "客0", "脆柿", days_ago=2)
    OrderLine.objects.filter(member=company.members["客1"]).update(refunded_fen=1_000)
    OrderLine.objects.filter(pk=line.pk).update(member=company.members["客2"])
    facts.refresh_all(now=NOW)
    followed = sorted(MemberTaste.objects.values_list("member_id", "attribute_id", "weight", "total"))
    assert taste.rebuild(now=NOW) == 0  # nothing was left to change
    assert sorted(MemberTaste.objects.values_list("member_id", "attribute_id", "weight", "total")) == followed
    assert sums(company, "客1") == {}


def test_the_scale_is_weighed_by_buyers_and_follows_the_attributes(company):
    for member in ("客0", "客1", "客2"):
        buy(company, member, "榴莲")
    taste.rebuild(now=NOW)
    sweet = TasteScale.objects.get(attribute__name=SWEET)
    weights = {name: 3.5 if name == "榴莲" else 0.5 for name in FRUIT}
    mean = sum(weights[name] * FRUIT[name][0] for name in FRUIT) / sum(weights.values())
    assert sweet.mean == pytest.approx(mean)
    assert ProductPopularity.objects.get().buyer_count == 3
    content_factory.values_of(factory.product("榴莲"), **{SWEET: 7})
    taste.nightly(now=NOW)
    assert sums(company, "客0")[SWEET] == (1, 7)


def test_old_purchases_make_nothing_popular(company):
    buy(company, "客0", "榴莲", days_ago=5)
    buy(company, "客0", "柠檬", days_ago=5)
    taste.rebuild(now=NOW)
    OrderLine.objects.filter(product__name="柠檬").update(is_voided=True)
    taste.count_popularity(now=NOW)
    assert list(ProductPopularity.objects.values_list("product__name", flat=True)) == ["榴莲"]
    taste.count_popularity(now=NOW + dt.timedelta(days=400))
    assert not ProductPopularity.objects.exists()


def test_a_stranger_gets_the_best_sellers_and_a_taste_moves_them(company):
    for number in range(5):
        buy(company, f"客{number}", "柠檬", days_ago=30)
    for number in range(3):
        buy(company, f"客{number}", "冰糖橙", days_ago=40)
    for number in range(3):
        buy(company, f"客{number}", "青苹果", days_ago=50)
    for days in range(1, 20):
        buy(company, "客5", "榴莲", days_ago=days)
    taste.rebuild(now=NOW)
    stranger = company.member("新客", store="S1").pk

    def names(member_id):
        names = dict(Product.objects.values_list("pk", "name"))
        return [names[key] for key, _score in taste.ranked(member_id=member_id, most=6)]

    assert names(stranger)[0] == "柠檬"
    sweet = names(company.members["客5"].pk)
    assert sweet.index("冰糖橙") < sweet.index("青苹果")  # equally popular; hers is the sweet one
    assert (
        taste.ranked(member_id=stranger, product_ids=[factory.product("脆柿").pk])[0][0] == factory.product("脆柿").pk
    )


def test_people_who_like_this_also_like_what_is_near_it(company):
    names = dict(Product.objects.values_list("pk", "name"))
    near = [names[key] for key, _apart in taste.alike(product_id=factory.product("榴莲").pk)]
    assert near == ["冰糖橙"]  # 脆柿 is as sweet but crisp: three points apart on the average
    assert taste.alike(product_id=factory.product("没有属性").pk) == []


def test_a_reason_names_what_she_likes_and_the_product_has(company):
    for days in range(1, 12):
        buy(company, "客0", "榴莲", days_ago=days)
    for number in range(1, 6):
        for days in range(1, 5):
            buy(company, f"客{number}", "青苹果", days_ago=days)
    taste.rebuild(now=NOW)
    durian, lemon = factory.product("榴莲"), factory.product("柠檬")
    orange = factory.product("冰糖橙")
    bought = [(durian.sku, NOW.date() - dt.timedelta(days=days)) for days in range(1, 12)]
    found = taste.likings(product_ids=[durian.pk, lemon.pk, orange.pk], bought=bought)
    assert set(found.reasons) == {durian.pk, lemon.pk, orange.pk} - {lemon.pk} | ({lemon.pk} & set(found.reasons))
    assert found.reasons[orange.pk] in (
        "您常买的多是很甜、不酸的，这款也是",
        "您常买的多是不酸、很甜的，这款也是",
        "您常买的多是软糯、很甜的，这款也是",
        "您常买的多是不酸、软糯的，这款也是",
        "您常买的多是软糯、不酸的，这款也是",
        "您常买的多是很甜、软糯的，这款也是",
    )
    assert "很甜" not in found.reasons.get(lemon.pk, "")
    assert found.alike == {orange.pk: durian.sku}
    assert (
        taste.likings(product_ids=[orange.pk], bought=bought[:2]).reasons == {}
    )  # what one sees of her says too little
    assert taste.likings(product_ids=[durian.pk], bought=[]) == taste.NOTHING_KNOWN


WORDS = {1: Words("很甜"), 2: Words("酸爽", "不酸"), 3: Words("脆", "软糯")}


def liking(key, preference, weight=9):
    return Liking(key, preference, 5.0, 2.0, weight)


@pytest.mark.parametrize(
    ("values", "likings", "words"),
    [
        ({1: 9, 2: 1, 3: 5}, [liking(1, 7.0), liking(2, 3.0)], ["不酸", "很甜"]),
        ({1: 9}, [liking(1, 5.5)], []),  # not clearly more than others
        ({1: 6}, [liking(1, 9.0)], []),  # the product has not much of it
        ({1: 9}, [liking(1, 9.0, weight=2)], []),  # two purchases say nothing
        ({1: 1}, [liking(1, 1.0)], []),  # there is no word for it
        ({1: 9, 2: 9, 3: 9}, [liking(1, 9.0), liking(2, 8.0), liking(3, 7.0)], ["很甜", "酸爽"]),
        ({}, [liking(1, 9.0)], []),
    ],
)
def test_only_the_strongest_matching_attributes_make_a_reason(values, likings, words):
    assert taste.strongest(values, likings, WORDS) == words
    assert taste.reason(words) == (f"您常买的多是{'、'.join(words)}的，这款也是" if words else "")


def test_a_product_in_words():
    assert taste.described({1: 9, 2: 0, 3: 8}, WORDS, 3) == "很甜、脆、不酸"
    assert taste.described({1: 5, 2: 5}, WORDS, 3) == ""


@given(st.lists(st.integers(0, 10), max_size=40), st.floats(0, 10))
def test_a_preference_lies_between_the_mean_of_her_purchases_and_everybodys(values, mean):
    found = taste.preference(sum(values), len(values), mean)
    own = sum(values) / len(values) if values else mean
    assert min(own, mean) - 1e-9 <= found <= max(own, mean) + 1e-9


def test_what_to_offer_has_a_reason_and_below_the_threshold_nothing_is_said_of_her(company):
    """On the member's page and product's page of the console and in the mini-program; a store sees what it sold (S1)."""
    for days in range(1, 12):
        buy(company, "客0", "榴莲", days_ago=days)
    for number in range(1, 5):
        for days in range(1, 5):
            buy(company, f"客{number}", "青苹果", days_ago=days)
    buy(company, "客5", "榴莲", days_ago=3)
    taste.rebuild(now=NOW)
    member, other = company.members["客0"].pk, company.members["客5"].pk
    everything = org.EVERYTHING
    advice = offers.advise(bought=offers.bought_of(member_id=member, scope=everything))
    assert advice.is_known and advice.purchase_count == 11
    assert advice.leans and all((one.hers > one.everybodys) == (one.word == "很甜") for one in advice.leans)
    orange = next(
        one for one in advice.offers if one.name == "冰糖橙"
    )  # nobody has bought it: her taste alone speaks for it
    assert (
        orange.words
        and orange.like == "榴莲"
        and ("甜度", 9, 8) in [(share.name, share.value, share.other) for share in orange.like_shares]
    )
    assert (orange.buyer_count, orange.bought_count, orange.last_on) == (0, 0, None)
    assert "柠檬" not in [one.name for one in advice.offers]  # nobody bought it and nothing speaks for it

    little = offers.advise(bought=offers.bought_of(member_id=other, scope=everything))
    assert not little.is_known and little.leans == ()
    assert [(one.name, one.words, one.like) for one in little.offers] == [
        ("青苹果", (), ""),
        ("榴莲", (), ""),
    ]  # best-sellers
    elsewhere = org.Scope(frozenset({company.stores["S2"].pk}))
    assert offers.bought_of(member_id=member, scope=elsewhere) == []

    hq, region = Client(), Client()
    hq.force_login(company.staff["hq"])
    region.force_login(company.staff["region"])
    page = reverse("admin:members_member_change", args=(member,))
    assert "她常买" in hq.get(page).content.decode() and "她常买" in region.get(page).content.decode()
    assert "还看不出" in hq.get(reverse("admin:members_member_change", args=(other,))).content.decode()
    near = hq.get(reverse("admin:members_product_change", args=(factory.product("榴莲").pk,))).content.decode()
    assert "冰糖橙" in near and "甜度 9/8" in near
    bare = hq.get(reverse("admin:members_product_change", args=(factory.product("没有属性").pk,))).content.decode()
    assert "还看不出" in bare

    headers = {"Authorization": f"Bearer {company.token('A')}"}
    said = Client().get(f"/api/guide/members/{member}/offers", headers=headers).json()
    assert said["is_known"] and any(one["like"] == "榴莲" and one["sentence"] for one in said["offers"])
    assert not Client().get(f"/api/guide/members/{other}/offers", headers=headers).json()["is_known"]
    found = Client().get(f"/api/guide/products/{factory.product('榴莲').sku}/alike", headers=headers).json()
    assert [one["name"] for one in found["items"]] == ["冰糖橙"] and found["is_known"]
