"""Who wants to know of friends and members (通知其他主题).

1. Listeners are registered from ``AppConfig.ready`` and called in the transaction that learns of the thing, one after the
   other in the order of registration. They write only, and ask nobody over the network.
2. A sweep, a bulk link or an account that gets its guide finds thousands at once: it leaves news, and ``tell_news`` calls
   the listeners soon after, a transaction for each. One that fails is tried again later and holds up nobody else. A bell
   is rung for them; without it they are told within a minute.
3. A friend whose reading was waited for is told as soon as she has been read (``tell_at_once``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import structlog
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from guides.models import Contact, FriendNews, Friendship
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import inbox

NEWS_AT_ONCE = 1_000
MAX_ATTEMPTS = 5
RETRY = dt.timedelta(minutes=1)

FriendListener = Callable[[Friendship], None]
MemberListener = Callable[[Contact], None]
WelcomeListener = Callable[[Friendship, str, inbox.Delivery], None]
TransferListener = Callable[[Corp, str, str, str, dt.datetime], None]

friend_added: list[FriendListener] = []
member_linked: list[MemberListener] = []
welcome_code: list[WelcomeListener] = []
transfer_failed: list[TransferListener] = []
tags_read: list[FriendListener] = []
log = structlog.get_logger(__name__)

Kind = FriendNews.Kind


def on_friend_added(listener: FriendListener) -> None:
    """``listener(friendship)`` when both sides have each other, for the first time or again."""
    friend_added.append(listener)


def on_member_linked(listener: MemberListener) -> None:
    """``listener(contact)`` when ``contact.member`` has just become known."""
    member_linked.append(listener)


def on_welcome_code(listener: WelcomeListener) -> None:
    """``listener(friendship, code, delivery)`` for every event with a welcome code, overtaken ones too.

    It lives for 20 seconds after ``delivery.event_at``. The friendship may still wait for the guide's confirmation.
    """
    welcome_code.append(listener)


def on_tags_read(listener: FriendListener) -> None:
    """``listener(friendship)`` when a reading shows other corp tags than before."""
    tags_read.append(listener)


def on_transfer_failed(listener: TransferListener) -> None:
    """``listener(corp, taker's userid, external_userid, reason, at)``; WeCom's reason, such as customer_refused."""
    transfer_failed.append(listener)


def tell_friend_added(friendship: Friendship) -> None:
    for listener in friend_added:
        listener(friendship)


def tell_tags_read(friendship: Friendship) -> None:
    for listener in tags_read:
        listener(friendship)


def tell_member_linked(contact: Contact) -> None:
    for listener in member_linked:
        listener(contact)


def leave_news(kind: str, ids: list[int]) -> None:
    """``ids`` of friendships (ADDED) or contacts (LINKED), to be told one by one later. Needs an open transaction."""
    if not ids or not (friend_added if kind == Kind.ADDED else member_linked):
        return
    source = (
        "SELECT 'ADDED', contact_id, id FROM guides_friendship"
        if kind == Kind.ADDED
        else "SELECT 'LINKED', id, NULL::bigint FROM guides_contact"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO guides_friendnews (kind, contact_id, friendship_id, attempts) SELECT s.*, 0 FROM ({source}"
            " WHERE id = ANY(%s) ORDER BY id) s",
            [ids],
        )
    transaction.on_commit(_ring)


def tell_news(*, now: dt.datetime, limit: int = NEWS_AT_ONCE) -> int:
    """Call the listeners for what sweeps have found; the number told."""
    due = FriendNews.objects.filter(due_at__lte=now).order_by("due_at", "pk")
    count = 0
    while count < limit and _tell_one(due, now):
        count += 1
    return count


def waiting_for(friendship_ids: Sequence[int], *, now: dt.datetime) -> list[int]:
    """News of these friends that waits for a reading."""
    waiting = FriendNews.objects.filter(friendship__in=friendship_ids, kind=Kind.ADDED, attempts=0, due_at__gt=now)
    return list(waiting.order_by("pk").values_list("pk", flat=True))


def tell_at_once(news_ids: Sequence[int], *, now: dt.datetime) -> int:
    """The number told. Not inside a transaction of others."""
    return sum(_tell_one(FriendNews.objects.filter(pk=pk), now) for pk in news_ids)


def _ring() -> None:
    from guides import tasks  # tasks imports this package

    tasks.telling.ring()


def _tell_one(wanted: QuerySet[FriendNews], now: dt.datetime) -> bool:
    with transaction.atomic():
        news = wanted.select_for_update(skip_locked=True).first()
        if news is None:
            return False
        try:
            with transaction.atomic():
                _tell(news)
        except OperationalError:
            raise
        except Exception as error:  # noqa: BLE001  one piece of news must not stop the others; the row says what it was
            _put_off(news, error, now)
            return True
        news.delete()
    return True


def _tell(news: FriendNews) -> None:
    if news.kind == Kind.LINKED:
        contact = Contact.objects.select_related("corp", "member").get(pk=news.contact_id)
        if contact.member_id is not None:
            tell_member_linked(contact)
        return
    assert news.friendship_id is not None
    friendship = Friendship.objects.select_related("contact", "guide", "corp").get(pk=news.friendship_id)
    if friendship.is_confirmed and friendship.ended_at is None:
        tell_friend_added(friendship)


def _put_off(news: FriendNews, error: Exception, now: dt.datetime) -> None:
    """A rule that says no is an answer; anything else is tried again, in the end once a day."""
    if isinstance(error, RuleViolation):
        log.info("friend_news_refused", news=news.pk, code=error.code)
        news.delete()
        return
    log.error("friend_news_failed", news=news.pk, exc_info=error)
    news.attempts += 1
    news.error_code = type(error).__name__[:64]
    news.due_at = now + (RETRY * news.attempts if news.attempts < MAX_ATTEMPTS else dt.timedelta(days=1))
    news.save(update_fields=["attempts", "error_code", "due_at"])
