"""A WeCom of its own process whose guides make friends, for the bench of welcomes.

``python -m guides.bench.friends``: one line of JSON says where it is. Then for each line of JSON read one is printed:
``{"url", "token", "aes_key"}`` sets the address that hears of friends; ``{"friends", "per_second"}`` makes so many and says
for each how long after the answer to its event the welcome message was taken, null for one that never came.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import django

USERID = "guide000001"
WAIT_SECONDS = 30.0  # a code lives for 20
LOOK_SECONDS = 0.01
VERIFY_SECONDS = 10.0  # a web process just started is slow at first


def serve() -> None:
    from scrm.wecom.sandbox import SELF, Sandbox
    from scrm.wecom.sandbox.answers import Answer, Request

    class Timed(Sandbox):
        """Notes when the welcome message of a code was taken."""

        taken: dict[str, float] = {}  # noqa: RUF012  of the one in this process

        def answer(self, request: Request) -> Answer:
            said = super().answer(request)
            if request.path.endswith("/send_welcome_msg") and json.loads(said.content)["errcode"] == 0:
                self.taken[json.loads(request.content)["welcome_code"]] = time.monotonic()
            return said

    with Timed(seed=1, sends=False, verify_seconds=VERIFY_SECONDS) as box:
        box.world.add_member(USERID, "林晓")
        app = box.world.app(SELF)
        _say({"api_base": box.api_base, "corp_id": box.world.corp_id, "secret": app.secret, "agent_id": app.agent_id})
        for line in sys.stdin:
            wish = json.loads(line)
            if "url" in wish:
                box.callbacks.set_receiver(app, **wish)
                _say({"error": app.receiver.error if app.receiver else ""})
            else:
                _say({"seconds": _befriend(box, wish["friends"], wish["per_second"])})


def _befriend(box: Any, count: int, per_second: float) -> list[float | None]:
    from scrm.wecom.sandbox import people

    answered: dict[str, float] = {}
    started = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, started + number / per_second - time.monotonic()))
        known = set(box.world.welcome_codes)
        people.add_by_member(box.world, USERID, people.newcomer(box.world, f"客户{number}"))
        (code,) = set(box.world.welcome_codes) - known
        box.callbacks.deliver()  # in this thread: back when the address has answered
        answered[code] = time.monotonic()
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and not answered.keys() <= box.taken.keys():
        time.sleep(LOOK_SECONDS)
    return [max(0.0, box.taken[code] - at) if code in box.taken else None for code, at in answered.items()]


def _say(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
    django.setup()
    serve()
