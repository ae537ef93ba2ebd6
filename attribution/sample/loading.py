"""The sample company into the database: through the imports, in the order in which anybody's data comes.

It is one job. Killed half-way and run again it takes the same seed, day and moment and ends in the same rows.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import decisions, figures, ledger
from attribution.sample import audiences, content, coupons, disputes, files, logins, people, planning, rewards, wecom
from attribution.sample import company as companies
from attribution.sample.goods import CATEGORIES
from attribution.sample.places import REGIONS
from guides import assignments, delegations, staff_import
from guides.models import Binding, Delegation, Guide
from members import facts, legacy_import, member_value, purchase_import
from members.models import Category, Identity, Member
from scrm import audit, imports, jobs, org_import
from scrm.errors import RuleViolation
from scrm.models import Brand, Job, Region, Store

KIND = "make_sample"
BRAND_NAME = "果屿鲜果"
UNNAMED = "本品牌"  # what a fresh database calls its brand
MOVES_AT_ONCE = 100

Show = Callable[[str, int, int | None], None]


class DatabaseNotEmpty(RuleViolation):
    """There are stores already: a sample would stand among real data."""

    code = "database_not_empty"


class ImportFailed(RuleViolation):
    code = "sample_import_failed"


def is_wanted() -> bool:
    """Whether the database holds nothing yet, or a sample whose loading was cut short."""
    return not Store.objects.exists() or Job.objects.filter(kind=KIND, status=Job.Status.RUNNING).exists()


def load(*, seed: int, today: dt.date, now: dt.datetime, show: Show | None = None, **size: int) -> Job:
    """Load the sample, or what a killed run has left to do. Raises DatabaseNotEmpty, ImportFailed.

    ``size`` makes it smaller for tests: ``members``, ``orders``.
    """
    params = {"seed": seed, "today": today.isoformat(), "until": now.isoformat(), "size": size}
    return jobs.run(_job(params).pk, show=show)


@transaction.atomic
def _job(params: dict[str, Any]) -> Job:
    unfinished = Job.objects.filter(kind=KIND, status=Job.Status.RUNNING).first()
    if unfinished is not None:
        return unfinished
    if Store.objects.exists():
        raise DatabaseNotEmpty(_("The database is not empty. The sample company is only loaded into an empty one."))
    job = Job.objects.create(kind=KIND, params=params, status=Job.Status.RUNNING)
    audit.record(actor=None, verb="job.start", target=job, kind=KIND)
    return job


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``make_sample``."""
    params = progress.job.params
    until = dt.datetime.fromisoformat(params["until"])
    progress.stage("generate")
    whole = companies.make(params["seed"], dt.date.fromisoformat(params["today"]), **params["size"])
    company = companies.until(whole, until)
    folder = Path(settings.SCRM_VAR) / "sample"
    files.write(company, folder)
    summary = _load(company, folder, until, progress)
    shutil.rmtree(folder, ignore_errors=True)
    return summary


def counts(job: Job) -> dict[str, int]:
    """Rows taken, by the file that brought them."""
    return {name: said["good"] for name, said in job.summary.items() if isinstance(said, dict) and "good" in said}


def _load(company: companies.Company, folder: Path, until: dt.datetime, progress: jobs.Progress) -> dict[str, Any]:
    done: dict[str, Any] = {}

    def take(kind: str, name: str, **options: Any) -> None:
        done[name] = _import(kind, folder / name, options, progress)

    take(org_import.KIND, files.STORES)
    _name_what_lists_do_not()
    take(staff_import.KIND, files.GUIDES)
    take(legacy_import.KIND, files.MEMBERS, create_tiers=True)
    wecom.give_unionids()
    rewards.programme(until)
    progress.stage("bind", len(company.rebindings))
    _move(company, progress, until)
    take(purchase_import.ORDERS, files.ORDERS, attribute=False)
    take(purchase_import.REFUNDS, files.REFUNDS, attribute=False)
    progress.stage("decide", len(company.lines))
    done["decided"] = decisions.decide_open(progress=progress.done)
    decisions.finalise(now=until)
    while ledger.vest(now=until):  # what is older than the return window is due
        pass
    progress.stage("figures")
    figures.refresh(now=timezone.now())
    content.load(now=until)
    progress.stage("facts")
    facts.refresh_all(now=timezone.now())
    member_value.cut(now=timezone.now())
    audiences.load(now=timezone.now())
    planning.load(now=until)
    if not settings.PRODUCTION:
        logins.create()
        done["disputes"] = disputes.open_some(until)
        done["coupons"] = coupons.load(until)
    return done


def _import(kind: str, path: Path, options: dict[str, Any], progress: jobs.Progress) -> dict[str, Any]:
    """One file, as a job of its own; the sample has no broken rows."""
    show = progress.show
    named = (lambda stage, done, total: show(f"{path.stem}: {stage}", done, total)) if show else None
    job = jobs.run(imports.start(kind=kind, path=str(path), options=options).pk, show=named)
    if job.status != Job.Status.DONE or job.summary.get("bad"):
        raise ImportFailed(_("The sample's file %(name)s was not taken as a whole.") % {"name": path.name})
    return {name: job.summary[name] for name in ("rows", "good") if name in job.summary}


@transaction.atomic
def _name_what_lists_do_not() -> None:
    """The region tree, the categories' names and the brand: what HQ edits in the console."""
    regions = {region.code: region for region in Region.objects.filter(code__startswith="DEMO-")}
    for code, name, parent_code in REGIONS:
        region = regions.get(code)
        if region is None:
            regions[code] = Region.objects.create(code=code, name=name, parent=regions.get(parent_code or ""))
        elif parent_code and region.parent_id != regions[parent_code].pk:
            Region.objects.filter(pk=region.pk).update(parent=regions[parent_code])
    Category.objects.bulk_create([Category(code=code, name=name) for code, name in CATEGORIES], ignore_conflicts=True)
    Brand.objects.filter(code="MAIN", name=UNNAMED).update(name=BRAND_NAME)


def _move(company: companies.Company, progress: jobs.Progress, until: dt.datetime) -> None:
    """Customers who changed their guide, and guides on leave."""
    guides = {guide.code: guide for guide in Guide.objects.filter(code__startswith="DEMO-")}
    cards = [move.card_no for move in company.rebindings]
    known = Identity.objects.filter(kind=Identity.Kind.CARD, value__in=cards).values_list("value", "member_id")
    members = Member.objects.in_bulk([member_id for _card, member_id in known])
    ids = dict(known)
    for start in range(0, len(company.rebindings), MOVES_AT_ONCE):
        with transaction.atomic():
            for move in company.rebindings[start : start + MOVES_AT_ONCE]:
                _assign(members[ids[move.card_no]], guides[move.guide_code], move, until)
        progress.done(start)
    for leave in company.leaves:
        guide = guides[leave.guide_code]
        if not Delegation.objects.filter(guide=guide, started_at=leave.started_at).exists():
            delegations.delegate(
                guide=guide, to=guides[leave.delegate_code], started_at=leave.started_at, ended_at=leave.ended_at,
                delegate_bp=leave.delegate_bp, actor=None, reason="",
            )  # fmt: skip


def _assign(member: Member, guide: Guide, move: people.Rebinding, until: dt.datetime) -> None:
    current = Binding.objects.filter(member=member, ended_at=None).first()
    if current is None or current.started_at < move.at:  # else a killed run has been here
        assignments.assign(
            member=member,
            guide=guide,
            expected=current,
            at=move.at,
            now=until,
            actor=None,
            reason="",
            source=move.source,
        )
