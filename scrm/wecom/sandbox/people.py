"""What people do in WeCom (模拟的人): customers scan and delete, guides confirm, tag and delete, staff come and go.

1. Who scans a code without verification is let in half: the event carries the welcome code, and the friendship begins when
   the guide confirms. With verification there is no event before she confirms.
2. No welcome code: for WeCom users, where the console has a welcome for the guide, when they already write, and in the
   second event when the half one's was used.
3. A code of several guides brings each in turn; those who left or lost the feature are passed over.
4. The guide deletes: the relation is gone. The customer deletes: the guide's side stays.
5. The directory's changes are told to the contact sync.
"""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import activity
from scrm.wecom.sandbox.records import ACTIVE, LEFT, WECOM, Approach, Contact, Follow, Member, Way, WelcomeCode
from scrm.wecom.sandbox.registry import job
from scrm.wecom.sandbox.world import World

EXTERNAL, DIRECTORY = "change_external_contact", "change_contact"
BY_CODE, BY_MOBILE, BY_CARD = 1, 2, 3  # add_way


class Impossible(Exception):
    """The person cannot do that; the text says why, in Chinese."""


# --- becoming friends


def scan(world: World, config_id: str, external_userid: str) -> Approach | Follow:
    """A customer scans a contact way: an Approach that waits for the guide, or the friendship that there is already."""
    with world.lock:
        way, contact = world.ways.get(config_id), contact_of(world, external_userid)
        if way is None:
            raise Impossible("二维码已失效")
        if way.is_temp and way.extra.get("expires_at", 0) <= world.clock.epoch():
            raise Impossible("二维码已过期")
        member = _chosen(world, way, contact)
        if contact.type == WECOM and way.extra.get("is_exclusive") and _colleagues_follow(world, way, contact, member):
            raise Impossible("同一家企业的客户只能添加一位员工")
        way.served += 1
        return approach(world, member.userid, external_userid, add_way=BY_CODE, state=way.state, skips=way.skip_verify)


def approach(
    world: World, userid: str, external_userid: str, *, add_way: int, state: str = "", skips: bool = False,
    oper_userid: str = "", more: dict[str, Any] | None = None,
) -> Approach | Follow:  # fmt: skip
    """A customer asks a guide to be friends; ``skips``: the guide has verification off."""
    with world.lock:
        member, contact = member_of(world, userid), contact_of(world, external_userid)
        follow = member.follows.get(external_userid)
        if follow is not None and not follow.customer_left_at:
            return follow
        asked = Approach(
            member.key, external_userid, world.clock.epoch(), add_way, state, oper_userid or external_userid, skips,
            more=more,
        )  # fmt: skip
        world.approaches[_pair(userid, external_userid)] = asked
        world.touch()
        if skips:
            asked.welcome_code = _welcome_code(world, member, contact)
            tags = {"State": state, "WelcomeCode": asked.welcome_code}
            _tell(world, "add_half_external_contact", member, contact, **tags)
            if world.confirms_after is not None:
                world.later(world.confirms_after, "confirm", userid=member.key, external_userid=external_userid)
        return asked


def confirm(world: World, userid: str, external_userid: str) -> Follow:
    """The guide accepts: now they are friends."""
    with world.lock:
        member, contact = member_of(world, userid), contact_of(world, external_userid)
        asked = world.approaches.pop(_pair(userid, external_userid), None)
        if asked is None:
            raise Impossible("没有待通过的好友申请")
        before = member.follows.get(external_userid)
        follow = world.befriend(
            userid, external_userid, add_way=asked.add_way, state=asked.state, oper_userid=asked.oper_userid,
            more=asked.more, remark=before.remark if before else "", tag_ids=before.tag_ids if before else (),
        )  # fmt: skip
        code = world.welcome_codes.get(asked.welcome_code)
        if code is None or code.is_used:
            code_text = "" if asked.welcome_code else _welcome_code(world, member, contact)
        else:
            code_text = code.code  # the half event's, not used yet: its twenty seconds go on
        activity.befriended(world, follow)
        _tell(world, "add_external_contact", member, contact, State=asked.state, WelcomeCode=code_text)
        return follow


def add_by_member(world: World, userid: str, external_userid: str, *, add_way: int = BY_MOBILE) -> Follow:
    """The guide asks and the customer accepts."""
    with world.lock:
        member, contact = member_of(world, userid), contact_of(world, external_userid)
        if external_userid in member.follows:
            raise Impossible("已经是好友")
        follow = world.befriend(userid, external_userid, add_way=add_way, oper_userid=member.userid)
        activity.befriended(world, follow)
        _tell(world, "add_external_contact", member, contact, WelcomeCode=_welcome_code(world, member, contact))
        return follow


# --- among friends


def chat(world: World, userid: str, external_userid: str, *, is_by_member: bool = False, count: int = 1) -> None:
    """One of them writes; WeCom tells nobody, save of what a customer of an acquisition link writes."""
    with world.lock:
        follow = follow_of(world, userid, external_userid)
        if follow.customer_left_at:
            raise Impossible("客户已经删除了导购")
        activity.wrote(world, follow, is_by_member=is_by_member, count=count)
        follow.chatted_at = world.clock.epoch()
        world.touch()


def edit(
    world: World, userid: str, external_userid: str, *, remark: str | None = None, add_tags: tuple[str, ...] = (),
    remove_tags: tuple[str, ...] = (), personal_tags: tuple[str, ...] | None = None,
    remark_mobiles: tuple[str, ...] | None = None,
) -> None:  # fmt: skip
    """The guide changes what she notes about a customer, in her client."""
    with world.lock:
        follow = follow_of(world, userid, external_userid)
        if any(tag not in world.tags or world.tags[tag].is_deleted for tag in add_tags):
            raise Impossible("没有这个标签")
        if remark is not None:
            follow.remark = remark
        kept = [tag for tag in follow.tag_ids if tag not in remove_tags]
        follow.tag_ids = tuple(dict.fromkeys([*kept, *add_tags]))
        given = {"personal_tags": personal_tags, "remark_mobiles": remark_mobiles}
        more = {name: list(values) for name, values in given.items() if values is not None}
        if more:
            follow.more = (follow.more or {}) | more
        _tell(world, "edit_external_contact", member_of(world, userid), contact_of(world, external_userid))


def delete_by_member(world: World, userid: str, external_userid: str, *, source: str = "") -> None:
    with world.lock:
        follow_of(world, userid, external_userid)
        member, contact = world.members[userid.lower()], contact_of(world, external_userid)
        world.part(userid, external_userid)
        _tell(world, "del_external_contact", member, contact, **({"Source": source} if source else {}))


def delete_by_customer(world: World, userid: str, external_userid: str) -> None:
    with world.lock:
        follow = follow_of(world, userid, external_userid)
        if follow.customer_left_at:
            raise Impossible("客户已经删除过这位导购")
        follow.customer_left_at = world.clock.epoch()
        activity.lost(world, follow)
        _tell(world, "del_follow_user", world.members[userid.lower()], contact_of(world, external_userid))


# --- staff


def join(world: World, userid: str, name: str, departments: tuple[int, ...], **values: Any) -> Member:
    """Somebody is hired. Whoever had left and comes back keeps nothing."""
    with world.lock:
        if world.member(userid) is not None:
            raise Impossible("账号已存在")
        if not departments or any(one not in world.departments for one in departments):
            raise Impossible("没有这个部门")
        member = world.add_member(userid, name, departments=departments, **values)
        _tell_directory(world, "create_user", member)
        return member


def leave(world: World, userid: str) -> None:
    """Somebody leaves: gone from the directory, her customers wait to be handed over."""
    with world.lock:
        member = member_of(world, userid)
        member.status, member.left_at = LEFT, world.clock.epoch()
        for key in [key for key, asked in world.approaches.items() if asked.userid == member.key]:
            del world.approaches[key]
        world.emit(DIRECTORY, "delete_user", about=member.key, UserID=member.userid)


def move(world: World, userid: str, departments: tuple[int, ...]) -> None:
    with world.lock:
        member = member_of(world, userid)
        if not departments or any(one not in world.departments for one in departments):
            raise Impossible("没有这个部门")
        member.departments = departments
        _tell_directory(world, "update_user", member)


def rename(world: World, userid: str, new_userid: str) -> None:
    """An account's id can change once; everything moves along."""
    with world.lock:
        member = member_of(world, userid)
        if new_userid.lower() in world.members:
            raise Impossible("账号已存在")
        old_key, old = member.key, member.userid
        del world.members[old_key]
        member.userid = new_userid
        world.members[member.key] = member
        for follow in member.follows.values():
            follow.userid = member.key
            contact = world.contacts[follow.external_userid]
            contact.followers = tuple(member.key if one == old_key else one for one in contact.followers)
        for way in world.ways.values():
            way.users = tuple(new_userid if one.lower() == old_key else one for one in way.users)
        for link in world.links.values():
            link.users = tuple(new_userid if one.lower() == old_key else one for one in link.users)
        for group in world.groups.values():
            group.owner = member.key if group.owner == old_key else group.owner
            if old_key in group.members:
                group.members[member.key] = group.members.pop(old_key)
                group.members[member.key].userid = member.key
        _rename_waiting(world, old_key, member.key)
        world.emit(DIRECTORY, "update_user", about=old_key, UserID=old, NewUserID=new_userid)


def _rename_waiting(world: World, old_key: str, new_key: str) -> None:
    """What has begun goes on under the new account: requests, welcomes, transfers."""
    for asked in [asked for asked in world.approaches.values() if asked.userid == old_key]:
        del world.approaches[_pair(old_key, asked.external_userid)]
        asked.userid = new_key
        world.approaches[_pair(new_key, asked.external_userid)] = asked
    for later in world.jobs:
        if later.values.get("userid") == old_key:
            later.values["userid"] = new_key
    for code in world.welcome_codes.values():
        code.userid = new_key if code.userid == old_key else code.userid
    for transfer in world.transfers.values():
        transfer.handover = new_key if transfer.handover == old_key else transfer.handover
        transfer.takeover = new_key if transfer.takeover == old_key else transfer.takeover


# --- jobs


@job("confirm")
def _confirm_later(world: World, *, at: float, userid: str, external_userid: str) -> None:
    confirm(world, userid, external_userid)


# --- what other acts use too


def newcomer(world: World, name: str) -> str:
    """The id of a person who is nobody's friend yet."""
    if not name.strip():
        raise Impossible("请选一位客户，或者填写新客户的昵称")
    return world.add_contact(name.strip(), unionid=world.new_id("oSANDBOX", 20)).external_userid


def member_of(world: World, userid: str) -> Member:
    member = world.member(userid)
    if member is None:
        raise Impossible(f"没有这位员工：{userid}")
    return member


def contact_of(world: World, external_userid: str) -> Contact:
    contact = world.contacts.get(external_userid)
    if contact is None:
        raise Impossible(f"没有这位客户：{external_userid}")
    return contact


def follow_of(world: World, userid: str, external_userid: str) -> Follow:
    follow = member_of(world, userid).follows.get(external_userid)
    if follow is None:
        raise Impossible("他们不是好友")
    return follow


def members_of(world: World, way: Way) -> list[Member]:
    """Whom a contact way may bring now."""
    parties = set().union(*(world.below(party) for party in way.parties)) if way.parties else set()
    keys = {one.lower() for one in way.users}
    return [
        member
        for member in world.staff()
        if (member.key in keys or parties & set(member.departments)) and member.status == ACTIVE and member.has_feature
    ]


def _chosen(world: World, way: Way, contact: Contact) -> Member:
    those = members_of(world, way)
    if not those:
        raise Impossible("这个二维码的员工都不能添加客户了")
    known = [member for member in those if member.key in contact.followers]
    return known[0] if known else those[way.served % len(those)]


def _colleagues_follow(world: World, way: Way, contact: Contact, chosen: Member) -> bool:
    """Whether somebody of the contact's company is another member's customer through an exclusive way."""
    return any(
        world.contacts[external_userid].corp_name == contact.corp_name
        for member in members_of(world, way)
        if member.key != chosen.key
        for external_userid in member.follows
    )


def _welcome_code(world: World, member: Member, contact: Contact) -> str:
    follow = member.follows.get(contact.external_userid)
    if contact.type == WECOM or member.has_own_welcome or (follow is not None and follow.chatted_at):
        return ""
    code = WelcomeCode(world.new_id("WC", 40), member.key, contact.external_userid, world.clock.now())
    world.welcome_codes[code.code] = code
    return code.code


def _tell(world: World, change_type: str, member: Member, contact: Contact, **tags: str) -> None:
    said: dict[str, Any] = {tag: value for tag, value in tags.items() if value}
    pair = _pair(member.key, contact.external_userid)
    world.emit(EXTERNAL, change_type, about=pair, UserID=member.userid, ExternalUserID=contact.external_userid, **said)


def _tell_directory(world: World, change_type: str, member: Member) -> None:
    departments = ",".join(map(str, member.departments))
    world.emit(DIRECTORY, change_type, about=member.key, UserID=member.userid, Department=departments)


def _pair(userid: str, external_userid: str) -> str:
    return f"{userid.lower()} {external_userid}"
