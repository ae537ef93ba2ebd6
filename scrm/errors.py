"""The one error that reaches users.

An operation that a business rule forbids raises a subclass of ``RuleViolation``. The API answers 409 with
``{code, message, extra}``, the admin shows ``message``. Any other exception is a bug.
"""

from __future__ import annotations

from typing import Any


class RuleViolation(Exception):
    """A rule of the business says no.

    ``code`` is stable, lower_snake and for machines; ``message`` is a translated sentence that says what to do
    about it; ``extra`` holds JSON values that a screen may show.
    """

    code = "rule_violation"

    def __init__(self, message: str, *, code: str | None = None, extra: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.extra = extra or {}
