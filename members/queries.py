"""Answers of members to screens, reports and other apps."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Max, Min, Q, Sum
from django.utils.translation import gettext as _

from members import member_value, reveals
from members.audiences import own_fields
from members.models import (
    Channel,
    Consent,
    Identity,
    Member,
    MemberFacts,
    MemberTag,
    OrderLine,
    PointsOpening,
    Refund,
    SnapshotMember,
)
from scrm import crypto, db, org
from scrm.models import Act
from scrm.money import yuan


def identities_of(*, member_id: int, limit: int = 20) -> list[Identity]:
    """How the member is recognised, oldest first."""
    return list(Identity.objects.filter(member_id=member_id).order_by("pk")[:limit])


def tag_names(*, member_id: int, limit: int = 50) -> list[str]:
    tags = MemberTag.objects.filter(member_id=member_id).order_by("tag__name", "pk")
    return list(tags.values_list("tag__name", flat=True)[:limit])


def favourites(purchases: Sequence[dict[str, Any]], *, limit: int = 5) -> list[dict[str, Any]]:
    """What she bought most often among ``purchases``, newest first; the newer one leads among equals."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in purchases:
        if line["refunded_fen"] < line["paid_fen"] or line["paid_fen"] == 0:
            counts[line["sku"], line["product_name"]] += 1
    return [{"sku": sku, "name": name, "line_count": count} for (sku, name), count in counts.most_common(limit)]


SPENT = """
    SELECT l.member_id, sum(l.paid_fen - l.refunded_fen)::bigint FROM members_orderline l
    WHERE l.member_id = ANY(%s) AND l.booked_on >= %s AND NOT l.is_test AND NOT l.is_voided
    GROUP BY l.member_id HAVING sum(l.paid_fen - l.refunded_fen) > 0
"""
MEMBERS_AT_ONCE = 2_000


def spent(*, member_ids: Sequence[int], since: dt.date) -> dict[int, int]:
    """``{member: fen}`` spent from the business day ``since`` on, net of refunds; a query per two thousand members."""
    found: dict[int, int] = {}
    for start in range(0, len(member_ids), MEMBERS_AT_ONCE):
        found.update(db.read(SPENT, [list(member_ids[start : start + MEMBERS_AT_ONCE]), since]))
    return found


# ---- the console: the list of members and the page of one member ---------------------------------------------------

PAGE_LINES = 12  # purchases on a member's page; the rest page by page
PAGE_IDENTITIES = 30


@dataclass(frozen=True, slots=True)
class MemberPage:
    """What a member's page shows of the member herself; identities are masked."""

    member: Member
    identities: list[dict[str, Any]]
    tags: list[str]
    points_openings: list[PointsOpening]
    order_count: int
    net_fen: int
    first_paid_at: dt.datetime | None
    last_paid_at: dt.datetime | None

    @property
    def has_mobile(self) -> bool:
        return any(identity["kind"] == Identity.Kind.MOBILE for identity in self.identities)


def search_q(term: str) -> Q:
    """A complete card number, or the beginning of a name; both stand in an index."""
    if not (term.isascii() and any(ch.isdigit() for ch in term)):
        return Q(name__startswith=term)
    owners = Identity.objects.filter(kind=Identity.Kind.CARD, value__in={term, term.upper()})
    # read first: as a subquery beside another condition it is hashed, not looked up
    return Q(pk__in=list(owners.order_by("pk").values_list("member_id", flat=True)[:50]))


def member_by_mobile(*, mobile: str, scope: org.Scope) -> Member | None:
    """The member of an E.164 number, if ``scope`` sees her."""
    owners = Identity.objects.filter(kind=Identity.Kind.MOBILE, value=crypto.mobile_index(mobile)).values("member_id")
    return org.visible(Member.objects.filter(pk__in=owners), scope).order_by("pk").first()


def masked_identities(*, member_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """``{member: {kind: masked value}}`` for a page of members, the oldest identity of each kind; one query."""
    kinds = (Identity.Kind.MOBILE, Identity.Kind.CARD)
    found: dict[int, dict[str, str]] = {}
    rows = Identity.objects.filter(member_id__in=member_ids, kind__in=kinds).order_by("pk")
    for row in rows:
        kept = found.setdefault(row.member_id, {})
        if row.kind not in kept:
            kept[row.kind] = reveals.masked(row.kind, row.value, row.sealed)
    return found


def channel_names() -> dict[str, str]:
    """``{code: name}`` of the channels."""
    return dict(Channel.objects.order_by("pk").values_list("code", "name"))


def member_page(*, member: Member, scope: org.Scope) -> MemberPage:
    """Four queries, whatever the member has bought; her purchases count as far as ``scope`` sees them."""
    identities = [
        {
            "kind": row.kind,
            "label": row.get_kind_display(),
            "shown": reveals.masked(row.kind, row.value, row.sealed),
            "namespace": row.namespace,
            "is_verified": row.is_verified,
            "linked_at": row.linked_at,
        }
        for row in identities_of(member_id=member.pk, limit=PAGE_IDENTITIES)
    ]
    openings = list(PointsOpening.objects.filter(member=member).order_by("pk")[:20])
    lines = OrderLine.objects.filter(member=member, is_test=False, is_voided=False)
    total = org.visible(lines, scope).aggregate(
        orders=Count("order_id", distinct=True),
        net=Sum(F("paid_fen") - F("refunded_fen")),
        first=Min("paid_at"),
        last=Max("paid_at"),
    )
    return MemberPage(
        member, identities, tag_names(member_id=member.pk), openings, total["orders"], int(total["net"] or 0),
        total["first"], total["last"],
    )  # fmt: skip


def purchases(*, member_id: int, scope: org.Scope, limit: int, before: str = "") -> list[OrderLine]:
    """Her order lines inside ``scope``, newest first; ``before`` is the cursor of the last line already shown."""
    lines = org.visible(OrderLine.objects.filter(member_id=member_id), scope)
    paid_at, colon, key = before.rpartition("~")
    if colon and key.isdecimal():
        try:
            at = dt.datetime.fromisoformat(paid_at)
        except ValueError:
            return []
        lines = lines.filter(Q(paid_at__lt=at) | Q(paid_at=at, pk__lt=int(key)))
    rows = list(lines.select_related("order", "store", "product").order_by("-paid_at", "-pk")[:limit])
    names = channel_names()
    for row in rows:
        row.channel_name = names.get(row.channel, row.channel)
    return rows


def cursor_of(line: OrderLine) -> str:
    return f"{line.paid_at.astimezone(dt.UTC).isoformat().replace('+00:00', 'Z')}~{line.pk}"


def refunds_of_line(*, line_id: int) -> list[Refund]:
    return list(Refund.objects.filter(line_id=line_id).order_by("refunded_at", "refund_no")[:50])


def timeline(
    *, page: MemberPage, bindings: Sequence[dict[str, Any]], lines: Iterable[OrderLine], acts: Iterable[Act]
) -> list[dict[str, Any]]:
    """What happened with the member, newest first: registration, identities, guides, purchases, looks at her number."""
    events: list[dict[str, Any]] = []

    def add(at: Any, icon: str, text: str, kind: str = "") -> None:
        events.append({"at": at, "icon": icon, "text": text, "kind": kind})

    for identity in page.identities:
        add(identity["linked_at"], "badge", _("%(kind)s %(value)s linked") % {
            "kind": identity["label"], "value": identity["shown"],
        })  # fmt: skip
    for binding in bindings:
        add(binding["started_at"], "link", _("bound to guide %(guide)s, %(store)s") % {
            "guide": binding["guide__name"], "store": binding["store__name"],
        }, "good")  # fmt: skip
    for first, paid_fen, count in _orders(lines):
        values = {"product": first.product.name, "count": count, "yuan": yuan(paid_fen), "order": first.order.order_no}
        one, many = (
            _("bought %(product)s for ¥%(yuan)s"),
            _("bought %(product)s and more, %(count)s lines, for ¥%(yuan)s"),
        )
        add(first.paid_at, "shopping_bag", (one if count == 1 else many) % values, "now")
    for act in acts:
        if act.verb == reveals.VERB:
            actor = str(act.actor) if act.actor_id else _("the system")
            text = _("mobile number revealed by %(actor)s: %(reason)s") % {"actor": actor, "reason": act.reason}
            add(act.at, "visibility", text, "bad")
    return sorted(events, key=lambda event: event["at"], reverse=True)[:40]


def _orders(lines: Iterable[OrderLine]) -> list[tuple[OrderLine, int, int]]:
    """Lines by order: the dearest line, what was paid together, how many lines."""
    orders: dict[int, list[OrderLine]] = {}
    for line in lines:
        orders.setdefault(line.order_id, []).append(line)
    return [
        (max(found, key=lambda line: line.paid_fen), sum(line.paid_fen for line in found), len(found))
        for found in orders.values()
    ]


def snapshot_by_store(*, snapshot_id: int) -> dict[int | None, int]:
    """Members of a frozen audience by the number of their home store."""
    rows = SnapshotMember.objects.filter(snapshot=snapshot_id).values_list("store_id").annotate(Count("member_id"))
    return dict(rows.order_by("store_id"))


def member_profile(*, member: Member, scope: org.Scope) -> dict[str, Any]:
    """Her facts with the scores of RFM, her tags with their sources, and what she has agreed to.

    Facts count what she bought in every store, so they are for those who see every store (S1).
    """
    rows = MemberFacts.objects.filter(member=member).select_related("category")
    facts = rows.first() if scope.is_everything else None
    cuts = member_value.latest_cuts(member.brand_id)
    scores = ""
    if facts is not None and cuts is not None:
        values = {"recency": facts.last_on, "frequency": facts.orders_count, "money": facts.spend_fen}
        scores = " ".join(
            f"{name[0].upper()}{member_value.score(value, getattr(cuts, name))}" for name, value in values.items()
        )
    weekdays = dict(own_fields.WEEKDAYS)
    return {
        "facts": facts,
        "sees_facts": scope.is_everything,
        "scores": scores,
        "weekday": weekdays[facts.weekday] if facts is not None else "",
        "tags": MemberTag.objects.filter(member=member)
        .select_related("tag", "tagged_by")
        .order_by("tag__name", "pk")[:50],
        "consents": Consent.objects.filter(member=member).order_by("purpose"),
    }
