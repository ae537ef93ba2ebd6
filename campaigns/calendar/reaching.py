"""What an entry brings its audience: the audience is frozen two days before, then the mass send is drafted, coupons wait for a
second person, and the SOP begins with the day. Each step is taken once per entry and day, and again only when the wishes
change before anything has begun.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from campaigns import sends, sops
from campaigns.calendar import rules
from campaigns.models import CalendarCompiled, CalendarDay, CalendarStoreDay, Send
from members import audiences
from members.audiences import BadRule
from members.coupons import batches
from members.models import AudienceSnapshot
from scrm import audit, db, org
from scrm.errors import RuleViolation
from scrm.models import Job

AHEAD = dt.timedelta(days=2)
Coupons, Ready = CalendarDay.Coupons, AudienceSnapshot.Status.READY
OPEN_SEND = (Send.Status.PLANNING, Send.Status.PLANNED, Send.Status.ASKED)
STORES = """
    SELECT count(*) FILTER (WHERE status = 'PLANNED'), count(*) FILTER (WHERE status <> 'PLANNED'),
           COALESCE(md5(string_agg(store_id::text, ',' ORDER BY store_id) FILTER (WHERE status = 'PLANNED')), '')
    FROM campaigns_calendarstoreday WHERE day = %(day)s AND entry_id = %(entry)s
"""


class NotPossible(RuleViolation):
    code = "calendar_not_possible"


def prepare(*, now: dt.datetime) -> int:
    """Take every step that is due; how many days were looked at."""
    today = now.astimezone(rules.SHANGHAI).date()
    is_wanted = Q(entry__audience__isnull=False) | ~Q(digest="")
    rows = CalendarDay.objects.filter(is_wanted, day__gte=today, day__lte=today + AHEAD).order_by("day", "pk")
    compiled = _compiled(today)
    rows = rows.select_related("entry__audience", "entry__content", "entry__corp", "entry__sop", "snapshot", "send")
    found = [row for row in rows if (row.entry.brand_id, row.day) in compiled]
    for row in found:
        try:
            _step(row, now)
        except (RuleViolation, BadRule) as error:
            CalendarDay.objects.filter(pk=row.pk).update(problem=str(getattr(error, "message", error))[:300])
    return len(found)


def _compiled(today: dt.date) -> set[tuple[int, dt.date]]:
    """Brands and days whose stores stand."""
    rows = CalendarCompiled.objects.filter(day__gte=today, day__lte=today + AHEAD, compiled_at__isnull=False)
    is_busy = Q(job__status__in=(Job.Status.QUEUED, Job.Status.RUNNING))
    return set(rows.exclude(is_busy).values_list("brand_id", "day"))


def _step(row: CalendarDay, now: dt.datetime) -> None:
    wanted = "" if row.is_cancelled else wanted_of(row)
    if row.digest != wanted and row.starts_at > now and not has_begun(row):
        _start_anew(row, wanted, now)
    if not row.digest or row.is_cancelled:
        return
    if row.snapshot is None:
        if row.starts_at <= now:
            return  # an entry of today, written too late for an audience
        _freeze(row, now)
    if row.snapshot is not None and row.snapshot.status == Ready:
        _bring(row, now)


def has_begun(row: CalendarDay) -> bool:
    """What customers may have had something of stays as it is."""
    is_sent = row.send is not None and row.send.status not in (*OPEN_SEND, Send.Status.CANCELLED)
    return is_sent or row.coupons == Coupons.GIVEN or row.sop_started_at is not None


def wanted_of(row: CalendarDay) -> str:
    """A digest of all that its send, coupons and SOP are made from; empty when there is nothing to bring."""
    entry = row.entry
    if entry.audience is None or not (entry.corp_id or entry.coupon_template_id or entry.sop_id):
        return ""
    said = [
        entry.title, entry.text, entry.content_id, entry.content.version_no if entry.content else 0, entry.corp_id,
        entry.coupon_template_id, entry.sop_id, entry.holdout_percent, entry.audience_id, entry.audience.version_no,
        row.starts_at.isoformat(), *_stores(row),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:32]


def _stores(row: CalendarDay) -> tuple[Any, ...]:
    ((planned, others, digest),) = db.fetch(STORES, {"day": row.day, "entry": row.entry_id})
    return planned, others, digest


def scope_of(row: CalendarDay) -> org.Scope:
    """The stores in which the entry takes place that day; everybody where it is for everybody and no store leaves it out."""
    entry, (_planned, others, _digest) = row.entry, _stores(row)
    if not (entry.region_id or entry.entity_id or entry.store_id or entry.ownership or others):
        return org.EVERYTHING
    planned = CalendarStoreDay.objects.filter(day=row.day, entry=row.entry_id, status=CalendarStoreDay.Status.PLANNED)
    return org.Scope(frozenset(planned.values_list("store_id", flat=True)))


def _start_anew(row: CalendarDay, wanted: str, now: dt.datetime) -> None:
    if row.send is not None and row.send.status in OPEN_SEND:
        sends.cancel(send=row.send, actor=None, now=now)
    row.digest, row.snapshot, row.send, row.coupons, row.problem = wanted, None, None, Coupons.NONE, ""
    row.asked_by = row.asked_at = row.approved_by = None
    row.save(update_fields=["digest", "snapshot", "send", "coupons", "problem", "asked_by", "asked_at", "approved_by"])


def _freeze(row: CalendarDay, now: dt.datetime) -> None:
    assert row.entry.audience is not None
    row.snapshot = audiences.freeze(
        audience=row.entry.audience, actor=row.entry.changed_by, now=now, scope=scope_of(row)
    )
    row.save(update_fields=["snapshot"])


def _bring(row: CalendarDay, now: dt.datetime) -> None:
    entry = row.entry
    if entry.corp_id and row.send is None and row.starts_at > now:
        _draft(row, now)
    if entry.coupon_template_id and row.coupons == Coupons.NONE and row.starts_at > now:
        row.coupons, row.asked_by, row.asked_at = Coupons.ASKED, entry.changed_by, now
        row.save(update_fields=["coupons", "asked_by", "asked_at"])
    if row.coupons == Coupons.AGREED and row.starts_at <= now:
        _give(row.pk, now)
    if entry.sop_id and row.sop_started_at is None and row.starts_at <= now:
        _start_sop(row, now)


@transaction.atomic
def _draft(row: CalendarDay, now: dt.datetime) -> None:
    """In the transaction in which it is noted: a kill between the two would draft it twice."""
    (locked,) = db.lock(CalendarDay.objects.filter(pk=row.pk))
    if locked.send_id is not None:
        return
    entry = row.entry
    assert entry.corp is not None
    row.send = sends.draft(
        corp=entry.corp, name=f"{entry.title} {row.day:%m-%d}", text=entry.text, due_at=row.starts_at, actor=entry.changed_by,
        snapshot=row.snapshot, materials=[entry.content] if entry.content else [], holdout_bp=entry.holdout_percent * 100,
    )  # fmt: skip
    row.save(update_fields=["send"])


@transaction.atomic
def _start_sop(row: CalendarDay, now: dt.datetime) -> None:
    (locked,) = db.lock(CalendarDay.objects.filter(pk=row.pk))
    if locked.sop_started_at is not None:
        return
    assert row.entry.sop is not None and row.snapshot_id is not None
    row.sop_started_at = now
    row.sop_count = sops.enrol_snapshot(
        sop=row.entry.sop, snapshot_id=row.snapshot_id, key=f"{sops.CALENDAR}{row.pk}", at=row.starts_at, now=now
    )
    row.save(update_fields=["sop_started_at", "sop_count"])


@transaction.atomic
def approve_coupons(*, day: CalendarDay, actor: Any, now: dt.datetime) -> CalendarDay:
    """Agree to the coupons of a day. Raises NotPossible, and CouponRefused where number or budget do not suffice."""
    (row,) = db.lock(CalendarDay.objects.filter(pk=day.pk).select_related("entry__coupon_template", "snapshot"))
    if row.coupons != Coupons.ASKED or row.is_cancelled:
        raise NotPossible(_("No coupons of this day wait for an approval."))
    if actor is None or row.asked_by_id == actor.pk:
        raise NotPossible(_("Somebody else than who wrote the calendar entry has to approve its coupons."))
    batches.require(preview_coupons(row))
    row.coupons, row.approved_by = Coupons.AGREED, actor
    row.save(update_fields=["coupons", "approved_by"])
    audit.record(actor=actor, verb="calendar.coupons", target=row, members=row.snapshot.member_count)
    return row


def preview_coupons(row: CalendarDay) -> batches.Preview:
    assert row.entry.coupon_template is not None
    return batches.preview(template=row.entry.coupon_template, source="AUDIENCE", value=row.snapshot_id)


@transaction.atomic
def _give(pk: int, now: dt.datetime) -> None:
    (row,) = db.lock(CalendarDay.objects.filter(pk=pk).select_related("entry__coupon_template", "approved_by"))
    if row.coupons != Coupons.AGREED:
        return
    row.coupons = Coupons.GIVEN
    row.coupon_batch = batches.start(
        template=row.entry.coupon_template, source="AUDIENCE", value=row.snapshot_id, key=f"calendar {row.pk}",
        actor=row.approved_by, now=now,
    )  # fmt: skip
    row.save(update_fields=["coupons", "coupon_batch"])


def waits_q(user: Any) -> Q:
    """Coupons that wait for this person."""
    return Q(coupons=Coupons.ASKED, is_cancelled=False) & ~Q(asked_by=user)
