"""The sample company: the same seed and day give the same company, and the company could be real."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from attribution import sample
from attribution.models import Decision, Dispute, MoneyBlock, StoreDay
from attribution.sample import coupons as sample_coupons
from attribution.sample import files, loading, logins, people, places, trade
from guides.models import Binding, Delegation
from members import coupons
from members.models import Coupon, CouponTemplate, Member, OrderLine, Redemption, Refund
from scrm import crypto, org
from scrm.models import Job, Store, User

TODAY = dt.date(2026, 6, 18)
NOON = dt.datetime(2026, 6, 18, 12, tzinfo=sample.ZONE)


@pytest.fixture(scope="module")
def company() -> sample.Company:
    return sample.make(7, TODAY)


def test_same_seed_and_day_give_the_same_bytes(company: sample.Company, tmp_path: Path) -> None:
    first = files.write(company, tmp_path / "first")
    again = files.write(sample.make(7, TODAY), tmp_path / "again")
    assert [path.name for path in first] == list(files.FILES)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_another_seed_gives_another_company(company: sample.Company) -> None:
    assert sample.make(8, TODAY).lines != company.lines


def test_its_size_is_what_a_newcomer_is_promised(company: sample.Company) -> None:
    orders = {line.order_no for line in company.lines}
    unknown = sum(not line.buyer_mobile and not line.buyer_card_no for line in company.lines)
    assert len({region.code for region in places.REGIONS if region.parent_code is None}) == 3
    assert (len(company.stores), len(company.members), len(orders)) == (40, 20_000, 60_000)
    assert sum(guide.left_on is None for guide in company.guides) == 160
    assert 1.5 < len(company.lines) / len(orders) < 1.7
    assert 0.18 < unknown / len(company.lines) < 0.23
    assert 0.012 < len(company.refunds) / len(company.lines) < 0.018
    assert {line.channel for line in company.lines} == set(trade.CHANNELS)
    assert min(line.paid_at for line in company.lines).date() == TODAY - dt.timedelta(days=people.WINDOW_DAYS - 1)


def test_everything_carries_the_prefix(company: sample.Company) -> None:
    codes = [
        *(store.code for store in company.stores),
        *(guide.code for guide in company.guides),
        *(member.card_no for member in company.members),
        *(line.order_no for line in company.lines),
        *(line.good.sku for line in company.lines),
    ]
    assert all(code.startswith("DEMO-") for code in codes)
    assert all(
        len(set(those)) == len(those)
        for those in ([g.code for g in company.guides], [m.card_no for m in company.members])
    )


def test_no_number_rings_at_anybodys(company: sample.Company) -> None:
    numbers = [guide.mobile for guide in company.guides] + [
        member.mobile for member in company.members if member.mobile
    ]
    assert len(set(numbers)) == len(numbers)
    assert all(number.startswith(people.MOBILE_BLOCK) and crypto.normalise_mobile(number) for number in numbers)


def test_nothing_lies_in_the_future(company: sample.Company) -> None:
    known = sample.until(company, NOON)
    assert 0 < len(known.lines) < len(company.lines)
    assert max(line.paid_at for line in known.lines) <= NOON
    assert max(line.completed_at for line in known.lines if line.completed_at) <= NOON
    assert max(refund.refunded_at for refund in known.refunds) <= NOON
    assert any(line.completed_at is None for line in known.lines)
    assert max(member.registered_on for member in known.members) <= TODAY
    assert max(move.at for move in known.rebindings) < NOON


def test_refunds_stay_within_their_lines(company: sample.Company) -> None:
    paid = {line[:4]: line for line in company.lines}
    refunded: Counter[tuple[str, str, str, int]] = Counter()
    for refund in company.refunds:
        refunded[refund[:4]] += refund.amount_fen
        assert refund.amount_fen > 0
        assert refund.refunded_at > paid[refund[:4]].paid_at
    assert all(amount <= paid[key].paid_fen for key, amount in refunded.items())
    assert len({(refund.channel, refund.shop, refund.refund_no) for refund in company.refunds}) == len(company.refunds)


def test_who_sells_and_who_serves_works_there_on_that_day(company: sample.Company) -> None:
    guides = {guide.code: guide for guide in company.guides}
    for line in company.lines:
        if line.cashier_code:
            guide = guides[line.cashier_code]
            assert guide.store_code == line.store_code
            assert guide.works_on(line.paid_at.date())
    for member in company.members:
        if member.guide_code:
            assert guides[member.guide_code].works_on(member.registered_on)
    moved = defaultdict(list)
    for move in company.rebindings:
        moved[move.card_no].append(move.at)
        assert guides[move.guide_code].works_on(move.at.date())
    assert all(first < second for times in moved.values() for first, second in pairwise(times))


def test_buyers_come_back_and_few_bring_most(company: sample.Company) -> None:
    registered = {member.card_no: member.registered_on for member in company.members}
    orders: defaultdict[str, set[str]] = defaultdict(set)
    for line in company.lines:
        if line.buyer_card_no:
            orders[line.buyer_card_no].add(line.order_no)
            assert registered[line.buyer_card_no] <= line.paid_at.date()
    counts = sorted(map(len, orders.values()), reverse=True)
    assert sum(counts[: len(counts) // 5]) > 0.5 * sum(counts)


def test_a_member_moves_at_most_once(company: sample.Company) -> None:
    cards = [move.card_no for move in company.rebindings]
    starts = {member.card_no: member.registered_on for member in company.members}
    assert len(set(cards)) == len(cards)
    assert all(move.at.date() > starts[move.card_no] or move.at.hour > 0 for move in company.rebindings)


# --- in the database ---


@pytest.fixture
def loaded(transactional_db: None) -> Job:
    now = timezone.now()
    return loading.load(seed=7, today=timezone.localdate(now), now=now, members=300, orders=900)


def test_it_comes_in_through_the_imports(loaded: Job) -> None:
    assert loaded.status == Job.Status.DONE, loaded.error
    assert Store.objects.count() == 40
    assert Member.objects.count() == 300
    assert OrderLine.objects.values("order").distinct().count() > 850
    assert set(loading.counts(loaded)) == {files.STORES, files.GUIDES, files.MEMBERS, files.ORDERS, files.REFUNDS}
    assert Decision.objects.exclude(state="SUPERSEDED").count() == OrderLine.objects.count()
    assert Refund.objects.filter(status=Refund.Status.WAITING).count() == 0
    assert Binding.objects.exclude(ended_at=None).exists()
    assert Delegation.objects.count() == 3
    assert StoreDay.objects.filter(gmv_fen__gt=0).exists()
    assert not (Path(settings.SCRM_VAR) / "sample").exists()
    assert list(Dispute.objects.order_by("pk").values_list("status", flat=True)) == ["STORE", "UPHELD"]
    used = Redemption.objects.values_list("status", flat=True)
    assert Counter(used)["REVERSED"] == 1 and 2 <= len(used) <= sample_coupons.MOST
    assert (
        Coupon.objects.filter(status="HELD").exists() and CouponTemplate.objects.filter(status="PUBLISHED").count() == 3
    )
    again = sample_coupons.load(dt.datetime.fromisoformat(loaded.params["until"]))
    assert again == Coupon.objects.count() == loaded.summary["coupons"] and coupons.daily.differences() == []
    assert Dispute.objects.order_by("pk")[1].moved_fen > 0 and MoneyBlock.objects.live().exists()


def test_every_role_has_a_login_outside_production(loaded: Job) -> None:
    for login in logins.LOGINS:
        user = User.objects.get(username=login.username)
        assert user.check_password(login.password)
        assert org.roles_of(user) == {login.role}
    assert [login.username for login in logins.existing()] == [login.username for login in logins.LOGINS]
    manager = User.objects.get(username="DEMO-G0001")
    assert manager.guide.code == "DEMO-G0001"
    assert org.scope_of(manager).store_ids == {Store.objects.get(code="DEMO-S001").pk}


def test_no_login_is_shown_or_made_in_production(loaded: Job) -> None:
    with override_settings(PRODUCTION=True):
        assert logins.existing() == []
        with pytest.raises(ImproperlyConfigured):
            logins.create()


def test_a_second_load_is_refused_and_if_empty_does_nothing(loaded: Job) -> None:
    assert not loading.is_wanted()
    call_command("make_sample", "--if-empty")
    assert Job.objects.filter(kind=loading.KIND).count() == 1
    with pytest.raises(loading.DatabaseNotEmpty):
        loading.load(seed=7, today=TODAY, now=timezone.now())


def test_a_killed_load_goes_on_to_the_same_rows(loaded: Job) -> None:
    before = (OrderLine.objects.count(), Decision.objects.count(), Binding.objects.count(), Delegation.objects.count())
    Job.objects.filter(pk=loaded.pk).update(status=Job.Status.RUNNING, ended_at=None)
    assert loading.is_wanted()
    again = loading.load(seed=8, today=TODAY, now=timezone.now())
    assert (again.pk, again.status) == (loaded.pk, Job.Status.DONE)
    assert before == (
        OrderLine.objects.count(),
        Decision.objects.count(),
        Binding.objects.count(),
        Delegation.objects.count(),
    )
