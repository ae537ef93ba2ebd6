"""Corp tags: the catalogue, and marking a customer."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox.calls import Call, pair
from scrm.wecom.sandbox.records import Tag, TagGroup
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint
from scrm.wecom.sandbox.world import World

NAME_CHARS = 30
ORDER_BELOW = 2**32
UNKNOWN, DUPLICATE, FULL, TOO_MANY, NOT_OURS = 40068, 40071, 40126, 40144, 81011


@endpoint("POST", "externalcontact/get_corp_tag_list", CC, reads=True)
def corp_tag_list(call: Call) -> dict[str, Any]:
    """``deleted`` is said only when asked by id; group ids win."""
    world, group_ids, tag_ids = call.world, call.texts("group_id"), call.texts("tag_id")
    if group_ids:
        groups = [world.tag_groups[one] for one in group_ids if one in world.tag_groups]
        return {"tag_group": [_group(world, one, _tags_of(world, one.id, gone=True), gone=True) for one in groups]}
    if tag_ids:
        tags = [world.tags[one] for one in dict.fromkeys(tag_ids) if one in world.tags]
        groups = [world.tag_groups[one] for one in dict.fromkeys(tag.group_id for tag in tags)]
        return {
            "tag_group": [
                _group(world, group, [tag for tag in tags if tag.group_id == group.id], gone=True) for group in groups
            ]
        }
    groups = [one for one in world.tag_groups.values() if not one.is_deleted]
    return {"tag_group": [_group(world, one, _tags_of(world, one.id)) for one in groups]}


@endpoint("POST", "externalcontact/add_corp_tag", CC)
def add_corp_tag(call: Call) -> dict[str, Any]:
    world = call.world
    group_id, name = call.text("group_id"), call.text("group_name", chars=NAME_CHARS)
    order = call.number("order", 0, low=0, high=ORDER_BELOW - 1)
    wanted = {
        call.text("name", of=row, missing=40058, chars=NAME_CHARS): call.number(
            "order", 0, low=0, high=ORDER_BELOW - 1, of=row
        )
        for row in call.objects("tag")
    }
    if not wanted or not (group_id or name):
        raise Refusal(40058)
    group = _group_for(call, group_id, name)
    known = {tag.name: tag for tag in _tags_of(world, group.id)} if group else {}
    fresh = [one for one in wanted if one not in known]
    if sum(not tag.is_deleted for tag in world.tags.values()) + len(fresh) > world.quotas.corp_tags:
        raise Refusal(FULL)
    now = world.clock.epoch()
    if group is None:
        group = TagGroup(world.new_id("et"), name, order, now, call.app.agent_id)
        world.tag_groups[group.id] = group
    for one in fresh:
        known[one] = Tag(world.new_id("et"), group.id, one, wanted[one], now, call.app.agent_id)
        world.tags[known[one].id] = known[one]
    return {"tag_group": _group(world, group, [known[one] for one in wanted])}


@endpoint("POST", "externalcontact/edit_corp_tag", CC)
def edit_corp_tag(call: Call) -> dict[str, Any]:
    world, id_ = call.world, call.text("id", missing=40058)
    name = call.text("name", chars=NAME_CHARS)
    order = call.number("order", -1, low=-1, high=ORDER_BELOW - 1)
    one = _ours(call, world.tags.get(id_) or world.tag_groups.get(id_))
    if name and name != one.name:
        if isinstance(one, Tag):
            taken = {tag.name for tag in _tags_of(world, one.group_id)}
        else:
            taken = {group.name for group in world.tag_groups.values() if not group.is_deleted}
        if name in taken:
            raise Refusal(DUPLICATE)
        one.name = name
    if order >= 0:
        one.order = order
    return {}


@endpoint("POST", "externalcontact/del_corp_tag", CC)
def del_corp_tag(call: Call) -> dict[str, Any]:
    world, tag_ids, group_ids = call.world, call.texts("tag_id"), call.texts("group_id")
    if not tag_ids and not group_ids:
        raise Refusal(40058)
    groups = [_ours(call, world.tag_groups.get(one)) for one in group_ids]
    tags = [_ours(call, world.tags.get(one)) for one in tag_ids]
    for group in groups:
        tags += _tags_of(world, group.id)
    for tag in tags:
        delete_tag(world, tag)
    return {}


@endpoint("POST", "externalcontact/mark_tag", CC, record=pair)
def mark_tag(call: Call) -> dict[str, Any]:
    world, add, remove = call.world, call.texts("add_tag"), call.texts("remove_tag")
    if not add and not remove:
        raise Refusal(40058)
    _member, _contact, follow = call.friendship()
    for one in (*add, *remove):
        if one not in world.tags or world.tags[one].is_deleted:
            raise Refusal(UNKNOWN)
    kept = [tag for tag in follow.tag_ids if tag not in remove and not world.tags[tag].is_deleted]
    marked = tuple(dict.fromkeys([*kept, *(tag for tag in add if tag not in remove)]))
    if len(marked) > world.quotas.tags_per_customer:
        raise Refusal(TOO_MANY)
    follow.tag_ids = marked
    return {}


def delete_tag(world: World, tag: Tag) -> None:
    """The group goes with its last tag."""
    tag.is_deleted = True
    if not _tags_of(world, tag.group_id):
        world.tag_groups[tag.group_id].is_deleted = True


def _group_for(call: Call, group_id: str, name: str) -> TagGroup | None:
    """The group to put tags in, None when it is yet to be made."""
    if group_id:
        group = call.world.tag_groups.get(group_id)
        if group is None or group.is_deleted:
            raise Refusal(UNKNOWN)
        return group
    return next((one for one in call.world.tag_groups.values() if one.name == name and not one.is_deleted), None)


def _ours(call: Call, one: Any) -> Any:
    if one is None or one.is_deleted:
        raise Refusal(UNKNOWN)
    if one.creator != call.app.agent_id:
        raise Refusal(NOT_OURS)
    return one


def _tags_of(world: World, group_id: str, *, gone: bool = False) -> list[Tag]:
    return [tag for tag in world.tags.values() if tag.group_id == group_id and (gone or not tag.is_deleted)]


def _group(world: World, group: TagGroup, tags: list[Tag], *, gone: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {
        "group_id": group.id, "group_name": group.name, "create_time": group.created_at, "order": group.order,
        "tag": [_tag(tag, gone=gone) for tag in sorted(tags, key=lambda tag: -tag.order)],
    }  # fmt: skip
    return row | ({"deleted": group.is_deleted} if gone else {})


def _tag(tag: Tag, *, gone: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": tag.id, "name": tag.name, "create_time": tag.created_at, "order": tag.order}
    return row | ({"deleted": tag.is_deleted} if gone else {})
