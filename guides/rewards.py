"""Add-friend rewards (加好友奖励): a new friend is worth something once she has shown that she is one.

1. A programme (奖励计划) names the amount, its period, what earns it, how long a friend must stay and how many rewards a guide
   may have a day and a store a month. It is written by one person and published by another; published programmes of a brand
   do not overlap. From then on it only ends.
2. Each friend a guide wins while a programme runs is claimed once, as of the moment of adding, for the guide and the store she
   worked in. A friend whom an administrator assigned is nobody's. A person, known by her unionid, is one claim of the brand:
   whoever comes second is told so. Until WeCom has told the unionid the claim waits.
3. A claim is held (CLAIMED) and earned (VESTED) by behaviour: the person is new to the brand, the friendship has lasted the
   days of the programme, and she has registered with a verified number, bought or used a coupon, or written to the guide.
4. A claim ends (VOID) when she was known before, is a guide herself, left too early, would exceed a cap, or nothing followed
   until it expires. Caps count what was earned, the earliest friend first.
5. A claim under review (``integrity``) is neither earned nor ended until a person has decided.
6. What was earned and later proven fake is taken back (CLAWED_BACK). Whoever keeps the books follows the status.
7. Every claim is judged each day in one pass, and at once when its person becomes a member, writes or uses a coupon. Judging
   twice says the same.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from guides.models import Contact, Friendship, RewardClaim, RewardProgramme
from guides.touches import SHANGHAI
from members import coupons
from members.models import Redemption, RedemptionNews
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand

KIND = "judge_rewards"
FOLLOWER = "rewards"  # of redemptions
CHUNK = 5_000  # claims in one transaction
LOCK = "reward claims"
SKEW = dt.timedelta(minutes=5)  # between the chat archive's clock and ours
BRAND = "MAIN"

Status, Reason, Earned = RewardClaim.Status, RewardClaim.Reason, RewardClaim.Earned


class CannotPublish(RuleViolation):
    code = "programme_cannot_publish"


class CannotEnd(RuleViolation):
    code = "programme_cannot_end"


class NoFriend(RuleViolation):
    code = "no_friend"


class MessageRefused(RuleViolation):
    code = "message_refused"


@dataclass
class Judged:
    """What a pass did; counts of claims."""

    vested: int = 0
    ended: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def summary(self) -> dict[str, Any]:
        return {"vested": self.vested, "void": sum(self.ended.values()), **dict(sorted(self.ended.items()))}


class Caps(NamedTuple):
    """None: no cap; 0: none at all."""

    guide_day: int | None
    store_month: int | None


def over_cap(caps: Caps, *, of_guide_today: int, of_store_this_month: int) -> str:
    """Why one more reward is too many, or an empty text. Pure."""
    if caps.guide_day is not None and of_guide_today >= caps.guide_day:
        return Reason.OVER_DAY_CAP
    if caps.store_month is not None and of_store_this_month >= caps.store_month:
        return Reason.OVER_MONTH_CAP
    return Reason.NONE


def register() -> None:
    """Called from ``AppConfig.ready``."""
    coupons.follow(FOLLOWER)


# --- programmes ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def publish(*, programme: RewardProgramme, actor: Any, now: dt.datetime) -> RewardProgramme:
    """Put a draft into force; somebody else than its author does. Raises CannotPublish."""
    db.lock(Brand.objects.filter(pk=programme.brand_id))
    (row,) = db.lock(RewardProgramme.objects.filter(pk=programme.pk))
    if row.status != RewardProgramme.Status.DRAFT:
        raise CannotPublish(_("This programme is published already."))
    if row.author_id is not None and row.author_id == actor.pk:
        raise CannotPublish(_("Whoever wrote a programme cannot publish it; ask a colleague."), code="own_programme")
    if row.starts_at < now:
        raise CannotPublish(_("It would begin in the past; set a later beginning."), code="programme_begins_in_past")
    published = RewardProgramme.objects.filter(brand=row.brand_id, status=RewardProgramme.Status.PUBLISHED)
    other = published.filter(starts_at__lt=row.ends_at, ends_at__gt=row.starts_at).first()
    if other is not None:
        raise CannotPublish(_("It overlaps “%(name)s”.") % {"name": other.name}, code="programme_overlaps")
    row.status, row.approver, row.published_at = RewardProgramme.Status.PUBLISHED, actor, now
    row.save(update_fields=["status", "approver", "published_at"])
    audit.record(actor=actor, verb="reward.publish", target=row, amount_fen=row.amount_fen)
    return row


@transaction.atomic
def end(*, programme: RewardProgramme, actor: Any, reason: str, now: dt.datetime) -> RewardProgramme:
    """No new friends are claimed from now on; what is claimed goes on. Raises CannotEnd."""
    (row,) = db.lock(RewardProgramme.objects.filter(pk=programme.pk))
    if row.status != RewardProgramme.Status.PUBLISHED or row.ends_at <= now or row.starts_at >= now:
        raise CannotEnd(_("Only a programme that runs can be ended."))
    row.ends_at = now
    row.save(update_fields=["ends_at"])
    audit.record(actor=actor, verb="reward.end", target=row, reason=reason)
    return row


# --- claims -------------------------------------------------------------------------------------------------------------


def claim(*, friendship: Friendship, store_id: int | None, at: dt.datetime) -> RewardClaim | None:
    """The claim of a friend just won, if a programme runs; also when it was claimed before. Needs an open transaction."""
    if store_id is None or friendship.guide_id is None:
        return None
    running = RewardProgramme.objects.filter(status=RewardProgramme.Status.PUBLISHED, starts_at__lte=at, ends_at__gt=at)
    programme = running.first()
    if programme is None:
        return None
    first = RewardClaim.objects.filter(friendship=friendship).first()
    if first is not None:
        return first
    contact = Contact.objects.get(pk=friendship.contact_id)
    row = RewardClaim(
        brand_id=programme.brand_id, programme=programme, friendship=friendship, contact=contact, unionid=contact.unionid,
        guide_id=friendship.guide_id, store_id=store_id, added_at=at, amount_fen=programme.amount_fen,
        expires_at=at + dt.timedelta(days=programme.expires_days),
    )  # fmt: skip
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # somebody has claimed the person, or this very friend, before
        again = RewardClaim.objects.filter(friendship=friendship).first()
        if again is not None:
            return again
        row.status, row.reason, row.decided_at = Status.VOID, Reason.DUPLICATE, db.clock()
        row.save(force_insert=True)
    return row


def member_linked(contact: Contact) -> None:
    """Listener of the mirror: her claim may be earned now."""
    _judge_of([contact.pk])


@transaction.atomic
def hear_message(
    *, corp_id: str, userid: str, external_userid: str, at: dt.datetime, source: str, now: dt.datetime
) -> bool:
    """The customer has written to this account; whether we hear of it first. Raises NoFriend, MessageRefused."""
    if at > now + SKEW:
        raise MessageRefused(_("Nobody writes in the future."))
    friends = Friendship.objects.filter(
        corp__corp_id=corp_id, userid=userid.lower(), contact__external_userid=external_userid
    )
    friendship = friends.first()
    if friendship is None:
        raise NoFriend(_("This account and this customer are no friends here."))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO guides_firstmessage (friendship_id, at, source) VALUES (%s, %s, %s)"
            " ON CONFLICT (friendship_id) DO NOTHING",
            [friendship.pk, at, source],
        )
        is_new = cursor.rowcount == 1
    if is_new:
        _judge_of([friendship.contact_id])
    return is_new


def hear_redemptions() -> int:
    """Who has used a coupon may have earned somebody a reward: it is judged now; how many redemptions were heard of."""
    heard = 0
    while RedemptionNews.objects.filter(follower=FOLLOWER).exists():
        count = _hear_redemptions()
        heard += count
        if not count:  # another worker has them
            break
    return heard


@transaction.atomic
def _hear_redemptions() -> int:
    lock()  # before the rows of the news, as every judge does: two workers never wait for each other
    news = coupons.take_news(follower=FOLLOWER)
    members = {row.member_id for row, status in news if status == Redemption.Status.REDEEMED}
    _judge_of(list(Contact.objects.filter(member__in=members).order_by("pk").values_list("pk", flat=True)))
    return len(news)


def _judge_of(contact_ids: Sequence[int]) -> None:
    waiting = RewardClaim.objects.filter(contact__in=contact_ids, status=Status.CLAIMED)
    ids = list(waiting.values_list("pk", flat=True))
    if ids:
        with transaction.atomic():
            lock()
            _judge(ids, db.clock(), Judged())


# --- judging ------------------------------------------------------------------------------------------------------------


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``judge_rewards``."""
    now = db.clock()
    progress.stage("judge rewards", RewardClaim.objects.filter(status=Status.CLAIMED).count())
    return judge(now=now, progress=progress.done).summary()


def start_daily(*, now: dt.datetime) -> None:
    """The pass of the business day, once."""
    day = now.astimezone(SHANGHAI).date()
    if RewardProgramme.objects.filter(status=RewardProgramme.Status.PUBLISHED).exists():
        jobs.enqueue(KIND, actor=None, key=f"{KIND} {day}")


def judge(*, now: dt.datetime, progress: Any = None) -> Judged:
    """Judge every held claim; each chunk is a transaction of its own."""
    done, after, count = Judged(), 0, 0
    while True:
        with transaction.atomic():
            lock()
            _tell_unionids(now, done)
            waiting = RewardClaim.objects.filter(status=Status.CLAIMED, pk__gt=after).order_by("pk")
            ids = list(waiting.values_list("pk", flat=True)[:CHUNK])
            _judge(ids, now, done)
        if not ids:
            return done
        after, count = ids[-1], count + len(ids)
        if progress:
            progress(count)


def lock() -> None:
    """One judge at a time: caps count what all of them have given. Needs an open transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [LOCK])


# Claims that waited for a unionid: the earliest friend of a person gets it, the others are told that they come second.
_UNIONIDS = """
    WITH told AS (
        SELECT c.id, c.brand_id, k.unionid, row_number() OVER (
            PARTITION BY c.brand_id, k.unionid ORDER BY c.added_at, c.id) AS place
        FROM guides_rewardclaim c JOIN guides_contact k ON k.id = c.contact_id
        WHERE c.status = 'CLAIMED' AND c.unionid = '' AND k.unionid <> ''
    ), judged AS (
        SELECT t.*, t.place > 1 OR EXISTS (
            SELECT 1 FROM guides_rewardclaim o
            WHERE o.unionid = t.unionid AND o.brand_id = t.brand_id AND o.status <> 'VOID') AS is_second
        FROM told t
    )
    UPDATE guides_rewardclaim c SET unionid = j.unionid,
        status = CASE WHEN j.is_second THEN 'VOID' ELSE c.status END,
        reason = CASE WHEN j.is_second THEN 'DUPLICATE' ELSE c.reason END,
        decided_at = CASE WHEN j.is_second THEN %(now)s ELSE c.decided_at END
    FROM judged j WHERE j.id = c.id RETURNING j.is_second
"""


def _tell_unionids(now: dt.datetime, done: Judged) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_UNIONIDS, {"now": now})
        seconds = sum(is_second for (is_second,) in cursor.fetchall())
    if seconds:
        done.ended[Reason.DUPLICATE] += seconds


# What is known of each claim at ``now``. Look-ups by key only, so that a million claims cost a million of them.
_KNOWN = """
    SELECT c.id, c.guide_id, c.store_id, c.programme_id, (c.added_at AT TIME ZONE 'Asia/Shanghai')::date, c.expires_at,
        c.unionid <> '' AS is_known,
        EXISTS (SELECT 1 FROM guides_guide g WHERE g.unionid = c.unionid AND c.unionid <> '') AS is_guide,
        EXISTS (
            SELECT 1 FROM guides_contact k JOIN guides_friendship o ON o.contact_id = k.id
            WHERE k.unionid = c.unionid AND c.unionid <> '' AND o.id <> c.friendship_id AND o.is_confirmed
                AND o.added_at < c.added_at
        ) OR NOT p.counts_members AND (
            EXISTS (SELECT 1 FROM members_member m WHERE m.id = k.member_id AND {before})
            OR EXISTS (
                SELECT 1 FROM members_identity i JOIN members_member m ON m.id = i.member_id
                WHERE i.value = c.unionid AND c.unionid <> '' AND i.kind = 'UNIONID' AND {before}
            )
        ) AS is_old,
        f.customer_left_at < c.added_at + kept.days OR f.ended_at < c.added_at + kept.days AND f.ended_by <> 'TRANSFERRED'
            OR f.added_at > c.added_at AND f.added_at < c.added_at + kept.days AS has_left,
        %(now)s >= c.added_at + kept.days AS is_kept,
        CASE
            WHEN p.by_registration AND k.member_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM members_identity i
                WHERE i.member_id = k.member_id AND i.kind = 'MOBILE' AND i.is_verified) THEN 'REGISTRATION'
            WHEN p.by_purchase AND k.member_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM members_orderline l
                WHERE l.member_id = k.member_id AND l.paid_at >= c.added_at AND l.paid_at <= %(now)s AND NOT l.is_voided
                    AND NOT l.is_test AND l.paid_fen > l.refunded_fen) THEN 'PURCHASE'
            WHEN p.by_purchase AND k.member_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM members_redemption r
                WHERE r.member_id = k.member_id AND r.redeemed_at >= c.added_at AND r.redeemed_at <= %(now)s
                    AND r.status = 'REDEEMED') THEN 'REDEMPTION'
            WHEN p.by_message AND EXISTS (
                SELECT 1 FROM guides_firstmessage m WHERE m.friendship_id = f.id AND m.at >= c.added_at) THEN 'MESSAGE'
            ELSE ''
        END AS earned_by
    FROM guides_rewardclaim c
    JOIN guides_rewardprogramme p ON p.id = c.programme_id
    JOIN guides_friendship f ON f.id = c.friendship_id
    JOIN guides_contact k ON k.id = c.contact_id
    LEFT JOIN guides_integritycase r ON r.id = c.case_id
    CROSS JOIN LATERAL (SELECT make_interval(days => p.kept_days) AS days) kept
    WHERE c.id = ANY(%(ids)s::bigint[]) AND c.status = 'CLAIMED'
        AND (r.id IS NULL OR r.status NOT IN ('OPEN', 'PROPOSED', 'CONFIRMED'))
    ORDER BY c.added_at, c.id
    FOR NO KEY UPDATE OF c
""".format(
    before="""coalesce(m.registered_on < (c.added_at AT TIME ZONE 'Asia/Shanghai')::date, m.created_at < c.added_at)"""
)


class _Known(NamedTuple):
    id: int
    guide_id: int
    store_id: int
    programme_id: int
    day: dt.date
    expires_at: dt.datetime
    is_known: bool
    is_guide: bool
    is_old: bool | None
    has_left: bool | None
    is_kept: bool
    earned_by: str


def _fault(row: _Known, now: dt.datetime) -> str:
    """Why the claim has ended, or an empty text."""
    if row.is_guide:
        return Reason.SELF
    if row.is_old:
        return Reason.NOT_NEW
    if row.has_left:
        return Reason.DELETED_EARLY
    is_earned = row.is_known and row.is_kept and row.earned_by
    return Reason.EXPIRED if not is_earned and now >= row.expires_at else Reason.NONE


def _judge(ids: Sequence[int], now: dt.datetime, done: Judged) -> None:
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, {"ids": list(ids), "now": now})
        rows = [_Known(*row) for row in cursor.fetchall()]
    given = _Given(rows)
    ended: list[tuple[int, str]] = []
    vested: list[tuple[int, str]] = []
    for row in rows:
        fault = _fault(row, now)
        if not fault and row.is_known and row.is_kept and row.earned_by:
            fault = given.take(row)
            if not fault:
                vested.append((row.id, row.earned_by))
        if fault:
            ended.append((row.id, fault))
            done.ended[fault] += 1
    done.vested += len(vested)
    _write(vested, ended, now)


class _Given:
    """How many rewards each guide has of a day and each store of a month, by the day of adding."""

    def __init__(self, rows: Sequence[_Known]) -> None:
        programmes = RewardProgramme.objects.filter(pk__in={row.programme_id for row in rows})
        self._caps = {p.pk: Caps(p.guide_day_cap, p.store_month_cap) for p in programmes}
        self._days: dict[tuple[int, int, dt.date], int] = defaultdict(int)
        self._months: dict[tuple[int, int, dt.date], int] = defaultdict(int)
        if any(cap is not None for caps in self._caps.values() for cap in caps):
            self._read(rows)

    def _read(self, rows: Sequence[_Known]) -> None:
        """Every month that a row touches, with what its stores and guides have been given."""
        months = sorted({row.day.replace(day=1) for row in rows})
        last = (months[-1] + dt.timedelta(days=32)).replace(day=1)
        counted = db.read(
            "SELECT programme_id, guide_id, store_id, (added_at AT TIME ZONE 'Asia/Shanghai')::date, count(*)"
            " FROM guides_rewardclaim WHERE status = 'VESTED' AND programme_id = ANY(%s) AND store_id = ANY(%s)"
            " AND added_at >= %s AND added_at < %s GROUP BY 1, 2, 3, 4",
            [list(self._caps), sorted({row.store_id for row in rows}), _midnight(months[0]), _midnight(last)],
        )
        for programme_id, guide_id, store_id, day, count in counted:
            self._days[programme_id, guide_id, day] += count
            self._months[programme_id, store_id, day.replace(day=1)] += count

    def take(self, row: _Known) -> str:
        """One more for this guide and store, or why not."""
        of_day, of_month = (
            (row.programme_id, row.guide_id, row.day),
            (row.programme_id, row.store_id, row.day.replace(day=1)),
        )
        why = over_cap(
            self._caps[row.programme_id], of_guide_today=self._days[of_day], of_store_this_month=self._months[of_month]
        )
        if not why:
            self._days[of_day] += 1
            self._months[of_month] += 1
        return why


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), SHANGHAI)


def _write(vested: Iterable[tuple[int, str]], ended: Iterable[tuple[int, str]], now: dt.datetime) -> None:
    for rows, values in (
        (list(vested), "status = 'VESTED', earned_by = w.word, vested_at = %s, decided_at = %s"),
        (list(ended), "status = 'VOID', reason = w.word, decided_at = %s"),
    ):
        if rows:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE guides_rewardclaim c SET {values} FROM unnest(%s::bigint[], %s::text[]) w(id, word)"
                    " WHERE c.id = w.id",
                    [*[now] * values.count("%s"), [row_id for row_id, _word in rows], [word for _id, word in rows]],
                )


# --- proven fake --------------------------------------------------------------------------------------------------------


def take_away(*, claim_ids: Sequence[int], now: dt.datetime) -> tuple[int, int]:
    """Claims proven fake: held ones end, earned ones are taken back; how many of each. Needs an open transaction."""
    lock()
    rows = RewardClaim.objects.filter(pk__in=list(claim_ids))
    db.lock(rows.filter(~Q(status=Status.VOID)))
    held = rows.filter(status=Status.CLAIMED).update(status=Status.VOID, reason=Reason.FRAUD, decided_at=now)
    earned = rows.filter(status=Status.VESTED).update(status=Status.CLAWED_BACK, reason=Reason.FRAUD, decided_at=now)
    return held, earned
