"""A pre-opening pool on the sandbox's clock, from the plan to the handover; refusals; the forecast and the comparison."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.communities import reservoir
from campaigns.communities.reservoir import comparing, counting, handing
from campaigns.models import Reservoir, ReservoirEntry
from guides.handover import plan as handover
from guides.models import Action, Binding, Contact, ContactWay, Employment, Follower, Friendship, Guide, HandoverItem
from members.models import CouponTemplate
from scrm import jobs
from scrm.models import Store
from scrm.wecom import outbox
from scrm.wecom.sandbox import people
from tests.factories import coupons as make_coupons
from tests.factories import shops as factory
from tests.factories.console import Console, console
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]
pytestmark = pytest.mark.django_db
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Console:
    """A of S1 and B of S2 have accounts at WeCom; N9 is to open."""
    found = console()
    for code in ("A", "B"):
        staffed(sandbox, found.shops.guides[code])
    s1 = found.shops.stores["S1"]
    found.shops.stores["N9"] = Store.objects.create(
        code="N9", name="新天地店", entity=s1.entity, region=s1.region, ownership="DIRECT"
    )
    return found


def staffed(sandbox: Wired, guide: Guide) -> Guide:
    sandbox.world.add_member(guide.code, guide.name)
    Guide.objects.filter(pk=guide.pk).update(wecom_userid=guide.code)
    Follower.objects.get_or_create(
        corp=sandbox.corp, userid=guide.code.lower(), defaults={"guide": guide, "is_listed": True}
    )
    return guide


def noon(days: int = 0) -> dt.datetime:
    return timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0) + days * DAY


def said(sandbox: Wired, company: Console, **values: Any) -> reservoir.Draft:
    today = noon().date()
    gift = values.pop("gift", None) or make_coupons.template(
        now=noon(),
        total_cap=2,
        budget_fen=None,
        claim_from=noon() - 60 * DAY,
        claim_until=noon() + 90 * DAY,
        valid_days=60,
    )
    return reservoir.Draft(
        **{
            "store": company.shops.stores["N9"], "corp": sandbox.corp, "name": "新天地开业", "starts_on": today,
            "opens_on": today + 8 * DAY, "target_count": 10, "gift": gift, "cost_fen": 100_000, "margin_bp": 3_000,
            "places": "围挡东侧 121.4737,31.2304\n地铁口", "staff": f"G00001 {today + 9 * DAY}\nG00002 {today + 2 * DAY}", **values,
        }
    )  # fmt: skip


def started(sandbox: Wired, company: Console, **values: Any) -> Reservoir:
    row = reservoir.draft(said=said(sandbox, company, **values), actor=company.staff["hq"], now=noon())
    reservoir.begin(reservoir=row, actor=company.staff["hq"], now=noon())
    outbox.send_due(now=timezone.now())
    return row


def scan(sandbox: Wired, row: Reservoir, place: str, name: str) -> Contact:
    way = row.places.get(name=place).way
    assert way is not None
    who = people.newcomer(sandbox.world, name)
    asked: Any = people.scan(sandbox.world, way.config_id or "", who)
    people.confirm(sandbox.world, way.live_userids[0] if not hasattr(asked, "userid") else asked.userid, who)
    sandbox.tell()
    outbox.send_due(now=timezone.now())
    return Contact.objects.get(external_userid=who)


def registered(company: Console, contact: Contact, guide: str | None = "A") -> Any:
    member = company.shops.member(contact.name or contact.external_userid, store="S1", guide=guide)
    Contact.objects.filter(pk=contact.pk).update(member=member, linked_by="MOBILE", linked_at=timezone.now())
    return member


def test_from_the_plan_to_the_handover(sandbox: Wired, company: Console) -> None:
    row = started(sandbox, company)
    store = Store.objects.get(code="N9")
    ways = list(ContactWay.objects.filter(store=store).order_by("pk"))
    assert store.opened_on == row.opens_on and [way.status for way in ways] == ["LIVE", "LIVE"]
    assert {code for way in ways for code in way.live_userids} == {"g00001", "g00002"}
    one, two, three = (
        scan(sandbox, row, place, name) for place, name in (("围挡东侧", "甲"), ("地铁口", "乙"), ("地铁口", "丙"))
    )
    late = noon() + 10 * HOUR
    reservoir.sweep(now=late)
    reservoir.sweep(now=late)
    assert ReservoirEntry.objects.filter(reservoir=row, gift="WAITS").count() == 3
    members = [registered(company, contact) for contact in (one, two, three)]
    reservoir.sweep(now=late)
    entries = list(row.entries.order_by("joined_at", "pk").values_list("gift", flat=True))
    assert sorted(entries) == ["GIVEN", "GIVEN", "REFUSED"]  # the stock is two
    refused = row.entries.get(gift="REFUSED")
    assert "2" in refused.gift_problem
    more = make_coupons.template(
        now=noon(), claim_from=noon() - 60 * DAY, claim_until=noon() + 90 * DAY, valid_days=60, budget_fen=None
    )
    assert reservoir.change_gift(reservoir=row, gift=more, actor=company.staff["hq"], now=late) == 1
    reservoir.sweep(now=late)
    assert row.entries.filter(gift="GIVEN").count() == 3

    # the third day: B's last day is over; the countdown asks on its day, once, and only who stands behind the codes
    for day in range(1, 9):
        sandbox.later(86_400)
        reservoir.sweep(now=noon(day))
        outbox.send_due(now=noon(day) + HOUR)
    steps = list(row.steps.order_by("-days_before").values_list("days_before", "given_count"))
    assert steps == [(7, 2), (3, 1), (1, 1), (0, 1)]
    assert Action.objects.filter(source="RESERVOIR", guide=company.shops.guides["A"]).count() == 4
    assert ContactWay.objects.get(pk=ways[0].pk).live_userids == ["g00001"]
    assert row.staff.get(guide=company.shops.guides["B"]).removed_at is not None

    # the opening day by the hour
    coupon = row.entries.filter(gift="GIVEN").order_by("pk")[0].coupon
    assert coupon is not None
    make_coupons.redeem(coupon, make_coupons.till(store), now=noon(8) + 2 * HOUR)
    (hour,) = counting.board(reservoir=row)
    assert (hour.hour, hour.claimed, hour.redeemed) == (14, 0, 1)
    figures = counting.figures(reservoir=row, now=noon(8))
    assert (figures.joined, figures.members, figures.given, figures.redeemed) == (3, 3, 3, 1)

    # the hired guide takes over what A has of the pool; A's own customer stays hers
    with pytest.raises(reservoir.WrongState, match="还没有"):
        handing.plan(reservoir=row, actor=company.staff["hq"], now=timezone.now())
    hired = staffed(sandbox, factory.hire("G00050", "新导购", store))
    Employment.objects.filter(guide=hired).update(started_at=noon(-1))
    found = handing.preview(reservoir=row, now=timezone.now())
    assert (found.customers, [taker.code for taker in found.takers]) == (3, ["G00050"])
    (case,) = handing.plan(reservoir=row, actor=company.staff["hq"], now=timezone.now())
    assert Binding.objects.filter(guide=hired).count() == 0 and case.item_count == 3
    job = handover.confirm(case=case, actor=company.staff["hq"], now=timezone.now()).job
    assert job is not None
    jobs.run(job.pk)
    assert Binding.objects.filter(guide=hired, ended_at=None, store=store, member__in=members).count() == 3
    assert Binding.objects.filter(
        member=company.shops.members["安琪"], ended_at=None, guide=company.shops.guides["A"]
    ).exists()
    befriended = Friendship.objects.filter(guide=company.shops.guides["A"], contact__in=[one, two, three]).count()
    assert HandoverItem.objects.filter(case=case, contact__isnull=False).count() == befriended > 0  # B has the others
    page = company.client("hq").get(reverse("admin:campaigns_reservoir_change", args=(row.pk,)))
    assert page.status_code == 200 and "围挡东侧" in page.content.decode()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"opens_on": dt.date(2020, 1, 1)}, "opens_on"),
        ({"places": "东侧 上海"}, "places"),
        ({"places": "东侧\n东侧"}, "places"),
        ({"places": "东侧 131.47,131.23"}, "places"),
        ({"staff": "G99999 2099-01-01"}, "staff"),
        ({"staff": "G00001 2026-02-30"}, "staff"),
        ({"staff": "G00003 2099-01-01"}, "staff"),  # no account at WeCom
    ],
)
def test_what_cannot_be_is_said_at_its_field_and_nothing_is_written(
    sandbox: Wired, company: Console, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(reservoir.BadReservoir) as refused:
        reservoir.draft(said=said(sandbox, company, **values), actor=company.staff["hq"], now=noon())
    assert list(refused.value.extra["fields"]) == [field] and not Reservoir.objects.exists()


def test_one_pool_a_store_and_a_gift_that_lasts(sandbox: Wired, company: Console) -> None:
    reservoir.draft(said=said(sandbox, company), actor=company.staff["hq"], now=noon())
    with pytest.raises(reservoir.BadReservoir, match="蓄水"):
        reservoir.draft(said=said(sandbox, company), actor=company.staff["hq"], now=noon())
    short = make_coupons.template(now=noon(), claim_from=noon() - DAY, claim_until=noon() + 90 * DAY, valid_days=5)
    assert CouponTemplate.objects.filter(pk=short.pk).exists()
    with pytest.raises(reservoir.BadReservoir) as refused:
        reservoir.draft(said=said(sandbox, company, gift=short), actor=company.staff["hq"], now=noon())
    assert "gift" in refused.value.extra["fields"]
    assert Reservoir.objects.count() == 1


def test_forecast_and_payback() -> None:
    assert counting.forecast([5, 5], 10, 3) is None
    assert counting.forecast([10, 10, 10], 30, 5) == counting.Forecast(80, 80, 80, 3, 5)
    found = counting.forecast([8, 12, 10, 6, 14], 50, 4)
    assert found is not None and found.low < found.expected == 90 < found.high
    # by hand: mean 10, variance 10, t(0.975, 4) = 2.776, half = 2.776 * sqrt(10 * (4 + 16 / 5)) = 23.56
    assert (found.low, found.high) == (66, 114)
    one = comparing.against(1_000, [400, 500, 600])
    assert (one.difference, one.mean) == (500, 500)
    assert (one.low, one.high) == (500 - 497, 500 + 497)  # t(0.975, 2) = 4.303, sd 100, sqrt(1 + 1 / 3)
    assert comparing.payback(100_000, 600_000, 30, 3_000) == 17 and comparing.payback(1, 0, 30, 3_000) is None


def test_compared_with_openings_without_a_pool(sandbox: Wired, company: Console) -> None:
    row = started(sandbox, company)
    opened = noon().date() - 10 * DAY
    Reservoir.objects.filter(pk=row.pk).update(starts_on=opened - 9 * DAY, opens_on=opened)
    row.refresh_from_db()
    assert comparing.compare(reservoir=row, discount_fen=0, now=noon()) is None  # nobody alike
    s1 = company.shops.stores["S1"]
    for number, fen in enumerate((1_000, 2_000, 3_000)):
        code = f"K{number}"
        company.shops.stores[code] = Store.objects.create(
            code=code, name=code, entity=s1.entity, region=s1.region, ownership="DIRECT", opened_on=opened - 20 * DAY
        )
        company.shops.line(code, member=None, store=code, paid_fen=fen, at=noon(-28))
    company.shops.line("own", member=None, store="N9", paid_fen=9_000, at=noon(-9))
    company.shops.line("before", member=None, store="N9", paid_fen=500, at=noon(-12))
    found = comparing.compare(reservoir=row, discount_fen=200, now=noon())
    assert found is not None and (found.days, found.cost_fen) == (10, 100_200)
    assert (found.sales.own, found.sales.mean, found.sales.difference) == (9_000, 2_000, 7_000)
