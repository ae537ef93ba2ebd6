"""Ends that a sweep held back (待确认的流失): a person looks whether WeCom is to be believed.

1. Confirming ends those friends who last and of whom nothing was heard since; not believing leaves them until the next
   sweep asks again.
2. A newer sweep of the account overtakes what waits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from guides.contacts import compare, followers
from guides.models import HeldEnds
from scrm import audit, db
from scrm.errors import RuleViolation

Status = HeldEnds.Status


class NotWaiting(RuleViolation):
    """Somebody decided, or a newer sweep has overtaken it."""

    code = "held_ends_not_waiting"


@transaction.atomic
def confirm(*, held_ids: Iterable[int], actor: Any, now: dt.datetime, reason: str = "") -> int:
    """End the friends; the number of them. Raises NotWaiting when none of these waits."""
    ended = 0
    for held in _waiting(held_ids):
        followers.locked(held.follower.corp, [held.follower.userid])
        held.ended_count = compare.end_missing(held.friendship_ids, held.read_from)
        ended += held.ended_count
        _decide(held, Status.CONFIRMED, actor, now, reason)
    return ended


@transaction.atomic
def dismiss(*, held_ids: Iterable[int], actor: Any, now: dt.datetime, reason: str = "") -> int:
    """Leave the friends as they are; the number of accounts. Raises NotWaiting."""
    rows = _waiting(held_ids)
    for held in rows:
        _decide(held, Status.DISMISSED, actor, now, reason)
    return len(rows)


def _waiting(held_ids: Iterable[int]) -> list[HeldEnds]:
    rows = db.lock(
        HeldEnds.objects.select_related("follower__corp").filter(pk__in=list(held_ids), status=Status.WAITING)
    )
    if not rows:
        raise NotWaiting(_("This has been decided already, or a newer sweep has overtaken it."))
    return rows


def _decide(held: HeldEnds, status: str, actor: Any, now: dt.datetime, reason: str) -> None:
    held.status, held.decided_by, held.decided_at = status, actor, now
    held.save(update_fields=["status", "decided_by", "decided_at", "ended_count"])
    audit.record(
        actor=actor, verb=f"contacts.{'confirm' if status == Status.CONFIRMED else 'dismiss'}_ends", target=held,
        reason=reason, account=held.follower_id, count=held.missing_count,
    )  # fmt: skip
