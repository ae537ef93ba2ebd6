"""Audiences as rows: saved with versions, frozen into snapshots."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from members.audiences import compiling, counting, rules
from members.audiences.fields import Ask
from members.audiences.rules import BadRule
from members.models import Audience, AudienceSnapshot, AudienceVersion, SnapshotMember
from scrm import audit, db, jobs, org
from scrm.errors import RuleViolation
from scrm.models import Brand

KIND = "freeze_audience"
CHUNK = 50_000  # members written in one transaction
AT_ONCE = 20_000  # a rule that means fewer members is frozen while one waits
_FROZEN = "staging.audience_{}"


class BadAudience(RuleViolation):
    code = "bad_audience"


def scope_of(audience: Audience | AudienceSnapshot) -> org.Scope:
    return org.EVERYTHING if audience.store_ids is None else org.Scope(frozenset(audience.store_ids))


@transaction.atomic
def save(
    *, brand: Brand, name: str, rule: Any, scope: org.Scope, actor: Any, now: dt.datetime, note: str = "",
    audience: Audience | None = None,
) -> Audience:  # fmt: skip
    """A new audience, or a new version of one whose rule differs. Raises BadRule and BadAudience."""
    name = name.strip()
    if not name or len(name) > 64:
        raise BadAudience(_("Give the audience a name of 1 to 64 characters."), extra={"part": "name"})
    if len(note) > 200:
        raise BadAudience(_("A note has at most 200 characters."), extra={"part": "note"})
    if audience is not None:
        (audience,) = db.lock(Audience.objects.filter(pk=audience.pk))
        scope = scope_of(audience)
    rules.read(rule, counting.business_ask(brand_id=brand.pk, scope=scope, now=now))
    if audience is not None and _asks_for_its_tag(audience, rule):
        raise BadAudience(_("This audience keeps a tag and would ask for that very tag."), extra={"part": "rule"})
    is_new = audience is None
    if audience is None:
        store_ids = None if scope.store_ids is None else sorted(scope.store_ids)
        audience = Audience(brand=brand, rule=rule, store_ids=store_ids, created_by=actor)
    changed = is_new or rules.digest(audience.rule) != rules.digest(rule)
    audience.name, audience.note, audience.rule = name, note, rule
    audience.version_no += changed and not is_new
    try:
        with transaction.atomic():
            audience.save()
    except IntegrityError:
        raise BadAudience(_("There is an audience of this name already."), extra={"part": "name"}) from None
    if changed:
        AudienceVersion.objects.create(
            audience=audience, version_no=audience.version_no, rule=rule, digest=rules.digest(rule), made_by=actor
        )
    audit.record(
        actor=actor, verb="audience.make" if is_new else "audience.change", target=audience, version=audience.version_no,
    )  # fmt: skip
    return audience


def _asks_for_its_tag(audience: Audience, rule: Any) -> bool:
    kept = set(audience.tag_rules.filter(is_active=True).values_list("tag_id", flat=True))
    return bool(kept & set(rules.values_named(rule, "tags")))


@transaction.atomic
def archive(*, audience: Audience, actor: Any) -> None:
    """It is offered no more; snapshots stay. Raises BadAudience while it keeps a tag."""
    if audience.tag_rules.filter(is_active=True).exists():
        raise BadAudience(_("This audience keeps a tag: switch that off first."))
    Audience.objects.filter(pk=audience.pk).update(is_archived=True)
    audit.record(actor=actor, verb="audience.archive", target=audience)


def freeze(*, audience: Audience, actor: Any, now: dt.datetime, scope: org.Scope | None = None) -> AudienceSnapshot:
    """A snapshot of the newest version: READY at once for a small audience, else BUILDING with a job under way.

    ``scope``: a part of the audience's own, for who may reach only that. Raises BadAudience for an archived one, BadRule for a
    rule that can no longer be asked.
    """
    if Audience.objects.filter(pk=audience.pk, is_archived=True).exists():
        raise BadAudience(_("This audience is archived; take one that is in use."))
    own = scope_of(audience)
    store_ids = own.store_ids if scope is None or scope.is_everything else scope.store_ids
    if own.store_ids is not None and store_ids is not None:
        store_ids = own.store_ids & store_ids
    version = AudienceVersion.objects.select_related("audience").get(audience=audience, version_no=audience.version_no)
    ask = counting.business_ask(
        brand_id=audience.brand_id, scope=org.EVERYTHING if store_ids is None else org.Scope(store_ids), now=now
    )
    size = counting.count(_read(version, ask, actor), ask)
    with transaction.atomic():
        snapshot = AudienceSnapshot.objects.create(
            version=version, store_ids=None if store_ids is None else sorted(store_ids), made_by=actor
        )
        if size.is_estimate or size.members > AT_ONCE:
            snapshot.job = jobs.enqueue(
                KIND, actor=actor, params={"snapshot": snapshot.pk}, key=f"{KIND} {snapshot.pk}"
            )
            snapshot.save(update_fields=["job"])
        audit.record(
            actor=actor, verb="audience.freeze", target=snapshot, audience=audience.pk, version=version.version_no
        )
    return snapshot if snapshot.job_id else build(snapshot=snapshot, now=now)


def is_small(audience: Audience, *, now: dt.datetime) -> bool:
    """Whether one may wait for all of its members. Raises BadRule."""
    ask = counting.business_ask(brand_id=audience.brand_id, scope=scope_of(audience), now=now)
    size = counting.count(rules.read(audience.rule, ask), ask)
    return not size.is_estimate and size.members <= AT_ONCE


def build(*, snapshot: AudienceSnapshot, now: dt.datetime, progress: Any = None) -> AudienceSnapshot:
    """Write the members of a snapshot that is being made: one query decides who they are, as of ``now``; they are written in
    chunks. Killed and run again it begins anew, so that its members are always those of one moment.
    """
    version = AudienceVersion.objects.select_related("audience").get(pk=snapshot.version_id)
    ask = counting.business_ask(brand_id=version.audience.brand_id, scope=scope_of(snapshot), now=now)
    try:
        query = compiling.query(_read(version, ask, snapshot.made_by), ask)
    except BadRule:
        AudienceSnapshot.objects.filter(pk=snapshot.pk).update(status=AudienceSnapshot.Status.FAILED)
        raise
    table = _FROZEN.format(int(snapshot.pk))
    with connection.cursor() as cursor:
        _forget(cursor, snapshot, table)
        with transaction.atomic():
            cursor.execute(f"SET LOCAL work_mem = '{counting.WORK_MEM}'")
            cursor.execute(
                f"CREATE UNLOGGED TABLE {table} AS SELECT id, store_id, (row_number() OVER (ORDER BY id) - 1) / {CHUNK} AS chunk"
                f" FROM ({query.ids_and_stores()}) w", query.params,
            )  # fmt: skip
        total = cursor.rowcount
        if progress is not None:
            progress.stage("freeze the audience", total)
        for chunk in range(-(-total // CHUNK)):
            with transaction.atomic():
                _still_building(snapshot)
                cursor.execute(
                    f"INSERT INTO {SnapshotMember._meta.db_table} (snapshot_id, member_id, store_id)"
                    f" SELECT %s, id, store_id FROM {table} WHERE chunk = %s ORDER BY id", [snapshot.pk, chunk],
                )  # fmt: skip
            if progress is not None:
                progress.done(min(total, (chunk + 1) * CHUNK))
        with transaction.atomic():
            snapshot = _still_building(snapshot)
            snapshot.status, snapshot.as_of, snapshot.member_count = AudienceSnapshot.Status.READY, now, total
            snapshot.save(update_fields=["status", "as_of", "member_count"])
            cursor.execute(f"DROP TABLE {table}")
    return snapshot


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``freeze_audience``."""
    snapshot = AudienceSnapshot.objects.get(pk=progress.job.params["snapshot"])
    if snapshot.status == AudienceSnapshot.Status.BUILDING:
        snapshot = build(snapshot=snapshot, now=db.clock(), progress=progress)
    return {"members": snapshot.member_count}


def _read(version: AudienceVersion, ask: Ask, actor: Any) -> rules.Node:
    """The rule, by the rights of who has it frozen: HQ may narrow an audience that asks for purchases in all stores to some
    of them; who sees only those stores may not ask for it (S1)."""
    is_hq = actor is None or org.scope_of(actor).is_everything
    return rules.read(version.rule, replace(ask, scope=scope_of(version.audience)) if is_hq else ask)


def _still_building(snapshot: AudienceSnapshot) -> AudienceSnapshot:
    (row,) = db.lock(AudienceSnapshot.objects.filter(pk=snapshot.pk))
    if row.status != AudienceSnapshot.Status.BUILDING:
        raise BadAudience(_("This snapshot is made already."))
    return row


def _forget(cursor: Any, snapshot: AudienceSnapshot, table: str) -> None:
    """What a killed run has left."""
    with transaction.atomic():
        _still_building(snapshot)
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"DELETE FROM {SnapshotMember._meta.db_table} WHERE snapshot_id = %s", [snapshot.pk])
