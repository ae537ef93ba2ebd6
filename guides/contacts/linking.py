"""Who a contact is as a member (会员识别).

1. Three things may name a member, in this order: the unionid, the WeCom contact id, and a number that she has proved to us
   herself and that is verified for the member. A remark names nobody.
2. Where all that is known names one member she is that member, and is given those identities that nobody has yet.
3. Where two members are named nothing is linked and nothing moved: the conflict is recorded, and closed when it is gone.
4. It is asked whenever a contact is read, and once more for identities that came later: each minute for those of the last
   quarter of an hour, each night for all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from guides.contacts import listeners
from guides.models import Contact, FriendNews, LinkConflict
from members.purchases.buyers import BRAND
from scrm import audit, db

CHUNK_CONTACTS = 1_000
RECENT = dt.timedelta(minutes=15)

_BY_UNIONID = f"i.value = c.unionid AND i.kind = 'UNIONID' AND i.namespace = '{BRAND}' AND c.unionid <> ''"
_BY_CONTACT = "i.value = c.external_userid AND i.kind = 'EXTERNAL_USERID' AND i.namespace = k.corp_id"
_BY_MOBILE = (
    f"i.value = c.mobile_index AND i.kind = 'MOBILE' AND i.namespace = '{BRAND}' AND i.is_verified"
    " AND c.mobile_index <> ''"
)
_WAYS = (("UNIONID", 1, _BY_UNIONID), ("CONTACT", 2, _BY_CONTACT), ("MOBILE", 3, _BY_MOBILE))
_NAMED = " UNION ALL ".join(
    f"SELECT c.id AS contact_id, COALESCE(m.merged_into_id, m.id) AS member_id, '{kind}' AS kind, {rank} AS rank"
    f" FROM guides_contact c JOIN scrm_corp k ON k.id = c.corp_id JOIN members_identity i ON {by}"
    " JOIN members_member m ON m.id = i.member_id AND m.status <> 'ERASED' WHERE c.id = ANY(%(ids)s)"
    for kind, rank, by in _WAYS
)
_LINK = f"""
    WITH judged AS (
        SELECT contact_id, min(member_id) AS member_id, (array_agg(kind ORDER BY rank))[1] AS kind FROM ({_NAMED}) n
        GROUP BY contact_id HAVING count(DISTINCT member_id) = 1
    )
    UPDATE guides_contact c SET member_id = j.member_id, linked_by = j.kind, linked_at = %(now)s
    FROM judged j WHERE c.id = j.contact_id AND c.member_id IS NULL RETURNING c.id"""
_CERTAIN = """guides_contact c JOIN scrm_corp k ON k.id = c.corp_id WHERE c.id = ANY(%(ids)s) AND c.member_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM guides_linkconflict x WHERE x.contact_id = c.id AND x.resolved_at IS NULL)"""
# looked up before it is written: a row that is there already would cost a number of the sequence and a dead row
_IDENTITIES = f"""
    INSERT INTO members_identity (member_id, kind, namespace, value, is_verified)
    SELECT w.member_id, w.kind, w.namespace, w.value, true FROM (
        SELECT c.member_id, 'UNIONID' AS kind, '{BRAND}' AS namespace, c.unionid AS value FROM {_CERTAIN} AND c.unionid <> ''
        UNION SELECT c.member_id, 'EXTERNAL_USERID', k.corp_id, c.external_userid FROM {_CERTAIN}
    ) w WHERE NOT EXISTS (
        SELECT 1 FROM members_identity i WHERE i.value = w.value AND i.kind = w.kind AND i.namespace = w.namespace
    ) ORDER BY w.value, w.kind ON CONFLICT DO NOTHING"""
_CONTRADICTING = f"""
    SELECT contact_id, (array_agg(member_id ORDER BY rank, member_id))[1] AS member_id,
        (array_agg(kind ORDER BY rank, member_id))[1] AS kind, array_agg(member_id ORDER BY rank, member_id) AS members,
        array_agg(kind ORDER BY rank, member_id) AS kinds
    FROM ({_NAMED} UNION ALL SELECT id, member_id, linked_by, 0 FROM guides_contact
          WHERE id = ANY(%(ids)s) AND member_id IS NOT NULL) n
    GROUP BY contact_id HAVING count(DISTINCT member_id) > 1"""
_CONFLICTS = f"""
    INSERT INTO guides_linkconflict (contact_id, member_id, kind, other_member_id, other_kind, found_at)
    SELECT w.contact_id, w.member_id, w.kind, other.id, other.kind, %(now)s FROM ({_CONTRADICTING}) w,
        LATERAL (SELECT id, o.kind FROM unnest(w.members, w.kinds) AS o (id, kind) WHERE id <> w.member_id LIMIT 1) other
    ORDER BY w.contact_id
    ON CONFLICT (contact_id) WHERE resolved_at IS NULL DO UPDATE SET member_id = EXCLUDED.member_id,
        kind = EXCLUDED.kind, other_member_id = EXCLUDED.other_member_id, other_kind = EXCLUDED.other_kind
    WHERE (guides_linkconflict.member_id, guides_linkconflict.other_member_id)
        IS DISTINCT FROM (EXCLUDED.member_id, EXCLUDED.other_member_id)"""
_RESOLVED = f"""
    UPDATE guides_linkconflict x SET resolved_at = %(now)s WHERE x.contact_id = ANY(%(ids)s) AND x.resolved_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM ({_CONTRADICTING}) w WHERE w.contact_id = x.contact_id)"""
# contacts whom an identity of ``since`` or later names, unless they are that member already
_LATE = " UNION ".join(
    f"SELECT c.id FROM members_identity i, guides_contact c, scrm_corp k WHERE k.id = c.corp_id AND {by}"
    " AND i.linked_at >= %(since)s AND (i.kind IN ('UNIONID', 'EXTERNAL_USERID') OR i.kind = 'MOBILE' AND i.is_verified)"
    " AND c.member_id IS DISTINCT FROM i.member_id"
    for _kind, _rank, by in _WAYS
)


def recognise(ids: Sequence[int], now: dt.datetime) -> list[int]:
    """Link these contacts where one member is named, record conflicts; the contacts linked by it.

    Needs an open transaction. Whoever calls it tells the listeners.
    """
    values: dict[str, Any] = {"ids": list(ids), "now": now}
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM guides_contact WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE", values)
        cursor.execute(_LINK, values)
        linked = [contact_id for (contact_id,) in cursor.fetchall()]
        for statement in (_CONFLICTS, _RESOLVED, _IDENTITIES):
            cursor.execute(statement, values)
    return linked


def recognise_one(contact: Contact, now: dt.datetime) -> bool:
    """Like ``recognise`` for one contact, listeners told at once; whether she has become a member by it."""
    is_linked = bool(recognise([contact.pk], now))
    if is_linked:
        contact.refresh_from_db(fields=["member", "linked_by", "linked_at"])
        listeners.tell_member_linked(contact)
    return is_linked


@transaction.atomic
def prove_mobile(*, contact: Contact, mobile_index: str, now: dt.datetime) -> Contact:
    """She has shown that this number is hers, with a code that we sent to it or with a phone code of the mini-program."""
    (contact,) = db.lock(Contact.objects.filter(pk=contact.pk))
    if contact.mobile_index != mobile_index:
        contact.mobile_index = mobile_index
        contact.save(update_fields=["mobile_index"])
    recognise_one(contact, now)
    return contact


@transaction.atomic
def check_again(*, conflict: LinkConflict, actor: Any, now: dt.datetime) -> bool:
    """Somebody has put the identities right: whether the conflict is gone."""
    (contact,) = db.lock(Contact.objects.filter(pk=conflict.contact_id))
    recognise_one(contact, now)
    audit.record(actor=actor, verb="contacts.check_again", target=conflict)
    return LinkConflict.objects.filter(pk=conflict.pk, resolved_at__isnull=False).exists()


def recognise_late(*, now: dt.datetime, since: dt.datetime | None = None) -> int:
    """Link contacts whose members came later, or all over again; the number linked. Each chunk is a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE, {"since": since or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)})
        ids = sorted(contact_id for (contact_id,) in cursor.fetchall())
    return sum(_recognise_chunk(ids[at : at + CHUNK_CONTACTS], now) for at in range(0, len(ids), CHUNK_CONTACTS))


@transaction.atomic
def _recognise_chunk(ids: list[int], now: dt.datetime) -> int:
    linked = recognise(ids, now)
    listeners.leave_news(FriendNews.Kind.LINKED, linked)
    return len(linked)
