"""Reading contacts from WeCom (读取客户详情): what an event does not tell.

1. An event leaves a row in a queue, one per contact. Readers claim rows, ask WeCom outside any transaction and write what
   it says; a row whose reader died is taken over after LEASE.
2. While WeCom cannot be reached or says "later", the row waits, each time longer; nothing is given up.
3. "No such customer" and "no friends" end the pairs that lasted. Other refusals stand on the row and are tried again.
4. A reading that began before the last event on a pair changes nothing of that pair.
5. Remarks and mobile numbers are not kept.
6. A new friend comes before everybody who waits, and is read by the worker that answers welcomes too, however long the
   other one is busy: a short while at a time and by one process, so that a welcome always finds another. What waited for
   the reading is told right after it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, transaction

from guides.contacts import followers, linking, listeners, pairs
from guides.models import Contact, ContactToRead, Follower, Friendship
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import corps, customers, errors

READ_AT_ONCE = 10
LEASE = dt.timedelta(minutes=3)
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(seconds=10), dt.timedelta(hours=1)
NAME_CHARS = 128
HEAD_START = dt.timedelta(days=1)  # of a new friend: she is due as if she had waited for so long
NEW_SECONDS = 3.0  # that the worker of welcomes reads at a stretch

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Claimed:
    contact_id: int
    asked_at: dt.datetime
    attempts: int


# --- operations -------------------------------------------------------------------------------------------------------


def ask(contact_id: int, *, is_new_friend: bool = False) -> None:
    """This contact is to be read. Needs an open transaction; a reader is woken after it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO guides_contacttoread AS r (contact_id, asked_at, due_at, attempts, error_code)"
            " VALUES (%s, clock_timestamp(), clock_timestamp() - make_interval(secs => %s), 0, '')"
            " ON CONFLICT (contact_id) DO UPDATE SET asked_at = EXCLUDED.asked_at,"
            # who is being read, or put off, keeps her time
            " due_at = CASE WHEN r.due_at <= EXCLUDED.asked_at THEN least(r.due_at, EXCLUDED.due_at) ELSE r.due_at END",
            [contact_id, HEAD_START.total_seconds() if is_new_friend else 0],
        )
    transaction.on_commit(_ring_for_new_friends if is_new_friend else _ring)


@transaction.atomic
def read_again(*, contact: Contact, actor: Any) -> None:
    """A person wants the contact read now, also when WeCom has put it off."""
    ask(contact.pk)
    ContactToRead.objects.filter(pk=contact.pk).update(due_at=db.clock(), attempts=0)
    audit.record(actor=actor, verb="contacts.read_again", target=contact)


def read_due(*, limit: int | None = None) -> int:
    """Read what is due, until nothing is left; the number of contacts asked for."""
    count = 0
    while (limit is None or count < limit) and (claimed := _claim()):
        for row in claimed:
            _read(row)
        count += len(claimed)
    return count


def read_new_friends() -> bool:
    """Read new friends for NEW_SECONDS at most; whether some may be left. One process at a time."""
    until = time.monotonic() + NEW_SECONDS
    with db.advisory_lock("wecom new friends") as is_ours:
        while is_ours and time.monotonic() < until:
            claimed = _claim(waited=HEAD_START / 2, limit=1)
            if not claimed:
                break
            _read(claimed[0])
    # looked at without the lock: whoever came while it was ours has gone again
    return is_ours and ContactToRead.objects.filter(due_at__lte=db.clock() - HEAD_START / 2).exists()


@transaction.atomic
def record(
    *,
    corp: Corp,
    customer: customers.Customer,
    follows: Sequence[customers.Follow],
    read_at: dt.datetime,
    is_complete: bool = False,
) -> Contact:
    """Write what WeCom said of a contact when it was asked at ``read_at``.

    ``is_complete``: ``follows`` are all there are, so a pair of an account that the app may see, and that is not among
    them, has ended.
    """
    follows = [follow for follow in follows if follow.userid]
    earlier = Contact.objects.filter(corp=corp, external_userid=customer.external_userid)
    known = (
        set(Friendship.objects.filter(contact__in=earlier).values_list("userid", flat=True)) if is_complete else set()
    )
    accounts = followers.locked(corp, known | {follow.userid for follow in follows})
    contact = contact_of(corp, customer.external_userid)
    _take_over(contact, customer, read_at)
    rows = {row.userid: row for row in db.lock(Friendship.objects.filter(contact=contact))}
    added = [
        _record_follow(contact, rows.get(follow.userid.lower()), accounts[follow.userid.lower()], follow, read_at)
        for follow in follows
    ]
    if is_complete:
        gone = set(rows) & set(accounts) - {follow.userid.lower() for follow in follows}
        _end([rows[userid] for userid in sorted(gone)], accounts, read_at)
    linking.recognise_one(contact, read_at)
    for friendship in filter(None, added):
        listeners.tell_friend_added(friendship)
    return contact


def record_friend(
    *, corp: Corp, customer: customers.Customer, follow: customers.Follow, now: dt.datetime
) -> Friendship:
    """Write one pair as WeCom shows it at ``now``."""
    contact = record(corp=corp, customer=customer, follows=[follow], read_at=now)
    return Friendship.objects.get(contact=contact, userid=follow.userid.lower())


def contact_of(corp: Corp, external_userid: str) -> Contact:
    """The row of this contact, made when it is missing, and locked."""
    rows = Contact.objects.filter(corp=corp, external_userid=external_userid)
    if not rows.exists():
        Contact.objects.bulk_create([Contact(corp=corp, external_userid=external_userid)], ignore_conflicts=True)
    (contact,) = db.lock(rows)
    return contact


def save_pair(friendship: Friendship, before: pairs.Pair, after: pairs.Pair, heard_at: dt.datetime) -> bool:
    """Write what differs, nothing when nothing does; whether the pair has become friends by it."""
    changed = [name for name in pairs.Pair.__slots__ if getattr(before, name) != getattr(after, name)]
    for name in changed:
        value = getattr(after, name)
        setattr(friendship, name, list(value) if name == "tag_ids" else value)
    if friendship.pk is None or changed:
        friendship.heard_at = heard_at
        friendship.save(update_fields=[*changed, "heard_at", "guide"] if friendship.pk else None)
    return after.is_friend and not before.is_friend


# --- helpers ----------------------------------------------------------------------------------------------------------


def _ring() -> None:
    from guides import tasks  # tasks imports this package

    tasks.reading.ring()


def _ring_for_new_friends() -> None:
    from guides import tasks

    tasks.reading_new_friends.ring()
    tasks.reading.ring()


@transaction.atomic
def _claim(*, waited: dt.timedelta = dt.timedelta(0), limit: int = READ_AT_ONCE) -> list[_Claimed]:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE guides_contacttoread SET due_at = clock_timestamp() + make_interval(secs => %s), attempts = attempts + 1"
            " WHERE contact_id = ANY(ARRAY(SELECT contact_id FROM guides_contacttoread WHERE due_at <= clock_timestamp()"
            " - make_interval(secs => %s) ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING contact_id, asked_at, attempts",
            [LEASE.total_seconds(), waited.total_seconds(), limit],
        )
        return [_Claimed(*row) for row in cursor.fetchall()]


def _read(row: _Claimed) -> None:
    contact = Contact.objects.select_related("corp").get(pk=row.contact_id)
    read_at = db.clock()
    try:
        customer, follows = customers.get(corps.app_of(contact.corp), contact.external_userid)
    except (errors.NotFound, errors.NotFriends):
        with transaction.atomic():
            _record_gone(contact, read_at)
            _settle(row)
        return
    except RuleViolation as refusal:  # WeCom's errors, and an app that HQ has not entered yet
        _put_off(row, refusal)
        return
    with transaction.atomic():
        record(corp=contact.corp, customer=customer, follows=follows, read_at=read_at, is_complete=True)
        _settle(row)
    _tell_waiting(row, read_at)


def _tell_waiting(row: _Claimed, read_at: dt.datetime) -> None:
    """Listeners that waited for this reading; in transactions of their own, so that none undoes the reading."""
    friends = list(Friendship.objects.filter(contact=row.contact_id).values_list("pk", flat=True))
    if waiting := listeners.waiting_for(friends, now=db.clock()):
        Contact.objects.filter(pk=row.contact_id).update(read_at=read_at)  # also where nothing new was read
        listeners.tell_at_once(waiting, now=db.clock())


def _settle(row: _Claimed) -> None:
    """Done, unless it was asked for again meanwhile: then it is due now."""
    rows = ContactToRead.objects.filter(pk=row.contact_id)
    if not rows.filter(asked_at=row.asked_at).delete()[0]:
        rows.update(due_at=db.clock(), attempts=0, error_code="")


def _put_off(row: _Claimed, refusal: RuleViolation) -> None:
    now = db.clock()
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
    retry_at = getattr(refusal, "retry_at", None)
    if not isinstance(refusal, errors.Retryable):
        log.warning("contact_not_read", contact=row.contact_id, code=refusal.code)
        pause = max(pause, LONGEST_PAUSE / 6)
    ContactToRead.objects.filter(pk=row.contact_id).update(
        due_at=max(retry_at or now, now + pause), error_code=refusal.code[:64]
    )


def _record_gone(contact: Contact, read_at: dt.datetime) -> None:
    """WeCom knows neither her nor a friend of hers that the app may see."""
    userids = Friendship.objects.filter(contact=contact).values_list("userid", flat=True)
    accounts = followers.locked(contact.corp, userids)
    rows = Friendship.objects.filter(contact=contact, userid__in=list(accounts))
    _end(db.lock(rows), accounts, read_at)


def _end(rows: Sequence[Friendship], accounts: dict[str, Follower], read_at: dt.datetime) -> None:
    """Pairs that WeCom does not show. It shows none that waits for the guide, nor what the app may not see."""
    for friendship in rows:
        before = pairs.of(friendship)
        waits = not before.is_confirmed and before.added_at is not None
        if waits or _heard_since(friendship, read_at) or accounts[friendship.userid].is_listed is False:
            continue
        save_pair(friendship, before, pairs.after_missing(before, read_at), read_at)


def _record_follow(
    contact: Contact, friendship: Friendship | None, account: Follower, follow: customers.Follow, read_at: dt.datetime
) -> Friendship | None:
    """The friendship when it has become one by this reading."""
    is_new = friendship is None
    if friendship is None:
        friendship = Friendship(contact=contact, corp_id=contact.corp_id, userid=account.userid, is_confirmed=False)
    elif _heard_since(friendship, read_at):
        return None
    friendship.guide_id, friendship.contact = account.guide_id or friendship.guide_id, contact
    before = pairs.Pair() if is_new else pairs.of(friendship)
    after = pairs.after_reading(before, follow)
    is_added = save_pair(friendship, before, after, read_at)
    if not is_new and before.tag_ids != after.tag_ids:
        listeners.tell_tags_read(friendship)
    return friendship if is_added else None


def _heard_since(friendship: Friendship, read_at: dt.datetime) -> bool:
    return friendship.heard_at is not None and friendship.heard_at >= read_at


def _take_over(contact: Contact, customer: customers.Customer, read_at: dt.datetime) -> None:
    """What WeCom says of the person. An absent unionid erases none: it is absent also where the app may not see it."""
    values = {
        "name": customer.name[:NAME_CHARS],
        "kind": customer.type or contact.kind,
        "gender": customer.gender,
        "unionid": customer.unionid or contact.unionid,
        "has_picture": bool(customer.avatar),
    }
    changed = {name: value for name, value in values.items() if getattr(contact, name) != value}
    if changed or contact.read_at is None:
        contact.read_at = read_at
        for name, value in changed.items():
            setattr(contact, name, value)
        contact.save(update_fields=[*changed, "read_at"])
