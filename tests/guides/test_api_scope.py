"""S1, S5: every address of the API, for everybody, with an own and a foreign id. A new address without a row fails."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from attribution.disputes import hearing
from attribution.models import Dispute
from campaigns.models import Answer, CalendarEntry, Content, Poster, ReferralProgramme, Sale, Script
from guides.models import Action, Employment
from scrm.models import DeviceToken, Grant, LegalEntity, Role, User
from tests.campaigns import inviting, planning, referring
from tests.factories import content, sales
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db

PEOPLE = ("A", "B", "M", "F", "region", "franchisee", "hq", "left", "off", "")
GUIDES = ("A", "B", "M", "F")
OUTSIDE = {"region": 403, "franchisee": 403, "hq": 403, "left": 401, "off": 401, "": 401}
METHODS = ("get", "post", "put", "patch", "delete")
KEY = {"Idempotency-Key": "key-of-a-test"}

# address → (method, the rows it may be asked for, body); of each row, who sees it. None: no row, the caller's own screen
ROWS: dict[str, tuple[str, dict[Any, tuple[str, ...]], Any]] = {
    "guide-api:me": ("get", {None: GUIDES}, None),
    "guide-api:today": ("get", {None: GUIDES}, None),
    "guide-api:logout": ("post", {None: GUIDES}, {}),
    "guide-api:actions": ("get", {None: GUIDES}, None),
    "guide-chains": ("get", {None: GUIDES}, None),
    "guide-api:action-done": ("post", {"action": ("A",), 10**9: ()}, {"outcome": "REPLIED"}),
    "guide-api:action-skip": ("post", {"action": ("A",), 10**9: ()}, {"reason": "客户在出差"}),
    "guide-api:members": ("get", {None: GUIDES}, None),
    "guide-api:member-search": ("post", {None: GUIDES}, {"mobile": "15499999999"}),
    "guide-api:member": ("get", {"安琪": ("A", "M"), "白鹭": ("B",), "陈晨": ("M",), "付雪": ("F",), 10**9: ()}, None),
    "guide-api:member-reveal": (
        "post",
        {"安琪": ("A", "M"), "白鹭": ("B",), "陈晨": ("M",), "付雪": ("F",), 10**9: ()},
        {"reason": "电话回访"},
    ),
    "guide-api:member-offers": (
        "get",
        {"安琪": ("A", "M"), "白鹭": ("B",), "陈晨": ("M",), "付雪": ("F",), 10**9: ()},
        None,
    ),
    "guide-api:alike-products": ("get", {"SKU-水果1": GUIDES, "nothing": ()}, None),  # products are everybody's
    "guide-api:handovers": ("get", {None: GUIDES}, None),
    "guide-api:code": ("get", {None: GUIDES}, None),
    "guide-api:friends": ("get", {None: GUIDES}, None),
    "guide-api:commission": ("get", {None: GUIDES}, None),
    "guide-api:commission-lines": ("get", {None: GUIDES}, None),
    "guide-api:commission-explain": ("get", {"a": ("A", "M"), "online": ("A", "M"), "b": ("B",), 10**9: ()}, None),
    "guide-api:shares": ("post", {None: GUIDES}, {"kind": "SHARE"}),
    "guide-api:service-acts": ("get", {None: GUIDES}, None),
    "guide-api:member-service-act": (
        "post",
        {"安琪": ("A", "M"), "白鹭": ("B",), "陈晨": ("M",), "付雪": ("F",), 10**9: ()},
        {"kind": "CALL", "note": "电话回访"},
    ),
    "guide-api:coupon-templates": ("get", {None: GUIDES}, None),
    "guide-api:coupon-redemptions": ("get", {None: GUIDES}, None),
    "guide-api:member-coupons": (
        "get",
        {"安琪": ("A", "M"), "白鹭": ("B",), "陈晨": ("M",), "付雪": ("F",), 10**9: ()},
        None,
    ),
    "guide-api:rewards": ("get", {None: GUIDES}, None),
    "guide-api:reviews": ("get", {None: GUIDES}, None),
    "guide-api:statements": ("get", {None: GUIDES}, None),
    "guide-api:statement": ("get", {"2024-05": ()}, None),
    "guide-disputes": ("get", {None: GUIDES}, None),
    "guide-dispute": ("get", {"dispute": ("A", "B", "M"), 10**9: ()}, None),
    "guide-dispute-open": (
        "post",
        {"pool": ("A", "M"), 10**9: ()},
        {"ground": "MY_SALE", "statement": "顾客由我接待"},
    ),
    "guide-dispute-evidence": ("post", {"dispute": ("A", "B", "M"), 10**9: ()}, {"text": "监控截图"}),
    "guide-dispute-picture": ("get", {"picture": ("A", "B", "M")}, None),
    "guide-dispute-opinion": ("post", {"dispute": ("M",), 10**9: ()}, {"opinion": "FOR", "text": "我当时在场"}),
    "guide-dispute-withdraw": ("post", {"dispute": ("A",), 10**9: ()}, {}),
    "guide-action": ("get", {"action": ("A",), 10**9: ()}, None),
    "guide-materials": ("get", {None: GUIDES}, None),
    "guide-material-file": ("get", {"material S2": ("B",), "material N": ("A", "F", "M"), 10**9: ()}, None),
    "guide-material-use": ("post", {"material S2": ("B",), "material N": ("A", "F", "M"), 10**9: ()}, {}),
    "guide-day": ("get", {None: GUIDES}, None),
    "guide-group-board": ("get", {None: GUIDES}, None),
    "guide-calendar": ("get", {None: GUIDES}, None),
    "guide-calendar-adapt": (
        "post",
        {"calendar": ("M",), 10**9: ()},
        {"starts_on": "2099-03-03", "ends_on": "2099-03-03", "is_left_out": True, "reason": "门口修路"},
    ),
    "guide-friend-migration": ("get", {None: GUIDES}, None),
    "guide-sales": ("get", {None: GUIDES}, None),
    "guide-sale": ("get", {"sale": ("A", "M"), 10**9: ()}, None),
    "guide-sale-share": ("post", {"sale": ("A", "M"), 10**9: ()}, {}),
    "guide-groups": ("get", {None: GUIDES}, None),
    "guide-group": ("get", {"group": ("A", "M"), 10**9: ()}, None),
    "guide-join-ways": ("get", {None: GUIDES}, None),
    "guide-join-way-picture": ("get", {"way": ("A", "M"), 10**9: ()}, None),
    "guide-group-invitations": ("get", {None: GUIDES}, None),
    "guide-group-invited": ("post", {"invitee": ("A",), 10**9: ()}, {}),
    "guide-referrals": ("get", {None: GUIDES}, None),
    "guide-referral-link": (
        "post",
        {"invited 安琪": ("A", "M"), "invited 白鹭": ("B",), "invited 付雪": ("F",), 10**9: ()},
        {},
    ),
    "guide-posters": ("get", {None: GUIDES}, None),
    "guide-poster-picture": ("get", {"poster": ("A", "F", "M"), 10**9: ()}, None),
    "guide-knowledge": ("get", {None: GUIDES}, None),
    "guide-knowledge-vote": ("post", {"answer": ("A", "F", "M"), 10**9: ()}, {"is_useful": True}),
    "guide-scripts": (
        "get",
        {"安琪": ("A", "M"), "白鹭": ("B",), "陈晨": ("M",), "付雪": ("F",), 10**9: ()},
        None,
    ),
    "guide-script-use": (
        "post",
        {"script 安琪": ("A", "M"), "script 白鹭": ("B",), "script 付雪": ("F",), "script 0": ()},
        {"level": 1},
    ),
}
PUBLIC = {
    **dict.fromkeys(
        (
            "chain-order",
            "chain-photo",
            "chain-person",
            "guide-chain-publish",
            "guide-chain-redeem",
            "guide-chain",
            "guide-chain-close",
            "guide-chain-read",
            "guide-chain-lines",
            "guide-chain-pay",
            "guide-chain-refund",
        ),
        "tests/campaigns/test_chain_api.py",
    ),
    "guide-api:login": "tests/guides/test_api_login.py",
    "api-schema": "tests/scrm/test_api_schema.py",
    "api-docs": "tests/scrm/test_api_schema.py",
    **dict.fromkeys(
        ("guide-friend-migration-list", "guide-friend-migration-invited"), "tests/campaigns/test_friend_migration.py"
    ),
    "guide-api:review-appeal": "tests/guides/test_api_rewards.py",
    **dict.fromkeys(
        (
            "guide-api:coupon-quote",
            "guide-api:coupon-redeem",
            "guide-api:coupon-redemption-reverse",
            "guide-api:member-coupon-give",
        ),
        "tests/guides/test_api_coupons.py",
    ),
    "guide-sale-claim": "tests/campaigns/test_api_sales.py",
    "api-nothing": "tests/scrm/test_api_kernel.py",
    **dict.fromkeys(
        (
            "channel-coupons",
            "channel-sales",
            "channel-events",
            "channel-openings",
            "channel-referrals",
            "channel-referral-links",
            "channel-messages",
            "channel-push",
            "wechat-pay",
        ),
        "its caller is a channel, known by its signature",
    ),
}


def addresses(patterns: Any = None, prefix: str = "", space: str = "") -> Iterator[tuple[str, str]]:
    """(name, route) of everything below ``/api/``."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, route, f"{pattern.namespace}:" if pattern.namespace else space)
        elif isinstance(pattern, URLPattern) and route.startswith("api/"):
            yield f"{space}{pattern.name}", route


@pytest.fixture
def everybody(shops):
    """Somebody who has left and somebody whose account is off, each with a token from before."""
    for name, code in (("left", "G00008"), ("off", "G00009")):
        shops.guides[name] = factory.hire(code, name, shops.stores["S1"])
    return shops


def action(company):
    """What A is to do for a customer of hers."""
    now, member = timezone.now(), company.members["安琪"]
    return Action.objects.create(
        key=f"test {Action.objects.count()}", guide=company.guides["A"], store=company.stores["S1"], member=member,
        kind="MESSAGE", source="HQ", source_id=1, title="问候", reason="生日快到了", starts_at=now,
        due_at=now + dt.timedelta(hours=1),
    )  # fmt: skip


# a word → the one row of its kind; a sale is in S1, the others are for the north
SHOWN_IN_STORES = {
    "sale": lambda company, north: Sale.objects.first() or sales.sale(company, {"S1": 5}),
    "poster": lambda company, north: Poster.objects.first() or content.poster(**north),
    "answer": lambda company, north: (
        Answer.objects.first() or Answer.objects.create(question="榴莲", answer="看刺", **north)
    ),
}


def row_id(company, row):
    if row is None:
        return []
    word, _blank, of = str(row).partition(" ")
    north = {"region": company.stores["S1"].region}
    if word == "calendar":
        said = {
            "span": "CAMPAIGN",
            "weekdays": [],
            "ends_on": dt.date(2099, 12, 31),
            "adapted_by": "STORE",
            "may_drop": True,
        }
        return [(CalendarEntry.objects.first() or planning.entry(**said, **north)).pk]
    if word in SHOWN_IN_STORES:
        return [SHOWN_IN_STORES[word](company, north).pk]
    if word in ("group", "way", "invitee"):
        return [inviting.made(company)[word]]
    if word == "material":  # for a store, or for the region in the north
        part = {"store": company.stores["S2"]} if of == "S2" else {"region": company.stores["S1"].region}
        found = Content.objects.filter(**part).first() or content.material(kind="IMAGE", **part)
        return [found.pk]
    if word == "script":
        script = Script.objects.first() or content.script()
        return [company.members[of].pk if of in company.members else 10**9, script.pk]
    if row in ("dispute", "picture", "action"):
        return acted_on(company, row)
    if row == "pool":  # sold in S1 to nobody's customer without a cashier: HQ has it
        company.line("pool", member="陈晨", store="S1", paid_fen=100, at=timezone.now())
    if word == "invited" and not ReferralProgramme.objects.exists():
        referring.programme(timezone.now())
    if of in company.members or row in company.members:
        return [company.members[of or row].pk]
    return [company.lines[row].pk if row in company.lines else row]


def acted_on(company, row):
    if row == "action":
        return [action(company).pk]
    dispute = disputed(company)
    return [dispute.pk] if row == "dispute" else [dispute.pk, dispute.evidence.get(touch_id=1).pk]


def disputed(company):
    """A says that B's line is hers: both see it, and the manager of A's store."""
    claimant, now = company.guides["A"], timezone.now()
    standing = Dispute.objects.filter(claimant=claimant, ended_at=None).first()
    if standing is not None:
        return standing
    said = {"ground": "OTHER", "statement": "是我的顾客", "actor": claimant.user, "now": now}
    dispute = hearing.open_dispute(line_id=company.lines["b"].pk, guide=claimant, **said)
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    hearing.add_evidence(dispute=dispute, actor=claimant.user, text="截图", now=now, touch_id=1, picture=png)
    return dispute


def request_of(api, company, person):
    device = api(person) if person else api()
    if person == "left":
        factory.leave(company.guides["left"], timezone.now())
    if person == "off":
        User.objects.filter(pk=company.guides["off"].user_id).update(is_active=False)
    return device


def test_every_address_has_a_row():
    known = {**ROWS, **PUBLIC}
    assert {name for name, _route in addresses()} - known.keys() == set()
    assert ROWS.keys() - {name for name, _route in addresses()} == set()


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("name", sorted(ROWS))
def test_who_gets_what(api, everybody, name, person):
    method, rows, body = ROWS[name]
    for number, (row, seen_by) in enumerate(rows.items()):
        device = request_of(api, everybody, person)
        answer = getattr(device.client, method)(
            reverse(name, args=row_id(everybody, row)),
            **({"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}),
            headers={**device.headers, "Idempotency-Key": f"matrix-{number}"},
        )
        expected = {OUTSIDE[person]} if person in OUTSIDE else {200, 201, 204} if person in seen_by else {404}
        assert answer.status_code in expected, (name, row, person, answer.content.decode())
        if answer.status_code >= 400:
            assert set(answer.json()) == {"code", "message", "extra"}
            assert answer.json()["extra"] == {}
        if person == "left":
            Employment.objects.filter(guide=everybody.guides["left"]).update(ended_at=None)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_no_other_method_does_anything(api, everybody, name):
    wanted, rows, _body = ROWS[name]
    address = reverse(name, args=row_id(everybody, next(iter(rows))))
    for method in METHODS:
        if method == wanted:
            continue
        for person, expected in (("A", 405), ("region", 403), ("", 401)):
            device = api(person)
            answer = getattr(device.client, method)(address, headers=device.headers | KEY)
            assert answer.status_code == expected, (name, method, person)


def test_a_foreign_row_looks_like_no_row(api, shops):
    device = api("A")
    foreign = device.get(f"members/{shops.members['白鹭'].pk}")
    nobody = device.get("members/999999999")
    assert (foreign.status_code, foreign.content) == (nobody.status_code, nobody.content)


def test_fields_that_are_not_asked_for_change_nothing(api, shops):
    """§8 row 5: no mass assignment."""
    member = shops.members["安琪"]
    answer = api("A").post(
        f"members/{member.pk}/reveal",
        {"reason": "电话回访", "store_id": 99, "is_staff": True, "commission_rate": 9999, "member_id": 1},
        Idempotency_Key="mass-assignment",
    )
    assert answer.status_code == 200 and set(answer.json()) == {"mobiles"}
    shops.guides["A"].user.refresh_from_db()
    assert not shops.guides["A"].user.is_staff


def test_what_a_guide_sees_field_by_field(api, shops):
    """§8 row 5: a snapshot; a field more is a decision, not an accident."""
    assert set(api("A").get("members").json()["items"][0]) == {
        "id", "name", "gender", "tier", "mobile", "birthday", "registered_on", "last_bought_on", "binding",
    }  # fmt: skip
    assert set(api("A").get(f"members/{shops.members['安琪'].pk}").json()) == {
        "id", "name", "gender", "tier", "mobile", "birthday", "registered_on", "last_bought_on", "binding", "home_store_name",
        "points_brought_in", "remark", "tags", "identities", "bindings", "purchases", "favourites",
    }  # fmt: skip


def test_whoever_leaves_is_out_with_the_next_request(api, shops):
    """S5."""
    device = api("A")
    assert device.get("me").status_code == 200
    factory.leave(shops.guides["A"], timezone.now())
    answer = device.get("me")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_refused")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_planned_leave_takes_effect_at_its_time(api, shops):
    device = api("A")
    factory.leave(shops.guides["A"], timezone.now() + timezone.timedelta(hours=1))
    assert device.get("me").status_code == 200


def test_a_franchise_that_has_ended_is_out(api, shops):
    """§8 row 30: access ends with the company."""
    device = api("F")
    assert device.get("me").status_code == 200
    LegalEntity.objects.filter(code="FE").update(is_active=False)
    assert device.get("me").status_code == 401


def test_a_guide_who_moves_keeps_her_login_and_shows_the_new_store(api, shops):
    device = api("A")
    now = timezone.now()
    factory.leave(shops.guides["A"], now)
    Employment.objects.create(guide=shops.guides["A"], store=shops.stores["S2"], role="GUIDE", started_at=now)
    assert device.get("me").json()["store"]["code"] == "S2"


def test_a_grant_adds_the_store_to_what_a_guide_sees(api, shops):
    Grant.objects.create(user=shops.guides["B"].user, role=Role.STORE_MANAGER, store=shops.stores["S1"])
    assert {item["name"] for item in api("B").get("members").json()["items"]} == {"白鹭", "安琪", "安然", "陈晨"}


def test_probing_for_ids_is_stopped(api, shops):
    """§8 row 6."""
    device = api("A")
    statuses = [device.get(f"members/{10**6 + number}").status_code for number in range(62)]
    assert statuses == [404] * 60 + [429] * 2
    assert device.get(f"members/{shops.members['安琪'].pk}").status_code == 429  # whoever probes waits
    assert int(device.get("members/1")["Retry-After"]) > 0
    assert api("B").get(f"members/{shops.members['白鹭'].pk}").status_code == 200


def test_tokens_that_are_none(api, shops):
    """§8 row 18: nothing but a whole token of ours opens."""
    good = shops.token("A")
    for header in (
        f"Token {good}", f"Bearer {good}x", f"Bearer {good[:15]}", f"Bearer {good[:15]}{'0' * 49}", "Bearer", f"Bearer {good} {good}",
        "Bearer eyJhbGciOiJub25lIn0.eyJ1c2VyIjoxfQ.", "Bearer \xe9" + good, "Basic QTpB",
    ):  # fmt: skip
        answer = api().client.get("/api/guide/me", headers={"Authorization": header})
        assert (answer.status_code, set(answer.json())) == (401, {"code", "message", "extra"}), header


def test_an_expired_token(api, shops):
    device = api("A")
    DeviceToken.objects.update(expiry=timezone.now())
    assert device.get("me").status_code == 401
