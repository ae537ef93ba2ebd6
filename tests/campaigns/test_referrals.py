"""Referral: one level, held until it is earned, refused in rings, and paid once."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attribution import intake, ledger
from attribution import rewards as books
from attribution.models import Hold
from campaigns import referrals
from campaigns.models import LinkHost, Referral, ReferralCount, ReferralProgramme
from campaigns.referrals import ReferralRefused, figures, judging, linking, programmes, reviewing
from guides.models import Guide
from guides.visitors import Known
from members.models import Coupon, Identity
from scrm import crypto, org
from scrm.models import User
from tests.campaigns import referring
from tests.factories import coupons as make_coupons
from tests.factories import shops as factory
from tests.guides.conftest import Api

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)
DAY, HOUR, SECOND = dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(seconds=1)
Status = Referral.Status


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    for name, store, guide in (("安琪", "S1", "A"), ("白鹭", "S2", "B"), ("丁丁", "S1", "A")):
        company.member(name, store=store, guide=guide)
    return company


def refused(call: Any) -> str:
    with pytest.raises(ReferralRefused) as error, transaction.atomic():
        call()
    return error.value.code


def bring(shops: factory.Shops, by: str, at: dt.datetime, name: str, fen: int = 10_000) -> tuple[Referral, Any]:
    """Joined, registered and bought within the hour."""
    known = referring.stranger()
    row = referring.join(shops.members[by], at, known[0])
    shops.members[name] = referring.register(known, at)
    if fen:
        shops.line(name, member=name, store="S1", paid_fen=fen, at=at + HOUR)
    return row, shops.members[name]


def test_a_referral_from_link_to_coupon_and_books(shops: factory.Shops) -> None:
    row_of = referring.programme(NOW)
    row, newcomer = bring(shops, "安琪", NOW + DAY, "新客")
    judging.judge(now=NOW + 8 * DAY)
    row.refresh_from_db()
    assert (row.status, row.newcomer_id, row.bought_fen) == (Status.CLAIMED, newcomer.pk, 10_000)
    assert row.registered_at is not None
    books.follow(now=NOW + 8 * DAY)
    hold = Hold.objects.get(fact=f"REFERRAL {row.pk}")
    assert (hold.amount_fen, str(hold.beneficiary), hold.vested_fen) == (500, "G00001", 0)

    vests_at = NOW + DAY + HOUR + 7 * DAY
    judging.judge(now=vests_at - SECOND)
    row.refresh_from_db()
    assert row.status == Status.CLAIMED
    assert judging.judge(now=vests_at) == {"vested": 1, "coupons": 1}
    assert judging.judge(now=vests_at) == {"coupons": 0}  # again: nothing
    row.refresh_from_db()
    assert (row.status, row.coupon.member_id, row.coupon.template_id) == (  # type: ignore[union-attr]
        Status.VESTED, shops.members["安琪"].pk, row_of.coupon_template_id,
    )  # fmt: skip
    books.follow(now=vests_at)
    while ledger.vest(now=vests_at):
        pass
    hold.refresh_from_db()
    assert hold.vested_fen == 500
    line = figures.total(programme=row_of, scope=org.EVERYTHING)
    assert (line.link_count, line.joined_count, line.registered_count, line.bought_count, line.vested_count) == (1,) * 5
    assert (line.cost_fen, line.bought_fen, line.held_fen) == (2_500, 10_000, 0)
    assert [found.name for found in figures.lines(programme=row_of, level="guide", scope=org.EVERYTHING)] == ["王芳"]

    # proven fake afterwards: the unused coupon is void, the guide owes the reward, the budget has it back
    reviewing.confirm(referral=row, actor=shops.staff["hq"], reason="同一台手机", now=vests_at + DAY)
    books.follow(now=vests_at + DAY)
    hold.refresh_from_db()
    row_of.refresh_from_db()
    assert (hold.clawed_fen, Coupon.objects.get().status, row_of.reserved_fen) == (500, "VOID", 0)


def test_what_is_refused_at_joining_says_why(shops: factory.Shops) -> None:
    """A7: self by number and account, staff, a member, a second referrer, expired, forged."""
    programme = referring.programme(NOW, link_days=10)
    anqi, token = shops.members["安琪"], linking.invite(member_id=shops.members["安琪"].pk, now=NOW).token

    def join(who: Known, at: dt.datetime = NOW + HOUR, by: str = token) -> Any:
        return lambda: referrals.joining.join(token=by, who=who, at=at, now=at)

    own = Identity.objects.get(member=anqi, kind="MOBILE").value
    assert refused(join(Known(mobile_index=own))) == "referral_self"
    Guide.objects.filter(code="G00002").update(unionid="oGUIDE")
    assert refused(join(Known(unionid="oGUIDE"))) == "referral_staff"
    old = Identity.objects.get(member=shops.members["白鹭"], kind="MOBILE").value
    assert refused(join(Known(mobile_index=old))) == "referral_not_new"
    assert refused(join(Known(unionid="oX"), at=NOW + 10 * DAY)) == "referral_expired"
    assert refused(join(Known(unionid="oX"), by=token[:-1] + ("A" if token[-1] != "A" else "B"))) == "referral_unknown"
    assert refused(join(Known())) == "referral_of_nobody"
    first = join(Known(unionid="oX"))()
    assert first.is_new and not join(Known(unionid="oX"))().is_new
    other = linking.invite(member_id=shops.members["白鹭"].pk, now=NOW).token
    assert refused(join(Known(unionid="oX"), by=other)) == "referral_duplicate"
    assert refused(lambda: linking.invite(member_id=anqi.pk, now=programme.ends_at)) == "referral_none_runs"


def test_rings_and_second_levels_are_refused_by_the_database(shops: factory.Shops) -> None:
    """A15: 安琪 → 乙 → 丙; whoever writes 丙 → 安琪 past every check is refused, and no coupon goes to anybody but the referrer."""
    programme = referring.programme(NOW, chain_days=0)
    _row, second = bring(shops, "安琪", NOW + DAY, "乙", fen=0)
    judging.judge(now=NOW + DAY + HOUR)
    second.home_store = shops.stores["S1"]
    second.save()
    row, third = bring(shops, "乙", NOW + 2 * DAY, "丙", fen=0)
    judging.judge(now=NOW + 2 * DAY + HOUR)
    assert "parent" not in {field.name for field in Referral._meta.get_fields()}
    third.home_store = shops.stores["S1"]
    third.save()
    ring = referring.join(third, NOW + 3 * DAY)
    with pytest.raises(IntegrityError, match="ring"), transaction.atomic():
        Referral.objects.filter(pk=ring.pk).update(newcomer=shops.members["安琪"])
    Identity.objects.create(member=shops.members["安琪"], kind="UNIONID", namespace="MAIN", value=ring.unionid)
    judging.judge(now=NOW + 3 * DAY + HOUR)  # who it was becomes known later: the same by a sentence
    ring.refresh_from_db()
    assert (ring.status, ring.reason) == (Status.VOID, "LOOP")
    with pytest.raises(IntegrityError, match="only the referrer"), transaction.atomic():
        coupon = make_coupons.give(programme.coupon_template, shops.members["安琪"], NOW + DAY)
        Referral.objects.filter(pk=row.pk).update(status="VESTED", coupon=coupon)  # 丙's purchase pays 乙, never 安琪
    with pytest.raises(Exception, match="keeps its referrer"), transaction.atomic():
        Referral.objects.filter(pk=row.pk).update(referrer=shops.members["安琪"])


def test_returns_caps_and_time_end_a_referral_and_free_the_budget(shops: factory.Shops) -> None:
    programme = referring.programme(NOW, member_month_cap=1, min_fen=5_000, expires_days=30)
    kept, _m = bring(shops, "安琪", NOW + HOUR, "甲")
    over, _m = bring(shops, "安琪", NOW + 2 * HOUR, "乙")
    returned, _m = bring(shops, "白鹭", NOW + HOUR, "丙")
    little, _m = bring(shops, "丁丁", NOW + HOUR, "丁", fen=4_999)
    shops.refund("丙", 10_000, NOW + DAY)
    programme.refresh_from_db()
    assert programme.reserved_fen == 4 * 2_500
    judging.judge(now=NOW + 20 * DAY)
    judging.judge(now=NOW + 31 * DAY)
    found = dict(Referral.objects.values_list("pk", "reason"))
    assert found == {kept.pk: "", over.pk: "OVER_MEMBER_CAP", returned.pk: "EXPIRED", little.pk: "EXPIRED"}
    programme.refresh_from_db()
    assert programme.reserved_fen == 2_500


def test_flags_hold_until_somebody_else_decides(shops: factory.Shops) -> None:
    referring.programme(NOW, burst_count=3)
    rows = [bring(shops, "安琪", NOW + number * SECOND, f"客{number}")[0] for number in range(3)]
    assert [row.flags for row in rows] == [[], [], ["BURST"]]
    judging.judge(now=NOW + 90 * DAY)
    rows[2].refresh_from_db()
    assert (rows[2].status, rows[2].review) == (Status.CLAIMED, "OPEN")  # neither earned nor ended
    assert refused(
        lambda: reviewing.clear(referral=rows[2], actor=shops.guides["A"].user, reason="店庆", now=NOW)
    ) == "own_referral"  # fmt: skip
    reviewing.clear(referral=rows[2], actor=shops.staff["hq"], reason="店庆排队", now=NOW + 90 * DAY)
    judging.judge(now=NOW + 90 * DAY)
    rows[2].refresh_from_db()
    assert rows[2].status == Status.VESTED
    count = ReferralCount.objects.get(guide=shops.guides["A"])
    assert (count.vested_count, count.review_count) == (3, 0)


def test_two_people_publish_and_the_published_only_ends(shops: factory.Shops) -> None:
    row = referring.draft(NOW)
    author, hq = make_coupons.person("author"), shops.staff["hq"]
    assert refused(lambda: programmes.publish(programme=row, actor=author, now=NOW)) == "own_programme"
    assert programmes.most_referrals(row) == 100
    programmes.publish(programme=row, actor=hq, now=NOW)
    with pytest.raises(Exception, match="only ends"), transaction.atomic():
        ReferralProgramme.objects.filter(pk=row.pk).update(guide_fen=1)
    again = referring.draft(NOW, starts_at=NOW + DAY)
    assert refused(lambda: programmes.publish(programme=again, actor=hq, now=NOW)) == "programme_overlaps"
    programmes.end(programme=row, actor=hq, reason="预算调整", now=NOW + DAY)
    assert refused(lambda: linking.invite(member_id=shops.members["安琪"].pk, now=NOW + DAY)) == "referral_none_runs"


@pytest.mark.django_db(transaction=True)
def test_the_last_of_the_budget_goes_to_one(transactional_db: None) -> None:
    """K5 under real concurrency: twelve join, the budget pays for five."""
    company = factory.shops()
    member = company.member("安琪", store="S1", guide="A")
    row = referring.programme(NOW, budget_fen=5 * 2_500 + 100, burst_count=100)
    token = linking.invite(member_id=member.pk, now=NOW).token

    def join(number: int) -> str:
        try:
            referrals.joining.join(token=token, who=Known(unionid=f"o{number}"), at=NOW + HOUR, now=NOW + HOUR)
        except ReferralRefused as error:
            return error.code
        else:
            return "joined"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(join, range(12)))
    assert (found.count("joined"), found.count("referral_budget")) == (5, 7)
    row.refresh_from_db()
    assert row.reserved_fen == 5 * 2_500 == Referral.objects.count() * 2_500
    assert connection.vendor == "postgresql"


def test_over_http_from_the_members_invitation_to_the_guides_screen(shops: factory.Shops, settings: Any) -> None:
    """The shop asks for a link, a browser opens it, the shop reports who joined, the guide and HQ see it."""
    intake._secrets.clear()
    secret = intake.new_secret(channel="MINI_PROGRAM", actor=None)
    settings.PUBLIC_URL = "https://s.example.com"
    LinkHost.objects.get_or_create(host="shop.example.com")
    now = timezone.now()
    programme = referring.programme(now, target="https://shop.example.com/join?a=1")
    e164 = f"+86{factory.mobile(1)}"

    def post(address: str, said: dict[str, Any], sign: str = secret) -> Any:
        body, timestamp = json.dumps(said).encode(), str(int(timezone.now().timestamp()))
        headers = {"X-Timestamp": timestamp, "X-Signature": intake.signature(sign.encode(), timestamp, body)}
        path = f"/api/channels/MINI_PROGRAM/{address}"
        return Client().post(path, body, content_type="application/json", headers=headers)

    own = Identity.objects.get(member=shops.members["安琪"], kind="MOBILE").sealed
    mine = {"buyer": {"mobile": crypto.open_mobile(bytes(own or b""))}}
    assert post("referral-links", mine, "wrong").status_code == 403
    assert (
        post("referral-links", {"buyer": {"mobile": e164.replace("154", "155")}}).json()["code"]
        == "referral_not_member"
    )
    invited = post("referral-links", mine).json()
    path = invited["address"].removeprefix("https://s.example.com")
    opened = Client().get(path, headers={"User-Agent": "Mozilla/5.0 MicroMessenger"})
    assert (opened.status_code, opened["Location"]) == (302, f"https://shop.example.com/join?a=1&r={invited['token']}")
    assert Client().get(path, headers={"User-Agent": "curl/8"}).status_code == 302  # led on, not counted
    assert Client().get("/r/" + "A" * 32).status_code == 404
    said = {"token": invited["token"], "buyer": {"unionid": "oNEW"}, "joined_at": timezone.now().isoformat()}
    assert post("referrals", said).json()["result"] == "joined"
    assert post("referrals", said).json()["result"] == "known"
    refused_self = post("referrals", said | mine)
    assert (refused_self.status_code, refused_self.json()["code"]) == (422, "referral_self")
    assert post("referrals", {**said, "joined_at": "yesterday"}).status_code == 400

    device = Api(shops.token("A"))
    screen = device.get("referrals").json()
    assert (screen["funnel"]["link_count"], screen["funnel"]["open_count"], screen["funnel"]["joined_count"]) == (
        1,
        1,
        1,
    )
    assert (screen["items"][0]["referrer"], screen["items"][0]["referral_state"]) == ("安琪", "CLAIMED")
    again = device.post(f"members/{shops.members['安琪'].pk}/referral-link", {}, **{"Idempotency-Key": "invite-1"})
    assert (again.status_code, again.json()["token"]) == (200, invited["token"])

    hq = Client()
    hq.force_login(User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend")
    page = hq.get(reverse("admin:campaigns_referralprogramme_figures", args=[programme.pk]) + "?level=guide")
    assert page.status_code == 200 and "王芳" in page.content.decode()
    act = reverse("admin:campaigns_referralprogramme_act", args=[referring.draft(now).pk, "publish"])
    assert (
        "¥25.00" in hq.get(act).content.decode() or "25.00" in hq.get(act).content.decode()
    )  # what each one costs at most
    manager = Client()  # of S1 sees the funnel of S1 and no budget; of S2 nothing of it
    manager.force_login(shops.staff["region"], backend="django.contrib.auth.backends.ModelBackend")
    cut = manager.get(reverse("admin:campaigns_referralprogramme_figures", args=[programme.pk]) + "?level=store")
    shown = cut.content.decode()
    assert cut.status_code == 200 and "S1店" in shown and "¥2,500.00" not in shown
