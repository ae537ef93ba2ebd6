"""Answers of guides to screens, reports and other apps.

The queries that every request of the guide API runs are written in SQL: compiling them from the ORM costs more than
PostgreSQL needs to answer (0.7 ms against 0.3 ms for the token, measured), and their plans may not change with a filter.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from guides.models import Binding, Employment, Friendship, Guide, IntegrityCase, RewardClaim
from members import reveals
from members.models import Member
from scrm import db, org
from scrm.models import User

RECENT_DAYS = 190  # how far back "last bought" of a list looks: each month more is a look into one more partition
PURCHASE_DAYS = 400  # how far back the purchases of one member go
MEMBERS_COUNTED = 2_000  # figures of a guide's members are exact up to here and "at least" beyond
LAPSED_COUNTED = 200
MANAGED_STORES = 10  # more than that is a region: the console is the place for it


@dataclass(frozen=True, slots=True)
class Caller:
    """A guide who calls: employed now, in this store. ``managed_store_ids``: whose members she sees besides her own."""

    user: User
    token_digest: str
    guide_id: int
    code: str
    name: str
    role: str
    store_id: int
    store_code: str
    store_name: str
    employed_since: dt.datetime
    managed_store_ids: tuple[int, ...]

    @property
    def store_ids(self) -> frozenset[int]:
        """The stores whose purchases she sees: her own and those she manages."""
        return frozenset({self.store_id, *self.managed_store_ids})


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """A token with its user; ``caller`` is None when the user is no guide or is not employed now."""

    digest: str
    created: dt.datetime
    expiry: dt.datetime
    user: User
    is_guide: bool
    caller: Caller | None


HOLDERS = """
    SELECT t.digest, t.created, t.expiry, u.id, u.username, u.name, u.is_active, g.id, g.code, g.name, e.role, s.id, s.code,
           s.name, e.started_at,
           ARRAY(SELECT r.store_id FROM scrm_grant r WHERE r.user_id = u.id AND r.role = 'STORE_MANAGER' ORDER BY 1)
    FROM scrm_devicetoken t
    JOIN scrm_user u ON u.id = t.user_id
    LEFT JOIN guides_guide g ON g.user_id = u.id
    LEFT JOIN LATERAL (
        SELECT m.store_id, m.role, m.started_at FROM guides_employment m
        WHERE m.guide_id = g.id AND m.started_at <= %(now)s AND (m.ended_at IS NULL OR m.ended_at > %(now)s)
        ORDER BY m.started_at DESC LIMIT 1
    ) e ON true
    LEFT JOIN scrm_store s ON s.id = e.store_id AND EXISTS (
        SELECT 1 FROM scrm_legalentity y WHERE y.id = s.entity_id AND y.is_active
    )
    WHERE t.token_key = %(token_key)s LIMIT 5
"""


def token_holders(*, token_key: str, now: dt.datetime) -> list[TokenHolder]:
    """Who holds a token that begins so, with the employment of this moment: all that a request has to know, at once."""
    return [_holder(row) for row in db.fetch(HOLDERS, {"token_key": token_key, "now": now})]


def _holder(row: Sequence[Any]) -> TokenHolder:
    digest, created, expiry, user_id, username, user_name, is_active, guide_id, code, name, role, store_id = row[:12]
    # in the order of the model's fields, as ``from_db`` takes them
    user = User.from_db(
        connection.alias, ("id", "username", "is_active", "name"), (user_id, username, is_active, user_name)
    )
    caller = None
    if store_id is not None:
        managed = {*row[15], store_id} if role == Guide.Role.STORE_MANAGER else set(row[15])
        caller = Caller(
            user, digest, guide_id, code, name, role, store_id, row[12], row[13], row[14],
            tuple(sorted(managed)[:MANAGED_STORES]),
        )  # fmt: skip
    return TokenHolder(digest, created, expiry, user, guide_id is not None, caller)


# ---- members of a caller ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """All of them hold together; None: does not matter."""

    name: str | None = None  # how it begins
    bought_within_days: int | None = None
    not_bought_for_days: int | None = None
    birthday_within_days: int | None = None
    mobile_index: str | None = None
    card_no: str | None = None
    member_id: int | None = None


def visible_members(caller: Caller) -> QuerySet[Member]:
    """Who is bound to her now, and for a store manager also who belongs to her store."""
    bound = Binding.objects.filter(member=OuterRef("pk"), guide_id=caller.guide_id, ended_at=None)
    managed = org.Scope(frozenset(caller.managed_store_ids))
    alive = Member.objects.filter(status__in=[Member.Status.ACTIVE, Member.Status.FROZEN])
    return alive.filter(Exists(bound) | org.scope_q(Member, managed))


# One branch per index: each gives its first rows in the order of the list, so that a page costs the same in a store of
# a hundred members and of a hundred thousand. An OR over both tables would walk the whole member table.
BOUND_TO = """
    (SELECT m.id FROM guides_binding b JOIN members_member m ON m.id = b.member_id
     WHERE b.{column} = {key} AND b.ended_at IS NULL AND b.member_id < %(after)s AND m.status IN ('ACTIVE', 'FROZEN') {filters}
     ORDER BY b.member_id DESC LIMIT %(limit)s)
"""
AT_HOME_IN = """
    (SELECT m.id FROM members_member m
     WHERE m.home_store_id = {key} AND m.id < %(after)s AND m.status IN ('ACTIVE', 'FROZEN') {filters}
     ORDER BY m.id DESC LIMIT %(limit)s)
"""
# a scalar subquery stays what it is: one look into the index per member, never a join over all purchases
BOUGHT_SINCE = """(
    SELECT true FROM members_orderline l
    WHERE l.member_id = m.id AND l.booked_on >= {since} AND l.booked_on <= %(today)s
      AND NOT l.is_voided AND NOT l.is_test LIMIT 1
)"""
BIRTHDAY_IN = "extract(month FROM m.birthday)::int * 100 + extract(day FROM m.birthday)::int = ANY(%(birthdays)s)"
IDENTIFIED_BY = """EXISTS (
    SELECT 1 FROM members_identity i WHERE i.member_id = m.id AND i.kind = '{kind}' AND i.value = %({name})s
)"""
MEMBER_PAGE = f"""
    WITH page AS (SELECT id FROM ({{branches}}) seen ORDER BY id DESC LIMIT %(limit)s)
    SELECT m.id, m.name, m.gender, m.birthday::text, m.registered_on::text, m.points_brought_in, m.remark, t.name AS tier,
           h.name AS home_store_name, {db.iso("b.started_at")} AS bound_at, g.id AS guide_id, g.name AS guide_name,
           (SELECT i.sealed FROM members_identity i WHERE i.member_id = m.id AND i.kind = 'MOBILE' ORDER BY i.id LIMIT 1)
               AS sealed,
           (SELECT max(l.booked_on)::text FROM members_orderline l
            WHERE l.member_id = m.id AND l.booked_on >= %(horizon)s AND l.booked_on <= %(today)s
              AND NOT l.is_voided AND NOT l.is_test) AS last_bought_on {{more}}
    FROM page
    JOIN members_member m ON m.id = page.id
    LEFT JOIN members_tier t ON t.id = m.tier_id
    LEFT JOIN scrm_store h ON h.id = m.home_store_id
    LEFT JOIN guides_binding b ON b.member_id = m.id AND b.brand_id = m.brand_id AND b.ended_at IS NULL
    LEFT JOIN guides_guide g ON g.id = b.guide_id {{lateral}}
    ORDER BY m.id DESC
"""
MORE = """,
    ARRAY(SELECT t.name FROM members_membertag k JOIN members_tag t ON t.id = k.tag_id
          WHERE k.member_id = m.id ORDER BY t.name LIMIT 50) AS tags,
    i.kinds, i.identifiers, i.seals, i.verified
"""
IDENTITIES = """
    LEFT JOIN LATERAL (
        SELECT array_agg(j.kind ORDER BY j.id) AS kinds, array_agg(j.value ORDER BY j.id) AS identifiers,
               array_agg(j.sealed ORDER BY j.id) AS seals, array_agg(j.is_verified ORDER BY j.id) AS verified
        FROM (SELECT * FROM members_identity n WHERE n.member_id = m.id ORDER BY n.id LIMIT 20) j
    ) i ON true
"""


def member_page(
    *, caller: Caller, wanted: MemberFilter, after: int | None, limit: int, today: dt.date
) -> list[dict[str, Any]]:
    """Up to ``limit`` of the members she sees, the newest first, below the id ``after``; one query."""
    statement, values = _members(caller, wanted, after, limit, today, more="", lateral="")
    return db.fetch_dicts(statement, values)


def member_profile(*, caller: Caller, member_id: int, today: dt.date) -> dict[str, Any] | None:
    """One member as the list shows her, with her tags and masked identities; None when she is not the caller's to see."""
    wanted = MemberFilter(member_id=member_id)
    statement, values = _members(caller, wanted, None, 1, today, more=MORE, lateral=IDENTITIES)
    rows = db.fetch_dicts(statement, values)
    if not rows:
        return None
    columns = [rows[0].pop(name) or () for name in ("kinds", "identifiers", "seals", "verified")]
    rows[0]["identities"] = [
        {"kind": kind, "shown": reveals.masked(kind, value, sealed), "is_verified": is_verified}
        for kind, value, sealed, is_verified in zip(*columns, strict=True)
    ]
    return rows[0]


def _members(
    caller: Caller, wanted: MemberFilter, after: int | None, limit: int, today: dt.date, *, more: str, lateral: str
) -> tuple[str, dict[str, Any]]:
    filters, values = _member_filters(wanted, today)
    branches = [BOUND_TO.format(column="guide_id", key="%(guide_id)s", filters=filters)]
    for number, store_id in enumerate(caller.managed_store_ids):
        key = f"store_{number}"
        values[key] = store_id
        branches.append(BOUND_TO.format(column="store_id", key=f"%({key})s", filters=filters))
        branches.append(AT_HOME_IN.format(key=f"%({key})s", filters=filters))
    values |= {
        "guide_id": caller.guide_id,
        "after": after if after is not None else 2**63 - 1,
        "limit": limit,
        "horizon": today - dt.timedelta(days=RECENT_DAYS),
        "today": today,
    }
    return MEMBER_PAGE.format(branches=" UNION ".join(branches), more=more, lateral=lateral), values


def _member_filters(wanted: MemberFilter, today: dt.date) -> tuple[str, dict[str, Any]]:
    filters: list[str] = []
    values: dict[str, Any] = {}
    if wanted.member_id is not None:
        filters.append("m.id = %(member_id)s")
        values["member_id"] = wanted.member_id
    if wanted.name:
        filters.append("m.name LIKE %(name)s")
        values["name"] = wanted.name.translate({ord(sign): f"\\{sign}" for sign in "\\%_"}) + "%"
    if wanted.bought_within_days is not None:
        filters.append(BOUGHT_SINCE.format(since="%(bought_since)s"))
        values["bought_since"] = today - dt.timedelta(days=wanted.bought_within_days)
    if wanted.not_bought_for_days is not None:
        filters.append(BOUGHT_SINCE.format(since="%(lapsed_since)s") + " IS NULL")
        values["lapsed_since"] = today - dt.timedelta(days=wanted.not_bought_for_days)
    if wanted.birthday_within_days is not None:
        filters.append(BIRTHDAY_IN)
        values["birthdays"] = birthdays(today, wanted.birthday_within_days)
    if wanted.mobile_index is not None:
        filters.append(IDENTIFIED_BY.format(kind="MOBILE", name="mobile_index"))
        values["mobile_index"] = wanted.mobile_index
    if wanted.card_no is not None:
        filters.append(IDENTIFIED_BY.format(kind="CARD", name="card_no"))
        values["card_no"] = wanted.card_no
    return "".join(f" AND {each}" for each in filters), values


def birthdays(today: dt.date, days: int) -> list[int]:
    """``[1122, 1123, …]`` for the ``days`` days from today on; whoever was born on 29 February is a day early."""
    found = []
    for number in range(days):
        day = today + dt.timedelta(days=number)
        found.append(day.month * 100 + day.day)
        if found[-1] == 228 and (day + dt.timedelta(days=1)).month == 3:
            found.append(229)
    return found


MEMBER_FIGURES = f"""
    WITH mine AS MATERIALIZED (
        SELECT m.id, m.birthday FROM guides_binding b JOIN members_member m ON m.id = b.member_id
        WHERE b.guide_id = %(guide_id)s AND b.ended_at IS NULL AND m.status IN ('ACTIVE', 'FROZEN')
        ORDER BY b.member_id DESC LIMIT {MEMBERS_COUNTED + 1}
    )
    SELECT count(*), count(*) FILTER (WHERE {BIRTHDAY_IN}),
           (SELECT count(*) FROM (
                SELECT 1 FROM mine m WHERE {BOUGHT_SINCE.format(since="%(lapsed_since)s")} IS NULL LIMIT {LAPSED_COUNTED + 1}
           ) lapsed)
    FROM mine m
"""


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """Counts of a guide's members; a count above its cap means "at least the cap"."""

    members: int
    birthdays: int
    lapsed: int


def member_figures(*, guide_id: int, today: dt.date, lapsed_days: int, birthday_days: int) -> MemberFigures:
    """One query; looks at her newest ``MEMBERS_COUNTED`` members."""
    values: dict[str, Any] = {
        "guide_id": guide_id,
        "birthdays": birthdays(today, birthday_days),
        "lapsed_since": today - dt.timedelta(days=lapsed_days),
        "today": today,
    }
    return MemberFigures(*db.fetch(MEMBER_FIGURES, values)[0])


BINDINGS = f"""
    SELECT g.code AS guide_code, g.name AS guide_name, s.name AS store_name, b.source,
           {db.iso("b.started_at")} AS started_at, {db.iso("b.ended_at")} AS ended_at
    FROM guides_binding b JOIN guides_guide g ON g.id = b.guide_id JOIN scrm_store s ON s.id = b.store_id
    WHERE b.member_id = %(member_id)s ORDER BY b.started_at DESC, b.id DESC LIMIT 20
"""


def bindings_of(*, member_id: int) -> list[dict[str, Any]]:
    """Who served the member from when to when, the newest first."""
    return db.fetch_dicts(BINDINGS, {"member_id": member_id})


SUCCESSORS = """
    SELECT DISTINCT ON (w.binding_id, w.at) w.binding_id, w.at, t.guide_id, k.id, k.planned_at
    FROM unnest(%(bindings)s::bigint[], %(moments)s::timestamptz[]) w(binding_id, at)
    JOIN guides_binding b ON b.id = w.binding_id
    JOIN guides_handovercase k ON k.guide_id = b.guide_id
    JOIN guides_handoveritem i ON i.case_id = k.id AND i.binding_id = b.id
    JOIN guides_handovertaker t ON t.id = i.taker_id
    WHERE k.planned_at <= w.at AND (k.status <> 'CANCELLED' OR k.ended_at > w.at)
      AND (i.bound_at IS NULL OR i.bound_at > w.at) AND i.state <> 'KEPT'
    ORDER BY w.binding_id, w.at, k.planned_at DESC, k.id DESC
"""


@dataclass(frozen=True, slots=True)
class Successor:
    """Who was to take a customer over, and since when that was planned."""

    guide_id: int
    case_id: int
    planned_at: dt.datetime


def successors_at(wanted: Sequence[tuple[int, dt.datetime]]) -> dict[tuple[int, dt.datetime], Successor]:
    """``{(binding, moment): the successor-to-be}`` (待接替人) as of each moment, for those who had one; one query.

    The plan that stands counts from the moment at which it was made until the binding has moved; what was planned before
    and replaced has left no trace. A cancelled handover names nobody from its end on.
    """
    values = {"bindings": [key for key, _at in wanted], "moments": [at for _key, at in wanted]}
    rows = db.fetch(SUCCESSORS, values)
    return {(binding_id, at): Successor(*more) for binding_id, at, *more in rows}


def binding_history(*, member_id: int, limit: int = 20) -> list[dict[str, Any]]:
    """Who served the member from when to when, the newest first."""
    rows = Binding.objects.filter(member_id=member_id).order_by("-started_at", "-pk")
    found = rows.values(
        "guide_id", "guide__code", "guide__name", "store__code", "store__name", "source", "started_at", "ended_at"
    )
    return [dict(row) for row in found[:limit]]


def friends_of(*, member_id: int, limit: int = 50) -> list[Friendship]:
    """The member's friends among our staff on WeCom, those who last first."""
    rows = Friendship.objects.filter(contact__member=member_id).select_related("contact", "guide")
    return sorted(rows.order_by("-pk")[:limit], key=lambda row: row.ended_at is not None)


NEW_FRIENDS = f"""
    SELECT f.id, c.name, {db.iso("f.added_at")} AS added_at, f.is_confirmed, c.member_id, m.name AS member_name,
           w.name AS code_name, r.answer, {db.iso("r.protected_until")} AS protected_until
    FROM guides_friendship f
    JOIN guides_contact c ON c.id = f.contact_id
    LEFT JOIN members_member m ON m.id = c.member_id
    LEFT JOIN guides_contactway w ON f.state <> '' AND w.state = f.state AND w.corp_id = f.corp_id
    LEFT JOIN LATERAL (
        SELECT q.answer, q.protected_until FROM guides_bindingrequest q
        WHERE q.member_id = c.member_id AND q.guide_id = f.guide_id ORDER BY q.id DESC LIMIT 1
    ) r ON true
    WHERE f.guide_id = %(guide_id)s AND f.id < %(after)s AND f.added_at >= %(since)s AND f.added_at < %(until)s
      AND f.ended_at IS NULL
    ORDER BY f.id DESC LIMIT %(limit)s
"""


def new_friends(
    *, guide_id: int, since: dt.datetime, until: dt.datetime, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """Whom the guide got as WeCom friends in a period, the newest first below the id ``after``: who they are and why they
    are hers or not."""
    values = {
        "guide_id": guide_id, "since": since, "until": until, "after": after if after is not None else 2**63 - 1,
        "limit": limit,
    }  # fmt: skip
    return db.fetch_dicts(NEW_FRIENDS, values)


# ---- rewards and reviews of a guide -----------------------------------------------------------------------------


REWARDS = f"""
    SELECT c.id, k.name AS friend, {db.iso("c.added_at")} AS added_at, c.amount_fen, c.status AS reward_state, c.reason,
        c.earned_by, {db.iso("(c.added_at + make_interval(days => p.kept_days))")} AS earliest_at,
        {db.iso("c.expires_at")} AS expires_at, r.id AS review_id, c.unionid <> '' AS is_known,
        c.added_at + make_interval(days => p.kept_days) <= clock_timestamp() AS is_kept
    FROM guides_rewardclaim c
    JOIN guides_contact k ON k.id = c.contact_id
    JOIN guides_rewardprogramme p ON p.id = c.programme_id
    LEFT JOIN guides_integritycase r ON r.id = c.case_id AND r.status IN ('OPEN', 'PROPOSED', 'CONFIRMED')
    WHERE c.guide_id = %(guide_id)s AND c.id < COALESCE(%(after)s::bigint, 9223372036854775807)
    ORDER BY c.id DESC LIMIT %(limit)s
"""


def rewards_of(*, guide_id: int, after: int | None, limit: int) -> list[dict[str, Any]]:
    """The guide's claims, the newest first below the id ``after``, each with what it still waits for."""
    rows = db.fetch_dicts(REWARDS, {"guide_id": guide_id, "after": after, "limit": limit})
    return [{**row, "missing": _missing(row.pop("is_known"), row.pop("is_kept"), row)} for row in rows]


def _missing(is_known: bool, is_kept: bool, row: dict[str, Any]) -> str:
    if row["reward_state"] != RewardClaim.Status.CLAIMED:
        return ""
    if row["review_id"] is not None:
        return "REVIEW"
    if not is_known:
        return "UNIONID"
    return "BEHAVIOUR" if is_kept else "DAYS"


REWARD_SUMS = """
    SELECT CASE status WHEN 'CLAIMED' THEN 'held' WHEN 'VESTED' THEN 'vested' ELSE 'void' END, count(*),
        sum(amount_fen)::bigint
    FROM guides_rewardclaim WHERE guide_id = %(guide_id)s GROUP BY 1
"""


def reward_sums(*, guide_id: int) -> dict[str, dict[str, int]]:
    """``{"held": {"count", "amount_fen"}, "vested": …, "void": …}`` of the guide."""
    found = {name: (count, fen) for name, count, fen in db.fetch(REWARD_SUMS, {"guide_id": guide_id})}
    sums = {name: found.get(name, (0, 0)) for name in ("held", "vested", "void")}
    return {name: {"count": count, "amount_fen": fen} for name, (count, fen) in sums.items()}


def reviews_of(*, guide_id: int, after: int | None, limit: int) -> list[IntegrityCase]:
    """The reviews about the guide with their flags, the newest first below the id ``after``."""
    cases = IntegrityCase.objects.filter(guide=guide_id).prefetch_related("flags").order_by("-pk")
    return list((cases.filter(pk__lt=after) if after is not None else cases)[:limit])


def review_of(*, guide_id: int, case_id: int) -> IntegrityCase | None:
    return IntegrityCase.objects.filter(guide=guide_id, pk=case_id).prefetch_related("flags").first()


# ---- the console ------------------------------------------------------------------------------------------------


def current_guides(*, member_ids: Sequence[int]) -> dict[int, str]:
    """``{member: guide's name}`` by the active bindings of a page of members; one query."""
    rows = Binding.objects.filter(member_id__in=member_ids, ended_at=None).values_list("member_id", "guide__name")
    return dict(rows)


def current_employments(*, guide_ids: Sequence[int]) -> dict[int, Employment]:
    """``{guide: open employment with its store}`` for a page of guides; one query."""
    rows = Employment.objects.filter(guide_id__in=guide_ids, ended_at=None).select_related("store")
    return {row.guide_id: row for row in rows}


def member_count(*, guide_id: int, cap: int = 10_000) -> int:
    """Members with an active binding to the guide, counted up to ``cap`` + 1."""
    return Binding.objects.filter(guide_id=guide_id, ended_at=None).order_by()[: cap + 1].count()


def source_text(code: str) -> str:
    """How a binding came about, in words."""
    return str(Binding.Source(code).label)
