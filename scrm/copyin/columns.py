"""Which cell of a row means what: columns of an import, guessed from the header and correctable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _

from scrm.copyin.problems import FileRefused

# Added by the error file; a corrected error file comes back with them.
REPORT_HEADERS = ("行号", "列", "错误码", "原因")


class Kind(StrEnum):
    TEXT = "text"  # kept as written, blanks around it removed
    CODE = "code"  # full-width letters and digits become ASCII
    MOBILE = "mobile"  # becomes <name>_index, <name>_sealed, <name>_verdict; the number itself is not staged
    MOBILE_INDEX = "mobile_index"  # becomes <name>_index and <name>_verdict
    DATE = "date"
    DATETIME = "datetime"
    INTEGER = "integer"
    MONEY = "money"  # yuan in the file, fen in the database
    DECIMAL = "decimal"  # with ``scale`` decimals
    CHOICE = "choice"


SECRET_KINDS = (Kind.MOBILE, Kind.MOBILE_INDEX)


@dataclass(frozen=True)
class Column:
    """A column that an import understands.

    ``name`` is the identifier in the staging table and in mappings; ``headers`` are its usual titles, the likeliest first;
    a ``required`` column must be present in the file (its cells may still be empty); ``choices`` maps the words of a CHOICE
    to values; ``code`` is the problem's code when a cell cannot be read, ``bad_<name>`` by default.
    """

    name: str
    label: Any
    headers: tuple[str, ...] = ()
    required: bool = False
    kind: Kind = Kind.TEXT
    choices: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    max_length: int | None = None
    scale: int = 3

    @property
    def problem_code(self) -> str:
        return self.code or f"bad_{self.name}"


@dataclass(frozen=True)
class Layout:
    """The columns found in one file: ``positions`` maps a column's name to its place in the row, from 0."""

    columns: tuple[Column, ...]
    header: tuple[str, ...]
    positions: Mapping[str, int]

    @property
    def present(self) -> list[Column]:
        """The mapped columns in the order of the file, which is the order in which a row's first problem is looked for."""
        return sorted(
            (c for c in self.columns if c.name in self.positions),
            key=lambda c: self.positions[c.name],
        )

    @property
    def missing(self) -> list[Column]:
        return [c for c in self.columns if c.required and c.name not in self.positions]

    @property
    def ignored(self) -> list[str]:
        """Titles nobody claimed, for the preview."""
        used = set(self.positions.values())
        return [t for i, t in enumerate(self.header) if i not in used and t and t not in REPORT_HEADERS]

    @property
    def mapping(self) -> dict[str, str]:
        """What a person corrects: column name → title in the file."""
        return {name: self.header[position] for name, position in self.positions.items()}

    def has(self, name: str) -> bool:
        return name in self.positions

    def require(self) -> None:
        if self.missing:
            names = ", ".join(str(c.label) for c in self.missing)
            raise FileRefused(
                _("The file has no column for: %(names)s. Check the header, or map the columns by hand.")
                % {"names": names},
                code="missing_column",
                extra={"columns": [c.name for c in self.missing]},
            )


def guess(header: Sequence[str], columns: Sequence[Column]) -> Layout:
    """Each column takes the title that equals its likeliest synonym; nothing is matched by similarity."""
    titles: dict[str, int] = {}
    for position, title in enumerate(header):
        for key in _keys(title):
            titles.setdefault(key, position)
    positions: dict[str, int] = {}
    for column in columns:
        for synonym in (*column.headers, column.name):
            found = titles.get(_keys(synonym)[0])
            if found is not None and found not in positions.values():
                positions[column.name] = found
                break
    return Layout(tuple(columns), tuple(header), positions)


def apply_mapping(
    header: Sequence[str],
    columns: Sequence[Column],
    mapping: Mapping[str, str | int | None],
) -> Layout:
    """The guess, corrected by ``{column name: title or place from 1, or null for "not in this file"}``."""
    guessed = dict(guess(header, columns).positions)
    known = {c.name for c in columns}
    for name, target in mapping.items():
        if name not in known:
            raise _bad_mapping(_("The mapping names a column that does not exist: %(name)s.") % {"name": name})
        guessed.pop(name, None)
        if target is None or target == "":
            continue
        position = _position(header, target)
        guessed = {other: place for other, place in guessed.items() if place != position or other in mapping}
        if position in guessed.values():
            raise _bad_mapping(_("The mapping uses the title %(title)s twice.") % {"title": target})
        guessed[name] = position
    return Layout(tuple(columns), tuple(header), guessed)


def _position(header: Sequence[str], target: str | int) -> int:
    if isinstance(target, int):
        if 1 <= target <= len(header):
            return target - 1
    elif target in header:
        return list(header).index(target)
    else:
        for position, title in enumerate(header):
            if _keys(str(target))[0] == _keys(title)[0]:
                return position
    raise _bad_mapping(_("The mapping names a title that the file does not have: %(title)s.") % {"title": target})


def _bad_mapping(text: str) -> FileRefused:
    return FileRefused(text, code="bad_mapping")


def _keys(title: str) -> list[str]:
    """``"* 手机号 (11位)"`` → ``["手机号(11位)", "手机号"]``: width, case, blanks, stars and underscores do not count."""
    whole = re.sub(r"[\s_\-*:;.\"'\ufeff\u200b]+", "", unicodedata.normalize("NFKC", title)).casefold()
    bare = re.sub(r"[(\[【][^)\]】]*[)\]】]", "", whole)
    return [whole, bare] if bare and bare != whole else [whole]
