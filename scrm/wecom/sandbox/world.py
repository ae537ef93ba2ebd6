"""The sandbox's company: who works there, who is whose friend, what was made through the API.

1. Everything is plain values in dataclasses (``records``) under one lock (``world.lock``); objects name each other by id, so that the
   whole is one JSON file (``snapshot``) and a million friendships fit into memory.
2. Member ids are case-insensitive: ``members`` is keyed in lower case.
3. Ids follow from the seed and a counter: the same seed and the same acts give the same ids.
4. What happens later (a confirmation, a transfer after 24 hours) is a job with a name, run when the clock reaches it.
5. Only acts of people and of WeCom itself cause events; what is done through the API does not.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scrm.wecom.sandbox.clock import Clock
from scrm.wecom.sandbox.quotas import Quotas
from scrm.wecom.sandbox.records import (
    LEFT,
    ROOT,
    SELF,
    SYNC,
    WECHAT,
    WECOM,
    Activity,
    App,
    AppMessage,
    Approach,
    Contact,
    Delivery,
    Department,
    Event,
    Follow,
    Group,
    GroupWelcome,
    Job,
    JoinWay,
    Link,
    MassSend,
    Member,
    Moment,
    Sent,
    Tag,
    TagGroup,
    Transfer,
    Way,
    WelcomeCode,
)

KEPT_EVENTS, KEPT_SENT = 2_000, 2_000


@dataclass
class State:
    """All that survives a restart. A module with things of its own adds a field here; keys are text."""

    corp_id: str = "wwSANDBOX0000001"
    corp_name: str = "沙箱企业"
    is_developer_bound: bool = True  # an Official Account or mini-program: unionids are told
    offset: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)
    apps: list[App] = field(default_factory=list)
    tokens: dict[str, list[Any]] = field(default_factory=dict)  # of each: the app's secret, when it expires
    departments: dict[int, Department] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    approaches: dict[str, Approach] = field(default_factory=dict)
    tag_groups: dict[str, TagGroup] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    ways: dict[str, Way] = field(default_factory=dict)
    welcome_codes: dict[str, WelcomeCode] = field(default_factory=dict)
    media: dict[str, dict[str, Any]] = field(default_factory=dict)  # id: kind, until, name
    groups: dict[str, Group] = field(default_factory=dict)
    join_ways: dict[str, JoinWay] = field(default_factory=dict)
    group_welcomes: dict[str, GroupWelcome] = field(default_factory=dict)
    mass_sends: dict[str, MassSend] = field(default_factory=dict)
    mass_received: dict[str, tuple[int, ...]] = field(default_factory=dict)  # customers and groups: when
    sends_after: float | None = None  # seconds until a guide confirms a mass send or a moment by herself; None: never
    moments: dict[str, Moment] = field(default_factory=dict)
    app_messages: dict[str, AppMessage] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    transfer_refusals: float = 0.0  # the share of customers who refuse
    links: dict[str, Link] = field(default_factory=dict)
    acquisition_total: int = 1_000
    acquisition_balance: int = 1_000
    activity: dict[str, Activity] = field(default_factory=dict)  # by member and day
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    sent: deque[Sent] = field(default_factory=lambda: deque(maxlen=KEPT_SENT))
    jobs: list[Job] = field(default_factory=list)
    confirms_after: float | None = None  # seconds until a guide accepts by herself whom her code let in; None: never
    more: dict[str, Any] = field(default_factory=dict)  # plain values of other modules


class World(State):
    """The state with what everybody needs of it; acts of people are in ``people``, endpoints in ``endpoints``."""

    def __init__(self, seed: int = 1, quotas: Quotas | None = None) -> None:
        super().__init__()
        self.seed = seed
        self.quotas = quotas or Quotas()
        self.clock = Clock(self._happen)
        self.random = Random(seed)  # noqa: S311  chance, not secrecy
        self.lock = threading.RLock()
        self.base_url = ""  # where the sandbox's own pages are
        self.files: dict[str, bytes] = {}  # what was uploaded; beside the snapshot, see there
        self.changes = 0  # grows with every change that a snapshot must hold
        self.listeners: list[Callable[[Event], None]] = []
        self.departments[ROOT] = Department(ROOT, self.corp_name, 0)

    # --- ids and time

    def number(self, kind: str) -> int:
        self.counters[kind] = self.counters.get(kind, 0) + 1
        return self.counters[kind]

    def new_id(self, prefix: str, length: int = 30) -> str:
        """An opaque id nobody else has."""
        digest = hashlib.sha256(f"{self.seed}/{prefix}/{self.number(prefix)}".encode()).hexdigest()
        return (prefix + digest)[: length + len(prefix)]

    def later(self, seconds: float, name: str, **values: Any) -> None:
        """Run the job ``name`` (see ``jobs``) when the clock has moved on; ``values`` are plain."""
        heapq.heappush(self.jobs, Job(self.clock.now() + seconds, self.number("job"), name, values))
        self.touch()

    def touch(self) -> None:
        self.changes += 1

    # --- apps

    def add_app(
        self, kind: str = SELF, *, agent_id: int | None = None, secret: str = "", name: str = "", **values: Any
    ) -> App:
        with self.lock:
            app = App(agent_id, secret or self.new_id("secret-", 36), kind, name, **values)
            self.apps.append(app)
            self.touch()
            return app

    def app(self, kind: str = SELF) -> App:
        return next(app for app in self.apps if app.kind == kind)

    # --- directory

    def add_department(self, id: int, name: str, parent_id: int = ROOT, order: int = 0) -> Department:  # noqa: A002
        with self.lock:
            self.departments[id] = Department(id, name, parent_id, order)
            self.touch()
            return self.departments[id]

    def add_member(self, userid: str, name: str = "", **values: Any) -> Member:
        """Put somebody into the directory without an event; ``people.join`` tells the contact sync."""
        with self.lock:
            member = Member(userid, name or userid, last_login_at=self.clock.epoch(), **values)
            self.members[member.key] = member
            self.touch()
            return member

    def member(self, userid: str) -> Member | None:
        """Who works here now."""
        member = self.members.get(userid.lower())
        return None if member is None or member.status == LEFT else member

    def staff(self) -> Iterator[Member]:
        return (member for member in self.members.values() if member.status != LEFT)

    def below(self, department_id: int) -> set[int]:
        """The department and all under it."""
        found = {department_id}
        waiting = [department_id]
        while waiting:
            parent = waiting.pop()
            for one in self.departments.values():
                if one.parent_id == parent and one.id not in found:
                    found.add(one.id)
                    waiting.append(one.id)
        return found

    def visible_departments(self, app: App) -> set[int]:
        if app.visible_departments is None:
            return set(self.departments)
        return set().union(*(self.below(one) for one in app.visible_departments)) & set(self.departments)

    def sees(self, app: App, member: Member) -> bool:
        if app.visible_departments is None or member.key in app.visible_userids:
            return True
        return bool(self.visible_departments(app) & set(member.departments))

    # --- customers

    def add_contact(self, name: str, unionid: str = "", external_userid: str = "", **values: Any) -> Contact:
        """A person outside who is nobody's friend yet."""
        with self.lock:
            type_ = values.get("type", WECHAT)
            external_userid = external_userid or self.new_id("wo" if type_ == WECOM else "wm")
            contact = Contact(external_userid, name, unionid, **values)
            self.contacts[external_userid] = contact
            self.touch()
            return contact

    def follow(self, userid: str, external_userid: str) -> Follow | None:
        member = self.members.get(userid.lower())
        return member.follows.get(external_userid) if member else None

    def befriend(self, userid: str, external_userid: str, *, add_way: int = 1, **values: Any) -> Follow:
        """Make them friends without an event."""
        with self.lock:
            member, contact = self.members[userid.lower()], self.contacts[external_userid]
            values.setdefault("created_at", self.clock.epoch())
            values.setdefault("oper_userid", external_userid)
            follow = Follow(member.key, external_userid, self.number("follow"), add_way=add_way, **values)
            member.follows.pop(external_userid, None)  # to the end of the list
            member.follows[external_userid] = follow
            if member.key not in contact.followers:
                contact.followers += (member.key,)
            self.touch()
            return follow

    def part(self, userid: str, external_userid: str) -> None:
        """The relation is gone, without an event."""
        with self.lock:
            key = userid.lower()
            self.members[key].follows.pop(external_userid, None)
            contact = self.contacts[external_userid]
            contact.followers = tuple(one for one in contact.followers if one != key)
            self.touch()

    def load_many(self, contacts: Iterable[tuple[Any, ...]], follows: Iterable[tuple[Any, ...]]) -> None:
        """Contacts as (external_userid, name, unionid, type, gender) and friendships as (userid, external_userid,
        created_at, add_way, state), the last columns optional. Members exist already; no event."""
        names: dict[str, str] = {}
        with self.lock, _without_collector():
            for external_userid, name, *more in contacts:
                self.contacts[external_userid] = Contact(external_userid, names.setdefault(name, name), *more)
            for userid, external_userid, created_at, *more in follows:
                member, contact = self.members[userid.lower()], self.contacts[external_userid]
                key = contact.external_userid  # the one string they all share
                follow = Follow(member.key, key, self.number("follow"), created_at, *more)
                follow.oper_userid = key
                member.follows[key] = follow
                contact.followers += (member.key,)
            self.touch()

    # --- events

    def emit(
        self, event: str, change_type: str, *, about: str = "", agent_id: int | None = None, **tags: str | int | list[str]
    ) -> Event:  # fmt: skip
        """Something WeCom tells the apps. Numbers and lists of items go bare, texts as CDATA.

        Customer events go to every app that may call customer contact, those of the directory to the contact sync, any
        other to the app ``agent_id``.
        """
        with self.lock:
            at = self.clock.epoch()
            said: dict[str, str | int | list[str]] = {
                "ToUserName": self.corp_id,
                "FromUserName": "sys",
                "CreateTime": at,
                "MsgType": "event",
            }
            said |= {"Event": event, **({"ChangeType": change_type} if change_type else {}), **tags}
            xml = "<xml>" + "".join(_element(tag, value) for tag, value in said.items()) + "</xml>"
            told = Event(self.number("event"), at, event, change_type, about or f"{self.counters['event']}", xml)
            told.deliveries = [Delivery(app.agent_id) for app in self._audience(event, agent_id)]
            self.events.append(told)
            self.touch()
            for listener in self.listeners:
                listener(told)
            return told

    def _audience(self, event: str, agent_id: int | None) -> list[App]:
        if event == "change_contact":
            return [app for app in self.apps if app.kind == SYNC and app.receiver]
        if event.startswith("change_external_") or event == "customer_acquisition":
            return [app for app in self.apps if app.kind == SELF and app.is_callable and app.receiver]
        return [app for app in self.apps if app.agent_id == agent_id and app.receiver]

    # --- what happens later

    def _happen(self, until: float) -> None:
        from scrm.wecom.sandbox import people, registry

        while True:
            with self.lock:
                if not self.jobs or self.jobs[0].at > until:
                    return
                job = heapq.heappop(self.jobs)
                self.clock.set(job.at)
                self.touch()
                with contextlib.suppress(people.Impossible):  # somebody else was faster, or has left meanwhile
                    registry.jobs[job.name](self, at=job.at, **job.values)

    # --- the acts that most callers want, see ``people``

    def scan(self, config_id: str, external_userid: str) -> Approach | Follow:
        from scrm.wecom.sandbox import people

        return people.scan(self, config_id, external_userid)

    def confirm(self, userid: str, external_userid: str) -> Follow:
        from scrm.wecom.sandbox import people

        return people.confirm(self, userid, external_userid)

    def delete_by_member(self, userid: str, external_userid: str) -> None:
        from scrm.wecom.sandbox import people

        people.delete_by_member(self, userid, external_userid)

    def delete_by_customer(self, userid: str, external_userid: str) -> None:
        from scrm.wecom.sandbox import people

        people.delete_by_customer(self, userid, external_userid)

    def leave(self, userid: str) -> None:
        from scrm.wecom.sandbox import people

        people.leave(self, userid)


class _without_collector:  # noqa: N801  a context manager
    """Millions of new objects and no garbage among them."""

    def __enter__(self) -> None:
        self.was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.freeze()
        if self.was_on:
            gc.enable()


def _element(tag: str, value: str | int | list[str]) -> str:
    if isinstance(value, int):
        return f"<{tag}>{value}</{tag}>"
    if isinstance(value, list):
        return f"<{tag}>" + "".join(f"<Item>{one}</Item>" for one in value) + f"</{tag}>"
    text = str(value).replace("]]>", "]]]]><![CDATA[>")
    return f"<{tag}><![CDATA[{text}]]></{tag}>"
