"""Starting and ending a drive (迁移活动): every guide gets a code of her own for it, made by a job that may be killed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.friend_migration.refusals import MigrationRefused
from campaigns.models import FriendMigration, FriendMigrationGuide
from guides.contact_ways import bulk, making
from guides.models import ContactWay, Employment, Guide, WayStaff
from guides.touches import SHANGHAI
from scrm import audit, db, jobs
from scrm.jobs import Progress

KIND = "make_migration_codes"
CHUNK = 200  # guides a transaction
NAME_CHARS = 27  # WeCom's remark takes 30
Status = FriendMigration.Status


@dataclass(frozen=True, slots=True)
class Preview:
    guide_count: int  # with a WeCom account, at work now
    without_account: int
    quota_left: int


def preview(drive: FriendMigration) -> Preview:
    at_work = Guide.objects.filter(Exists(Employment.objects.filter(guide=OuterRef("pk"), ended_at=None)))
    count = _lacking(drive).count()
    left = max(0, settings.WECOM_WAY_QUOTA - bulk.quota_used(drive.corp))
    return Preview(count, at_work.count() - at_work.exclude(wecom_userid=None).exclude(wecom_userid="").count(), left)


@transaction.atomic
def start(*, drive: FriendMigration, actor: Any, now: dt.datetime) -> FriendMigration:
    """It runs, and a job makes the codes. Raises MigrationRefused."""
    (row,) = db.lock(FriendMigration.objects.filter(pk=drive.pk))
    found = preview(row)
    if row.status != Status.DRAFT:
        raise MigrationRefused(_("This drive has been started already."), code="migration_started")
    if row.ends_on < now.astimezone(SHANGHAI).date():
        raise MigrationRefused(_("Its last day is over; set a later one."), code="migration_over")
    if not found.guide_count:
        raise MigrationRefused(
            _("No guide at work has a WeCom account; match the directory first."), code="migration_nobody"
        )
    if found.guide_count > found.quota_left:
        raise MigrationRefused(
            _("%(wanted)s codes are wanted and %(left)s are left of WeCom's quota. Retire some first.")
            % {"wanted": found.guide_count, "left": found.quota_left},
            code="migration_quota",
        )
    row.status, row.started_at = Status.RUNNING, now
    try:
        with transaction.atomic():
            row.save(update_fields=["status", "started_at"])
    except IntegrityError:
        raise MigrationRefused(_("Another drive runs; end it first."), code="migration_runs") from None
    jobs.enqueue(KIND, actor=actor, params={"drive": row.pk}, key=f"{KIND} {row.pk}")
    audit.record(actor=actor, verb="migration.start", target=row, guides=found.guide_count)
    return row


@transaction.atomic
def end(*, drive: FriendMigration, actor: Any, now: dt.datetime) -> FriendMigration:
    """Nobody is listed any more; the codes go on working, for they are in people's chats. Raises MigrationRefused."""
    (row,) = db.lock(FriendMigration.objects.filter(pk=drive.pk))
    if row.status != Status.RUNNING:
        raise MigrationRefused(_("Only a drive that runs can be ended."), code="migration_not_running")
    row.status, row.ended_at = Status.ENDED, now
    row.save(update_fields=["status", "ended_at"])
    audit.record(actor=actor, verb="migration.end", target=row)
    return row


def running(brand_code: str = "MAIN") -> FriendMigration | None:
    return FriendMigration.objects.filter(brand__code=brand_code, status=Status.RUNNING).first()


def work(progress: Progress) -> dict[str, Any]:
    """Killed and run again, it goes on with the guides that are not in it yet."""
    drive = FriendMigration.objects.get(pk=progress.job.params["drive"])
    lacking = _lacking(drive)
    progress.stage("ways", lacking.count())
    made = 0
    while guides := list(lacking.order_by("pk")[:CHUNK]):
        made += _make(drive, guides, progress.job.requested_by, timezone.now())
        progress.done(made)
    return {"ways": made}


@transaction.atomic(durable=True)
def _make(drive: FriendMigration, guides: Sequence[Guide], actor: Any, now: dt.datetime) -> int:
    at_work = Employment.objects.filter(guide__in=guides, ended_at=None).order_by("guide", "started_at")
    stores = dict(at_work.values_list("guide_id", "store_id"))
    keys = db.next_ids(ContactWay, len(guides))
    ways = [
        ContactWay(
            pk=key, corp=drive.corp, purpose=ContactWay.Purpose.CAMPAIGN, name=_("migration") + guide.name[: NAME_CHARS - 1],
            state=making.state_of(key), is_multi=True, skip_verify=True, status=ContactWay.Status.CREATING, attempt=1,
            created_by=actor, store_id=stores[guide.pk],
        )
        for key, guide in zip(keys, guides, strict=True)
    ]  # fmt: skip
    ContactWay.objects.bulk_create(ways)
    WayStaff.objects.bulk_create(WayStaff(way=way, guide=guide) for way, guide in zip(ways, guides, strict=True))
    FriendMigrationGuide.objects.bulk_create(
        FriendMigrationGuide(migration=drive, guide=guide, store_id=stores[guide.pk], way=way)
        for way, guide in zip(ways, guides, strict=True)
    )
    for way, guide in zip(ways, guides, strict=True):
        making.enqueue_create(way, actor=actor, now=now, userids=[(guide.wecom_userid or "").lower()])
    return len(ways)


def _lacking(drive: FriendMigration) -> QuerySet[Guide]:
    """Who works now, has an account and is not in it yet."""
    at_work = Exists(Employment.objects.filter(guide=OuterRef("pk"), ended_at=None))
    is_in = Exists(FriendMigrationGuide.objects.filter(migration=drive, guide=OuterRef("pk")))
    return Guide.objects.filter(at_work, ~is_in).exclude(wecom_userid=None).exclude(wecom_userid="")
