"""One permanent code for each guide of a part of the company: looked at first, then made by a job."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from guides.contact_ways import making
from guides.contact_ways.making import BadWay, Purpose, Status
from guides.models import ContactWay, Employment, Guide, StrayWay, WayStaff
from scrm import db, jobs
from scrm.jobs import Progress
from scrm.models import Corp, Job, User
from scrm.wecom import contact_ways as endpoint
from scrm.wecom import join_ways

KIND = "make_guide_ways"
CHUNK = 200  # guides a transaction
COUNTED_SHOWN = 20


@dataclass(frozen=True)
class Preview:
    """What a bulk run would do. ``quota_left`` counts the codes that wait to be made as used."""

    guides: int
    to_make: int
    existing: int
    without_account: int
    some_without_account: tuple[str, ...]
    quota: int
    quota_used: int

    @property
    def quota_left(self) -> int:
        return max(0, self.quota - self.quota_used)

    @property
    def is_possible(self) -> bool:
        return 0 < self.to_make <= self.quota_left


def preview(*, corp: Corp, store_ids: Sequence[int] | None) -> Preview:
    """``store_ids`` None: every store. Raises nothing; three counts over the guides of the stores."""
    hired = _guides(store_ids)
    with_account = hired.exclude(wecom_userid=None).exclude(wecom_userid="")
    without = hired.filter(Q(wecom_userid=None) | Q(wecom_userid=""))
    to_make = _lacking(corp, store_ids).count()
    count, count_with = hired.count(), with_account.count()
    return Preview(
        guides=count,
        to_make=to_make,
        existing=count_with - to_make,
        without_account=count - count_with,
        some_without_account=tuple(str(guide) for guide in without.order_by("code")[:COUNTED_SHOWN]),
        quota=settings.WECOM_WAY_QUOTA,
        quota_used=quota_used(corp),
    )


def quota_used(corp: Corp) -> int:
    """Codes that exist at WeCom or are about to: ours, those that nobody owns, and those of groups, found or not."""
    ours = ContactWay.objects.filter(corp=corp, status__in=[Status.LIVE, Status.CREATING], missing_at=None).count()
    strays = StrayWay.objects.filter(corp=corp, status__in=[StrayWay.Status.OPEN, StrayWay.Status.DELETING]).count()
    return ours + strays + join_ways.used(corp)


def start(*, corp: Corp, store_ids: Sequence[int] | None, skip_verify: bool, actor: Any) -> Job:
    """The job that makes them. Raises BadWay when there is nothing to make or no quota for it."""
    found = preview(corp=corp, store_ids=store_ids)
    if not found.to_make:
        raise BadWay(_("Every guide with a WeCom account has her code already."))
    if found.to_make > found.quota_left:
        raise BadWay(
            _("%(wanted)s codes are wanted and %(left)s are left of WeCom's quota. Retire some first.")
            % {"wanted": found.to_make, "left": found.quota_left}
        )
    params = {"corp": corp.pk, "stores": None if store_ids is None else sorted(store_ids), "skip_verify": skip_verify}
    return jobs.enqueue(KIND, actor=actor, params=params)


def work(progress: Progress) -> dict[str, Any]:
    """Killed and run again, it goes on with the guides that have no code yet."""
    params, actor = progress.job.params, progress.job.requested_by
    corp = Corp.objects.get(pk=params["corp"])
    lacking = _lacking(corp, params["stores"])
    progress.stage("ways", lacking.count())
    made = 0
    while guides := list(lacking.order_by("pk")[:CHUNK]):
        made += _make(corp, guides, skip_verify=params["skip_verify"], actor=actor, now=timezone.now())
        progress.done(made)
    return {"ways": made}


@transaction.atomic(durable=True)
def _make(corp: Corp, guides: Sequence[Guide], *, skip_verify: bool, actor: User | None, now: dt.datetime) -> int:
    """Rows first; a guide who got a code meanwhile is left out by the unique constraint."""
    keys = db.next_ids(ContactWay, len(guides))
    wanted = [
        ContactWay(
            pk=key, corp=corp, purpose=Purpose.GUIDE, name=guide.name[: endpoint.REMARK_CHARS] or guide.code, guide=guide,
            state=making.state_of(key), skip_verify=skip_verify, status=Status.CREATING, attempt=1, created_by=actor,
        )
        for key, guide in zip(keys, guides, strict=True)
    ]  # fmt: skip
    ContactWay.objects.bulk_create(wanted, ignore_conflicts=True)
    ours = set(ContactWay.objects.filter(pk__in=keys).values_list("pk", flat=True))
    ways = [way for way in wanted if way.pk in ours]
    WayStaff.objects.bulk_create(WayStaff(way=way, guide=way.guide) for way in ways)
    for way in ways:
        assert way.guide is not None
        making.enqueue_create(way, actor=actor, now=now, userids=[(way.guide.wecom_userid or "").lower()])
    return len(ways)


def _guides(store_ids: Sequence[int] | None) -> QuerySet[Guide]:
    """Who works there now."""
    jobs_now = Employment.objects.filter(guide=OuterRef("pk"), ended_at=None)
    if store_ids is not None:
        jobs_now = jobs_now.filter(store_id__in=store_ids)
    return Guide.objects.filter(Exists(jobs_now))


def _lacking(corp: Corp, store_ids: Sequence[int] | None) -> QuerySet[Guide]:
    own = ContactWay.objects.filter(corp=corp, guide=OuterRef("pk"), purpose=Purpose.GUIDE).exclude(
        status=Status.RETIRED
    )
    with_account = _guides(store_ids).exclude(wecom_userid=None).exclude(wecom_userid="")
    return with_account.filter(~Exists(own))
