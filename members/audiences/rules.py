"""Rules as trees: reading what the builder sends, and saying what is wrong with it, at the place where it is wrong."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from members.audiences import fields
from members.audiences.fields import Ask, Field, Kind
from scrm.errors import RuleViolation

DEEPEST, MOST_NODES, MOST_VALUES, MOST_DAYS = 5, 60, 500, 3_660
GROUPS = ("AND", "OR", "NOT")  # all of them, any of them, none of them
MEASURES = ("orders", "fen", "quantity")
EARLIEST, LATEST = 1900, 2200  # years of a day in a rule
WINDOW_LISTS = {"channels": "channels", "categories": "category", "products": "product", "stores": "home_store"}


class BadRule(RuleViolation):
    """``extra["problems"]``: path (places from the root), code, message, and the key of the part that is wrong."""

    code = "bad_audience_rule"


@dataclass(frozen=True, slots=True)
class Problem:
    path: tuple[int, ...]
    code: str
    message: str
    part: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"path": list(self.path), "code": self.code, "message": self.message, "part": self.part}


@dataclass(frozen=True, slots=True)
class Group:
    op: str
    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    field: Field
    op: str
    value: Any
    path: tuple[int, ...]
    window: Mapping[str, Any] | None = None  # PURCHASES: days or from and until, measure, lists of values


Node = Group | Condition


def read(rule: Any, ask: Ask) -> Node:
    """The tree. Raises BadRule with every problem there is."""
    problems: list[Problem] = []
    node = _Reader(ask, problems).node(rule, (), 1)
    if problems or node is None:
        first = problems[0] if problems else Problem((), "empty", _("The rule is empty."))
        raise BadRule(first.message, extra={"problems": [one.as_json() for one in problems or [first]]})
    return node


def digest(rule: Any) -> str:
    """Of the canonical form: equal rules have equal digests however their keys are ordered."""
    text = json.dumps(rule, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def conditions(node: Node) -> Iterator[Condition]:
    if isinstance(node, Condition):
        yield node
    else:
        for child in node.of:
            yield from conditions(child)


def values_named(rule: Any, key: str) -> set[Any]:
    """What the conditions on the field ``key`` name, of a rule that may be out of date."""
    if not isinstance(rule, dict):
        return set()
    if rule.get("field") == key:
        return set(rule["value"]) if isinstance(rule.get("value"), list) else set()
    return set().union(*(values_named(child, key) for child in rule.get("of") or ()))


class _Reader:
    def __init__(self, ask: Ask, problems: list[Problem]) -> None:
        self.ask, self.problems, self.count = ask, problems, 0

    def wrong(self, path: tuple[int, ...], code: str, message: str, part: str = "") -> None:
        self.problems.append(Problem(path, code, message, part))

    def node(self, rule: Any, path: tuple[int, ...], depth: int) -> Node | None:
        self.count += 1
        if self.count > MOST_NODES:
            if self.count == MOST_NODES + 1:
                self.wrong(
                    path, "too_many", _("A rule has at most %(most)s conditions and groups.") % {"most": MOST_NODES}
                )
            return None
        if not isinstance(rule, dict):
            self.wrong(path, "not_a_rule", _("This is neither a group nor a condition."))
            return None
        return self._group(rule, path, depth) if "op" in rule else self._condition(rule, path)

    def _group(self, rule: dict[str, Any], path: tuple[int, ...], depth: int) -> Group | None:
        op, of = rule.get("op"), rule.get("of")
        if op not in GROUPS or not isinstance(of, list):
            self.wrong(path, "not_a_rule", _("This is neither a group nor a condition."))
            return None
        if depth > DEEPEST:
            self.wrong(path, "too_deep", _("Groups stand at most %(most)s deep in each other.") % {"most": DEEPEST})
            return None
        if not of:
            self.wrong(path, "empty", _("Put a condition into this group, or remove it."))
            return None
        children = [self.node(child, (*path, place), depth + 1) for place, child in enumerate(of)]
        found = tuple(child for child in children if child is not None)
        return Group(op, found) if len(found) == len(of) else None

    def _condition(self, rule: dict[str, Any], path: tuple[int, ...]) -> Condition | None:
        key, op, value = rule.get("field"), rule.get("is"), rule.get("value")
        field = fields.get(key) if isinstance(key, str) else None
        if field is None or field.is_hidden:
            self.wrong(path, "unknown_field", _("There is no field “%(field)s”.") % {"field": str(key)[:40]}, "field")
            return None
        if not fields.may_ask(field, self.ask.scope):
            text = _("“%(field)s” counts purchases in all stores; only who sees all stores may ask for it.")
            self.wrong(path, "field_of_all_stores", text % {"field": field.label}, "field")
            return None
        if op not in fields.OPERATORS[field.kind]:
            self.wrong(
                path, "unknown_operator", _("“%(field)s” cannot be compared like this.") % {"field": field.label}, "is"
            )
            return None
        before = len(self.problems)
        value = _CHECKS[field.kind](self, field, op, value, path)
        window = self._window(rule, path) if field.kind is Kind.PURCHASES else None
        return Condition(field, op, value, path, window) if len(self.problems) == before else None

    # --- values ---

    def number(self, field: Field, op: str, value: Any, path: tuple[int, ...]) -> Any:
        if op == "between":
            if isinstance(value, list) and len(value) == 2 and all(self._is_number(field, one) for one in value):
                if value[0] <= value[1]:
                    return value
                self.wrong(path, "wrong_type", _("The first value must not be above the second."), "value")
                return None
        elif self._is_number(field, value):
            return value
        what = _("an amount") if field.kind is Kind.MONEY else _("a whole number")
        self.wrong(
            path, "wrong_type", _("“%(field)s” needs %(what)s from %(least)s on.")
            % {"field": field.label, "what": what, "least": field.least}, "value",
        )  # fmt: skip
        return None

    def _is_number(self, field: Field, value: Any) -> bool:
        most = 10**14 if field.kind in (Kind.MONEY, Kind.PURCHASES) else field.most
        return isinstance(value, int) and not isinstance(value, bool) and field.least <= value <= most

    def days(self, path: tuple[int, ...], value: Any, label: Any, *, least: int = 1, most: int = MOST_DAYS) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(
            path, "wrong_type", _("“%(field)s” needs a number of days from %(least)s to %(most)s.")
            % {"field": label, "least": least, "most": most}, "value",
        )  # fmt: skip
        return None

    def date(self, field: Field, op: str, value: Any, path: tuple[int, ...]) -> Any:
        if op == "known":
            return None
        if op != "between":
            return self.days(path, value, field.label)
        return self.two_days(value, path, field.label)

    def two_days(self, value: Any, path: tuple[int, ...], label: Any) -> Any:
        try:
            first, last = (dt.date.fromisoformat(one) for one in value)
        except (TypeError, ValueError):
            self.wrong(path, "wrong_type", _("“%(field)s” needs a first and a last day.") % {"field": label}, "value")
            return None
        if not (first.year >= EARLIEST and last.year <= LATEST):
            text = _("“%(field)s” needs days between %(first)s and %(last)s.")
            self.wrong(path, "wrong_type", text % {"field": label, "first": EARLIEST, "last": LATEST}, "value")
        elif first > last:
            self.wrong(path, "wrong_type", _("The first day must not be after the last."), "value")
        return first, last

    def many(self, field: Field, op: str, value: Any, path: tuple[int, ...]) -> Any:
        if not isinstance(value, list) or not value:
            self.wrong(path, "wrong_type", _("Choose at least one “%(field)s”.") % {"field": field.label}, "value")
            return None
        if len(value) > MOST_VALUES:
            self.wrong(path, "too_many", _("Choose at most %(most)s.") % {"most": MOST_VALUES}, "value")
            return None
        number = (field.array == "bigint" and field.rows is not None) or any(
            isinstance(v, int) for v, _l in field.choices
        )
        wanted: type = int if number else str
        if any(not isinstance(one, wanted) or isinstance(one, bool) for one in value):
            self.wrong(path, "wrong_type", _("Choose at least one “%(field)s”.") % {"field": field.label}, "value")
            return None
        missing = set(value) - set(fields.labels(field, self.ask, value))
        if missing:
            self.wrong(
                path, "gone", _("%(count)s chosen “%(field)s” no longer exist or are not yours to see: remove them.")
                % {"count": len(missing), "field": field.label}, "value",
            )  # fmt: skip
        return value

    def birthday(self, field: Field, op: str, value: Any, path: tuple[int, ...]) -> Any:
        if op == "coming_days":
            return self.days(path, value, field.label, least=0, most=field.most)
        if isinstance(value, list) and value and all(type(one) is int and 1 <= one <= 12 for one in value):
            return value
        self.wrong(path, "wrong_type", _("Choose months from 1 to 12."), "value")
        return None

    def nothing(self, field: Field, op: str, value: Any, path: tuple[int, ...]) -> Any:
        return None

    def event(self, field: Field, op: str, value: Any, path: tuple[int, ...]) -> Any:
        return self.days(path, value, field.label)

    # --- purchases in a window ---

    def _window(self, rule: dict[str, Any], path: tuple[int, ...]) -> dict[str, Any]:
        label = _("Window")
        found: dict[str, Any] = {"measure": rule.get("measure", "orders")}
        if found["measure"] not in MEASURES:
            self.wrong(path, "wrong_type", _("Count orders, money or pieces."), "measure")
        if "between" in rule:
            found["between"] = self.two_days(rule["between"], path, label)
        else:
            found["days"] = self.days(path, rule.get("days"), label)
        for name, key in WINDOW_LISTS.items():
            if rule.get(name):
                field = fields.get(key)
                assert field is not None
                before = len(self.problems)
                found[name] = self.many(field, "any_of", rule[name], path)
                self.problems[before:] = [
                    Problem(one.path, one.code, one.message, name) for one in self.problems[before:]
                ]
        return found


_Check = Callable[[_Reader, Field, str, Any, tuple[int, ...]], Any]
_CHECKS: dict[Kind, _Check] = {
    Kind.NUMBER: _Reader.number, Kind.MONEY: _Reader.number, Kind.PURCHASES: _Reader.number, Kind.DATE: _Reader.date,
    Kind.CHOICE: _Reader.many, Kind.MANY: _Reader.many, Kind.FLAG: _Reader.nothing, Kind.EVENT: _Reader.event,
    Kind.BIRTHDAY: _Reader.birthday,
}  # fmt: skip
