"""Short links: where they lead, whose touch an opening is, and what is no opening."""

from __future__ import annotations

import datetime as dt
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from campaigns import links
from campaigns.models import LinkDay, LinkHost, ShortLink
from guides import share_tokens
from guides.models import Share, Touch, Visitor
from tests.factories import content as factory

pytestmark = pytest.mark.django_db
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50"
)
TARGET = f"https://{factory.HOST}/goods?id=1&s=forged"


@pytest.fixture
def link(shops) -> ShortLink:
    LinkHost.objects.create(host=factory.HOST)
    return links.make(guide_id=shops.guides["A"].pk, target=TARGET, now=timezone.now())


def open_it(link: ShortLink, client: Client | None = None, *, method: str = "get", agent: str = PHONE, **headers: str):
    return getattr(client or Client(), method)(f"/s/{link.code}", headers={"User-Agent": agent} | headers)


def counted(link: ShortLink) -> tuple[int, int, int]:
    row = LinkDay.objects.filter(link=link).first()
    return (row.open_count, row.repeat_count, row.robot_count) if row else (0, 0, 0)


def test_an_opening_leads_on_with_the_guides_token_and_is_her_touch(link, shops):
    answer = open_it(link)
    assert (
        answer.status_code == 302
        and answer["Cache-Control"] == "no-store"
        and answer["Referrer-Policy"] == "no-referrer"
    )
    parts = urlsplit(answer["Location"])
    assert (parts.scheme, parts.netloc, parts.path) == ("https", factory.HOST, "/goods")
    (token,) = parse_qs(parts.query)["s"]
    assert share_tokens.read(token).share_id == link.share_id and "forged" not in parts.query
    touch = Touch.objects.get()
    assert (touch.kind, touch.guide_id, touch.share_id, touch.is_signed) == (
        "SHARE",
        shops.guides["A"].pk,
        link.share_id,
        True,
    )
    assert touch.visitor_id == Visitor.objects.get().pk and touch.member_id is None
    assert counted(link) == (1, 0, 0)


def test_the_same_browser_within_ten_minutes_is_one_opening_another_is_another(link):
    client = Client()
    for _ in range(3):
        assert open_it(link, client).status_code == 302
    assert (Touch.objects.count(), Visitor.objects.count(), counted(link)) == (1, 1, (1, 2, 0))
    open_it(link)
    assert (Touch.objects.count(), Visitor.objects.count(), counted(link)) == (2, 2, (2, 2, 0))


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "head"},
        {"agent": "Mozilla/5.0 (compatible; Baiduspider/2.0)"},
        {"agent": "python-requests/2.32"},
        {"agent": ""},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
    ],
)
def test_robots_previews_and_prefetches_are_led_on_without_a_token_and_count_apart(link, asked):
    answer = open_it(link, **asked)
    assert answer["Location"] == TARGET and not Touch.objects.exists() and not Visitor.objects.exists()
    assert counted(link) == (0, 0, 1) and not answer.cookies


def test_a_link_that_is_over_leads_nowhere_but_the_opening_is_kept_as_too_late(shops):
    LinkHost.objects.create(host=factory.HOST)
    then = timezone.now() - dt.timedelta(days=31)
    link = links.make(guide_id=shops.guides["A"].pk, target=TARGET, now=then)
    answer = open_it(link)
    assert answer.status_code == 410 and "链接已失效" in answer.content.decode() and "Location" not in answer
    touch = Touch.objects.get()
    assert touch.expires_at == link.expires_at and touch.at >= touch.expires_at


def test_a_host_taken_off_the_list_leads_nowhere(link):
    LinkHost.objects.all().delete()
    assert open_it(link).status_code == 410
    assert open_it(link, agent="curl/8").status_code == 410


def test_an_unknown_code_and_a_forged_cookie(link):
    client = Client()
    client.cookies["scrm_link"] = "' OR 1=1 --"
    assert open_it(link, client).status_code == 302
    assert len(Visitor.objects.get().account) == 32
    assert Client().get("/s/nothing", headers={"User-Agent": PHONE}).status_code == 404
    assert Client().post(f"/s/{link.code}").status_code == 405


def test_who_tries_codes_is_stopped(link, monkeypatch):
    from campaigns.api.links import AddressThrottle

    monkeypatch.setattr(AddressThrottle, "limit", 3)
    assert [open_it(link).status_code for _ in range(5)] == [302, 302, 302, 429, 429]


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/", "javascript:alert(1)", "//shop.example.com/", "https://shop.example.com.evil.org/",
        "https://shop.example.com@evil.org/", "https://evil.org/?https://shop.example.com/", "https://shop.example.com:8443/",
        "https://shop.example.com\\@evil.org/", "https://shop.example.com/\r\nSet-Cookie: a=b", "https://127.0.0.1/", "https://[::1]/",
        "https://sub.shop.example.com/", "", "https://shop.example.com/ x", "ftp://shop.example.com/", "https://shop.example.com/" + "a" * 2_100,
        "https://[shop.example.com/",
    ],
)  # fmt: skip
def test_no_open_redirect(url, shops):
    LinkHost.objects.create(host="shop.example.com")
    with pytest.raises(links.BadTarget):
        links.make(guide_id=shops.guides["A"].pk, target=url, now=timezone.now())


def test_a_guide_has_one_link_to_an_address_while_it_lasts_a_week(link, shops):
    now = timezone.now()
    again = links.make(guide_id=shops.guides["A"].pk, target=TARGET, now=now)
    other = links.make(guide_id=shops.guides["B"].pk, target=TARGET, now=now)
    later = links.make(guide_id=shops.guides["A"].pk, target=TARGET, now=now + dt.timedelta(days=24))
    assert again.pk == link.pk and len({link.pk, other.pk, later.pk}) == 3
    assert Share.objects.count() == 3 and len(link.code) == 10


def test_codes_have_no_pattern(link, shops):
    codes = {
        links.make(guide_id=shops.guides["A"].pk, target=f"https://{factory.HOST}/{n}", now=timezone.now()).code
        for n in range(50)
    }
    assert len(codes) == 50 and all(len(set(code)) > 3 for code in codes)
