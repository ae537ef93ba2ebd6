"""What a guide sees."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from guides import queries
from members.models import Member
from scrm.models import Act
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db


def names(answer):
    assert answer.status_code == 200, answer.content.decode()
    return [item["name"] for item in answer.json()["items"]]


def test_me(api, shops):
    answer = api("A").get("me")
    body = answer.json()
    assert body == {
        "code": "G00001",
        "name": "王芳",
        "role": "GUIDE",
        "store": {"code": "S1", "name": "S1店"},
        "employed_since": "2020-01-01T00:00:00Z",
        "managed_store_count": 0,
    }
    assert api("M").get("me").json()["managed_store_count"] == 1
    again = api("A").client.get(
        "/api/guide/me", headers={"Authorization": f"Bearer {shops.token('A')}", "If-None-Match": answer["ETag"]}
    )
    assert again.status_code == 304 and not again.content


def test_members_are_hers_and_the_newest_come_first(api):
    assert names(api("A").get("members")) == ["安然", "安琪"]
    assert names(api("B").get("members")) == ["白鹭"]
    assert names(api("M").get("members")) == ["陈晨", "安然", "安琪"]


def test_a_member_as_the_list_shows_her(api, shops):
    item = api("A").get("members", name="安琪").json()["items"][0]
    today = timezone.localdate()
    assert item["mobile"].startswith("154****") and len(item["mobile"]) == 11
    assert (item["gender"], item["tier"]) == ("F", "金卡")
    assert item["last_bought_on"] in (today.isoformat(), (today - dt.timedelta(days=1)).isoformat())
    assert item["binding"] == {
        "guide_id": shops.guides["A"].pk, "guide_name": "王芳", "since": "2020-01-01T00:00:00Z", "is_mine": True,
    }  # fmt: skip


def test_filters(api, shops):
    today = timezone.localdate()
    Member.objects.filter(name="安然").update(
        birthday=today.replace(year=2000) if (today.month, today.day) != (2, 29) else today
    )
    device = api("A")
    assert names(device.get("members", name="安")) == ["安然", "安琪"]
    assert names(device.get("members", name="%")) == []
    assert names(device.get("members", bought_within_days=30)) == ["安琪"]
    assert names(device.get("members", not_bought_for_days=30)) == ["安然"]
    assert names(device.get("members", birthday_within_days=1)) == ["安然"]
    assert names(device.get("members", birthday_within_days=1, bought_within_days=30)) == []


def test_pages_by_key_and_a_cursor_belongs_to_its_list(api, shops):
    for number in range(5):
        shops.member(f"新{number}", store="S1", guide="A")
    device = api("A")
    seen, cursor = [], None
    while True:
        answer = device.get("members", size=3, **({"cursor": cursor} if cursor else {}))
        seen += names(answer)
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == ["新4", "新3", "新2", "新1", "新0", "安然", "安琪"]
    first = device.get("members", size=3).json()["next_cursor"]
    for params in ({"cursor": first, "name": "安"}, {"cursor": first[:-2] + "xx"}, {"cursor": "x"}):
        refused = device.get("members", **params)
        assert refused.status_code == 400
        assert refused.json()["extra"]["fields"]["cursor"][0]["code"] == "invalid_cursor"


def test_a_page_says_the_same_as_the_scope_of_one_member(shops):
    """S1: the branches of the list and the rule for one row are the same rule."""
    factory.bind(shops.members["陈晨"], shops.guides["B"], shops.stores["S2"])  # at home in S1, served in S2
    for name in ("A", "B", "M", "F"):
        holder = queries.token_holders(token_key=shops.token(name)[:15], now=timezone.now())[0]
        page = queries.member_page(
            caller=holder.caller, wanted=queries.MemberFilter(), after=None, limit=50, today=timezone.localdate()
        )
        assert {row["id"] for row in page} == set(
            queries.visible_members(holder.caller).values_list("pk", flat=True)
        ), name


def test_search_by_whole_number(api, shops):
    device = api("A")
    number = shops.members["安琪"].identities.get(kind="CARD").value
    assert names(device.post("members/search", {"card_no": number})) == ["安琪"]
    mobile = factory.mobile(int(number[3:]))
    for spelling in (mobile, f"+86 {mobile[:3]} {mobile[3:7]} {mobile[7:]}"):
        assert names(device.post("members/search", {"mobile": spelling})) == ["安琪"]
    assert names(api("B").post("members/search", {"mobile": mobile})) == []
    lookups = Act.objects.filter(verb="member.lookup").order_by("pk")
    assert [act.target_id for act in lookups] == [str(shops.members["安琪"].pk)] * 3 + [""]
    assert mobile not in str(list(lookups.values()))
    assert names(device.post("members/search", {"mobile": "15499999999"})) == []


def test_a_number_never_stands_in_an_address(api):
    refused = api("A").get("members", name="15400000042")
    assert refused.status_code == 400
    assert refused.json()["extra"]["fields"]["name"][0]["code"] == "number_in_url"


@pytest.mark.parametrize("body", [{}, {"mobile": "123"}, {"mobile": "15400000042", "card_no": "x"}, [], "x", None])
def test_a_search_that_cannot_be_read(api, body):
    answer = api("A").post("members/search", body if body is not None else {"mobile": None})
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message", "extra"}


def test_one_member(api, shops):
    factory.tag(shops.members["安琪"], "爱吃榴莲")
    body = api("A").get(f"members/{shops.members['安琪'].pk}").json()
    assert body["home_store_name"] == "S1店"
    assert body["tags"] == ["爱吃榴莲"]
    assert {identity["kind"] for identity in body["identities"]} == {"MOBILE", "CARD"}
    assert all("****" in identity["shown"] for identity in body["identities"])
    assert body["bindings"][0]["guide_name"] == "王芳" and body["bindings"][0]["ended_at"] is None
    assert [line["paid_fen"] for line in body["purchases"]] == [10_000, 5_000]
    assert sum(favourite["line_count"] for favourite in body["favourites"]) == 2


def test_purchases_elsewhere_are_not_shown(api, shops):
    """S1, principle 16: a line belongs to its store, not to its buyer's guide."""
    now = timezone.now()
    shops.line("elsewhere", member="安琪", store="F1", paid_fen=7_000, at=now - dt.timedelta(days=1), cashier="G00003")
    body = api("A").get(f"members/{shops.members['安琪'].pk}").json()
    assert 7_000 not in [line["paid_fen"] for line in body["purchases"]]


def test_today(api, shops):
    shops.refund("a", 4_000, timezone.now())
    body = api("A").get("today").json()
    figures = {figure["name"]: figure for figure in body["figures"]}
    paid_today = timezone.localdate(shops.lines["a"].paid_at) == timezone.localdate()
    if paid_today:
        assert figures["today_gmv_fen"]["value"] == 6_000
        assert figures["today_orders"]["value"] == 1
    assert figures["members"]["value"] == 2
    assert figures["lapsed_members"]["value"] == 1
    assert all(figure["unit"] == ("fen" if name.endswith("_fen") else "count") for name, figure in figures.items())
    device = api("A")
    for figure in figures.values():
        path = figure["action"]["list_url"].removeprefix("/api/guide/")
        assert figure["action"]["text"]
        assert device.get(path).status_code == 200


def test_commission_of_a_month(api, shops):
    now = timezone.now()
    shops.refund("a", 4_000, now)
    device = api("A")
    months = {f"{timezone.localdate(shops.lines[name].paid_at):%Y-%m}" for name in ("a", "online")}
    totals = [device.get("commission", month=month).json() for month in sorted(months)]
    assert sum(total["accrued_fen"] for total in totals) == 500 + 250
    assert sum(total["held_fen"] for total in totals) == 300 + 250
    assert sum(total["reversed_fen"] for total in totals) == 200
    for total in totals:
        for row in [total, *total["days"]]:
            assert row["accrued_fen"] == sum(
                row[name] for name in ("held_fen", "due_fen", "reversed_fen", "clawed_fen")
            )
    current = device.get("commission").json()
    assert current["month"] == f"{timezone.localdate():%Y-%m}" and current["next_month"] is None
    assert device.get("commission", month="2020-02").json()["days"] == []
    assert device.get("commission", month="2020-13").status_code == 400


def test_commission_line_by_line(api, shops):
    device = api("A")
    for number in range(4):
        shops.line(
            f"more{number}", member="安然", store="S1", paid_fen=1_000, at=timezone.now() - dt.timedelta(minutes=number)
        )
    day = timezone.localdate(shops.lines["more0"].paid_at).isoformat()
    seen, cursor = [], None
    while True:
        body = device.get("commission/lines", day=day, size=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [item["line_id"] for item in body["items"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    expected = {
        line.pk for name, line in shops.lines.items() if name != "b" and str(timezone.localdate(line.paid_at)) == day
    }
    assert set(seen) == expected and len(seen) == len(expected)
    assert device.get("commission/lines", day=day, state="DUE").json()["items"] == []
    assert len(device.get("commission/lines", day=day, state="HELD", size=50).json()["items"]) == len(expected)


def test_why(api, shops):
    shops.refund("a", 4_000, timezone.now())
    body = api("A").get(f"commission/{shops.lines['a'].pk}/explain").json()
    assert body["state"] == "LIVE"
    assert any("王芳" in sentence and sentence.startswith("获得者") for sentence in body["sentences"])
    assert any("100.00 元 × 5 % = 5.00 元" in sentence for sentence in body["sentences"])
    assert [(step["kind"], step["held_fen"]) for step in body["steps"]] == [("ACCRUE", 500), ("UNHOLD", -200)]
    assert [refund["amount_fen"] for refund in body["refunds"]] == [4_000]
    assert {candidate["type"] for candidate in body["candidates"]} >= {"C1", "C3", "C5"}


def test_a_manager_understands_the_lines_of_her_store(api, shops):
    assert api("M").get(f"commission/{shops.lines['a'].pk}/explain").json()["steps"][0]["beneficiary"] == "G00001"
    assert api("M").get(f"commission/{shops.lines['b'].pk}/explain").status_code == 404


SCREENS = ("me", "today", "members", "commission", "commission/lines")
QUERIES = {"me": 1, "today": 3, "members": 2, "commission": 2, "commission/lines": 2}


@pytest.mark.parametrize("screen", SCREENS)
def test_the_same_number_of_queries_for_one_row_and_for_many(api, shops, screen):
    def count():
        device = api("A")
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert device.get(screen).status_code == 200
        assert not [query for query in captured if "SAVEPOINT" in (query["sql"] or "")]
        return len(captured)

    few = count()
    for number in range(4):
        shops.member(f"多{number}", store="S1", guide="A")
        shops.line(f"more{number}", member=f"多{number}", store="S1", paid_fen=1_000, at=timezone.now())
    assert (few, count()) == (QUERIES[screen], QUERIES[screen])


def test_one_member_takes_the_same_number_of_queries_however_much_she_bought(api, shops):
    def count():
        device = api("A")
        with CaptureQueriesContext(connection) as captured:
            assert device.get(f"members/{shops.members['安琪'].pk}").status_code == 200
        return len(captured)

    few = count()
    for number in range(3):
        shops.line(f"more{number}", member="安琪", store="S1", paid_fen=1_000, at=timezone.now())
        factory.tag(shops.members["安琪"], f"标签{number}")
    assert (few, count()) == (4, 4)


def test_a_guide_of_many_members_is_counted_up_to_a_cap(api, shops, monkeypatch):
    monkeypatch.setattr(queries, "MEMBER_FIGURES", queries.MEMBER_FIGURES.replace("LIMIT 2001", "LIMIT 2"))
    monkeypatch.setattr(queries, "MEMBERS_COUNTED", 1)
    figures = {figure["name"]: figure for figure in api("A").get("today").json()["figures"]}
    assert (figures["members"]["value"], figures["members"]["is_at_least"]) == (1, True)


def test_birthdays_around_the_leap_day():
    assert queries.birthdays(dt.date(2026, 2, 27), 3) == [227, 228, 229, 301]
    assert queries.birthdays(dt.date(2028, 2, 27), 3) == [227, 228, 229]
    assert queries.birthdays(dt.date(2026, 12, 31), 2) == [1231, 101]
