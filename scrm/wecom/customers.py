"""Customers (外部联系人) and who follows them: what WeCom knows about both.

1. A relation is a pair of a member and a customer; remark, tags, state and the way of adding belong to the pair.
2. ``by_members`` is the only way to read millions: 100 members and 100 pairs a call. It gives tag ids, no tag names and
   no personal tags; ``get`` gives them.
3. The state of a contact way comes back with the pair.
4. ``served`` counts everybody members talk to, customers or not. It is for audits: its ids hold for one pass of four hours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client, errors

MEMBERS_PER_CALL = 100
PAIRS_PER_PAGE = 100
SERVED_PER_PAGE = 1000
REMARK_CHARS, DESCRIPTION_CHARS, COMPANY_CHARS = 20, 150, 20

_FOLLOWERS = client.read("externalcontact/get_follow_user_list")
_LIST = client.read("externalcontact/list")
_GET = client.read("externalcontact/get")
_BY_MEMBERS = client.query("externalcontact/batch/get_by_user")
_REMARK = client.query("externalcontact/remark")
_SERVED = client.query("externalcontact/contact_list")


@dataclass(frozen=True)
class Customer:
    """``type``: 1 a WeChat user, 2 a WeCom user of another corp. ``gender``: 0 unknown, 1 male, 2 female.

    ``unionid`` comes only when the corp has bound an Official Account or mini-program of the same legal entity.
    """

    external_userid: str
    name: str = field(repr=False)
    type: int
    gender: int = 0
    avatar: str = field(default="", repr=False)
    unionid: str = field(default="", repr=False)
    corp_name: str = ""  # type 2 only


@dataclass(frozen=True)
class Follow:
    """The relation of one member with one customer.

    ``add_way`` is WeCom's number, unknown ones included: 1 QR code, 16 acquisition link, 202 assigned by an admin.
    ``tag_ids`` holds corp and strategy tags; ``personal_tags`` the names of the member's own, from ``get`` only.
    ``oper_userid``: who began it: the member, the customer's own external_userid, or who assigned or shared.
    """

    userid: str
    created_at: dt.datetime | None
    remark: str = field(default="", repr=False)
    description: str = field(default="", repr=False)
    remark_mobiles: tuple[str, ...] = field(default=(), repr=False)
    tag_ids: tuple[str, ...] = ()
    personal_tags: tuple[str, ...] = field(default=(), repr=False)
    add_way: int = 0
    oper_userid: str = ""
    state: str = ""
    channels_source: int | None = None  # add_way 10: 1 profile page, 2 livestream, 3 lead form of a Channels account


@dataclass(frozen=True)
class Pair:
    customer: Customer
    follow: Follow


@dataclass(frozen=True)
class Served:
    """Somebody outside whom a member or a group serves. ``name`` is masked; the ids of customers come only if they are ones."""

    is_customer: bool
    temporary_id: str
    external_userid: str
    name: str = field(repr=False)
    userid: str
    chat_id: str
    added_at: dt.datetime | None


@dataclass(frozen=True)
class Page:
    """``next_cursor`` is empty on the last one. WeCom keeps a cursor for four hours."""

    pairs: list[Pair]
    next_cursor: str


def followers(app: WecomApp) -> list[str]:
    """Member ids with the customer contact feature in the app's visible range."""
    return list(client.call(app, _FOLLOWERS).get("follow_user", []))


def ids_of(app: WecomApp, userid: str) -> list[str]:
    """The external ids of a member's customers; empty when there are none."""
    bounds.userid(_LIST.path, "userid", userid)
    try:
        answer = client.call(app, _LIST, {"userid": userid})
    except errors.NotFriends:  # seen as the answer for a member without customers
        return []
    return list(answer.get("external_userid", []))


def get(app: WecomApp, external_userid: str) -> tuple[Customer, list[Follow]]:
    """The customer and every follow of members in the visible range. NotFound: unknown, or nobody visible follows."""
    bounds.present(_GET.path, "external_userid", external_userid)
    follows: list[Follow] = []
    for answer in client.pages(app, _GET, {"external_userid": external_userid}):
        customer = _customer(answer["external_contact"])
        follows += [_follow(row) for row in answer.get("follow_user", [])]
    return customer, follows


def by_members(app: WecomApp, userids: Sequence[str]) -> Iterator[Pair]:
    """Every pair of up to 100 members with their customers, page by page."""
    for answer in client.pages(app, _BY_MEMBERS, _members(userids)):
        yield from _pairs(answer)


def page_by_members(app: WecomApp, userids: Sequence[str], cursor: str = "") -> Page:
    """One page of ``by_members``, for who keeps the cursor. Stale: WeCom has forgotten it, begin anew."""
    answer = client.call(app, _BY_MEMBERS, {**_members(userids), "cursor": cursor})
    return Page(list(_pairs(answer)), answer.get("next_cursor") or "")


def served(app: WecomApp) -> Iterator[Served]:
    """Everybody outside whom members serve, page by page, those not marked as customers included."""
    for answer in client.pages(app, _SERVED, {"limit": SERVED_PER_PAGE}):
        for row in answer.get("info_list", []):
            yield Served(
                is_customer=bool(row.get("is_customer")),
                temporary_id=row.get("tmp_openid", ""),
                external_userid=row.get("external_userid", ""),
                name=row.get("name", ""),
                userid=row.get("follow_userid", ""),
                chat_id=row.get("chat_id", ""),
                added_at=answers.at(row.get("add_time")),
            )


def remark(
    app: WecomApp, *, userid: str, external_userid: str, remark: str | None = None, description: str | None = None,
    company: str | None = None,
) -> None:  # fmt: skip
    """Write what the member sees beside the customer; None leaves a field alone. It replaces what the guide wrote.

    ``company`` is for WeChat users only. WeCom sends no event for it. NotFriends when the relation has ended.
    """
    path = _REMARK.path
    bounds.userid(path, "userid", userid)
    bounds.present(path, "external_userid", external_userid)
    bounds.chars(path, "remark", remark, REMARK_CHARS)
    bounds.chars(path, "description", description, DESCRIPTION_CHARS)
    bounds.chars(path, "remark_company", company, COMPANY_CHARS)
    given = {"remark": remark, "description": description, "remark_company": company}
    values = {name: value for name, value in given.items() if value is not None}
    bounds.present(path, "remark", values)
    client.call(
        app,
        _REMARK,
        {"userid": userid, "external_userid": external_userid, **values},
        record=pair_record(userid, external_userid),
    )


def pair_record(userid: str, external_userid: str) -> str:
    """The name under which writes on one pair wait for each other."""
    return f"{userid.lower()} {external_userid}"


def _members(userids: Sequence[str]) -> dict[str, Any]:
    bounds.items(_BY_MEMBERS.path, "userid_list", userids, MEMBERS_PER_CALL, least=1)
    for userid in userids:
        bounds.userid(_BY_MEMBERS.path, "userid_list", userid)
    return {"userid_list": list(userids), "limit": PAIRS_PER_PAGE}


def _pairs(answer: client.Answer) -> Iterator[Pair]:
    for row in answer.get("external_contact_list", []):
        yield Pair(_customer(row["external_contact"]), _follow(row["follow_info"]))


def _customer(row: dict[str, Any]) -> Customer:
    return Customer(
        external_userid=row["external_userid"],
        name=row.get("name", ""),
        type=row.get("type", 0),
        gender=row.get("gender", 0),
        avatar=row.get("avatar") or "",
        unionid=row.get("unionid", ""),
        corp_name=row.get("corp_name", ""),
    )


def _follow(row: dict[str, Any]) -> Follow:
    """From ``follow_user`` (tags with names) or ``follow_info`` (tag ids only)."""
    tags = row.get("tags") or []
    return Follow(
        userid=row["userid"],
        created_at=answers.at(row.get("createtime")),
        remark=row.get("remark", ""),
        description=row.get("description", ""),
        remark_mobiles=tuple(row.get("remark_mobiles") or ()),
        tag_ids=tuple(row.get("tag_id") or [tag["tag_id"] for tag in tags if tag.get("tag_id")]),
        personal_tags=tuple(tag.get("tag_name", "") for tag in tags if not tag.get("tag_id")),
        add_way=row.get("add_way", 0),
        oper_userid=row.get("oper_userid", ""),
        state=row.get("state", ""),
        channels_source=(row.get("wechat_channels") or {}).get("source"),
    )
