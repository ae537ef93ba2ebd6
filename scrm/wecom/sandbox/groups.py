"""What people do in customer groups (客户群): make them, come in, leave, write; each told by an event with versions.

1. The version of a group is the MD5 of its sorted members; an event carries the one before and the one after.
2. The detail shows a change up to two seconds late; the event does not wait for it.
3. Who scans a join way comes into the first of its groups that has room. When all are full, and the way makes groups, WeCom
   makes the next one: same owner, the name with the next number.
4. A dissolved group is gone after one event.
"""

from __future__ import annotations

import hashlib
from typing import Any

from scrm.wecom.sandbox import activity, panels, people
from scrm.wecom.sandbox.people import Impossible, contact_of, member_of
from scrm.wecom.sandbox.records import Group, GroupMember, JoinWay
from scrm.wecom.sandbox.registry import Button, Field, act, panel
from scrm.wecom.sandbox.world import World

CHANGED = "change_external_chat"
INVITED, BY_LINK, BY_CODE = 1, 2, 3  # as the detail counts
EVENT_SCENES = {INVITED: 0, BY_LINK: 0, BY_CODE: 3}  # as events count
LEFT_ALONE, REMOVED = 0, 1
NORMAL, OWNER_LEFT, TRANSFERRED = 0, 1, 3
STATUS = {NORMAL: "正常", OWNER_LEFT: "群主已离职", TRANSFERRED: "已继承"}
CHAT, CONTACT = Field("chat_id", "群"), Field("external_userid", "客户", "contact")
OF_CHAT = {"chat_id": "chat_id"}


# --- acts


@act("new_group", "导购建群", Field("userid", "群主", "member"), Field("name", "群名"), group="客户群")
def make(world: World, userid: str, name: str) -> Group:
    with world.lock:
        owner = member_of(world, userid)
        if not owner.has_feature:
            raise Impossible("这位员工没有客户联系权限")
        now = world.clock.epoch()
        group = Group(world.new_id("wr"), name, owner.key, now)
        group.members[owner.key] = GroupMember(owner.key, True, now, INVITED)
        world.groups[group.chat_id] = group
        world.emit(CHANGED, "create", about=group.chat_id, ChatId=group.chat_id)
        return group


@act("invite", "导购拉客户进群", CHAT, CONTACT, group="客户群")
def invite(world: World, chat_id: str, external_userid: str) -> None:
    group = group_of(world, chat_id)
    enter(world, chat_id, external_userid, scene=INVITED, inviter=group.owner)


@act("invite_member", "导购拉同事进群", CHAT, Field("userid", "同事", "member"), group="客户群")
def invite_member(world: World, chat_id: str, userid: str) -> None:
    with world.lock:
        group, member = group_of(world, chat_id), member_of(world, userid)
        _let_in(world, group, GroupMember(member.key, True, world.clock.epoch(), INVITED, group.owner))


@act(
    "scan_join_way",
    "客户扫群活码",
    Field("config_id", "群活码"),
    Field("external_userid", "客户", "contact", is_optional=True),
    Field("name", "或者新客户的昵称", is_optional=True),
    group="客户群",
)
def scan_as(world: World, config_id: str, external_userid: str = "", name: str = "") -> Group:
    """A customer or, by a nickname, somebody new."""
    return scan(world, config_id, external_userid or people.newcomer(world, name))


def scan(world: World, config_id: str, external_userid: str) -> Group:
    """Comes into the first group with room, or into a new one."""
    with world.lock:
        way = world.join_ways.get(config_id)
        contact_of(world, external_userid)
        if way is None:
            raise Impossible("群活码已失效")
        those = [world.groups[one] for one in way.chat_ids if one in world.groups]
        known = next((one for one in those if external_userid in one.members), None)
        if known is not None:
            return known
        group = next((one for one in those if len(one.members) < world.quotas.group_size), None)
        group = group or _next_group(world, way, those)
        way.served += 1
        enter(world, group.chat_id, external_userid, scene=BY_CODE, state=way.state)
        return group


@act("leave_group", "客户退群", CHAT, CONTACT, group="客户群")
def leave(world: World, chat_id: str, external_userid: str) -> None:
    _let_out(world, chat_id, external_userid, LEFT_ALONE)


@act("remove_from_group", "群主移出客户", CHAT, CONTACT, group="客户群")
def remove(world: World, chat_id: str, external_userid: str) -> None:
    _let_out(world, chat_id, external_userid, REMOVED)


@act("group_talk", "客户在群里说话", CHAT, CONTACT, group="客户群")
def talk(world: World, chat_id: str, external_userid: str) -> None:
    """A member's id does as well; WeCom tells nobody."""
    with world.lock:
        group = group_of(world, chat_id)
        if external_userid not in group.members:
            raise Impossible("不在这个群里")
        spoken = group.talk.setdefault(activity.today(world), {})
        spoken[external_userid] = spoken.get(external_userid, 0) + 1
        world.touch()


@act("rename_group", "改群名", CHAT, Field("name", "新群名"), group="客户群")
def rename(world: World, chat_id: str, name: str) -> None:
    with world.lock:
        group = _changing(world, chat_id)
        group.name = name
        _tell(world, group, "change_name")


@act("notice", "改群公告", CHAT, Field("text", "公告"), group="客户群")
def set_notice(world: World, chat_id: str, text: str) -> None:
    with world.lock:
        group = _changing(world, chat_id)
        group.notice = text
        _tell(world, group, "change_notice")


@act("change_owner", "换群主", CHAT, Field("userid", "新群主", "member"), group="客户群")
def change_owner(world: World, chat_id: str, userid: str) -> None:
    with world.lock:
        group = _changing(world, chat_id)
        own(world, group, member_of(world, userid).key)
        _tell(world, group, "change_owner")


@act("dismiss", "解散群", CHAT, group="客户群", is_grave=True)
def dismiss(world: World, chat_id: str) -> None:
    with world.lock:
        del world.groups[group_of(world, chat_id).chat_id]
        world.emit(CHANGED, "dismiss", about=chat_id, ChatId=chat_id)


# --- tables


@panel(
    "groups", "客户群",
    ("created_at", "创建时间"), ("name", "群名"), ("owner", "群主"), ("count", "人数"), ("status", "状态"), ("chat_id", "chat_id"),
    buttons=(
        Button("invite", "拉客户", OF_CHAT), Button("leave_group", "客户退群", OF_CHAT), Button("group_talk", "客户说话", OF_CHAT),
        Button("rename_group", "改名", OF_CHAT), Button("dismiss", "解散", OF_CHAT),
    ),
)  # fmt: skip
def shown_groups(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "chat_id": one.chat_id,
            "created_at": one.created_at,
            "name": one.name,
            "owner": panels.member_name(world, one.owner),
            "count": len(one.members),
            "status": STATUS[status_of(world, one)],
        }
        for one in reversed(world.groups.values())
    )
    return panels.first(rows, query)


@panel(
    "join_ways", "群活码",
    ("created_at", "创建时间"), ("remark", "备注"), ("state", "渠道参数"), ("groups", "群"), ("served", "进群人次"),
    buttons=(Button("scan_join_way", "扫一扫", {"config_id": "config_id"}),),
)  # fmt: skip
def shown_join_ways(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "config_id": one.config_id,
            "created_at": one.created_at,
            "remark": one.remark,
            "state": one.state,
            "groups": "、".join(world.groups[chat].name for chat in one.chat_ids if chat in world.groups),
            "served": one.served,
        }
        for one in reversed(world.join_ways.values())
    )
    return panels.first(rows, query)


# --- what the endpoints use too


def group_of(world: World, chat_id: str) -> Group:
    group = world.groups.get(chat_id)
    if group is None:
        raise Impossible("没有这个群")
    return group


def version(members: Any) -> str:
    return hashlib.md5("".join(sorted(members)).encode(), usedforsecurity=False).hexdigest()


def status_of(world: World, group: Group) -> int:
    return OWNER_LEFT if world.member(group.owner) is None else group.status


def own(world: World, group: Group, userid: str) -> None:
    """Give the group to a member, who is in it from now on; without an event."""
    group.owner = userid
    group.members.setdefault(userid, GroupMember(userid, True, world.clock.epoch(), INVITED))
    world.touch()


def enter(
    world: World, chat_id: str, external_userid: str, *, scene: int, inviter: str = "", state: str = ""
) -> None:  # fmt: skip
    with world.lock:
        group, contact = group_of(world, chat_id), contact_of(world, external_userid)
        now = world.clock.epoch()
        _let_in(world, group, GroupMember(contact.external_userid, False, now, scene, inviter, state))


def _let_in(world: World, group: Group, newcomer: GroupMember) -> None:
    if newcomer.userid in group.members:
        raise Impossible("已经在群里")
    if len(group.members) >= world.quotas.group_size:
        raise Impossible("群已满")
    before = version(group.members)
    _changing(world, group.chat_id)
    group.members[newcomer.userid] = newcomer
    scenes = {"JoinScene": EVENT_SCENES[newcomer.join_scene], "QuitScene": 0}
    _tell_members(world, group, "add_member", newcomer.userid, before, scenes)


def _let_out(world: World, chat_id: str, userid: str, scene: int) -> None:
    with world.lock:
        group = group_of(world, chat_id)
        if userid not in group.members:
            raise Impossible("不在这个群里")
        if userid == group.owner:
            raise Impossible("群主不能退群，先换群主")
        before = version(group.members)
        _changing(world, chat_id)
        del group.members[userid]
        _tell_members(world, group, "del_member", userid, before, {"JoinScene": 0, "QuitScene": scene})


def _changing(world: World, chat_id: str) -> Group:
    """The group, about to change: for a moment its detail goes on to show what it was."""
    group = group_of(world, chat_id)
    now = world.clock.now()
    if group.shown_until <= now:
        group.shown = {
            "name": group.name,
            "notice": group.notice,
            "owner": group.owner,
            "members": [*group.members.values()],
        }
    group.shown_until = now + world.random.uniform(0, world.quotas.group_lag_seconds)
    return group


def _next_group(world: World, way: JoinWay, full: list[Group]) -> Group:
    if not way.makes_groups or not full:
        raise Impossible("群已满")
    owner = world.member(full[0].owner)
    if owner is None:
        raise Impossible("群主已离职，不能再建新群")
    group = make(world, owner.userid, f"{way.base_name or full[0].name}{way.next_number}")
    way.next_number += 1
    way.chat_ids += (group.chat_id,)
    return group


def _tell(world: World, group: Group, detail: str, **tags: Any) -> None:
    world.emit(CHANGED, "update", about=group.chat_id, ChatId=group.chat_id, UpdateDetail=detail, **tags)


def _tell_members(
    world: World, group: Group, detail: str, userid: str, before: str, scenes: dict[str, int]
) -> None:  # fmt: skip
    member = world.members.get(userid)
    named = member.userid if member else userid
    versions = {"LastMemVer": before, "CurMemVer": version(group.members)}
    _tell(world, group, detail, **scenes, MemChangeCnt=1, MemChangeList=[named], **versions)
