"""Customers and groups handed over: what is answered at once, what happens a day later, and what events say of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from scrm.wecom import customers, errors, transfers
from scrm.wecom.sandbox import groups as life
from scrm.wecom.sandbox import people
from scrm.wecom.sandbox import transfers as fate
from tests.factories.wecom import Wired

DAY = 86_400
PAIR = {"handover": "guide_0009", "takeover": "brand_ip"}


@pytest.fixture
def box(sandbox: Wired) -> Wired:
    world = sandbox.world
    for userid in ("guide_0009", "brand_ip", "other"):
        world.add_member(userid)
    for number in range(4):
        world.add_contact(f"客户{number}", external_userid=f"wm{number}")
        world.befriend("guide_0009", f"wm{number}", remark=f"备注{number}", state="s1")
    return sandbox


def start(box: Wired, *those: str, is_resigned: bool = False, **pair: str) -> dict[str, int]:
    return transfers.start(box.app, **{**PAIR, **pair}, external_userids=those, is_resigned=is_resigned)


def statuses(box: Wired, *, is_resigned: bool = False) -> dict[str, int]:
    found = transfers.results(box.app, **PAIR, is_resigned=is_resigned)
    return {one.external_userid: one.status for one in found}


def told(box: Wired) -> list[tuple[str, str, str]]:
    """Of each event: what happened, to whom, and the source or the reason."""
    rows = []
    for event in box.world.events:
        said: dict[str, Any] = dict(re.findall(r"<(\w+)><!\[CDATA\[(.*?)\]\]>", event.xml))
        rows.append((event.change_type, said.get("UserID", ""), said.get("Source") or said.get("FailReason") or ""))
    return rows


def test_customers_move_after_a_day(box: Wired) -> None:
    assert start(box, "wm0", "wmGone") == {"wm0": transfers.BEGUN, "wmGone": 40096}
    assert start(box, "wm0") == {"wm0": 40129}
    (result,) = transfers.results(box.app, **PAIR, is_resigned=False)
    assert result.status == transfers.WAITING and result.takeover_at is not None
    assert 23 * 3600 < result.takeover_at.timestamp() - box.world.clock.now() <= DAY
    assert told(box) == []
    box.later(DAY)
    assert statuses(box) == {"wm0": transfers.DONE}
    assert told(box) == [
        ("del_external_contact", "guide_0009", "DELETE_BY_TRANSFER"),
        ("add_external_contact", "brand_ip", ""),
    ]
    _customer, (follow,) = customers.get(box.app, "wm0")
    assert (follow.userid, follow.add_way, follow.remark, follow.state) == ("brand_ip", 202, "备注0", "")


def test_a_customer_whom_the_taker_knows_already_makes_no_event_for_her(box: Wired) -> None:
    box.world.befriend("brand_ip", "wm0")
    start(box, "wm0")
    box.later(DAY)
    assert statuses(box) == {"wm0": transfers.DONE}
    assert [change for change, _userid, _why in told(box)] == ["del_external_contact"]


def test_a_customer_who_refuses(box: Wired) -> None:
    start(box, "wm0")
    (key,) = box.world.transfers
    fate.refuse(box.world, key)
    assert statuses(box) == {"wm0": transfers.REFUSED}
    assert told(box) == [("transfer_fail", "brand_ip", "customer_refused")]
    box.later(DAY)
    assert statuses(box) == {"wm0": transfers.REFUSED}
    assert box.world.follow("guide_0009", "wm0") is not None


def test_a_share_of_customers_refuses_and_the_seed_says_who(box: Wired) -> None:
    box.world.transfer_refusals = 1.0
    start(box, "wm0", "wm1")
    box.later(DAY)
    assert statuses(box) == {"wm0": transfers.REFUSED, "wm1": transfers.REFUSED}


def test_a_taker_who_is_full(box: Wired) -> None:
    box.world.quotas.customers_per_member = 1
    assert start(box, "wm0", "wm1") == {"wm0": transfers.BEGUN, "wm1": 40099}
    box.world.add_contact("别人", external_userid="wm9")
    box.world.befriend("brand_ip", "wm9")
    box.later(DAY)
    assert statuses(box) == {"wm0": transfers.AT_LIMIT}
    assert told(box) == [("transfer_fail", "brand_ip", "customer_limit_exceed")]


def test_twice_in_ninety_days(box: Wired) -> None:
    for giver, taker in (("guide_0009", "brand_ip"), ("brand_ip", "other")):
        assert start(box, "wm0", handover=giver, takeover=taker) == {"wm0": 0}
        box.later(DAY)
    assert start(box, "wm0", handover="other", takeover="guide_0009") == {"wm0": 40128}
    box.later(90 * DAY)
    assert start(box, "wm0", handover="other", takeover="guide_0009") == {"wm0": 0}


def test_who_cannot_take_or_give(box: Wired) -> None:
    assert start(box, "wm0", takeover="guide_0009") == {"wm0": 40130}
    assert start(box, "wm0", handover="other") == {"wm0": 40131}
    box.world.members["brand_ip"].is_real_name = False
    with pytest.raises(errors.NotActivated):
        start(box, "wm0")
    with pytest.raises(errors.NotFound):
        start(box, "wm0", takeover="nobody")
    with pytest.raises(errors.TransferRefused) as caught:
        start(box, "wm0", takeover="other", is_resigned=True)
    assert caught.value.errcode == 40097


def test_customers_of_a_member_who_left(box: Wired) -> None:
    box.world.leave("guide_0009")
    assert {one.external_userid for one in transfers.unassigned(box.app)} == {"wm0", "wm1", "wm2", "wm3"}
    assert start(box, "wm0", "wm1", is_resigned=True) == {"wm0": 0, "wm1": 0}
    assert {one.external_userid for one in transfers.unassigned(box.app)} == {"wm2", "wm3"}
    with pytest.raises(errors.NotFound):
        start(box, "wm2")
    box.later(DAY)
    assert statuses(box, is_resigned=True) == {"wm0": transfers.DONE, "wm1": transfers.DONE}
    assert [one for one in told(box) if one[0] != "delete_user"] == [("add_external_contact", "brand_ip", "")] * 2
    (one, _two) = transfers.unassigned(box.app)
    assert one.handover_userid == "guide_0009" and one.left_at is not None
    box.later(366 * DAY)
    assert list(transfers.unassigned(box.app)) == []


def test_groups_move_at_once(box: Wired) -> None:
    one, two = (life.make(box.world, "guide_0009", "群").chat_id for _n in range(2))
    events = len(box.world.events)
    move = {"new_owner": "brand_ip"}
    assert transfers.start_groups(box.app, chat_ids=[one, "wrNone"], **move, is_resigned=False) == {"wrNone": 90501}
    assert box.world.groups[one].owner == "brand_ip" and "brand_ip" in box.world.groups[one].members
    assert len(box.world.events) == events  # what the API does is told to nobody
    assert transfers.start_groups(box.app, chat_ids=[one, two], **move, is_resigned=True) == {one: 90500, two: 90500}
    assert transfers.start_groups(box.app, chat_ids=[one], **move, is_resigned=False) == {one: 90504}
    box.world.leave("guide_0009")
    assert transfers.start_groups(box.app, chat_ids=[two], **move, is_resigned=False) == {two: 90502}
    assert transfers.start_groups(box.app, chat_ids=[two], **move, is_resigned=True) == {}


def test_so_many_groups_a_day_and_each_so_often(box: Wired) -> None:
    box.world.quotas.group_transfers_per_day = 1
    one, two = (life.make(box.world, "guide_0009", "群").chat_id for _n in range(2))
    moved = transfers.start_groups(box.app, chat_ids=[one, two], new_owner="brand_ip", is_resigned=False)
    assert set(moved) == {two} and isinstance(errors.of(moved[two], ""), errors.TransferRefused)
    box.world.quotas.group_transfers_per_day = 300
    transfers.start_groups(box.app, chat_ids=[one], new_owner="other", is_resigned=False)
    third = transfers.start_groups(box.app, chat_ids=[one], new_owner="guide_0009", is_resigned=False)
    assert set(third) == {one}


def test_a_pair_that_parts_while_it_waits_is_not_moved(box: Wired) -> None:
    start(box, "wm0")
    people.delete_by_member(box.world, "guide_0009", "wm0")
    box.later(DAY)
    assert statuses(box) == {"wm0": transfers.REFUSED}
    assert box.world.follow("brand_ip", "wm0") is None
