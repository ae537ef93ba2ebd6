"""Pages of a list (翻页): by the key of the last row, never by offset, never counted.

1. A cursor is opaque and signed. It belongs to one list with one set of filters and is refused elsewhere.
2. A page is read with one row more than it shows; that row says whether there is a next page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.core import signing
from django.utils.translation import gettext as _
from rest_framework import serializers

PAGE_SIZE = 20
LARGEST_PAGE = 50


class Page(NamedTuple):
    items: list[dict[str, Any]]
    next_cursor: str | None


class PageInput(serializers.Serializer[Any]):
    """The query parameters that every list takes."""

    cursor = serializers.CharField(required=False, max_length=512, help_text="`next_cursor` of the page before")
    size = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_PAGE, default=PAGE_SIZE)


def read_cursor(text: str | None, *, of: str) -> list[Any] | None:
    """The key after which the page begins; None for the first page. ``of`` names the list and its filters."""
    if not text:
        return None
    try:
        key: list[Any] = signing.Signer(salt=f"cursor {of}").unsign_object(text)
    except (signing.BadSignature, ValueError):
        message = _("This cursor does not belong to this list.")
        raise serializers.ValidationError({"cursor": [message]}, code="invalid_cursor") from None
    return key


def page(rows: Sequence[dict[str, Any]], *, size: int, of: str, key: Callable[[dict[str, Any]], list[Any]]) -> Page:
    """``rows`` holds up to ``size`` + 1 rows; ``key`` gives the JSON values that the next page starts after."""
    items = list(rows[:size])
    more = len(rows) > size
    return Page(items, signing.Signer(salt=f"cursor {of}").sign_object(key(items[-1])) if more else None)
