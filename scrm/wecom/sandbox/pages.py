"""The sandbox's own pages."""

from __future__ import annotations

from typing import Any


def answer(box: Any, request: Any) -> Any:
    from scrm.wecom.sandbox.server import Answer

    return Answer(b"", "text/plain", 404)
