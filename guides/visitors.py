"""Visitors (访客): who opened a share, by what a mini-program knows of her.

1. A visitor whose unionid, account or number is a member's is that member; one whom WeCom knows is that contact. Only who
   is neither becomes a visitor of her own.
2. One identity is one visitor: the unionid counts before the account, the account before the number. What else is known of
   her is kept with her unless it is another visitor's.
3. When one of her identities becomes a member's, she is that member, and everything she opened before is the member's.
   Identities that name two members are left to the stronger one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction

from guides.models import Contact, Visitor
from members.models import Identity
from members.purchases.buyers import BRAND

CHUNK = 5_000  # visitors in one transaction


@dataclass(frozen=True, slots=True)
class Known:
    """What the mini-program says of her; an empty text says nothing. ``namespace``: channel/shop of the account."""

    unionid: str = ""
    namespace: str = ""
    account: str = ""
    mobile_index: str = ""

    @property
    def is_nobody(self) -> bool:
        return not (self.unionid or self.account or self.mobile_index)


class Person(NamedTuple):
    """At most one of them."""

    member_id: int | None = None
    contact_id: int | None = None
    visitor_id: int | None = None


def find_or_add(known: Known) -> Person:
    """Who she is. Needs an open transaction."""
    member_id = _member_id(known)
    if member_id is not None:
        return Person(member_id=member_id)
    contact = _contact(known)
    if contact is not None:
        return Person(member_id=contact.member_id) if contact.member_id else Person(contact_id=contact.pk)
    return Person(visitor_id=_visitor(known).pk)


_WAYS = (
    ("UNIONID", "i.value = v.unionid AND i.namespace = %(brand)s"),
    ("ACCOUNT", "i.value = v.account AND i.namespace = v.namespace"),
    ("MOBILE", "i.value = v.mobile_index AND i.namespace = %(brand)s"),
)
# the strongest identity that names a member, of visitors with an identity linked since then
_LATE = f"""
    UPDATE guides_visitor v SET member_id = f.member_id, linked_at = %(now)s
    FROM (
        SELECT DISTINCT ON (id) id, member_id FROM (
            {" UNION ALL ".join(
                f"(SELECT v.id, i.member_id, {rank} AS rank FROM members_identity i JOIN guides_visitor v ON {by}"
                f" WHERE i.kind = '{kind}' AND i.linked_at >= %(since)s AND v.member_id IS NULL LIMIT %(chunk)s)"
                for rank, (kind, by) in enumerate(_WAYS)
            )}
        ) w ORDER BY id, rank
    ) f
    WHERE f.id = v.id AND v.member_id IS NULL
"""  # fmt: skip


def recognise_late(*, now: dt.datetime, since: dt.datetime) -> int:
    """Visitors who have become members by identities linked since then; the number of them."""
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_LATE, {"now": now, "since": since, "brand": BRAND, "chunk": CHUNK})
            if not cursor.rowcount:
                return total
            total += cursor.rowcount


def member_of(known: Known) -> int | None:
    """The member she is, by the strongest identity; None for anybody else."""
    return _member_id(known)


def _member_id(known: Known) -> int | None:
    wanted = (
        (Identity.Kind.UNIONID, known.unionid, BRAND),
        (Identity.Kind.ACCOUNT, known.account, known.namespace),
        (Identity.Kind.MOBILE, known.mobile_index, BRAND),
    )
    for kind, value, namespace in wanted:
        if value:
            found = Identity.objects.filter(value=value, kind=kind, namespace=namespace)
            member_id = found.values_list("member_id", flat=True).first()
            if member_id is not None:
                return member_id
    return None


def _contact(known: Known) -> Contact | None:
    for name, value in (("unionid", known.unionid), ("mobile_index", known.mobile_index)):
        if value:
            # in several corps she is several contacts; a member first, then the oldest
            contacts = Contact.objects.filter(**{name: value}).order_by("member_id", "pk")
            found = next((c for c in contacts if c.member_id), contacts.first())
            if found is not None:
                return found
    return None


def _visitor(known: Known) -> Visitor:
    for names in _told(known):
        found = Visitor.objects.filter(**names).first()
        if found is not None:
            return _complete(found, known)
    strongest = _told(known)[0]
    Visitor.objects.bulk_create([Visitor(**strongest)], ignore_conflicts=True)
    return _complete(Visitor.objects.get(**strongest), known)


def _told(known: Known) -> list[dict[str, str]]:
    """Her identities, the strongest first, as columns."""
    ways: list[dict[str, str]] = [
        {"unionid": known.unionid},
        {"account": known.account, "namespace": known.namespace},
        {"mobile_index": known.mobile_index},
    ]
    return [names for names in ways if next(iter(names.values()))]


def _complete(visitor: Visitor, known: Known) -> Visitor:
    """Keep what else is known of her, except what is another visitor's."""
    changed: dict[str, Any] = {}
    for names in _told(known):
        if not getattr(visitor, next(iter(names))) and not Visitor.objects.filter(**names).exists():
            changed |= names
    if changed:
        try:
            with transaction.atomic():
                Visitor.objects.filter(pk=visitor.pk).update(**changed)
        except IntegrityError:  # somebody else has just said so of another visitor
            pass
    return visitor
