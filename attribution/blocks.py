"""Blocks (冻结): holds that neither vest nor are paid while a question about them is open.

1. A block names its cause, the business fact that asks for it. One hold may be blocked by several causes; it moves again
   when the last of them is released. The same cause blocks a hold once.
2. A blocked hold does not vest; one that has vested and is not yet paid stays out of the batch. A refund still reverses
   it: blocking keeps money from leaving, not from coming back.
3. Blocking and releasing are acts; a block is never deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from attribution.models import Hold, MoneyBlock
from scrm import audit, db


@transaction.atomic
def block(*, cause: str, actor: Any, line_ids: Iterable[int] = (), hold_ids: Iterable[int] = ()) -> list[int]:
    """Block the holds of these lines and these holds; returns the ids of all holds that ``cause`` blocks among them.

    ``actor`` is a user, or None for the system. Money that a batch has paid already is not reached.
    """
    _before_any_approval()
    holds = db.lock(Hold.objects.filter(Q(line_id__in=list(line_ids)) | Q(pk__in=list(hold_ids))))
    ids = [hold.pk for hold in holds]
    if not ids:
        return []
    rows = (MoneyBlock(hold_id=hold_id, cause=cause, blocked_by=actor) for hold_id in ids)
    MoneyBlock.objects.bulk_create(rows, ignore_conflicts=True)
    audit.record(
        actor=actor,
        verb="money.block",
        target_type="attribution.Hold",
        target_id=str(ids[0]),
        reason=cause,
        count=len(ids),
    )
    return ids


@transaction.atomic
def release(*, cause: str, actor: Any = None) -> int:
    """End every block of this cause; returns how many. What is ripe vests with the next run."""
    released = MoneyBlock.objects.live().filter(cause=cause).update(released_at=Now(), released_by=actor)
    if released:
        audit.record(
            actor=actor, verb="money.release", target_type="attribution.MoneyBlock", reason=cause, count=released
        )
    return released


def blocked_among(hold_ids: Iterable[int]) -> set[int]:
    return set(MoneyBlock.objects.live().filter(hold__in=list(hold_ids)).values_list("hold_id", flat=True))


def _before_any_approval() -> None:
    """An approval that is going on ends first, or waits and then sees the block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM attribution_batch WHERE status IN ('MAKING', 'READY') FOR SHARE")
