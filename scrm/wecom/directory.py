"""The directory (通讯录): departments and members, read only.

1. The contact sync sees every id and no name; a self-built app sees names, positions and leaders of its visible range.
2. Mobile number, e-mail, gender and avatar are silent for apps made after 2022-06-20: they come from HR, not from here.
3. A member id is case-insensitive: compare ``userid.lower()``. It can change once; it is no key of a guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import bounds, client

ROOT_DEPARTMENT = 1
PAGE = 10_000

_LIST_ID = client.query("user/list_id")
_USER = client.read("user/get")
_SIMPLE_USERS = client.read("user/simplelist")
_USERS = client.read("user/list")
_SIMPLE_DEPARTMENTS = client.read("department/simplelist")
_DEPARTMENT = client.read("department/get")


@dataclass(frozen=True)
class Place:
    """One member in one department; a member in two departments comes twice."""

    userid: str
    department_id: int


@dataclass(frozen=True)
class Department:
    """``parent_id`` of the root is 0; ``order``: larger first. ``name`` is empty in answers that carry ids only."""

    id: int
    parent_id: int
    order: int
    name: str = ""
    leaders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """``status``: 1 active, 2 disabled, 4 not activated, 5 left the corp; None where WeCom does not say."""

    userid: str
    name: str
    department_ids: tuple[int, ...]
    position: str = ""
    leads: tuple[int, ...] = ()  # departments in which the member is a leader
    direct_leaders: tuple[str, ...] = ()
    main_department_id: int | None = None
    status: int | None = None


def places(app: WecomApp) -> Iterator[Place]:
    """Every member of the corp with every department, page by page. Contact sync only."""
    for answer in client.pages(app, _LIST_ID, {"limit": PAGE}):
        for row in answer.get("dept_user", []):
            yield Place(row["userid"], row["department"])


def member(app: WecomApp, userid: str) -> Member:
    """NotFound: unknown, or outside the app's visible range."""
    bounds.userid(_USER.path, "userid", userid)
    return _member(client.call(app, _USER, {"userid": userid}))


def members(app: WecomApp, department_id: int) -> list[Member]:
    """The members of one department without those below it, by id, name and departments only."""
    answer = client.call(app, _SIMPLE_USERS, {"department_id": department_id})
    return [_member(row) for row in answer.get("userlist", [])]


def detailed(app: WecomApp, department_id: int) -> list[Member]:
    """Like ``members``, with position, leaders and status. TooLarge for a department of many thousands."""
    answer = client.call(app, _USERS, {"department_id": department_id})
    return [_member(row) for row in answer.get("userlist", [])]


def department_tree(app: WecomApp, below: int | None = None) -> list[Department]:
    """The department ``below`` and all under it, ids only; None: everything visible."""
    values = {} if below is None else {"id": below}
    return [_department(row) for row in client.call(app, _SIMPLE_DEPARTMENTS, values).get("department_id", [])]


def department(app: WecomApp, department_id: int) -> Department:
    """With its name and leaders. NotFound: unknown; NoPermission: outside the visible range."""
    return _department(client.call(app, _DEPARTMENT, {"id": department_id})["department"])


def _department(row: dict[str, Any]) -> Department:
    return Department(
        id=row["id"],
        parent_id=row.get("parentid", 0),
        order=row.get("order", 0),
        name=row.get("name", ""),
        leaders=tuple(row.get("department_leader", [])),
    )


def _member(row: dict[str, Any]) -> Member:
    departments = tuple(row.get("department", []))
    is_leader = row.get("is_leader_in_dept", [])
    return Member(
        userid=row["userid"],
        name=row.get("name", ""),
        department_ids=departments,
        position=row.get("position", ""),
        leads=tuple(one for one, leads in zip(departments, is_leader, strict=False) if leads),
        direct_leaders=tuple(row.get("direct_leader", [])),
        main_department_id=row.get("main_department"),
        status=row.get("status"),
    )
