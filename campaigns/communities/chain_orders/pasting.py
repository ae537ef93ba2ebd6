"""A chain order pasted out of the chat: what it says is shown first, and saved as it was shown and corrected.

1. What was read is compared with what stands in the chain: who is new, whose number changes, who cancels, what is the same. Nothing
   is written by looking (``plan``).
2. A row of the plan names what stood when it was shown; where that has changed in between, saving refuses that row.
3. A row that cannot be saved as it is (halves, goods not offered, a person not known) says why and is corrected or left out by hand.
4. Saving carries out each row by itself, so that the stock that runs out for one leaves the others saved; what was refused is told.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from campaigns.communities.chain_orders import joining, reading
from campaigns.communities.chain_orders.lines import Entry
from campaigns.communities.chain_orders.refusals import ChainRefused
from campaigns.communities.chain_orders.vocabulary import Good, Piece
from campaigns.communities.stock import StockBusy
from campaigns.models import ChainItem, ChainLine, ChainOrder, ChainPerson
from scrm import crypto

MOST_ROWS = 500
NEW, CHANGES, CANCELS, SAME, FAULT = "NEW", "CHANGES", "CANCELS", "SAME", "FAULT"
DELIVERY_WORDS = {"self": "自提", "delivery": "送货"}  # as it stands in her note


@dataclass(frozen=True, slots=True)
class Wanted:
    item_id: int
    quantity: int
    was: int


@dataclass(frozen=True, slots=True)
class Row:
    """``what``: NEW, CHANGES, CANCELS, SAME or FAULT; ``fault`` says why it cannot be saved as it is."""

    name: str
    wanted: tuple[Wanted, ...] = ()
    note: str = ""
    mobile: str = ""
    what: str = NEW
    fault: str = ""
    person_id: int | None = None
    number: int | None = None


@dataclass(slots=True)
class Plan:
    rows: list[Row] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    talk: list[str] = field(default_factory=list)
    missing: list[str] = field(
        default_factory=list
    )  # who has unpaid lines and is not in a text that looks like the whole list


@dataclass(slots=True)
class Saved:
    saved: int = 0
    refused: list[tuple[Row, str]] = field(default_factory=list)


def goods_of(items: Sequence[ChainItem]) -> list[Good]:
    """The items as the reader takes them; single pieces of one name are one good with several pieces."""
    by_name: dict[str, list[ChainItem]] = defaultdict(list)
    for item in items:
        by_name[item.name].append(item)
    found = []
    for name, group in by_name.items():
        pieces = tuple(
            Piece(item.piece_no, item.weight_grams or 0, item.unit_fen) for item in group if item.piece_no is not None
        )
        aliases = tuple(dict.fromkeys(alias for item in group for alias in item.aliases))
        found.append(Good(name, name, aliases, group[0].unit, pieces))
    return found


# --- operations -------------------------------------------------------------------------------------------------------


def plan(*, chain: ChainOrder, text: str) -> Plan:
    """What saving the text would do. Raises ChainRefused for a text that is too long."""
    if len(text) > reading.LONGEST:
        raise ChainRefused(
            _("The text is too long; paste at most %(most)s characters.") % {"most": reading.LONGEST}, code="chain_text_long",
            extra={"fields": {"text": _("The text is too long.")}},
        )  # fmt: skip
    items = list(ChainItem.objects.filter(chain=chain).select_related("stock").order_by("number"))
    found = reading.read(text, goods_of(items))
    stands = _Standing(chain, items)
    result = Plan(unread=list(found.unread), talk=list(found.talk))
    result.rows = [stands.row(entry) for entry in _by_person(found.lines)]
    result.rows += stands.cancelled(found)
    if len([line for line in found.lines if line.number is not None]) > 1:
        named = {_same(row.name) for row in result.rows}
        result.missing = [
            person.name for person in stands.people if stands.lines.get(person.pk) and _same(person.name) not in named
        ]
    return result


def save(*, chain_id: int, rows: Sequence[Row], actor: Any, now: dt.datetime) -> Saved:
    """Each row by itself; the refused ones are told with their reason."""
    result = Saved()
    for row in rows[:MOST_ROWS]:
        if row.what == SAME:
            continue
        who = joining.Who(name=row.name, mobile=row.mobile, person_id=row.person_id, note=row.note, is_trusted=True)
        wishes = [joining.Wish(one.item_id, one.quantity, one.was) for one in row.wanted]
        try:
            joining.join(chain_id=chain_id, who=who, wishes=wishes, source=ChainLine.Source.CHAT, actor=actor, now=now)
            result.saved += 1
        except (ChainRefused, StockBusy) as error:
            result.refused.append((row, error.message))
    return result


# --- comparing --------------------------------------------------------------------------------------------------------


def _same(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip()


def _by_person(lines: Sequence[Entry]) -> list[Entry]:
    """Two lines of one person are one wish."""
    found: dict[str, Entry] = {}
    for line in lines:
        name = _same(line.name)
        before = found.get(name) if name else None
        if before is None:
            found[name or f"?{len(found)}"] = line
            continue
        items = dict(before.items)
        for code, count in line.items:
            items[code] = items.get(code, 0) + count
        note = "；".join(filter(None, (before.note, line.note)))
        found[name] = Entry(
            before.name, tuple(items.items()), (*before.pieces, *line.pieces), before.pickup or line.pickup, note,
            before.mobile or line.mobile, before.number,
        )  # fmt: skip
    return list(found.values())


class _Standing:
    """What stands in the chain."""

    def __init__(self, chain: ChainOrder, items: Sequence[ChainItem]) -> None:
        self.whole = {item.name: item for item in items if item.piece_no is None}
        self.pieces = {(item.name, item.piece_no): item for item in items if item.piece_no is not None}
        self.people = list(ChainPerson.objects.filter(chain=chain, picked_up_at=None).order_by("number"))
        self.lines: dict[int, dict[int, int]] = defaultdict(dict)
        rows = ChainLine.objects.filter(person__chain=chain, status=ChainLine.Status.TAKEN)
        for person_id, item_id, quantity in rows.values_list("person_id", "item_id", "quantity"):
            self.lines[person_id][item_id] = quantity

    def row(self, entry: Entry) -> Row:
        name, number = _same(entry.name)[: joining.NAME_LENGTH], None
        found = self._people(name, entry.mobile)
        person = found[0] if len(found) == 1 else None
        has = self.lines[person.pk] if person else {}
        wanted, fault = self._wanted(entry, has)
        if not fault and not name:
            fault = _("Nobody is named; say who it is.")
        if not fault and len(found) > 1:
            fault = _("Two people here are called %(name)s; say which one, by number.") % {"name": name}
        note = "；".join(filter(None, (DELIVERY_WORDS.get(entry.pickup, ""), entry.note)))[: joining.NOTE_LENGTH]
        what = (
            FAULT
            if fault
            else NEW
            if person is None
            else SAME
            if all(one.quantity == one.was for one in wanted)
            else CHANGES
        )
        number = person.number if person else entry.number
        return Row(name, wanted, note, entry.mobile, what, fault, person.pk if person else None, number)

    def cancelled(self, found: reading.Reading) -> list[Row]:
        """Who cancels something that stands here and not in the text."""
        rows = []
        for part in found.said:
            is_zero = part.kind == reading.CHANGE and part.entry and any(not count for _code, count in part.entry.items)
            if part.kind != reading.CANCEL or is_zero:
                continue
            for target in part.target.split(","):
                rows += self._cancel(target, part.entry)
        return rows

    def _cancel(self, target: str, entry: Entry | None) -> list[Row]:
        people = [one for one in self.people if target.isdecimal() and one.number == int(target)] or self._people(
            _same(target), ""
        )
        if len(people) != 1:
            return []
        (person,) = people
        has = self.lines[person.pk]
        ids = [item.pk for item in self._items(entry)] if entry and (entry.items or entry.pieces) else list(has)
        wanted = tuple(Wanted(pk, 0, has[pk]) for pk in ids if pk in has)
        return [Row(person.name, wanted, what=CANCELS, person_id=person.pk, number=person.number)] if wanted else []

    def _people(self, name: str, mobile: str) -> list[ChainPerson]:
        e164 = crypto.normalise_mobile(mobile) if mobile else None
        index = crypto.mobile_index(e164) if e164 else ""
        by_mobile = [person for person in self.people if index and person.mobile_index == index]
        return by_mobile or [person for person in self.people if name and _same(person.name) == name]

    def _items(self, entry: Entry) -> list[ChainItem]:
        whole = [self.whole[code] for code, _count in entry.items if code in self.whole]
        return whole + [self.pieces[piece] for piece in entry.pieces if piece in self.pieces]

    def _wanted(self, entry: Entry, has: dict[int, int]) -> tuple[tuple[Wanted, ...], str]:
        wanted, fault = [], ""
        for code, count in entry.items:
            item = self.whole[code]
            if count != int(count):
                fault = _("“%(item)s” is sold in whole %(unit)s only; %(count)s was read.") % {"item": item.name, "unit": item.unit, "count": count}  # fmt: skip
            wanted.append(Wanted(item.pk, int(count), has.get(item.pk, 0)))
        for piece in entry.pieces:
            item = self.pieces[piece]
            wanted.append(Wanted(item.pk, 1, has.get(item.pk, 0)))
        if not wanted:
            fault = _("It names no goods.")
        return tuple(wanted), fault
