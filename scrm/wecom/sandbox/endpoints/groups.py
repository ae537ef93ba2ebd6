"""Customer groups, their join ways and their welcome templates."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import content, groups
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.endpoints.contact_ways import ways_used
from scrm.wecom.sandbox.records import WECHAT, Group, GroupMember, GroupWelcome, JoinWay
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint
from scrm.wecom.sandbox.world import World

OWNERS, WITHOUT_OWNERS = 100, 1000
TEXT_BYTES = 3000
REMARK_CHARS, STATE_CHARS, NAME_CHARS = 30, 30, 40
UNKNOWN, NOT_CUSTOMERS, BAD_OPENGID, TOO_MANY_OWNERS, TOO_MANY_GROUPS = 86003, 90501, 90511, 81017, 41091
NO_ID, BAD_ID, WAYS_FULL = 41043, 41044, 41045
TEMPLATES_FULL, BAD_TEMPLATE, NOT_OURS = 41055, 40037, 41058
ONE_OF = ("image", "link", "miniprogram", "file", "video")  # in this order of preference


@endpoint("POST", "externalcontact/groupchat/list", CC, reads=True)
def group_list(call: Call) -> dict[str, Any]:
    world = call.world
    status = call.number("status_filter", 0, low=0, high=3)
    limit = call.number("limit", low=1, high=1000)
    owners = call.texts("userid_list", most=OWNERS, of=call.object("owner_filter"))
    if owners:
        keys = {owner.lower() for owner in owners}
        for key in keys:
            _require_visible(call, key)
    else:
        keys = {one.key for one in world.staff() if world.sees(call.app, one)}
        if len(keys) > WITHOUT_OWNERS:
            raise Refusal(TOO_MANY_OWNERS)
    those = [one for one in world.groups.values() if one.owner in keys]
    rows = [{"chat_id": one.chat_id, "status": groups.status_of(world, one)} for one in those]
    page, cursor = call.paged([row for row in rows if status in (0, row["status"])], limit)
    return {"group_chat_list": page, "next_cursor": cursor}


@endpoint("POST", "externalcontact/groupchat/get", CC, reads=True)
def group_get(call: Call) -> dict[str, Any]:
    with_names = bool(call.number("need_name", 0))
    group = visible_group(call, call.text("chat_id", missing=40058))
    shown = group.shown if group.shown_until > call.world.clock.now() else None
    now = shown or {
        "name": group.name,
        "notice": group.notice,
        "owner": group.owner,
        "members": [*group.members.values()],
    }
    return {
        "group_chat": {
            "chat_id": group.chat_id,
            "name": now["name"],
            "owner": _userid(call.world, now["owner"]),
            "create_time": group.created_at,
            "notice": now["notice"],
            "member_list": [_member(call.world, one, with_names=with_names) for one in now["members"]],
            "admin_list": [{"userid": _userid(call.world, one)} for one in group.admins],
            "member_version": groups.version(one.userid for one in now["members"]),
        }
    }


@endpoint("POST", "externalcontact/opengid_to_chatid", CC, reads=True)
def opengid_to_chatid(call: Call) -> dict[str, Any]:
    """A group's opengid here is ``og-`` and its id."""
    opengid = call.text("opengid", missing=BAD_OPENGID)
    if not opengid.startswith("og-") or opengid[3:] not in call.world.groups:
        raise Refusal(BAD_OPENGID)
    return {"chat_id": visible_group(call, opengid[3:]).chat_id}


def visible_group(call: Call, chat_id: str, code: int = UNKNOWN) -> Group:
    group = call.world.groups.get(chat_id)
    if group is None:
        raise Refusal(code)
    _require_visible(call, group.owner)
    return group


# --- join ways


@endpoint("POST", "externalcontact/groupchat/add_join_way", CC)
def add_join_way(call: Call) -> dict[str, Any]:
    world = call.world
    way = JoinWay("", 0, world.clock.epoch(), call.app.agent_id, ())
    _set_join_way(call, way)
    if ways_used(world) >= world.quotas.contact_ways:
        raise Refusal(WAYS_FULL)
    way.config_id = world.new_id("", 32)
    world.join_ways[way.config_id] = way
    return {"config_id": way.config_id}


@endpoint("POST", "externalcontact/groupchat/get_join_way", CC, reads=True)
def get_join_way(call: Call) -> dict[str, Any]:
    way = _join_way(call)
    row = {
        "config_id": way.config_id,
        "scene": way.scene,
        "remark": way.remark,
        "auto_create_room": int(way.makes_groups),
        "room_base_name": way.base_name,
        "room_base_id": way.base_number,
        "chat_id_list": list(way.chat_ids),
        "qr_code": f"{call.world.base_url}/sandbox/scan/{way.config_id}",
        "state": way.state,
    }
    return {"join_way": row}


@endpoint("POST", "externalcontact/groupchat/update_join_way", CC)
def update_join_way(call: Call) -> dict[str, Any]:
    """All fields are written: what is not given is what a new way would have."""
    _set_join_way(call, _join_way(call))
    return {}


@endpoint("POST", "externalcontact/groupchat/del_join_way", CC)
def del_join_way(call: Call) -> dict[str, Any]:
    del call.world.join_ways[_join_way(call).config_id]
    return {}


def _set_join_way(call: Call, way: JoinWay) -> None:
    scene, makes_groups = call.number("scene", low=1, high=2), call.number("auto_create_room", 1, low=0, high=1)
    name, number = call.text("room_base_name", chars=NAME_CHARS), call.number("room_base_id", 1, low=0)
    state = call.text("state", chars=STATE_CHARS)
    chat_ids = call.texts("chat_id_list", most=call.world.quotas.groups_per_join_way, code=TOO_MANY_GROUPS)
    if not chat_ids:
        raise Refusal(40058, "chat_id_list missing")
    for chat_id in chat_ids:
        visible_group(call, chat_id)
    way.scene, way.makes_groups, way.chat_ids, way.state = scene, bool(makes_groups), tuple(chat_ids), state
    way.remark = call.text("remark")[:REMARK_CHARS]  # cut without a word
    way.base_name, way.base_number, way.next_number = name, number, number


def _join_way(call: Call) -> JoinWay:
    way = call.world.join_ways.get(call.text("config_id", missing=NO_ID))
    if way is None or way.creator != call.app.agent_id:
        raise Refusal(BAD_ID)
    return way


# --- welcome templates


@endpoint("POST", "externalcontact/group_welcome_template/add", CC)
def add_welcome(call: Call) -> dict[str, Any]:
    world, said = call.world, _said(call)
    call.number("notify", 1, low=0, high=1)
    if len(world.group_welcomes) >= world.quotas.group_welcomes:
        raise Refusal(TEMPLATES_FULL)
    template = GroupWelcome(world.new_id("msgTPL", 24), call.app.agent_id, said)
    world.group_welcomes[template.template_id] = template
    return {"template_id": template.template_id}


@endpoint("POST", "externalcontact/group_welcome_template/edit", CC)
def edit_welcome(call: Call) -> dict[str, Any]:
    _welcome(call).content = _said(call)
    return {}


@endpoint("POST", "externalcontact/group_welcome_template/get", CC, reads=True)
def get_welcome(call: Call) -> dict[str, Any]:
    return dict(_welcome(call).content)


@endpoint("POST", "externalcontact/group_welcome_template/del", CC)
def del_welcome(call: Call) -> dict[str, Any]:
    del call.world.group_welcomes[_welcome(call).template_id]
    return {}


def _said(call: Call) -> dict[str, Any]:
    text = call.text("content", of=call.object("text"), size=TEXT_BYTES)
    kind = next((one for one in ONE_OF if call.has(one)), "")
    if not text and not kind:
        raise Refusal(40058, "text missing")
    part = {kind: call.object(kind)} if kind else {}
    if kind:
        content.check(call, {"msgtype": kind, **part})
    return ({"text": {"content": text}} if text else {}) | part


def _welcome(call: Call) -> GroupWelcome:
    template = call.world.group_welcomes.get(call.text("template_id", missing=BAD_TEMPLATE))
    if template is None:
        raise Refusal(BAD_TEMPLATE)
    if template.creator != call.app.agent_id:
        raise Refusal(NOT_OURS)
    return template


# --- rows


def _require_visible(call: Call, key: str) -> None:
    """An owner who has left is still asked for."""
    owner = call.world.members.get(key)
    if owner is None:
        raise Refusal(60111)
    if not call.world.sees(call.app, owner):
        raise Refusal(60011)


def _userid(world: World, key: str) -> str:
    member = world.members.get(key)
    return member.userid if member else key


def _member(world: World, one: GroupMember, *, with_names: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "userid": _userid(world, one.userid) if one.is_staff else one.userid,
        "type": 1 if one.is_staff else 2,
        "join_time": one.joined_at,
        "join_scene": one.join_scene,
        "group_nickname": one.nickname,
    }
    known = world.members.get(one.userid) if one.is_staff else world.contacts.get(one.userid)
    if with_names and known is not None:
        row["name"] = known.name
    if one.inviter:
        row["invitor"] = {"userid": _userid(world, one.inviter)}
    if one.state:
        row["state"] = one.state
    contact = None if one.is_staff else world.contacts.get(one.userid)
    if contact is not None and contact.type == WECHAT and contact.unionid and world.is_developer_bound:
        row["unionid"] = contact.unionid
    return row
