"""Why a coupon says no: a sentence for the person, a code for the program, the field it is about."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError

from scrm.errors import RuleViolation


class CouponRefused(RuleViolation):
    """``extra.field`` names what to change: code, store, channel, amount, lines, order_no, member, template."""

    code = "coupon_refused"

    def __init__(self, message: str, *, code: str, field: str, **extra: Any) -> None:
        super().__init__(message, code=code, extra={"field": field, **extra})


class RequestDiffers(RuleViolation):
    """The key came before with other content."""

    code = "coupon_request_differs"


def constraint_of(error: DatabaseError) -> str:
    """The name of the constraint that said no; empty where the database names none."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""
