"""How long a console session lives: half an hour without a click, twelve hours at most.

The times stand in the session itself. A page that polls in the background sends ``X-Background`` and does not count as a
click, so that a forgotten progress bar keeps nobody logged in.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

IDLE_SECONDS = 30 * 60
WHOLE_SECONDS = 12 * 3600
NOTE_SECONDS = 60  # the last click is written at most once a minute
STARTED, SEEN = "_started_at", "_seen_at"


class SessionLimits:
    """A middleware behind authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            self._limit(request, int(time.time()))
        return self.get_response(request)

    def _limit(self, request: HttpRequest, now: int) -> None:
        session = request.session
        started, seen = session.get(STARTED, now), session.get(SEEN, now)
        if now - seen >= IDLE_SECONDS or now - started >= WHOLE_SECONDS:
            logout(request)
        elif STARTED not in session or (now - seen >= NOTE_SECONDS and "X-Background" not in request.headers):
            session[STARTED], session[SEEN] = started, now
