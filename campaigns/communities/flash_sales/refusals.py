"""Why a sale says no."""

from __future__ import annotations

from typing import Any

from scrm.errors import RuleViolation


class SaleRefused(RuleViolation):
    """``extra.field`` names what to change."""

    code = "sale_refused"

    def __init__(self, message: str, *, code: str, field: str, **extra: Any) -> None:
        super().__init__(message, code=code, extra={"field": field, **extra})
