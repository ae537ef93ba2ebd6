"""Who gets a coupon of a batch (发券对象): a frozen audience, a list, a tag, a tier, the members of some stores, or what an app
above registers.

A source turns what the form says into SQL for member ids. ``register`` is called from ``AppConfig.ready``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from members.models import Identity
from scrm import crypto

LISTED_MOST = 10_000  # of a list pasted into the console

Query = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """``members(value)`` gives SQL with one column of member ids; ``value`` is JSON."""

    name: str
    label: Any
    members: Callable[[Any], Query]


SOURCES: dict[str, Source] = {}


def register(name: str, label: Any, members: Callable[[Any], Query]) -> None:
    SOURCES[name] = Source(name, label, members)


def query(source: str, value: Any) -> Query:
    return SOURCES[source].members(value)


def listed(text: str) -> tuple[list[int], list[str]]:
    """Member ids of card and mobile numbers, one a line, and the lines that name nobody."""
    lines = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))[:LISTED_MOST]
    numbers = {line: crypto.normalise_mobile(line) for line in lines}
    indexes = {line: crypto.mobile_index(number) for line, number in numbers.items() if number}
    cards = _members(Identity.Kind.CARD, lines)
    mobiles = _members(Identity.Kind.MOBILE, indexes.values())
    found = {line: cards.get(line) or mobiles.get(indexes.get(line, "")) for line in lines}
    ids = dict.fromkeys(pk for pk in found.values() if pk is not None)
    return list(ids), [line for line, pk in found.items() if pk is None]


def _members(kind: str, values: Iterable[str]) -> dict[str, int]:
    rows = Identity.objects.filter(kind=kind, value__in=list(values))
    return dict(rows.values_list("value", "member_id"))


register(
    "AUDIENCE",
    _("members of a frozen audience"),
    lambda snapshot: (
        (
            "SELECT k.member_id FROM members_snapshotmember k JOIN members_audiencesnapshot s ON s.id = k.snapshot_id"
            " WHERE s.id = %s AND s.status = 'READY'"
        ),
        [snapshot],
    ),
)
register("LIST", _("list of cards or mobile numbers"), lambda ids: ("SELECT unnest(%s::bigint[])", [ids]))
register(
    "TAG", _("members with a tag"), lambda tag: ("SELECT member_id FROM members_membertag WHERE tag_id = %s", [tag])
)
register("TIER", _("members of a tier"), lambda tier: ("SELECT id FROM members_member WHERE tier_id = %s", [tier]))
register(
    "STORES",
    _("members at home in stores"),
    lambda ids: ("SELECT id FROM members_member WHERE home_store_id = ANY(%s)", [ids]),
)
