"""Customer acquisition links (获客链接): addresses outside WeChat by which a customer adds a member.

1. An app sees only the links it made; every friend added through one costs the corp a place of its paid quota.
2. What is appended to the address as ``customer_channel`` comes back as the state of the friendship; WeCom cuts it at 64
   bytes, so a longer one is refused here.
3. ``customers`` tells whether a customer has ever written: a bought account does not.
4. Making a link is never repeated after a lost answer; ``ids`` shows whether it was made.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client

NAME_CHARS, MOST_MEMBERS, MOST_PREFERRED = 30, 500, 1000
CHANNEL_BYTES = 64
LINKS_PER_PAGE, CUSTOMERS_PER_PAGE = 100, 1000
STATISTIC_DAYS, STATISTIC_BACK = 30, 180
NOT_WRITTEN, HAS_WRITTEN, UNKNOWN = 0, 1, 2

_CREATE = client.create("externalcontact/customer_acquisition/create_link")
_UPDATE = client.query("externalcontact/customer_acquisition/update_link")
_DELETE = client.query("externalcontact/customer_acquisition/delete_link")
_GET = client.query("externalcontact/customer_acquisition/get")
_LIST = client.query("externalcontact/customer_acquisition/list_link")
_CUSTOMERS = client.query("externalcontact/customer_acquisition/customer")
_STATISTIC = client.query("externalcontact/customer_acquisition/statistic")
_CHAT = client.query("externalcontact/customer_acquisition/get_chat_info")
_QUOTA = client.read("externalcontact/customer_acquisition_quota")


@dataclass(frozen=True)
class Link:
    id: str
    name: str
    url: str
    created_at: dt.datetime | None
    skip_verify: bool = True
    userids: tuple[str, ...] = ()
    department_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Preference:
    """Which members come first: 1 among all, 2 among the named ones. WeCom allows it to some industries only."""

    type: int
    userids: Sequence[str] = ()


@dataclass(frozen=True)
class Customer:
    """``chat_status``: NOT_WRITTEN, HAS_WRITTEN or UNKNOWN."""

    external_userid: str
    userid: str
    chat_status: int
    state: str


@dataclass(frozen=True)
class Quota:
    total: int
    balance: int
    expiring: tuple[tuple[dt.datetime | None, int], ...]  # when how many of them expire


@dataclass(frozen=True)
class Statistic:
    clicks: int  # people who opened the link
    new_customers: int


@dataclass(frozen=True)
class Chat:
    """What a ``chat_key`` of an event tells; it holds for half an hour."""

    userid: str
    external_userid: str
    messages_received: int
    link_id: str
    state: str


def create(
    app: WecomApp, *, name: str, userids: Sequence[str] = (), department_ids: Sequence[int] = (),
    skip_verify: bool = True, preference: Preference | None = None,
) -> Link:  # fmt: skip
    """QuotaExhausted when the corp has no more links; NoPermission when its industry may have none."""
    bounds.present(_CREATE.path, "link_name", name)
    bounds.present(_CREATE.path, "range", [*userids, *department_ids])
    values = _values(_CREATE.path, name, userids, department_ids, skip_verify, preference)
    answer = client.call(app, _CREATE, values)["link"]
    return Link(
        id=answer["link_id"],
        name=answer.get("link_name", name),
        url=answer["url"],
        created_at=answers.at(answer.get("create_time")),
        skip_verify=skip_verify,
        userids=tuple(userids),
        department_ids=tuple(department_ids),
    )


def update(
    app: WecomApp, *, link_id: str, name: str | None = None, userids: Sequence[str] | None = None,
    department_ids: Sequence[int] | None = None, skip_verify: bool | None = None, preference: Preference | None = None,
) -> None:  # fmt: skip
    """Replace what is given; None leaves it. Members and departments are replaced together."""
    bounds.present(_UPDATE.path, "link_id", link_id)
    values = _values(_UPDATE.path, name, userids, department_ids, skip_verify, preference)
    bounds.present(_UPDATE.path, "link_name", values)
    client.call(app, _UPDATE, {"link_id": link_id, **values})


def delete(app: WecomApp, link_id: str) -> None:
    bounds.present(_DELETE.path, "link_id", link_id)
    client.call(app, _DELETE, {"link_id": link_id})


def get(app: WecomApp, link_id: str) -> Link:
    """NotFound for a link that is unknown or of another app."""
    bounds.present(_GET.path, "link_id", link_id)
    answer = client.call(app, _GET, {"link_id": link_id})
    link, reach = answer["link"], answer.get("range") or {}
    return Link(
        id=link.get("link_id", link_id),
        name=link.get("link_name", ""),
        url=link.get("url", ""),
        created_at=answers.at(link.get("create_time")),
        skip_verify=bool(link.get("skip_verify", True)),
        userids=tuple(reach.get("user_list") or ()),
        department_ids=tuple(reach.get("department_list") or ()),
    )


def ids(app: WecomApp) -> Iterator[str]:
    """The ids of all links of this app, page by page."""
    for answer in client.pages(app, _LIST, {"limit": LINKS_PER_PAGE}):
        yield from answer.get("link_id_list", [])


def customers(app: WecomApp, link_id: str) -> Iterator[Customer]:
    """Who was added through the link, page by page."""
    bounds.present(_CUSTOMERS.path, "link_id", link_id)
    for answer in client.pages(app, _CUSTOMERS, {"link_id": link_id, "limit": CUSTOMERS_PER_PAGE}):
        for row in answer.get("customer_list", []):
            yield Customer(row["external_userid"], row["userid"], row.get("chat_status", UNKNOWN), row.get("state", ""))


def quota(app: WecomApp) -> Quota:
    answer = client.call(app, _QUOTA)
    expiring = ((answers.at(row.get("expire_date")), row.get("balance", 0)) for row in answer.get("quota_list") or ())
    return Quota(answer["total"], answer["balance"], tuple(expiring))


def statistic(app: WecomApp, *, link_id: str, first: dt.date, last: dt.date, today: dt.date) -> Statistic:
    """Clicks and new customers over up to 30 days of the last 180."""
    bounds.present(_STATISTIC.path, "link_id", link_id)
    bounds.days(_STATISTIC.path, first, last, today, most=STATISTIC_DAYS, back=STATISTIC_BACK)
    period = {"start_time": answers.midnight(first), "end_time": answers.midnight(last)}
    answer = client.call(app, _STATISTIC, {"link_id": link_id, **period})
    return Statistic(answer.get("click_link_customer_cnt", 0), answer.get("new_customer_cnt", 0))


def chat(app: WecomApp, chat_key: str) -> Chat:
    """NotFound when the key is older than half an hour."""
    bounds.present(_CHAT.path, "chat_key", chat_key)
    answer = client.call(app, _CHAT, {"chat_key": chat_key})
    info = answer.get("chat_info") or {}
    return Chat(
        answer["userid"],
        answer["external_userid"],
        info.get("recv_msg_cnt", 0),
        info.get("link_id", ""),
        info.get("state", ""),
    )


def address(url: str, channel: str) -> str:
    """The link's address for one channel, whose name comes back as the state of the friendship."""
    bounds.utf8_bytes(_CREATE.path, "customer_channel", channel, CHANNEL_BYTES)
    return f"{url}?{urlencode({'customer_channel': channel})}" if channel else url


def scheme(url: str, channel: str) -> str:
    """The same as an address that opens WeChat from an app or a text message."""
    return f"weixin://biz/ww/profile/{quote(address(url, channel), safe='')}"


def _values(
    path: str, name: str | None, userids: Sequence[str] | None, department_ids: Sequence[int] | None,
    skip_verify: bool | None, preference: Preference | None,
) -> dict[str, Any]:  # fmt: skip
    bounds.chars(path, "link_name", name, NAME_CHARS)
    bounds.items(path, "user_list", userids or (), MOST_MEMBERS)
    for userid in userids or ():
        bounds.userid(path, "user_list", userid)
    given: dict[str, Any] = {"link_name": name, "skip_verify": skip_verify}
    if userids is not None or department_ids is not None:
        given["range"] = {"user_list": list(userids or ()), "department_list": list(department_ids or ())}
    if preference is not None:
        bounds.between(path, "priority_type", preference.type, 1, 2)
        bounds.items(path, "priority_userid_list", preference.userids, MOST_PREFERRED)
        chosen = list(preference.userids)
        given["priority_option"] = {"priority_type": preference.type, "priority_userid_list": chosen}
    return {key: value for key, value in given.items() if value is not None}
