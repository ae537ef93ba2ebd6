"""Corp tags (企业标签): the catalogue, and marking a customer.

1. An app edits and deletes only the tags it made; those of WeCom's console are read only.
2. A group is never empty: it comes with its first tag and goes with its last.
3. Marking goes one pair a call and waits for other writes on the pair; WeCom sends no event for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import bounds, client
from scrm.wecom.customers import pair_record

NAME_CHARS = 30

_LIST = client.query("externalcontact/get_corp_tag_list")
_ADD = client.query("externalcontact/add_corp_tag")  # a name that exists is not made again
_EDIT = client.query("externalcontact/edit_corp_tag")
_DELETE = client.query("externalcontact/del_corp_tag")
_MARK = client.query("externalcontact/mark_tag")


@dataclass(frozen=True)
class Tag:
    """``order``: 0 to 2**32 - 1, larger first."""

    id: str
    name: str
    order: int = 0
    is_deleted: bool = False  # said only when asked for by id


@dataclass(frozen=True)
class Group:
    id: str
    name: str
    order: int
    tags: tuple[Tag, ...]
    is_deleted: bool = False


@dataclass(frozen=True)
class NewTag:
    name: str
    order: int = 0


def groups(app: WecomApp, *, group_ids: Sequence[str] = (), tag_ids: Sequence[str] = ()) -> list[Group]:
    """The groups with their tags; all of them without ids. ``group_ids`` win over ``tag_ids``."""
    answer = client.call(app, _LIST, {"group_id": list(group_ids), "tag_id": list(tag_ids)})
    return [_group(row) for row in answer.get("tag_group", [])]


def add(
    app: WecomApp, *, tags: Sequence[NewTag], group_id: str = "", group_name: str = "", group_order: int = 0
) -> Group:
    """Tags in the group ``group_id``, else in the one called ``group_name``, which is made if need be.

    Gives back the group with the new tags only. QuotaExhausted at the corp's cap of tags.
    """
    path = _ADD.path
    bounds.present(path, "group_name", group_id or group_name)
    bounds.chars(path, "group_name", group_name, NAME_CHARS)
    bounds.order(path, group_order)
    bounds.items(path, "tag", tags, most=10_000, least=1)
    for tag in tags:
        _require_name(path, tag.name)
        bounds.order(path, tag.order)
    group = {"group_id": group_id} if group_id else {"group_name": group_name, "order": group_order}
    answer = client.call(app, _ADD, {**group, "tag": [{"name": tag.name, "order": tag.order} for tag in tags]})
    return _group(answer["tag_group"])


def edit(app: WecomApp, *, id: str, name: str | None = None, order: int | None = None) -> None:  # noqa: A002
    """A tag's or a group's name and order; None leaves it. Duplicate when the name is taken."""
    path = _EDIT.path
    bounds.present(path, "id", id)
    if name is not None:
        _require_name(path, name)
    bounds.order(path, order)
    given = {"name": name, "order": order}
    client.call(app, _EDIT, {"id": id, **{key: value for key, value in given.items() if value is not None}})


def delete(app: WecomApp, *, tag_ids: Sequence[str] = (), group_ids: Sequence[str] = ()) -> None:
    """A group goes with its tags, and with its last tag."""
    bounds.present(_DELETE.path, "tag_id", [*tag_ids, *group_ids])
    client.call(app, _DELETE, {"tag_id": list(tag_ids), "group_id": list(group_ids)})


def mark(
    app: WecomApp, *, userid: str, external_userid: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> None:
    """Give and take corp tags of one pair. NotFriends when the relation has ended; NotFound for an unknown tag."""
    path = _MARK.path
    bounds.userid(path, "userid", userid)
    bounds.present(path, "external_userid", external_userid)
    bounds.present(path, "add_tag", [*add, *remove])
    pair = {"userid": userid, "external_userid": external_userid}
    values = {**pair, "add_tag": list(add), "remove_tag": list(remove)}
    client.call(app, _MARK, values, record=pair_record(userid, external_userid))


def _require_name(path: str, name: str) -> None:
    bounds.present(path, "name", name)
    bounds.chars(path, "name", name, NAME_CHARS)


def _group(row: dict[str, Any]) -> Group:
    return Group(
        id=row["group_id"],
        name=row.get("group_name", ""),
        order=row.get("order", 0),
        tags=tuple(
            Tag(tag["id"], tag.get("name", ""), tag.get("order", 0), bool(tag.get("deleted")))
            for tag in row.get("tag", [])
        ),
        is_deleted=bool(row.get("deleted")),
    )
