"""What every platform of sales channels has in common (渠道平台): a call, its signature, pages, refusals. Pure.

1. A platform turns documented payloads into order facts and questions into signed requests; it knows no database, no clock and
   no network. ``Platform`` is its shape; one module per platform fills it.
2. Orders and refunds are two streams, each read by the time of change in windows. A window ends some minutes ago, because
   platforms index late, and begins before the last one ended.
3. Numbered pages are read from the last to the first: what is changed while we read leaves the window, and what stood behind it
   moves to a page that is still to come.
4. What public documents leave open is a setting of the shop with a stated default, never a guess in the code.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from attribution.channels import facts
from attribution.channels.order_event import Unreadable

ZONE = ZoneInfo("Asia/Shanghai")
ORDERS, REFUNDS = "orders", "refunds"
Json = Mapping[str, Any]
FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
TOKEN, PACE, PASSING, WRONG = "TOKEN", "PACE", "PASSING", "WRONG"

__all__ = [
    "ORDERS", "PACE", "PASSING", "REFUNDS", "TOKEN", "WRONG", "ZONE", "Call", "Found", "Http", "Json", "Keys", "NotVerified", "Page",
    "Platform", "Pushed", "Refused", "Setting", "Stream", "Token", "Unreadable",
]  # fmt: skip


class NotVerified(Exception):
    """A push whose signature does not fit the raw bytes."""


class Refused(Exception):
    """The platform's answer is a refusal: its token, its pace, something that passes, or a wrong call."""

    def __init__(self, kind: str, code: str) -> None:
        super().__init__(f"{kind} {code}")
        self.kind, self.code = kind, code[:64]


@dataclass(frozen=True, slots=True)
class Keys:
    """What a shop was given to call and to verify with; never shown."""

    app_key: str
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    shop_no: str = ""
    more: Json = field(default_factory=dict, repr=False)  # sign secret, message key, refresh token


@dataclass(frozen=True, slots=True)
class Call:
    """A question before it is signed."""

    method: str
    body: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Http:
    """A signed request; ``path`` follows the platform's base address, or ``base`` where tokens live elsewhere."""

    verb: str
    path: str
    query: Json = field(default_factory=dict, repr=False)
    headers: Json = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    base: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """How a stream may be read. ``delay``: how long ago a window ends."""

    window: dt.timedelta
    overlap: dt.timedelta = dt.timedelta(minutes=5)
    delay: dt.timedelta = dt.timedelta(minutes=3)
    page_size: int = 50
    look_back: dt.timedelta = dt.timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Found:
    """Something on a page: what it is about, and as much of it as the page held."""

    order_no: str = ""
    refund_no: str = ""
    order: Any = None
    refund: Any = None


@dataclass(frozen=True, slots=True)
class Page:
    found: tuple[Found, ...]
    place: Any = None  # of the next page; None when this was the last one


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push is about; the detail is read from the platform."""

    order_no: str
    refund_no: str = ""
    shop_no: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """``until`` where the platform names the moment itself. ``refresh``: the one that buys the next; empty: as before."""

    access: str = field(repr=False)
    seconds: int
    refresh: str = field(default="", repr=False)
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that documents leave open, or that differs from shop to shop."""

    name: str
    choices: tuple[str, ...]
    default: str
    why: str  # what is open, in the words of docs/channels.md


class Platform:
    """One platform. A subclass is stateless; its answers depend on its arguments alone."""

    code: ClassVar[str]
    base_url: ClassVar[str] = ""
    streams: ClassVar[Mapping[str, Stream]] = {}
    settings: ClassVar[tuple[Setting, ...]] = ()
    secrets: ClassVar[tuple[str, ...]] = ()  # names of further secrets in Keys.more
    is_detailed: ClassVar[bool] = False  # a page of orders does not hold all of an order
    is_refund_detailed: ClassVar[bool] = False
    needs_order: ClassVar[bool] = True  # of a refund: its line or its freight is known by the order only
    has_push: ClassVar[bool] = False
    push_answer: ClassVar[tuple[str, str]] = ("application/json", '{"code":0,"msg":"success"}')
    first_page: ClassVar[int] = 1
    push_delay: ClassVar[dt.timedelta] = dt.timedelta(0)  # between a push and the moment its detail can be read
    late_topics: ClassVar[tuple[str, ...]] = ()  # facts that come without moving the order's own version

    # --- calls

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        raise NotImplementedError

    def opened(self, call: Call, answer: Any) -> Any:
        """What the answer holds. Raises Refused."""
        raise NotImplementedError

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        raise NotImplementedError

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        raise NotImplementedError

    def order_call(self, order_no: str) -> Call:
        raise NotImplementedError

    def order_of(self, data: Any) -> Any:
        """The raw order in the answer to ``order_call``; None where there is none."""
        raise NotImplementedError

    def refund_call(self, refund_no: str) -> Call:
        raise NotImplementedError

    def refund_of(self, data: Any) -> Any:
        raise NotImplementedError

    def order_no_in(self, refund: Any) -> str:
        """The order that a raw refund is about, where the page did not say it."""
        return facts.text(refund.get("order_id")) if isinstance(refund, Mapping) else ""

    def token_call(self, keys: Keys) -> Call | None:
        """How a new token is asked for; None where the merchant has to grant anew."""
        return None

    def token_of(self, answer: Any) -> Token:
        """What the answer to ``token_call`` grants. Raises Refused, Unreadable."""
        return granted(self.opened(Call("token"), answer))

    # --- facts

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        """``{"order": …, "refunds": […]}`` as the platform sent them. Raises Unreadable."""
        raise NotImplementedError

    # --- pushes

    def pushed(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, keys: Keys
    ) -> tuple[Pushed, ...]:
        """What a push is about. Raises NotVerified, Unreadable."""
        raise NotVerified

    def checked(self, query: Mapping[str, str], keys: Keys) -> str | None:
        """The answer to a platform that checks the address with a GET; None: it does not, or it is somebody else."""
        return None

    # --- shared by several

    def setting(self, settings: Mapping[str, str], name: str) -> str:
        found = next(each for each in self.settings if each.name == name)
        said = settings.get(name, found.default)
        return said if said in found.choices else found.default

    def page_no(self, place: Any) -> int:
        return self.first_page if place is None else int(place)

    def backwards(self, found: tuple[Found, ...], place: Any, last: int) -> Page:
        """Rule 3. The first answer only tells how many pages there are, unless there is just one."""
        if place is None:
            return Page(found) if last <= self.first_page else Page((), last)
        return Page(found, int(place) - 1 if int(place) > self.first_page else None)


def pages(total: Any, size: int, first: int) -> int:
    """The number of the last page."""
    count = facts.fen(total, "/total")
    return first + max(0, -(-count // size) - 1)


def joined(params: Mapping[str, Any]) -> str:
    """``key + value`` in ASCII order without separators, as TOP, JD and PDD sign."""
    return "".join(f"{key}{params[key]}" for key in sorted(params))


def md5(data: str | bytes) -> str:
    """Platforms sign with it; a collision gains nobody anything who has no secret."""
    return hashlib.md5(data.encode() if isinstance(data, str) else data, usedforsecurity=False).hexdigest()


def compact(value: Any, *, is_sorted: bool = True) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=is_sorted)


def clock(at: dt.datetime) -> str:
    return at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")


def refresh_of(keys: Keys) -> str:
    """The token that buys the next one, as the last answer or the merchant's grant gave it."""
    return str(keys.more.get("refresh_token") or "")


def granted(data: Any) -> Token:
    """A token in the words of OAuth 2."""
    return Token(need(data, "access_token"), int(need(data, "expires_in")), facts.text(data.get("refresh_token")))


def stamp(at: dt.datetime) -> int:
    return int(at.timestamp())


def at_once(value: Any, place: str) -> dt.datetime:
    """A time that must be there."""
    if value is None:
        raise Unreadable("missing_time", place)
    found: dt.datetime = value
    return found


def need(raw: Any, *path: str) -> Any:
    """A value of a payload that must be there."""
    for place, name in enumerate(path):
        if not isinstance(raw, Mapping) or raw.get(name) is None:
            raise Unreadable("missing_value", "/" + "/".join(path[: place + 1]))
        raw = raw[name]
    return raw


def parts(raw: Any, *path: str) -> list[Any]:
    """A list of a payload, or nothing."""
    for name in path:
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    return list(raw) if isinstance(raw, (list, tuple)) else []
