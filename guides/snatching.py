"""Who may take a customer over (抢绑): the pure policy of a binding's validity and of snatching.

1. A binding (专属导购) is valid for ever, or for N days since the customer's last purchase or service act; with
   neither, since its start.
2. A second guide may take over a valid binding at any time, never, or after N protected days (保护期) from its start.
3. An expired binding protects nobody: it may be taken over under every policy.
4. The end of a protection or a validity is half-open: at that very instant the binding is free.
5. A guide cannot be bound to herself (自绑): any identity she shares with the customer refuses it.
6. The guide who already holds the customer changes nothing by asking again.
7. Who is refused is told why, and her contact still counts as a touch.
8. A guide who works in no store at that moment binds nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Validity(StrEnum):
    FOREVER = "FOREVER"
    DAYS_SINCE_ACTIVITY = "DAYS_SINCE_ACTIVITY"


class Snatch(StrEnum):
    ANY_TIME = "ANY_TIME"
    NEVER = "NEVER"
    AFTER_PROTECTION = "AFTER_PROTECTION"


class Verdict(StrEnum):
    """The answer to a request to bind. The first three open a binding."""

    OPEN = "OPEN"  # nobody holds the customer
    SNATCH = "SNATCH"  # a valid binding is closed for the new one
    REPLACE_EXPIRED = "REPLACE_EXPIRED"
    UNCHANGED = "UNCHANGED"
    REFUSED_SELF = "REFUSED_SELF"
    REFUSED_PROTECTED = "REFUSED_PROTECTED"
    REFUSED_NEVER = "REFUSED_NEVER"
    REFUSED_OVERTAKEN = "REFUSED_OVERTAKEN"  # said by ``bindings``: history is not rewritten
    REFUSED_NOT_EMPLOYED = "REFUSED_NOT_EMPLOYED"


OPENING = frozenset({Verdict.OPEN, Verdict.SNATCH, Verdict.REPLACE_EXPIRED})


@dataclass(frozen=True, slots=True)
class Policy:
    """The two knobs of a rule. Days matter only for the kinds that name them; 0 days is an explicit zero."""

    validity: Validity = Validity.FOREVER
    validity_days: int = 365
    snatch: Snatch = Snatch.AFTER_PROTECTION
    protected_days: int = 30


@dataclass(frozen=True, slots=True)
class CurrentBinding:
    guide: str
    started_at: datetime
    last_activity_at: datetime | None = None  # last purchase or service act, None: none yet
    protected_until: datetime | None = None  # as promised when it was opened; None: the policy counts from started_at


def valid_until(binding: CurrentBinding, policy: Policy) -> datetime | None:
    """The first instant at which the binding no longer counts; None: it counts for ever."""
    if policy.validity == Validity.FOREVER:
        return None
    since = binding.started_at
    if binding.last_activity_at is not None and binding.last_activity_at > since:
        since = binding.last_activity_at
    return since + timedelta(days=policy.validity_days)


def is_valid(binding: CurrentBinding, policy: Policy, *, at: datetime) -> bool:
    until = valid_until(binding, policy)
    return until is None or at < until


def protected_until(started_at: datetime, policy: Policy) -> datetime | None:
    """Until when a binding opened now is protected; None: the policy gives protection no length."""
    if policy.snatch != Snatch.AFTER_PROTECTION:
        return None
    return started_at + timedelta(days=policy.protected_days)


def verdict(
    current: CurrentBinding | None,
    guide: str,
    policy: Policy,
    *,
    at: datetime,
    guide_keys: frozenset[str] = frozenset(),
    member_keys: frozenset[str] = frozenset(),
    is_employed: bool = True,
) -> Verdict:
    """Whether `guide` may bind the customer at `at`. Keys identify persons (mobile index, unionid, staff id)."""
    if not guide_keys.isdisjoint(member_keys):
        return Verdict.REFUSED_SELF
    if not is_employed:
        return Verdict.REFUSED_NOT_EMPLOYED
    if current is None:
        return Verdict.OPEN
    if not is_valid(current, policy, at=at):
        return Verdict.REPLACE_EXPIRED
    if current.guide == guide:
        return Verdict.UNCHANGED
    if policy.snatch == Snatch.NEVER:
        return Verdict.REFUSED_NEVER
    if policy.snatch == Snatch.AFTER_PROTECTION:
        until = current.protected_until or protected_until(current.started_at, policy)
        if until is not None and at < until:
            return Verdict.REFUSED_PROTECTED
    return Verdict.SNATCH
