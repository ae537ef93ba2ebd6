"""200,000 random chains of refunds through the same account that posts them: L7, L8; the seed is printed and replays."""

from __future__ import annotations

import os
import random

from attribution import commissions
from attribution.commissions import Role, Share

CHAINS = 200_000
ROLES = (Role.SELLER, Role.SERVICE, Role.DELEGATE, Role.IP, Role.HOME, Role.ENTITY)


def test_l8_two_hundred_thousand_chains_of_refunds() -> None:
    """L7, L8: no refund raises anybody, what is left always sums to the pot, a full refund leaves exactly nothing."""
    seed = int(os.environ.get("REFUND_SEED", random.SystemRandom().randrange(2**32)))
    print(f"REFUND_SEED={seed}")
    dice = random.Random(seed)
    for _ in range(CHAINS):
        _chain(dice)


def _chain(dice: random.Random) -> None:
    count = dice.randint(1, 4)
    cuts = sorted(dice.randint(0, 10_000) for _ in range(count - 1))
    weights = [b - a for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    shares = tuple(Share(ROLES[i], f"G{i}", None, weight) for i, weight in enumerate(weights))
    rate = dice.choice((0, 1, 33, 350, 500, 1_000, 9_999))
    cap = dice.choice((None, None, None, 0, 1, 500))
    left = dice.choice((dice.randint(0, 99), dice.randint(0, 500_000)))
    _, state = commissions.reprice(commissions.opening(shares, rate, cap), left)
    assert sum(state.outstanding) == commissions.pot(left, rate, cap)
    while left:
        left -= dice.choice((1, dice.randint(1, left), dice.randint(1, left), left))
        before = state.outstanding
        _, state = commissions.reprice(state, left)
        assert sum(state.outstanding) == commissions.pot(left, rate, cap)
        assert all(0 <= now <= then for now, then in zip(state.outstanding, before, strict=True))
    assert not any(state.outstanding)
