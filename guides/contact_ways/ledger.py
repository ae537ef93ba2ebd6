"""The ledger of codes (活码台账): what exists at WeCom against what we know. Codes show up nowhere else.

Codes of groups are not even listed there: those of ours are asked for one by one; those whose making lost its answer, and
those that others made, cannot be compared, which the report says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from guides.contact_ways import making, topics
from guides.contact_ways.making import Status, WrongState
from guides.models import ContactWay, StrayWay
from scrm import audit, db, jobs
from scrm.jobs import Progress
from scrm.models import Corp, WecomApp
from scrm.wecom import contact_ways as endpoint
from scrm.wecom import corps, errors, join_ways, outbox

KIND = "compare_ways"
FIRST = dt.datetime(2021, 7, 10, tzinfo=dt.UTC)  # WeCom lists none that were made before
WINDOW = dt.timedelta(days=90)
READ_AT_ONCE = 2_000  # strays read and missing ones asked for in one run; the rest comes the next day
SETTLED = dt.timedelta(hours=1)  # a code made within it may not be listed yet


def start(*, now: dt.datetime) -> int:
    """One comparison a day and corp; how many corps."""
    day = now.astimezone(making.SHANGHAI).date()
    found = [app.corp for app in WecomApp.objects.filter(kind=WecomApp.Kind.SELF_BUILT).select_related("corp")]
    for corp in {corp.pk: corp for corp in found}.values():
        jobs.enqueue(KIND, actor=None, params={"corp": corp.pk}, key=f"{KIND} {corp.pk} {day}")
    return len(found)


def work(progress: Progress) -> dict[str, Any]:
    corp, now = Corp.objects.get(pk=progress.job.params["corp"]), timezone.now()
    app = corps.app_of(corp)
    progress.stage("list_ways")
    listed: set[str] = set()
    for since, until in windows(now):
        listed.update(endpoint.ids(app, since=since, until=until))
        progress.done(len(listed))
    known = dict(ContactWay.objects.filter(corp=corp, config_id__isnull=False).values_list("config_id", "status"))
    alive = {config_id for config_id, status in known.items() if config_id and status != Status.RETIRED}
    progress.stage("check")
    strays = _strays(app, corp, sorted(listed - alive), now)
    missing = _missing(app, corp, listed, now)
    back = ContactWay.objects.filter(corp=corp, status=Status.LIVE, config_id__in=listed, missing_at__isnull=False)
    returned = back.update(missing_at=None)
    progress.stage("group_ways")
    groups_gone = join_ways.compare(app, most=READ_AT_ONCE)
    return {
        "listed": len(listed), "strays": strays, "missing": missing, "returned": returned,
        "group_ways": join_ways.used(corp), "group_ways_gone": groups_gone,
        "group_ways_not_comparable": join_ways.lost(corp, now=now),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class NotComparable:
    """Of all corps: codes of groups, which WeCom lists nowhere, and those of them that may exist without an id."""

    group_ways: int
    lost: int


def not_comparable(*, now: dt.datetime) -> NotComparable:
    found = list(Corp.objects.all())
    return NotComparable(sum(map(join_ways.used, found)), sum(join_ways.lost(corp, now=now) for corp in found))


def windows(now: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The time since WeCom lists codes, in pieces that it lists at once; the newest first."""
    until = now + dt.timedelta(minutes=10)
    while until > FIRST:
        since = max(FIRST, until - WINDOW)
        yield since, until
        until = since


@transaction.atomic
def adopt(*, stray: StrayWay, actor: Any, now: dt.datetime) -> ContactWay:
    """The row whose state the stray one carries takes it: its making was lost on the way. Raises WrongState."""
    (stray,) = db.lock(StrayWay.objects.filter(pk=stray.pk))
    rows = db.lock(ContactWay.objects.select_related("corp").filter(corp=stray.corp_id, state=stray.state))
    if stray.status != StrayWay.Status.OPEN or not rows:
        raise WrongState(_("No row of ours carries this state; it can only be deleted."))
    (way,) = rows
    if way.config_id is not None or way.status == Status.RETIRED:
        raise WrongState(_("The row of this state has another code already; this one can only be deleted."))
    way.config_id, way.qr_code, way.live_userids = stray.config_id, stray.qr_code, stray.userids
    way.status, way.live_at, way.error_code, way.error_text, way.failed_at = Status.LIVE, now, "", "", None
    way.save()
    making.enqueue_update(way, actor=actor, now=now)
    stray.status, stray.way = StrayWay.Status.ADOPTED, way
    stray.save()
    audit.record(actor=actor, verb="way.adopt", target=way, config_id=stray.config_id)
    return way


@transaction.atomic
def delete(*, stray: StrayWay, actor: Any, now: dt.datetime, reason: str) -> None:
    """Have WeCom delete it. Raises WrongState."""
    (stray,) = db.lock(StrayWay.objects.select_related("corp").filter(pk=stray.pk))
    if stray.status != StrayWay.Status.OPEN:
        raise WrongState(_("This is not possible in the present state."))
    stray.status, stray.error_text, stray.attempt = StrayWay.Status.DELETING, "", stray.attempt + 1
    stray.save()
    outbox.enqueue(
        topic=topics.DELETE_STRAY, corp=stray.corp, key=f"{stray.pk}/{stray.attempt}",
        payload={"stray": stray.pk, "config_id": stray.config_id}, actor=actor, now=now,
    )  # fmt: skip
    audit.record(actor=actor, verb="way.delete_stray", target=stray, reason=reason)


def _strays(app: WecomApp, corp: Corp, unknown: list[str], now: dt.datetime) -> int:
    """Write down what nobody owns, and close what is gone; how many are open."""
    rows = StrayWay.objects.filter(corp=corp)
    written = set(rows.filter(config_id__in=unknown).values_list("config_id", flat=True))
    for config_id in [key for key in unknown if key not in written][:READ_AT_ONCE]:
        try:
            found = endpoint.get(app, config_id)
        except errors.NotFound:
            continue
        with transaction.atomic():
            # made by us a moment ago, and settled since the list was read?
            if ContactWay.objects.filter(config_id=config_id).exclude(status=Status.RETIRED).exists():
                continue
            StrayWay.objects.get_or_create(
                config_id=config_id,
                defaults={
                    "corp": corp, "state": found.state, "remark": found.remark, "qr_code": found.qr_code,
                    "userids": list(found.userids), "found_at": now,
                    "way": ContactWay.objects.filter(corp=corp, state=found.state).first() if found.state else None,
                },
            )  # fmt: skip
    stray = StrayWay.Status
    rows.filter(status=stray.OPEN).exclude(config_id__in=unknown).update(status=stray.GONE)
    rows.filter(status=stray.GONE, config_id__in=unknown).update(status=stray.OPEN)
    return rows.filter(status=stray.OPEN).count()


def _missing(app: WecomApp, corp: Corp, listed: set[str], now: dt.datetime) -> int:
    """Codes of ours that WeCom no longer has; each is asked for before it is called broken. How many are."""
    live = ContactWay.objects.filter(corp=corp, status=Status.LIVE, missing_at=None, live_at__lt=now - SETTLED)
    unlisted = [
        (pk, config_id)
        for pk, config_id in live.order_by("pk").values_list("pk", "config_id").iterator()
        if config_id not in listed
    ]
    for pk, config_id in unlisted[:READ_AT_ONCE]:
        try:
            endpoint.get(app, config_id or "")
        except errors.NotFound:
            ContactWay.objects.filter(pk=pk, status=Status.LIVE).update(missing_at=now)
    return ContactWay.objects.filter(corp=corp, status=Status.LIVE, missing_at__isnull=False).count()
