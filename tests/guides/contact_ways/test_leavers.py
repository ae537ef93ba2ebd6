"""The printed code of a guide who is gone goes on working: another is added through it until she is back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from guides import contact_ways, directory
from guides.models import ContactWay, Employment, Friendship, Guide, HandoverCase, HandoverTaker, WayDay
from scrm.models import Act, User
from scrm.wecom import outbox
from scrm.wecom.sandbox import people
from tests.factories import shops as factory
from tests.guides.contact_ways.conftest import Company

DAY = dt.timedelta(days=1)


def gone(company: Company, name: str = "A") -> None:
    """Her account is deleted at WeCom, and the event has come."""
    people.leave(company.wecom.world, f"guide_{name.lower()}")
    company.hear()


def back(company: Company, name: str = "A") -> None:
    directory.say_member(
        corp=company.wecom.corp, userid=f"guide_{name.lower()}", at=timezone.now() + DAY, is_there=True
    )


def again(way: ContactWay) -> ContactWay:
    way.refresh_from_db()
    return way


def at_wecom(company: Company, way: ContactWay) -> Any:
    return company.wecom.world.ways[way.config_id or ""].users


@pytest.fixture
def way(company: Company) -> ContactWay:
    made = company.make()
    for name, guide in company.shops.guides.items():
        directory.say_member(
            corp=company.wecom.corp, userid=f"guide_{name.lower()}", at=timezone.now() - DAY, is_there=True
        )
        assert guide.wecom_userid
    return made


def test_the_manager_of_her_store_is_added_at_once(company: Company, way: ContactWay) -> None:
    """The deletion of the account alone does it; a scan of the printed code reaches the manager and counts for her."""
    gone(company)
    assert at_wecom(company, way) == ("guide_m",)
    assert (again(way).stand_in, way.stand_in_by, way.status) == (company.shops.guides["M"], "MANAGER", "LIVE")
    customer = company.scan(way)
    friend = Friendship.objects.get(contact__external_userid=customer)
    assert (friend.guide, friend.state) == (company.shops.guides["M"], way.state)
    assert WayDay.objects.get(way=way).guide == company.shops.guides["M"]
    assert Act.objects.filter(verb="way.stand_in").count() == 1


def test_nothing_is_told_twice(company: Company, way: ContactWay) -> None:
    gone(company)
    version = again(way).version
    for _again in range(3):
        contact_ways.refresh(now=timezone.now())
    assert again(way).version == version


def test_who_took_her_customers_over_comes_first(company: Company, way: ContactWay) -> None:
    gone(company)
    hq = User.objects.create_user("somebody")
    case = HandoverCase.objects.get(guide=company.shops.guides["A"])
    HandoverTaker.objects.create(case=case, guide=company.shops.guides["B"], userid="guide_b")
    contact_ways.refresh(now=timezone.now())
    assert again(way).stand_in == company.shops.guides["M"]  # planned only
    case.status, case.approved_by, case.started_at = "RUNNING", hq, timezone.now()
    case.save()
    contact_ways.refresh(now=timezone.now())
    company.send()
    assert at_wecom(company, way) == ("guide_b",)
    assert (again(way).stand_in_by, way.stand_in) == ("TAKER", company.shops.guides["B"])


def test_an_employment_that_has_ended_counts_like_a_deleted_account(company: Company, way: ContactWay) -> None:
    factory.leave(company.shops.guides["A"], timezone.now() - dt.timedelta(hours=1))
    assert contact_ways.refresh(now=timezone.now())["stood_in"] == 1
    company.send()
    assert at_wecom(company, way) == ("guide_m",)


def test_a_colleague_then_a_brand_account_then_nobody(company: Company, way: ContactWay, settings: Settings) -> None:
    """Who is on WeCom and works: the manager without an account is passed over, and so is who is gone herself."""
    shops = company.shops
    Guide.objects.filter(pk=shops.guides["M"].pk).update(wecom_userid=None)
    shops.guides["C"] = factory.hire("G00005", "陈曦", shops.stores["S1"])
    Guide.objects.filter(pk=shops.guides["C"].pk).update(wecom_userid="guide_c")
    company.wecom.world.add_member("guide_c", "陈曦")
    gone(company)
    assert (again(way).stand_in_by, at_wecom(company, way)) == ("COLLEAGUE", ("guide_c",))
    factory.leave(shops.guides["C"], timezone.now() - dt.timedelta(hours=1))
    settings.WECOM_BRAND_ACCOUNTS = ["guide_b"]
    contact_ways.refresh(now=timezone.now())
    company.send()
    assert (again(way).stand_in_by, at_wecom(company, way)) == ("BRAND", ("guide_b",))
    settings.WECOM_BRAND_ACCOUNTS = []
    contact_ways.refresh(now=timezone.now())
    assert (again(way).stand_in_by, way.stand_in, way.status) == ("NOBODY", None, "LIVE")


def test_it_is_hers_again_when_she_is_back(company: Company, way: ContactWay) -> None:
    gone(company)
    company.wecom.world.add_member("guide_a", "王芳")
    back(company)
    company.send()
    assert at_wecom(company, way) == ("guide_a",)
    assert (again(way).stand_in, way.stand_in_by, way.stand_in_since) == (None, "", None)
    assert contact_ways.refresh(now=timezone.now())["returned"] == 0


def test_by_policy_it_is_retired_some_days_later(company: Company, way: ContactWay, settings: Settings) -> None:
    settings.WECOM_LEAVER_WAY_DAYS = 30
    gone(company)
    contact_ways.refresh(now=timezone.now() + 29 * DAY)
    assert again(way).status == "LIVE"
    contact_ways.refresh(now=timezone.now() + 31 * DAY)
    outbox.send_due(now=timezone.now() + 31 * DAY)
    assert again(way).status == "RETIRED" and way.config_id not in company.wecom.world.ways


def test_the_codes_of_a_hundred_leavers_cost_no_more_questions(
    company: Company, django_assert_max_num_queries: Any
) -> None:
    """Set-based: what is looked up does not grow with the codes; each code that changes is told by its own message."""
    store = company.shops.stores["S1"]
    ways = [company.draft("A")]
    for number in range(99):
        guide = factory.hire(f"G9{number:04}", "离职", store)
        Guide.objects.filter(pk=guide.pk).update(wecom_userid=f"left_{number}")
        guide.refresh_from_db()
        company.shops.guides[f"X{number}"] = guide
        ways.append(company.draft(f"X{number}"))
    for way in ways:
        ContactWay.objects.filter(pk=way.pk).update(status="LIVE", config_id=f"c{way.pk}", stand_in_by="")
    Employment.objects.exclude(guide__code="G00004").filter(store=store).update(ended_at=timezone.now())
    everybody = list(ContactWay.objects.select_related("corp"))
    with django_assert_max_num_queries(6):
        found = contact_ways.leavers.stand_ins(everybody, timezone.now())
    assert {one.userid for one in found.values()} == {"guide_m"} and len(found) == 100


def test_the_ledger_says_who_stands_in(company: Company, way: ContactWay, client: Any) -> None:
    gone(company)
    client.force_login(company.shops.staff["hq"])
    page = client.get("/admin/guides/contactway/?stand_in_by__exact=MANAGER").content.decode()
    assert "张敏" in page
    page = client.get(f"/admin/guides/contactway/{way.pk}/change/").content.decode()
    assert "张敏" in page and "scrm-alert" in page
