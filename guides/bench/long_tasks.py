"""What fills the normal worker in the bench of welcomes. Only that bench's worker knows it (``--include``)."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from celery import shared_task

BLOCK = bytes(2**20)


@shared_task
def occupy(folder: str, seconds: float) -> None:
    """Work for so long, a processor's share included, and leave a mark in ``folder`` as long as it lasts."""
    mark, until = Path(folder) / f"{os.getpid()}", time.monotonic() + seconds
    mark.touch()
    try:
        while time.monotonic() < until:
            hashlib.sha256(BLOCK).digest()
    finally:
        mark.unlink()
