"""What a guide is to do (待办): one list per guide, filled by SOPs, the calendar and HQ, each entry with its reason.

1. An action is given once per fact: the fact's key comes again and stays one row, also when it has been done.
2. It goes to one guide, for one customer or for nobody in particular, and is open from a moment until another.
3. The guide ends it once: done with what came of it, skipped with a reason, or not suitable for this customer. What is not
   done in time expires; who asked for it may withdraw it while it is open.
4. A message or call that is done for a member is a service act (服务记录) of the guide, and renews the binding by its rule.
5. A customer who told the guide that she wants no messages has said no to marketing through WeCom (consent rule 1) as of
   that moment.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from guides import service_acts
from guides.models import Action, ServiceAct
from members import consent
from members.models import ConsentSource, Purpose
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import User

ACTS = {Action.Kind.MESSAGE: ServiceAct.Kind.CHAT, Action.Kind.CALL: ServiceAct.Kind.CALL}
SHOWN = 200  # open ones of a guide: more than a day holds


class ActionRefused(RuleViolation):
    code = "action_refused"


@dataclass(frozen=True, slots=True)
class NewAction:
    """``key``: the fact, 96 characters at most. ``reason``: one sentence for the guide."""

    key: str
    guide_id: int
    store_id: int | None
    member_id: int | None
    kind: str
    source: str
    source_id: int
    title: str
    reason: str
    text: str
    starts_at: dt.datetime
    due_at: dt.datetime
    minutes: int = 2


GIVEN_AT_ONCE = 5_000
# one statement: row by row through the ORM took nine tenths of the time of compiling a calendar
GIVE = """
    WITH given AS (
        INSERT INTO guides_action (key, guide_id, store_id, member_id, kind, source, source_id, title, reason, text, starts_at, due_at,
            minutes, status, outcome, note)
        SELECT n.*, 'OPEN', '', '' FROM unnest(%(key)s::text[], %(guide_id)s::bigint[], %(store_id)s::bigint[], %(member_id)s::bigint[],
            %(kind)s::text[], %(source)s::text[], %(source_id)s::bigint[], %(title)s::text[], %(reason)s::text[], %(text)s::text[],
            %(starts_at)s::timestamptz[], %(due_at)s::timestamptz[], %(minutes)s::smallint[]) n
        ON CONFLICT (key) DO NOTHING RETURNING id
    )
    SELECT count(*) FROM given
"""


def give(new: Iterable[NewAction]) -> int:
    """How many of them are new. In the caller's transaction."""
    given, rows = 0, iter(new)
    while piece := list(itertools.islice(rows, GIVEN_AT_ONCE)):
        values = {name: [getattr(one, name) for one in piece] for name in NewAction.__slots__}
        ((count,),) = db.fetch(GIVE, values)
        given += count
    return given


@transaction.atomic
def done(*, action_id: int, guide_id: int, user: User, outcome: str, note: str, now: dt.datetime) -> Action:
    """Raises ActionRefused for one that is not hers, not open, or not yet due to begin."""
    action = _open(action_id, guide_id, now)
    if action.member_id is not None and action.kind in ACTS:
        service_acts.record(
            key=f"action {action.pk}", kind=ACTS[Action.Kind(action.kind)], guide_id=guide_id,
            member_id=action.member_id, at=now, note=action.title, proof=f"action {action.pk}",
        )  # fmt: skip
    if action.member is not None and outcome == Action.Outcome.REFUSED:
        consent.say(
            member=action.member, purpose=Purpose.WECOM_MARKETING, is_given=False, source=ConsentSource.WECOM, said_at=now,
            now=now, actor=user,
        )  # fmt: skip
    return _end(action, Action.Status.DONE, user, now, outcome=outcome, note=note)


@transaction.atomic
def leave(*, action_id: int, guide_id: int, user: User, is_unsuitable: bool, reason: str, now: dt.datetime) -> Action:
    """Skipped this once, or not suitable for this customer. Raises ActionRefused."""
    status = Action.Status.UNSUITABLE if is_unsuitable else Action.Status.SKIPPED
    return _end(_open(action_id, guide_id, now), status, user, now, note=reason)


def withdraw(*, source: str, source_ids: Sequence[int], now: dt.datetime) -> int:
    """Who asked for them no longer does. In the caller's transaction; how many were still open."""
    open_ones = Action.objects.filter(source=source, source_id__in=source_ids, status=Action.Status.OPEN)
    return open_ones.update(status=Action.Status.CANCELLED, ended_at=now)


def expire(*, now: dt.datetime, limit: int = 5_000) -> int:
    """What its guide did not do in time; how many, ``limit`` at a time."""
    statement = """
        UPDATE guides_action SET status = 'EXPIRED', ended_at = %(now)s WHERE id IN (
            SELECT id FROM guides_action WHERE status = 'OPEN' AND due_at <= %(now)s
            ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) RETURNING id
    """
    return len(db.fetch(statement, {"now": now, "limit": limit}))


def _open(action_id: int, guide_id: int, now: dt.datetime) -> Action:
    """Its row, locked."""
    action = Action.objects.select_for_update().filter(pk=action_id, guide_id=guide_id).first()
    if action is None:
        raise ActionRefused(_("There is no such action in your list."), code="action_unknown")
    if action.status != Action.Status.OPEN or now >= action.due_at:
        raise ActionRefused(_("This action has ended already."), code="action_ended")
    if now < action.starts_at:
        raise ActionRefused(_("This action has not begun yet."), code="action_early")
    return action


def _end(action: Action, status: str, user: User, now: dt.datetime, **values: Any) -> Action:
    action.status, action.ended_at, action.ended_by = status, now, user
    for name, value in values.items():
        setattr(action, name, value)
    action.save(update_fields=["status", "ended_at", "ended_by", *values])
    return action


OPEN = f"""
    SELECT {{more}} a.id, a.kind, a.source AS asked_by, a.title, a.reason, a.text, a.minutes, a.expected_fen, a.member_id, m.name AS member_name,
        {db.iso("a.starts_at")} AS starts_at, {db.iso("a.due_at")} AS due_at
    FROM guides_action a LEFT JOIN members_member m ON m.id = a.member_id
    WHERE a.guide_id = %(guide)s AND a.status = 'OPEN' AND a.due_at > %(now)s AND a.starts_at <= %(now)s
      AND (a.kind <> 'MESSAGE' OR a.member_id IS NULL OR {consent.allowed_sql(Purpose.WECOM_MARKETING, "a.member_id")})
      {{only}}
    ORDER BY a.due_at, a.id LIMIT %(limit)s
"""


def of_guide(*, guide_id: int, now: dt.datetime) -> list[dict[str, Any]]:
    """What is open for her now, the most urgent first; up to ``SHOWN``. Who has said no since is not written to (S7)."""
    return db.fetch_dicts(OPEN.format(more="", only=""), {"guide": guide_id, "now": now, "limit": SHOWN})


def open_one(*, guide_id: int, action_id: int, now: dt.datetime) -> dict[str, Any] | None:
    """One of them, with who asked for it (``source_id``, ``key``); None for one that is not in her list."""
    statement = OPEN.format(more="a.source_id, a.key,", only="AND a.id = %(action)s")
    rows = db.fetch_dicts(statement, {"guide": guide_id, "now": now, "limit": 1, "action": action_id})
    return rows[0] if rows else None
