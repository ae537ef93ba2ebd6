"""Acquisition links: each app has its own, and every friend costs a place of the corp's quota."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import activity, links
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.endpoints.statistics import days
from scrm.wecom.sandbox.records import ACTIVE, Link
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint

NAME_CHARS, PREFERRED = 30, 1000
BAD, FULL, NO_KEY = 40058, 41095, 41201
EXPIRES_DAYS = 300
PATH = "externalcontact/customer_acquisition/"


@endpoint("POST", f"{PATH}create_link", CC)
def create_link(call: Call) -> dict[str, Any]:
    world = call.world
    call.text("link_name", missing=BAD, chars=NAME_CHARS)
    link = Link("", "", "", world.clock.epoch(), call.app.agent_id)
    _set(call, link)
    if not link.users and not link.parties:
        raise Refusal(BAD, "range missing")
    if len(world.links) >= world.quotas.links:
        raise Refusal(FULL)
    link.link_id = world.new_id("ca", 20)
    link.url = f"https://work.weixin.qq.com/ca/{link.link_id}"
    world.links[link.link_id] = link
    return {"link": _row(link)}


@endpoint("POST", f"{PATH}update_link", CC)
def update_link(call: Call) -> dict[str, Any]:
    _set(call, _link(call))
    return {}


@endpoint("POST", f"{PATH}delete_link", CC)
def delete_link(call: Call) -> dict[str, Any]:
    del call.world.links[_link(call).link_id]
    return {}


@endpoint("POST", f"{PATH}get", CC, reads=True)
def get_link(call: Call) -> dict[str, Any]:
    link = _link(call)
    answer: dict[str, Any] = {
        "link": _row(link) | {"skip_verify": link.skip_verify},
        "range": {"user_list": list(link.users), "department_list": list(link.parties)},
    }
    return answer | ({"priority_option": link.priority} if link.priority else {})


@endpoint("POST", f"{PATH}list_link", CC, reads=True)
def list_link(call: Call) -> dict[str, Any]:
    ours = [one.link_id for one in call.world.links.values() if one.creator == call.app.agent_id]
    page, cursor = call.paged(ours, call.page(default=100, most=100))
    return {"link_id_list": page, "next_cursor": cursor}


@endpoint("POST", f"{PATH}customer", CC, reads=True)
def customers(call: Call) -> dict[str, Any]:
    world, link = call.world, _link(call)
    page, cursor = call.paged(list(link.customers), call.page(default=500, most=1000))
    rows = []
    for external_userid, key, state in page:
        follow = world.follow(key, external_userid)
        said = (follow.more or {}).get("said", 0) if follow else 0
        userid = world.members[key].userid
        status = 2 if follow is None else int(bool(said))
        rows.append({"external_userid": external_userid, "userid": userid, "chat_status": status, "state": state})
    return {"customer_list": rows, "next_cursor": cursor}


@endpoint("POST", f"{PATH}statistic", CC, reads=True)
def statistic(call: Call) -> dict[str, Any]:
    link = _link(call)
    those = [day.isoformat() for day in days(call, "start_time", "end_time")]
    clicks, added = (sum(counts.get(day, 0) for day in those) for counts in (link.clicks, link.added))
    return {"click_link_customer_cnt": clicks, "new_customer_cnt": added}


@endpoint("POST", f"{PATH}get_chat_info", CC, reads=True)
def chat_info(call: Call) -> dict[str, Any]:
    known = call.world.more.get("chat_keys", {}).get(call.text("chat_key", missing=NO_KEY))
    if known is None or known["until"] <= call.world.clock.now():
        raise Refusal(NO_KEY)
    info = {"recv_msg_cnt": known["said"], "link_id": known["link_id"], "state": known["state"]}
    return {"userid": known["userid"], "external_userid": known["external_userid"], "chat_info": info}


@endpoint("GET", "externalcontact/customer_acquisition_quota", CC)
def quota(call: Call) -> dict[str, Any]:
    world = call.world
    expires = activity.midnight(activity.day_of(world.clock.now() + EXPIRES_DAYS * 86_400))
    rows = [{"expire_date": expires, "balance": world.acquisition_balance}] if world.acquisition_balance else []
    return {"total": world.acquisition_total, "balance": world.acquisition_balance, "quota_list": rows}


def _set(call: Call, link: Link) -> None:
    """What is given replaces; users and departments together."""
    name = call.text("link_name", chars=NAME_CHARS)
    users, parties, priority = link.users, link.parties, link.priority
    if call.has("range"):
        users, parties = _range(call)
    if call.has("priority_option"):
        option = call.object("priority_option")
        call.number("priority_type", of=option, low=1, high=2)
        call.texts("priority_userid_list", most=PREFERRED, of=option)
        priority = option
    link.name, link.users, link.parties, link.priority = name or link.name, users, parties, priority
    link.skip_verify = call.flag("skip_verify", link.skip_verify)


def _range(call: Call) -> tuple[tuple[str, ...], tuple[int, ...]]:
    world, reach = call.world, call.object("range")
    users = call.texts("user_list", most=world.quotas.link_members, of=reach)
    parties = call.numbers("department_list", of=reach)
    for userid in users:
        member = call.follower(value=userid)
        if member.status != ACTIVE:
            raise Refusal(41054)
        if not member.is_real_name:
            raise Refusal(40098)
    for party in parties:
        if party not in world.departments:
            raise Refusal(60123)
        if party not in world.visible_departments(call.app):
            raise Refusal(60011)
    wanted = Link("", "", "", 0, None, users=tuple(users), parties=tuple(parties))
    if len(links.members_of(world, wanted)) > world.quotas.link_members:
        raise Refusal(BAD, "too many members")
    return wanted.users, wanted.parties


def _link(call: Call) -> Link:
    link = call.world.links.get(call.text("link_id", missing=BAD))
    if link is None or link.creator != call.app.agent_id:
        raise Refusal(BAD, "invalid link_id")
    return link


def _row(link: Link) -> dict[str, Any]:
    return {"link_id": link.link_id, "link_name": link.name, "url": link.url, "create_time": link.created_at}
