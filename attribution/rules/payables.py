"""Who has what of a decision: the tree of payables (应付关系), and the credit for the sale (业绩), which is no money.

1. Each pot is a tree: who has the whole of it (gross), what it passes on out of that (out) and what stays (net). The nets of
   all rows sum to the pots, and a row's out is the gross of the rows below it.
2. A franchisee's company has the entity share and bears its guides' commission out of it; a store has the fulfilment fee
   and its clerk's part comes out of it; every other share stands by itself.
3. The credit for the sale of a line sums to 10,000 bp. The entity share and the fulfilment fee carry none: who hands over or
   owns the shop has not sold.
"""

from __future__ import annotations

from typing import NamedTuple

from attribution import commissions
from attribution.commissions import BP, PotKind, Role, Share
from attribution.rules.decision import Decision


class Payable(NamedTuple):
    """``parent`` is the beneficiary out of whose gross this one is paid; None: out of the budget."""

    kind: PotKind
    budget: str
    role: Role
    beneficiary: str
    store: str | None
    parent: str | None
    gross_fen: int
    out_fen: int

    @property
    def net_fen(self) -> int:
        return self.gross_fen - self.out_fen


class Credit(NamedTuple):
    beneficiary: str
    store: str | None
    bp: int


def payables(decision: Decision) -> tuple[Payable, ...]:
    """The trees of all pots, each head before what hangs on it."""
    rows: list[Payable] = []
    for pot in decision.pots:
        amounts = commissions.split(pot.amount_fen, pot.shares)
        parts = list(zip(pot.shares, amounts, strict=True))
        head = _head(pot.shares)
        if head is None:
            rows += [_row(pot, share, fen) for share, fen in parts]
            continue
        below = [_row(pot, share, fen, parent=head.beneficiary) for share, fen in parts if share is not head]
        out_fen = sum(row.gross_fen for row in below)
        rows.append(_row(pot, head, pot.amount_fen, out_fen=out_fen))
        rows += below
    return tuple(rows)


def _head(shares: tuple[Share, ...]) -> Share | None:
    """Who has the pot as a whole and pays the others out of it."""
    for share in shares:
        is_store_of_fee = share.role == Role.FULFIL and share.beneficiary.startswith("STORE:")
        if share.role == Role.ENTITY or is_store_of_fee:
            return share
    return None


def _row(pot: commissions.Pot, share: Share, gross_fen: int, *, parent: str | None = None, out_fen: int = 0) -> Payable:
    return Payable(pot.kind, pot.budget, share.role, share.beneficiary, share.store, parent, gross_fen, out_fen)


def credits(decision: Decision) -> tuple[Credit, ...]:  # noqa: A001 - no other word for it
    """Who sold the line, in bp of its net amount; empty when it is not eligible."""
    sold = [share for share in decision.shares if share.role not in (Role.ENTITY, Role.FULFIL)]
    if not sold and decision.shares:  # the company keeps the whole share; its guides still sold
        sold = [Share(Role.SELLER, winner.beneficiary, winner.store, 1) for winner in decision.winners]
    parts = commissions.split(BP, sold) if sold else []
    return tuple(Credit(share.beneficiary, share.store, bp) for share, bp in zip(sold, parts, strict=True))
