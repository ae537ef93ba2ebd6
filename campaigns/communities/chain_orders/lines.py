"""What one message says: whose it is, what she wants, how she gets it, and what of it is not understood. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from campaigns.communities.chain_orders.binding import QUIET, Goods, Row, bind, widen
from campaigns.communities.chain_orders.vocabulary import Catalogue, Token, tokens

_PAST = re.compile(
    r"你的|有空来|信不信|上次|上回|坏了|坏的|烂了|烂的|没收到|少了|退款|赔|昨天的|昨天买|前天买|刚吃|吃完|吃了"
)
_JOKE = re.compile(r"信不信|能吃\d+|开玩笑|逗你|说着玩|做梦|全要了|包圆|白送|免费送|中了?彩票|老公不让|没钱|吃土|剁手")
_MOOD = re.compile(
    r"好吃|真甜|好甜|超甜|真香|好香|太贵|好贵|便宜|不错|流口水|馋|可惜|下次|考虑|看看|再说|想想|喜欢|想吃|爱吃|不吃|吃不|绝了|赞|推荐|收到|安排|快来|大家|给力|漂亮|期待|羡慕|听说|感觉|怕"
)
_OFFER = re.compile(r"到货|要的(?:报|接|扣|\s*\+)|报数|开始接|现货|特价|今日价|截止")
_ASKED = re.compile(r"多少钱|怎么卖|什么价|啥价|还在不在|还有没有|还有吗|还有不")
_UNSURE = re.compile(
    r"如果|要是|有货|的话|还是|或者|拼|一人一半|可能|看情况|不一定|的我帮?[拿带取]|我和\S{1,4}各|我跟\S{1,4}各|咱俩|我们俩"
)
_CLAUSE = re.compile(r"[,，;；。!！\n…]+")
_FOR = re.compile(r"(?:帮|给|替)([\u4e00-\u9fff]{2,4}?)(?:也)?(?:带|拿|订|买|接|留|来|要)(?!个人)")
_PERSON = re.compile(r"(?=.*[^\W\d_])\w[\w·.\-]{0,11}")
DELIVERED, SELF = "delivery", "self"


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody wants. ``items``: (code, how many); ``pieces``: (code, which)."""

    name: str = ""
    items: tuple[tuple[str, int | Decimal], ...] = ()
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
    also: str = ""  # a kind that a clause of it is besides
    offered: tuple[str, ...] = ()  # goods that talk offers: the "+1" below are of them
    like: str = ""  # as the line above (同上), or as the one quoted (一样)
    old: Entry | None = None
    count: int | Decimal | None = None  # of a change that names no goods


def understand(text: str, catalogue: Catalogue, *, number: int | None, speaker: str) -> Part:
    """``number``: of the line in the chain; ``speaker``: who wrote it, where that is known."""
    found = tokens(text, catalogue)
    found = _named(found, speaker)
    kinds = {token.kind for token in found}
    has_goods = "ITEM" in kinds or "PIECE" in kinds
    part = _no_order(text, found, kinds, number, speaker) or _about_others(text, found, catalogue, number, speaker)
    if part is not None:
        return part
    if number is None and "ASK" in kinds and not ("COUNT" in kinds and "ITEM" in kinds):
        return Part(
            "question"
            if has_goods or kinds & {"SELF", "DELIVERY"} or re.search("几点|什么时候|啥时候|多少钱", text)
            else "talk"
        )
    if not has_goods:
        return _without_goods(text, found, number, speaker)
    is_vague = not any(len(token.codes) == 1 for token in found if token.kind == "ITEM")
    if number is None and is_vague and len(text) > 8 and not kinds & {"COUNT", "EACH", "PIECE", "VAGUE"}:
        return Part("talk")
    if (
        number is None
        and not kinds & {"COUNT", "EACH", "PIECE", "SELF", "DELIVERY"}
        and (_MOOD.search(text) or len(text) > 24)
    ):
        return Part("talk")
    return _order(text, found, catalogue, number, speaker)


def _no_order(text: str, found: list[Token], kinds: set[str], number: int | None, speaker: str) -> Part | None:
    """What is no order, whatever goods it names."""
    has_goods = bool(kinds & {"ITEM", "PIECE"})
    if kinds <= QUIET:
        return Part("unread" if number is not None else "talk")
    if "MEDIA" in kinds and "ITEM" not in kinds:
        return Part("unread")
    if _JOKE.search(text) or (number is None and _PAST.search(text)):
        return Part("unread" if number is not None else "talk")
    if number is None and _OFFER.search(text) and not (speaker and "WORD" not in kinds):
        return Part(
            "talk", offered=tuple(dict.fromkeys(t.codes[0] for t in found if t.kind == "ITEM" and len(t.codes) == 1))
        )
    if (number is None and has_goods and _ASKED.search(text)) or (
        "CANCEL" in kinds and re.search(r"[吗么?？]\s*$", text)
    ):
        return Part("question")
    return None


def _about_others(text: str, found: list[Token], catalogue: Catalogue, number: int | None, speaker: str) -> Part | None:
    """As somebody else, a cancellation, a change."""
    kinds = {token.kind for token in found}
    has_goods = bool(kinds & {"ITEM", "PIECE"})
    if re.search("同上|跟上面一样|同楼上", text) and "ITEM" not in kinds:
        return _alike(text, found, "above", speaker, number)
    if re.search("一样的", text) and "ITEM" not in kinds and speaker:
        return _alike(text, found, "quoted", speaker, number)
    if "CANCEL" in kinds:
        return _cancellation(text, found, catalogue, speaker)
    if (
        number is None
        and ("CHANGE" in kinds or ("ADD" in kinds and (speaker or "WORD" in kinds)))
        and (has_goods or kinds & {"COUNT", "SELF", "DELIVERY"})
    ):
        return _change(found, catalogue, speaker)
    return None


def _named(found: list[Token], speaker: str) -> list[Token]:
    """The first word of a line, up to a blank, is a name even where it holds numbers and goods (503小李, 草莓味的猫)."""
    gap = next((place for place, token in enumerate(found) if token.kind == "SIGN" and token.text[:1].isspace()), None)
    if speaker or not gap:
        return found
    chunk, rest = found[:gap], found[gap:]
    kinds = {token.kind for token in chunk}
    is_plain = not any(token.kind in ("CANCEL", "CHANGE", "EACH", "MENTION", "MOBILE", "SELF", "DELIVERY", "VAGUE", "SIGN", "FACE") or (token.kind == "COUNT" and token.unit) for token in chunk)  # fmt: skip
    has_more = any(token.kind in ("ITEM", "PIECE") for token in rest)
    if "WORD" not in kinds or len(kinds) == 1 or not is_plain or not has_more or chunk[-1].end - chunk[0].start > 12:
        return found
    text = "".join(token.text for token in chunk)
    return [Token("WORD", chunk[0].start, chunk[-1].end, text), *rest]


def _alike(text: str, found: list[Token], like: str, speaker: str, number: int | None) -> Part:
    """What she wants is what somebody else wants; the words that say so are hers no more."""
    where = re.search("同上|跟上面一样|同楼上|也?要?一样的", text)
    assert where is not None
    kept = [
        replace(token, kind="POLITE")
        if token.start < where.end() and token.end > where.start() and token.kind != "WORD"
        else token
        for token in found
    ]
    cut: list[Token] = []
    for token in kept:
        if token.kind == "WORD" and token.start < where.end() and token.end > where.start():
            if token.start < where.start():
                cut.append(replace(token, end=where.start(), text=text[token.start : where.start()]))
            cut.append(
                Token(
                    "POLITE",
                    max(token.start, where.start()),
                    token.end,
                    text[max(token.start, where.start()) : token.end],
                )
            )
            continue
        cut.append(token)
    entry, runs = _rest(text, cut, Goods(), speaker, number)
    return Part("order", entry, runs=runs, like=like)


def _without_goods(text: str, found: list[Token], number: int | None, speaker: str) -> Part:
    kinds = {token.kind for token in found}
    counts = [token for token in found if token.kind == "COUNT"]
    if speaker and len(counts) == 1 and not counts[0].unit and "WORD" not in kinds:
        entry, runs = _rest(text, found, Goods(used={found.index(counts[0])}), speaker, number)
        return Part("order", entry, runs=runs, like="offered", count=int(counts[0].number or 0))
    if number is not None or kinds & {"EACH", "HALF", "MOBILE", "WEIGHT", "TAIL"}:
        return Part("unread")
    if speaker and kinds & {"SELF", "DELIVERY", "ADDRESS"} and "WORD" not in kinds:
        entry, runs = _rest(text, found, Goods(), speaker, None)
        return Part("order", entry, runs=runs, only_delivery=True)
    if any(token.unit for token in counts) and not _MOOD.search(text):
        return Part("unread")
    return Part("talk")


# --- an order ---------------------------------------------------------------------------------------------------------


def _order(text: str, found: list[Token], catalogue: Catalogue, number: int | None, speaker: str) -> Part:
    unsure, asking = _clauses(text, found)
    kept = [replace(token, kind="UNSURE") if place in unsure else replace(token, kind="ASKING") if place in asking else token for place, token in enumerate(found)]  # fmt: skip
    goods = bind(kept, catalogue)
    if not goods.items and not goods.pieces:
        return Part("unread")
    widen(kept, goods)
    entry, runs = _rest(text, kept, goods, speaker, number)
    return Part("order", entry, runs=runs, also="question" if asking else "")


def _clauses(text: str, found: list[Token]) -> tuple[set[int], set[int]]:
    """Tokens of clauses that are not sure (如果…), and of those that only ask."""
    unsure: set[int] = set()
    asking: set[int] = set()
    start = 0
    ends = [*(match.end() for match in _CLAUSE.finditer(text)), len(text)]
    for end in ends:
        inside = [place for place, token in enumerate(found) if start <= token.start < end]
        kinds = {found[place].kind for place in inside}
        if _UNSURE.search(text, start, end):
            unsure |= {place for place in inside if found[place].kind != "SIGN"}
        elif "ASK" in kinds and not kinds & {"ITEM", "COUNT", "PIECE"}:
            asking |= set(inside)
        start = end
    return unsure, asking


# --- whose, how and what else -----------------------------------------------------------------------------------------


def _rest(
    text: str, found: list[Token], goods: Goods, speaker: str, number: int | None
) -> tuple[Entry, tuple[Run, ...]]:
    """The entry, and what each run of the message is."""
    roles: dict[int, str] = dict.fromkeys(goods.used, "GOODS") | dict.fromkeys(goods.lost, "UNREAD")
    name = _whose(text, found, goods, speaker, roles)
    notes: list[str] = []
    pickup, mobile = "", ""
    for place, token in enumerate(found):
        if place in roles:
            continue
        role = _role(place, token, found, goods, pickup)
        if token.kind == "WORD" and token.text == name:
            role = "NAME"
        roles[place] = role
        if role == "NOTE":
            notes.append(token.text.strip())
            pickup = pickup or (SELF if re.search("代[拿取收]", token.text) else "")
        elif role == "MOBILE":
            mobile = re.sub(r"\D", "", token.text)[-11:]
        elif role == "PICKUP":
            pickup = pickup or (SELF if token.kind == "SELF" else DELIVERED)
    items: dict[str, int | Decimal] = {}
    for row in goods.items:
        items[row.code] = items.get(row.code, 0) + (row.count or 1)
    entry = Entry(name, tuple(items.items()), tuple(goods.pieces), pickup, "；".join(notes), mobile, number)
    return entry, tuple(Run(token.start, token.end, roles[place]) for place, token in enumerate(found))


def _whose(text: str, found: list[Token], goods: Goods, speaker: str, roles: dict[int, str]) -> str:
    """Whoever it is for (帮李姐带), who speaks, or the first word in front of the goods; its place goes into ``roles``."""
    for_whom = _FOR.search(text)
    if for_whom and not for_whom[1].startswith(("我", "自己")):
        for place, token in enumerate(found):
            if token.start < for_whom.end(1) + 1 and token.end > for_whom.start() and place not in roles:
                roles[place] = "NAME" if token.kind == "WORD" else "POLITE"
        return for_whom[1]
    if speaker:
        return speaker
    first_goods = min(goods.used, default=len(found))
    words = [place for place, token in enumerate(found) if token.kind == "WORD" and place not in roles]
    before = [place for place in words if place < first_goods]
    chosen = next((place for place in (*before, *words) if _PERSON.fullmatch(found[place].text)), None)
    if chosen is None:
        return ""
    roles[chosen] = "NAME"
    return found[chosen].text


def _role(place: int, token: Token, found: list[Token], goods: Goods, pickup: str) -> str:
    if token.kind in QUIET or token.kind in ("ADD", "CHANGE", "CANCEL"):
        return "POLITE" if token.kind != "SIGN" else "SIGN"
    if token.kind in ("SELF", "DELIVERY"):
        return "PICKUP"
    if token.kind == "ASKING":
        return "TALK"
    if token.kind == "PRICE":
        return "PRICE"
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


def _target(found: list[Token], goods: Goods, speaker: str) -> tuple[str, set[int]]:
    """By a number of a line (2号), else a name, else who speaks."""
    for place, token in enumerate(found):
        is_number = (token.kind == "PIECE" and place not in goods.used) or (
            token.kind == "COUNT" and not token.unit and place in goods.loose
        )
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
    goods = bind(found, catalogue) if has_items else Goods(loose=[p for p, t in enumerate(found) if t.kind == "COUNT"])
    changes = [place for place, token in enumerate(found) if token.kind == "CHANGE"]
    if changes and has_items:
        return _change(found, catalogue, speaker)
    target, used = _target(found, goods, speaker)
    numbers = [place for place, token in enumerate(found) if token.kind == "PIECE"] if not has_items else []
    if len(numbers) > 1:
        target, used = ",".join(str(found[place].number) for place in numbers), set(numbers)
    if not target:
        return Part("cancel")
    entry, runs = _rest(text, found, goods, target, None)
    fixed = tuple(
        replace(run, role="TARGET")
        if place in used or run.role == "NAME"
        else replace(run, role="REASON")
        if found[place].kind == "WORD"
        else run
        for place, run in enumerate(runs)
    )
    if has_items and not target.isdecimal() and not (goods.lost or goods.loose):
        zero = tuple((code, 0) for code, _count in entry.items)
        return Part("change", replace(entry, items=zero), target, fixed)
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
    old, new = bind(before, catalogue), bind(after, catalogue)
    count = None
    loose = [place for place in new.loose if found[place].kind == "COUNT"]
    if not new.items and not new.pieces and len(loose) == 1:
        count = found[loose[0]].number
        new.used.add(loose[0])
        if len(old.items) == 1:
            new.items.append(Row(old.items[0].code, count))
            old.items = []
    elif new.loose:
        _same_kind(found, catalogue, old, new)
    both = Goods(new.items, new.pieces, old.used | new.used, old.lost | new.lost, [p for p in old.loose if p < at])
    target, used = _target(found[:at], both, speaker)
    if not target:
        target, used = _target(found, both, speaker)
    entry, runs = _rest("", found, both, target, None)
    fixed = tuple(replace(run, role="TARGET") if place in used else run for place, run in enumerate(runs))
    given_up = Entry(target, tuple((row.code, row.count or 1) for row in old.items), tuple(old.pieces))
    return Part("change", entry, target, fixed, is_more=is_more, old=given_up, count=count)


def _same_kind(found: list[Token], catalogue: Catalogue, old: Goods, new: Goods) -> None:
    """3号榴莲换成5号的: the second piece is of the goods of the first."""
    codes = {code for code, _no in old.pieces}
    for place in list(new.loose):
        number = found[place].number
        fits = [code for code in codes if any(piece.no == number for piece in catalogue.goods[code].pieces)]
        if found[place].kind == "PIECE" and len(fits) == 1 and number is not None:
            new.pieces.append((fits[0], int(number)))
            new.used.add(place)
            new.loose.remove(place)


# --- carrying out -----------------------------------------------------------------------------------------------------


def has_any(line: Entry, wanted: Entry) -> bool:
    codes = {code for code, _count in wanted.items}
    return bool(
        codes & {code for code, _count in line.items}
        or set(wanted.pieces) & set(line.pieces)
        or codes & {c for c, _n in line.pieces}
    )


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
    items, pieces = (
        dict(line.items),
        [piece for piece in line.pieces if part.old is None or piece not in part.old.pieces],
    )
    if entry.items and not entry.pieces and all(not count for _code, count in entry.items):
        return without(line, entry) or replace(line, items=())
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
    return replace(line, pickup=entry.pickup or line.pickup, note="；".join(filter(None, (line.note, entry.note))))
