"""What is posted (分录): the shapes of ledger transactions. Pure; the ledger writes them.

1. Amounts are signed fen: credit positive, debit negative; the entries of a transaction sum to zero and none is zero.
   What we owe (held 待结, due 应付) is a positive balance, a budget (预算) a negative one, a debt of a beneficiary
   (应收) a negative one.
2. Accruing moves the budget to held, vesting (解冻) held to due, un-holding (冲回) held back to the budget.
3. After vesting a reversal is a claw-back (追回): the beneficiary owes the whole to the budget, then netting (抵扣)
   settles the debt from what is due, and what is left at exit is written off (核销) as a loss.
4. Paying moves due to the batch (发放批次), settling moves the batch to the bank of the company; what the bank returns
   (退票) moves from the batch back to due.
5. A reversal takes what is still held first and claws back only the rest.
6. A re-attribution (改判) reverses the old shares and accrues the new ones, as transactions of one business fact.
7. The key of a transaction is the business fact in words; its content hash tells a repeat from a contradiction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from attribution.commissions import Adjustment
from attribution.rules.digests import micros, sha256

BRAND, ECOM, ENTITY, PROMO = BUDGETS = (
    "brand",
    "ecom",
    "entity",
    "promo",
)  # ordinary commission is charged to the first
LOSS = "X:loss"


class Kind(StrEnum):
    ACCRUE = "ACCRUE"
    VEST = "VEST"
    UNHOLD = "UNHOLD"
    CLAWBACK = "CLAWBACK"
    NET = "NET"
    PAY = "PAY"
    SETTLED = "SETTLED"
    RETURNED = "RETURNED"
    WRITEOFF = "WRITEOFF"


class Entry(NamedTuple):
    """One leg. `store` is the store the beneficiary had when the money was earned."""

    account: str
    beneficiary: str | None
    store: str | None
    amount_fen: int


class Part(NamedTuple):
    """Fen (>= 0) of one beneficiary."""

    beneficiary: str
    store: str | None
    amount_fen: int


class Transaction(NamedTuple):
    """The entries have the positions 0 … n-1. `content_hash` is the first 16 bytes of a SHA-256, in hex."""

    kind: Kind
    key: str
    effective_at: datetime
    entries: tuple[Entry, ...]
    content_hash: str


def budget_account(name: str = BRAND) -> str:
    if name not in BUDGETS:
        raise ValueError(f"no budget {name!r}")
    return f"X:budget:{name}"


def hold_account(beneficiary: str) -> str:
    return f"L:hold:{beneficiary}"


def due_account(beneficiary: str) -> str:
    return f"L:due:{beneficiary}"


def recv_account(beneficiary: str) -> str:
    return f"A:recv:{beneficiary}"


def payout_account(batch: str) -> str:
    return f"A:payout:{batch}"


def bank_account(entity: str) -> str:
    return f"A:bank:{entity}"


def key(kind: Kind, *fact: str | int) -> str:
    """The business fact in words, "ACCRUE|POS|main|489434|1|1". A bar inside a part cannot be taken for a separator."""
    return "|".join([kind, *(str(part).replace("%", "%25").replace("|", "%7C") for part in fact)])


def transaction(kind: Kind, key: str, effective_at: datetime, entries: Iterable[Entry]) -> Transaction:
    """Entries of zero are left out; what remains must balance and not be empty (ValueError)."""
    kept = tuple(entry for entry in entries if entry.amount_fen)
    total: int = sum(entry.amount_fen for entry in kept)
    if not kept or total:
        raise ValueError(f"{key} is empty or not balanced")
    content_hash = sha256((kind, key, micros(effective_at), kept))[:32]
    return Transaction(kind, key, effective_at, kept, content_hash)


def accrue(key: str, parts: Sequence[Part], effective_at: datetime, budget: str = BRAND) -> Transaction:
    """Budget -> held. Raises ValueError when there is nothing to accrue."""
    return _from_one(Kind.ACCRUE, key, effective_at, budget_account(budget), hold_account, parts, 1)


def vest(key: str, parts: Sequence[Part], effective_at: datetime) -> Transaction:
    """Held -> due."""
    return _between(Kind.VEST, key, effective_at, hold_account, due_account, parts)


def unhold(key: str, parts: Sequence[Part], effective_at: datetime, budget: str = BRAND) -> Transaction:
    """Held -> budget: a reversal before vesting."""
    return _from_one(Kind.UNHOLD, key, effective_at, budget_account(budget), hold_account, parts, -1)


def clawback(key: str, parts: Sequence[Part], effective_at: datetime, budget: str = BRAND) -> Transaction:
    """Debt -> budget: a reversal after vesting, wholly owed by the beneficiary until it is netted."""
    return _from_one(Kind.CLAWBACK, key, effective_at, budget_account(budget), recv_account, parts, -1)


def net(key: str, parts: Sequence[Part], effective_at: datetime) -> Transaction:
    """Due -> debt: the part of a debt kept from pay; how much says `commissions.netting`."""
    return _between(Kind.NET, key, effective_at, due_account, recv_account, parts)


def pay(key: str, parts: Sequence[Part], effective_at: datetime, batch: str) -> Transaction:
    """Due -> payout batch."""
    return _from_one(Kind.PAY, key, effective_at, payout_account(batch), due_account, parts, -1)


def settled(key: str, batch: str, entity: str, amount_fen: int, effective_at: datetime) -> Transaction:
    """Payout batch -> bank of the company: the money has left."""
    legs = (
        Entry(payout_account(batch), None, None, -amount_fen),
        Entry(bank_account(entity), None, None, amount_fen),
    )
    return transaction(Kind.SETTLED, key, effective_at, legs)


def returned(key: str, parts: Sequence[Part], effective_at: datetime, batch: str) -> Transaction:
    """Payout batch -> due: the bank could not deliver."""
    return _from_one(Kind.RETURNED, key, effective_at, payout_account(batch), due_account, parts, 1)


def write_off(key: str, parts: Sequence[Part], effective_at: datetime) -> Transaction:
    """Debt -> loss, at exit."""
    return _from_one(Kind.WRITEOFF, key, effective_at, LOSS, recv_account, parts, 1)


def parts_of(adjustments: Iterable[Adjustment]) -> list[Part]:
    """Adjustments of one sign as amounts >= 0."""
    return [Part(a.share.beneficiary, a.share.store, abs(a.amount_fen)) for a in adjustments]


def reverse(
    fact: Sequence[str | int],
    parts: Sequence[Part],
    held_fen: Sequence[int],
    effective_at: datetime,
    budget: str = BRAND,
) -> list[Transaction]:
    """Take `parts` back: what is still held by UNHOLD, the rest by CLAWBACK. At most one transaction of each.

    `held_fen` is, per part, what of this line is still held for it.
    """
    from_hold = [min(part.amount_fen, held) for part, held in zip(parts, held_fen, strict=True)]
    rest = [part._replace(amount_fen=part.amount_fen - taken) for part, taken in zip(parts, from_hold, strict=True)]
    taken_parts = [part._replace(amount_fen=taken) for part, taken in zip(parts, from_hold, strict=True)]
    result = []
    if any(from_hold):
        result.append(unhold(key(Kind.UNHOLD, *fact), taken_parts, effective_at, budget))
    if any(part.amount_fen for part in rest):
        result.append(clawback(key(Kind.CLAWBACK, *fact), rest, effective_at, budget))
    return result


def reattribute(
    fact: Sequence[str | int],
    old: Sequence[Part],
    held_fen: Sequence[int],
    new: Sequence[Part],
    effective_at: datetime,
    budget: str = BRAND,
) -> list[Transaction]:
    """The old shares' outstanding amounts reversed and the new ones accrued; `effective_at` is the line's payment."""
    result = reverse(fact, old, held_fen, effective_at, budget)
    if any(part.amount_fen for part in new):
        result.append(accrue(key(Kind.ACCRUE, *fact), new, effective_at, budget))
    return result


def _from_one(
    kind: Kind,
    key: str,
    effective_at: datetime,
    single: str,
    account_of: Callable[[str], str],
    parts: Sequence[Part],
    sign: int,
) -> Transaction:
    """One leg on `single` against a leg per part; the parts' legs have `sign`."""
    total = sum(_amounts(parts))
    legs = [Entry(single, None, None, -sign * total)]
    legs += [
        Entry(account_of(part.beneficiary), part.beneficiary, part.store, sign * part.amount_fen) for part in parts
    ]
    return transaction(kind, key, effective_at, legs)


def _between(
    kind: Kind,
    key: str,
    effective_at: datetime,
    source_of: Callable[[str], str],
    target_of: Callable[[str], str],
    parts: Sequence[Part],
) -> Transaction:
    """Per part one leg out of its source and one into its target."""
    _amounts(parts)
    legs = []
    for who, store, amount_fen in parts:
        legs.append(Entry(source_of(who), who, store, -amount_fen))
        legs.append(Entry(target_of(who), who, store, amount_fen))
    return transaction(kind, key, effective_at, legs)


def _amounts(parts: Sequence[Part]) -> list[int]:
    amounts = [part.amount_fen for part in parts]
    if min(amounts, default=0) < 0:
        raise ValueError("a part is not negative; its direction is the kind's")
    return amounts
