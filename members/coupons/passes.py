"""One-time codes for tills (核销验证码): a coupon is found by mobile number only while its owner stands there.

1. The customer's mini-program shows six digits that hold for five minutes. The till sends the mobile number with them; a number
   alone shows and redeems nothing, so that nobody uses the coupons of somebody whose number she knows.
2. A code that was used, is over or was guessed wrong five times opens nothing; wrong guesses count even where the rest of the
   request fails. Asking for a new code ends the one before.
3. The answer does not tell a number without a member from a wrong code.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets

from django.db import connection, transaction
from django.utils.translation import gettext as _

from members.coupons import owners
from members.coupons.refusals import CouponRefused
from members.models import CouponPass, Identity
from scrm import crypto

LASTS = dt.timedelta(minutes=5)
TRIES = 5


@transaction.atomic
def show(*, member_id: int, now: dt.datetime) -> tuple[str, dt.datetime]:
    """Fresh digits for the customer's screen, and until when they hold."""
    digits = f"{secrets.randbelow(10**6):06d}"
    until = now + LASTS
    CouponPass.objects.update_or_create(
        member_id=member_id,
        defaults={"digest": _digest(member_id, digits), "expires_at": until, "tries_left": TRIES, "used_at": None},
    )
    return digits, until


def owner(*, mobile: str, digits: str, now: dt.datetime, uses: bool) -> int:
    """The member whose number and digits these are; ``uses``: they are used up. Commits the try. Raises CouponRefused."""
    member_id = _member_of(mobile)
    if member_id is None or not _try(member_id, digits, now, uses):
        raise CouponRefused(
            _("Number and code do not belong together, or the code is over; let the customer show a new one."),
            code="coupon_pass_wrong", field="pass",
        )  # fmt: skip
    return member_id


_TRY = """
    UPDATE members_couponpass SET
        tries_left = tries_left - (digest <> %(digest)s)::int,
        used_at = CASE WHEN digest = %(digest)s AND %(uses)s THEN %(now)s ELSE used_at END
    WHERE member_id = %(member)s AND used_at IS NULL AND expires_at > %(now)s AND tries_left > 0
        AND EXISTS (SELECT FROM members_member m WHERE m.id = member_id AND m.status = 'ACTIVE')
    RETURNING digest = %(digest)s
"""


@transaction.atomic(durable=True)
def _try(member_id: int, digits: str, now: dt.datetime, uses: bool) -> bool:
    """One statement looks, counts and uses up; what is compared is a keyed digest, whose time to compare tells nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_TRY, {"digest": _digest(member_id, digits), "uses": uses, "now": now, "member": member_id})
        row = cursor.fetchone()
    return row is not None and bool(row[0])


def _member_of(mobile: str) -> int | None:
    number = crypto.normalise_mobile(mobile)
    if number is None:
        return None
    return owners.of_identity(kind=Identity.Kind.MOBILE, value=crypto.mobile_index(number))


def _digest(member_id: int, digits: str) -> str:
    _key, made = crypto.proof("coupon pass", f"{member_id} {digits}".encode())
    return hashlib.sha256(made).hexdigest()
