"""Contact ways: QR codes and buttons by which a customer adds a member."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import people
from scrm.wecom.sandbox.calls import Call, pair
from scrm.wecom.sandbox.records import ACTIVE, Way
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint
from scrm.wecom.sandbox.world import World

SINGLE, MULTI = 1, 2
BUTTON, QR_CODE = 1, 2
REMARK_CHARS, STATE_CHARS = 30, 30
STYLES = {SINGLE: 3, MULTI: 2}
DAY = 86_400
LISTED_DAYS = 90
TEMPORARY_DAYS = 14
EXTRAS = ("is_exclusive", "mark_source", "unionid", "conclusions", "chat_expires_in")
BAD_STYLE, NO_ID, BAD_ID, FULL, TOO_MANY = 41042, 41043, 41044, 41045, 41041


@endpoint("POST", "externalcontact/add_contact_way", CC)
def add_contact_way(call: Call) -> dict[str, Any]:
    world = call.world
    type_, scene = call.number("type", low=SINGLE, high=MULTI), call.number("scene", low=BUTTON, high=QR_CODE)
    style = call.number("style", 0, low=0, high=STYLES[type_], code=BAD_STYLE)
    way = Way("", type_, scene, world.clock.epoch(), call.app.agent_id, style)
    way.remark = call.text("remark", chars=REMARK_CHARS)
    way.state = call.text("state", chars=STATE_CHARS)
    way.skip_verify = call.flag("skip_verify", True)
    way.extra = {name: call.values[name] for name in EXTRAS if call.has(name)}
    _set_temporary(call, way)
    _set_members(call, way, call.texts("user"), call.numbers("party"))
    if way.is_temp:
        _count_temporary(world)
    elif ways_used(world) >= world.quotas.contact_ways:
        raise Refusal(FULL)
    way.config_id = world.new_id("", 32)
    world.ways[way.config_id] = way
    answer = {"config_id": way.config_id}
    return answer | ({"qr_code": qr_code(world, way)} if scene == QR_CODE else {})


@endpoint("POST", "externalcontact/get_contact_way", CC, reads=True)
def get_contact_way(call: Call) -> dict[str, Any]:
    way = _way(call)
    row: dict[str, Any] = {
        "config_id": way.config_id, "type": way.type, "scene": way.scene, "style": way.style, "remark": way.remark,
        "skip_verify": way.skip_verify, "state": way.state, "user": list(way.users), "party": list(way.parties),
        "is_temp": way.is_temp, **way.extra,
    }  # fmt: skip
    return {"contact_way": row | ({"qr_code": qr_code(call.world, way)} if way.scene == QR_CODE else {})}


@endpoint("POST", "externalcontact/list_contact_way", CC, reads=True)
def list_contact_way(call: Call) -> dict[str, Any]:
    now = call.world.clock.epoch()
    start, end = call.number("start_time", now - LISTED_DAYS * DAY), call.number("end_time", now)
    if start > end:
        raise Refusal(40058)
    made = [way for way in call.world.ways.values() if start <= way.created_at <= end and not way.is_temp]
    page, cursor = call.paged(made, call.page(default=100, most=1000))
    return {"contact_way": [{"config_id": way.config_id} for way in page], "next_cursor": cursor}


@endpoint("POST", "externalcontact/update_contact_way", CC)
def update_contact_way(call: Call) -> dict[str, Any]:
    """What is given replaces; type and scene never change."""
    way = _way(call)
    style = call.number("style", way.style, low=0, high=STYLES[way.type], code=BAD_STYLE)
    remark = call.text("remark", chars=REMARK_CHARS) if call.has("remark") else way.remark
    state = call.text("state", chars=STATE_CHARS) if call.has("state") else way.state
    if call.has("user") or call.has("party"):
        users = call.texts("user") if call.has("user") else list(way.users)
        parties = call.numbers("party") if call.has("party") else list(way.parties)
        _set_members(call, way, users, parties)
    way.style, way.remark, way.state = style, remark, state
    way.skip_verify = call.flag("skip_verify", way.skip_verify)
    way.extra |= {name: call.values[name] for name in EXTRAS if call.has(name)}
    return {}


@endpoint("POST", "externalcontact/del_contact_way", CC)
def del_contact_way(call: Call) -> dict[str, Any]:
    del call.world.ways[_way(call).config_id]
    return {}


@endpoint("POST", "externalcontact/close_temp_chat", CC, record=pair)
def close_temp_chat(call: Call) -> dict[str, Any]:
    call.friendship()
    return {}


def ways_used(world: World) -> int:
    """Of the corp's quota, which the join ways of groups share."""
    return sum(not way.is_temp for way in world.ways.values()) + len(world.join_ways)


def qr_code(world: World, way: Way) -> str:
    """The address of the code's picture; opened by a person it is the page on which she scans it."""
    return f"{world.base_url}/sandbox/scan/{way.config_id}"


def _way(call: Call) -> Way:
    way = call.world.ways.get(call.text("config_id", missing=NO_ID))
    if way is None:
        raise Refusal(BAD_ID)
    return way


def _set_members(call: Call, way: Way, users: list[str], parties: list[int]) -> None:
    """Refused unless every member may be added by customers, and at most a hundred of them."""
    if way.type == SINGLE and (len(users) != 1 or parties):
        raise Refusal(40058, "user must be exactly one")
    if not users and not parties:
        raise Refusal(40058, "user missing")
    named = [call.follower(value=userid) for userid in users]
    for party in parties:
        if party not in call.world.departments:
            raise Refusal(60123)
        if party not in call.world.visible_departments(call.app):
            raise Refusal(60011)
    for member in named:
        if member.status != ACTIVE:
            raise Refusal(41054)
        if not member.is_real_name:
            raise Refusal(40098)
    wanted = Way("", way.type, way.scene, 0, None, users=tuple(users), parties=tuple(parties))
    if len(people.members_of(call.world, wanted)) > call.world.quotas.members_per_way:
        raise Refusal(TOO_MANY)
    way.users, way.parties = wanted.users, wanted.parties


def _set_temporary(call: Call, way: Way) -> None:
    """Temporary sessions are for single ways of corps in the medical trade."""
    way.is_temp = call.flag("is_temp")
    if not way.is_temp:
        return
    if way.type != SINGLE or not call.world.more.get("is_medical"):
        raise Refusal(40058, "is_temp is not allowed")
    seconds = call.number("expires_in", 7 * DAY, low=1, high=TEMPORARY_DAYS * DAY)
    way.extra["expires_at"] = call.world.clock.epoch() + seconds


def _count_temporary(world: World) -> None:
    today = world.clock.epoch() - DAY
    made = sum(way.is_temp and way.created_at > today for way in world.ways.values())
    if made >= world.quotas.temporary_ways_per_day:
        raise Refusal(FULL)
