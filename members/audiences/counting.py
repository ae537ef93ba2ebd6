"""Counting while somebody builds a rule, and saying why a member is in it."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, replace
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from members.audiences import compiling
from members.audiences.fields import Ask
from members.audiences.rules import Condition, Group, Node
from members.models import Member

COUNT_MS = 600  # an exact count may take so long; then a sample is asked
SAMPLE = 4_000  # member numbers drawn
WORK_MEM = "64MB"


@dataclass(frozen=True, slots=True)
class Count:
    members: int
    is_estimate: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """One node of the tree for one member: ``holds``, and for a condition her answer as text."""

    node: Node
    holds: bool
    answer: str | None
    depth: int


def count(node: Node, ask: Ask, *, limit_ms: int = COUNT_MS) -> Count:
    """Exact if the database manages within the limit, else an estimate from a sample."""
    query = compiling.query(node, ask)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            before = _allow(cursor, limit_ms)
            cursor.execute(query.count(), query.params)
            found = cursor.fetchone()[0]
            _restore(cursor, before)
            return Count(int(found), is_estimate=False)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
    return Count(estimate(node, ask), is_estimate=True)


def estimate(node: Node, ask: Ask, *, size: int = SAMPLE, seed: int = 20_251) -> int:
    """From ``size`` numbers spread evenly from the first member's to the last's: unbiased whoever is missing among them."""
    query = compiling.query(node, replace(ask, alone=True))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM members_member")
        first, last = cursor.fetchone()
        step = max(1, (last - first + 1) // size)
        drawn = random.Random(seed)  # noqa: S311  the same rule shows the same estimate
        ids = [start + drawn.randrange(step) for start in range(first, last + 1, step)]
        cursor.execute(f"{query.count()} AND members_member.id = ANY(%s::bigint[])", [*query.params, ids])
        return int(cursor.fetchone()[0]) * step


def by_store(node: Node, ask: Ask) -> dict[int | None, int]:
    """Members by the number of their home store."""
    query = compiling.query(node, ask)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL work_mem = '{WORK_MEM}'")
        cursor.execute(query.by_store(), query.params)
        return dict(cursor.fetchall())


def why(node: Node, ask: Ask, *, member: Member) -> list[Reason]:
    """The tree from top to bottom, with what holds for her. Whether she is active and in the scope is asked elsewhere."""
    conditions = list(_conditions(node))
    query = compiling.answers(conditions, replace(ask, alone=True))
    with connection.cursor() as cursor:
        cursor.execute(query.select("*"), [*query.params, member.pk])
        row = cursor.fetchone()
    said = {id(one): (bool(row[2 * n]), row[2 * n + 1]) for n, one in enumerate(conditions)}
    return _reasons(node, said, 0)[1]


def _conditions(node: Node) -> list[Condition]:
    if isinstance(node, Condition):
        return [node]
    return [one for child in node.of for one in _conditions(child)]


def _reasons(node: Node, said: dict[int, tuple[bool, Any]], depth: int) -> tuple[bool, list[Reason]]:
    if isinstance(node, Condition):
        holds, answer = said[id(node)]
        return holds, [Reason(node, holds, None if answer is None else str(answer), depth)]
    parts = [_reasons(child, said, depth + 1) for child in node.of]
    holds = holds_for(node, [found for found, _below in parts])
    return holds, [Reason(node, holds, None, depth), *(one for _found, below in parts for one in below)]


def holds_for(group: Group, children: list[bool]) -> bool:
    return {"AND": all(children), "OR": any(children), "NOT": not any(children)}[group.op]


def _allow(cursor: Any, limit_ms: int) -> str:
    cursor.execute("SELECT current_setting('statement_timeout')")
    before = str(cursor.fetchone()[0])
    cursor.execute(f"SET LOCAL statement_timeout = {int(limit_ms)}; SET LOCAL work_mem = '{WORK_MEM}'")
    return before


def _restore(cursor: Any, before: str) -> None:
    """An outer transaction goes on with its own limit."""
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


def business_ask(*, brand_id: int, scope: Any, now: dt.datetime, alone: bool = False) -> Ask:
    from members import facts

    return Ask(brand_id, scope, now, facts.business_day(now), alone)
