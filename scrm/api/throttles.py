"""How often (限流): counted in the cache, so that the limit holds over all processes.

1. A limit is a number of requests in a window of fixed length; counting is one atomic step, so no race slips through.
2. The windows of different callers begin at different moments.
3. Whose limit it is: an account together with an address, so that nobody can lock out somebody else.
4. Behind TRUSTED_PROXY_COUNT proxies the address is the one they saw; what the caller writes into the header is ignored.
5. A cache that is away lets requests pass and says so in the log: no code and no number can be guessed in that time.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, ClassVar

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

log = structlog.get_logger(__name__)

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


class WindowThrottle(BaseThrottle):
    scope: ClassVar[str]
    limit: ClassVar[int]
    seconds: ClassVar[int]

    def __init__(self) -> None:
        self._wait = 1.0

    def owner(self, request: Request, view: Any) -> str | None:
        """Whose limit it is; None: not limited."""
        return str(request.user.pk)

    def allow_request(self, request: Request, view: Any) -> bool:
        owner = self.owner(request, view)
        return owner is None or self.count(owner) <= self.limit

    def wait(self) -> float:
        return self._wait

    def count(self, owner: str) -> int:
        """Count one more and return how many there are in this window."""
        key, timeout = self._window(owner)
        try:
            if cache.add(key, 1, timeout):
                return 1
            return int(cache.incr(key))
        except (RedisError, OSError) as error:
            log.warning("cache_away", scope=self.scope, error=type(error).__name__)
            return 1

    def counted(self, owner: str) -> int:
        try:
            return int(cache.get(self._window(owner)[0], 0))
        except (RedisError, OSError) as error:
            log.warning("cache_away", scope=self.scope, error=type(error).__name__)
            return 0

    def _window(self, owner: str) -> tuple[str, int]:
        digest = hashlib.sha256(owner.encode()).hexdigest()[:32]  # an owner may be what somebody typed
        offset = int(digest[:8], 16) % self.seconds
        now = time.time()
        number, past = divmod(now + offset, self.seconds)
        self._wait = self.seconds - past
        return f"throttle:{self.scope}:{digest}:{int(number)}", self.seconds + MINUTE  # never gone while it is counted


class MissThrottle(WindowThrottle):
    """Whoever asks for many rows that are not there (or not hers) is probing: after the limit everything is refused."""

    scope = "miss"
    limit = 60
    seconds = HOUR

    def allow_request(self, request: Request, view: Any) -> bool:
        return self.counted(str(request.user.pk)) < self.limit

    @classmethod
    def missed(cls, request: Request) -> None:
        cls().count(str(request.user.pk))
