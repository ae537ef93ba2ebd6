"""What a batch pays whom: pure.

1. A beneficiary's pay is all of her lines in the batch. Her debt is netted against it up to the cap, once.
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


def netted(dues: Sequence[Due], debt_fen: int, cap_bp: int | None) -> int:
    return commissions.netting(debt_fen, sum(due.due_fen for due in dues), cap_bp)


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
