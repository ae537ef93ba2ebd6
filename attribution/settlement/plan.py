"""What a batch pays whom: pure.

1. A beneficiary's pay is all of her lines in the batch. What she earned above the cap of a month is kept back first and whole;
   her other debt is netted against the rest up to the netting cap, once.
2. The netted part is spread over companies and stores by largest remainder on what each owes her, so that each company
   pays its own part and the sums agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from attribution import commissions


class Due(NamedTuple):
    """What one company owes one beneficiary for one store, in fen."""

    company_id: int
    store_id: int | None
    store: str | None
    earned_fen: int  # vested in the period
    late_fen: int  # due from before
    lines: int

    @property
    def due_fen(self) -> int:
        return self.earned_fen + self.late_fen


class Part(NamedTuple):
    company_id: int
    store: str | None
    netted_fen: int
    paid_fen: int


def capped(dues: Sequence[Due], debt_fen: int, above_fen: int) -> int:
    """What of the debt was never earned, being above the cap of a month: it is kept back whole."""
    return min(above_fen, debt_fen, sum(due.due_fen for due in dues))


def netted(dues: Sequence[Due], debt_fen: int, cap_bp: int | None, above_fen: int = 0) -> int:
    """``above_fen``: of the debt, what is above the cap of a month; it comes first and out of the pay that the cap is of."""
    whole = capped(dues, debt_fen, above_fen)
    return whole + commissions.netting(debt_fen - whole, sum(due.due_fen for due in dues) - whole, cap_bp)


def parts(dues: Sequence[Due], netted_fen: int) -> list[Part]:
    """One part per due, in the order given."""
    ranks = [(due.company_id, due.store or "") for due in dues]
    kept = commissions.apportion(netted_fen, [due.due_fen for due in dues], ranks)
    return [Part(due.company_id, due.store, fen, due.due_fen - fen) for due, fen in zip(dues, kept, strict=True)]


def by_company(found: Sequence[Part]) -> dict[int, tuple[int, int]]:
    """``{company: (netted, paid)}``."""
    sums: dict[int, tuple[int, int]] = {}
    for part in found:
        kept, paid = sums.get(part.company_id, (0, 0))
        sums[part.company_id] = (kept + part.netted_fen, paid + part.paid_fen)
    return sums
