"""Shares and their openings: what a token proves, what is kept as evidence, what is refused."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone

from attribution import intake
from guides import share_tokens, shares, touches, visitors
from guides.models import Contact, Share, Touch, Visitor
from guides.visitors import Known
from members.models import Channel, Identity
from scrm import crypto, db
from scrm.models import Corp
from tests.factories import shops as factory

NOW = dt.datetime(2026, 6, 1, 4, tzinfo=dt.UTC)
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
LIN = Known(unionid="oLIN", namespace="MINI_PROGRAM/main", account="openLIN")


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    company.member("安琪", store="S1")
    return company


def share(shops: factory.Shops, kind: str = "SHARE", now: dt.datetime = NOW, **values: Any) -> tuple[Share, str]:
    return shares.share(guide_id=shops.guides["A"].pk, kind=kind, now=now, **values)


def open_it(token: str, *, opening_id: str = "1", at: dt.datetime = NOW + SECOND, **values: Any) -> shares.Opened:
    opening = shares.Opening("MINI_PROGRAM", opening_id, token, at, values.pop("who", LIN), **values)
    return shares.record_opening(opening=opening, now=max(at, NOW + SECOND))


def forged(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


class Line:
    """A line of an order, as far as a touch looks at it."""

    sku, category, live_no, group_no = "SKU-水果0", "FRUIT", None, None


def fault_of(touch: Touch, created_at: dt.datetime, line: Any = Line) -> touches.Fault | None:
    read = touches.Touch(
        touch.pk, "G00001", touches.TouchKind(touch.kind), touch.at, touch.expires_at, touch.is_signed,
        touches.TouchObject(touch.object_kind), touch.object_code,
    )  # fmt: skip
    if not touches.latest_first([read], created_at=created_at):
        return touches.Fault.EXPIRED  # a touch of after the order: no evidence at all
    return touches.fault(read, line, created_at=created_at, is_employed=True, windows=touches.DEFAULT_WINDOWS)


# --- tokens -------------------------------------------------------------------------------------------------------------


def test_a_token_fits_into_a_scene_and_a_link(shops: factory.Shops) -> None:
    _row, token = share(shops)
    assert len(token) == share_tokens.LENGTH == 32
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", token)


def test_every_changed_character_is_a_forgery(shops: factory.Shops) -> None:
    row, token = share(shops)
    terms = shares._terms(row)
    for place in range(len(token)):
        for other in "AZaz09-_":
            forged = token[:place] + other + token[place + 1 :]
            read = share_tokens.read(forged)
            assert forged == token or read is None or not share_tokens.is_genuine(read, terms), (place, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [("guide_id", 2), ("kind", "COUPON"), ("object_kind", "CATEGORY"), ("object_code", "X2"), ("reference", "C1"),
     ("share_id", 8), ("created_at", NOW + SECOND), ("expires_at", NOW + 2 * DAY), ("closes_at", NOW + DAY)],
)  # fmt: skip
def test_a_token_is_bound_to_all_that_was_shared(name: str, value: Any) -> None:
    terms = share_tokens.Terms(7, 1, "SHARE", "SKU", "X1", "", NOW, NOW + DAY, None)
    token = share_tokens.read(share_tokens.mint(terms))
    assert token is not None and share_tokens.is_genuine(token, terms)
    changed = share_tokens.Terms(**{**{n: getattr(terms, n) for n in share_tokens.Terms.__slots__}, name: value})
    assert not share_tokens.is_genuine(token, changed)


def test_texts_cannot_flow_into_each_other() -> None:
    first = share_tokens.Terms(7, 1, "SHARE", "SKU", 'X1", "', "", NOW, NOW + DAY, None)
    second = share_tokens.Terms(7, 1, "SHARE", "SKU", "X1", '", "', NOW, NOW + DAY, None)
    assert share_tokens.mint(first) != share_tokens.mint(second)


def test_old_keys_prove_what_they_signed(shops: factory.Shops, settings: Any) -> None:
    row, token = share(shops)
    old = settings.SECRET_SEAL_KEYS
    settings.SECRET_SEAL_KEYS = f"2:{'A' * 43}=,{old}"
    assert share_tokens.is_genuine(share_tokens.read(token), shares._terms(row))  # type: ignore[arg-type]
    assert shares.token_of(row) != token
    settings.SECRET_SEAL_KEYS = f"2:{'A' * 43}="
    assert not share_tokens.is_genuine(share_tokens.read(token), shares._terms(row))  # type: ignore[arg-type]


# --- sharing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"kind": "LIVE"}, "object_not_shared_so"),
        ({"kind": "SHARE", "object_kind": "GROUP", "object_code": "7"}, "object_not_shared_so"),
        ({"kind": "SHARE", "object_kind": "SKU"}, "object_missing"),
        ({"kind": "SHARE", "object_code": "X"}, "object_missing"),
        ({"kind": "COUPON"}, "coupon_missing"),
        ({"kind": "SHARE", "reference": "C1"}, "coupon_missing"),
        ({"kind": "SHARE", "object_kind": "SKU", "object_code": "nothing"}, "object_unknown"),
        ({"kind": "SHARE", "closes_at": NOW}, "bad_closing_time"),
        ({"kind": "SHARE", "closes_at": NOW + 91 * DAY}, "bad_closing_time"),
    ],
)
def test_what_cannot_be_shared(shops: factory.Shops, values: dict[str, Any], code: str) -> None:
    with pytest.raises(shares.NotSharable) as error:
        share(shops, **values)
    assert error.value.code == code
    assert not Share.objects.exists()


def test_who_has_left_shares_nothing(shops: factory.Shops) -> None:
    factory.leave(shops.guides["A"], NOW)
    with pytest.raises(shares.NotSharable) as error:
        share(shops)
    assert error.value.code == "guide_not_employed"


def test_a_share_never_changes(shops: factory.Shops, app_role: Any) -> None:
    row, _token = share(shops)
    with app_role(), pytest.raises(Exception, match="permission denied"), transaction.atomic():
        Share.objects.filter(pk=row.pk).update(expires_at=NOW + 99 * DAY)


# --- openings -----------------------------------------------------------------------------------------------------------


def test_an_opening_is_a_touch_once(shops: factory.Shops) -> None:
    row, token = share(shops)
    first, again = open_it(token), open_it(token)
    assert (first.is_new, again.is_new, Touch.objects.count()) == (True, False, 1)
    assert (first.touch.guide, first.touch.store, first.touch.kind, first.touch.share_id) == (
        shops.guides["A"], shops.stores["S1"], "SHARE", row.pk,
    )  # fmt: skip
    with pytest.raises(shares.OpeningDiffers):
        open_it(token, at=NOW + DAY)
    with pytest.raises(shares.OpeningDiffers):
        open_it(share(shops)[1])
    assert Touch.objects.count() == 1


def test_a_forged_token_is_kept_and_never_counts(shops: factory.Shops) -> None:
    """A8: an unsigned touch."""
    row, token = share(shops)
    opened = open_it(forged(token))
    assert opened.fault == touches.Fault.UNSIGNED
    assert fault_of(opened.touch, NOW + DAY) == touches.Fault.UNSIGNED
    assert (opened.touch.share_id, opened.touch.is_signed) == (row.pk, False)


@pytest.mark.parametrize("token", ["", "x", "A" * 32, "中" * 32, "A" * 31 + "=", "A" * 64])
def test_what_names_no_share_makes_nothing(shops: factory.Shops, token: str) -> None:
    with pytest.raises(shares.UnknownShare):
        open_it(token)
    assert not Touch.objects.exists()


def test_another_object_is_another_share(shops: factory.Shops) -> None:
    """A8: other product."""
    for number in range(2):
        factory.product(f"水果{number}")
    _row, token = share(shops, object_kind="SKU", object_code="SKU-水果0")
    at_other = open_it(token, object_kind="SKU", object_code="SKU-水果1")
    assert at_other.fault == touches.Fault.UNSIGNED
    at_own = open_it(token, opening_id="2", object_kind="SKU", object_code="SKU-水果0")
    assert at_own.fault is None and fault_of(at_own.touch, NOW + DAY) is None

    class OtherLine(Line):
        sku = "SKU-水果1"

    assert fault_of(at_own.touch, NOW + DAY, OtherLine) == touches.Fault.OTHER_OBJECT


@pytest.mark.parametrize(("seconds", "counts"), [(-1, True), (0, False), (1, False)])
def test_an_opening_around_the_expiry(shops: factory.Shops, seconds: int, counts: bool) -> None:
    """A8: the boundary, one second to either side; an order a second after the opening."""
    row, token = share(shops)
    at = row.expires_at + seconds * SECOND
    opened = shares.record_opening(opening=shares.Opening("MINI_PROGRAM", "1", token, at, LIN), now=at)
    assert (opened.fault is None) == counts
    assert (fault_of(opened.touch, at) is None) == counts
    assert (fault_of(opened.touch, at + SECOND) is None) == counts


@pytest.mark.parametrize(("seconds", "counts"), [(-1, True), (0, False), (1, False)])
def test_a_coupon_counts_until_it_closes(shops: factory.Shops, seconds: int, counts: bool) -> None:
    closes_at = NOW + 20 * DAY
    _row, token = share(shops, "COUPON", reference="C-1", closes_at=closes_at)
    opened = open_it(token)
    assert (fault_of(opened.touch, closes_at + seconds * SECOND) is None) == counts


@pytest.mark.parametrize(("seconds", "fault"), [(-1, touches.Fault.EXPIRED), (0, None), (1, None)])
def test_a_touch_after_the_order_is_no_evidence(shops: factory.Shops, seconds: int, fault: Any) -> None:
    """A8: a future touch."""
    _row, token = share(shops)
    opened = open_it(token)
    assert fault_of(opened.touch, opened.touch.at + seconds * SECOND) == fault


@pytest.mark.parametrize(
    ("shift", "code"),
    [
        (shares.SKEW, None), (shares.SKEW + SECOND, "opened_in_future"),
        (-shares.REPORTED_WITHIN, None), (-shares.REPORTED_WITHIN - SECOND, "opened_too_long_ago"),
    ],
)  # fmt: skip
def test_when_an_opening_may_be_reported(shops: factory.Shops, shift: dt.timedelta, code: str | None) -> None:
    _row, token = share(shops, now=NOW - 10 * DAY)
    opening = shares.Opening("MINI_PROGRAM", "1", token, NOW + shift, LIN)
    if code is None:
        assert shares.record_opening(opening=opening, now=NOW).is_new
        return
    with pytest.raises(shares.OpeningRefused) as error:
        shares.record_opening(opening=opening, now=NOW)
    assert error.value.code == code
    assert not Touch.objects.exists()


def test_it_is_not_opened_before_it_was_shared(shops: factory.Shops) -> None:
    _row, token = share(shops)
    with pytest.raises(shares.OpeningRefused) as error:
        open_it(token, at=NOW - shares.SKEW - SECOND)
    assert error.value.code == "opened_before_shared"


def test_nobody_opens_nothing(shops: factory.Shops) -> None:
    _row, token = share(shops)
    with pytest.raises(shares.OpeningRefused):
        open_it(token, who=Known())


# --- who opened it ------------------------------------------------------------------------------------------------------


def found(shops: factory.Shops) -> list[int]:
    member_id = shops.members["安琪"].pk
    read = touches.of_members([member_id], since=NOW - DAY, until=NOW + 9 * DAY)
    return [touch.id for touch in read.get(member_id, [])]


def test_a_member_is_known_at_once(shops: factory.Shops) -> None:
    _row, token = share(shops)
    number = Identity.objects.get(member=shops.members["安琪"], kind="MOBILE").value
    opened = open_it(token, who=Known(unionid="oNEW", mobile_index=number))
    assert opened.touch.member == shops.members["安琪"] and not Visitor.objects.exists()
    assert found(shops) == [opened.touch.pk]


def test_a_contact_brings_her_touch_along(shops: factory.Shops) -> None:
    corp = Corp.objects.create(corp_id="ww1", name="企业")
    contact = Contact.objects.create(corp=corp, external_userid="wm1", unionid="oLIN")
    opened = open_it(share(shops)[1])
    assert (opened.touch.contact, opened.touch.visitor) == (contact, None)


def test_a_visitor_is_a_member_as_soon_as_an_identity_says_so(shops: factory.Shops) -> None:
    """A12: the link may come late; the touch itself never changes."""
    opened = open_it(share(shops)[1])
    visitor = Visitor.objects.get()
    assert (opened.touch.visitor, visitor.unionid, visitor.account) == (visitor, "oLIN", "openLIN")
    assert found(shops) == []
    Identity.objects.create(
        member=shops.members["安琪"], kind="ACCOUNT", namespace="MINI_PROGRAM/main", value="openLIN"
    )
    now = db.clock() + SECOND
    assert visitors.recognise_late(now=now, since=now - DAY) == 1
    assert visitors.recognise_late(now=now, since=now - DAY) == 0
    assert found(shops) == [opened.touch.pk]


def test_the_stronger_identity_says_who_a_visitor_is(shops: factory.Shops) -> None:
    shops.member("白鹭", store="S1")
    open_it(share(shops)[1])
    for name, kind, namespace, value in (
        ("安琪", "UNIONID", "MAIN", "oLIN"), ("白鹭", "ACCOUNT", "MINI_PROGRAM/main", "openLIN"),
    ):  # fmt: skip
        Identity.objects.create(member=shops.members[name], kind=kind, namespace=namespace, value=value)
    now = db.clock() + SECOND
    visitors.recognise_late(now=now, since=now - DAY)
    assert Visitor.objects.get().member == shops.members["安琪"]


def test_one_visitor_per_person_and_what_is_learned_stays(shops: factory.Shops) -> None:
    token = share(shops)[1]
    number = crypto.mobile_index("+8615400000099")
    open_it(token, who=Known(namespace="MINI_PROGRAM/main", account="openLIN"))
    open_it(token, opening_id="2", who=LIN)
    open_it(token, opening_id="3", who=Known(unionid="oLIN", mobile_index=number))
    visitor = Visitor.objects.get()
    assert (visitor.unionid, visitor.account, visitor.mobile_index) == ("oLIN", "openLIN", number)
    open_it(token, opening_id="4", who=Known(unionid="oOTHER", mobile_index=number))
    assert Visitor.objects.count() == 1  # the same number: the same person


def test_a_buyer_nobody_knows_has_her_touches(shops: factory.Shops) -> None:
    token = share(shops)[1]
    opened = open_it(token)
    stranger = touches.Buyer(unionid="oELSE")
    by_union, by_account = touches.Buyer(unionid="oLIN"), touches.Buyer("", "MINI_PROGRAM/main", "openLIN", "")
    read = touches.of_buyers([stranger, by_union, by_account, touches.Buyer()], since=NOW - DAY, until=NOW + DAY)
    assert {buyer: [touch.id for touch in rows] for buyer, rows in read.items()} == {
        by_union: [opened.touch.pk], by_account: [opened.touch.pk],
    }  # fmt: skip


# --- the mini-program ---------------------------------------------------------------------------------------------------


class Shop:
    """The shop's mini-program, with its secret."""

    def __init__(self) -> None:
        cache.clear()
        Channel.objects.get_or_create(code="MINI_PROGRAM", defaults={"name": "小程序"})
        intake._secrets.clear()
        self.secret = intake.new_secret(channel="MINI_PROGRAM", actor=None)

    def report(self, said: dict[str, Any], secret: str = "") -> Any:
        body = json.dumps(said).encode()
        timestamp = str(int(timezone.now().timestamp()))
        signed = intake.signature((secret or self.secret).encode(), timestamp, body)
        headers = {"X-Timestamp": timestamp, "X-Signature": signed}
        address = "/api/channels/MINI_PROGRAM/openings"
        return Client().post(address, body, content_type="application/json", headers=headers)


def test_the_mini_program_reports_an_opening(shops: factory.Shops) -> None:
    shop, now = Shop(), timezone.now()
    _row, token = share(shops, now=now)
    said = {
        "opening_id": "o-1", "token": token, "opened_at": (now + SECOND).isoformat(), "shop": "main",
        "buyer": {"unionid": "oLIN", "account": "openLIN", "mobile": "154 0000 0099"},
    }  # fmt: skip
    answer = shop.report(said)
    assert (answer.status_code, answer.json()) == (
        200, {"result": "recorded", "counts": True, "reason": None, "kind": "SHARE", "object": {"kind": "ALL", "code": ""}},
    )  # fmt: skip
    assert shop.report(said).json()["result"] == "known"
    visitor = Visitor.objects.get()
    assert (visitor.namespace, visitor.account) == ("MINI_PROGRAM/main", "openLIN")
    assert visitor.mobile_index == crypto.mobile_index("+8615400000099")
    assert Touch.objects.count() == 1
    answer = shop.report({**said, "opening_id": "o-2", "token": forged(token)}).json()
    assert (answer["counts"], answer["reason"]) == (False, "TOUCH_UNSIGNED")


def test_only_the_channel_itself_reports(shops: factory.Shops) -> None:
    shop = Shop()
    _row, token = share(shops, now=timezone.now())
    said = {"opening_id": "o-1", "token": token, "opened_at": timezone.now().isoformat(), "buyer": {"unionid": "oLIN"}}
    assert shop.report(said, secret="guessed").status_code == 403
    assert not Touch.objects.exists()


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"token": "A" * 32}, 404, "unknown_share"),
        ({"opened_at": "yesterday"}, 400, "not_readable"),
        ({"opened_at": "2026-06-01T10:00:00"}, 400, "not_readable"),  # no offset
        ({"buyer": {"mobile": "123"}}, 400, "not_readable"),
        ({"buyer": []}, 400, "not_readable"),
        ({"buyer": {}}, 422, "opened_by_nobody"),
        ({"opening_id": ""}, 400, "not_readable"),
        ({"object": {"kind": "MOON", "code": "1"}}, 400, "not_readable"),
        ({"opened_at": "2030-06-01T10:00:00+08:00"}, 422, "opened_in_future"),
    ],
)
def test_what_the_mini_program_may_not_say(shops: factory.Shops, change: Any, status: int, code: str) -> None:
    shop, now = Shop(), timezone.now()
    _row, token = share(shops, now=now)
    said = {"opening_id": "o", "token": token, "opened_at": now.isoformat(), "buyer": {"unionid": "oLIN"}}
    answer = shop.report({**said, **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Touch.objects.exists()


def test_a_person_opens_some_shares_in_a_minute(shops: factory.Shops) -> None:
    shop, now = Shop(), timezone.now()
    _row, token = share(shops, now=now)
    said = {"token": token, "opened_at": now.isoformat(), "buyer": {"unionid": "oLIN"}}
    codes = [shop.report({**said, "opening_id": str(number)}).status_code for number in range(32)]
    assert (codes[:30], codes[-1]) == ([200] * 30, 429)
    other = shop.report({**said, "opening_id": "x", "buyer": {"unionid": "oELSE"}})
    assert other.status_code == 200
