"""One call of the API: who asks, what for, and its parameters as WeCom reads them.

1. A body that is no JSON counts as empty, a parameter of the wrong type as absent: the call goes on without it and the
   answer's errmsg carries ``Warning: wrong json format.``
2. A value that breaks a documented limit is refused with the documented code, else with 40058.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scrm.wecom.sandbox import cursors
from scrm.wecom.sandbox.records import App, Contact, Follow, Member
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.world import World

BAD, EMPTY = 40058, 40063
_USERID = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)

T = TypeVar("T")


@dataclass
class Call:
    path: str  # below /cgi-bin/
    world: World
    app: App
    query: dict[str, str]
    body: dict[str, Any]
    ip: str = "127.0.0.1"
    is_post: bool = True
    is_garbled: bool = False  # the warning goes into errmsg
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # field: file name, content

    # --- parameters

    def text(
        self, name: str, *, missing: int | None = None, chars: int | None = None, size: int | None = None,
        code: int = BAD, of: dict[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """``missing``: the code when it is absent or empty. ``chars`` and ``size`` (UTF-8 bytes): at most."""
        value = self._get(name, str, "", of)
        if missing is not None and not value:
            raise Refusal(missing, f"{name} missing")
        if (chars is not None and len(value) > chars) or (size is not None and len(value.encode()) > size):
            raise Refusal(code, f"{name} is too long")
        return value

    def number(
        self, name: str, default: int | None = None, *, low: int | None = None, high: int | None = None,
        code: int = BAD, of: dict[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """``default`` None: it is required."""
        value = self._get(name, int, default, of)
        if value is None:
            raise Refusal(EMPTY, f"{name} missing")
        if (low is not None and value < low) or (high is not None and value > high):
            raise Refusal(code, f"{name} is out of range")
        return value

    def flag(self, name: str, default: bool = False, *, of: dict[str, Any] | None = None) -> bool:
        return bool(self._get(name, bool, default, of))

    def texts(self, name: str, *, most: int | None = None, code: int = BAD, of: Any = None) -> list[str]:
        return self._items(name, str, most, code, of)

    def numbers(self, name: str, *, most: int | None = None, code: int = BAD, of: Any = None) -> list[int]:
        return self._items(name, int, most, code, of)

    def objects(self, name: str, *, most: int | None = None, code: int = BAD, of: Any = None) -> list[dict[str, Any]]:
        return self._items(name, dict, most, code, of)

    def object(self, name: str, *, of: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._get(name, dict, {}, of)

    def has(self, name: str, of: dict[str, Any] | None = None) -> bool:
        return (self.values if of is None else of).get(name) is not None

    @property
    def values(self) -> dict[str, Any]:
        return self.body if self.is_post else self.query

    def _get(self, name: str, kind: type[T], default: Any, of: dict[str, Any] | None) -> Any:
        value = (self.values if of is None else of).get(name)
        if value is None:
            return default
        if kind is int and not self.is_post and isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.is_garbled = True
            return default
        return value

    def _items(self, name: str, kind: type[T], most: int | None, code: int, of: Any) -> list[T]:
        values = self._get(name, list, [], of)
        good = [value for value in values if isinstance(value, kind) and not isinstance(value, bool)]
        if len(good) < len(values):
            self.is_garbled = True
        if most is not None and len(values) > most:
            raise Refusal(code, f"{name} has too many items")
        return good

    # --- pages

    def page(self, *, default: int, most: int, over: int | None = None, name: str = "limit") -> int:
        """How many rows; more than ``most`` counts as ``over`` (``most`` unless said). Below one: the default."""
        asked = self.number(name, default)
        return default if asked < 1 else asked if asked <= most else most if over is None else over

    def place(self) -> list[Any] | None:
        """Where the cursor stands, None on the first page. Refusal 50100."""
        cursor = self.text("cursor")
        if not cursor:
            return None
        oldest = self.world.clock.now() - self.world.quotas.cursor_seconds
        return cursors.unseal(self._key, self._bound, self._query, cursor, not_before=oldest)

    def next_cursor(self, *place: Any) -> str:
        return cursors.seal(self._key, self._bound, self._query, list(place), self.world.clock.epoch())

    def paged(self, rows: list[T], limit: int) -> tuple[list[T], str]:
        """A page by offset of a list that hardly changes."""
        start = int((self.place() or [0])[0])
        end = start + limit
        return rows[start:end], self.next_cursor(end) if end < len(rows) else ""

    @property
    def _key(self) -> bytes:
        return f"{self.world.seed}/{self.world.corp_id}/{self.app.agent_id}/{self.app.secret}".encode()

    @property
    def _bound(self) -> str:
        return self.path

    @property
    def _query(self) -> dict[str, Any]:
        return {name: value for name, value in self.values.items() if name != "access_token"}

    # --- objects

    def member(self, name: str = "userid", *, value: str | None = None, invisible: int = 60011) -> Member:
        """The member whom a parameter names: 40003 malformed, 60111 unknown, ``invisible`` outside the app's range."""
        userid = self.text(name, missing=41009) if value is None else value
        if not _USERID.fullmatch(userid):
            raise Refusal(40003)
        member = self.world.member(userid)
        if member is None:
            raise Refusal(60111)
        if not self.world.sees(self.app, member):
            raise Refusal(invisible)
        return member

    def follower(self, name: str = "userid", *, value: str | None = None) -> Member:
        """A member with the customer contact feature; 84074 without."""
        member = self.member(name, value=value)
        if not member.has_feature:
            raise Refusal(84074)
        return member

    def contact(self, name: str = "external_userid") -> Contact:
        contact = self.world.contacts.get(self.text(name, missing=41035))
        if contact is None:
            raise Refusal(40096)
        return contact

    def friendship(self) -> tuple[Member, Contact, Follow]:
        """The pair of ``userid`` and ``external_userid``; 84061 when they are not friends (yet, or any more)."""
        self.text("userid", missing=41009)
        self.text("external_userid", missing=41035)
        member, contact = self.follower(), self.contact()
        follow = member.follows.get(contact.external_userid)
        if follow is None:
            raise Refusal(84061)
        return member, contact, follow


def pair(call: Call) -> str:
    """Names the record of a member and a customer, for writes that must not overlap."""
    return f"{str(call.values.get('userid', '')).lower()} {call.values.get('external_userid', '')}"


Handler = Callable[[Call], Any]
