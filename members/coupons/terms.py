"""What a coupon takes off, on which days, and who bears it: pure rules of the template.

1. Money off is the amount of the template; a percentage is taken of the goods the coupon counts for, rounded half up, up to the
   worth of the template; an exchange is worth the dearest single unit of those goods, up to the worth of the template.
2. A coupon never takes off more than its goods cost, nor more than is still to be paid, and at least one fen or it is refused.
3. A weighed product counts by its amount when it weighs less than one unit.
4. Validity by days counts the day of the claim as the first one.
5. HQ bears its share, rounded half up; the rest is borne by the other company. Both sum to what was taken off.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from members.models import CouponTemplate
from scrm.money import BP, round_half_up

SHANGHAI = ZoneInfo("Asia/Shanghai")
MILLI = 1_000  # quantities have three decimals

Kind = CouponTemplate.Kind


@dataclass(frozen=True, slots=True)
class Goods:
    """A line of the order; ``amount_fen`` for all of ``quantity``."""

    sku: str
    amount_fen: int
    quantity: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Basket:
    """The order as the till knows it; ``lines`` may be left out where no coupon asks for products."""

    amount_fen: int
    lines: tuple[Goods, ...] = ()


def business_day(at: dt.datetime) -> dt.date:
    return at.astimezone(SHANGHAI).date()


def end_of(day: dt.date) -> dt.datetime:
    """When the business day after ``day`` begins."""
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), SHANGHAI)


def month(at: dt.datetime) -> str:
    return f"{at.astimezone(SHANGHAI):%Y-%m}"


def validity(template: CouponTemplate, claimed_on: dt.date) -> tuple[dt.date, dt.date]:
    """First and last day of a coupon claimed on that day."""
    if template.valid_days is not None:
        return claimed_on, claimed_on + dt.timedelta(days=template.valid_days - 1)
    assert template.valid_from is not None and template.valid_until is not None  # a constraint of the table
    return template.valid_from, template.valid_until


def is_at_hour(template: CouponTemplate, at: dt.datetime) -> bool:
    """Whether weekday and time of day are right; hours may pass midnight."""
    local = at.astimezone(SHANGHAI)
    if template.weekdays and local.isoweekday() not in template.weekdays:
        return False
    start, end, now = template.hour_from, template.hour_until, local.time()
    if start is None or end is None:
        return True
    return start <= now < end if start < end else now >= start or now < end


def covered(lines: Sequence[Goods], skus: Collection[str] | None) -> tuple[Goods, ...]:
    """The lines a coupon counts for; None: every product."""
    return tuple(line for line in lines if skus is None or line.sku in skus)


def dearest_unit(lines: Sequence[Goods]) -> int:
    return max((_unit(line) for line in lines), default=0)


def takes_off(*, kind: str, value_fen: int, off_bp: int, eligible_fen: int, unit_fen: int, payable_fen: int) -> int:
    """The discount in fen; 0: there is nothing to take off."""
    wanted = value_fen
    if kind == Kind.DISCOUNT:
        wanted = min(value_fen, round_half_up(eligible_fen * off_bp, BP))
    elif kind == Kind.EXCHANGE:
        wanted = min(value_fen, unit_fen)
    return max(0, min(wanted, eligible_fen, payable_fen))


def shares(discount_fen: int, hq_share_bp: int) -> tuple[int, int]:
    """What HQ bears, and the rest."""
    hq = round_half_up(discount_fen * hq_share_bp, BP)
    return hq, discount_fen - hq


def _unit(line: Goods) -> int:
    if line.quantity <= 1:
        return line.amount_fen
    return round_half_up(line.amount_fen * MILLI, int(line.quantity * MILLI))
