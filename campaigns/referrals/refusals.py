"""Why a referral does not come about."""

from __future__ import annotations

from scrm.errors import RuleViolation


class ReferralRefused(RuleViolation):
    code = "referral_refused"
