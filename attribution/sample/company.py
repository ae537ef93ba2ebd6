"""The whole sample company as rows: a pure function of a seed and a day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from random import Random
from zoneinfo import ZoneInfo

from attribution.sample import people, trade

ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class Company:
    stores: tuple[people.Store, ...]
    guides: tuple[people.Guide, ...]
    members: tuple[people.Member, ...]
    rebindings: tuple[people.Rebinding, ...]
    leaves: tuple[people.Leave, ...]
    lines: tuple[trade.Line, ...]
    refunds: tuple[trade.Refund, ...]


def make(seed: int, today: dt.date, *, members: int = people.MEMBER_COUNT, orders: int = trade.ORDER_COUNT) -> Company:
    """The company up to the end of ``today``. Each part draws from a stream of its own."""
    midnight = dt.datetime.combine(today, dt.time(), ZONE)
    stores = people.make_stores(_stream(seed, today, "stores"), today)
    guides = people.make_guides(_stream(seed, today, "guides"), stores, today)
    customers = people.make_members(_stream(seed, today, "members"), stores, guides, today, members)
    moves = people.make_rebindings(_stream(seed, today, "rebindings"), customers, guides, midnight)
    leaves = people.make_leaves(_stream(seed, today, "leaves"), guides, midnight)
    buyers = trade.Buyers(stores, guides, customers, moves)
    lines = trade.make_lines(_stream(seed, today, "orders"), buyers, midnight, orders)
    refunds = trade.make_refunds(_stream(seed, today, "refunds"), lines)
    rows = (stores, guides, customers, moves, leaves, lines, refunds)
    return Company(*map(tuple, rows))  # type: ignore[arg-type]


def until(company: Company, now: dt.datetime) -> Company:
    """What has happened by ``now``: later orders and refunds are gone, later completions not known yet."""
    lines = tuple(
        line._replace(completed_at=None) if line.completed_at and line.completed_at > now else line
        for line in company.lines
        if line.paid_at <= now
    )
    refunds = tuple(refund for refund in company.refunds if refund.refunded_at <= now)
    return replace(company, lines=lines, refunds=refunds)


def _stream(seed: int, today: dt.date, part: str) -> Random:
    return Random(f"{seed}/{today}/{part}")
