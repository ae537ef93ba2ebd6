"""Audiences (人群): who is meant, said once as a rule and asked as one query.

1. A rule is a tree: groups that ask for all, any or none of their parts (AND, OR, NOT), and conditions on the fields of a
   registry (``fields``), which upper apps extend. It is at most 5 groups deep and has at most 60 parts.
2. A rule means active members of its brand inside the scope of whoever asks (principle 16), and nobody else. It is compiled
   to one query in which every value of the rule is a parameter.
3. What is wrong with a rule is said at the part that is wrong: a field or tag that no longer exists, a value of the wrong
   kind, an empty group. A rule with a fault is neither counted, saved nor frozen.
4. Days are business days of Asia/Shanghai: "within N days" includes today. Purchases in a window are those of ``facts``, each
   line by its own payment.
5. A count is exact when the database answers in time, else an estimate from a sample, and says which it is.
6. An audience is a rule with a name, made for the part of the organisation that its maker sees, and reaches no further for
   anybody. Each change of the rule is a new version, kept for ever.
7. Freezing writes the members of one moment into a snapshot, in the background when they are many. A snapshot that is READY
   never changes: sends, experiments and coupons begin with one (principle 17 is checked again when sending).

For other topics: ``compile(rule, brand_id=, scope=, now=)`` returns the query (``ids()``, ``count()`` with ``params``),
``freeze(audience=, actor=, now=)`` a snapshot; its rows are ``SnapshotMember`` (snapshot, member, store) once its status is
READY.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from members.audiences.compiling import Query
from members.audiences.compiling import query as _query
from members.audiences.counting import Count, Reason, business_ask
from members.audiences.fields import Ask, Field, Kind
from members.audiences.fields import add as add_fields
from members.audiences.freezing import (
    KIND,
    BadAudience,
    archive,
    build,
    freeze,
    is_small,
    run,
    save,
    scope_of,
)
from members.audiences.rules import BadRule, Problem, read, values_named
from members.models import Member
from scrm import org

__all__ = [
    "KIND", "Ask", "BadAudience", "BadRule", "Count", "Field", "Kind", "Problem", "Query", "Reason", "add_fields", "archive", "build",
    "business_ask", "by_store", "compile", "count", "freeze", "is_small", "read", "run", "save", "scope_of", "tags_named", "why",
]  # fmt: skip


def compile(  # noqa: A001
    rule: Any, *, brand_id: int, scope: org.Scope, now: dt.datetime, right: org.Scope | None = None
) -> Query:
    """The query of a rule. ``right``: by whose scope it is judged what the rule may ask for, unless by ``scope``. Raises
    BadRule."""
    ask = business_ask(brand_id=brand_id, scope=scope, now=now)
    return _query(read(rule, ask if right is None else replace(ask, scope=right)), ask)


def count(rule: Any, *, brand_id: int, scope: org.Scope, now: dt.datetime) -> Count:
    """How many are meant now. Raises BadRule."""
    from members.audiences import counting

    ask = business_ask(brand_id=brand_id, scope=scope, now=now)
    return counting.count(read(rule, ask), ask)


def by_store(rule: Any, *, brand_id: int, scope: org.Scope, now: dt.datetime) -> dict[int | None, int]:
    """Members meant, by home store. Raises BadRule."""
    from members.audiences import counting

    ask = business_ask(brand_id=brand_id, scope=scope, now=now)
    return counting.by_store(read(rule, ask), ask)


def why(rule: Any, *, member: Member, scope: org.Scope, now: dt.datetime) -> list[Reason]:
    """Each part of the rule with what holds for this member. Raises BadRule."""
    from members.audiences import counting

    ask = business_ask(brand_id=member.brand_id, scope=scope, now=now)
    return counting.why(read(rule, ask), ask, member=member)


def tags_named(rule: Any) -> set[int]:
    return values_named(rule, "tags")
