"""The audit trail (审计): who did what to whom, and why.

1. An act is recorded in the transaction that does it; without the record the act does not happen.
2. Acts are never changed; personal data never stands in them, ids do.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, models

from scrm.models import Act


def record(*, actor: Any, verb: str, target: models.Model | None = None, target_type: str = "", target_id: str = "",
           reason: str = "", **data: Any) -> Act:  # fmt: skip
    """Write one act. ``actor`` is a user, or None for the system itself. Needs an open transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("an act is recorded in the transaction that does it")
    if target is not None:
        target_type, target_id = target._meta.label, str(target.pk)
    return Act.objects.create(
        actor=actor, verb=verb, target_type=target_type, target_id=target_id, reason=reason, data=data
    )
