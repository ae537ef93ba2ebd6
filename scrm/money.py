"""Money (金额): integer fen, everywhere.

1. Amounts are ``int`` fen; rates are ``int`` basis points (bp, 10000 = 100 %). No float, no Decimal in storage.
2. Rounding is half up and happens once, where an amount is born.
"""

from __future__ import annotations

from django.db import models

BP = 10_000


class FenField(models.BigIntegerField):
    """A signed amount of money in fen."""


def round_half_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded half away from zero; exact for any size of integer."""
    sign = -1 if (numerator < 0) != (denominator < 0) else 1
    quotient, rest = divmod(abs(numerator), abs(denominator))
    return sign * (quotient + (2 * rest >= abs(denominator)))


def yuan(fen: int | None) -> str:
    """``123456`` → ``1,234.56``; None → ``—``."""
    if fen is None:
        return "—"
    sign = "-" if fen < 0 else ""
    whole, part = divmod(abs(fen), 100)
    return f"{sign}{whole:,}.{part:02d}"
