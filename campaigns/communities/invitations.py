"""Invitations into groups (邀请入群): a frozen audience becomes a list for each guide, with the words and the code ready.

1. Everybody of the audience is judged once, in one transaction of set-based SQL: invited by the guide who serves her, into the groups
   of that guide's store; or left out for the first reason that applies: universal hold-out, membership not active, opted out, no guide
   has her as a friend, in a group of the store already, her share of messages had, the store has no code in use.
2. A guide sees her list while it runs. Whoever has opted out, joined or had her share since is not in it any more (principle 17).
3. The guide sends it herself and says so. Whoever comes into a group of the store from the beginning on has joined: by the code or
   otherwise, with the moment. Each is counted once.
4. Before it is given out nobody sees it; cancelled or over, nobody is invited any more, and what has been stays.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from campaigns.experiments import draw
from campaigns.models import GroupInvitation, Invitee
from campaigns.sends import planning
from campaigns.sops import texts
from members import consent
from members.models import AudienceSnapshot, Purpose
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Corp

KIND = "group_invitation"
SHOWN = 200  # of a guide's list: more than a day holds
JOINED_AT_ONCE = 50

Status, Reason = GroupInvitation.Status, Invitee.Reason

PLAN = """
    INSERT INTO campaigns_invitee (invitation_id, member_id, guide_id, store_id, way_id, reason, is_by_way)
    WITH audience AS MATERIALIZED (SELECT s.member_id FROM members_snapshotmember s WHERE s.snapshot_id = %(snapshot)s),
    working AS MATERIALIZED ({working}), friends AS (
        SELECT DISTINCT ON (c.member_id) c.member_id, f.guide_id, w.store_id
        FROM guides_friendship f
        JOIN guides_contact c ON c.id = f.contact_id
        JOIN working w ON w.guide_id = f.guide_id
        JOIN members_member m ON m.id = c.member_id
        LEFT JOIN guides_binding b ON b.member_id = c.member_id AND b.brand_id = %(brand)s AND b.ended_at IS NULL
        WHERE f.corp_id = %(corp)s AND f.ended_at IS NULL AND f.customer_left_at IS NULL AND f.is_confirmed
          AND c.member_id IN (SELECT member_id FROM audience)
        ORDER BY c.member_id, (b.guide_id IS NOT DISTINCT FROM f.guide_id) DESC,
                 (w.store_id IS NOT DISTINCT FROM m.home_store_id) DESC, f.added_at DESC NULLS LAST, f.id DESC
    ), ways AS (
        SELECT DISTINCT ON (store_id) store_id, id FROM campaigns_joinway
        WHERE corp_id = %(corp)s AND status = 'LIVE' AND missing_at IS NULL AND qr_code <> '' ORDER BY store_id, error_code <> '', id DESC
    ), inside AS (
        SELECT DISTINCT s.member_id, g.store_id FROM campaigns_groupstay s
        JOIN campaigns_group g ON g.id = s.group_id AND g.dissolved_at IS NULL
        WHERE s.left_at IS NULL AND s.member_id IN (SELECT member_id FROM audience)
    ), spent AS ({spent}), judged AS (
        SELECT a.member_id, f.guide_id, f.store_id, w.id AS way_id,
               CASE WHEN {held_out} < %(holdout_bp)s THEN 'HELD_OUT'
                    WHEN m.status <> 'ACTIVE' THEN 'NOT_ACTIVE'
                    WHEN NOT {consent} THEN 'NO_CONSENT'
                    WHEN f.member_id IS NULL THEN 'NO_GUIDE'
                    WHEN i.member_id IS NOT NULL THEN 'IN_GROUP'
                    WHEN p.member_id IS NOT NULL THEN 'BUDGET'
                    WHEN w.id IS NULL THEN 'NO_WAY'
                    ELSE '' END AS reason
        FROM audience a
        JOIN members_member m ON m.id = a.member_id
        LEFT JOIN friends f ON f.member_id = a.member_id
        LEFT JOIN ways w ON w.store_id = f.store_id
        LEFT JOIN inside i ON i.member_id = a.member_id AND i.store_id = f.store_id
        LEFT JOIN spent p ON p.member_id = a.member_id
    )
    SELECT %(invitation)s, member_id, guide_id, store_id, way_id, reason, false FROM judged ORDER BY member_id
"""

JOINED = """
    UPDATE campaigns_invitee v SET joined_at = j.joined_at, joined_group_id = j.group_id, is_by_way = j.is_by_way FROM (
        SELECT DISTINCT ON (v.id) v.id, s.joined_at, s.group_id, s.state <> '' AND s.state = w.state AS is_by_way
        FROM campaigns_invitee v
        JOIN campaigns_joinway w ON w.id = v.way_id
        JOIN campaigns_groupstay s ON s.member_id = v.member_id AND s.joined_at >= %(start)s AND s.joined_at < %(end)s
        JOIN campaigns_group g ON g.id = s.group_id AND g.store_id = v.store_id
        WHERE v.invitation_id = %(invitation)s AND v.reason = '' AND v.joined_at IS NULL
        ORDER BY v.id, s.joined_at, s.id
    ) j WHERE j.id = v.id
"""

OPEN = f"""
    SELECT v.id, i.name AS invitation, i.id AS invitation_id, i.text, v.member_id, m.name AS member_name, v.way_id, w.name AS way_name,
        g.name AS guide, s.name AS store, {db.iso("v.sent_at")} AS sent_at, {db.iso("i.ends_at")} AS ends_at, i.brand_id
    FROM campaigns_invitee v
    JOIN campaigns_groupinvitation i ON i.id = v.invitation_id AND i.status = 'OUT' AND i.starts_at <= %(now)s AND i.ends_at > %(now)s
    JOIN members_member m ON m.id = v.member_id AND m.status = 'ACTIVE'
    JOIN campaigns_joinway w ON w.id = v.way_id JOIN guides_guide g ON g.id = v.guide_id JOIN scrm_store s ON s.id = v.store_id
    WHERE v.guide_id = %(guide)s AND v.reason = '' AND v.joined_at IS NULL {{only}}
      AND {consent.allowed_sql(Purpose.WECOM_MARKETING, "v.member_id")}
    ORDER BY v.sent_at IS NOT NULL, i.ends_at, v.id LIMIT %(limit)s
"""


class BadInvitation(RuleViolation):
    """``extra["fields"]`` has a sentence for each field."""

    code = "bad_group_invitation"


class WrongState(RuleViolation):
    code = "group_invitation_state"


@transaction.atomic
def draft(
    *, corp: Corp, name: str, snapshot: AudienceSnapshot, text: str, starts_at: dt.datetime, ends_at: dt.datetime, actor: Any
) -> GroupInvitation:  # fmt: skip
    """Planned at once by a job. Raises BadInvitation."""
    found: dict[str, str] = {}
    if snapshot.status != AudienceSnapshot.Status.READY:
        found["snapshot"] = _("The audience is not frozen yet. Freeze it first, then plan the invitation.")
    if ends_at <= starts_at:
        found["ends_at"] = _("The end lies behind the beginning.")
    if not text.strip():
        found["text"] = _("The message has no text.")
    if found:
        raise BadInvitation(next(iter(found.values())), extra={"fields": found})
    row = GroupInvitation.objects.create(
        brand=snapshot.version.audience.brand, corp=corp, name=name, snapshot=snapshot, text=text, starts_at=starts_at,
        ends_at=ends_at, requested_by=actor,
    )  # fmt: skip
    row.job = jobs.enqueue(KIND, actor=actor, params={"invitation": row.pk})
    row.save(update_fields=["job"])
    audit.record(actor=actor, verb="group_invitation.draft", target=row)
    return row


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``group_invitation``."""
    progress.stage(KIND)
    row = plan(invitation_id=progress.job.params["invitation"], now=db.clock())
    return {"members": row.audience_count, "planned": row.invited_count}


@transaction.atomic
def plan(*, invitation_id: int, now: dt.datetime) -> GroupInvitation:
    """Judge everybody of the audience, in one transaction: cut short, nothing has happened. Planned already: nothing."""
    row = GroupInvitation.objects.select_for_update(of=("self",)).get(pk=invitation_id)
    if row.status != Status.PLANNING:
        return row
    at = max(now, row.starts_at)
    holdout = draw.holdout_of(brand_id=row.brand_id, at=at)
    values: dict[str, Any] = {
        "invitation": row.pk, "snapshot": row.snapshot_id, "brand": row.brand_id, "corp": row.corp_id, "now": now, "due": at,
        "holdout": holdout.salt, "holdout_bp": holdout.share_bp,
    }  # fmt: skip
    statement = (
        PLAN.replace("{working}", planning.WORKING)
        .replace("{spent}", planning.spent_sql())
        .replace("{held_out}", draw.place_sql("%(holdout)s::text", "a.member_id"))
        .replace("{consent}", consent.allowed_sql(Purpose.WECOM_MARKETING, "a.member_id"))
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row.audience_count = cursor.rowcount
    row.invited_count = row.invitees.filter(reason="").count()
    row.status = Status.PLANNED
    row.save()
    return row


@transaction.atomic
def give_out(*, invitation: GroupInvitation, actor: Any, now: dt.datetime) -> None:
    """The guides see it from its beginning on. Raises WrongState and BadInvitation."""
    row = _locked(invitation, Status.PLANNED)
    if not row.invited_count:
        raise BadInvitation(_("Nobody of this audience may be invited; see the reasons."))
    if row.ends_at <= now:
        raise BadInvitation(_("Its end lies in the past."))
    row.status = Status.OUT
    row.save(update_fields=["status"])
    audit.record(actor=actor, verb="group_invitation.give_out", target=row, invited=row.invited_count)


@transaction.atomic
def cancel(*, invitation: GroupInvitation, actor: Any, now: dt.datetime) -> None:
    row = _locked(invitation, Status.PLANNING, Status.PLANNED, Status.OUT)
    row.status = Status.CANCELLED
    row.save(update_fields=["status"])
    audit.record(actor=actor, verb="group_invitation.cancel", target=row)


def sweep(*, now: dt.datetime) -> int:
    """Who has joined since, and invitations whose time is over; how many have joined."""
    joined = 0
    rows = GroupInvitation.objects.filter(status=Status.OUT, starts_at__lte=now).order_by("pk")
    for row in rows[:JOINED_AT_ONCE]:
        joined += _count_joined(row.pk, now)
    return joined


@transaction.atomic
def _count_joined(invitation_id: int, now: dt.datetime) -> int:
    (row,) = db.lock(GroupInvitation.objects.filter(pk=invitation_id))
    values = {"invitation": row.pk, "start": row.starts_at, "end": row.ends_at}
    with connection.cursor() as cursor:
        cursor.execute(JOINED, values)
        count = cursor.rowcount
    row.joined_count = row.invitees.filter(joined_at__isnull=False).count()
    if row.ends_at <= now and row.status == Status.OUT:
        row.status = Status.ENDED
    row.save(update_fields=["joined_count", "status"])
    return int(count)


# --- the guide --------------------------------------------------------------------------------------------------------


def of_guide(*, guide_id: int, now: dt.datetime) -> list[dict[str, Any]]:
    """Her list: who was not invited yet first. The text is filled for each customer."""
    return _open(guide_id, now, "", {})


def is_hers(*, invitee_id: int, guide_id: int, now: dt.datetime) -> bool:
    return bool(_open(guide_id, now, "AND v.id = %(invitee)s", {"invitee": invitee_id}))


@transaction.atomic
def sent(*, invitee_id: int, guide_id: int, now: dt.datetime) -> dict[str, Any]:
    """She has invited her. Said again: the first time stays. Raises WrongState for one that is not in her list (any more)."""
    if is_hers(invitee_id=invitee_id, guide_id=guide_id, now=now):
        Invitee.objects.filter(pk=invitee_id, sent_at=None).update(sent_at=now)
    rows = _open(guide_id, now, "AND v.id = %(invitee)s", {"invitee": invitee_id})
    if not rows:
        raise WrongState(_("She is not in your list any more."))
    return rows[0]


def _open(guide_id: int, now: dt.datetime, only: str, more: dict[str, Any]) -> list[dict[str, Any]]:
    values = {"guide": guide_id, "now": now, "limit": SHOWN, **more}
    rows = db.fetch_dicts(OPEN.format(only=only), values)
    spent = _spent(rows, now)
    found = []
    for row in rows:
        if row["sent_at"] is None and row["member_id"] in spent:
            continue
        said = {"customer": row["member_name"], "guide": row.pop("guide"), "store": row.pop("store")}
        row.pop("brand_id")
        found.append({**row, "text": texts.render(row["text"], **said)})
    return found


def _spent(rows: list[dict[str, Any]], now: dt.datetime) -> set[int]:
    """Who of them has had her share of messages by now."""
    members = [row["member_id"] for row in rows]
    if not members:
        return set()
    statement = planning.spent_sql("AND r.member_id = ANY(%(members)s::bigint[])")
    values = {"due": now, "brand": rows[0]["brand_id"], "members": members}
    return {member for (member,) in db.fetch(statement, values)}


# --- reading ----------------------------------------------------------------------------------------------------------


def left_out(*, invitation: GroupInvitation, scope_q: Q) -> list[tuple[str, int]]:
    """The reasons in words with their counts, the most first."""
    rows = (
        invitation.invitees.filter(scope_q).exclude(reason="").order_by().values_list("reason").annotate(n=Count("pk"))
    )
    return [(str(Reason(reason).label), count) for reason, count in rows.order_by("-n", "reason")]


def by_guide(*, invitation: GroupInvitation, scope_q: Q, limit: int) -> list[dict[str, Any]]:
    """``store__name, guide__name, planned, sent, joined, by_way`` of each guide, the least sent first."""
    rows = invitation.invitees.filter(scope_q, reason="").order_by().values("store__name", "guide_id", "guide__name")
    counted = rows.annotate(
        planned=Count("pk"), sent=Count("pk", filter=Q(sent_at__isnull=False)), joined=Count("pk", filter=Q(joined_at__isnull=False)),
        by_way=Count("pk", filter=Q(is_by_way=True)),
    )  # fmt: skip
    return [dict(row) for row in counted.order_by("sent", "store__name", "guide_id")[:limit]]


def _locked(invitation: GroupInvitation, *statuses: str) -> GroupInvitation:
    (row,) = db.lock(GroupInvitation.objects.filter(pk=invitation.pk))
    if row.status not in statuses:
        raise WrongState(_("This is not possible in the present state."))
    found: GroupInvitation = row
    return found
