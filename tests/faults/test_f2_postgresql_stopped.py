"""F2: PostgreSQL is stopped at once, right after WeCom heard 200; the event is a row after the restart (W1).

A durable server of the test's own and the product's web process, which lives through every stop. Callers tell one event after
the other, also while nobody keeps them, and repeat what was not acknowledged, as WeCom does. Full size: 40 stops.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests
from django.db import connection

from tests.faults.children import Children
from tests.faults.clusters import Cluster
from tests.faults.conftest import size
from tests.faults.web import Web
from tests.scrm.wecom import calls

pytestmark = pytest.mark.django_db(transaction=True)
CALLERS = 4
PAUSE_SECONDS, PATIENCE_SECONDS = 0.1, 60.0


class Caller(threading.Thread):
    """Tells each event until it is acknowledged. ``on_answer`` is called with the number acknowledged, at once."""

    def __init__(self, web: Web, name: str, on_answer: Callable[[], None]) -> None:
        super().__init__()
        self.web, self.its_name, self.on_answer = web, name, on_answer
        self.answered: list[str] = []
        self.failed = 0
        self.ended = threading.Event()

    def run(self) -> None:
        with requests.Session() as session:
            number = 0
            while not self.ended.is_set():
                body = calls.event(calls.AT + number, ExternalUserID=f"wm{self.its_name}x{number}")
                if self._is_acknowledged(session, body):
                    self.answered.append(hashlib.sha256(body).hexdigest())
                    self.on_answer()
                    number += 1
                else:
                    self.failed += 1
                    time.sleep(PAUSE_SECONDS)

    def _is_acknowledged(self, session: requests.Session, body: bytes) -> bool:
        encrypted = calls.crypto.encrypt(calls.KEYS, body)
        url = f"{self.web.url}{calls.URL}?{urlencode(calls.query(encrypted))}"
        try:
            answer = session.post(url, calls.outer(encrypted), timeout=20)
        except requests.RequestException:
            return False
        assert answer.status_code in (200, 500, 503), answer.status_code
        return answer.status_code == 200


class Stopper:
    """Stops the server with the answer that it was armed for, in the thread of whoever got it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.stopped = cluster, threading.Event()
        self._left, self._lock = 0, threading.Lock()

    def arm(self, answers: int) -> None:
        with self._lock:
            self.stopped.clear()
            self._left = answers

    def heard(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.cluster.stop_at_once()
                self.stopped.set()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_w1_what_was_answered_outlives_an_immediate_stop(
    transactional_db: None, dice: random.Random, tmp_path: Path
) -> None:
    calls.endpoint()
    with Cluster("scrm_corp", "scrm_callbackendpoint", "scrm_inboxevent") as cluster:
        assert [cluster.shown(name) for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
        variables = Children(str(connection.settings_dict["NAME"]), **cluster.variables).variables
        with Web(variables, tmp_path / "web.log") as web:
            callers = tell_through_stops(cluster, web, dice, stops=size(3, 40))
        answered = {digest for caller in callers for digest in caller.answered}
        kept = {digest for (digest,) in cluster.rows("SELECT body_hash FROM scrm_inboxevent")}
    failed = sum(caller.failed for caller in callers)
    print(f"{len(answered)} acknowledged, {failed} calls failed, {len(kept)} stored")
    assert answered <= kept and len(kept) - len(answered) <= CALLERS  # beyond them the last of each at most
    assert failed  # they called while it was away


def tell_through_stops(cluster: Cluster, web: Web, dice: random.Random, *, stops: int) -> list[Caller]:
    stopper = Stopper(cluster)
    callers = [Caller(web, f"c{number}", stopper.heard) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for _stop in range(stops):
            stopper.arm(dice.randint(1, 60))
            assert stopper.stopped.wait(PATIENCE_SECONDS)
            answered = {digest for caller in callers for digest in list(caller.answered)}
            time.sleep(dice.uniform(0.1, 0.6))  # callbacks go on arriving
            cluster.start()
            kept = {digest for (digest,) in cluster.rows("SELECT body_hash FROM scrm_inboxevent")}
            assert answered <= kept, f"{len(answered - kept)} acknowledged events are gone"
            heard = [len(caller.answered) for caller in callers]
            until(lambda heard=heard: all(len(c.answered) > n for c, n in zip(callers, heard, strict=True)))  # type: ignore[misc]
    finally:
        for caller in callers:
            caller.ended.set()
        for caller in callers:
            caller.join(PATIENCE_SECONDS)
    return callers
