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

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from campaigns.communities.chain_orders import lines as orders
from campaigns.communities.chain_orders.lines import Entry, Part
from campaigns.communities.chain_orders.vocabulary import KEYCAP, Catalogue, Good, Plain, plain

ORDER, CHANGE, CANCEL, QUESTION, TALK, UNREAD, MIXED = "order", "change", "cancel", "question", "talk", "unread", "mixed"  # fmt: skip
LONGEST = 20_000  # characters of one text

_STAMP = r"(?:(?:\d{4}[-/年.])?\d{1,2}[-/月.]\d{1,2}日?|昨天|前天|今天|星期[一二三四五六日天]|周[一二三四五六日天])?\s*(?:上午|下午|晚上|凌晨|中午)?\s*\d{1,2}:\d{2}(?::\d{2})?"
_HEADER = re.compile(rf"(\S.{{0,15}}?)\s*[:：]?\s+{_STAMP}\s*$")
_HEADER_TIME_FIRST = re.compile(rf"(?:\d{{4}}[-/年.])?\d{{1,2}}[-/月.]\d{{1,2}}日?\s+\d{{1,2}}:\d{{2}}(?::\d{{2}})?\s+(\S.{{0,15}}?)$")
_ONLY_TIME = re.compile(rf"[-—\s]*{_STAMP}[-—\s]*$")
_PREFIX = re.compile(
    rf"\s*(?:\(\s*(\d{{1,3}})\s*\)|((?:\d{KEYCAP})+|\d{{1,3}}{KEYCAP})[.、,:：]?|(?:[Nn][Oo]\.?\s*)(\d{{1,3}})|第?(\d{{1,3}})\s*(?:位|楼)[:：.、]?"
    r"|(\d{1,3})\s*(?:号\s*[.、:：]|[.、)】:：](?!\d)|,(?!\d))|【\s*(\d{1,3})\s*】|\[\s*(\d{1,3})\s*\]|(\d{1,3})\s+(?=[^\d\s#])|#(\d{1,3})\s+(?=[^\d\s]))\s*"
)
_SPLIT = re.compile(rf"(?<=[\s;；,，。])(?=(?:\d{{1,3}}[.、)](?!\d)|\(\d{{1,3}}\)|(?:\d{KEYCAP})+)\s*[^\s\d])")
_SPEAKER = re.compile(r"\s*([^\s:：,，。.、0-9][^:：\n,，。]{0,11}?)\s*[:：]\s*(?=\S)")
_NO_SPEAKER = re.compile(r"自提|送货|配送|备注|地址|电话|注意|价格|时间|规格|提货|温馨|通知|截|接龙|团|今日|例|取消|改|要|合计|总")
_SYSTEM = re.compile(r"#\s*接龙|接龙|[-—=_*~·.。]{3,}|.*(?:加入了?群聊|撤回了一条消息|拍了拍|修改群名|以上是|开团|截团|截单|到此为止|接龙结束|接龙开始).*")


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


@dataclass(frozen=True, slots=True)
class _Message:
    start: int  # in the plain text
    end: int
    number: int | None
    body: int  # behind its number and speaker
    speaker: str


def read(text: str, goods: Iterable[Good]) -> Reading:
    """What ``text`` says. Never raises for a text; what cannot be read is in ``unread``."""
    shown, catalogue, result = plain(text), Catalogue.of(goods), Reading()
    for message in _messages(shown, catalogue, result):
        part = orders.understand(shown.text[message.body : message.end], catalogue, number=message.number, speaker=message.speaker)
        part = _settle(part, result, catalogue)
        result.said.append(part)
        _mark(result, shown, message, part, text)
    kinds = {part.kind for part in result.said if part.kind != UNREAD} | {part.kind_before for part in result.said if part.kind_before}
    if kinds:
        result.action = next(iter(kinds)) if len(kinds) == 1 else MIXED
    result.target = next((part.target for part in reversed(result.said) if part.target), "")
    return result


# --- messages ---------------------------------------------------------------------------------------------------------


def _messages(shown: Plain, catalogue: Catalogue, result: Reading) -> Iterable[_Message]:
    """The messages, with who wrote them; what is no message is marked as talk."""
    speaker, place, alone = "", 0, ""
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
        if _SYSTEM.fullmatch(row.strip()) or _ONLY_TIME.fullmatch(row.strip()):
            _talk(result, shown, start, end)
            continue
        cuts = [0, *(match.start() for match in _SPLIT.finditer(row)), len(row)]
        for a, b in zip(cuts, cuts[1:], strict=False):
            if row[a:b].strip():
                yield _message(row, a, b, start, speaker or alone)
        alone = _name_alone(row, catalogue)


def _header(row: str, catalogue: Catalogue) -> str | None:
    match = _HEADER.fullmatch(row) or _HEADER_TIME_FIRST.fullmatch(row)
    if match is None or any(catalogue.at(match[1].lower(), place) for place in range(len(match[1]))):
        return None
    return match[1].strip()


def _message(row: str, a: int, b: int, start: int, speaker: str) -> _Message:
    number, body = None, a
    prefix = _PREFIX.match(row, a, b)
    if prefix is not None and prefix.end() < b:
        number, body = int(next(one for one in prefix.groups() if one).replace(KEYCAP, "")), prefix.end()
    said = _SPEAKER.match(row, body, b)
    if said is not None and not _NO_SPEAKER.search(said[1]) and not re.search(r"\d[个盒箱斤串瓶条板份]", said[1]):
        speaker, body = said[1].strip(), said.end()
    return _Message(start + a, start + b, number, start + body, speaker)


def _name_alone(row: str, catalogue: Catalogue) -> str:
    """A numbered line that is only a name: the goods stand in the next one."""
    prefix = _PREFIX.match(row)
    rest = row[prefix.end() :].strip() if prefix else ""
    is_name = bool(re.fullmatch(r"[^\W\d]{1,8}", rest)) and not any(catalogue.at(rest.lower(), n) for n in range(len(rest)))
    return rest if is_name else ""


# --- carrying out -----------------------------------------------------------------------------------------------------


def _settle(part: Part, result: Reading, catalogue: Catalogue) -> Part:
    """The part as it stands when it is carried out in the text so far."""
    if part.kind == ORDER and part.entry is not None:
        if _is_taken(part.entry, result.lines):
            return _unread(part)
        if part.only_delivery:
            return _deliver(part, result)
        result.lines.append(part.entry)
        return part
    if part.kind == CANCEL:
        return _cancel(part, result)
    if part.kind == CHANGE:
        return _change(part, result, catalogue)
    return part


def _is_taken(entry: Entry, lines: list[Entry]) -> bool:
    taken = {piece for line in lines for piece in line.pieces if line.name != entry.name}
    return any(piece in taken for piece in entry.pieces)


def _deliver(part: Part, result: Reading) -> Part:
    """「自提」 as a message of its own belongs to what she ordered last."""
    assert part.entry is not None
    for place in range(len(result.lines) - 1, -1, -1):
        line = result.lines[place]
        if line.name == part.entry.name and not line.pickup:
            result.lines[place] = replace(line, pickup=part.entry.pickup, note=" ".join(filter(None, (line.note, part.entry.note))))
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
    if entry is None or len(places) > 1 and not part.is_more:
        return replace(_unread(part), kind_before=CHANGE)
    if places:
        changed = orders.changed(result.lines[places[-1]], part)
        if changed is None:
            return replace(_unread(part), kind_before=CHANGE)
        if _is_taken(changed, result.lines):
            return replace(_unread(part), kind_before=CHANGE)
        result.lines[places[-1]] = changed
        return part
    if not (entry.items or entry.pieces) or _is_taken(entry, result.lines):
        return replace(_unread(part), kind_before=CHANGE)
    result.lines.append(entry)
    return part


def _unread(part: Part) -> Part:
    return replace(part, kind=UNREAD, entry=None)


# --- marks ------------------------------------------------------------------------------------------------------------


def _talk(result: Reading, shown: Plain, start: int, end: int) -> None:
    a, b = shown.raw(start, end)
    result.marks.append(Mark(a, b, "TALK"))
    result.said.append(Part(TALK))


def _mark(result: Reading, shown: Plain, message: _Message, part: Part, raw: str) -> None:
    whole = shown.raw(message.start, message.end)
    text = raw[whole[0] : whole[1]].strip()
    if part.kind in (TALK, QUESTION):
        result.talk.append(text)
        result.marks.append(Mark(*whole, "TALK"))
        return
    if part.kind == UNREAD:
        result.unread.append(text)
        result.marks.append(Mark(*whole, "UNREAD"))
        return
    if message.start < message.body:
        result.marks.append(Mark(*shown.raw(message.start, message.body), "PREFIX"))
    for run in part.runs:
        a, b = shown.raw(message.body + run.start, message.body + run.end)
        result.marks.append(Mark(a, b, run.role))
        if run.role == "UNREAD" and raw[a:b].strip():
            result.unread.append(raw[a:b].strip())
