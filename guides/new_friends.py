"""New friends (新好友): what follows when a customer and a guide have each other on WeCom.

1. Every new friend is a touch of the guide, with the code if she came through one. A friend whom an administrator assigned
   (接替) chose nobody: no touch and no claim follows.
2. A friend who is a member is claimed for the guide at the moment of adding: as a scan when she came through a code, as a
   friend added otherwise. A friend who is no member stays a contact.
3. When a contact is recognised as a member later, the guides who are her friends claim her as of that moment, the oldest
   friend first.
4. What a code brought is counted with it: who scanned and asked, the friend, whether she is a member, whether she was bound.
5. An event does not tell how a friend was added. Without a code's state it is waited for until the contact has been read,
   which is asked for at once, ten minutes at most.
6. An account that gets its guide later, or another one, gives her its friends as of the moment at which each was added:
   touch and claim follow then. A code's friend is counted once, for the guide who had her first.
7. All of it happens in the transaction that learns of the friend, and once: the touch and the claim are keyed by the pair,
   the moment of adding and, where the account was another's before, the guide.
"""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet

from guides import bindings, contact_ways, rewards, snatching, touches
from guides.bindings import Claim
from guides.models import Binding, Contact, ContactWay, FriendNews, Friendship, Touch, WelcomeSend
from scrm import db
from scrm.wecom import inbox

QR_CODE, ASSIGNED = 1, 202  # WeCom's ways of adding, see customers.Follow
READ_WITHIN = dt.timedelta(minutes=10)
ASKED_WITHIN = dt.timedelta(days=7)  # between a request and its acceptance
LOOK_AGAIN = dt.timedelta(seconds=30)


def friend_added(friendship: Friendship) -> None:
    """Listener of the mirror: the touch, the count and the claim of a confirmed friendship."""
    if friendship.guide_id is None or friendship.add_way == ASSIGNED:
        return
    contact = friendship.contact
    if _is_way_unknown(friendship, contact):
        _look_again(friendship)
        return
    at = _added_at(friendship)
    way = contact_ways.find(friendship.corp_id, friendship.state)
    key, is_others = _fact(friendship, at)
    touch, is_new = touches.record(
        key=key,
        kind=Touch.Kind.QR if way or friendship.add_way == QR_CODE else Touch.Kind.FRIEND,
        guide_id=friendship.guide_id,
        store_id=bindings.store_id_at(friendship.guide_id, at),
        contact_id=contact.pk,
        member_id=contact.member_id,
        way_id=way.pk if way else None,
        at=at,
    )
    if way is not None and is_new and not is_others:
        asked = 0 if _asked_before(friendship, at) else 1
        contact_ways.count(way_id=way.pk, guide_id=friendship.guide_id, at=at, asked=asked, friends=1)
    rewards.claim(friendship=friendship, store_id=touch.store_id, at=at)
    if contact.member_id is not None:
        _claim(friendship, contact, way, touch, at=at)


def member_linked(contact: Contact) -> None:
    """Listener of the mirror: the guides who are friends of a contact just recognised claim the member."""
    friends = Friendship.objects.filter(
        contact=contact, guide__isnull=False, is_confirmed=True, ended_at=None, customer_left_at=None
    ).exclude(add_way=ASSIGNED)
    at = contact.linked_at or db.clock()
    for friendship in friends.order_by("added_at", "pk"):
        added_at = _added_at(friendship)
        key, _is_others = _fact(friendship, added_at)
        touch = _touches_on(added_at).filter(key=key).first()
        if touch is not None:  # otherwise the friend is still to be told of, and claims then
            way = contact_ways.find(friendship.corp_id, friendship.state)
            _claim(friendship, contact, way, touch, at=max(at, added_at))


def asked(friendship: Friendship, code: str, delivery: inbox.Delivery) -> None:
    """Listener of the mirror, before ``welcomes.greet``: a customer scanned, and the guide has not yet accepted."""
    if friendship.guide_id is None or friendship.is_confirmed:
        return
    way = contact_ways.find(friendship.corp_id, friendship.state)
    if way is not None and not _asked_before(friendship, delivery.event_at):
        contact_ways.count(way_id=way.pk, guide_id=friendship.guide_id, at=delivery.event_at, asked=1)


def _asked_before(friendship: Friendship, at: dt.datetime) -> bool:
    """Her earlier welcome code says so: a request without confirmation carries one."""
    since = at - ASKED_WITHIN
    return WelcomeSend.objects.filter(friendship=friendship, event_at__gte=since, event_at__lte=at).exists()


def _claim(friendship: Friendship, contact: Contact, way: ContactWay | None, touch: Touch, *, at: dt.datetime) -> None:
    assert friendship.guide_id is not None and contact.member_id is not None
    is_code = touch.kind == Touch.Kind.QR
    request, is_new = bindings.bind(
        Claim(
            key=f"{touch.key} {contact.member_id}",
            member_id=contact.member_id,
            guide_id=friendship.guide_id,
            source=Binding.Source.SCAN if is_code else Binding.Source.FRIEND_ADDED,
            at=at,
            touch_id=touch.pk,
            more_keys=frozenset({f"unionid:{contact.unionid}"} if contact.unionid else ()),
        )
    )
    if way is not None and is_new:
        contact_ways.count(
            way_id=way.pk, guide_id=friendship.guide_id, at=touch.at, members=1,
            bound=int(request.answer in snatching.OPENING),
        )  # fmt: skip


def _is_way_unknown(friendship: Friendship, contact: Contact) -> bool:
    if friendship.state or friendship.add_way:
        return False
    heard_at = friendship.heard_at or friendship.event_at
    is_read = contact.read_at is not None and (heard_at is None or contact.read_at >= heard_at)
    return not is_read and heard_at is not None and db.clock() < heard_at + READ_WITHIN


def _look_again(friendship: Friendship) -> None:
    FriendNews.objects.create(
        kind=FriendNews.Kind.ADDED, contact_id=friendship.contact_id, friendship=friendship,
        due_at=db.clock() + LOOK_AGAIN,
    )  # fmt: skip


def _added_at(friendship: Friendship) -> dt.datetime:
    return friendship.added_at or friendship.event_at or db.clock()


def _fact(friendship: Friendship, at: dt.datetime) -> tuple[str, bool]:
    """The key of the touch, and whether the friend was another guide's before the account was hers."""
    key = f"friend {friendship.pk} {int(at.timestamp())}"
    is_others = _touches_on(at).filter(key=key).exclude(guide=friendship.guide_id).exists()
    return (f"{key} guide {friendship.guide_id}" if is_others else key), is_others


def _touches_on(at: dt.datetime) -> QuerySet[Touch]:
    """Of the day, which is a partition."""
    return Touch.objects.filter(touched_on=at.astimezone(touches.SHANGHAI).date())
