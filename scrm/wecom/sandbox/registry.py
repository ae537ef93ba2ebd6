"""The endpoints, acts, panels and jobs of the sandbox, each registered by a decorator where it is written.

``@endpoint("POST", "externalcontact/remark", CC)`` makes a function of a ``Call`` an endpoint: it returns the answer
without errcode and errmsg, or raises ``Refusal``. ``@act`` makes a function of the world an act of a person, which the
control page offers as a form and a button; ``@panel`` a function that lists rows for the page; ``@job`` one that
``world.later`` names.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from scrm.wecom.sandbox.calls import Call, Handler


class Caller(enum.Enum):
    """Whose token an endpoint accepts."""

    ANY = "any"
    APP = "app"  # a self-built app
    CC = "cc"  # a self-built app listed for customer contact
    SYNC = "sync"  # the contact sync
    MP = "mp"  # the app bound to the mini-program


ANY, APP, CC, SYNC, MP = Caller.ANY, Caller.APP, Caller.CC, Caller.SYNC, Caller.MP


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    callers: tuple[Caller, ...]
    answer: Handler
    is_read: bool
    record: Callable[[Call], str] | None  # what must not be written twice at a time
    overlap: int  # the code when it is


@dataclass(frozen=True)
class Field:
    """An input of an act: ``kind`` text, number, flag, choice, member, contact, way or tag."""

    name: str
    label: str
    kind: str = "text"
    choices: tuple[tuple[str, str], ...] = ()
    is_optional: bool = False
    value: Any = None


@dataclass(frozen=True)
class Act:
    name: str
    label: str
    fields: tuple[Field, ...]
    work: Callable[..., Any]
    group: str
    is_grave: bool
    of_box: bool


@dataclass(frozen=True)
class Button:
    """An act on a row: ``values`` says which of the row's values fill which field."""

    act: str
    label: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    name: str
    title: str
    columns: tuple[tuple[str, str], ...]
    buttons: tuple[Button, ...]
    rows: Callable[[Any, str], list[dict[str, Any]]]
    hint: str
    of_box: bool


endpoints: dict[str, Endpoint] = {}
acts: dict[str, Act] = {}
panels: dict[str, Panel] = {}
jobs: dict[str, Callable[..., None]] = {}


def endpoint(
    method: str, path: str, *callers: Caller, reads: bool = False, record: Callable[[Call], str] | None = None,
    overlap: int = 45035,
) -> Callable[[Handler], Handler]:  # fmt: skip
    """``reads``: a POST that changes nothing (a GET never does)."""

    def taken(work: Handler) -> Handler:
        endpoints[path] = Endpoint(method, path, callers, work, reads or method == "GET", record, overlap)
        return work

    return taken


def act(
    name: str, label: str, *fields: Field, group: str = "其他", is_grave: bool = False, of_box: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function gets the world (``of_box``: the sandbox itself) and a keyword per field."""

    def taken(work: Callable[..., Any]) -> Callable[..., Any]:
        acts[name] = Act(name, label, fields, work, group, is_grave, of_box)
        return work

    return taken


def panel(
    name: str,
    title: str,
    *columns: tuple[str, str],
    buttons: tuple[Button, ...] = (),
    hint: str = "",
    of_box: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function gets the world and what is searched for, and gives the newest hundred rows.

    A column is a key of the rows and its heading; one that ends in ``_at`` is a moment, one called ``url`` a link.
    """

    def taken(rows: Callable[..., Any]) -> Callable[..., Any]:
        panels[name] = Panel(name, title, columns, buttons, rows, hint, of_box)
        return rows

    return taken


def job(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The function gets the world, the moment ``at`` at which it was due, and the values of ``world.later``."""

    def taken(work: Callable[..., None]) -> Callable[..., None]:
        jobs[name] = work
        return work

    return taken


def described(one: Act | Panel) -> dict[str, Any]:
    """What the page must know of it."""
    return {name: value for name, value in asdict(one).items() if not callable(value)}
