"""Judging of referrals (老带新判定): the same question to each held row, a chunk at a time.

1. A new customer becomes known as a member by her unionid or number; then the checks of joining are made again with all that is
   known of her. Two referrals of one person: who joined first keeps her.
2. Earned: a verified number, net purchases of at least the programme's amount since joining, the cooling days over, no open review.
   Caps count what was earned, by the month and day of joining, the earliest first.
3. Void: a check fails, a cap is full, or time is up. What a void referral reserved goes back into the budget.
4. The coupon of an earned referral is given once, by its own key; where the coupon cannot be given now, the row says why and it is
   tried again each time.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum

from campaigns.models import Referral, ReferralProgramme
from guides.touches import SHANGHAI
from members import coupons
from members.models import Coupon, Member
from scrm import db, jobs

KIND = "judge_referrals"
CHUNK = 2_000  # referrals in one transaction
LOCK = "referrals"
Status, Reason = Referral.Status, Referral.Reason

# who has become a member since: the unionid counts before the number; look-ups by key only
_LINK = """
    WITH told AS (
        SELECT r.id, r.brand_id, r.joined_at, coalesce(
            (SELECT i.member_id FROM members_identity i WHERE r.unionid <> '' AND i.kind = 'UNIONID' AND i.value = r.unionid
                AND i.namespace = b.code),
            (SELECT i.member_id FROM members_identity i WHERE r.mobile_index <> '' AND i.kind = 'MOBILE' AND i.value = r.mobile_index
                AND i.namespace = b.code)) AS member_id
        FROM campaigns_referral r JOIN scrm_brand b ON b.id = r.brand_id
        WHERE r.id = ANY(%(ids)s::bigint[]) AND r.status = 'CLAIMED' AND r.newcomer_id IS NULL
    ), judged AS (
        SELECT t.id, t.member_id, row_number() OVER (PARTITION BY t.member_id ORDER BY t.joined_at, t.id) > 1 OR EXISTS (
            SELECT FROM campaigns_referral o WHERE o.newcomer_id = t.member_id AND o.status <> 'VOID' AND o.id <> t.id) AS is_second
        FROM told t WHERE t.member_id IS NOT NULL
    )
    SELECT j.id, j.member_id, j.is_second, j.member_id = r.referrer_id, EXISTS (
        WITH RECURSIVE up AS (
            SELECT r.referrer_id AS id
            UNION
            SELECT o.referrer_id FROM up JOIN campaigns_referral o ON o.newcomer_id = up.id WHERE o.status <> 'VOID' AND o.id <> r.id
        ) SELECT FROM up WHERE id = j.member_id)
    FROM judged j JOIN campaigns_referral r ON r.id = j.id ORDER BY r.joined_at, r.id
"""
_KNOWN = """
    SELECT r.id, r.programme_id, r.referrer_id, r.guide_id, r.store_id, (r.joined_at AT TIME ZONE 'Asia/Shanghai')::date, r.expires_at,
        r.review = 'OPEN' AS is_held,
        EXISTS (SELECT FROM guides_guide g WHERE r.unionid <> '' AND g.unionid = r.unionid OR r.mobile_index <> '' AND
            g.mobile_index = r.mobile_index) OR EXISTS (
            SELECT FROM members_identity i JOIN guides_guide g ON i.kind = 'UNIONID' AND g.unionid = i.value OR i.kind = 'MOBILE' AND
                g.mobile_index = i.value WHERE i.member_id = r.newcomer_id) AS is_staff,
        m.id IS NOT NULL AND (coalesce(m.registered_on < joined.day, m.created_at < joined.midnight) OR EXISTS (
            SELECT FROM members_orderline l WHERE l.member_id = m.id AND l.paid_at < joined.midnight AND NOT l.is_voided)) AS is_old,
        m.id IS NOT NULL AND EXISTS (
            SELECT FROM members_identity i WHERE i.member_id = m.id AND i.kind = 'MOBILE' AND i.is_verified) AS is_verified,
        bought.first_at, coalesce(bought.net_fen, 0), p.min_fen, p.cooling_days, r.registered_at IS NOT NULL
    FROM campaigns_referral r
    JOIN campaigns_referralprogramme p ON p.id = r.programme_id
    LEFT JOIN members_member m ON m.id = r.newcomer_id
    CROSS JOIN LATERAL (SELECT (r.joined_at AT TIME ZONE 'Asia/Shanghai')::date AS day,
        date_trunc('day', r.joined_at, 'Asia/Shanghai') AS midnight) joined
    LEFT JOIN LATERAL (
        SELECT min(l.paid_at) AS first_at, sum(l.paid_fen - l.refunded_fen)::bigint AS net_fen FROM members_orderline l
        WHERE l.member_id = m.id AND l.paid_at >= joined.midnight AND l.paid_at <= %(now)s AND NOT l.is_voided AND NOT l.is_test
            AND l.paid_fen > l.refunded_fen
    ) bought ON true
    WHERE r.id = ANY(%(ids)s::bigint[]) AND r.status = 'CLAIMED'
    ORDER BY r.joined_at, r.id FOR NO KEY UPDATE OF r
"""
_SEEN = """
    UPDATE campaigns_referral r SET registered_at = coalesce(r.registered_at, CASE WHEN t.is_registered THEN %s END),
        bought_at = t.bought_at, bought_fen = t.fen
    FROM unnest(%s::bigint[], %s::boolean[], %s::timestamptz[], %s::bigint[]) AS t(id, is_registered, bought_at, fen)
    WHERE r.id = t.id AND (r.registered_at IS NULL AND t.is_registered OR r.bought_at IS DISTINCT FROM t.bought_at OR r.bought_fen <> t.fen)
"""


class _Known(NamedTuple):
    id: int
    programme_id: int
    referrer_id: int
    guide_id: int | None
    store_id: int
    day: dt.date
    expires_at: dt.datetime
    is_held: bool
    is_staff: bool
    is_old: bool
    is_verified: bool
    bought_at: dt.datetime | None
    net_fen: int
    min_fen: int
    cooling_days: int
    was_registered: bool


def start_daily(*, now: dt.datetime) -> None:
    """The pass of the business day, once."""
    if Referral.objects.filter(status=Status.CLAIMED).exists():
        jobs.enqueue(KIND, actor=None, key=f"{KIND} {now.astimezone(SHANGHAI).date()}")


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``judge_referrals``."""
    progress.stage("judge referrals", Referral.objects.filter(status=Status.CLAIMED).count())
    return judge(now=db.clock(), progress=progress.done)


def judge(*, now: dt.datetime, progress: Any = None) -> dict[str, int]:
    """Judge every held referral, then give the coupons; each chunk is a transaction of its own."""
    done: dict[str, int] = defaultdict(int)
    after, count = 0, 0
    while True:
        with transaction.atomic():
            lock()
            waiting = Referral.objects.filter(status=Status.CLAIMED, pk__gt=after).order_by("pk")
            ids = list(waiting.values_list("pk", flat=True)[:CHUNK])
            if ids:
                _link(ids, now, done)
                _judge(ids, now, done)
        if not ids:
            break
        after, count = ids[-1], count + len(ids)
        if progress:
            progress(count)
    done["coupons"] += deliver(now=now)
    return dict(done)


def lock() -> None:
    """One judge at a time: caps count what all of them have given. Needs an open transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [LOCK])


def _link(ids: Sequence[int], now: dt.datetime, done: dict[str, int]) -> None:
    ended: list[tuple[int, str]] = []
    for pk, member_id, is_second, is_self, is_loop in db.fetch(_LINK, {"ids": list(ids)}):
        fault = Reason.SELF if is_self else Reason.LOOP if is_loop else Reason.DUPLICATE if is_second else Reason.NONE
        if not fault:
            try:
                with transaction.atomic():
                    Referral.objects.filter(pk=pk, status=Status.CLAIMED).update(newcomer_id=member_id)
                continue
            except IntegrityError as error:  # two rows of this very chunk that close a ring: the later one goes
                if coupons.constraint_of(error) != "referral_no_loop":
                    raise
                fault = Reason.LOOP
        ended.append((pk, fault))
        done[fault] += 1
    end(ended, now)


def _judge(ids: Sequence[int], now: dt.datetime, done: dict[str, int]) -> None:
    rows = [_Known(*row) for row in db.fetch(_KNOWN, {"ids": list(ids), "now": now})]
    db.write(
        _SEEN,
        [
            now,
            [r.id for r in rows],
            [r.is_verified for r in rows],
            [r.bought_at for r in rows],
            [r.net_fen for r in rows],
        ],
    )
    given, ended, vested = _Given(rows), [], []
    for row in rows:
        if row.is_held:
            continue
        fault = fault_of(row, now)
        if not fault and is_earned(row, now):
            fault = given.take(row)
            if not fault:
                vested.append(row.id)
        if fault:
            ended.append((row.id, fault))
            done[fault] += 1
    done["vested"] += len(vested)
    Referral.objects.filter(pk__in=vested).update(status=Status.VESTED, vested_at=now, decided_at=now)
    end(ended, now)


def fault_of(row: _Known, now: dt.datetime) -> str:
    """Why the referral ends, or an empty text. Pure."""
    if row.is_staff:
        return Reason.STAFF
    if row.is_old:
        return Reason.NOT_NEW
    return Reason.EXPIRED if now >= row.expires_at and not is_earned(row, now) else Reason.NONE


def is_earned(row: _Known, now: dt.datetime) -> bool:
    """Registered with a verified number, bought for enough, and long enough ago that returns have shown. Pure."""
    is_bought = row.bought_at is not None and row.net_fen >= row.min_fen
    return row.is_verified and is_bought and now >= row.bought_at + dt.timedelta(days=row.cooling_days)  # type: ignore[operator]


def end(ended: Sequence[tuple[int, str]], now: dt.datetime) -> None:
    """They are void, and what they reserved is free again. Needs an open transaction and ``lock``."""
    for reason in {reason for _pk, reason in ended}:
        ids = [pk for pk, why in ended if why == reason]
        Referral.objects.filter(pk__in=ids).update(status=Status.VOID, reason=reason, decided_at=now)
    free([pk for pk, _reason in ended])


def free(ids: Sequence[int]) -> None:
    sums = Referral.objects.filter(pk__in=ids).values("programme").annotate(fen=Sum(F("coupon_fen") + F("guide_fen")))
    for row in sums.order_by("programme"):
        ReferralProgramme.objects.filter(pk=row["programme"]).update(reserved_fen=F("reserved_fen") - row["fen"])


class _Given:
    """What each referrer has of a month, each guide of a day and each store of a month, by the day of joining."""

    def __init__(self, rows: Sequence[_Known]) -> None:
        found = ReferralProgramme.objects.filter(pk__in={row.programme_id for row in rows})
        self._caps = {row.pk: (row.member_month_cap, row.guide_day_cap, row.store_month_cap) for row in found}
        self._counts: dict[tuple[Any, ...], int] = defaultdict(int)
        if not rows:
            return
        first, last = min(row.day for row in rows).replace(day=1), max(row.day for row in rows)
        counted = db.read(
            "SELECT programme_id, referrer_id, guide_id, store_id, (joined_at AT TIME ZONE 'Asia/Shanghai')::date, count(*)"
            " FROM campaigns_referral WHERE status = 'VESTED' AND programme_id = ANY(%s) AND joined_at >= %s AND joined_at < %s"
            " AND (store_id = ANY(%s) OR referrer_id = ANY(%s)) GROUP BY 1, 2, 3, 4, 5",
            [
                list(self._caps), _midnight(first), _midnight((last.replace(day=1) + dt.timedelta(days=32)).replace(day=1)),
                sorted({row.store_id for row in rows}), sorted({row.referrer_id for row in rows}),
            ],
        )  # fmt: skip
        for programme_id, referrer_id, guide_id, store_id, day, count in counted:
            for key in self._keys(programme_id, referrer_id, guide_id, store_id, day):
                self._counts[key] += count

    @staticmethod
    def _keys(programme: int, referrer: int, guide: int | None, store: int, day: dt.date) -> list[tuple[Any, ...]]:
        month = day.replace(day=1)
        return [
            (programme, "member", referrer, month),
            (programme, "guide", guide, day),
            (programme, "store", store, month),
        ]

    def take(self, row: _Known) -> str:
        """One more for this referrer, guide and store, or why not."""
        keys = self._keys(row.programme_id, row.referrer_id, row.guide_id, row.store_id, row.day)
        reasons = (Reason.OVER_MEMBER_CAP, Reason.OVER_DAY_CAP, Reason.OVER_MONTH_CAP)
        for key, cap, reason in zip(keys, self._caps[row.programme_id], reasons, strict=True):
            if cap is not None and self._counts[key] >= cap and (key[1] != "guide" or row.guide_id is not None):
                return reason
        for key in keys:
            self._counts[key] += 1
        return Reason.NONE


def deliver(*, now: dt.datetime) -> int:
    """Coupons of earned referrals; the key of each is the referral, so that a killed run gives none twice. How many were given."""
    count, after = 0, 0
    while True:
        rows = Referral.objects.filter(status=Status.VESTED, coupon=None, pk__gt=after).select_related(
            "programme", "referrer"
        )
        found = list(rows.order_by("pk")[:500])
        if not found:
            return count
        for row in found:
            count += _deliver(row, now)
        after = found[-1].pk


def _deliver(row: Referral, now: dt.datetime) -> bool:
    referrer: Member = row.referrer
    try:
        given = coupons.issuing.give(
            template_id=row.programme.coupon_template_id, member_id=referrer.merged_into_id or referrer.pk,
            key=f"referral {row.pk}", source=Coupon.Source.STAFF, now=now,
        )  # fmt: skip
    except coupons.CouponRefused as error:
        Referral.objects.filter(pk=row.pk).update(coupon_problem=error.message[:200])
        return False
    return bool(Referral.objects.filter(pk=row.pk, coupon=None).update(coupon=given.coupon, coupon_problem=""))


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), SHANGHAI)
