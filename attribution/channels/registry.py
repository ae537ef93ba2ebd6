"""The platforms whose orders we read (渠道平台): a module of this package that defines ``PLATFORM`` is one of them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from attribution import channels
from attribution.channels.platform import Platform


@cache
def platforms() -> dict[str, Platform]:
    """By their code, which is also the code of their channel."""
    found = {}
    for module in pkgutil.iter_modules(channels.__path__):
        made = getattr(importlib.import_module(f"attribution.channels.{module.name}"), "PLATFORM", None)
        if isinstance(made, Platform):
            found[made.code] = made
    return dict(sorted(found.items()))
