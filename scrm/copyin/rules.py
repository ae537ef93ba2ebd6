"""SQL that reads and judges staged text as a set.

Every function takes an SQL expression of type text and returns an SQL expression. A value that cannot be read becomes a
sentinel of its type that no file can contain, so that one pass yields both the value and the verdict; ``is_bad`` tests
for it. Blank cells become NULL ('' for text, codes and choices).

A strict test of the shape comes first, PostgreSQL's own parser second: alone it would take "today" or "infinity".
The usual spelling is tried on the cell as it is, before the cell is cleaned and tried again: cleaning and regular
expressions cost more than all the rest. Everything here is parallel safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from psycopg import sql

from scrm.copyin.columns import SECRET_KINDS, Column, Kind, Layout

ZONE = "Asia/Shanghai"

# blank, tab, line breaks, no-break, ideographic and zero-width space, byte order mark
BLANKS = r"E' \t\n\r\u00a0\u3000\u200b\ufeff'"
# full-width ASCII; without the percent sign, which would be a placeholder of the driver
_WIDE = [chr(code) for code in range(0x21, 0x7F) if chr(code) != "%"]
_FULL = "".join(chr(ord(letter) + 0xFEE0) for letter in _WIDE) + "\u3000−—"
_HALF = "".join(_WIDE) + " --"

_DATE = "([0-9]{8}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}|[0-9]{4}年[0-9]{1,2}月[0-9]{1,2}日)"
_CLOCK = r"([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_OFFSET = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_MIDNIGHT = "([ T]0?0:00(:00(\\.0+)?)?)?"
_GROUPED = "([0-9]{1,%d}|[0-9]{1,3}(,[0-9]{3}){1,%d})"

# What translate() makes of the digits of a readable date: half the cost of the regular expression, measured on 10^6 cells.
_DATE_SHAPES = ", ".join(
    ["'00000000'"]
    + [
        f"'0000{a}{m}{b}{d}{c}'"
        for a, b, c in (("-", "-", ""), ("/", "/", ""), ("年", "月", "日"))
        for m in ("0", "00")
        for d in ("0", "00")
    ]
)

BAD_DATE = "'-infinity'::date"
BAD_TIME = "'-infinity'::timestamptz"
BAD_INTEGER = "(-9223372036854775808)::bigint"
BAD_DECIMAL = "'NaN'::numeric"
BAD_CHOICE = r"E'\u0001'"


class Check(NamedTuple):
    """A condition (SQL boolean) under which a row is broken, blamed on ``column`` ("" for the row)."""

    column: str
    code: str
    condition: str


def literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


# --- reading ----------------------------------------------------------------------------------------------------------


def text(x: str) -> str:
    """Without blanks around it."""
    return f"btrim({x}, {BLANKS})"


def code(x: str) -> str:
    """Without blanks around it, full-width letters, digits and signs as ASCII. Most codes are ASCII and skip the work."""
    ascii_only = f"translate({x}, {literal(_FULL)}, {literal(_HALF)})"
    return f"btrim(CASE WHEN octet_length({x}) = char_length({x}) THEN {x} ELSE {ascii_only} END, {BLANKS})"


def date(x: str) -> str:
    """``19990118``, ``1999/1/18``, ``1999-01-18`` or ``1999年1月18日``, with or without a midnight behind it."""
    cleaned = code(x)
    shape = literal(f"^{_DATE}{_MIDNIGHT}$")
    return f"""CASE WHEN {x} = '' THEN NULL::date
        WHEN {_digit_shape(x)} IN ({_DATE_SHAPES}) THEN {_valid_date(_iso_date(x))}
        WHEN {cleaned} = '' THEN NULL::date
        WHEN {cleaned} ~ {shape} THEN {_valid_date(_iso_date(cleaned))}
        ELSE {BAD_DATE} END"""


def datetime(x: str) -> str:
    """A date as above, or one followed by a clock; without an offset it is the clock of Shanghai."""
    cleaned = code(x)
    plain = f"translate(replace({cleaned}, '日', ' '), '/年月T', '--- ')"
    shape = literal(f"^{_DATE}([ T]{{0,2}}{_CLOCK})?$")
    shape_offset = literal(f"^{_DATE}[ T]{_CLOCK} ?{_OFFSET}$")
    return f"""CASE WHEN {x} = '' THEN NULL::timestamptz
        WHEN {_digit_shape(x)} = '0000-00-00 00:00:00' AND substr({x}, 12, 2) < '24' AND right({x}, 2) < '60'
            THEN CASE WHEN pg_input_is_valid({x}, 'timestamp') THEN {x}::timestamp AT TIME ZONE '{ZONE}' ELSE {BAD_TIME} END
        WHEN {cleaned} = '' THEN NULL::timestamptz
        WHEN {cleaned} ~ {shape} AND pg_input_is_valid({plain}, 'timestamp')
            THEN ({plain})::timestamp AT TIME ZONE '{ZONE}'
        WHEN {cleaned} ~ {shape_offset} AND pg_input_is_valid({plain}, 'timestamptz') THEN ({plain})::timestamptz
        ELSE {BAD_TIME} END"""


def integer(x: str) -> str:
    """``1234``, ``-5``, ``1,234``, ``12.00``; at most 18 digits."""
    cleaned = code(x)
    shape = literal("^[+-]?" + _GROUPED % (18, 5) + r"(\.0+)?$")
    return f"""CASE WHEN {x} = '' THEN NULL::bigint
        WHEN btrim({x}, '0123456789') = '' AND octet_length({x}) <= 18 THEN {x}::bigint
        WHEN {cleaned} = '' THEN NULL::bigint
        WHEN {cleaned} ~ {shape} THEN replace(split_part({cleaned}, '.', 1), ',', '')::bigint
        ELSE {BAD_INTEGER} END"""


def money(x: str) -> str:
    """Yuan with at most two decimals as bigint fen, computed in numeric: exact. Takes ¥, 元 and thousands separators."""
    cleaned = code(x)
    shape = literal("^[+-]?[¥￥]?" + _GROUPED % (13, 4) + r"(\.[0-9]{1,2})?元?$")
    return f"""CASE WHEN {x} = '' THEN NULL::bigint
        WHEN {_plain_decimal(x, 2)} THEN ({x}::numeric * 100)::bigint
        WHEN {cleaned} = '' THEN NULL::bigint
        WHEN {cleaned} ~ {shape} THEN (translate({cleaned}, '¥￥,元', '')::numeric * 100)::bigint
        ELSE {BAD_INTEGER} END"""


def decimal(x: str, *, scale: int) -> str:
    """A number with at most ``scale`` decimals and 12 digits before them."""
    cleaned = code(x)
    shape = literal("^[+-]?" + _GROUPED % (12, 3) + rf"(\.[0-9]{{1,{scale}}})?$")
    return f"""CASE WHEN {x} = '' THEN NULL::numeric
        WHEN {_plain_decimal(x, scale)} THEN {x}::numeric
        WHEN {cleaned} = '' THEN NULL::numeric
        WHEN {cleaned} ~ {shape} THEN replace({cleaned}, ',', '')::numeric
        ELSE {BAD_DECIMAL} END"""


def choice(x: str, choices: Mapping[str, str]) -> str:
    """The value of one of the known words, whatever their case."""

    def cases(words: Mapping[str, str]) -> str:
        return " ".join(f"WHEN {literal(word)} THEN {literal(value)}" for word, value in words.items())

    lower = cases({word.lower(): value for word, value in choices.items()})
    other = f"CASE lower({code(x)}) WHEN '' THEN '' {lower} ELSE {BAD_CHOICE} END"
    return f"CASE {x} WHEN '' THEN '' {cases(choices)} ELSE {other} END"


def _digit_shape(x: str) -> str:
    return f"translate({x}, '0123456789', '0000000000')"


def _iso_date(x: str) -> str:
    return f"translate(split_part(replace({x}, 'T', ' '), ' ', 1), '/年月日', '---')"


def _valid_date(iso: str) -> str:
    return f"CASE WHEN pg_input_is_valid({iso}, 'date') THEN ({iso})::date ELSE {BAD_DATE} END"


def _plain_decimal(x: str, scale: int) -> str:
    """Digits, with at most ``scale`` more behind one point: what nearly every cell is."""
    return (
        f"(btrim({x}, '0123456789') IN ('', '.') AND octet_length({x}) <= {scale + 12} AND left({x}, 1) <> '.'"
        f" AND right({x}, 1) <> '.' AND octet_length(split_part({x}, '.', 2)) <= {scale}"
        f" AND octet_length(split_part({x}, '.', 1)) <= 12)"
    )


# --- a whole row ------------------------------------------------------------------------------------------------------

_TYPES = {
    Kind.TEXT: "''::text", Kind.CODE: "''::text", Kind.CHOICE: "''::text", Kind.DATE: "NULL::date",
    Kind.DATETIME: "NULL::timestamptz", Kind.INTEGER: "NULL::bigint", Kind.MONEY: "NULL::bigint",
    Kind.DECIMAL: "NULL::numeric",
}  # fmt: skip


def value(column: Column, x: str) -> str:
    """The typed expression of one column."""
    match column.kind:
        case Kind.TEXT:
            return text(x)
        case Kind.CODE:
            return code(x)
        case Kind.DATE:
            return date(x)
        case Kind.DATETIME:
            return datetime(x)
        case Kind.INTEGER:
            return integer(x)
        case Kind.MONEY:
            return money(x)
        case Kind.DECIMAL:
            return decimal(x, scale=column.scale)
        case Kind.CHOICE:
            return choice(x, column.choices)
    raise ValueError(f"{column.kind} has no single value")


def select_list(layout: Layout, alias: str = "s") -> str:
    """``value AS name`` of every column of the import, typed blanks for those the file does not have."""
    items = []
    for column in layout.columns:
        present = layout.has(column.name)
        if column.kind in SECRET_KINDS:
            parts = ("index", "sealed", "verdict") if column.kind == Kind.MOBILE else ("index", "verdict")
            blank = {
                "index": "NULL::text",
                "sealed": "NULL::bytea",
                "verdict": "''::text",
            }
            items += [
                f"{f'{alias}.{column.name}_{part}' if present else blank[part]} AS {column.name}_{part}"
                for part in parts
            ]
        else:
            x = value(column, f"{alias}.{column.name}") if present else _TYPES[column.kind]
            items.append(f"{x} AS {column.name}")
    return ",\n    ".join(items)


def is_bad(column: Column, x: str) -> str:
    """Whether the typed value ``x`` of ``column`` stands for a cell that could not be read."""
    match column.kind:
        case Kind.DATE:
            return f"{x} = {BAD_DATE}"
        case Kind.DATETIME:
            return f"{x} = {BAD_TIME}"
        case Kind.INTEGER | Kind.MONEY:
            return f"{x} = {BAD_INTEGER}"
        case Kind.DECIMAL:
            return f"{x} = {BAD_DECIMAL}"
        case Kind.CHOICE:
            return f"{x} = {BAD_CHOICE}"
        case Kind.MOBILE | Kind.MOBILE_INDEX:
            return f"{x}_verdict <> ''"
    return "false"


def checks(layout: Layout, alias: str = "t") -> list[Check]:
    """What every import asks of every column: readable, not too long, no digits lost to scientific notation."""
    found = []
    for column in layout.present:
        x = f"{alias}.{column.name}"
        if column.kind not in (Kind.TEXT, Kind.CODE):
            found.append(Check(column.name, column.problem_code, is_bad(column, x)))
        if column.kind == Kind.CODE:
            found.append(
                Check(column.name, "digits_lost", rf"strpos({x}, 'E+') > 1 AND {x} ~ '^[0-9](\.[0-9]+)?E[+][0-9]+$'")
            )
        if column.max_length is not None and column.kind in (Kind.TEXT, Kind.CODE):
            found.append(
                Check(
                    column.name,
                    "too_long",
                    f"octet_length({x}) > {column.max_length} AND char_length({x}) > {column.max_length}",
                )
            )
    return found


def first_problem(layout: Layout, checks: Iterable[Check]) -> str:
    """``column:code`` of the first check that holds, in the order of the file's columns; NULL for a good row.

    Checks of one column keep their order; those of the row itself, and of columns the file does not have, come last.
    """
    last = len(layout.header)
    ordered = sorted(checks, key=lambda check: layout.positions.get(check.column, last))
    if not ordered:
        return "NULL::text"
    cases = " ".join(f"WHEN {c.condition} THEN {literal(f'{c.column}:{c.code}')}" for c in ordered)
    return f"CASE {cases} END"
