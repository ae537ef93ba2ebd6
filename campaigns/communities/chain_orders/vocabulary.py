"""The words of chain orders in a chat, and how a text becomes tokens of them. Pure: no database, no clock.

A text is made plain first (full-width letters, circled and keycap numbers); each plain character remembers which raw one it
comes from, so that whatever is read or not read can be pointed at in the text as it was pasted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

KEYCAP, VARIANT, JOINER = "\u20e3", "\ufe0f", "\u200d"
CIRCLED = {char: number for number, char in enumerate("①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳", start=1)}
CIRCLED |= {char: number for number, char in enumerate("❶❷❸❹❺❻❼❽❾❿", start=1)} | {"🔟": 10}

# characters of Taiwan and Hong Kong in the words below; a name is taken from the raw text and keeps its own
_SIMPLE = str.maketrans(dict(zip(
    "貓個兩隻條顆蘋釐車櫻雞蓮貨價幾嗎還號買訂換點樓棟單麼給幫來這無鮮橙單減門內電話轉帳謝麻煩請閱訊員紅富葡萄",
    "猫个两只条颗苹厘车樱鸡莲货价几吗还号买订换点楼栋单么给帮来这无鲜橙单减门内电话转帐谢麻烦请阅讯员红富葡萄", strict=True,
)))  # fmt: skip
DIGITS = dict(zip("零一二两三四五六七八九", (0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)) | {"俩": 2, "仨": 3, "〇": 0, "壹": 1, "贰": 2}  # fmt: skip
CHINESE = "[零一二两三四五六七八九十百俩仨壹贰]+"
UNITS = "个|只|颗|粒|枚|箱|盒|串|斤|板|瓶|条|份|件|袋|包|提|筐|公斤|千克|kg|KG|Kg|打|对|双|罐|桶|把|房"
WEIGHED = frozenset({"斤", "公斤", "千克", "kg"})
SETS = {"打": 12, "对": 2, "双": 2}
SAME_UNITS = ({"个", "只", "颗", "粒", "枚"}, {"公斤", "千克", "kg"}, {"盒", "份", "件"})
ANY_UNIT = frozenset({"份", "件"})  # said of whatever is counted

_FILLER = "自提|到店取|到店拿|到店自取|自取|自己取|自己拿|来店取|来店拿|上门取|店里取|店里拿|门店自提|去店里取|过去拿|过来拿|过来取|来拿|来取"
_DELIVERY = "送货上门|送货|送上门|送到家|送到|送去|送至|送一下|要送|配送|快递|外送|跑腿|派送|送来|送"
_CANCEL = "(?<!今天)(?<!这次)不要了|不用了|不想要了|不定了|不订了|不买了|不拿了|不接了|不来了|别要了|取消掉|取消|退掉|退了|退单|撤掉|撤单|删掉|删了|划掉|去掉|作废|算了"
_CHANGE = "打错了|写错了|发错了|说错了|更正|应该是|改成|改为|换成|换为|变成|更改为|改到|加到|减到|改要|改|换"
_ADD = "再加|再来|再要|再订|多加|多要|追加|另加|加订|加单|还要|另外要|加"
_ASK = "还有吗|还有没有|还有么|有没有|还有不|多少钱|怎么卖|什么价|啥价|几块|几钱|贵不贵|甜不甜|好吃吗|好不好吃|能不能|可不可以|可以吗|行吗|在吗|什么时候|啥时候|几点|几号到|怎么接|吗|么|呢"
_POLITE = (
    "接龙|我想要|我想订|我要|我订|我来|我也要|也要|我拿|给我留|给我来|给我|帮我留|帮我|帮忙|麻烦|请|谢谢老板|谢谢团长|谢谢|多谢|辛苦了|辛苦|拜托|老板娘|老板"
    "|团长|店长|亲|您好|你好|大家好|预订|预定|下单|订购|订|定|要|留|拿|买|一共|总共|合计|共|那[个颗只盒]|这[个颗只盒]|电话|手机号?|联系方式|不好意思|抱歉|对不起|我的|我(?![\u4e00-\u9fff]{2})|好的|好滴|嗯嗯|哈哈+|嘻嘻|呵呵|么么哒"
)
_PARTICLES = "[的了吧啊呀哦喔噢哈哟呢嘛啦哒滴噻呗哇]+"
_NOTE = (
    "已付款?|已转账?|付了|转了|钱付了|[\u4e00-\u9fff]{1,3}代(?:拿|取|收)|[0-9]{1,2}(?:号|日)(?=(?:早上|上午|下午|晚上|中午)?(?:自提|自取|来|取|到|拿))|其他(?:照旧|不变)"
    "|(?:要|选|挑|拿)?(?:帮(?:我|忙))?(?:不要|别|不)?(?:太|要|选|挑)*(?:熟|生|大|小|甜|软|硬|新鲜|好|红|绿|青|冰|干|湿|苦|肥)+(?:一)?(?:点|些)(?:的)?(?:儿)?"
    "|不要太\\w{1,2}(?:的)?|(?:帮(?:我|忙))?(?:开好壳|开好|剥好|剥壳|开壳|切好|去壳|切开|去皮|打包好|包装好|真空|分开装|分开包|礼盒装|加冰袋|要袋子|不要袋子)(?:的)?"
    "|(?:今天|明天|后天|今晚|明早|明晚|周[一二三四五六日天]|星期[一二三四五六日天]|礼拜[一二三四五六日天])?(?:早上|上午|中午|下午|傍晚|晚上|晚点)?"
    "(?:[0-9一二两三四五六七八九十]{1,2}点(?:半|钟|[0-9]{1,2}分?)?(?:左右|前|后|以前|以后|之前|之后)?)(?:再)?(?:来|去|到店|过来|过去)?(?:取|拿|提|到)?"
    "|(?:今天|明天|后天|今晚|明早|明晚|周[一二三四五六日天]|星期[一二三四五六日天]|礼拜[一二三四五六日天])(?:早上|上午|中午|下午|傍晚|晚上)?(?:再)?(?:来|去|到店|过来|过去)?(?:取|拿|提)?"
    "|(?:早上|上午|中午|下午|傍晚|晚上|晚点|下班)(?:后|再)?(?:来|去|到店|过来|过去)?(?:取|拿|提)"
    "|放(?:在)?(?:门口|物业|前台|驿站|保安室|门卫|快递柜|丰巢|楼下|店里)|到了?(?:打|给我)?电话|到了?说一声|提前(?:打电话|联系|说)|有货再说|送人的?|给孩子吃的?|孕妇吃的?"
)
_ADDRESS = (
    "(?:[\u4e00-\u9fff]{2,8}(?:小区|花园|家园|公寓|大厦|广场|新村|苑|府|城|路|街|巷))?\\s*"
    "(?:[0-9A-Za-z]{1,4}(?:栋|幢|号楼|座|弄|期|#楼)\\s*(?:[0-9一二三四五六七八九]{1,2}单元)?\\s*(?:[0-9]{1,2}楼|[0-9]{3,4}(?:室|号)?|[0-9]{1,2}-[0-9]{1,4})?"
    "|[0-9]{1,2}单元\\s*(?:[0-9]{3,4}(?:室|号)?)?|[0-9A-Za-z]{1,3}-[0-9]{1,2}-[0-9]{2,4}|[0-9A-Za-z]{1,3}-[0-9]{3,4}|[0-9]{3,4}室)"
    "|[\u4e00-\u9fff]{2,6}(?:小区|花园|家园|公寓|大厦|新村)(?:门口|南门|北门|东门|西门)?|[\u4e00-\u9fff]{1,6}(?:路|街|巷)[0-9]{1,4}号"
)
NUMBER = f"(?:(?:[0-9]{KEYCAP}?)+|{CHINESE})"
_NOT_PIECE = "(?!楼|院|门|线|店|晚|早|上午|下午|前|之前|来|到|取)"


@dataclass(frozen=True, slots=True)
class Piece:
    no: int
    weight_grams: int = 0
    price_fen: int = 0


@dataclass(frozen=True, slots=True)
class Good:
    code: str
    name: str
    aliases: tuple[str, ...] = ()
    unit: str = "个"
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` in capitals; ``value`` as its kind has it: codes of goods, a number, a word."""

    kind: str
    start: int
    end: int
    text: str
    codes: tuple[str, ...] = ()
    number: int | Decimal | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Plain:
    """``text`` with, for each character, the place of the raw character it comes from."""

    text: str
    places: tuple[int, ...]

    def raw(self, start: int, end: int) -> tuple[int, int]:
        if start >= end:
            return self.places[start], self.places[start]
        return self.places[start], self.places[end - 1] + 1


def plain(raw: str) -> Plain:
    chars: list[str] = []
    places: list[int] = []
    for place, char in enumerate(raw):
        if char in (VARIANT, JOINER) or char in "\u200b\ufeff":
            found = " " if char in "\u200b\ufeff" else ""
        elif char in CIRCLED:
            found = f"{CIRCLED[char]}{KEYCAP}"
        else:
            found = unicodedata.normalize("NFKC", char).translate(_SIMPLE)
        chars += found
        places += [place] * len(found)
    return Plain("".join(chars), tuple(places))


def number_of(text: str) -> int | None:
    """``12``, ``十二``, ``两``; None for what is no whole number."""
    text = text.replace(KEYCAP, "")
    if text.isascii() and text.isdecimal():
        return int(text) if len(text) <= 6 else None
    if not text or any(char not in DIGITS and char not in "十百" for char in text):
        return None
    total = part = 0
    for char in text:
        if char == "十":
            total, part = total + (part or 1) * 10, 0
        elif char == "百":
            total, part = total + (part or 1) * 100, 0
        else:
            part = part * 10 + DIGITS[char] if part and "十" not in text and "百" not in text else DIGITS[char]
    return total + part


def unit_fits(unit: str, good: Good) -> int:
    """By what a number in ``unit`` is multiplied to count in the good's own; 0: it does not fit."""
    unit = unit.lower()
    if not unit or unit == good.unit:
        return 1
    if unit in SETS and good.unit not in WEIGHED:
        return SETS[unit]
    if good.unit == "斤":
        return 2 if unit in WEIGHED else 0
    if unit in WEIGHED:
        return 0
    if unit in ANY_UNIT or any({unit, good.unit} <= same for same in SAME_UNITS):
        return 1
    return 0


@dataclass
class Catalogue:
    """The goods of a chain, with every word that names one of them, or several."""

    goods: dict[str, Good] = field(default_factory=dict)
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    longest: int = 0

    @classmethod
    def of(cls, goods: Iterable[Good]) -> Catalogue:
        made = cls(goods={good.code: good for good in goods})
        full: dict[str, list[str]] = {}
        for good in made.goods.values():
            for name in _names(good):
                full.setdefault(name, []).append(good.code)
        part: dict[str, list[str]] = {}
        for good in made.goods.values():
            for name in _parts(_low(good.name)):
                if name not in full and good.code not in part.setdefault(name, []):
                    part[name].append(good.code)
        made.words = {name: tuple(dict.fromkeys(codes)) for name, codes in (full | part).items()}
        made.longest = max(map(len, made.words), default=0)
        return made

    def at(self, text: str, place: int) -> tuple[int, tuple[str, ...]] | None:
        """The longest word that begins here: its end and the codes it may mean."""
        for size in range(min(self.longest, len(text) - place), 0, -1):
            codes = self.words.get(text[place : place + size])
            if codes is not None:
                return place + size, codes
        return None


def _low(text: str) -> str:
    return plain(text).text.lower().replace(" ", "")


def _names(good: Good) -> list[str]:
    """Its name, its aliases, its code, and an alias with what else its name says (5斤装)."""
    name = _low(good.name)
    said = [name, *map(_low, good.aliases)]
    rest = re.findall(r"[0-9]+(?:[a-z]+|[斤枚只个片克])装?", name)
    tails = [*rest, *(name[-2:] for _once in (1,) if re.fullmatch("[\u4e00-\u9fff]{2}", name[-2:]))]
    return list(dict.fromkeys([*said, *(one + tail for one in said for tail in tails if not one.endswith(tail))]))


def _parts(name: str) -> list[str]:
    """Two and more Chinese characters out of a name: 榴莲 may mean any of several goods."""
    runs = re.findall("[\u4e00-\u9fff]{2,}", name)
    latin = re.findall("(?<![0-9a-z])[a-z][a-z0-9]+", name)
    return latin + [run[a:b] for run in runs for a in range(len(run)) for b in range(a + 2, len(run) + 1)]


_RULES: Sequence[tuple[str, re.Pattern[str]]] = [
    ("MEDIA", re.compile(r"\[(?:语音|图片|视频|文件|位置|链接|小程序|聊天记录|名片|红包|转账|动画表情)[^\]]*\](?:\s*[0-9]+[\"'′″秒])?")),
    ("FACE", re.compile(r"\[[\u4e00-\u9fffA-Za-z]{1,6}\]")),
    ("MENTION", re.compile(r"@(?:所有人|\S{1,12})")),
    ("MOBILE", re.compile(r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)")),
    ("TAIL", re.compile(r"(?:手机)?尾号\s*\d{4}")),
    ("PRICE", re.compile(r"[¥￥]\s*\d+(?:\.\d+)?|\d+(?:\.\d+)?\s*(?:元|块钱|块)")),
    ("WEIGHT", re.compile(r"(?<![\d.])\d+(?:\.\d+)?\s*(?:克|g|G)(?![A-Za-z])|(?<![\d.])\d+\.\d+\s*(?:kg|KG|公斤|千克|斤)")),
    ("NOTE", re.compile(_NOTE)),
    ("SELF", re.compile(_FILLER)),
    ("DELIVERY", re.compile(_DELIVERY)),
    ("ADDRESS", re.compile(_ADDRESS)),
    ("CANCEL", re.compile(_CANCEL)),
    ("CHANGE", re.compile(_CHANGE)),
    ("EACH", re.compile(rf"(?:各|每样|每种|一样|都)(?:来|要|拿)?\s*({NUMBER})\s*({UNITS})?")),
    ("PIECE", re.compile(rf"(?:#\s*|第)?({NUMBER})\s*(?:号(?:果|瓜|那个|那颗|这个)?|#){_NOT_PIECE}|#\s*([0-9]{{1,2}})(?![0-9])|第({NUMBER})[个颗只]")),
    ("HALF", re.compile(rf"(半)\s*({UNITS})|({NUMBER})\s*({UNITS})半|([0-9]+\.5)\s*({UNITS})")),
    ("VAGUE", re.compile(rf"几\s*(?:{UNITS})|[0-9]+\s*[-~到至]\s*[0-9]+\s*(?:{UNITS})|[两三四五六七八]{{2}}(?:{UNITS})")),
    ("PRICE", re.compile(r"[0-9]+\.[0-9]+")),
    ("COUNT", re.compile(rf"[xX×*✖✕]\s*({NUMBER})\s*({UNITS})?(?![0-9])|\+\s*([0-9]{{1,3}})\s*({UNITS})?(?![0-9])|({NUMBER})\s*(?:({UNITS})|[xX×*](?=\s*\S))|({CHINESE})(?=\s|$)|((?:[0-9]{KEYCAP}?)+)")),
    ("ADD", re.compile(_ADD)),
    ("ASK", re.compile(rf"[?]|{_ASK}")),
    ("POLITE", re.compile(_POLITE)),
    ("AND", re.compile(r"和(?!平)|跟|还有|以及|外加|另外")),
    ("SIGN", re.compile(r"\s+|[^\w\s\u4e00-\u9fff]+|_+")),
]  # fmt: skip
_AFTER_TOKEN = (
    ("PARTICLE", re.compile(_PARTICLES)),
    ("COME", re.compile(r"来(?=\s*[0-9一二两三四五六七八九十半个点份])")),
)
_IN_WORD = frozenset({"POLITE", "ADD", "AND", "NOTE", "COUNT", "CHANGE", "ASK"})  # which a name may contain by chance


def tokens(text: str, catalogue: Catalogue) -> list[Token]:
    """The whole text as tokens; what is no known word is a WORD."""
    found: list[Token] = []
    low, place, begun = text.lower(), 0, -1

    def flush(end: int) -> None:
        nonlocal begun
        if begun >= 0:
            found.append(Token("WORD", begun, end, text[begun:end]))
            begun = -1

    while place < len(text):
        token = _at(text, low, place, catalogue, is_word=begun >= 0)
        if token is None:
            begun = place if begun < 0 else begun
            place += 1
            continue
        flush(place)
        found.append(token)
        place = token.end
    flush(len(text))
    return found


def _at(text: str, low: str, place: int, catalogue: Catalogue, *, is_word: bool) -> Token | None:
    good = catalogue.at(low, place)
    if (
        is_word
        and text[place].isascii()
        and text[place].isalnum()
        and text[place - 1].isascii()
        and text[place - 1].isalnum()
    ):
        return None  # in the middle of a word of letters
    for kind, rule in (*_RULES, *(_AFTER_TOKEN if not is_word else _AFTER_TOKEN[1:])):
        match = rule.match(text, place)
        if match is None or match.end() == place:
            continue
        if good is not None and good[0] >= match.end() and kind not in ("MEDIA", "MENTION"):
            break
        if kind == "ADDRESS" and good is not None:
            continue
        if is_word and kind in _IN_WORD and not _stands_alone(kind, match, text):
            continue
        return _token(kind, match)
    if good is not None:
        return Token("ITEM", place, good[0], text[place : good[0]], good[1])
    return None


def _stands_alone(kind: str, match: re.Match[str], text: str) -> bool:
    """Whether what stands behind a name is not a part of it: 一 in 张一鸣, 加 in 加菲."""
    if kind == "COUNT":
        return match[0][0].isdecimal() or match[0][0] in "xX×*✖✕+" or bool(match[2] or match[4] or match[6])
    if kind == "ASK":
        return True
    if kind in ("CHANGE", "ADD", "AND") and len(match[0]) == 1:
        return match.end() < len(text) and bool(re.match(rf"\s*(?:{NUMBER}|[\u4e00-\u9fff])", text[match.end() :]))
    return True


def _token(kind: str, match: re.Match[str]) -> Token:
    start, end, text = match.start(), match.end(), match[0]
    if kind == "PIECE":
        return Token(kind, start, end, text, number=number_of(match[1] or match[2] or match[3]))
    if kind == "HALF":
        whole = Decimal(number_of(match[3]) or 0) if match[3] else Decimal(match[5] or 0)
        return Token(
            "COUNT",
            start,
            end,
            text,
            number=whole if match[5] else whole + Decimal("0.5"),
            unit=match[2] or match[4] or match[6],
        )
    if kind == "EACH":
        return Token(kind, start, end, text, number=number_of(match[1]), unit=match[2] or "")
    if kind == "COUNT":
        said = next(group for group in (match[1], match[3], match[5], match[7], match[8]) if group)
        return Token(kind, start, end, text, number=number_of(said), unit=match[2] or match[4] or match[6] or "")
    return Token(kind, start, end, text)
