"""Figures of members and of their groups, from what was done (``activity``), by days of Shanghai."""

from __future__ import annotations

import datetime as dt
from typing import Any

from scrm.wecom.sandbox import activity
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.records import Activity, Group
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint

MEMBERS, OWNERS = 100, 100
BAD = 40058
ORDERS = {1: "new_chat_cnt", 2: "chat_total", 3: "new_member_cnt", 4: "member_total"}


@endpoint("POST", "externalcontact/get_user_behavior_data", CC, reads=True)
def behaviour(call: Call) -> dict[str, Any]:
    """Several members are summed up; the shares of replies are there on days with chats only."""
    world = call.world
    users, parties = call.texts("userid", most=MEMBERS), call.numbers("partyid", most=MEMBERS)
    if not users and not parties:
        raise Refusal(BAD, "userid missing")
    those = days(call, "start_time", "end_time")
    keys = {call.follower(value=userid).key for userid in users}
    if parties:
        below = set().union(*(world.below(party) for party in parties))
        keys |= {one.key for one in world.staff() if below & set(one.departments) and world.sees(call.app, one)}
    found = [
        _summed(day, [one for key in keys if (one := activity.of(world, key, day.isoformat())) is not None])
        for day in those
    ]
    return {"behavior_data": found}


@endpoint("POST", "externalcontact/groupchat/statistic", CC, reads=True)
def by_owner(call: Call) -> dict[str, Any]:
    """Paged by offset; owners without a group are left out."""
    world, owners, those = call.world, _owners(call), days(call, "day_begin_time", "day_end_time")
    order, is_ascending = call.number("order_by", 1, low=1, high=4), bool(call.number("order_asc", 0))
    start, limit = call.number("offset", 0, low=0), call.page(default=500, most=1000)
    groups = _groups(call, owners)
    rows: list[dict[str, Any]] = [
        {"owner": world.members[key].userid, "data": _figures(some, those[0], those[-1])}
        for key, some in groups.items()
    ]
    rows.sort(key=lambda row: (row["data"][ORDERS[order]], row["owner"]), reverse=not is_ascending)
    page = rows[start : start + limit]
    return {"total": len(rows), "next_offset": start + len(page), "items": page}


@endpoint("POST", "externalcontact/groupchat/statistic_group_by_day", CC, reads=True)
def by_day(call: Call) -> dict[str, Any]:
    owners, those = _owners(call), days(call, "day_begin_time", "day_end_time")
    groups = [one for some in _groups(call, owners).values() for one in some]
    return {"items": [{"stat_time": activity.midnight(day), "data": _figures(groups, day, day)} for day in those]}


def days(call: Call, first: str, last: str) -> list[dt.date]:
    """The days of the call, both ends included; 40058 for more than 30, or one that is more than 180 days back."""
    start = activity.day_of(call.number(first))
    end = activity.day_of(call.number(last, call.number(first)))
    today, quotas = activity.day_of(call.world.clock.now()), call.world.quotas
    count = (end - start).days + 1
    if not 1 <= count <= quotas.statistics_days or end > today:
        raise Refusal(BAD, "the period is too long")
    if start < today - dt.timedelta(days=quotas.statistics_back_days):
        raise Refusal(BAD, "the period is too long ago")
    return [start + dt.timedelta(days=number) for number in range(count)]


def _summed(day: dt.date, done: list[Activity]) -> dict[str, Any]:
    chats = sum(len(one.chats) for one in done)
    row: dict[str, Any] = {
        "stat_time": activity.midnight(day),
        "chat_cnt": chats,
        "message_cnt": sum(one.messages for one in done),
        "negative_feedback_cnt": sum(one.negative for one in done),
        "new_apply_cnt": sum(one.new_apply for one in done),
        "new_contact_cnt": sum(one.new_contact for one in done),
    }
    asked, answered = (
        sum(len(one.asked) for one in done),
        [seconds for one in done for seconds in one.answered.values()],
    )
    if chats and asked:
        row["reply_percentage"] = round(100 * len(answered) / asked, 2)
        row["avg_reply_time"] = round(sum(answered) / len(answered) / 60) if answered else 0
    return row


def _owners(call: Call) -> set[str]:
    owners = call.texts("userid_list", most=OWNERS, of=call.object("owner_filter"))
    if not owners:
        raise Refusal(BAD, "owner_filter missing")
    return {call.member(value=owner).key for owner in owners}


def _groups(call: Call, owners: set[str]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for group in call.world.groups.values():
        if group.owner in owners:
            found.setdefault(group.owner, []).append(group)
    return found


def _figures(groups: list[Group], first: dt.date, last: dt.date) -> dict[str, int]:
    """``total`` and ``has_msg`` ones count up to the last day."""
    start, end = activity.midnight(first), activity.midnight(last + dt.timedelta(days=1))
    there = [one for one in groups if one.created_at < end]
    members = [member for one in there for member in one.members.values() if member.joined_at < end]
    talk = [spoken for one in there for day, spoken in one.talk.items() if day <= last.isoformat()]
    return {
        "new_chat_cnt": sum(one.created_at >= start for one in there),
        "chat_total": len(there),
        "chat_has_msg": sum(any(day <= last.isoformat() for day in one.talk) for one in there),
        "new_member_cnt": sum(member.joined_at >= start for member in members),
        "member_total": len(members),
        "member_has_msg": len({userid for spoken in talk for userid in spoken}),
        "msg_total": sum(sum(spoken.values()) for spoken in talk),
    }
