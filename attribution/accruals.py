"""Accruals (计提与冲回): what one decided line posts, from its first accrual to its last refund.

1. A decision accrues its pot to its shares. A refund, a cheaper version or a withdrawn decision takes back by outstanding
   balances; a dearer version accrues the difference by the weights.
2. What is taken back comes from the part that has not vested yet, oldest hold first (UNHOLD); what has vested is owed
   back by the beneficiary (CLAWBACK).
3. Every posting is known by its business fact: the decision, the refund or the version of the line. A fact that moves
   no money posts nothing.
4. The commission and each fee beside it are accounts of their own, each against its own budget.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from attribution import commissions, evidence, ledger, postings
from attribution.ledger import SHANGHAI, HoldMove, NewHold, Posting
from attribution.rules.digests import micros


@dataclass(slots=True)
class HoldState:
    """A hold of the line, written or about to be written in the same batch."""

    id: int
    role: str
    beneficiary: str
    amount_fen: int
    vested_fen: int = 0
    reversed_fen: int = 0
    clawed_fen: int = 0

    @property
    def unvested_fen(self) -> int:
        return self.amount_fen - self.vested_fen - self.reversed_fen

    @property
    def outstanding_fen(self) -> int:
        return self.amount_fen - self.reversed_fen - self.clawed_fen


@dataclass(slots=True)
class LineAccount:
    """One pot of one decided line with its holds; its methods append to ``postings``.

    ``sequence``: of the decision that the pot was accrued for; ``decision_id``: of the one that stands.
    """

    line: evidence.Line
    decision_id: int
    sequence: int
    pot: commissions.Pot
    vest_days: int
    hold_ids: ledger.Ids
    store_ids: dict[str, int]
    corrects: str | None = None  # the accrual of the decision that this one takes the place of
    base_fen: int = 0  # on which the commission stands now
    holds: list[HoldState] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)

    @property
    def fact(self) -> tuple[str | int, ...]:
        line, kind = self.line, self.pot.kind
        fact = (line.channel, line.shop, line.order_no, line.line_no, self.sequence)
        return fact if kind is commissions.PotKind.MAIN else (*fact, kind)

    @property
    def accrual_key(self) -> str:
        return postings.key(postings.Kind.ACCRUE, *self.fact)

    def accrue(self, base_fen: int) -> None:
        """The first accrual of the decision."""
        self._move_to(base_fen, (), self.line.paid_at)

    def refund(
        self, net_base_fen: int, *, refund_id: int, refund_no: str, version_at: dt.datetime, refunded_at: dt.datetime
    ) -> None:
        """The line's cumulative net base after one more refund, or after a new version of one."""
        self._move_to(net_base_fen, ("REFUND", refund_no, micros(version_at)), refunded_at, refund_id=refund_id)

    def revise(self, net_base_fen: int) -> None:
        """The line's net base after a new version of it."""
        self._move_to(net_base_fen, ("VERSION", micros(self.line.version_at)), self.line.paid_at)

    def withdraw(self) -> None:
        """Take back everything: another decision takes the place of this one."""
        self._take_back(self._outstanding(), ("SUPERSEDED",), self.line.paid_at)

    def _move_to(
        self, base_fen: int, cause: tuple[str | int, ...], effective_at: dt.datetime, refund_id: int | None = None
    ) -> None:
        outstanding = tuple(self._outstanding())
        pot = self.pot
        state = commissions.LineState(self.base_fen, pot.rate_bp, pot.cap_fen, pot.shares, outstanding)
        adjustments, after = commissions.reprice(state, base_fen)
        self.base_fen = base_fen
        if adjustments and adjustments[0].amount_fen > 0:
            self._accrue(adjustments, cause, effective_at)
        elif adjustments:
            taken = [was - left for was, left in zip(outstanding, after.outstanding, strict=True)]
            self._take_back(taken, cause, effective_at, refund_id)

    def _accrue(
        self, adjustments: Sequence[commissions.Adjustment], cause: tuple[str | int, ...], effective_at: dt.datetime
    ) -> None:
        line = self.line
        earned_on = line.paid_at.astimezone(SHANGHAI).date()
        vests_at = line.completed_at + dt.timedelta(days=self.vest_days) if line.completed_at else None
        new = []
        for share, amount_fen in ((a.share, a.amount_fen) for a in adjustments):
            hold_id = self.hold_ids.take()
            store_id = self.store_ids[share.store] if share.store else None
            new.append(NewHold(hold_id, share.role, share.beneficiary, store_id, amount_fen, earned_on, vests_at))
            self.holds.append(HoldState(hold_id, share.role, share.beneficiary, amount_fen))
        key = postings.key(postings.Kind.ACCRUE, *self.fact, *cause)
        txn = postings.accrue(key, postings.parts_of(adjustments), effective_at, self.pot.budget)
        self.postings.append(
            Posting(
                txn,
                line.id,
                line.booked_on,
                self.decision_id,
                holds=tuple(new),
                reason=_words(cause),
                adjusts_key=self.corrects,
            )
        )

    def _take_back(
        self,
        amounts: Sequence[int],
        cause: tuple[str | int, ...],
        effective_at: dt.datetime,
        refund_id: int | None = None,
    ) -> None:
        shares = self.pot.shares
        parts = [
            postings.Part(share.beneficiary, share.store, amount_fen)
            for share, amount_fen in zip(shares, amounts, strict=True)
        ]
        held = [sum(hold.unvested_fen for hold in self._holds_of(share)) for share in shares]
        moves: dict[str, list[HoldMove]] = {postings.Kind.UNHOLD: [], postings.Kind.CLAWBACK: []}
        for share, amount_fen in zip(shares, amounts, strict=True):
            self._move_holds(share, amount_fen, moves)
        for txn in postings.reverse((*self.fact, *cause), parts, held, effective_at, self.pot.budget):
            posting = Posting(
                txn,
                self.line.id,
                self.line.booked_on,
                self.decision_id,
                refund_id=refund_id,
                reverses_key=self.accrual_key,
                reason=_words(cause),
                moves=tuple(moves[txn.kind]),
            )
            self.postings.append(posting)

    def _move_holds(self, share: commissions.Share, amount_fen: int, moves: dict[str, list[HoldMove]]) -> None:
        """Reverse what has not vested, oldest hold first, then claw back."""
        for hold in self._holds_of(share):
            part = min(amount_fen, hold.unvested_fen)
            if part:
                hold.reversed_fen += part
                amount_fen -= part
                moves[postings.Kind.UNHOLD].append(HoldMove(hold.id, reversed_fen=part))
        for hold in self._holds_of(share):
            part = min(amount_fen, hold.vested_fen - hold.clawed_fen)
            if part:
                hold.clawed_fen += part
                amount_fen -= part
                moves[postings.Kind.CLAWBACK].append(HoldMove(hold.id, clawed_fen=part))

    def _holds_of(self, share: commissions.Share) -> list[HoldState]:
        return [hold for hold in self.holds if hold.beneficiary == share.beneficiary and hold.role == share.role]

    def _outstanding(self) -> list[int]:
        return [sum(hold.outstanding_fen for hold in self._holds_of(share)) for share in self.pot.shares]


def _words(cause: tuple[str | int, ...]) -> str:
    return " ".join(str(part) for part in cause[:2])  # without the version of a refund
