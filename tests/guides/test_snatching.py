"""Who may take a customer over (A10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guides import snatching
from guides.snatching import OPENING, CurrentBinding, Policy, Snatch, Validity, Verdict

START = datetime(2025, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
DEFAULT = Policy()
B = CurrentBinding("G0000B", START)


def ask(policy: Policy, at: datetime, binding: CurrentBinding | None = B, guide: str = "G0000C") -> Verdict:
    return snatching.verdict(binding, guide, policy, at=at)


def test_example_24_protection() -> None:
    assert ask(DEFAULT, START + 12 * DAY) == Verdict.REFUSED_PROTECTED
    assert ask(DEFAULT, START + 45 * DAY) == Verdict.SNATCH


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(-SECOND, Verdict.REFUSED_PROTECTED), (0 * DAY, Verdict.SNATCH), (SECOND, Verdict.SNATCH)],
)
def test_a10_end_of_protection_to_the_second(offset: timedelta, expected: Verdict) -> None:
    """A10."""
    assert ask(DEFAULT, START + 30 * DAY + offset) == expected


def test_a10_zero_days_of_protection_protect_nobody() -> None:
    """A10: 0 is an explicit zero."""
    assert ask(Policy(protected_days=0), START) == Verdict.SNATCH


def test_a10_a_promised_protection_stands() -> None:
    """A10: a later, shorter policy does not take away what the binding was promised."""
    promised = CurrentBinding("G0000B", START, protected_until=START + 30 * DAY)
    assert ask(Policy(protected_days=1), START + 12 * DAY, promised) == Verdict.REFUSED_PROTECTED


def test_snatch_policies() -> None:
    assert ask(Policy(snatch=Snatch.ANY_TIME), START + SECOND) == Verdict.SNATCH
    assert ask(Policy(snatch=Snatch.NEVER), START + 9_999 * DAY) == Verdict.REFUSED_NEVER
    assert snatching.protected_until(START, Policy(snatch=Snatch.NEVER)) is None
    assert snatching.protected_until(START, DEFAULT) == START + 30 * DAY


def test_validity_counts_from_the_last_activity() -> None:
    policy = Policy(validity=Validity.DAYS_SINCE_ACTIVITY, validity_days=365)
    idle = CurrentBinding("G0000B", START)
    active = CurrentBinding("G0000B", START, last_activity_at=START + 100 * DAY)
    earlier = CurrentBinding("G0000B", START, last_activity_at=START - 100 * DAY)
    assert snatching.valid_until(idle, policy) == START + 365 * DAY
    assert snatching.valid_until(active, policy) == START + 465 * DAY
    assert snatching.valid_until(earlier, policy) == START + 365 * DAY
    assert snatching.valid_until(active, DEFAULT) is None
    assert snatching.is_valid(active, policy, at=START + 465 * DAY - SECOND)
    assert not snatching.is_valid(active, policy, at=START + 465 * DAY)


def test_open_again_and_self() -> None:
    assert ask(DEFAULT, START, None) == Verdict.OPEN
    assert ask(DEFAULT, START + DAY, guide="G0000B") == Verdict.UNCHANGED
    keys = frozenset({"mobile:1"})
    answer = snatching.verdict(None, "G0000C", DEFAULT, at=START, guide_keys=keys, member_keys=keys | {"unionid:2"})
    assert answer == Verdict.REFUSED_SELF


policies = st.builds(
    Policy,
    validity=st.sampled_from(Validity),
    validity_days=st.integers(0, 60),
    snatch=st.sampled_from(Snatch),
    protected_days=st.integers(0, 60),
)


@given(policy=policies, days=st.integers(0, 120), seconds=st.integers(-1, 1))
@settings(max_examples=400, deadline=None)
def test_a10_protected_cannot_be_snatched_expired_can(policy: Policy, days: int, seconds: int) -> None:
    """A10: a protected valid binding is never taken over; an expired one always is."""
    at = START + days * DAY + seconds * SECOND
    answer = ask(policy, at)
    is_expired = policy.validity == Validity.DAYS_SINCE_ACTIVITY and at >= START + policy.validity_days * DAY
    is_protected = policy.snatch == Snatch.AFTER_PROTECTION and at < START + policy.protected_days * DAY
    if is_expired:
        assert answer == Verdict.REPLACE_EXPIRED
    elif is_protected or policy.snatch == Snatch.NEVER:
        assert answer not in OPENING
    else:
        assert answer == Verdict.SNATCH
