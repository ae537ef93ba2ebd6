"""Who is to publish: drafting, planning in one statement, asking for approval, approving, cancelling."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns import content
from campaigns.models import Content, ContentVersion, Moment, MomentMaterial, MomentPost
from campaigns.sends.planning import WORKING
from scrm import audit, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand, Corp, LegalEntity, Region, Store
from scrm.wecom import moments as wecom
from scrm.wecom import outbox

PLAN = "moment.plan"
TOPIC, CANCEL_TOPIC = "campaigns.moment", "campaigns.moment_cancel"
FOUR_EYES_FROM = 500  # friends of the guides who are to publish it
MOST_A_MONTH = 4
KINDS = {Content.Kind.IMAGE: "image", Content.Kind.VIDEO: "video", Content.Kind.LINK: "link"}

Status, State, Reason = Moment.Status, MomentPost.State, MomentPost.Reason

FRIENDS = """
    SELECT f.guide_id, f.contact_id FROM guides_friendship f
    WHERE f.corp_id = %(corp)s AND f.ended_at IS NULL AND f.customer_left_at IS NULL AND f.is_confirmed AND f.guide_id IS NOT NULL
"""
# Who has had HQ's moments of the month, through whichever of her guides: a moment that several of them publish is one. What was
# never published was never seen.
SPENT = f"""
    WITH had AS MATERIALIZED (
        SELECT p.guide_id, p.moment_id FROM campaigns_momentpost p JOIN campaigns_moment m ON m.id = p.moment_id
        WHERE m.id <> %(moment)s AND m.corp_id = %(corp)s AND m.due_at >= %(month)s AND m.due_at < %(next_month)s
          AND (p.state = 'PUBLISHED' OR p.state = 'PLANNED' AND m.status IN ('MAKING', 'OUT'))
    )
    SELECT f.contact_id FROM ({FRIENDS}) f JOIN had h ON h.guide_id = f.guide_id
    WHERE (SELECT count(DISTINCT moment_id) FROM had) >= %(most)s
    GROUP BY 1 HAVING count(DISTINCT h.moment_id) >= %(most)s
"""
# of each guide: her customers, and those among them who have had enough
COUNTED = "SELECT f.guide_id, count(*) AS count, count(s.contact_id) AS spent FROM friends f LEFT JOIN spent s USING (contact_id) GROUP BY 1"

POSTS = f"""
    WITH working AS MATERIALIZED ({WORKING}), spent AS MATERIALIZED ({SPENT}), friends AS MATERIALIZED ({FRIENDS}),
    counted AS MATERIALIZED ({COUNTED}), judged AS MATERIALIZED (
        SELECT w.guide_id, lower(coalesce(g.wecom_userid, '')) AS userid, w.store_id, coalesce(c.count, 0) AS friends,
               CASE WHEN coalesce(g.wecom_userid, '') = '' THEN 'NO_ACCOUNT' WHEN c.count IS NULL THEN 'NO_FRIEND'
                    WHEN c.spent = c.count THEN 'OFTEN' ELSE '' END AS reason
        FROM working w
        JOIN guides_guide g ON g.id = w.guide_id
        LEFT JOIN counted c ON c.guide_id = w.guide_id
        WHERE %(stores)s::bigint[] IS NULL OR w.store_id = ANY(%(stores)s::bigint[])
    ), written AS (
        INSERT INTO campaigns_momentpost (moment_id, corp_id, own_id, guide_id, userid, store_id, state, reason, kind, text, at,
                                          audience_count, like_count, comment_count)
        SELECT %(moment)s, %(corp)s, '', guide_id, userid, store_id, CASE reason WHEN '' THEN 'PLANNED' ELSE 'EXCLUDED' END, reason,
               %(kind)s, '', %(due)s, 0, 0, 0 FROM judged ORDER BY guide_id
    ), reached AS MATERIALIZED (
        SELECT DISTINCT f.contact_id FROM friends f JOIN judged j ON j.guide_id = f.guide_id AND j.reason = ''
    )
    SELECT count(*) FILTER (WHERE reason = ''), coalesce(sum(friends) FILTER (WHERE reason = ''), 0), (SELECT count(*) FROM reached),
           (SELECT count(*) FROM reached JOIN spent USING (contact_id))
    FROM judged
"""


class BadMoment(RuleViolation):
    """``extra["fields"]`` names each field with its sentence."""

    code = "moment_not_possible"


class WrongState(RuleViolation):
    code = "moment_wrong_state"


# --- pure ---


def problems(text: str, materials: Sequence[Content]) -> dict[str, str]:
    """``{field: sentence}`` of what WeCom would refuse."""
    found: dict[str, str] = {}
    size = len(text.encode())
    if not text.strip() and not materials:
        found["text"] = _("The moment has neither text nor picture.")
    if len(text) > wecom.TEXT_CHARS or size > wecom.TEXT_BYTES:
        found["text"] = _("%(chars)s characters, %(size)s bytes; WeCom takes at most 2,000 characters and 4,000 bytes.") % {
            "chars": f"{len(text):,}", "size": f"{size:,}",
        }  # fmt: skip
    kinds = {row.kind for row in materials}
    if kinds - set(KINDS):
        found["materials"] = _("A moment shows pictures, a video or a link; nothing else.")
    elif len(kinds) > 1:
        found["materials"] = _("Pictures, a video and a link do not go together in one moment.")
    elif kinds and len(materials) > (most := wecom.MOST_IMAGES if kinds == {Content.Kind.IMAGE} else 1):
        found["materials"] = _("%(count)s are chosen; WeCom takes at most %(most)s of this kind in one moment.") % {
            "count": len(materials), "most": most,
        }  # fmt: skip
    return found


def month_of(at: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The calendar month of Shanghai: its first moment, and the first after it."""
    first = timezone.localtime(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first, (first + dt.timedelta(days=32)).replace(day=1)


# --- operations ---


@transaction.atomic
def draft(
    *, corp: Corp, name: str, text: str, due_at: dt.datetime, actor: Any, materials: Sequence[Content] = (), region: Region | None = None,
    entity: LegalEntity | None = None, store: Store | None = None,
) -> Moment:  # fmt: skip
    """A moment that is planned at once by a job. Raises BadMoment."""
    versions = content.current_of({row.pk: row for row in materials})
    found = problems(text, materials)
    for row in materials:
        if row.pk not in versions or not content.is_usable(row, due_at):
            said = _("“%(name)s” is not in use any more when this is sent.") % {"name": row}
            found.setdefault("materials", said)
        elif row.kind == Content.Kind.LINK and versions[row.pk].file_id is None:
            said = _("“%(name)s” has no cover; WeCom shows no link without one in a moment.") % {"name": row}
            found.setdefault("materials", said)
    if found:
        raise BadMoment(next(iter(found.values())), extra={"fields": found})
    brand = Brand.objects.order_by("pk")[:1].get()
    kind = KINDS[Content.Kind(materials[0].kind)] if materials else ""
    moment = Moment.objects.create(
        brand=brand, corp=corp, name=name, text=text.strip(), kind=kind, due_at=due_at, requested_by=actor, region=region, entity=entity,
        store=store,
    )  # fmt: skip
    MomentMaterial.objects.bulk_create(
        MomentMaterial(moment=moment, position=number, version=versions[row.pk]) for number, row in enumerate(materials)
    )
    audit.record(actor=actor, verb="moment.draft", target=moment)
    moment.job = jobs.enqueue(PLAN, actor=actor, params={"moment": moment.pk})
    moment.save(update_fields=["job"])
    return moment


@transaction.atomic
def plan(*, moment_id: int, now: dt.datetime) -> Moment:
    """Decide on every guide of the part, in one transaction: cut short, nothing has happened. Planned already: nothing."""
    moment = Moment.objects.select_for_update(of=("self",)).get(pk=moment_id)
    if moment.status != Status.PLANNING:
        return moment
    values = {
        **_month_values(moment),
        "now": now,
        "stores": _stores_of(moment),
        "kind": moment.kind,
    }
    with connection.cursor() as cursor:
        cursor.execute(POSTS, values)
        moment.guide_count, moment.friend_count, moment.customer_count, moment.spent_count = cursor.fetchone()
    moment.status, moment.planned_at = Status.PLANNED, now
    moment.save()
    audit.record(actor=None, verb="moment.plan", target=moment, guides=moment.guide_count)
    return moment


def work_plan(progress: jobs.Progress) -> dict[str, Any]:
    moment = plan(moment_id=progress.job.params["moment"], now=timezone.now())
    return {"guides": moment.guide_count}


@transaction.atomic
def submit(*, moment: Moment, actor: Any, now: dt.datetime) -> Moment:
    """Have it posted; where FOUR_EYES_FROM friends may see it somebody else must agree first."""
    row = locked(moment.pk, Status.PLANNED)
    if not row.guide_count:
        raise BadMoment(_("No guide of this part may publish it; see the reasons."))
    if row.guide_count > wecom.MOST_SENDERS:
        raise BadMoment(_("WeCom takes at most 100,000 guides for one moment. Choose a smaller part of the company."))
    audit.record(actor=actor, verb="moment.submit", target=row, guides=row.guide_count)
    row.requested_by = actor
    row.status = Status.ASKED if row.friend_count >= FOUR_EYES_FROM else Status.MAKING
    row.save(update_fields=["status", "requested_by"])
    return row


@transaction.atomic
def approve(*, moment: Moment, actor: Any, now: dt.datetime) -> Moment:
    row = locked(moment.pk, Status.ASKED)
    if actor is None or row.requested_by_id == actor.pk:
        raise BadMoment(_("Somebody else than the one who asked has to approve."))
    row.approved_by, row.status = actor, Status.MAKING
    row.save(update_fields=["approved_by", "status"])
    audit.record(actor=actor, verb="moment.approve", target=row, guides=row.guide_count)
    return row


@transaction.atomic
def cancel(*, moment: Moment, actor: Any, now: dt.datetime) -> Moment:
    """Stop it: what is not published is taken back from all guides by one message to WeCom; what is published stays."""
    row = locked(moment.pk, Status.PLANNING, Status.PLANNED, Status.ASKED, Status.MAKING, Status.OUT)
    audit.record(actor=actor, verb="moment.cancel", target=row)
    row.status, row.ended_at = Status.CANCELLED, now
    row.save(update_fields=["status", "ended_at"])
    if row.moment_id:
        take_back(row, now=now)
    elif row.handed_at is None:
        leave(row)
    # else it is on its way: not asked for any more, or taken back as soon as WeCom names it (``handing``, ``reading``)
    if row.job is not None:
        jobs.cancel(job=row.job, actor=actor)
    return row


def take_back(moment: Moment, *, now: dt.datetime) -> None:
    """Have WeCom stop the publishing; in the caller's transaction. Asked once a day, for WeCom may have refused."""
    payload = {"moment": moment.pk, "moment_id": moment.moment_id}
    key = f"{moment.moment_id} {timezone.localdate(now)}"
    outbox.enqueue(topic=CANCEL_TOPIC, corp=moment.corp, key=key, payload=payload, now=now)


def leave(moment: Moment) -> None:
    """Who has not published it never will."""
    MomentPost.objects.filter(moment=moment, state=State.PLANNED).update(state=State.LEFT, poll_at=None)


def look_again(moment: Moment, *, now: dt.datetime) -> int:
    """Leave out who works no more, and those whose customers have all had HQ's moments of the month since; how many are left. In
    the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(LOOKED_AT_AGAIN, {**_month_values(moment), "now": now})
    return MomentPost.objects.filter(moment=moment, state=State.PLANNED).count()


LOOKED_AT_AGAIN = f"""
    WITH working AS MATERIALIZED ({WORKING}), spent AS MATERIALIZED ({SPENT}), friends AS ({FRIENDS}), counted AS ({COUNTED}),
    judged AS (
        SELECT p.id, CASE WHEN w.guide_id IS NULL THEN 'NO_WORK' WHEN c.spent = c.count THEN 'OFTEN' ELSE '' END AS reason
        FROM campaigns_momentpost p
        LEFT JOIN working w ON w.guide_id = p.guide_id
        LEFT JOIN counted c ON c.guide_id = p.guide_id
        WHERE p.moment_id = %(moment)s AND p.state = 'PLANNED'
    )
    UPDATE campaigns_momentpost p SET state = 'EXCLUDED', reason = j.reason FROM judged j WHERE p.id = j.id AND j.reason <> ''
"""


def locked(moment_id: int, *statuses: str) -> Moment:
    row: Moment = Moment.objects.select_for_update(of=("self",)).select_related("corp").get(pk=moment_id)
    if statuses and row.status not in statuses:
        raise WrongState(_("This is not possible in the present state."))
    return row


def versions_of(moment: Moment) -> list[tuple[ContentVersion, str]]:
    rows = moment.materials.select_related("version__content", "version__file").defer("version__file__content")
    return [(row.version, row.version.content.kind) for row in rows.order_by("position")]


def _month_values(moment: Moment) -> dict[str, Any]:
    first, after = month_of(moment.due_at)
    return {
        "moment": moment.pk,
        "corp": moment.corp_id,
        "due": moment.due_at,
        "month": first,
        "next_month": after,
        "most": MOST_A_MONTH,
    }


def _stores_of(moment: Moment) -> list[int] | None:
    """The stores of the part; None: all."""
    if moment.region_id is None and moment.entity_id is None and moment.store_id is None:
        return None
    stores = Store.objects.all()
    if moment.store_id:
        stores = stores.filter(pk=moment.store_id)
    if moment.entity_id:
        stores = stores.filter(entity=moment.entity_id)
    if moment.region_id:
        subtree = Region.objects.descendants(moment.region_id, include_self=True)
        stores = stores.filter(region__in=[region.pk for region in subtree])
    return list(stores.order_by("pk").values_list("pk", flat=True))
