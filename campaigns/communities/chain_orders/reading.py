"""Reading a chain order out of the text of a chat (接龙解析): pure, so that the same text is always read the same.

1. Each message is an order, a change, a cancellation, a question, talk, or could not be read. A message is a line of the text, or
   a numbered part of one; who wrote it is known from the line above or in front of a colon.
2. An order names goods, how many of each, or which single piece; what else it says is her name, how she gets it, a note, or unread.
   Goods without a number are one. A number in a unit that the goods are not sold in is not read.
3. A change or a cancellation says whom it is about, by number or name. Where that is clear from the text itself it is carried out
   there; where it may mean two lines, or names no goods among several, it is not read.
4. A single piece that somebody took earlier in the text is not given to a second person: her line is not read.
5. Nothing is dropped (``Reading.marks``): each run of characters is part of a line with the role it plays there, talk, or unread.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from campaigns.communities.chain_orders import lines as orders
from campaigns.communities.chain_orders.lines import Entry, Part
from campaigns.communities.chain_orders.vocabulary import KEYCAP, Catalogue, Good, Plain, plain

ORDER, CHANGE, CANCEL, QUESTION, TALK, UNREAD, MIXED = "order", "change", "cancel", "question", "talk", "unread", "mixed"  # fmt: skip
LONGEST = 20_000  # characters of one text

_STAMP = r"(?:(?:\d{4}[-/年.])?\d{1,2}[-/月.]\d{1,2}日?|昨天|前天|今天|星期[一二三四五六日天]|周[一二三四五六日天])?\s*(?:上午|下午|晚上|凌晨|中午)?\s*\d{1,2}:\d{2}(?::\d{2})?"
_HEADER = re.compile(rf"(\S.{{0,15}}?)\s*[:：]?\s+{_STAMP}\s*$")
_HEADER_TIME_FIRST = re.compile(r"(?:\d{4}[-/年.])?\d{1,2}[-/月.]\d{1,2}日?\s+\d{1,2}:\d{2}(?::\d{2})?\s+(\S.{0,15}?)$")
_ONLY_TIME = re.compile(rf"[-—\s]*{_STAMP}[-—\s]*$")
_PREFIX = re.compile(
    rf"\s*(?:\(\s*(\d{{1,3}})\s*\)|((?:\d{KEYCAP})+|\d{{1,3}}{KEYCAP})[.、,:：]?|(?:[Nn][Oo]\.?\s*)(\d{{1,3}})|第?(\d{{1,3}})\s*(?:位|楼)[:：.、]?"
    r"|(\d{1,3})\s*(?:号\s*[.、:：]|[.、)】:：](?!\d)|,(?!\d))|【\s*(\d{1,3})\s*】|\[\s*(\d{1,3})\s*\]|(\d{1,3})\s+(?=[^\d\s#])|#(\d{1,3})\s+(?=[^\d\s]))\s*"
)
_NUMBERED = re.compile(rf"\s*(?:\(\s*\d|\d{{1,3}}\s*[.、)】:：](?!\d)|\d{KEYCAP}|\d{{1,3}}\s+[^\d\s])")
_SPLIT = re.compile(rf"(?<=[\s;；,，。])(?=(?:\d{{1,3}}[.、)](?!\d)|\(\d{{1,3}}\)|(?:\d{KEYCAP})+)\s*[^\s\d])")
_SPEAKER = re.compile(r"\s*([^\s:：,，。.、0-9][^:：\n,，。]{0,11}?)\s*[:：]\s*(?=\S)")
_NO_SPEAKER = re.compile(
    r"自提|送货|配送|备注|地址|电话|注意|价格|时间|规格|提货|温馨|通知|截|接龙|团|今日|例|取消|改|要|合计|总"
)
_BEGIN = re.compile(r"#\s*接龙.*|接龙")
_QUOTE = re.compile(r"[「『](.{1,16}?)\s*[:：]\s*(.+)[」』]")
_EXAMPLE = re.compile(r"(?:例|示例|格式|例如)\s*[:：]")
_SYSTEM = re.compile(
    r"(?:- ?){4,}|[-—=_*~·.。]{3,}|.*(?:加入了?群聊|撤回了一条消息|拍了拍|修改群名|以上是|开团|截团|截单|到此为止|接龙结束|接龙开始).*"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A run of characters of the raw text, and what it is."""

    start: int
    end: int
    role: str


@dataclass(slots=True)
class Reading:
    """``lines`` are what is ordered when everything in the text is carried out; ``said`` what each message says, in their order."""

    lines: list[Entry] = field(default_factory=list)
    said: list[Part] = field(default_factory=list)
    action: str = TALK
    target: str = ""
    unread: list[str] = field(default_factory=list)
    talk: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    quoted: Entry | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    start: int  # in the plain text
    end: int
    number: int | None
    said: int  # behind its number
    body: int  # behind its number and speaker
    speaker: str


def read(text: str, goods: Iterable[Good]) -> Reading:
    """What ``text`` says. Never raises for a text; what cannot be read is in ``unread``."""
    shown, catalogue, result = plain(text), Catalogue.of(goods), Reading()
    offered: tuple[str, ...] = ()
    for message in _messages(shown, catalogue, result, text):
        part = orders.understand(
            shown.text[message.body : message.end], catalogue, number=message.number, speaker=message.speaker
        )
        part = _own_name(part, shown, message, text)
        part = _alike(part, result, offered) if part.like else part
        offered = part.offered or offered
        part = _settle(part, result, catalogue)
        result.said.append(part)
        _mark(result, shown, message, part, text)
    kinds = {part.kind for part in result.said if part.kind != UNREAD} | {part.kind_before for part in result.said}
    kinds = (kinds | {part.also for part in result.said}) - {""}
    if kinds or result.unread:
        result.action = MIXED if len(kinds) > 1 else next(iter(kinds), ORDER)
    result.target = next((part.target for part in reversed(result.said) if part.target), "")
    return result


def _own_name(part: Part, shown: Plain, message: _Message, raw: str) -> Part:
    """Her name as she writes it, with the flowers around it."""
    named = [run for run in part.runs if run.role == "NAME"]
    if (
        part.entry is None
        or not named
        or shown.text[message.body + named[0].start : message.body + named[0].end] != part.entry.name
    ):
        return part
    a, b = shown.raw(message.body + named[0].start, message.body + named[0].end)
    low, high = shown.raw(message.body, message.end)
    while a > low and _is_flower(raw[a - 1]):
        a -= 1
    while b < high and _is_flower(raw[b]):
        b += 1
    return replace(part, entry=replace(part.entry, name=raw[a:b]))


def _is_flower(char: str) -> bool:
    return unicodedata.category(char) == "So"


def _alike(part: Part, result: Reading, offered: tuple[str, ...]) -> Part:
    """As the line above, as the one quoted, or so many of what was offered last."""
    assert part.entry is not None
    if part.like == "offered":
        if len(offered) != 1 or not part.count:
            return _unread(part)
        return replace(part, entry=replace(part.entry, items=((offered[0], part.count),)))
    model = result.quoted if part.like == "quoted" else result.lines[-1] if result.lines else None
    if model is None or not model.items or model.pieces:
        return _unread(part)
    pickup = part.entry.pickup or (model.pickup if part.like == "above" else "")
    return replace(part, entry=replace(part.entry, items=model.items, pickup=pickup))


# --- messages ---------------------------------------------------------------------------------------------------------


def _messages(shown: Plain, catalogue: Catalogue, result: Reading, raw: str) -> Iterable[_Message]:
    """The messages, with who wrote them; what is no message is marked as talk."""
    speaker, place, alone, is_heading = "", 0, "", False
    for row in shown.text.split("\n"):
        start, end = place, place + len(row)
        place = end + 1
        if not row.strip():
            speaker, alone = "", ""
            continue
        header = _header(row, catalogue)
        if header is not None:
            speaker, alone = header, ""
            result.marks.append(Mark(*shown.raw(start, end), "HEADER"))
            continue
        is_heading = (is_heading or bool(_BEGIN.fullmatch(row.strip()))) and not _NUMBERED.match(row)
        quote = _QUOTE.fullmatch(row.strip())
        if quote is not None:
            result.quoted = orders.understand(quote[2], catalogue, number=None, speaker=quote[1]).entry
        if (
            is_heading
            or quote
            or any(rule.fullmatch(row.strip()) for rule in (_SYSTEM, _ONLY_TIME))
            or _EXAMPLE.match(row.strip())
        ):
            _talk(result, shown, start, end, raw)
            continue
        cuts = [0, *(match.start() for match in _SPLIT.finditer(row)), len(row)]
        for a, b in itertools.pairwise(cuts):
            if row[a:b].strip():
                yield _message(row, a, b, start, speaker or alone)
        alone = _name_alone(row, catalogue)


def _header(row: str, catalogue: Catalogue) -> str | None:
    match = _HEADER.fullmatch(row) or _HEADER_TIME_FIRST.fullmatch(row)
    if match is None:
        return None
    has_goods = any(catalogue.at(match[1].lower(), place) for place in range(len(match[1])))
    if has_goods and not re.search(r"\d{1,2}[-/月.]\d{1,2}日?\s*\d{1,2}:\d{2}", row):
        return None
    return match[1].strip().removesuffix("@微信").strip()


def _message(row: str, a: int, b: int, start: int, speaker: str) -> _Message:
    number, body = None, a
    prefix = _PREFIX.match(row, a, b)
    if prefix is not None and prefix.end() < b:
        number, body = int(next(one for one in prefix.groups() if one).replace(KEYCAP, "")), prefix.end()
    after = body
    said = _SPEAKER.match(row, body, b)
    if said is not None and not _NO_SPEAKER.search(said[1]) and not re.search(r"\d[个盒箱斤串瓶条板份]", said[1]):
        speaker, body = said[1].strip(), said.end()
    return _Message(start + a, start + b, number, start + after, start + body, speaker)


def _name_alone(row: str, catalogue: Catalogue) -> str:
    """A numbered line that is only a name: the goods stand in the next one."""
    prefix = _PREFIX.match(row)
    rest = row[prefix.end() :].strip() if prefix else ""
    is_name = bool(re.fullmatch(r"[^\W\d]{1,8}", rest)) and not any(
        catalogue.at(rest.lower(), n) for n in range(len(rest))
    )
    return rest if is_name else ""


# --- carrying out -----------------------------------------------------------------------------------------------------


def _settle(part: Part, result: Reading, catalogue: Catalogue) -> Part:
    """The part as it stands when it is carried out in the text so far."""
    if part.kind == ORDER and part.entry is not None:
        if _is_taken(part.entry, result.lines):
            return _unread(part)
        if part.only_delivery:
            return _deliver(part, result)
        _put(part.entry, result.lines)
        return part
    if part.kind == CANCEL:
        return _cancel(part, result)
    if part.kind == CHANGE:
        return _change(part, result, catalogue)
    return part


def _put(entry: Entry, lines: list[Entry]) -> None:
    """The list is often pasted twice over, longer each time: the same number and name is the same line."""
    for place, line in enumerate(lines):
        if entry.number is not None and (line.number, line.name) == (entry.number, entry.name):
            lines[place] = entry
            return
    lines.append(entry)


def _is_taken(entry: Entry, lines: list[Entry]) -> bool:
    taken = {piece for line in lines for piece in line.pieces if line.name != entry.name}
    return any(piece in taken for piece in entry.pieces)


def _deliver(part: Part, result: Reading) -> Part:
    """「自提」 as a message of its own belongs to what she ordered last."""
    assert part.entry is not None
    for place in range(len(result.lines) - 1, -1, -1):
        line = result.lines[place]
        if line.name == part.entry.name and not line.pickup:
            result.lines[place] = replace(
                line, pickup=part.entry.pickup, note=" ".join(filter(None, (line.note, part.entry.note)))
            )
            return part
    return _unread(part)


def _meant(target: str, lines: list[Entry]) -> list[int]:
    """By its number; else whose it is."""
    if target.isdecimal():
        by_number = [place for place, line in enumerate(lines) if line.number == int(target)]
        if by_number:
            return by_number
    return [place for place, line in enumerate(lines) if target and line.name == target]


def _cancel(part: Part, result: Reading) -> Part:
    if not part.target:
        return replace(_unread(part), kind_before=CANCEL)
    places = _meant(part.target, result.lines)
    if "," in part.target:
        for one in part.target.split(","):
            for place in _meant(one, result.lines)[:1]:
                del result.lines[place]
        return part
    if part.entry is not None and (part.entry.items or part.entry.pieces):
        places = [place for place in places if orders.has_any(result.lines[place], part.entry)]
    if len(places) > 1:
        return replace(_unread(part), kind_before=CANCEL)
    for place in places:
        left = orders.without(result.lines[place], part.entry)
        result.lines[place : place + 1] = [left] if left is not None else []
    return part


def _change(part: Part, result: Reading, catalogue: Catalogue) -> Part:
    entry, places = part.entry, _meant(part.target, result.lines)
    if entry is None or (len(places) > 1 and not part.is_more):
        return replace(_unread(part), kind_before=CHANGE)
    if places:
        changed = orders.changed(result.lines[places[-1]], part)
        if changed is None:
            return replace(_unread(part), kind_before=CHANGE)
        if _is_taken(changed, result.lines):
            return replace(_unread(part), kind_before=CHANGE)
        result.lines[places[-1]] = changed
        return part
    if not (entry.items or entry.pieces or entry.pickup) or _is_taken(entry, result.lines):
        return replace(_unread(part), kind_before=CHANGE)
    result.lines.append(
        replace(entry, name="" if part.target.isdecimal() and entry.name == part.target else entry.name)
    )
    return part


def _unread(part: Part) -> Part:
    return replace(part, kind=UNREAD, entry=None)


# --- marks ------------------------------------------------------------------------------------------------------------


def _talk(result: Reading, shown: Plain, start: int, end: int, raw: str) -> None:
    a, b = shown.raw(start, end)
    result.marks.append(Mark(a, b, "TALK"))
    result.talk.append(raw[a:b].strip())


def _mark(result: Reading, shown: Plain, message: _Message, part: Part, raw: str) -> None:
    whole = shown.raw(message.start, message.end)
    text = raw[whole[0] : whole[1]].strip()
    if part.kind in (TALK, QUESTION):
        result.talk.append(text)
        result.marks.append(Mark(*whole, "TALK"))
        return
    if part.kind == UNREAD:
        a, b = shown.raw(message.said, message.end)
        if whole[0] < a:
            result.marks.append(Mark(whole[0], a, "PREFIX"))
        result.unread.append(raw[a:b].strip())
        result.marks.append(Mark(a, b, "UNREAD"))
        return
    if message.start < message.body:
        result.marks.append(Mark(*shown.raw(message.start, message.body), "PREFIX"))
    part = replace(part, runs=_with_signs(part.runs, shown.text[message.body : message.end]))
    for run in part.runs:
        a, b = shown.raw(message.body + run.start, message.body + run.end)
        result.marks.append(Mark(a, b, run.role))
    _collect(result, shown, message, part, raw)


def _with_signs(runs: tuple[orders.Run, ...], text: str) -> tuple[orders.Run, ...]:
    """Signs that stick to what is unread are a part of it: =HYPERLINK("…")."""
    found = list(runs)
    for step in (1, -1):
        places = range(len(found)) if step == 1 else range(len(found) - 1, -1, -1)
        for place in places:
            other = place - step
            is_sign = found[place].role == "SIGN" and not text[found[place].start : found[place].end].strip(
                "\"'=()（）:/.-+@#%&?_"
            )
            if (
                is_sign
                and not text[found[place].start].isspace()
                and 0 <= other < len(found)
                and found[other].role == "UNREAD"
            ):
                found[place] = replace(found[place], role="UNREAD")
    return tuple(found)


def _collect(result: Reading, shown: Plain, message: _Message, part: Part, raw: str) -> None:
    """Runs that are not understood, those that stand together as one."""
    for role, into in (("UNREAD", result.unread), ("TALK", result.talk)):
        begun = ended = -1
        for run in (*part.runs, None):
            if run is not None and run.role == role:
                begun, ended = (run.start if begun < 0 else begun), run.end
            elif begun >= 0:
                a, b = shown.raw(message.body + begun, message.body + ended)
                into += [raw[a:b].strip()] if raw[a:b].strip() else []
                begun = -1
