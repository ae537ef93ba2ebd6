"""The terms (结算参数) of a period: the netting cap, the day of the batch, what happens to debts at exit.

What HQ recorded under settlement terms counts; without it, what the rule version says that holds when the period ends.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from attribution import periods, rulebook
from attribution.models import SettlementTerms


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds where nobody has said otherwise."""

    batch_day: int = 10
    netting_cap_bp: int | None = 2000  # None: no cap
    exit_writes_off: bool = True


def terms_of(period: str) -> Terms:
    """The terms that settle this period."""
    row = SettlementTerms.objects.filter(applies_from__lte=period).order_by("-applies_from").first()
    if row is not None:
        return Terms(row.batch_day, row.netting_cap_bp, row.exit_writes_off)
    try:
        version = rulebook.load().at(periods.ends_at(period) - dt.timedelta(microseconds=1))
    except rulebook.NoRule:
        return Terms()
    return Terms(version.settle_day, version.netting_cap_bp)
