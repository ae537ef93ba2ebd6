"""Accounts that may have customers (客户联系账号): one row each, which is locked before any of their friendships.

1. An account is written in lower case: WeCom does not tell cases apart.
2. It belongs to the guide who has this WeCom account; its friendships that last follow when the guide becomes known later,
   or turns out to be another one.
3. What is said about the former userid of an account, from before it changed or while nobody else has it, is about her.
4. To the guide they are new friends then, as of the moment at which each was added: the listeners are told of them soon
   after, one by one. Whoever has deleted her by then is told to nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import connection, transaction

from guides.contacts import listeners
from guides.models import Follower, FriendNews, Guide, WecomMember
from scrm import db
from scrm.models import Corp

_FOUND = """
    SELECT f.id, g.id FROM guides_follower f JOIN guides_guide g ON lower(g.wecom_userid) = f.userid
    WHERE f.guide_id IS DISTINCT FROM g.id ORDER BY f.id
"""
_GIVEN = """
    WITH given AS (
        UPDATE guides_friendship SET guide_id = %(guide)s
        WHERE corp_id = %(corp)s AND userid = %(userid)s AND ended_at IS NULL AND guide_id IS DISTINCT FROM %(guide)s
        RETURNING id, is_confirmed, customer_left_at
    )
    SELECT id FROM given WHERE is_confirmed AND customer_left_at IS NULL ORDER BY id
"""


def locked(corp: Corp, userids: Iterable[str]) -> dict[str, Follower]:
    """The rows of these accounts, made where they are missing, locked in pk order. Needs an open transaction."""
    wanted = sorted({userid.lower() for userid in userids})
    rows = Follower.objects.filter(corp=corp, userid__in=wanted)
    found = {follower.userid: follower for follower in db.lock(rows)}
    if missing := [userid for userid in wanted if userid not in found]:
        new = [Follower(corp=corp, userid=userid, guide_id=_guide_of(userid)) for userid in missing]
        Follower.objects.bulk_create(new, ignore_conflicts=True)
        found = {follower.userid: follower for follower in db.lock(rows)}
    return found


def locked_at(corp: Corp, userid: str, at: dt.datetime) -> Follower:
    """The locked row of the account that ``userid`` meant at ``at``."""
    while True:
        present = present_userid(corp, userid, at)
        account = locked(corp, [present])[present]
        if present_userid(corp, userid, at) == present:  # it may have changed while somebody else had the lock
            return account


def present_userid(corp: Corp, userid: str, at: dt.datetime) -> str:
    """What the account is called now that was called ``userid`` at ``at``, in lower case."""
    userid = userid.lower()
    former = WecomMember.objects.filter(corp=corp, former_userid=userid).order_by("renamed_at", "pk")
    known = list(former.values_list("userid", "renamed_at"))
    for present, renamed_at in known:
        if renamed_at is not None and renamed_at >= at:
            return present
    if not known or WecomMember.objects.filter(corp=corp, userid=userid).exists():
        return userid  # hers, or by then somebody else's
    return known[-1][0]


def match_guides() -> int:
    """Give accounts to the guides who have them by now, with the friendships that last; the number of accounts."""
    with connection.cursor() as cursor:
        cursor.execute(_FOUND)
        pairs = cursor.fetchall()
    for follower_id, guide_id in pairs:
        _give(follower_id, guide_id)
    return len(pairs)


@transaction.atomic
def _give(follower_id: int, guide_id: int) -> None:
    """One statement each for the friendships and for the news of them, however many there are."""
    (follower,) = db.lock(Follower.objects.filter(pk=follower_id))
    values = {"corp": follower.corp_id, "userid": follower.userid, "guide": guide_id}
    with connection.cursor() as cursor:
        cursor.execute(_GIVEN, values)
        friends = [pk for (pk,) in cursor.fetchall()]
    Follower.objects.filter(pk=follower_id).update(guide_id=guide_id)
    listeners.leave_news(FriendNews.Kind.ADDED, friends)


def _guide_of(userid: str) -> int | None:
    return Guide.objects.filter(wecom_userid__iexact=userid).values_list("pk", flat=True).first()
