"""What the console's templates say: money, codes in words, masked numbers."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from scrm.admin import shown, words

register = template.Library()


@register.filter
def money(fen: int | None) -> SafeString:
    return shown.money(fen)


@register.filter
def percent(bp: int | None) -> str:
    return shown.percent(bp)


@register.filter
def word(code: Any) -> str:
    return words.verb_text(str(code))


@register.filter
def reason(text: Any) -> str:
    return words.reason_text(str(text))


@register.filter
def problem(code: Any) -> str:
    return words.problem_text(str(code))


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    return mapping.get(key)
