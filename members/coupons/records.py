"""The records beside a coupon: the request that asked for a write, the event it left, the news it makes.

1. Each write carries a key that names the fact. The key is taken in the transaction of the write; come again with the same
   content it answers with the same coupon, with other content it is an error.
2. Each change of a coupon leaves one event: what, when, who, where.
3. Whoever wants to hear of redemptions (upper apps) follows under a name (``follow``, in ``AppConfig.ready``). Each redemption
   and each end of one makes a row for each follower, in the same transaction; the follower takes rows by ``take_news`` in the
   transaction of its own work, so that it hears of everything once, however it dies.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models
from django.utils.translation import gettext as _

from members.coupons.refusals import RequestDiffers
from members.coupons.terms import business_day
from members.models import CouponEvent, Redemption, RedemptionNews
from scrm import db

_followers: set[str] = set()


@dataclass(frozen=True, slots=True)
class Where:
    """Who and where: of the customer herself everything may be empty."""

    actor: Any = None
    store_id: int | None = None
    channel: str = ""
    order_no: str = ""
    note: str = ""


NOWHERE = Where()


@dataclass(frozen=True, slots=True)
class FirstTime:
    """What the first request with a key was answered with; ``answer_id``: the redemption it made."""

    coupon_id: int
    answer_id: int | None


def known_before(*, key: str, coupon_id: int, answer_id: int | None = None, **content: Any) -> FirstTime | None:
    """None: the key is new, and taken now. Else what the first time was answered with. Raises RequestDiffers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO members_couponrequest (key, content_hash, coupon_id, answer_id) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (key) DO NOTHING",
            [key, digest(content), coupon_id, answer_id],
        )
        if cursor.rowcount:
            return None
    return first_time(key, content)


_TAKE = """
    INSERT INTO members_couponrequest (key, content_hash, coupon_id, answer_id)
    VALUES (%s, %s, %s, nextval(pg_get_serial_sequence(%s, 'id'))) ON CONFLICT (key) DO NOTHING RETURNING answer_id
"""


def taking(
    key: str, content: Mapping[str, Any], *, coupon_id: int, answers: type[models.Model]
) -> tuple[str, list[Any]]:
    """A statement that takes the key and says the id that the row of ``answers`` will have; no row: the key came before."""
    return _TAKE, [key, digest(content), coupon_id, answers._meta.db_table]


def first_time(key: str, content: Mapping[str, Any]) -> FirstTime:
    """What a key that came before was answered with. Raises RequestDiffers."""
    ((stored, *first),) = db.read(
        "SELECT content_hash, coupon_id, answer_id FROM members_couponrequest WHERE key = %s", [key]
    )
    require_same(stored, content)
    return FirstTime(*first)


def require_same(stored: str, content: Mapping[str, Any]) -> None:
    if stored != digest(content):
        raise RequestDiffers(_("This request number was used for something else; send a new one."))


def digest(content: Mapping[str, Any]) -> str:
    said = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def note(kind: str, coupons: Sequence[tuple[int, int | None]], *, at: dt.datetime, where: Where = NOWHERE) -> None:
    """One event for each (coupon, member)."""
    if not coupons:
        return
    day = business_day(at)
    db.ensure_partitions(CouponEvent, day, day)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO members_couponevent"
            " (happened_on, coupon_id, kind, at, actor_id, member_id, store_id, channel, order_no, note)"
            " SELECT %s, c.id, %s, %s, %s::bigint, c.member_id, %s::bigint, %s, %s, %s"
            " FROM unnest(%s::bigint[], %s::bigint[]) c(id, member_id)",
            [
                day, kind, at, where.actor.pk if where.actor else None, where.store_id, where.channel, where.order_no,
                where.note[:200], [coupon_id for coupon_id, _member in coupons], [member for _id, member in coupons],
            ],
        )  # fmt: skip


# --- news -----------------------------------------------------------------------------------------------------------


def follow(follower: str) -> None:
    """Called from ``AppConfig.ready`` by an app above; 32 characters."""
    _followers.add(follower)


def followers() -> list[str]:
    return sorted(_followers)


def tell(redemption: Redemption) -> None:
    RedemptionNews.objects.bulk_create(
        RedemptionNews(follower=name, redemption=redemption, status=redemption.status) for name in followers()
    )


def take_news(*, follower: str, limit: int = 500) -> list[tuple[Redemption, str]]:
    """(redemption, REDEEMED or REVERSED), the oldest first, taken away with the caller's transaction. Two workers share them."""
    rows = RedemptionNews.objects.filter(follower=follower).order_by("pk")
    taken = list(rows.select_for_update(of=("self",), skip_locked=True).select_related("redemption__coupon")[:limit])
    RedemptionNews.objects.filter(pk__in=[row.pk for row in taken]).delete()
    return [(row.redemption, row.status) for row in taken]


def pairs(rows: Iterable[Sequence[Any]]) -> list[tuple[int, int | None]]:
    return [(row[0], row[1]) for row in rows]
