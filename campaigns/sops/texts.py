"""The texts of steps: who is addressed, by whom, from which store. Pure."""

from __future__ import annotations

import re

CUSTOMER, GUIDE, STORE = "{客户称呼}", "{导购姓名}", "{门店名称}"
PLACEHOLDERS = (CUSTOMER, GUIDE, STORE)
NAMELESS = "您"
_BRACES = re.compile(r"[{｛][^{}｛｝]*[}｝]")


def render(text: str, *, customer: str, guide: str, store: str) -> str:
    """A customer without a name is addressed as “您”."""
    for name, value in ((CUSTOMER, customer or NAMELESS), (GUIDE, guide), (STORE, store)):
        text = text.replace(name, value)
    return text


def unknown(text: str) -> list[str]:
    """Placeholders that nobody fills."""
    return [found for found in _BRACES.findall(text) if found not in PLACEHOLDERS]
