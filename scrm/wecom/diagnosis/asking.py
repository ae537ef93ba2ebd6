"""Asking WeCom within a budget of time. Nothing is raised: what happened is an Outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from scrm.models import WecomApp, WecomPace
from scrm.wecom import errors, tokens, transport
from scrm.wecom.client import TOKEN_CODES, Endpoint

BUDGET_SECONDS = 75.0
CALL_SECONDS = 6.0  # a call alone, of which WeCom answers nearly all within one
BUSY_CODES = frozenset({-1, 45033})
BUSY_PAUSE = 0.5

ANSWERED, REFUSED, UNREACHABLE, UNREADABLE, BLOCKED, LATE = (
    "answered", "refused", "unreachable", "unreadable", "blocked", "late",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """``errcode`` is WeCom's with REFUSED; ``detail`` the kind of failure; ``ip`` the address that WeCom saw (60020)."""

    kind: str
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    errcode: int = 0
    ip: str = ""
    detail: str = ""


class Budget:
    def __init__(self, seconds: float = BUDGET_SECONDS) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def of_call(self, most: float = CALL_SECONDS) -> float:
        return max(0.05, min(most, self.left))


class Asking:
    """One app's questions under a token of its own."""

    def __init__(self, app: WecomApp, budget: Budget) -> None:
        self._app, self._budget, self._token = app, budget, ""

    def token(self) -> Outcome:
        """Whether WeCom gives a token now."""
        if not self._budget.left:
            return Outcome(LATE)
        try:
            self._token = tokens.proven(self._app, seconds=self._budget.of_call())
        except errors.WecomError as error:
            return _failed(error)
        return Outcome(ANSWERED)

    def ask(self, endpoint: Endpoint, values: dict[str, Any]) -> Outcome:
        if not self._budget.left:
            return Outcome(LATE)
        pace = WecomPace.objects.filter(corp=self._app.corp_id, path=endpoint.path)
        if pace.filter(blocked_until__gt=timezone.now()).exists():
            return Outcome(BLOCKED)  # asking again would prolong it
        outcome = self._asked(endpoint, values)
        if outcome.errcode in BUSY_CODES:
            time.sleep(min(BUSY_PAUSE, self._budget.left))
            return self._asked(endpoint, values)
        if outcome.errcode in TOKEN_CODES and self.token().kind == ANSWERED:
            return self._asked(endpoint, values)
        return outcome

    def _asked(self, endpoint: Endpoint, values: dict[str, Any]) -> Outcome:
        query, body = (values, None) if endpoint.method == "GET" else ({}, values)
        address = {"access_token": self._token, **query}
        try:
            answer = transport.exchange(
                endpoint.method, endpoint.path, address, body, seconds=self._budget.of_call()
            )  # fmt: skip
        except errors.WecomError as error:
            return _failed(error)
        return Outcome(ANSWERED, answer)


def _failed(error: errors.WecomError) -> Outcome:
    if isinstance(error, errors.Unreachable):
        return Outcome(UNREACHABLE, detail=error.detail)
    if error.errcode is None:
        return Outcome(BLOCKED if isinstance(error, errors.Retryable) else UNREADABLE)
    return Outcome(REFUSED, errcode=error.errcode, ip=error.caller_ip)
