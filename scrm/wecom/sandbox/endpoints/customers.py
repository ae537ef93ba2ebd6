"""Customers and who follows them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from scrm.wecom.sandbox.calls import Call, pair
from scrm.wecom.sandbox.records import WECHAT, WECOM, Contact, Follow, Member
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint
from scrm.wecom.sandbox.world import World

FOLLOWERS_PER_PAGE = 500
MEMBERS_PER_CALL = 100
REMARK_CHARS, DESCRIPTION_CHARS, COMPANY_CHARS = 20, 150, 20
NOT_FRIENDS, UNKNOWN = 84061, 40096


@endpoint("GET", "externalcontact/get_follow_user_list", CC)
def follow_user_list(call: Call) -> dict[str, Any]:
    those = (one for one in call.world.staff() if one.has_feature and call.world.sees(call.app, one))
    return {"follow_user": [one.userid for one in those]}


@endpoint("GET", "externalcontact/list", CC)
def list_of_member(call: Call) -> dict[str, Any]:
    member = call.follower()
    if not member.follows:
        raise Refusal(NOT_FRIENDS)
    return {"external_userid": list(member.follows)}


@endpoint("GET", "externalcontact/get", CC)
def get(call: Call) -> dict[str, Any]:
    contact = call.contact()
    if not contact.followers:
        raise Refusal(NOT_FRIENDS)
    world = call.world
    followers = [world.members[key] for key in contact.followers]
    seen = [one for one in followers if world.member(one.key) is not None and world.sees(call.app, one)]
    if not seen:
        raise Refusal(UNKNOWN)
    page, cursor = call.paged(seen, FOLLOWERS_PER_PAGE)
    follows = [_follow(world, one, one.follows[contact.external_userid]) for one in page]
    for row in follows:
        row["tags"] = _named_tags(world, row.pop("tag_id"), row.pop("personal_tags"))
    return {"external_contact": _contact(world, contact), "follow_user": follows, "next_cursor": cursor}


@endpoint("POST", "externalcontact/batch/get_by_user", CC, reads=True)
def by_user(call: Call) -> dict[str, Any]:
    """A page continues after the friendship where the last one ended, whatever was deleted meanwhile."""
    userids = call.texts("userid_list", most=MEMBERS_PER_CALL, code=40032)
    if not userids:
        raise Refusal(40031)
    limit = call.page(default=50, most=100)
    index, number = call.place() or [0, 0]
    members = list({one.key: one for one in (call.follower(value=userid) for userid in userids)}.values())
    rows: list[dict[str, Any]] = []
    while index < len(members):
        member = members[index]
        after = (follow for follow in member.follows.values() if follow.number > number)
        for follow in islice(after, limit - len(rows)):
            rows.append(_batch_row(call.world, member, follow))
            number = follow.number
        if len(rows) == limit:
            break
        index, number = index + 1, 0
    is_more = any(
        follow.number > (number if place == index else 0)
        for place in range(index, len(members))
        for follow in reversed(members[place].follows.values())
    )
    cursor = call.next_cursor(index, number) if is_more else ""
    return {"external_contact_list": rows, "next_cursor": cursor, "fail_info": {"unlicensed_userid_list": []}}


@endpoint("POST", "externalcontact/remark", CC, record=pair)
def remark(call: Call) -> dict[str, Any]:
    names = ("remark", "description", "remark_company", "remark_mobiles", "remark_pic_mediaid")
    if not any(call.has(name) for name in names):
        raise Refusal(40058)
    text = call.text("remark", chars=REMARK_CHARS)
    description = call.text("description", chars=DESCRIPTION_CHARS)
    company = call.text("remark_company", chars=COMPANY_CHARS)
    mobiles = call.texts("remark_mobiles")
    _member, contact, follow = call.friendship()
    more = dict(follow.more or {})
    if call.has("remark"):
        follow.remark = text
    if call.has("description"):
        more["description"] = description
    if call.has("remark_company") and contact.type == WECHAT:
        more["remark_corp_name"] = company
    if call.has("remark_mobiles"):
        more["remark_mobiles"] = [mobile for mobile in mobiles if mobile]
    follow.more = more or None
    return {}


@endpoint("POST", "externalcontact/contact_list", CC, reads=True)
def contact_list(call: Call) -> dict[str, Any]:
    world = call.world
    rows = [
        {
            "is_customer": True,
            "tmp_openid": f"tmp{follow.number}",
            "external_userid": follow.external_userid,
            "follow_userid": member.userid,
            "add_time": follow.created_at,
        }
        for member in world.staff()
        if member.has_feature and world.sees(call.app, member)
        for follow in member.follows.values()
    ]
    page, cursor = call.paged(rows, call.page(default=1000, most=1000))
    return {"info_list": page, "next_cursor": cursor}


@endpoint("POST", "externalcontact/convert_to_openid", CC, reads=True)
def convert_to_openid(call: Call) -> dict[str, Any]:
    contact = call.contact()
    if contact.type != WECHAT:
        raise Refusal(UNKNOWN)
    return {"openid": f"o-{contact.external_userid}"}


def _batch_row(world: World, member: Member, follow: Follow) -> dict[str, Any]:
    info = _follow(world, member, follow)
    del info["personal_tags"]
    return {"external_contact": _contact(world, world.contacts[follow.external_userid]), "follow_info": info}


def _contact(world: World, contact: Contact) -> dict[str, Any]:
    row = {
        "external_userid": contact.external_userid, "name": contact.name, "type": contact.type, "avatar": "",
        "gender": contact.gender,
    }  # fmt: skip
    if contact.type == WECHAT and contact.unionid and world.is_developer_bound:
        row["unionid"] = contact.unionid
    if contact.type == WECOM:
        row |= {"position": "", "corp_name": contact.corp_name, "corp_full_name": contact.corp_name}
    return row


def _follow(world: World, member: Member, follow: Follow) -> dict[str, Any]:
    """With ``tag_id`` as the batch has it, and ``personal_tags`` for ``get``."""
    more = follow.more or {}
    row = {
        "userid": member.userid,
        "remark": follow.remark,
        "description": more.get("description", ""),
        "createtime": follow.created_at,
        "tag_id": [tag for tag in follow.tag_ids if not world.tags[tag].is_deleted],
        "personal_tags": more.get("personal_tags", []),
        "remark_mobiles": more.get("remark_mobiles", []),
        "add_way": follow.add_way,
        "oper_userid": follow.oper_userid,
    }
    row |= {name: more[name] for name in ("remark_corp_name", "wechat_channels") if name in more}
    if follow.state:
        row["state"] = follow.state
    return row


def _named_tags(world: World, tag_ids: list[str], personal: list[str]) -> list[dict[str, Any]]:
    corp = [world.tags[tag_id] for tag_id in tag_ids]
    rows: list[dict[str, Any]] = [
        {"group_name": world.tag_groups[tag.group_id].name, "tag_name": tag.name, "tag_id": tag.id, "type": 1}
        for tag in corp
    ]
    return rows + [{"group_name": "", "tag_name": name, "type": 2} for name in personal]
