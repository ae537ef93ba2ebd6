"""From a tree to one query. Conditions become SQL of constants; every value of a rule is a parameter.

Who has no facts stands with NULLs in ``f``. So each condition is written in one of four ways, by whether it is asked for or
asked against, and by whether it holds for who has no answer: ``x``, ``x IS NOT FALSE``, ``x IS NOT TRUE``, ``x IS FALSE``. The
first is what lets the planner throw away members without facts before it joins them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.utils import timezone

from members import facts
from members.audiences.fields import MEMBER, Ask, Field, Kind, Sql
from members.audiences.rules import Condition, Group, Node
from members.models import Member, OrderLine
from scrm import org

_FACTS = "LEFT JOIN members_memberfacts f ON f.member_id = members_member.id"
_SIGNS = {"gte": ">=", "lte": "<=", "eq": "="}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gte": lambda answer, value: answer >= value,
    "lte": lambda answer, value: answer <= value,
    "eq": lambda answer, value: answer == value,
    "between": lambda answer, value: value[0] <= answer <= value[1],
}


@dataclass(frozen=True, slots=True)
class Query:
    """One query over members. ``params`` belong to ``ids``, ``count`` and ``by_store`` alike."""

    source: str
    where: str
    params: list[Any]

    def select(self, columns: str) -> str:
        return f"SELECT {columns} FROM {self.source} WHERE {self.where}"

    def ids(self) -> str:
        """``id`` of every member in it."""
        return self.select(f"{MEMBER} AS id")

    def ids_and_stores(self) -> str:
        return self.select(f"{MEMBER} AS id, members_member.home_store_id AS store_id")

    def count(self) -> str:
        return self.select("count(*)")

    def by_store(self) -> str:
        return f"{self.select('members_member.home_store_id, count(*)')} GROUP BY 1"


def query(node: Node, ask: Ask) -> Query:
    """Active members of the brand, inside the scope, for whom the rule holds."""
    scope, params = _scope(ask.scope)
    rule, values = _node(node, ask, negated=False)
    source = "members_member" + (f" {_FACTS}" if needs_facts(rule) else "")
    where = f"members_member.brand_id = %s AND members_member.status = 'ACTIVE'{scope} AND {rule}"
    return Query(source, where, [ask.brand_id, *params, *values])


def answers(conditions: Sequence[Condition], ask: Ask) -> Query:
    """One row for one member: for each condition whether it holds and her answer as text. Its last parameter is the member."""
    columns, params = [], []
    for condition in conditions:
        holds, values = _condition(condition, ask, negated=False)
        shown, more = _shown(condition, ask)
        columns.append(f"{holds}, {shown}")
        params += [*values, *more]
    select = ", ".join(columns)
    return Query(f"(SELECT {select} FROM members_member {_FACTS} WHERE members_member.id = %s) a", "true", params)


def needs_facts(sql: str) -> bool:
    return "f." in sql


def _visible_lines(scope: org.Scope) -> Sql:
    """The console's own rule of which purchases one sees, for the line ``l``."""
    if scope.is_everything:
        return "true", []
    rows = org.visible(OrderLine.objects.all(), scope).query
    try:
        where, params = rows.get_compiler(connection=connection).compile(rows.where)
    except EmptyResultSet:
        return "false", []
    return "(" + where.replace('"members_orderline".', "l.") + ")", list(params)


def _scope(scope: org.Scope) -> Sql:
    """The console's own rule of whose members these are (principle 16)."""
    if scope.is_everything:
        return "", []
    rows = org.visible(Member.objects.all(), scope).query
    try:
        where, params = rows.get_compiler(connection=connection).compile(rows.where)
    except EmptyResultSet:
        return " AND false", []
    return f" AND ({where})", list(params)


def _node(node: Node, ask: Ask, *, negated: bool) -> Sql:
    if isinstance(node, Condition):
        return _condition(node, ask, negated=negated)
    return _group(node, ask, negated=negated)


def _group(group: Group, ask: Ask, *, negated: bool) -> Sql:
    """None of them is: each of them not. A negation goes down to the conditions."""
    inner = negated if group.op != "NOT" else not negated
    joins_all = (group.op == "AND") is not negated if group.op != "NOT" else not negated
    parts, params = [], []
    for child in group.of:
        sql, values = _node(child, ask, negated=inner)
        parts.append(sql)
        params += values
    return "(" + (" AND " if joins_all else " OR ").join(parts) + ")", params


def _condition(condition: Condition, ask: Ask, *, negated: bool) -> Sql:
    return _WRITERS[condition.field.kind](condition, ask, negated)


def _written(sql: str, params: list[Any], *, negated: bool, absent_holds: bool = False) -> Sql:
    if absent_holds:
        return f"(({sql}) IS {'FALSE' if negated else 'NOT FALSE'})", params
    return (f"(({sql}) IS NOT TRUE)" if negated else f"({sql})"), params


def _answer(field: Field, ask: Ask) -> Sql:
    return field.expression(ask) if callable(field.expression) else (field.expression, [])


# --- kinds ------------------------------------------------------------------------------------------------------------


def _number(condition: Condition, ask: Ask, negated: bool) -> Sql:
    answer, params = _answer(condition.field, ask)
    comparison, values = _comparison(answer, condition.op, condition.value)
    absent = condition.field.absent
    holds = absent is not None and _COMPARE[condition.op](absent, condition.value)
    return _written(comparison, [*params, *values], negated=negated, absent_holds=holds)


def _comparison(answer: str, op: str, value: Any) -> Sql:
    if op == "between":
        return f"{answer} BETWEEN %s AND %s", list(value)
    return f"{answer} {_SIGNS[op]} %s", [value]


def _date(condition: Condition, ask: Ask, negated: bool) -> Sql:
    answer, params = _answer(condition.field, ask)
    if condition.op == "known":
        return _written(f"{answer} IS NOT NULL", params, negated=negated)
    if condition.op == "between":
        return _written(f"{answer} BETWEEN %s AND %s", [*params, *condition.value], negated=negated)
    since = ask.today - dt.timedelta(days=condition.value - 1)
    sign = ">=" if condition.op == "within_days" else "<"
    return _written(f"{answer} {sign} %s", [*params, since], negated=negated)


def _choice(condition: Condition, ask: Ask, negated: bool) -> Sql:
    field = condition.field
    answer, params = _answer(field, ask)
    values = list(field.widen(condition.value) if field.widen else condition.value)
    if condition.op == "none_of":
        negated = not negated  # who has no answer is none of them
    holds = field.absent is not None and field.absent in condition.value
    return _written(f"{answer} = ANY(%s::{field.array}[])", [*params, values], negated=negated, absent_holds=holds)


def _many(condition: Condition, ask: Ask, negated: bool) -> Sql:
    field, values = condition.field, list(condition.value)
    if condition.op == "all_of":
        every = field.every.format(member=MEMBER)
        return _written(f"{every} @> %s::{field.array}[]", [values], negated=negated)
    if condition.op == "none_of":
        negated = not negated
    sql = field.exists.format(member=MEMBER)
    write = _never_null if sql.startswith("EXISTS") else _written
    return write(sql, [values], negated=negated)


def _flag(condition: Condition, ask: Ask, negated: bool) -> Sql:
    if condition.op == "no":
        negated = not negated
    return _never_null(condition.field.exists.format(member=MEMBER), [], negated=negated)


def _event(condition: Condition, ask: Ask, negated: bool) -> Sql:
    if condition.op == "not_within_days":
        negated = not negated
    since = ask.today - dt.timedelta(days=condition.value - 1)
    sql = condition.field.exists.format(member=MEMBER)
    return _never_null(sql, [midnight(since)] * sql.count("%s"), negated=negated)


def _never_null(sql: str, params: list[Any], *, negated: bool) -> Sql:
    """EXISTS says yes or no; a plain NOT lets the planner make an anti-join of it."""
    return (f"NOT ({sql})" if negated else f"({sql})"), params


def _birthday(condition: Condition, ask: Ask, negated: bool) -> Sql:
    from members.audiences.own_fields import birthdays

    answer, params = _answer(condition.field, ask)
    if condition.op == "months":
        return _written(f"{answer} / 100 = ANY(%s::int[])", [*params, condition.value], negated=negated)
    days = birthdays(ask.today, condition.value)
    return _written(f"{answer} = ANY(%s::int[])", [*params, days], negated=negated)


def _purchases(condition: Condition, ask: Ask, negated: bool) -> Sql:
    """Of everybody at once: who has a total outside the comparison, where none would be inside it; else who has one inside."""
    holds = _COMPARE[condition.op](0, condition.value)
    if ask.alone:
        total, params = _total_of_one(condition, ask)
        comparison, values = _comparison(total, condition.op, condition.value)
        return _written(comparison, [*params, *values], negated=negated)
    lines, params = _lines(condition, ask, "true")
    member = _member_of_line()
    measure = _MEASURES[_measure(condition)]
    comparison, values = _comparison(measure, condition.op, condition.value)
    having = "" if _any_will_do(condition) else f" HAVING {'NOT ' if holds else ''}({comparison})"
    if _measure(condition) == "orders" and having:
        lines = f"(SELECT {member} AS member_id FROM {lines} GROUP BY {member}, l.order_id) l"
        member = "l.member_id"
    found = f"EXISTS (SELECT 1 FROM (SELECT {member} AS member_id FROM {lines} GROUP BY 1{having}) w WHERE w.member_id = {MEMBER})"
    return _never_null(found, [*params, *(values if having else [])], negated=negated is not holds)


def _any_will_do(condition: Condition) -> bool:
    return _measure(condition) == "orders" and condition.op == "gte" and condition.value == 1


def _measure(condition: Condition) -> str:
    assert condition.window is not None
    return str(condition.window["measure"])


_MEASURES = {"orders": "count(*)", "fen": "sum(l.paid_fen - l.refunded_fen)", "quantity": "sum(l.quantity)"}
_KEPT = (
    "l.member_id IS NOT NULL AND NOT (l.is_voided OR l.is_test OR l.is_gift_card)"
    " AND (l.paid_fen = 0 OR l.refunded_fen < l.paid_fen)"
)
# whoever was merged, and who remains of her; most companies have few, and the planner has statistics of them
_GONE = """(WITH RECURSIVE heir AS (
        SELECT id, merged_into_id AS root FROM members_member WHERE merged_into_id IS NOT NULL
        UNION SELECT h.id, m.merged_into_id FROM heir h JOIN members_member m ON m.id = h.root WHERE m.merged_into_id IS NOT NULL
    ) SELECT h.id, h.root FROM heir h JOIN members_member m ON m.id = h.root AND m.merged_into_id IS NULL)"""
_FAMILY = f"""ARRAY(WITH RECURSIVE down AS (
        SELECT {MEMBER} AS id UNION SELECT m.id FROM down d JOIN members_member m ON m.merged_into_id = d.id
    ) SELECT id FROM down)"""


def _somebody_was_merged() -> bool:
    return Member.objects.filter(merged_into__isnull=False).exists()


def _member_of_line() -> str:
    return "coalesce(g.root, l.member_id)" if _somebody_was_merged() else "l.member_id"


def _lines(condition: Condition, ask: Ask, whose: str) -> Sql:
    """Source and condition of the purchases in the window, as something to put behind FROM."""
    window = condition.window
    assert window is not None
    parts: list[str] = [_KEPT, whose]
    params: list[Any] = []
    if "between" in window:
        first, last = window["between"]
        parts.append("l.paid_at >= %s AND l.paid_at < %s")
        params += [midnight(first), midnight(last + dt.timedelta(days=1))]
    else:
        parts.append("l.paid_at >= %s")
        params.append(midnight(ask.today - dt.timedelta(days=window["days"] - 1)))
    for name, column, kind in (
        ("channels", "l.channel", "varchar"), ("categories", "p.category_id", "bigint"), ("products", "l.product_id", "bigint"),
        ("stores", "l.store_id", "bigint"),
    ):  # fmt: skip
        if window.get(name):
            parts.append(f"{column} = ANY(%s::{kind}[])")
            params.append(list(window[name]))
    seen, values = _visible_lines(ask.scope)
    parts.append(seen)
    params += values
    source = "members_orderline l"
    if window.get("categories"):
        source += " JOIN members_product p ON p.id = l.product_id"
    if whose == "true" and _somebody_was_merged():
        source += f" LEFT JOIN {_GONE} g ON g.id = l.member_id"
    return f"{source} WHERE {' AND '.join(part for part in parts if part != 'true')}", params


def _total_of_one(condition: Condition, ask: Ask) -> Sql:
    whose = f"l.member_id = ANY({_FAMILY})" if _somebody_was_merged() else f"l.member_id = {MEMBER}"
    lines, params = _lines(condition, ask, whose)
    measure = "count(DISTINCT l.order_id)" if _measure(condition) == "orders" else _MEASURES[_measure(condition)]
    return f"coalesce((SELECT {measure} FROM {lines}), 0)", params


def midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time()), facts.SHANGHAI)


def _shown(condition: Condition, ask: Ask) -> Sql:
    field = condition.field
    if field.kind is Kind.PURCHASES:
        total, params = _total_of_one(condition, ask)
        return f"({total})::text", params
    if field.shown:
        return f"({field.shown.format(member=MEMBER)})", []
    if field.expression:
        answer, params = _answer(field, ask)
        return f"({answer})::text", params
    return "NULL::text", []


_WRITERS: dict[Kind, Callable[[Condition, Ask, bool], Sql]] = {
    Kind.NUMBER: _number, Kind.MONEY: _number, Kind.DATE: _date, Kind.CHOICE: _choice, Kind.MANY: _many, Kind.FLAG: _flag,
    Kind.EVENT: _event, Kind.BIRTHDAY: _birthday, Kind.PURCHASES: _purchases,
}  # fmt: skip
