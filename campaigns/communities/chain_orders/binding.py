"""Which number, unit or piece belongs to which goods of a message. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

from campaigns.communities.chain_orders.vocabulary import Catalogue, Good, Token, unit_fits

QUIET = frozenset({"SIGN", "FACE", "POLITE", "PARTICLE", "COME", "AND", "MENTION"})  # tokens that say nothing


@dataclass(slots=True, eq=False)
class Row:
    """``count`` None: not said yet."""

    code: str
    count: int | Decimal | None = None


@dataclass(slots=True)
class Goods:
    """The goods of some tokens, bound to their numbers; ``used`` and ``lost`` are places of tokens."""

    items: list[Row] = field(default_factory=list)
    pieces: list[tuple[str, int]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    loose: list[int] = field(default_factory=list)  # numbers that belong to nothing


def widen(found: list[Token], goods: Goods) -> None:
    """What stands between two tokens that are not understood is not understood either: 牛奶来几瓶."""
    last = -1
    for place in sorted(goods.lost):
        between = range(last + 1, place)
        if (
            last >= 0
            and len(between) <= 2
            and all(found[one].kind in QUIET and not found[one].text.isspace() for one in between)
        ):
            goods.lost |= set(between)
        last = place


def bind(found: list[Token], catalogue: Catalogue) -> Goods:
    """Numbers to goods: behind them or, where nothing stands before, in front of them."""
    goods = Goods()
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
        elif token.kind == "VAGUE":
            goods.lost.add(place)
            binder.lose_last()
    binder.end()
    return goods


class _Binder:
    def __init__(self, found: list[Token], catalogue: Catalogue, goods: Goods) -> None:
        self.found, self.catalogue, self.goods = found, catalogue, goods
        self.count_before: tuple[int, Token] | None = None
        self.piece_before: list[tuple[int, Token]] = []
        self.each_before: Token | None = None
        self.open: list[tuple[Row, int]] = []  # goods without a number yet, with their token
        self.last: tuple[str, int] | None = None  # code and place of the last goods
        self.last_piece = -1

    def item(self, place: int, token: Token) -> None:
        codes = token.codes
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
        row = Row(code)
        self.goods.items.append(row)
        self.goods.used.add(place)
        self.last = (code, place)
        self.open.append((row, place))
        if self.count_before is not None:
            at, one = self.count_before
            self.count_before = None
            self._give(row, at, one)
        elif self.each_before is not None:
            row.count = self.each_before.number
            self.open.pop()

    def count(self, place: int, token: Token) -> None:
        if place in self.goods.lost:
            return
        if self.last_piece >= 0 and self._is_next_to(self.last_piece, place) and not self.open:
            (self.goods.used if token.number == 1 else self.goods.lost).add(place)
            self.last_piece = -1
            return
        if self._is_of_unknown(place, token):
            self.goods.lost |= {place - 1, place}
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
        for row, at in self.open:
            if row in self.goods.items:
                good = self.catalogue.goods[row.code]
                if good.pieces:  # sold by the piece, and no piece was said
                    self.goods.items.remove(row)
                    self.goods.used.discard(at)
                    self.goods.lost.add(at)
                row.count = row.count or 1

    def _give(self, row: Row, place: int, token: Token, item_place: int | None = None) -> None:
        good: Good = self.catalogue.goods[row.code]
        times = unit_fits(token.unit, good) if not good.pieces else 0
        if times and token.number:
            row.count = token.number * times
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

    def _is_of_unknown(self, place: int, token: Token) -> bool:
        """山竹2斤: a word that is none of the goods, with its own number."""
        before = self.found[place - 1] if place else None
        after = self.found[place + 1] if place + 1 < len(self.found) else None
        is_next = after is not None and (
            after.kind == "ITEM"
            or after.text == "的"
            or (after.kind == "SIGN" and after.text.isspace() and token.unit == "")
        )
        has_name = any(one.kind == "WORD" for one in self.found[: place - 1]) if place else False
        return bool(
            token.unit
            and before is not None
            and before.kind == "WORD"
            and before.end == token.start
            and not is_next
            and has_name
        )

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

    def _has_piece(self, code: str, number: int | Decimal | None) -> bool:
        return any(piece.no == number for piece in self.catalogue.goods[code].pieces)

    def _become_piece(self, code: str) -> None:
        """The goods were said only to say which piece of them."""
        for row, _at in list(self.open):
            if row.code == code and row.count is None:
                self.goods.items.remove(row)
                self.open = [(one, at) for one, at in self.open if one is not row]

    def _add_piece(self, code: str, said: int | Decimal, place: int) -> None:
        number = int(said)
        if (code, number) not in self.goods.pieces:
            self.goods.pieces.append((code, number))
        self.goods.used.add(place)
        self.last, self.last_piece = (code, place), place

    def _is_next_to(self, a: int, b: int) -> bool:
        return all(token.kind in QUIET for token in self.found[a + 1 : b])


def _is_said(token: Token, grams: int, fen: int) -> bool:
    said = re.sub(r"[^\d.]", "", token.text)
    if not said or said.count(".") > 1:
        return False
    value = float(said)  # a weight as people round it; no money is counted with it
    if token.kind == "PRICE":
        return round(value * 100) == fen
    per = 1 if re.search("克|[gG]$", token.text) and not re.search("[kK千]", token.text) else (1000 if re.search("[kK公千]", token.text) else 500)  # fmt: skip
    return abs(value * per - grams) < (1 if per == 1 else per / 20)
