"""The terms (结算参数) of a period: the netting cap, the day of the batch, what happens to debts at exit."""

from __future__ import annotations

from dataclasses import dataclass

from attribution.models import SettlementTerms


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds until HQ says otherwise."""

    batch_day: int = 10
    netting_cap_bp: int | None = 2000  # None: no cap
    exit_writes_off: bool = True


def terms_of(period: str) -> Terms:
    row = SettlementTerms.objects.filter(applies_from__lte=period).order_by("-applies_from").first()
    return Terms() if row is None else Terms(row.batch_day, row.netting_cap_bp, row.exit_writes_off)
