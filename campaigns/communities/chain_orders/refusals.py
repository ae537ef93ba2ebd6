"""Why a chain order says no."""

from __future__ import annotations

from scrm.errors import RuleViolation


class ChainRefused(RuleViolation):
    """``extra.fields`` names what to correct where there are fields; ``extra.left`` what is left of each item."""

    code = "chain_refused"
