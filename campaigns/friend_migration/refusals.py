"""What a drive refuses."""

from __future__ import annotations

from scrm.errors import RuleViolation


class MigrationRefused(RuleViolation):
    code = "migration_refused"
