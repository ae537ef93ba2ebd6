"""The canonical form of facts: JSON in UTF-8 without blanks, times as microseconds since 1970 UTC, no float."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS  # only what is written out by hand


def canonical(content: object) -> bytes:
    """Lists, tuples, texts, whole numbers, truths and None; raises TypeError for anything else."""
    return orjson.dumps(content, _plain, STRICT)


def sha256(content: object) -> str:
    return hashlib.sha256(canonical(content)).hexdigest()


def _plain(value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple):  # a named one
        return tuple(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC, without a float."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
