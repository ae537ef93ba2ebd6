"""Limits of WeCom's parameters, checked before the call; some count UTF-8 bytes, some characters, as documented."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _

from scrm.wecom.errors import BadParameter

ORDER_BELOW = 2**32


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


def order(endpoint: str, number: int | None) -> None:
    between(endpoint, "order", number, 0, ORDER_BELOW - 1)


def userid(endpoint: str, field: str, text: str) -> None:
    """A member id: 1 to 64 bytes."""
    if not text:
        raise BadParameter(endpoint, detail=_("%(field)s is missing") % {"field": field})
    utf8_bytes(endpoint, field, text, 64)


def present(endpoint: str, field: str, value: object) -> None:
    if not value:
        raise BadParameter(endpoint, detail=_("%(field)s is missing") % {"field": field})


def _refusal(endpoint: str, sentence: str, field: str, most: int) -> BadParameter:
    return BadParameter(endpoint, detail=sentence % {"field": field, "most": most})
