"""What runs by the clock (Asia/Shanghai). Beat copies a changed time from here and keeps what the console switched off.

A task that takes longer than its period is safe: each run claims its logical date or its rows by status.
"""

from __future__ import annotations

from typing import Any

ENTRIES: dict[str, dict[str, Any]] = {}
