"""What an event or a reading makes of a pair (好友关系的归并): pure rules, the same end in whatever order events come.

1. The newest of "asked" and "added" says since when she is a friend, whether it is confirmed and through which code. In
   one second "added" outweighs "asked".
2. The guide's deletion holds unless she was added in a later second; so does the customer's. Of one second, a transfer
   outweighs a deletion.
3. What is older than what stands changes nothing (W4).
4. A reading shows a friend of today: it confirms, brings back who was ended, and knows the true time of adding. It does
   not know whether the customer has deleted the guide. Without a state it leaves that of the same adding; an adding that no
   event told of came through no code, whatever the one before it came through.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from guides.models import Friendship
from scrm.wecom import customers

ADDED, ASKED, EDITED = "add_external_contact", "add_half_external_contact", "edit_external_contact"
DELETED, LEFT = "del_external_contact", "del_follow_user"

SAME_ADDING = dt.timedelta(seconds=5)  # between the time in an event and the one in a reading

Ended = Friendship.Ended


@dataclass(frozen=True, slots=True)
class Pair:
    """The columns of a friendship that WeCom's words change."""

    is_confirmed: bool = False
    added_at: dt.datetime | None = None
    add_way: int = 0
    state: str = ""
    oper_userid: str = ""
    tag_ids: tuple[str, ...] = ()
    customer_left_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    ended_by: str = ""
    event_at: dt.datetime | None = None

    @property
    def is_friend(self) -> bool:
        """Both sides have the other."""
        return self.is_confirmed and self.ended_at is None and self.customer_left_at is None


@dataclass(frozen=True, slots=True)
class Change:
    """One event about a pair."""

    kind: str
    at: dt.datetime
    state: str = ""
    is_transfer: bool = False


def of(friendship: Friendship) -> Pair:
    values = {name: getattr(friendship, name) for name in Pair.__slots__ if name != "tag_ids"}
    return Pair(tag_ids=tuple(friendship.tag_ids), **values)


def after_event(pair: Pair, change: Change) -> Pair:
    if change.kind in (ADDED, ASKED):
        pair = _after_adding(pair, change)
    elif change.kind == DELETED:
        pair = _after_deleting(pair, change)
    elif change.kind == LEFT and _holds(change.at, pair.added_at) and _is_later(change.at, pair.customer_left_at):
        pair = replace(pair, customer_left_at=change.at)
    return replace(pair, event_at=change.at) if _is_later(change.at, pair.event_at) else pair


def after_reading(pair: Pair, follow: customers.Follow) -> Pair:
    """The pair as WeCom showed it; for who has not heard an event since WeCom was asked."""
    added_at = follow.created_at or pair.added_at
    left_at = pair.customer_left_at
    is_new = added_at is not None and pair.added_at is not None and added_at > pair.added_at + SAME_ADDING
    return replace(
        pair,
        is_confirmed=True,
        added_at=added_at,
        add_way=follow.add_way,
        state=follow.state or ("" if is_new else pair.state),
        oper_userid=follow.oper_userid or pair.oper_userid,
        tag_ids=tuple(sorted(follow.tag_ids)),
        customer_left_at=left_at if left_at is not None and _holds(left_at, added_at) else None,
        ended_at=None,
        ended_by=Ended.NO.value,
    )


def after_missing(pair: Pair, at: dt.datetime) -> Pair:
    """WeCom was asked at ``at`` and knows no such pair."""
    if pair.ended_at is not None:
        return pair
    return replace(pair, ended_at=max(at, pair.added_at or at), ended_by=Ended.MISSING.value)


def _after_adding(pair: Pair, change: Change) -> Pair:
    is_confirmed = change.kind == ADDED
    if pair.added_at is not None:
        stands = (pair.added_at, pair.is_confirmed, pair.state)
        if (change.at, is_confirmed, change.state) <= stands:
            return pair
    pair = replace(pair, added_at=change.at, is_confirmed=is_confirmed, state=change.state)
    if pair.ended_at is not None and not _holds(pair.ended_at, change.at):
        pair = replace(pair, ended_at=None, ended_by=Ended.NO.value)
    if pair.customer_left_at is not None and not _holds(pair.customer_left_at, change.at):
        pair = replace(pair, customer_left_at=None)
    return pair


def _after_deleting(pair: Pair, change: Change) -> Pair:
    by = Ended.TRANSFERRED.value if change.is_transfer else Ended.DELETED.value
    if not _holds(change.at, pair.added_at):
        return pair
    stands = pair.ended_at if pair.ended_by != Ended.MISSING else None  # an event knows the reason, a sweep only misses
    if stands is None or change.at > stands or (change.at == stands and by == Ended.TRANSFERRED):
        return replace(pair, ended_at=change.at, ended_by=by)
    return pair


def _holds(ended_at: dt.datetime, added_at: dt.datetime | None) -> bool:
    """Whether an end of ``ended_at`` is an end of what began at ``added_at``."""
    return added_at is None or ended_at >= added_at


def _is_later(at: dt.datetime, than: dt.datetime | None) -> bool:
    return than is None or at > than
