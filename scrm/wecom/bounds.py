"""Limits of WeCom's parameters, checked before the call; some count UTF-8 bytes, some characters, as documented."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from django.utils.translation import gettext as _

from scrm.wecom.errors import BadParameter

ORDER_BELOW = 2**32
USERID_BYTES = 64


def chars(endpoint: str, field: str, text: str | None, most: int) -> None:
    if text is not None and len(text) > most:
        raise _refusal(endpoint, _("%(field)s has more than %(most)s characters"), field, most)


def utf8_bytes(endpoint: str, field: str, text: str | None, most: int) -> None:
    if text is not None and len(text.encode()) > most:
        raise _refusal(endpoint, _("%(field)s has more than %(most)s bytes"), field, most)


def items(endpoint: str, field: str, values: Sequence[object], most: int, *, least: int = 0) -> None:
    if len(values) > most:
        raise _refusal(endpoint, _("%(field)s has more than %(most)s items"), field, most)
    if len(values) < least:
        raise _refusal(endpoint, _("%(field)s has fewer than %(most)s items"), field, least)


def between(endpoint: str, field: str, number: int | None, low: int, high: int) -> None:
    """``low <= number <= high``."""
    if number is not None and not low <= number <= high:
        text = _("%(field)s is not between %(low)s and %(high)s") % {"field": field, "low": low, "high": high}
        raise BadParameter(endpoint, detail=text)


def one_of(endpoint: str, field: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        text = _("%(field)s is none of %(allowed)s") % {"field": field, "allowed": ", ".join(allowed)}
        raise BadParameter(endpoint, detail=text)


def size(endpoint: str, field: str, count: int, least: int, most: int) -> None:
    """The bytes of a file."""
    if not least <= count <= most:
        text = _("%(field)s does not have %(least)s to %(most)s bytes")
        raise BadParameter(endpoint, detail=text % {"field": field, "least": least, "most": most})


def period(endpoint: str, since: dt.datetime, until: dt.datetime, longest: dt.timedelta) -> None:
    """``until`` after ``since``, and not too long after it."""
    if not dt.timedelta(0) < until - since <= longest:
        raise BadParameter(
            endpoint, detail=_("the period is not between 1 second and %(days)s days") % {"days": longest.days}
        )


def days(endpoint: str, first: dt.date, last: dt.date, today: dt.date, *, most: int, back: int) -> None:
    """``first`` to ``last``, both included: at most ``most`` days, none longer ago than ``back``, none ahead."""
    if not today - dt.timedelta(days=back) <= first <= last <= today or (last - first).days >= most:
        text = _("the period is longer than %(most)s days, or begins more than %(back)s days ago")
        raise BadParameter(endpoint, detail=text % {"most": most, "back": back})


def order(endpoint: str, number: int | None) -> None:
    between(endpoint, "order", number, 0, ORDER_BELOW - 1)


def userid(endpoint: str, field: str, text: str) -> None:
    """A member id: 1 to 64 bytes."""
    if not text:
        raise BadParameter(endpoint, detail=_("%(field)s is missing") % {"field": field})
    utf8_bytes(endpoint, field, text, USERID_BYTES)


def present(endpoint: str, field: str, value: object) -> None:
    if not value:
        raise BadParameter(endpoint, detail=_("%(field)s is missing") % {"field": field})


def _refusal(endpoint: str, sentence: str, field: str, most: int) -> BadParameter:
    return BadParameter(endpoint, detail=sentence % {"field": field, "most": most})
