"""Who is sent to by whom: drafting, planning in one transaction of set-based SQL, asking for approval, approving."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns import content, experiments
from campaigns.experiments import draw
from campaigns.models import Content, ContentVersion, Recipient, Send, SendBatch, SendMaterial
from campaigns.sends import choosing, targets
from members import consent
from members.models import AudienceSnapshot, Purpose
from scrm import audit, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand, Corp
from scrm.wecom import attachments

PLAN = "send.plan"
FOUR_EYES_FROM = 500
TEXT_BYTES = 4000
TITLE_BYTES = 128

Status, State, Reason = Send.Status, Recipient.State, Recipient.Reason

AUDIENCE = "SELECT s.member_id FROM members_snapshotmember s WHERE s.snapshot_id = %(snapshot)s"
# whom an earlier send was meant to reach and did not
REST = "SELECT r.member_id FROM campaigns_recipient r WHERE r.send_id = %(rest_of)s AND r.state IN ('LEFT', 'OVER')"

# Guides who work now, with the store they work in.
WORKING = """
    SELECT DISTINCT ON (e.guide_id) e.guide_id, e.store_id FROM guides_employment e
    WHERE e.started_at <= %(now)s AND (e.ended_at IS NULL OR e.ended_at > %(now)s)
    ORDER BY e.guide_id, e.started_at DESC, e.id DESC
"""

# One row per member: her friendships as one sorted look, the reasons in their order.
CHOSEN = """
    CREATE TEMPORARY TABLE send_plan ON COMMIT DROP AS
    WITH audience AS MATERIALIZED ({audience}), working AS MATERIALIZED ({working}), friends AS (
        SELECT DISTINCT ON (c.member_id) c.member_id, c.id AS contact_id, f.guide_id, f.userid, w.store_id
        FROM guides_friendship f
        JOIN guides_contact c ON c.id = f.contact_id
        LEFT JOIN working w ON w.guide_id = f.guide_id
        JOIN members_member m ON m.id = c.member_id
        LEFT JOIN guides_binding b ON b.member_id = c.member_id AND b.brand_id = %(brand)s AND b.ended_at IS NULL
        WHERE f.corp_id = %(corp)s AND f.ended_at IS NULL AND f.customer_left_at IS NULL AND f.is_confirmed
          AND c.member_id IN (SELECT member_id FROM audience)
        ORDER BY c.member_id, w.guide_id IS NULL, (b.guide_id IS NOT DISTINCT FROM f.guide_id) DESC,
                 (w.store_id IS NOT DISTINCT FROM m.home_store_id) DESC, f.added_at DESC NULLS LAST, f.id DESC
    ), spent AS ({spent}), judged AS (
        SELECT a.member_id, f.contact_id, f.guide_id, f.userid, f.store_id,
               CASE WHEN {held_out} < %(holdout_bp)s THEN 'HELD_OUT'
                    WHEN s.arm_number = 0 THEN 'CONTROL'
                    WHEN m.status <> 'ACTIVE' THEN 'NOT_ACTIVE'
                    WHEN NOT {consent} THEN 'NO_CONSENT'
                    WHEN f.member_id IS NULL THEN 'NO_FRIEND'
                    WHEN f.store_id IS NULL THEN 'NO_GUIDE'
                    WHEN p.member_id IS NOT NULL THEN 'BUDGET'
                    ELSE '' END AS reason
        FROM audience a
        JOIN members_member m ON m.id = a.member_id
        LEFT JOIN friends f ON f.member_id = a.member_id
        LEFT JOIN campaigns_assignment s ON s.experiment_id = %(experiment)s AND s.member_id = a.member_id
        LEFT JOIN spent p ON p.member_id = a.member_id
    )
    SELECT *, CASE WHEN reason = '' THEN
                  (row_number() OVER (PARTITION BY reason, userid ORDER BY member_id) - 1) / %(size)s END AS number
    FROM judged
"""

# Members who have had their share under any budget of the brand by the time of the send.
SPENT = """
    SELECT DISTINCT r.member_id FROM campaigns_contactbudget g
    CROSS JOIN LATERAL (
        SELECT r.member_id FROM campaigns_recipient r JOIN campaigns_send s ON s.id = r.send_id AND s.brand_id = g.brand_id
        WHERE r.contacted_at > %(due)s - g.days * interval '1 day' {those} GROUP BY 1 HAVING count(*) >= g.most_count
    ) r
    WHERE g.brand_id = %(brand)s
"""

BATCHES = """
    INSERT INTO campaigns_sendbatch (send_id, guide_id, userid, store_id, number, round_no, status, planned_count, sent_count, failed_count,
                                     left_count, excluded_count, error_code)
    SELECT %(send)s, min(guide_id), userid, min(store_id), number, 1, 'PLANNED', count(*), 0, 0, 0, 0, ''
    FROM send_plan WHERE reason = '' GROUP BY userid, number ORDER BY userid, number
"""

RECIPIENTS = """
    INSERT INTO campaigns_recipient (send_id, member_id, contact_id, batch_id, state, reason)
    SELECT %(send)s, p.member_id, p.contact_id, b.id, CASE p.reason WHEN '' THEN 'PLANNED' ELSE 'EXCLUDED' END, p.reason
    FROM send_plan p
    LEFT JOIN campaigns_sendbatch b ON b.send_id = %(send)s AND b.userid = p.userid AND b.number = p.number
"""


class BadSend(RuleViolation):
    code = "send_not_possible"


class WrongState(RuleViolation):
    code = "send_wrong_state"


@transaction.atomic
def draft(
    *, corp: Corp, name: str, text: str, due_at: dt.datetime, actor: Any, snapshot: AudienceSnapshot | None = None,
    groups: choosing.Wish | None = None, rest_of: Send | None = None, link_title: str = "", link_url: str = "", materials: Sequence[Content] = (), holdout_bp: int = 0,
    window_days: int = 14, cost_fen: int | None = None, margin_bp: int | None = None,
) -> Send:  # fmt: skip
    """A send that is planned at once by a job. With ``holdout_bp`` it is an experiment with a control group of that size.

    Without a text of its own it says what its materials say. Raises BadSend, its ``extra["fields"]`` with a sentence each.
    """
    versions: list[ContentVersion] = []
    if rest_of is None:
        text, versions = _said(text, link_title, link_url, materials, due_at)
    brand = rest_of.brand if rest_of else _brand(snapshot, groups, corp)
    goes_to = rest_of.goes_to if rest_of else Send.GoesTo.CUSTOMERS if groups is None else Send.GoesTo.GROUPS
    experiment = rest_of.experiment if rest_of else None
    if holdout_bp and snapshot is not None:
        experiment = experiments.draft(
            brand=brand, name=name, window_days=window_days, actor=actor, holdout_bp=holdout_bp, snapshot=snapshot,
            cost_fen=cost_fen, margin_bp=margin_bp,
        )  # fmt: skip
    send = Send.objects.create(
        brand=brand, corp=corp, name=name, text=text, link_title=link_title, link_url=link_url, goes_to=goes_to, snapshot=snapshot,
        wish=groups.asked if groups else None, rest_of=rest_of, experiment=experiment, due_at=due_at, requested_by=actor,
    )  # fmt: skip
    if rest_of is not None:  # what was said is said again, in the same words
        versions = [row.version for row in rest_of.materials.select_related("version").order_by("position")]
    SendMaterial.objects.bulk_create(
        SendMaterial(send=send, position=number, version=version) for number, version in enumerate(versions)
    )
    audit.record(actor=actor, verb="send.draft", target=send)
    send.job = jobs.enqueue(PLAN, actor=actor, params={"send": send.pk})
    send.save(update_fields=["job"])
    return send


@transaction.atomic
def plan(*, send_id: int, now: dt.datetime) -> Send:
    """Decide on everybody of the audience, in one transaction: cut short, nothing has happened. Planned already: nothing."""
    send = Send.objects.select_for_update(of=("self",)).get(pk=send_id)
    if send.status != Status.PLANNING:
        return send
    if send.experiment_id and send.rest_of_id is None:
        experiments.plan(experiment_id=send.experiment_id, now=now)
        experiments.freeze(experiment_id=send.experiment_id, now=now, starts_at=max(now, send.due_at))
    is_of_groups = send.goes_to == Send.GoesTo.GROUPS
    values = _group_values(send, now) if is_of_groups else _customer_values(send, now)
    values |= {"send": send.pk, "now": now, "size": targets.of(send).size}
    with connection.cursor() as cursor:
        cursor.execute(choosing.CHOSEN.replace("{working}", WORKING) if is_of_groups else _choosing(send), values)
        cursor.execute("ANALYZE send_plan")
        cursor.execute(BATCHES, values)
        cursor.execute(choosing.RECIPIENTS if is_of_groups else RECIPIENTS, values)
        send.audience_count = cursor.rowcount
        if is_of_groups:
            cursor.execute("SELECT COALESCE(sum(customer_count), 0) FROM send_plan WHERE reason = ''")
            (send.people_count,) = cursor.fetchone()
        cursor.execute("DROP TABLE send_plan")
    send.planned_count = sum(SendBatch.objects.filter(send=send).values_list("planned_count", flat=True))
    send.status, send.planned_at = Status.PLANNED, now
    send.save()
    audit.record(actor=None, verb="send.plan", target=send, planned=send.planned_count)
    return send


@transaction.atomic
def submit(*, send: Send, actor: Any, now: dt.datetime) -> Send:
    """Have it sent; from FOUR_EYES_FROM members, or people in its groups, on somebody else must agree first."""
    row = locked(send.pk, Status.PLANNED)
    if not row.planned_count:
        raise BadSend(_("Nobody of this audience may be sent to; see the reasons."))
    audit.record(actor=actor, verb="send.submit", target=row, planned=row.planned_count)
    if row.reach >= FOUR_EYES_FROM:
        row.status, row.requested_by = Status.ASKED, actor
        row.save(update_fields=["status", "requested_by"])
        return row
    return _release(row, actor)


@transaction.atomic
def approve(*, send: Send, actor: Any, now: dt.datetime) -> Send:
    row = locked(send.pk, Status.ASKED)
    if actor is None or row.requested_by_id == actor.pk:
        raise BadSend(_("Somebody else than the one who asked has to approve."))
    row.approved_by, row.approved_count = actor, row.planned_count
    audit.record(actor=actor, verb="send.approve", target=row, planned=row.planned_count)
    return _release(row, actor)


def work_plan(progress: jobs.Progress) -> dict[str, Any]:
    send = plan(send_id=progress.job.params["send"], now=timezone.now())
    return {"members": send.audience_count, "planned": send.planned_count}


def locked(send_id: int, *statuses: str) -> Send:
    row: Send = Send.objects.select_for_update(of=("self",)).select_related("corp").get(pk=send_id)
    if row.status not in statuses:
        raise WrongState(_("This is not possible in the present state."))
    return row


def spent_sql(those: str = "") -> str:
    """A query of member_id: who has had her share. ``those`` narrows the members, a constant of ours."""
    return SPENT.replace("{those}", those)


def _customer_values(send: Send, now: dt.datetime) -> dict[str, Any]:
    due = max(now, send.due_at)
    holdout = draw.holdout_of(brand_id=send.brand_id, at=due)
    return {
        "snapshot": send.snapshot_id, "rest_of": send.rest_of_id, "brand": send.brand_id, "corp": send.corp_id, "due": due,
        "experiment": send.experiment_id, "holdout": holdout.salt, "holdout_bp": holdout.share_bp,
    }  # fmt: skip


def _group_values(send: Send, now: dt.datetime) -> dict[str, Any]:
    return {"groups": choosing.group_ids(send, now), **choosing.limit(max(now, send.due_at))}


def _brand(snapshot: AudienceSnapshot | None, groups: choosing.Wish | None, corp: Corp) -> Brand:
    """Whose send it is. Raises BadSend where those it is to go to are not settled."""
    if groups is not None:
        found = choosing.faults(groups, corp, timezone.now())
        brand = Brand.objects.order_by("pk").first()
        if found or brand is None:
            raise BadSend(next(iter(found.values()), _("No customer group fits.")), extra={"fields": found})
        return brand
    if snapshot is None or snapshot.status != AudienceSnapshot.Status.READY:
        raise BadSend(_("The audience is not frozen yet. Freeze it first, then plan the send."))
    return snapshot.version.audience.brand


def _choosing(send: Send) -> str:
    return (
        CHOSEN.replace("{audience}", REST if send.rest_of_id else AUDIENCE)
        .replace("{working}", WORKING)
        .replace("{spent}", spent_sql())
        .replace("{held_out}", draw.place_sql("%(holdout)s::text", "a.member_id"))
        .replace("{consent}", consent.allowed_sql(Purpose.WECOM_MARKETING, "a.member_id"))
    )


def _release(row: Send, actor: Any) -> Send:
    from campaigns.sends import handing

    row.status = Status.SENDING
    row.job = jobs.enqueue(handing.HAND_OVER, actor=actor, params={"send": row.pk})
    row.save()
    return row


def _said(
    text: str, link_title: str, link_url: str, materials: Sequence[Content], due_at: dt.datetime
) -> tuple[str, list[ContentVersion]]:
    """The text and the versions of the materials. Raises BadSend with the sentence of each field."""
    versions = content.current_of({row.pk: row for row in materials})
    missing = [row for row in materials if row.pk not in versions or not content.is_usable(row, due_at)]
    chosen = [versions[row.pk] for row in materials if row.pk in versions]
    text = text if text.strip() else "\n".join(version.text for version in chosen if version.text)
    found = _problems(text, link_title, link_url, [row for row in materials if row.kind != Content.Kind.TEXT])
    if missing:
        found["materials"] = _("“%(name)s” is not in use any more when this is sent.") % {"name": missing[0]}
    if found:
        raise BadSend(next(iter(found.values())), extra={"fields": found})
    return text, chosen


def _problems(text: str, link_title: str, link_url: str, attached: Sequence[Content]) -> dict[str, str]:
    """``{field: sentence}`` of what WeCom would refuse."""
    found: dict[str, str] = {}
    size = len(text.encode())
    if not text.strip() and not attached and not link_url:
        found["text"] = _("The message has no text.")
    if size > TEXT_BYTES:
        found["text"] = _(
            "The text has %(size)s bytes; WeCom takes at most 4,000 (about 1,333 Chinese characters)."
        ) % {"size": size}
    if bool(link_title) != bool(link_url):
        found["link_url" if link_title else "link_title"] = _("A link needs both its title and its address.")
    if len(link_title.encode()) > TITLE_BYTES:
        found["link_title"] = _("The title of the link has more than 128 bytes (about 42 Chinese characters).")
    if link_url and not link_url.startswith("https://"):
        found["link_url"] = _("The address of the link begins with https://.")
    if len(attached) + bool(link_url) > attachments.MOST:
        found["materials"] = _("%(count)s attachments; WeCom takes at most %(most)s with one message.") % {
            "count": len(attached) + bool(link_url), "most": attachments.MOST,
        }  # fmt: skip
    return found
