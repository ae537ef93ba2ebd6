"""Customers and groups handed from one member to another; what becomes of customers is in ``transfers``."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import groups, transfers
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.records import ACTIVE, LEFT, Group, Member
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint

DAY = 86_400
YEAR = 365 * DAY
MESSAGE_CHARS = 200
GROUPS_PER_CALL = 100
NOT_LEFT, TAKER_FULL, RUNNING, TOO_OFTEN, SAME, NOT_FOLLOWER, LONG_AWAY = (
    40097,
    40099,
    40129,
    40128,
    40130,
    40131,
    40205,
)
UNKNOWN_CONTACT, NOT_ACTIVATED, NOT_REAL = 40096, 41054, 40098
OWNER_STAYS, NO_GROUP, OWNER_LEFT, SAME_OWNER = 90500, 90501, 90502, 90504
GROUP_OFTEN, GROUP_MANY = 90505, 90506  # the numbers of these two are not documented


def _handover(call: Call) -> str:
    return f"transfer {str(call.values.get('handover_userid', '')).lower()}"


@endpoint("POST", "externalcontact/transfer_customer", CC, record=_handover)
def transfer_customer(call: Call) -> dict[str, Any]:
    call.text("transfer_success_msg", chars=MESSAGE_CHARS)
    return _transfer(call, was_resigned=False)


@endpoint("POST", "externalcontact/resigned/transfer_customer", CC, record=_handover)
def transfer_resigned(call: Call) -> dict[str, Any]:
    return _transfer(call, was_resigned=True)


@endpoint("POST", "externalcontact/transfer_result", CC, reads=True)
def transfer_result(call: Call) -> dict[str, Any]:
    return _results(call, was_resigned=False)


@endpoint("POST", "externalcontact/resigned/transfer_result", CC, reads=True)
def transfer_result_resigned(call: Call) -> dict[str, Any]:
    return _results(call, was_resigned=True)


@endpoint("POST", "externalcontact/get_unassigned_list", CC, reads=True)
def unassigned(call: Call) -> dict[str, Any]:
    """By cursor or, for old callers, by ``page_id``, which gives no cursor."""
    world = call.world
    size = call.page(default=1000, most=1000, name="page_size")
    taken = {(one.handover, one.external_userid) for one in world.transfers.values() if one.status == transfers.WAITING}
    rows = [
        {"handover_userid": one.userid, "external_userid": external_userid, "dimission_time": one.left_at}
        for one in world.members.values()
        if one.status == LEFT and one.left_at > world.clock.epoch() - YEAR and world.sees(call.app, one)
        for external_userid in one.follows
        if (one.key, external_userid) not in taken
    ]
    if call.has("page_id"):
        start = call.number("page_id", 0, low=0) * size
        return {"info": rows[start : start + size], "is_last": start + size >= len(rows)}
    page, cursor = call.paged(rows, size)
    return {"info": page, "is_last": not cursor, "next_cursor": cursor}


@endpoint("POST", "externalcontact/groupchat/onjob_transfer", CC)
def groups_onjob(call: Call) -> dict[str, Any]:
    return _transfer_groups(call, was_resigned=False)


@endpoint("POST", "externalcontact/groupchat/transfer", CC)
def groups_resigned(call: Call) -> dict[str, Any]:
    return _transfer_groups(call, was_resigned=True)


def _transfer(call: Call, *, was_resigned: bool) -> dict[str, Any]:
    customers = call.texts("external_userid", most=call.world.quotas.transfers_per_call, code=40058)
    if not customers:
        raise Refusal(41035)
    handover, takeover = _giver(call, was_resigned=was_resigned), _taker(call, "takeover_userid")
    rows = []
    for external_userid in customers:
        code = _obstacle(call, handover, takeover, external_userid, was_resigned=was_resigned)
        if not code:
            transfers.begin(call.world, handover, takeover, external_userid, was_resigned=was_resigned)
        rows.append({"external_userid": external_userid, "errcode": code})
    return {"customer": rows}


def _giver(call: Call, *, was_resigned: bool) -> Member:
    world, now = call.world, call.world.clock.epoch()
    if not was_resigned:
        member = call.member("handover_userid")
        if member.last_login_at < now - YEAR:
            raise Refusal(LONG_AWAY)
        return member
    left = world.members.get(call.text("handover_userid", missing=41009).lower())
    if left is None:
        raise Refusal(60111)
    if left.status != LEFT or left.left_at < now - YEAR:
        raise Refusal(NOT_LEFT)
    if left.last_login_at < left.left_at - YEAR:
        raise Refusal(LONG_AWAY)
    if not world.sees(call.app, left):
        raise Refusal(60011)
    return left


def _taker(call: Call, name: str) -> Member:
    member = call.follower(name)
    if member.status != ACTIVE:
        raise Refusal(NOT_ACTIVATED)
    if not member.is_real_name:
        raise Refusal(NOT_REAL)
    if member.last_login_at < call.world.clock.epoch() - YEAR:
        raise Refusal(LONG_AWAY)
    return member


def _obstacle(call: Call, handover: Member, takeover: Member, external_userid: str, *, was_resigned: bool) -> int:
    world = call.world
    if external_userid not in world.contacts:
        return UNKNOWN_CONTACT
    if handover.key == takeover.key:
        return SAME
    if external_userid not in handover.follows:
        return NOT_FOLLOWER
    those = [one for one in world.transfers.values() if one.external_userid == external_userid]
    if any(one.status == transfers.WAITING and one.handover == handover.key for one in those):
        return RUNNING
    since = world.clock.epoch() - world.quotas.transfer_window_days * DAY
    began = sum(one.started_at > since and not one.was_resigned for one in those)
    if not was_resigned and began >= world.quotas.transfers_per_customer:
        return TOO_OFTEN
    room = world.quotas.customers_per_member - len(takeover.follows) - transfers.waiting(world, takeover.key)
    return TAKER_FULL if room <= 0 and external_userid not in takeover.follows else 0


def _results(call: Call, *, was_resigned: bool) -> dict[str, Any]:
    handover = call.text("handover_userid", missing=41009).lower()
    takeover = call.member("takeover_userid")
    rows = [
        {"external_userid": one.external_userid, "status": one.status, "takeover_time": one.takeover_at}
        for one in call.world.transfers.values()
        if (one.handover, one.takeover, one.was_resigned) == (handover, takeover.key, was_resigned)
    ]
    page, cursor = call.paged(rows, 1000)
    return {"customer": page, "next_cursor": cursor}


def _transfer_groups(call: Call, *, was_resigned: bool) -> dict[str, Any]:
    world = call.world
    chat_ids = call.texts("chat_id_list", most=GROUPS_PER_CALL, code=40058)
    if not chat_ids:
        raise Refusal(40058, "chat_id_list missing")
    owner = _taker(call, "new_owner")
    failed = []
    for chat_id in chat_ids:
        group = world.groups.get(chat_id)
        code = NO_GROUP if group is None else _group_obstacle(call, group, owner, was_resigned=was_resigned)
        if group is None or code:
            failed.append({"chat_id": chat_id, "errcode": code, "errmsg": "refused"})
            continue
        _count_group(call, group)
        groups.own(world, group, owner.key)
        group.status = groups.TRANSFERRED if was_resigned else group.status
    return {"failed_chat_list": failed}


def _group_obstacle(call: Call, group: Group, owner: Member, *, was_resigned: bool) -> int:
    world = call.world
    has_left = world.member(group.owner) is None
    if has_left != was_resigned:
        return OWNER_LEFT if has_left else OWNER_STAYS
    if group.owner == owner.key:
        return SAME_OWNER
    since = world.clock.epoch() - world.quotas.transfer_window_days * DAY
    if not was_resigned and sum(at > since for at in group.transferred_at) >= world.quotas.transfers_per_customer:
        return GROUP_OFTEN
    return GROUP_MANY if _given_today(call, group.owner) >= world.quotas.group_transfers_per_day else 0


def _day_key(call: Call, owner: str) -> str:
    return f"{owner} {call.world.clock.epoch() // DAY}"


def _given_today(call: Call, owner: str) -> int:
    return call.world.more.setdefault("groups_given", {}).get(_day_key(call, owner), 0)


def _count_group(call: Call, group: Group) -> None:
    given = call.world.more.setdefault("groups_given", {})
    key = _day_key(call, group.owner)
    given[key] = given.get(key, 0) + 1
    group.transferred_at += (call.world.clock.epoch(),)
