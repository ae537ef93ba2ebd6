"""Answers of attribution to screens, reports and other apps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, F, Q, Sum

from attribution.models import Account, Entry, Hold, Txn
from members.models import OrderLine


def commission_by_beneficiary() -> dict[str, int]:
    """``{beneficiary code: fen}``: accrued less reversed, whatever the state of the money; reads the whole ledger."""
    entries = Entry.objects.filter(
        txn__kind__in=[Txn.Kind.ACCRUE, Txn.Kind.UNHOLD, Txn.Kind.CLAWBACK],
        account__kind__in=[Account.Kind.HOLD, Account.Kind.DUE, Account.Kind.RECV],
    )
    rows = entries.values_list("account__beneficiary__code").annotate(fen=Sum("amount_fen")).order_by()
    return {code: int(fen) for code, fen in rows}


# ---- the guide API: one guide's own money -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GuideFigures:
    """What is credited to a guide. GMV is net of refunds and counts a line once, however many shares she has in it."""

    today_gmv_fen: int
    yesterday_gmv_fen: int
    month_gmv_fen: int
    last_month_gmv_fen: int  # up to the same day of the month
    today_orders: int
    yesterday_orders: int
    held_fen: int  # of this month's commission: waits for completion and its term
    due_fen: int  # of this month's commission: vested and not clawed back
    last_held_fen: int
    last_due_fen: int


GUIDE_FIGURES = """
    WITH kept AS MATERIALIZED (
        SELECT h.line_id, h.booked_on, min(h.earned_on) AS earned_on,
               sum(h.amount_fen - h.vested_fen - h.reversed_fen) AS held_fen, sum(h.vested_fen - h.clawed_fen) AS due_fen
        FROM attribution_hold h
        WHERE h.beneficiary_id = (SELECT b.id FROM attribution_beneficiary b WHERE b.guide_id = %(guide_id)s)
          AND h.earned_on >= %(last_month)s AND h.earned_on <= %(today)s
        GROUP BY h.line_id, h.booked_on
        HAVING sum(h.amount_fen - h.reversed_fen - h.clawed_fen) > 0
        LIMIT 20000
    ), credited AS (
        SELECT k.*, l.order_id, l.paid_fen - l.refunded_fen AS net_fen
        FROM kept k JOIN members_orderline l ON l.id = k.line_id AND l.booked_on = k.booked_on
    )
    SELECT sum(net_fen) FILTER (WHERE earned_on = %(today)s),
           sum(net_fen) FILTER (WHERE earned_on = %(today)s - 1),
           sum(net_fen) FILTER (WHERE earned_on >= %(month)s),
           sum(net_fen) FILTER (WHERE earned_on < %(month)s AND earned_on <= %(same_day)s),
           count(DISTINCT order_id) FILTER (WHERE earned_on = %(today)s),
           count(DISTINCT order_id) FILTER (WHERE earned_on = %(today)s - 1),
           sum(held_fen) FILTER (WHERE earned_on >= %(month)s), sum(due_fen) FILTER (WHERE earned_on >= %(month)s),
           sum(held_fen) FILTER (WHERE earned_on < %(month)s AND earned_on <= %(same_day)s),
           sum(due_fen) FILTER (WHERE earned_on < %(month)s AND earned_on <= %(same_day)s)
    FROM credited
"""


def guide_figures(*, guide_id: int, today: dt.date) -> GuideFigures:
    """One query over her holds of this month and the last."""
    month = today.replace(day=1)
    last_month = (month - dt.timedelta(days=1)).replace(day=1)
    same_day = min(last_month + (today - month), month - dt.timedelta(days=1))
    values = {"guide_id": guide_id, "today": today, "month": month, "last_month": last_month, "same_day": same_day}
    with connection.cursor() as cursor:
        cursor.execute(GUIDE_FIGURES, values)
        return GuideFigures(*(int(value or 0) for value in cursor.fetchone()))


def commission_days(*, guide_id: int, month: dt.date) -> list[dict[str, Any]]:
    """Her commission of a month by business day and state, the newest day first; at most 31 rows."""
    holds = Hold.objects.filter(beneficiary__guide_id=guide_id, earned_on__gte=month, earned_on__lt=_next_month(month))
    return list(
        holds.values("earned_on")
        .annotate(
            line_count=Count("line_id", distinct=True),
            accrued_fen=Sum("amount_fen"),
            held_fen=Sum(F("amount_fen") - F("vested_fen") - F("reversed_fen")),
            due_fen=Sum(F("vested_fen") - F("clawed_fen")),
            reversed_fen=Sum("reversed_fen"),
            clawed_fen=Sum("clawed_fen"),
        )
        .order_by("-earned_on")
    )


HOLD_STATES = {
    "HELD": Q(amount_fen__gt=F("vested_fen") + F("reversed_fen")),
    "DUE": Q(vested_fen__gt=F("clawed_fen")),
    "REVERSED": Q(reversed_fen__gt=0),
    "CLAWED": Q(clawed_fen__gt=0),
}


def commission_lines(
    *, guide_id: int, first: dt.date, until: dt.date, state: str | None, after: tuple[dt.date, int] | None, limit: int
) -> list[dict[str, Any]]:
    """Her commission lines earned from ``first`` up to but not on ``until``, the newest first, each with its purchase."""
    holds = Hold.objects.filter(beneficiary__guide_id=guide_id, earned_on__gte=first, earned_on__lt=until)
    if state:
        holds = holds.filter(HOLD_STATES[state])
    if after:
        holds = holds.filter(Q(earned_on__lt=after[0]) | Q(earned_on=after[0], pk__lt=after[1]))
    rows = list(
        holds.order_by("-earned_on", "-pk").values(
            "id", "line_id", "booked_on", "role", "earned_on", "amount_fen", "vested_fen", "reversed_fen", "clawed_fen", "vests_at"
        )[:limit]
    )
    lines = purchases_by_line({(row["line_id"], row["booked_on"]) for row in rows})
    for row in rows:
        row["purchase"] = lines[row["line_id"]]
    return rows


def purchases_by_line(keys: Collection[tuple[int, dt.date]]) -> dict[int, dict[str, Any]]:
    """What the lines with these keys say, by line id; touches only the partitions of their days."""
    days = {booked_on for _line_id, booked_on in keys}
    lines = OrderLine.objects.filter(pk__in=[line_id for line_id, _day in keys], booked_on__in=days)
    rows = lines.values(
        "id", "channel", "order__order_no", "line_no", "paid_at", "product__name", "quantity", "paid_fen", "refunded_fen",
        "member__name", "store__name",
    )  # fmt: skip
    return {row["id"]: row for row in rows}


def _next_month(month: dt.date) -> dt.date:
    return (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
