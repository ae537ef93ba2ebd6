"""Drafts, publication and stopping of SOPs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.models import GroupRun, Sop, SopRun, SopStep, SopVersion
from campaigns.sops import handed, rules, texts
from guides import actions
from guides.models import Action
from scrm import audit, db
from scrm.errors import RuleViolation

FAULTS = {
    "no_steps": gettext_lazy("The version has no steps."),
    "no_text": gettext_lazy("Step %(step)s is a message without a text."),
    "no_fallback": gettext_lazy("Step %(step)s has a script; write also what is said where it cannot be filled."),
    "no_coupon": gettext_lazy("Step %(step)s gives a coupon; choose which."),
    "not_in_groups": gettext_lazy("Step %(step)s is for customers; in an SOP of groups the owner posts in the group."),
    "only_in_groups": gettext_lazy(
        "Step %(step)s is a post in a group; it belongs into an SOP that begins with a group made."
    ),
    "no_tag": gettext_lazy("Step %(step)s needs a tag."),
    "no_such_step": gettext_lazy("Step %(step)s leads to a step that does not exist."),
    "circle": gettext_lazy("Step %(step)s leads back to itself."),
    "no_notice": gettext_lazy("Step %(step)s: write the notice that the owner copies."),
    "never_reached": gettext_lazy("Nobody ever comes to step %(step)s."),
}
WRITTEN = ("position", "kind", "title", "text", "wait_days", "at_time", "wait_minutes", "valid_hours", "minutes")
REFERRED = ("tag", "coupon", "script", "content")
LEADS = ("question", "yes_to", "next_to")
COPIED = (*WRITTEN, *(f"{name}_id" for name in REFERRED), *LEADS)
Status = SopVersion.Status


class BadSop(RuleViolation):
    code = "bad_sop"


def step_of(row: SopStep) -> rules.Step:
    return rules.Step(**{name: getattr(row, name) for name in COPIED})


def steps_of(version_ids: Iterable[int]) -> dict[int, dict[int, rules.Step]]:
    """``{version: {number: step}}``; one query."""
    found: dict[int, dict[int, rules.Step]] = {}
    for row in SopStep.objects.filter(version_id__in=version_ids):
        found.setdefault(row.version_id, {})[row.position] = step_of(row)
    return found


def problems(rows: Iterable[SopStep], *, sop: Sop, now: dt.datetime) -> list[str]:
    """What keeps a draft from being published, a sentence each."""
    rows = list(rows)
    steps, of_groups = [step_of(row) for row in rows], sop.anchor in Sop.GROUP_ANCHORS
    found = [str(FAULTS[fault.code]) % {"step": fault.step} for fault in rules.faults(steps, of_groups=of_groups)]
    for step in steps:
        found += [
            _("Step %(step)s: there is no placeholder %(found)s. Possible are %(all)s.")
            % {"step": step.position, "found": unknown, "all": " ".join(texts.possible(step.kind))}
            for unknown in texts.unknown(step.text, step.kind)
        ]
    for row in rows:
        wrong = handed.faults(row, brand_id=sop.brand_id, now=now)
        found += [_("Step %(step)s: %(problem)s") % {"step": row.position, "problem": said} for said in wrong.values()]
    return found


@transaction.atomic
def draft_from(*, sop: Sop, actor: Any) -> SopVersion:
    """A draft that begins as a copy of the version in force, or empty. Raises BadSop while there is one already."""
    db.lock(Sop.objects.filter(pk=sop.pk))
    if sop.versions.filter(status=Status.DRAFT).exists():
        raise BadSop(_("There is a draft already: edit that one."))
    last = sop.versions.order_by("-number").first()
    number = last.number + 1 if last else 1
    values = {} if last is None else {"stops_on_purchase": last.stops_on_purchase, "pause_days": last.pause_days}
    draft = SopVersion.objects.create(sop=sop, number=number, author=actor, **values)
    for step in last.steps.all() if last else ():
        SopStep.objects.create(version=draft, **{name: getattr(step, name) for name in COPIED})
    audit.record(actor=actor, verb="sop.draft", target=draft)
    return draft


@transaction.atomic
def publish(*, version: SopVersion, actor: Any, now: dt.datetime) -> None:
    """From now on events enter this version. Raises BadSop with the first thing that is wrong."""
    db.lock(Sop.objects.filter(pk=version.sop_id))
    version.refresh_from_db()
    steps = version.steps.select_related(*REFERRED)
    if version.status != Status.DRAFT:
        raise BadSop(_("Only a draft can be published."))
    found = problems(steps, sop=version.sop, now=now)
    if found:
        raise BadSop(" ".join(found))
    SopVersion.objects.filter(sop=version.sop_id, status=Status.PUBLISHED).update(status=Status.RETIRED, retired_at=now)
    version.status, version.published_at, version.published_by = Status.PUBLISHED, now, actor
    version.save(update_fields=["status", "published_at", "published_by"])
    audit.record(actor=actor, verb="sop.publish", target=version)


@transaction.atomic
def retire(*, sop: Sop, actor: Any, reason: str) -> None:
    """Nobody enters any more; who is in it goes on."""
    Sop.objects.filter(pk=sop.pk).update(is_active=False)
    audit.record(actor=actor, verb="sop.retire", target=sop, reason=reason)


@transaction.atomic
def stop(*, run: SopRun | GroupRun, actor: Any, reason: str, now: dt.datetime) -> None:
    """One customer, or one group, leaves the SOP; what a guide has not yet done is withdrawn. Raises BadSop when it has ended."""
    model, source = type(run), Action.Source.SOP if isinstance(run, SopRun) else Action.Source.GROUP_SOP
    (row,) = db.lock(model._default_manager.filter(pk=run.pk))
    if row.status != SopRun.Status.ACTIVE:
        raise BadSop(_("This run has ended already."))
    row.status, row.why, row.ended_at = SopRun.Status.STOPPED, SopRun.Why.HAND, now
    row.save(update_fields=["status", "why", "ended_at"])
    actions.withdraw(source=source, source_ids=[row.pk], now=now)
    audit.record(actor=actor, verb="sop.stop", target=row, reason=reason)
