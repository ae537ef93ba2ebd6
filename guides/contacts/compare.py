"""A batch of accounts as WeCom showed it, staged and compared with the mirror as a set (好友比对).

1. Each page is copied into an unlogged table as it comes; what is compared is the whole batch, in one transaction.
2. New contacts and friends are inserted, changed ones updated; what is the same is not written.
3. A pair that was heard of since its page was asked for keeps what was heard. One heard of since the batch was begun is not
   missed.
4. Friends that WeCom no longer shows have ended. Where they are more than FEW and more than MOST_MISSING_BP of the batch's
   friends nobody is ended: they are held back per account for a person to look at, and everything else is written.
5. Who waits for the guide's confirmation is not shown by WeCom and not missed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from guides.contacts import followers, linking, listeners
from guides.contacts.pairs import SAME_ADDING
from guides.contacts.reading import NAME_CHARS
from guides.models import FriendNews, HeldEnds, SweepBatch
from scrm import db
from scrm.models import Corp
from scrm.wecom import customers

MOST_MISSING_BP = 500  # of the friends of a batch
FEW = 20
SCHEMA = "staging"
ID_CHARS = 64

_COLUMNS = {
    "external_userid": "text", "name": "text", "kind": "int", "gender": "int", "unionid": "text", "userid": "text",
    "added_at": "timestamptz", "add_way": "int", "state": "text", "oper_userid": "text", "tag_ids": "varchar[]",
    "read_at": "timestamptz",
}  # fmt: skip

# one row a pair, the newest reading: a list that changes under the cursor may show a pair twice
_SEEN = """
    CREATE TEMPORARY TABLE seen ON COMMIT DROP AS
    SELECT DISTINCT ON (userid, external_userid) s.*, NULL::bigint AS contact_id FROM {staged} s
    ORDER BY userid, external_userid, read_at DESC"""
_PERSONS = """(SELECT DISTINCT ON (external_userid) external_userid, name, kind, gender, unionid, read_at
    FROM seen ORDER BY external_userid, read_at DESC)"""
_NEW_CONTACTS = f"""
    INSERT INTO guides_contact (corp_id, external_userid, kind, name, gender, unionid, mobile_index, linked_by, read_at)
    SELECT %(corp)s, p.external_userid, p.kind, p.name, p.gender, p.unionid, '', '', p.read_at FROM {_PERSONS} p
    WHERE NOT EXISTS (SELECT 1 FROM guides_contact c WHERE c.corp_id = %(corp)s AND c.external_userid = p.external_userid)
    ORDER BY p.external_userid ON CONFLICT DO NOTHING RETURNING id"""
_CHANGED_CONTACTS = f"""
    WITH changed AS (
        SELECT c.id, p.name, p.kind, p.gender, COALESCE(NULLIF(p.unionid, ''), c.unionid) AS unionid, p.read_at
        FROM {_PERSONS} p JOIN guides_contact c ON c.corp_id = %(corp)s AND c.external_userid = p.external_userid
        WHERE (c.read_at IS NULL OR c.read_at < p.read_at AND (c.name, c.kind, c.gender, c.unionid)
               IS DISTINCT FROM (p.name, p.kind, p.gender, COALESCE(NULLIF(p.unionid, ''), c.unionid)))
        ORDER BY c.id FOR NO KEY UPDATE OF c
    )
    UPDATE guides_contact c SET name = h.name, kind = h.kind, gender = h.gender, unionid = h.unionid, read_at = h.read_at
    FROM changed h WHERE h.id = c.id RETURNING c.id"""
_NUMBER = """
    UPDATE seen s SET contact_id = c.id FROM guides_contact c
    WHERE c.corp_id = %(corp)s AND c.external_userid = s.external_userid"""
_NEW = """
    INSERT INTO guides_friendship (contact_id, corp_id, userid, guide_id, is_confirmed, added_at, add_way, state,
        oper_userid, tag_ids, ended_by, heard_at)
    SELECT s.contact_id, %(corp)s, s.userid, a.guide_id, true, s.added_at, s.add_way, s.state, s.oper_userid, s.tag_ids,
        '', s.read_at
    FROM seen s JOIN guides_follower a ON a.corp_id = %(corp)s AND a.userid = s.userid
    WHERE NOT EXISTS (SELECT 1 FROM guides_friendship f WHERE f.contact_id = s.contact_id AND f.userid = s.userid)
    ORDER BY s.contact_id, s.userid ON CONFLICT DO NOTHING RETURNING id"""
# as pairs.after_reading has it
_STATE = f"""CASE WHEN s.state = '' AND (s.added_at <= f.added_at + interval '{SAME_ADDING.total_seconds()} s')
    IS NOT FALSE THEN f.state ELSE s.state END"""
_SAID = f"""true, COALESCE(s.added_at, f.added_at), s.add_way, {_STATE},
    COALESCE(NULLIF(s.oper_userid, ''), f.oper_userid), s.tag_ids,
    CASE WHEN f.customer_left_at >= COALESCE(s.added_at, f.added_at) THEN f.customer_left_at END, NULL::timestamptz, ''"""
_FIELDS = "is_confirmed, added_at, add_way, state, oper_userid, tag_ids, customer_left_at, ended_at, ended_by"
_CHANGED = f"""
    WITH changed AS (
        SELECT f.id, f.is_confirmed AND f.ended_at IS NULL AND f.customer_left_at IS NULL AS was_friend, s.read_at,
            {_SAID.replace("true,", "true AS is_confirmed,")}
        FROM seen s JOIN guides_friendship f ON f.contact_id = s.contact_id AND f.userid = s.userid
        WHERE (f.heard_at IS NULL OR f.heard_at < s.read_at)
            AND ({", ".join("f." + name for name in _FIELDS.split(", "))}) IS DISTINCT FROM ({_SAID})
        ORDER BY f.id FOR NO KEY UPDATE OF f
    )
    UPDATE guides_friendship f SET ({_FIELDS}) = ROW({", ".join("h." + name for name in _FIELDS.split(", "))}),
        heard_at = h.read_at
    FROM changed h (id, was_friend, read_at, {_FIELDS}) WHERE h.id = f.id
    RETURNING f.id, NOT h.was_friend AND f.customer_left_at IS NULL"""
_MISSING = """
    SELECT f.id, f.userid FROM guides_friendship f
    WHERE f.corp_id = %(corp)s AND f.userid = ANY(%(userids)s) AND f.ended_at IS NULL
        AND (f.is_confirmed OR f.added_at IS NULL) AND (f.heard_at IS NULL OR f.heard_at < %(read_from)s)
        AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.contact_id = f.contact_id AND s.userid = f.userid)
    ORDER BY f.id FOR NO KEY UPDATE"""
_END = """
    UPDATE guides_friendship SET ended_at = GREATEST(%(read_from)s, added_at), ended_by = 'MISSING', heard_at = %(read_from)s
    WHERE id = ANY(%(ids)s) AND ended_at IS NULL AND (heard_at IS NULL OR heard_at < %(read_from)s)"""
_SWEPT = """
    UPDATE guides_follower a SET wecom_count = COALESCE(n.count, 0), counted_here = a.friend_count,
        swept_at = %(read_from)s, error_code = '', is_listed = true
    FROM unnest(%(userids)s::text[]) u LEFT JOIN (SELECT userid, count(*) FROM seen GROUP BY userid) n ON n.userid = u
    WHERE a.corp_id = %(corp)s AND a.userid = u"""


@dataclass
class Compared:
    """What one batch came to."""

    pairs: int = 0
    added: int = 0
    changed: int = 0
    ended: int = 0
    held: int = 0


def table_of(batch: SweepBatch) -> str:
    return f"{SCHEMA}.contact_sweep_{batch.pk}"


def make_table(batch: SweepBatch) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table_of(batch)}")
        cursor.execute(f"CREATE UNLOGGED TABLE {table_of(batch)} ({columns}) WITH (autovacuum_enabled = off)")


def staged_count(batch: SweepBatch) -> int | None:
    """Rows in the batch's table; None when there is none. A server that crashed has emptied it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [table_of(batch)])
        if cursor.fetchone()[0] is None:
            return None
        cursor.execute(f"SELECT count(*) FROM {table_of(batch)}")
        return int(cursor.fetchone()[0])


def stage(batch: SweepBatch, pairs: Iterable[customers.Pair], read_at: dt.datetime) -> None:
    """Copy one page, asked for at ``read_at``. Needs an open transaction."""
    db.copy_rows(table_of(batch), list(_COLUMNS), (_row(pair, read_at) for pair in pairs))


def drop_table(batch: SweepBatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table_of(batch)}")


@transaction.atomic
def compare(*, corp: Corp, batch: SweepBatch, now: dt.datetime) -> Compared:
    """Write what the batch says; its table is gone afterwards."""
    assert batch.read_from is not None
    accounts = followers.locked(corp, batch.userids)
    values: dict[str, Any] = {"corp": corp.pk, "userids": list(batch.userids), "read_from": batch.read_from}
    with connection.cursor() as cursor:

        def run(statement: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        run(_SEEN.format(staged=table_of(batch)))
        pair_count = cursor.rowcount
        run("ANALYZE seen")
        news = run(_NEW_CONTACTS)
        contacts = [contact_id for (contact_id,) in news + run(_CHANGED_CONTACTS)]
        run(_NUMBER)
        added = [friendship_id for (friendship_id,) in run(_NEW)]
        changed = run(_CHANGED)
        missing = run(_MISSING)
        friends = sum(account.friend_count for account in accounts.values())
        ended = _end(cursor, values, [pk for pk, _userid in missing]) if _is_believable(len(missing), friends) else 0
        HeldEnds.objects.filter(follower__in=accounts.values(), status=HeldEnds.Status.WAITING).update(
            status=HeldEnds.Status.OVERTAKEN
        )
        if missing and not ended:
            _hold(batch, accounts, missing)
        run(_SWEPT)
    linked = linking.recognise(contacts, now)
    listeners.leave_news(FriendNews.Kind.LINKED, linked)
    again = [pk for pk, is_again in changed if is_again]
    listeners.leave_news(FriendNews.Kind.ADDED, added + again)
    drop_table(batch)
    held = 0 if ended else len(missing)
    return Compared(pair_count, len(added) + len(again), len(changed) - len(again), ended, held)


def end_missing(ids: list[int], read_from: dt.datetime) -> int:
    """End those of these friendships that last, and of which nothing was heard since. Needs an open transaction."""
    with connection.cursor() as cursor:
        return _end(cursor, {"read_from": read_from}, ids)


def _end(cursor: Any, values: dict[str, Any], ids: list[int]) -> int:
    if not ids:
        return 0
    cursor.execute(_END, {**values, "ids": ids})
    return int(cursor.rowcount)


def _is_believable(missing: int, friends: int) -> bool:
    return missing <= FEW or missing * 10_000 <= friends * MOST_MISSING_BP


def _hold(batch: SweepBatch, accounts: dict[str, Any], missing: list[tuple[Any, ...]]) -> None:
    assert batch.read_from is not None
    ids: dict[str, list[int]] = {}
    for pk, userid in missing:
        ids.setdefault(userid, []).append(pk)
    HeldEnds.objects.bulk_create(
        HeldEnds(
            sweep_id=batch.sweep_id, follower=accounts[userid], read_from=batch.read_from, friendship_ids=mine,
            missing_count=len(mine), friend_count=accounts[userid].friend_count,
        )
        for userid, mine in sorted(ids.items())
    )  # fmt: skip


def _row(pair: customers.Pair, read_at: dt.datetime) -> tuple[Any, ...]:
    customer, follow = pair.customer, pair.follow
    return (
        customer.external_userid[:ID_CHARS], _text(customer.name, NAME_CHARS), customer.type or 1, customer.gender,
        _text(customer.unionid, ID_CHARS), follow.userid.lower()[:ID_CHARS], follow.created_at, follow.add_way,
        _text(follow.state, ID_CHARS), _text(follow.oper_userid, ID_CHARS), sorted(follow.tag_ids), read_at,
    )  # fmt: skip


def _text(value: str, chars: int) -> str:
    return value.replace("\0", "")[:chars]
