"""The draw (随机分组): a member's place from 0 to 9,999 out of a salt and her number, in Python and in SQL alike.

1. place = the first 60 bits of SHA-256("salt|member") mod 10,000. Whoever knows the salt can repeat it years later.
2. Arms lie one after the other on the places, the control first, each as wide as its share in basis points.
3. The universal hold-out (全局留白组) has a salt of its own each quarter: it is independent of every experiment's draw.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from itertools import accumulate
from zoneinfo import ZoneInfo

from campaigns.models import Holdout
from scrm.money import BP

SHANGHAI = ZoneInfo("Asia/Shanghai")
HOLDOUT_BP = 500
HEX_DIGITS = 15


def place(salt: str, member_id: int) -> int:
    digest = hashlib.sha256(f"{salt}|{member_id}".encode()).hexdigest()
    return int(digest[:HEX_DIGITS], 16) % BP


def place_sql(salt: str, member_id: str) -> str:
    """The same in SQL; both are expressions, a placeholder for instance."""
    text = f"convert_to({salt} || '|' || {member_id}, 'UTF8')"
    bits = f"substr(encode(sha256({text}), 'hex'), 1, {HEX_DIGITS})"
    return f"mod(('x' || {bits})::bit(60)::bigint, {BP})"


def borders(weights_bp: Sequence[int]) -> list[int]:
    """Where the arms after the first begin."""
    return list(accumulate(weights_bp))[:-1]


def arm_of(salt: str, member_id: int, weights_bp: Sequence[int]) -> int:
    here = place(salt, member_id)
    return sum(border <= here for border in borders(weights_bp))


def arm_sql(salt: str, member_id: str, borders_array: str) -> str:
    return f"width_bucket({place_sql(salt, member_id)}, {borders_array}::bigint[])"


def new_salt() -> str:
    return secrets.token_hex(12)


def quarter_of(at: dt.datetime) -> dt.date:
    """Its first day, in Shanghai."""
    day = at.astimezone(SHANGHAI).date()
    return dt.date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def holdout_of(*, brand_id: int, at: dt.datetime) -> Holdout:
    """The brand's hold-out of the quarter; drawn when it is first asked for and then fixed."""
    defaults = {"salt": new_salt(), "share_bp": HOLDOUT_BP}
    return Holdout.objects.get_or_create(brand_id=brand_id, first_day=quarter_of(at), defaults=defaults)[0]


def is_held_out(holdout: Holdout, member_id: int) -> bool:
    return place(holdout.salt, member_id) < holdout.share_bp
