"""The canonical form of facts: JSON in ASCII without blanks, times as microseconds since 1970 UTC, no float."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENCODE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


def sha256(content: object) -> str:
    return hashlib.sha256(ENCODE(content).encode("ascii")).hexdigest()


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC, without a float."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
