"""Our side of a handover: bindings move in chunks, and what WeCom is to do is written with them.

1. A chunk is one transaction: the members locked in pk order, the old bindings ended and the new ones begun at one moment,
   the items' states, the messages to WeCom. A kill loses the chunk under way and nothing else; the next run goes on.
2. The binding that was planned must still be the current one. Who was bound to another meanwhile stays there, and nothing
   is asked of WeCom for her.
3. A taker who works nowhere by now, or who is the customer herself, takes nobody: the item fails, the binding stays.
4. Groups go after the customers, 100 a call and GROUPS_PER_DAY of one owner a day. Those that WeCom did not hand over may
   be asked for again by a person, for another taker too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from guides import contact_ways
from guides.handover import transfers
from guides.handover.cases import Status
from guides.models import Binding, Employment, HandoverCase, HandoverGroup, HandoverItem
from members.models import Identity, Member
from scrm import audit, db, jobs
from scrm.errors import RuleViolation

CHUNK = 1_000
GROUPS_PER_DAY = 300  # of one owner: WeCom's limit
State = HandoverItem.State
OPEN_STATES = (State.PLANNED, State.ASKED, State.WAITING)
OPEN_GROUPS = (HandoverGroup.State.PLANNED, HandoverGroup.State.ASKED)


class NoFailedGroup(RuleViolation):
    code = "handover_no_failed_group"


class UnknownTaker(RuleViolation):
    code = "handover_unknown_taker"


@dataclass
class Chunk:
    """What becomes of some items; ``bound`` pairs an item with the store of its taker."""

    bound: list[tuple[HandoverItem, int]] = field(default_factory=list)
    friends: list[HandoverItem] = field(default_factory=list)  # nothing of ours to move
    ended: list[tuple[HandoverItem, str, str]] = field(default_factory=list)  # state and code


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``run_handover``: may be killed and run again at any point."""
    case_id = progress.job.params["case"]
    left = HandoverItem.objects.filter(case=case_id, state=State.PLANNED).count()
    progress.stage("bind", left)
    done = 0
    while count := move_some(case_id=case_id, now=timezone.now()):
        done += count
        progress.done(done)
    ask_for_groups(case_id=case_id, now=timezone.now())
    giver = HandoverCase.objects.filter(pk=case_id).values_list("guide_id", flat=True)
    contact_ways.leavers.look_after(now=timezone.now(), guide_ids=giver)
    finish(case_id=case_id, now=timezone.now())
    states = HandoverItem.objects.filter(case=case_id).values("state").annotate(count=Count("pk"))
    return {row["state"]: row["count"] for row in states.order_by("state")}


@transaction.atomic
def move_some(*, case_id: int, now: dt.datetime, limit: int = CHUNK) -> int:
    """The next items of a running case; how many were dealt with, 0: none is left."""
    (case,) = db.lock(HandoverCase.objects.filter(pk=case_id).select_related("corp", "guide"))
    if case.status != Status.RUNNING:
        return 0
    wanted = HandoverItem.objects.filter(case=case, state=State.PLANNED).select_related("taker__guide", "contact")
    items = list(wanted.order_by("taker_id", "pk").select_for_update(of=("self",))[:limit])
    if not items:
        return 0
    _lock_members(item.member_id for item in items)
    chunk = _judged(items, case.guide_id, now)
    moved = _bind(chunk.bound, now)
    asked = [item for item, _store in chunk.bound if _is_askable(case, item)]
    asked += [item for item in chunk.friends if _is_askable(case, item)]
    _write(chunk, moved, {item.pk for item in asked}, now)
    transfers.ask(case=case, items=asked, now=now)
    audit.record(
        actor=case.approved_by, verb="handover.move", target=case, moved=len(moved), kept=len(chunk.ended), asked=len(asked)
    )  # fmt: skip
    return len(items)


@transaction.atomic
def ask_for_groups(*, case_id: int, now: dt.datetime) -> int:
    """Write the messages that give the groups new owners; the number of groups."""
    (case,) = db.lock(HandoverCase.objects.filter(pk=case_id).select_related("corp"))
    return _ask_for_groups(case, now)


def _ask_for_groups(case: HandoverCase, now: dt.datetime) -> int:
    planned = HandoverGroup.objects.filter(case=case, state=HandoverGroup.State.PLANNED)
    rows = db.lock(planned.select_related("taker"))
    batches = transfers.batches(rows, key=lambda group: (group.taker_id, transfers.owner_has_left(case, group)))
    day, today = 0, 0
    for batch in batches:
        if today + len(batch) > GROUPS_PER_DAY:
            day, today = day + 1, 0
        today += len(batch)
        transfers.ask_groups(case=case, rows=batch, now=now, not_before=now + dt.timedelta(days=day))
    return len(rows)


@transaction.atomic
def retry_groups(*, case: HandoverCase, taker_code: str = "", actor: Any, now: dt.datetime) -> int:
    """Ask WeCom once more for the groups that failed, for another taker of the case where one is named; how many.

    Raises NoFailedGroup, UnknownTaker.
    """
    (case,) = db.lock(HandoverCase.objects.filter(pk=case.pk).select_related("corp"))
    failed = HandoverGroup.objects.filter(case=case, state=HandoverGroup.State.FAILED)
    if case.status not in (Status.RUNNING, Status.DONE) or not failed.exists():
        raise NoFailedGroup(_("No customer group of this handover has failed."))
    values: dict[str, Any] = {"state": HandoverGroup.State.PLANNED, "state_at": now}
    if taker_code.strip():
        taker = case.takers.filter(guide__code=taker_code.strip()).exclude(userid="").first()
        if taker is None:
            raise UnknownTaker(
                _("%(code)s takes nothing over in this handover, or has no WeCom account.")
                % {"code": taker_code.strip()}
            )
        values["taker"] = taker
    failed.update(**values)
    count = _ask_for_groups(case, now)
    audit.record(actor=actor, verb="handover.retry_groups", target=case, groups=count)
    return count


@transaction.atomic
def finish(*, case_id: int, now: dt.datetime) -> bool:
    """End a running case in which nothing is open any more."""
    (case,) = db.lock(HandoverCase.objects.filter(pk=case_id))
    if case.status != Status.RUNNING or case.items.filter(state__in=OPEN_STATES).exists():
        return False
    if case.groups.filter(state__in=OPEN_GROUPS).exists():
        return False
    case.status, case.ended_at = Status.DONE, now
    case.save(update_fields=["status", "ended_at"])
    return True


# --- one chunk --------------------------------------------------------------------------------------------------------


def _lock_members(member_ids: Iterable[int | None]) -> None:
    """As an assignment does: whoever binds one of them at the same time waits, and then sees the other binding."""
    wanted = sorted({member_id for member_id in member_ids if member_id is not None})
    list(Member.objects.filter(pk__in=wanted).order_by("pk").select_for_update(of=("self",)).values_list("pk"))


def _judged(items: Sequence[HandoverItem], giver_id: int, now: dt.datetime) -> Chunk:
    chunk = Chunk()
    guides = {item.taker.guide for item in items if item.taker is not None}
    stores = _stores_at([guide.pk for guide in guides], now)
    members = [item.member_id for item in items if item.member_id is not None]
    current = {
        row.member_id: row for row in Binding.objects.filter(member_id__in=members, ended_at=None).order_by("pk")
    }
    herself = _self_deals(items)
    for item in items:
        assert item.taker is not None
        binding = current.get(item.member_id) if item.member_id is not None else None
        guide_id = item.taker.guide_id
        if guide_id not in stores:
            chunk.ended.append((item, State.FAILED, "guide_not_employed"))
        elif item.pk in herself:
            chunk.ended.append((item, State.FAILED, "self_binding"))
        elif not _is_as_planned(item, binding, giver_id):
            chunk.ended.append((item, State.KEPT, ""))
        elif binding is None or item.binding_id is None:
            chunk.friends.append(item)
        elif binding.started_at >= now:
            chunk.ended.append((item, State.FAILED, "binding_time"))
        else:
            chunk.bound.append((item, stores[guide_id]))
    return chunk


def _is_as_planned(item: HandoverItem, binding: Binding | None, giver_id: int) -> bool:
    """Compare and swap: the customer stands where the plan saw her."""
    if item.binding_id is not None:
        return binding is not None and binding.pk == item.binding_id
    assert item.taker is not None
    return binding is None or binding.guide_id in (giver_id, item.taker.guide_id)


def _stores_at(guide_ids: Sequence[int], at: dt.datetime) -> dict[int, int]:
    rows = Employment.objects.filter(guide_id__in=guide_ids, started_at__lte=at)
    open_then = rows.filter(Q(ended_at=None) | Q(ended_at__gt=at))
    return dict(open_then.order_by("started_at").values_list("guide_id", "store_id"))


def _self_deals(items: Sequence[HandoverItem]) -> set[int]:
    """Items whose member is the taker herself: a number or unionid of hers is the member's identity."""
    hers = {}
    for item in items:
        assert item.taker is not None
        guide = item.taker.guide
        hers[guide.pk] = {
            key
            for key in ((Identity.Kind.MOBILE, guide.mobile_index), (Identity.Kind.UNIONID, guide.unionid))
            if key[1]
        }
    values = {value for keys in hers.values() for _kind, value in keys}
    members: dict[int, set[tuple[str, str]]] = {}
    for member_id, kind, value in Identity.objects.filter(value__in=values).values_list("member_id", "kind", "value"):
        members.setdefault(member_id, set()).add((kind, value))
    return {
        item.pk
        for item in items
        if item.taker is not None and item.member_id in members and members[item.member_id] & hers[item.taker.guide_id]
    }


END = "UPDATE guides_binding SET ended_at = %s WHERE id = ANY(%s)"
BEGIN = """
    INSERT INTO guides_binding (brand_id, member_id, guide_id, store_id, source, started_at)
    SELECT b.brand_id, b.member_id, t.guide_id, t.store_id, 'ASSIGNED', %s
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) t(binding_id, guide_id, store_id)
    JOIN guides_binding b ON b.id = t.binding_id ORDER BY b.member_id RETURNING member_id, id
"""
SETTLE = """
    UPDATE guides_handoveritem i
    SET state = t.state, code = t.code, state_at = %(now)s, new_binding_id = t.binding_id,
        bound_at = CASE WHEN t.binding_id IS NOT NULL THEN %(now)s END
    FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(codes)s::text[], %(bindings)s::bigint[])
        t(id, state, code, binding_id)
    WHERE i.id = t.id
"""


def _bind(bound: Sequence[tuple[HandoverItem, int]], at: dt.datetime) -> dict[int, int]:
    """``{member: new binding}``."""
    if not bound:
        return {}
    old = [item.binding_id for item, _store in bound]
    guides = [item.taker.guide_id for item, _store in bound if item.taker is not None]
    with connection.cursor() as cursor:
        cursor.execute(END, [at, old])
        cursor.execute(BEGIN, [at, old, guides, [store for _item, store in bound]])
        return dict(cursor.fetchall())


def _is_askable(case: HandoverCase, item: HandoverItem) -> bool:
    return bool(case.corp_id and case.userid and item.contact_id and item.taker and item.taker.userid)


def _write(chunk: Chunk, moved: dict[int, int], asked: set[int], now: dt.datetime) -> None:
    rows: list[tuple[int, str, str, int | None]] = []
    for item in [*(item for item, _store in chunk.bound), *chunk.friends]:
        state = State.ASKED if item.pk in asked else State.BOUND
        code = "taker_without_wecom" if state == State.BOUND and item.contact_id is not None else ""
        new = moved.get(item.member_id) if item.binding_id is not None and item.member_id is not None else None
        rows.append((item.pk, state.value, code, new))
    rows += [(item.pk, str(state), code, None) for item, state, code in chunk.ended]
    columns = [list(column) for column in zip(*rows, strict=True)]
    values = dict(zip(("ids", "states", "codes", "bindings"), columns, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(SETTLE, {**values, "now": now})
