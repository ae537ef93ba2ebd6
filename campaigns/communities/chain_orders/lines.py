"""What one message says: whose it is, what she wants, how she gets it, and what of it is not understood. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from campaigns.communities.chain_orders.vocabulary import Catalogue, Good, Token, tokens, unit_fits

_PAST = re.compile(r"上次|上回|坏了|坏的|烂了|烂的|没收到|少了|退款|赔|昨天的|昨天买|前天买|刚吃|吃完|吃了")
_JOKE = re.compile(r"开玩笑|逗你|说着玩|做梦|全要了|包圆|白送|免费送|中了?彩票|老公不让|没钱|吃土|剁手")
_MOOD = re.compile(
    r"好吃|真甜|好甜|超甜|真香|好香|太贵|好贵|便宜|不错|流口水|馋|可惜|下次|考虑|看看|再说|想想|喜欢|想吃|爱吃|不吃|吃不|绝了|赞|推荐|收到|安排|快来|大家|给力|漂亮|期待|羡慕|听说|感觉|怕"
)
_FOR = re.compile(r"(?:帮|给|替)([\u4e00-\u9fff]{2,4}?)(?:也)?(?:带|拿|订|买|接|留|来|要)(?!个人)")
_PERSON = re.compile(r"[^\W\d_][\w·.\-]{0,11}")
DELIVERED, SELF = "delivery", "self"
_QUIET = frozenset({"SIGN", "FACE", "POLITE", "PARTICLE", "COME", "AND", "MENTION"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody wants. ``items``: (code, how many); ``pieces``: (code, which)."""

    name: str = ""
    items: tuple[tuple[str, int], ...] = ()
    pieces: tuple[tuple[str, int], ...] = ()
    pickup: str = ""
    note: str = ""
    mobile: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    start: int
    end: int
    role: str


@dataclass(frozen=True, slots=True)
class Part:
    """``kind_before``: what an unread message would have been. ``is_more``: it adds to what stands. ``old``: what is given up."""

    kind: str
    entry: Entry | None = None
    target: str = ""
    runs: tuple[Run, ...] = ()
    kind_before: str = ""
    is_more: bool = False
    only_delivery: bool = False
    old: Entry | None = None
    count: int | None = None  # of a change that names no goods


@dataclass(slots=True)
class _Goods:
    """The goods of some tokens, bound to their numbers; ``used`` and ``lost`` are places of tokens."""

    items: list[list[object]] = field(default_factory=list)  # [code, how many or None]
    pieces: list[tuple[str, int]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    loose: list[int] = field(default_factory=list)  # numbers that belong to nothing


def understand(text: str, catalogue: Catalogue, *, number: int | None, speaker: str) -> Part:
    """``number``: of the line in the chain; ``speaker``: who wrote it, where that is known."""
    found = tokens(text, catalogue)
    kinds = {token.kind for token in found}
    has_goods = "ITEM" in kinds or "PIECE" in kinds
    if kinds <= _QUIET:
        return Part("unread" if number is not None else "talk")
    if "MEDIA" in kinds and "ITEM" not in kinds:
        return Part("unread")
    if _JOKE.search(text) or number is None and _PAST.search(text):
        return Part("unread" if number is not None else "talk")
    if "CANCEL" in kinds:
        return _cancellation(text, found, catalogue, speaker)
    if number is None and ("CHANGE" in kinds or "ADD" in kinds and (speaker or "WORD" in kinds)) and (has_goods or "COUNT" in kinds):
        return _change(found, catalogue, speaker)
    if number is None and "ASK" in kinds and not ("COUNT" in kinds and "ITEM" in kinds and "?" not in text):
        return Part("question")
    if not has_goods:
        return _without_goods(text, found, number, speaker)
    if number is None and not kinds & {"COUNT", "EACH", "PIECE", "SELF", "DELIVERY"} and (_MOOD.search(text) or len(text) > 24):
        return Part("talk")
    return _order(text, found, catalogue, number, speaker)


def _without_goods(text: str, found: list[Token], number: int | None, speaker: str) -> Part:
    kinds = {token.kind for token in found}
    if number is not None or kinds & {"EACH", "HALF", "MOBILE", "WEIGHT", "TAIL"}:
        return Part("unread")
    if speaker and kinds & {"SELF", "DELIVERY", "ADDRESS"} and "WORD" not in kinds:
        entry, runs = _rest(text, found, _Goods(), speaker, None)
        return Part("order", entry, runs=runs, only_delivery=True)
    if any(token.kind == "COUNT" and token.unit for token in found) and not _MOOD.search(text):
        return Part("unread")
    return Part("talk")


# --- an order ---------------------------------------------------------------------------------------------------------


def _order(text: str, found: list[Token], catalogue: Catalogue, number: int | None, speaker: str) -> Part:
    goods = _bind(found, catalogue)
    if not goods.items and not goods.pieces:
        return Part("unread", kind_before="")
    entry, runs = _rest(text, found, goods, speaker, number)
    return Part("order", entry, runs=runs)


def _bind(found: list[Token], catalogue: Catalogue) -> _Goods:
    """Numbers to goods: behind them or, where nothing stands before, in front of them."""
    goods, binder = _Goods(), None
    binder = _Binder(found, catalogue, goods)
    for place, token in enumerate(found):
        if token.kind == "ITEM":
            binder.item(place, token)
        elif token.kind == "COUNT":
            binder.count(place, token)
        elif token.kind == "EACH":
            binder.each(place, token)
        elif token.kind == "PIECE":
            binder.piece(place, token)
        elif token.kind in ("WEIGHT", "PRICE"):
            binder.described(place, token)
        elif token.kind == "HALF":
            goods.lost.add(place)
            binder.lose_last()
    binder.end()
    return goods


class _Binder:
    def __init__(self, found: list[Token], catalogue: Catalogue, goods: _Goods) -> None:
        self.found, self.catalogue, self.goods = found, catalogue, goods
        self.count_before: tuple[int, Token] | None = None
        self.piece_before: list[tuple[int, Token]] = []
        self.each_before: Token | None = None
        self.open: list[tuple[list[object], int]] = []  # goods without a number yet, with their token
        self.last: tuple[str, int] | None = None  # code and place of the last goods
        self.last_piece = -1

    def item(self, place: int, token: Token) -> None:
        codes = self._codes(token)
        if self.piece_before and (code := self._with_piece(codes)) is not None:
            for at, one in self.piece_before:
                assert one.number is not None
                self._add_piece(code, one.number, at)
            self.piece_before, self.last = [], (code, place)
            self.goods.used.add(place)
            return
        if len(codes) != 1:
            self._ambiguous(place, codes)
            return
        (code,) = codes
        if self.last is not None and self.last[0] == code and self._is_next_to(self.last[1], place):
            self.goods.used.add(place)  # 猫山王榴莲 said twice over
            return
        row: list[object] = [code, None]
        self.goods.items.append(row)
        self.goods.used.add(place)
        self.last = (code, place)
        self.open.append((row, place))
        if self.count_before is not None:
            at, one = self.count_before
            self.count_before = None
            self._give(row, at, one)
        elif self.each_before is not None:
            row[1] = self.each_before.number
            self.open.pop()

    def count(self, place: int, token: Token) -> None:
        if self.last_piece >= 0 and self._is_next_to(self.last_piece, place) and not self.open:
            (self.goods.used if token.number == 1 else self.goods.lost).add(place)
            self.last_piece = -1
            return
        if self.open and not self._belongs_to_next(place, token):
            row, _at = self.open[-1]
            self._give(row, place, token)
            return
        if self.count_before is not None:
            self.goods.loose.append(self.count_before[0])
        self.count_before = (place, token)

    def each(self, place: int, token: Token) -> None:
        self.goods.used.add(place)
        if not self.open:
            self.each_before = token
            return
        for row, at in self.open:
            self._give(row, place, token, at)
        self.open = []

    def piece(self, place: int, token: Token) -> None:
        code = self.last[0] if self.last else None
        if code is not None and self._has_piece(code, token.number):
            self._become_piece(code)
            self._add_piece(code, token.number or 0, place)
            return
        self.piece_before.append((place, token))

    def described(self, place: int, token: Token) -> None:
        """A weight or a price that one single piece has."""
        hits = [
            (good.code, piece.no) for good in self.catalogue.goods.values() for piece in good.pieces
            if _is_said(token, piece.weight_grams, piece.price_fen) and (self.last is None or good.code == self.last[0])
        ]  # fmt: skip
        if len(hits) == 1 and hits[0] not in self.goods.pieces:
            self._become_piece(hits[0][0])
            self._add_piece(*hits[0], place)
        elif len(hits) == 1:
            self.goods.used.add(place)

    def lose_last(self) -> None:
        if self.open:
            row, at = self.open.pop()
            self.goods.items.remove(row)
            self.goods.used.discard(at)
            self.goods.lost.add(at)

    def end(self) -> None:
        if self.count_before is not None:
            self.goods.loose.append(self.count_before[0])
        for place, token in self.piece_before:
            able = [code for code in self.catalogue.goods if self._has_piece(code, token.number)]
            if len(able) == 1 and token.number is not None:
                self._add_piece(able[0], token.number, place)
            else:
                self.goods.loose.append(place)
        for row, _at in self.open:
            if row in self.goods.items:
                good = self.catalogue.goods[str(row[0])]
                if good.pieces and not any(code == good.code for code, _no in self.goods.pieces):
                    row[1] = 1
                row[1] = row[1] or 1

    def _codes(self, token: Token) -> tuple[str, ...]:
        return token.codes

    def _give(self, row: list[object], place: int, token: Token, item_place: int | None = None) -> None:
        good: Good = self.catalogue.goods[str(row[0])]
        times = unit_fits(token.unit, good)
        if times and token.number:
            row[1] = token.number * times
            self.goods.used.add(place)
        else:
            at = item_place if item_place is not None else next((p for r, p in self.open if r is row), -1)
            self.goods.items.remove(row)
            self.goods.lost |= {place, at} - {-1}
            self.goods.used.discard(at)
        self.open = [(one, at) for one, at in self.open if one is not row]

    def _belongs_to_next(self, place: int, token: Token) -> bool:
        """2盒 in 猫山王 2盒草莓: directly before other goods, and not directly behind these."""
        after = self.found[place + 1] if place + 1 < len(self.found) else None
        before = self.found[place - 1] if place else None
        is_glued = after is not None and after.kind == "ITEM" and after.start == token.end
        return is_glued and not (before is not None and before.kind == "ITEM" and before.end == token.start)

    def _ambiguous(self, place: int, codes: tuple[str, ...]) -> None:
        able = [code for code in codes if self.catalogue.goods[code].pieces]
        later = next((t for t in self.found[place + 1 :] if t.kind in ("PIECE", "ITEM", "COUNT")), None)
        if later is not None and later.kind == "PIECE":
            fits = [code for code in able if self._has_piece(code, later.number)]
            if len(fits) == 1:
                self.last = (fits[0], place)
                self.goods.used.add(place)
                return
        self.goods.lost.add(place)
        if self.count_before is not None:
            self.goods.lost.add(self.count_before[0])
            self.count_before = None
        elif later is not None and later.kind == "COUNT":
            self.goods.lost.add(self.found.index(later))

    def _with_piece(self, codes: tuple[str, ...]) -> str | None:
        fits = [code for code in codes if all(self._has_piece(code, token.number) for _at, token in self.piece_before)]
        return fits[0] if len(fits) == 1 else None

    def _has_piece(self, code: str, number: int | None) -> bool:
        return any(piece.no == number for piece in self.catalogue.goods[code].pieces)

    def _become_piece(self, code: str) -> None:
        """The goods were said only to say which piece of them."""
        for row, _at in list(self.open):
            if row[0] == code and row[1] is None:
                self.goods.items.remove(row)
                self.open = [(one, at) for one, at in self.open if one is not row]

    def _add_piece(self, code: str, number: int, place: int) -> None:
        if (code, number) not in self.goods.pieces:
            self.goods.pieces.append((code, number))
        self.goods.used.add(place)
        self.last, self.last_piece = (code, place), place

    def _is_next_to(self, a: int, b: int) -> bool:
        return all(token.kind in _QUIET for token in self.found[a + 1 : b])


def _is_said(token: Token, grams: int, fen: int) -> bool:
    said = re.sub(r"[^\d.]", "", token.text)
    if not said or said.count(".") > 1:
        return False
    value = float(said)  # a weight as people round it; no money is counted with it
    if token.kind == "PRICE":
        return round(value * 100) == fen
    per = 1 if re.search("克|[gG]$", token.text) and not re.search("[kK千]", token.text) else (1000 if re.search("[kK公千]", token.text) else 500)  # fmt: skip
    return abs(value * per - grams) < (1 if per == 1 else per / 20)


# --- whose, how and what else -----------------------------------------------------------------------------------------


def _rest(text: str, found: list[Token], goods: _Goods, speaker: str, number: int | None) -> tuple[Entry, tuple[Run, ...]]:
    """The entry, and what each run of the message is."""
    roles: dict[int, str] = {place: "GOODS" for place in goods.used} | {place: "UNREAD" for place in goods.lost}
    name = speaker
    for_whom = _FOR.search(text)
    if for_whom and for_whom[1] not in ("我", "自己") and not for_whom[1].startswith("我"):
        name = for_whom[1]
        for place, token in enumerate(found):
            if token.start < for_whom.end(1) + 1 and token.end > for_whom.start() and place not in roles:
                roles[place] = "NAME" if token.kind == "WORD" else "POLITE"
    notes: list[str] = []
    pickup, mobile = "", ""
    first_goods = min(goods.used, default=len(found))
    words = [place for place, token in enumerate(found) if token.kind == "WORD" and place not in roles]
    if not name and words:
        before = [place for place in words if place < first_goods]
        chosen = next((place for place in (*before, *words) if _PERSON.fullmatch(found[place].text)), None)
        if chosen is not None:
            name, roles[chosen] = found[chosen].text, "NAME"
    for place, token in enumerate(found):
        if place in roles:
            continue
        role = _role(place, token, found, goods, pickup)
        if role == "NAME_AGAIN" or token.kind == "WORD" and token.text == name:
            role = "NAME"
        roles[place] = role
        if role == "NOTE":
            notes.append(token.text.strip())
        elif role == "MOBILE":
            mobile = re.sub(r"\D", "", token.text)[-11:]
        elif role == "PICKUP":
            pickup = pickup or (SELF if token.kind == "SELF" else DELIVERED)
    items: dict[str, int] = {}
    for code, count in goods.items:
        items[str(code)] = items.get(str(code), 0) + int(str(count))
    entry = Entry(name, tuple(items.items()), tuple(goods.pieces), pickup, " ".join(notes), mobile, number)
    return entry, tuple(Run(token.start, token.end, roles[place]) for place, token in enumerate(found))


def _role(place: int, token: Token, found: list[Token], goods: _Goods, pickup: str) -> str:
    if token.kind in _QUIET or token.kind in ("ADD", "CHANGE", "CANCEL"):
        return "POLITE" if token.kind != "SIGN" else "SIGN"
    if token.kind in ("SELF", "DELIVERY"):
        return "PICKUP"
    if token.kind in ("ADDRESS", "NOTE", "TAIL"):
        return "NOTE"
    if token.kind == "MOBILE":
        return "MOBILE"
    if token.kind == "WORD" and pickup == DELIVERED and _follows_delivery(place, found):
        return "NOTE"
    return "UNREAD"


def _follows_delivery(place: int, found: list[Token]) -> bool:
    return any(token.kind in ("DELIVERY", "ADDRESS") for token in found[max(0, place - 2) : place])


# --- changes and cancellations ----------------------------------------------------------------------------------------


def _target(found: list[Token], goods: _Goods, speaker: str) -> tuple[str, set[int]]:
    """By a number of a line (2号), else a name, else who speaks."""
    for place, token in enumerate(found):
        is_number = token.kind == "PIECE" and place not in goods.used or token.kind == "COUNT" and not token.unit and place in goods.loose
        if is_number and token.number is not None:
            return str(token.number), {place}
    if speaker:
        return speaker, set()
    for place, token in enumerate(found):
        if token.kind == "WORD" and _PERSON.fullmatch(token.text):
            return token.text, {place}
    return "", set()


def _cancellation(text: str, found: list[Token], catalogue: Catalogue, speaker: str) -> Part:
    has_items = any(token.kind == "ITEM" for token in found)
    goods = _bind(found, catalogue) if has_items else _Goods(loose=[p for p, t in enumerate(found) if t.kind == "COUNT"])
    changes = [place for place, token in enumerate(found) if token.kind == "CHANGE"]
    if changes and has_items:
        return _change(found, catalogue, speaker)
    target, used = _target(found, goods, speaker)
    if not target:
        return Part("cancel")
    entry, runs = _rest(text, found, goods, target, None)
    fixed = tuple(replace(run, role="TARGET") if place in used else run for place, run in enumerate(runs))
    wanted = Entry(target, entry.items, entry.pieces) if has_items else None
    return Part("cancel", wanted, target, fixed)


def _change(found: list[Token], catalogue: Catalogue, speaker: str) -> Part:
    """From what stands before the word to what stands behind it; with "more" it adds."""
    at = next(place for place, token in enumerate(found) if token.kind in ("CHANGE", "ADD"))
    if found[at].kind == "ADD" and any(token.kind == "CHANGE" for token in found):
        at = next(place for place, token in enumerate(found) if token.kind == "CHANGE")
    is_more = found[at].kind == "ADD"
    before = [replace(token, kind="SIGN") if place >= at else token for place, token in enumerate(found)]
    after = [replace(token, kind="SIGN") if place <= at else token for place, token in enumerate(found)]
    old, new = _bind(before, catalogue), _bind(after, catalogue)
    count = None
    loose = [place for place in new.loose if found[place].kind == "COUNT"]
    if not new.items and not new.pieces and len(loose) == 1:
        count = found[loose[0]].number
        new.used.add(loose[0])
        if len(old.items) == 1:
            new.items.append([old.items[0][0], count])
            old.items = []
    elif new.loose:
        _same_kind(found, catalogue, old, new)
    both = _Goods(new.items, new.pieces, old.used | new.used, old.lost | new.lost, [p for p in old.loose if p < at])
    target, used = _target(found[:at], both, speaker)
    if not target:
        target, used = _target(found, both, speaker)
    entry, runs = _rest("", found, both, target, None)
    fixed = tuple(replace(run, role="TARGET") if place in used else run for place, run in enumerate(runs))
    given_up = Entry(target, tuple((str(c), int(str(n))) for c, n in old.items), tuple(old.pieces))
    return Part("change", entry, target, fixed, is_more=is_more, old=given_up, count=count)


def _same_kind(found: list[Token], catalogue: Catalogue, old: _Goods, new: _Goods) -> None:
    """3号榴莲换成5号的: the second piece is of the goods of the first."""
    codes = {code for code, _no in old.pieces}
    for place in list(new.loose):
        number = found[place].number
        fits = [code for code in codes if any(piece.no == number for piece in catalogue.goods[code].pieces)]
        if found[place].kind == "PIECE" and len(fits) == 1 and number is not None:
            new.pieces.append((fits[0], number))
            new.used.add(place)
            new.loose.remove(place)


# --- carrying out -----------------------------------------------------------------------------------------------------


def has_any(line: Entry, wanted: Entry) -> bool:
    codes = {code for code, _count in wanted.items}
    return bool(codes & {code for code, _count in line.items} or set(wanted.pieces) & set(line.pieces) or codes & {c for c, _n in line.pieces})


def without(line: Entry, given_up: Entry | None) -> Entry | None:
    """The line without some goods; None when nothing is left of it, or all was given up."""
    if given_up is None or not (given_up.items or given_up.pieces):
        return None
    codes = {code for code, _count in given_up.items}
    items = tuple(item for item in line.items if item[0] not in codes)
    pieces = tuple(piece for piece in line.pieces if piece not in given_up.pieces and piece[0] not in codes)
    return replace(line, items=items, pieces=pieces) if items or pieces else None


def changed(line: Entry, part: Part) -> Entry | None:
    """The line after the change; None when it is not clear what changes."""
    entry = part.entry
    assert entry is not None
    items, pieces = dict(line.items), [piece for piece in line.pieces if part.old is None or piece not in part.old.pieces]
    if not entry.items and not entry.pieces:
        if part.count is None or len(items) != 1 or pieces:
            return _other_delivery(line, entry)
        (code,) = items
        items[code] = items[code] + part.count if part.is_more else part.count
    for code, _count in part.old.items if part.old else ():
        items.pop(code, None)
    for code, count in entry.items:
        items[code] = items.get(code, 0) + count if part.is_more else count
    pieces += [piece for piece in entry.pieces if piece not in pieces]
    done = replace(line, items=tuple(items.items()), pieces=tuple(pieces))
    return _other_delivery(done, entry) or done


def _other_delivery(line: Entry, entry: Entry) -> Entry | None:
    if not entry.pickup and not entry.note:
        return None
    return replace(line, pickup=entry.pickup or line.pickup, note=entry.note or line.note)


def codes_of(entry: Entry) -> Iterator[str]:
    yield from (code for code, _count in entry.items)
    yield from (code for code, _no in entry.pieces)
