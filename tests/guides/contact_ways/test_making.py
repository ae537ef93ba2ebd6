"""Codes made, changed and retired against a WeCom that may refuse, lose answers or be full."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from guides import contact_ways
from guides.contact_ways import Staff, making, topics
from guides.models import ContactWay, StrayWay, WayDay
from scrm.models import OutboxMessage
from scrm.wecom import outbox
from tests.factories.shops import leave
from tests.guides.contact_ways.conftest import Company

HOUR = dt.timedelta(hours=1)


def at_wecom(company: Company, way: ContactWay) -> Any:
    return company.wecom.world.ways[way.config_id or ""]


def test_a_state_is_short_and_never_the_same() -> None:
    assert [making.state_of(number) for number in (1, 35, 36, 10**6)] == ["w1", "wz", "w10", "wlfls"]
    assert len(making.state_of(2**63 - 1)) <= 30


def test_a_guides_code_is_made_with_its_state(company: Company) -> None:
    way = company.make()
    made = at_wecom(company, way)
    assert (way.status, way.live_userids, way.error_code) == ("LIVE", ["guide_a"], "")
    assert (made.state, made.remark, made.type, made.skip_verify, made.users) == (
        way.state,
        "王芳",
        1,
        True,
        ("guide_a",),
    )
    assert way.qr_code.endswith(way.config_id or "-")


def test_a_lost_answer_is_looked_for_and_never_made_again(company: Company) -> None:
    """W5: WeCom made it, the answer was lost; the code is found by its state, and there is one."""
    other = company.make("B")
    way = company.draft()
    contact_ways.create(way=way, actor=None, now=timezone.now())
    company.wecom.faults.add("lose", "externalcontact/add_contact_way", times=1)
    assert company.send().unknown == 1
    way.refresh_from_db()
    assert (way.status, way.config_id) == ("CREATING", None)
    outbox.sweep(now=timezone.now() + HOUR)
    way.refresh_from_db()
    assert (way.status, at_wecom(company, way).state) == ("LIVE", way.state)
    assert len(company.wecom.world.ways) == 2 and other.config_id != way.config_id


def test_a_request_that_never_arrived_is_sent_again(company: Company) -> None:
    way = company.draft()
    contact_ways.create(way=way, actor=None, now=timezone.now())
    company.wecom.faults.add("page", "externalcontact/add_contact_way", times=1)
    company.send()
    outbox.sweep(now=timezone.now() + HOUR)
    outbox.send_due(now=timezone.now() + 2 * HOUR)
    way.refresh_from_db()
    assert way.status == "LIVE" and len(company.wecom.world.ways) == 1


def test_what_wecom_refuses_says_why_and_can_be_tried_again(company: Company) -> None:
    company.wecom.world.members["guide_a"].is_real_name = False
    way = company.make()
    assert (way.status, way.error_code, way.config_id) == ("FAILED", "wecom_not_activated", None)
    assert "40098" in way.error_text
    company.wecom.world.members["guide_a"].is_real_name = True
    contact_ways.create(way=way, actor=None, now=timezone.now())
    company.send()
    way.refresh_from_db()
    assert (way.status, way.error_text) == ("LIVE", "")


def test_at_the_quota_codes_wait_say_so_and_go_on_when_there_is_room(company: Company) -> None:
    """41045: nothing fails, WeCom is asked once, and a retired code lets the next one on."""
    company.wecom.world.quotas.contact_ways = 1
    first = company.make("A")
    waiting = [company.make("B"), company.make("F")]
    assert [(way.status, way.error_code) for way in waiting] == [("CREATING", "wecom_quota"), ("CREATING", "")]
    assert company.wecom.box.counts["externalcontact/add_contact_way"] == 2
    contact_ways.retire(way=first, actor=None, now=timezone.now())
    company.send()
    outbox.send_due(now=timezone.now() + 2 * HOUR)
    states = {way.pk: way.status for way in ContactWay.objects.all()}
    assert states[first.pk] == "RETIRED"
    assert sorted(states[way.pk] for way in waiting) == ["CREATING", "LIVE"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "长" * 31},
        {"staff": []},
        {"daily_cap": 0},
        {"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
        {"purpose": "STORE", "guide": None},
    ],
)
def test_bad_input_leaves_nothing_half_done(company: Company, change: dict[str, Any]) -> None:
    with pytest.raises(contact_ways.BadWay):
        company.draft(**change)
    assert not ContactWay.objects.exists() and not OutboxMessage.objects.exists()


def test_a_guide_without_an_account_and_a_second_own_code_are_refused(company: Company) -> None:
    company.shops.guides["B"].wecom_userid = None
    company.shops.guides["B"].save()
    with pytest.raises(contact_ways.BadWay, match="G00002"):
        company.draft("B")
    way = company.draft()
    with pytest.raises(contact_ways.WayExists):
        company.draft()
    contact_ways.retire(way=way, actor=None, now=timezone.now())
    assert company.draft().state != way.state


def test_changed_people_reach_wecom_and_verification_stays_as_it_was(company: Company) -> None:
    a, b = (Staff(company.shops.guides[name]) for name in "AB")
    way = company.store_way(a, skip_verify=False)
    contact_ways.change(
        way=way, name="门店码二", staff=[a, b], skip_verify=False, daily_cap=None, expires_at=None, actor=None,
        now=timezone.now(),
    )  # fmt: skip
    company.send()
    made = at_wecom(company, way)
    assert (made.users, made.remark, made.skip_verify, made.state) == (
        ("guide_a", "guide_b"),
        "门店码二",
        False,
        way.state,
    )
    way.refresh_from_db()
    assert way.live_userids == ["guide_a", "guide_b"]


def test_a_change_while_it_is_being_made_follows_it(company: Company) -> None:
    a, b = (Staff(company.shops.guides[name]) for name in "AB")
    way = company.draft(purpose="CAMPAIGN", guide=None, staff=[a])
    contact_ways.create(way=way, actor=None, now=timezone.now())
    contact_ways.change(
        way=way,
        name="双旦",
        staff=[b],
        skip_verify=True,
        daily_cap=None,
        expires_at=None,
        actor=None,
        now=timezone.now(),
    )
    company.send()
    company.send()
    way.refresh_from_db()
    assert at_wecom(company, way).users == ("guide_b",) and way.live_userids == ["guide_b"]


def test_over_the_cap_the_backup_takes_over_and_wecom_is_told_once(company: Company) -> None:
    a, b = company.shops.guides["A"], company.shops.guides["B"]
    way = company.store_way(Staff(a), Staff(b, is_backup=True), daily_cap=2)
    now = timezone.now()
    assert contact_ways.refresh(now=now)["told"] == 0
    for name in ("一", "二"):
        company.scan(way, name)
    assert WayDay.objects.get(way=way).friend_count == 2
    assert contact_ways.refresh(now=now)["told"] == 1
    assert contact_ways.refresh(now=now)["told"] == 0  # asked for already, though not yet sent
    company.send()
    assert at_wecom(company, way).users == ("guide_b",)
    assert contact_ways.refresh(now=now + dt.timedelta(days=1))["told"] == 1  # a new day, nobody is full


def test_a_code_without_anybody_is_not_asked_for(company: Company) -> None:
    way = company.draft()
    leave(company.shops.guides["A"], timezone.now() - HOUR)
    with pytest.raises(contact_ways.BadWay):
        contact_ways.create(way=way, actor=None, now=timezone.now())
    way.refresh_from_db()
    assert way.status == "DRAFT" and not OutboxMessage.objects.exists()


def test_who_has_left_is_added_no_more(company: Company) -> None:
    a, b = company.shops.guides["A"], company.shops.guides["B"]
    way = company.store_way(Staff(a), Staff(b))
    leave(a, timezone.now() - HOUR)
    assert contact_ways.refresh(now=timezone.now())["told"] == 1
    company.send()
    assert at_wecom(company, way).users == ("guide_b",)
    leave(b, timezone.now() - HOUR)
    assert contact_ways.refresh(now=timezone.now())["told"] == 0  # WeCom takes no code without anybody


def test_an_expired_code_is_retired_and_given_back(company: Company) -> None:
    way = company.store_way(Staff(company.shops.guides["A"]), expires_at=timezone.now() + HOUR)
    assert contact_ways.refresh(now=timezone.now() + 2 * HOUR)["expired"] == 1
    outbox.send_due(now=timezone.now() + 3 * HOUR)
    way.refresh_from_db()
    assert way.status == "RETIRED" and not company.wecom.world.ways


def test_deleting_what_is_gone_already_is_done(company: Company) -> None:
    way = company.make()
    company.wecom.world.ways.clear()
    contact_ways.retire(way=way, actor=None, now=timezone.now())
    assert company.send().done == 1


def test_two_codes_made_for_one_row_leave_a_stray_one(company: Company) -> None:
    """A refused message sent again by a person after the row got another code."""
    way = company.make()
    intent = outbox.Intent(1, topics.CREATE, company.wecom.corp, "k", {"way": way.pk}, 1, timezone.now())
    topics._created(intent, {"config_id": "second", "qr_code": "https://q"}, None)
    way.refresh_from_db()
    assert way.config_id != "second"
    assert StrayWay.objects.get().way == way
