"""What can be wrong with a file or a row, and what the person who sent it should do."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scrm.errors import RuleViolation

WRONG_CELL_COUNT = "wrong_cell_count"
BAD_QUOTE = "bad_quote"
BAD_ENCODING = "bad_encoding"
BAD_CHARACTER = "bad_character"


class FileRefused(RuleViolation):
    """The file as a whole cannot be taken; the message says what to do. Nothing was written."""

    code = "file_refused"


class Problem(NamedTuple):
    """One broken row: where it starts in the file, the column's name ("" for the row itself) and why."""

    line_no: int
    column: str
    code: str

    @property
    def message(self) -> str:
        return message(self.code)


_messages: dict[str, object] = {
    WRONG_CELL_COUNT: _(
        "The row has more or fewer cells than the header. Put cells that contain the separator or a line break in double quotes."
    ),
    BAD_QUOTE: _(
        "A double quote opens here and is not closed properly. Close it, or write a double quote inside a cell twice."
    ),
    BAD_ENCODING: _(
        "The row contains bytes that are not text in the file's encoding. Retype the row, or save the file as CSV UTF-8."
    ),
    BAD_CHARACTER: _("The row contains a character that cannot be stored (NUL or a lone line break). Delete it."),
    "bad_mobile": _("This is not a Chinese mobile number: 11 digits that begin with 13 to 19, with or without +86."),
    "bad_date": _("This is not a date. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日."),
    "bad_time": _("This is not a time. Write it as 2024-05-01 12:30:00."),
    "bad_integer": _("This is not a whole number."),
    "bad_amount": _("This is not an amount in yuan with at most two decimals."),
    "bad_choice": _("This value is not one of the allowed ones."),
    "internal_error": _(
        "The system stumbled over this. Tell its maintainer the number of the row, then play it again."
    ),
    "missing_value": _("This cell must not be empty."),
    "too_long": _("This text is too long."),
    "digits_lost": _(
        "The spreadsheet has turned this number into scientific notation and lost digits. Format the column as text and enter it again."
    ),
}


def register(messages: dict[str, object]) -> None:
    """The codes of one import with their lazy messages; every message names the remedy."""
    _messages.update(messages)


def message(code: str) -> str:
    """The sentence for a code in the active language; an unknown code stands for itself."""
    text = _messages.get(code)
    return str(text) if text is not None else gettext("Unknown problem: %(code)s") % {"code": code}


def known_codes() -> frozenset[str]:
    return frozenset(_messages)
