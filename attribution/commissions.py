"""The arithmetic of commission (佣金): what each fen does. Pure integers, no clock, no database.

1. The base (计佣基数) of a line is its paid amount, freight left out, less the part settled in points or gift cards;
   tax stays in.
2. An order discount (整单优惠) is spread over the lines by largest remainder on what each line still has to pay, so
   the line bases add up to the order's net and no line falls below zero.
3. The pot (佣金池) of a line is its base times the rate, rounded half up to the fen, and never above the cap of the
   rule.
4. The first split (首次分配) is by largest remainder on the weights. Equal remainders go in the order seller,
   service, delegate, IP, home store, entity, fulfilment, HQ, and then by beneficiary code.
5. After a refund the pot is computed again on the cumulative net base; the difference is taken back by largest
   remainder on the outstanding balances (未冲回余额), not on the weights. So no refund raises anybody and a full
   refund leaves exactly nothing.
6. When the base rises (an exchange for a dearer article) the difference is accrued to the same shares by their
   weights.
7. Step rates (阶梯提成) are marginal: each rate applies to its own slice of the month, rounded once at the end.
8. The fulfilment fee is a pot of its own beside the commission, on the same base; whether a refund takes it back is the
   rule's.
9. A debt is netted (抵扣) against the pay of a period up to the cap; the rest is carried over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

BP = 10_000  # basis points in the whole


class Role(StrEnum):
    """Why a beneficiary has a share. The order of the members is the tie order of rule 4."""

    SELLER = "SELLER"
    SERVICE = "SERVICE"
    DELEGATE = "DELEGATE"
    IP = "IP"
    HOME = "HOME"
    ENTITY = "ENTITY"
    FULFIL = "FULFIL"
    HQ = "HQ"


class Base(StrEnum):
    NET = "NET"  # without the part settled in points or gift cards
    PAID = "PAID"  # with it


class PotKind(StrEnum):
    MAIN = "MAIN"  # the commission (佣金)
    FULFIL = "FULFIL"  # the fulfilment fee (履约费)


ROLE_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a pot. Weights sum to 10,000 bp; with an ENTITY share to 10,000 x the pot's rate."""

    role: Role
    beneficiary: str  # "G00001", "STORE:S0001", "IP:…", "ENTITY:…" or "HQ_POOL"
    store: str | None  # the store the beneficiary had at that moment
    weight: int


@dataclass(frozen=True, slots=True)
class LineState:
    """What one line has posted so far: its shares and, in the same order, what each still holds, in fen."""

    base_fen: int
    rate_bp: int
    cap_fen: int | None  # None: no cap
    shares: tuple[Share, ...]
    outstanding: tuple[int, ...]

    @property
    def pot_fen(self) -> int:
        return sum(self.outstanding)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Signed fen for one share: positive accrues, negative takes back."""

    share: Share
    amount_fen: int


class Pot(NamedTuple):
    """An amount to share out: the commission itself, or a fee beside it, each paid by a budget of its own.

    One that keeps on refund stays where it is when the goods come back; a new version of the line still moves it.
    """

    kind: PotKind
    budget: str
    base_fen: int
    rate_bp: int
    cap_fen: int | None
    amount_fen: int
    shares: tuple[Share, ...]
    keeps_on_refund: bool = False
    basis: Base = Base.NET


def line_base(paid_fen: int, points_fen: int = 0, base: Base = Base.NET) -> int:
    """The base of a line. `paid_fen` includes `points_fen`, settled in points or gift cards, and no freight."""
    if not 0 <= points_fen <= paid_fen:
        raise ValueError(f"points part {points_fen} outside 0..{paid_fen}")
    return paid_fen if base == Base.PAID else paid_fen - points_fen


def net_base(base_fen: int, refunded_fen: int) -> int:
    """The base that is left after refunds of `refunded_fen` in total; it never falls below zero."""
    if refunded_fen < 0:
        raise ValueError(f"a refund is not negative: {refunded_fen}")
    return max(0, base_fen - refunded_fen)


def pot(base_fen: int, rate_bp: int, cap_fen: int | None = None) -> int:
    """Base x rate, rounded half up to the fen, at most `cap_fen`."""
    if base_fen < 0 or rate_bp < 0:
        raise ValueError(f"negative base {base_fen} or rate {rate_bp}")
    amount = (base_fen * rate_bp + BP // 2) // BP
    return amount if cap_fen is None or amount <= cap_fen else cap_fen


def repot(pot_fen: int, new_base_fen: int, rate_bp: int, cap_fen: int | None = None) -> int:
    """By how much the pot changes when the cumulative net base becomes `new_base_fen`."""
    return pot(new_base_fen, rate_bp, cap_fen) - pot_fen


def apportion(total: int, weights: Sequence[int], ranks: Sequence[Any]) -> list[int]:
    """`total` by largest remainder on `weights`; equal remainders go to the smaller rank. The parts sum to `total`."""
    whole = sum(weights)
    if total < 0 or min(weights, default=0) < 0:
        raise ValueError("only amounts and weights >= 0 can be apportioned")
    if total and not whole:
        raise ValueError(f"nothing to apportion {total} on")
    if not total:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    if left:
        remainders = [total * weight % whole for weight in weights]
        places = range(len(weights))
        if left == 1 and remainders.count(most := max(remainders)) == 1:  # the usual case, at a quarter of the cost
            parts[remainders.index(most)] += 1
            return parts
        for i in sorted(places, key=lambda i: (-remainders[i], ranks[i], i))[:left]:
            parts[i] += 1
    return parts


def split(pot_fen: int, shares: Sequence[Share]) -> list[int]:
    """The first split: one amount per share, in the order given."""
    if len(shares) == 1:
        return [pot_fen]
    return apportion(pot_fen, [share.weight for share in shares], _ranks(shares))


def reversal(amount_fen: int, shares: Sequence[Share], outstanding: Sequence[int]) -> list[int]:
    """How `amount_fen` (>= 0) is taken back: one amount >= 0 per share, never more than that share still holds."""
    if amount_fen > sum(outstanding):
        raise ValueError(f"cannot take back {amount_fen} of {sum(outstanding)}")
    if len(shares) == 1:
        return [amount_fen]
    return apportion(amount_fen, outstanding, _ranks(shares))


def opening(shares: Sequence[Share], rate_bp: int, cap_fen: int | None = None) -> LineState:
    """A line on which nothing has been posted yet; its first accrual is `reprice(opening(…), base)`."""
    return LineState(0, rate_bp, cap_fen, tuple(shares), (0,) * len(shares))


def reprice(state: LineState, new_base_fen: int) -> tuple[list[Adjustment], LineState]:
    """What has to be posted when the line's cumulative net base becomes `new_base_fen`, and the line after it.

    All adjustments of one call have one sign; shares that do not change are left out.
    """
    change = repot(state.pot_fen, new_base_fen, state.rate_bp, state.cap_fen)
    if change >= 0:
        deltas = split(change, state.shares) if change else [0] * len(state.shares)
    else:
        deltas = [-part for part in reversal(-change, state.shares, state.outstanding)]
    adjustments = [Adjustment(share, delta) for share, delta in zip(state.shares, deltas, strict=True) if delta]
    left = tuple(held + delta for held, delta in zip(state.outstanding, deltas, strict=True))
    return adjustments, LineState(new_base_fen, state.rate_bp, state.cap_fen, state.shares, left)


def allocate_discounts(lines_fen: Sequence[int], discounts_fen: Sequence[int]) -> list[list[int]]:
    """Order discounts over the lines: per discount one list with a part per line.

    Each discount is spread on what the ones before it left, so no line is discounted below zero. Equal remainders go
    to the dearer line, then to the earlier one.
    """
    remaining = list(lines_fen)
    result = []
    for discount in discounts_fen:
        if discount > sum(remaining):
            raise ValueError(f"discount {discount} exceeds the {sum(remaining)} still to be paid")
        parts = apportion(discount, remaining, [-amount for amount in remaining])
        remaining = [amount - part for amount, part in zip(remaining, parts, strict=True)]
        result.append(parts)
    return result


def tiered(amount_fen: int, tiers: Sequence[tuple[int | None, int]]) -> int:
    """Commission on a month's amount under marginal steps `(upper bound in fen or None, rate_bp)`, bounds ascending."""
    if amount_fen < 0:
        raise ValueError(f"negative amount {amount_fen}")
    scaled, floor = 0, 0
    for ceiling, rate_bp in tiers:
        top = amount_fen if ceiling is None else min(amount_fen, ceiling)
        if top > floor:
            scaled += (top - floor) * rate_bp
            floor = top
    if floor < amount_fen:
        raise ValueError(f"no step covers {amount_fen}")
    return (scaled + BP // 2) // BP


def netting(debt_fen: int, pay_fen: int, cap_bp: int | None) -> int:
    """How much of a debt is kept from the pay of one period. `cap_bp` None: no cap; the cap is rounded down."""
    limit = pay_fen if cap_bp is None else pay_fen * cap_bp // BP
    return max(0, min(debt_fen, pay_fen, limit))


def _ranks(shares: Sequence[Share]) -> list[tuple[int, str]]:
    return [(ROLE_RANK[share.role], share.beneficiary) for share in shares]
