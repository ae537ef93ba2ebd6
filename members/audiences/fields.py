"""The registry of fields: what a rule may ask of a member. Members bring their own, upper apps add theirs in ``ready``.

A field says of what kind its answer is and how SQL finds it: ``expression`` for an answer that is one value of the row of the
member (``members_member``) or of her facts (``f``, NULL for who never bought), ``exists`` for a row elsewhere. Both are
constants of the program; what a rule holds goes into parameters only.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from scrm import org

Sql = tuple[str, list[Any]]
MEMBER = "members_member.id"


class Kind(enum.StrEnum):
    NUMBER = "NUMBER"
    MONEY = "MONEY"  # fen
    DATE = "DATE"
    CHOICE = "CHOICE"  # one answer out of a list
    MANY = "MANY"  # several answers at a time: tags, channels
    FLAG = "FLAG"
    EVENT = "EVENT"  # something that happens at times: it has, or has not, in the last days
    BIRTHDAY = "BIRTHDAY"
    PURCHASES = "PURCHASES"


NUMERIC = ("gte", "lte", "eq", "between")
OPERATORS: dict[Kind, tuple[str, ...]] = {
    Kind.NUMBER: NUMERIC,
    Kind.MONEY: NUMERIC,
    Kind.DATE: ("within_days", "before_days", "between", "known"),
    Kind.CHOICE: ("any_of", "none_of"),
    Kind.MANY: ("any_of", "all_of", "none_of"),
    Kind.FLAG: ("yes", "no"),
    Kind.EVENT: ("within_days", "not_within_days"),
    Kind.BIRTHDAY: ("coming_days", "months"),
    Kind.PURCHASES: NUMERIC,
}


@dataclass(frozen=True, slots=True)
class Ask:
    """For whom and when a rule is asked. ``today`` is the business day of ``now``; ``alone``: a few members are asked, each
    by index, instead of everybody at once."""

    brand_id: int
    scope: org.Scope
    now: dt.datetime
    today: dt.date
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """``absent``: what holds for who has no answer (0 purchases); None: no comparison fits her.

    ``choices``: values and labels. ``rows``: the rows that may be chosen instead, seen by a scope; ``number``: keys, else
    ``value_of`` names the column of their value. ``widen`` makes of the chosen values those that are compared (a region: its
    stores). ``shown``: SQL for her answer as text. ``exists`` holds ``{member}`` and one ``%s``: an array of values, or for
    EVENT the time since which, for FLAG none.
    """

    key: str
    label: Any
    group: Any
    kind: Kind
    expression: str | Callable[[Ask], Sql] = ""
    exists: str = ""
    every: str = ""  # MANY: SQL for an array of all her values, for all_of
    absent: Any = None
    choices: Sequence[tuple[Any, Any]] = ()
    rows: Callable[[Ask], QuerySet[Any]] | None = None
    value_of: str = "pk"
    widen: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    array: str = "bigint"  # type of the compared values of CHOICE and MANY
    shown: str = ""
    least: int = 0
    most: int = 2**31 - 1
    unit: Any = ""
    is_hidden: bool = False  # a list of values for a part of another condition, no condition of its own
    of_all_stores: bool = False  # counts what she bought everywhere: only who sees every store asks for it (S1)


_fields: dict[str, Field] = {}


def add(*new: Field) -> None:
    """Called from ``AppConfig.ready``. A key names one field for ever: saved rules hold it."""
    for field in new:
        if _fields.setdefault(field.key, field) is not field:
            raise ValueError(f"two fields {field.key!r}")


def get(key: str) -> Field | None:
    return _fields.get(key)


def may_ask(field: Field, scope: org.Scope) -> bool:
    """Whether somebody with this scope may make a condition of the field."""
    return not field.is_hidden and (scope.is_everything or not field.of_all_stores)


def every() -> list[Field]:
    return list(_fields.values())


def options(field: Field, ask: Ask, *, search: str = "", limit: int = 30) -> list[tuple[Any, str]]:
    """Values that may be chosen, and their labels."""
    if field.rows is None:
        return [(value, str(label)) for value, label in field.choices]
    rows = field.rows(ask)
    if search:
        names = [name for name in ("name", "code", "sku") if any(f.name == name for f in rows.model._meta.get_fields())]
        found = rows.none()
        for name in names:
            found = found | rows.filter(**{f"{name}__icontains": search})
        rows = found
    return [(getattr(row, field.value_of), str(row)) for row in rows.order_by("pk")[:limit]]


def labels(field: Field, ask: Ask, values: Sequence[Any]) -> dict[Any, str]:
    """Labels of those of the values that exist and that the scope may name."""
    if field.rows is None:
        return {value: str(label) for value, label in field.choices if value in values}
    rows = field.rows(ask).filter(**{f"{field.value_of}__in": list(values)})
    return {getattr(row, field.value_of): str(row) for row in rows}
