"""W1: a web process is killed in the middle of WeCom's calls; whatever it answered with 200 is a row.

Full size: 20 processes killed. A Web process of the product over real HTTP, four callers at once.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests
from django.db import connection

from scrm.models import InboxEvent
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.web import Web
from tests.scrm.wecom import calls

pytestmark = pytest.mark.django_db(transaction=True)
CALLERS = 4


class Caller(threading.Thread):
    """Tells one event after the other until nobody answers any more."""

    def __init__(self, web: Web, name: str) -> None:
        super().__init__()
        self.web, self.its_name = web, name
        self.answered: list[str] = []
        self.begun = 0

    def run(self) -> None:
        with requests.Session() as session:
            while True:
                body = calls.event(calls.AT + self.begun, ExternalUserID=f"wm{self.its_name}x{self.begun}")
                self.begun += 1
                encrypted = calls.crypto.encrypt(calls.KEYS, body)
                url = f"{self.web.url}{calls.URL}?{urlencode(calls.query(encrypted))}"
                try:
                    answer = session.post(url, calls.outer(encrypted), timeout=10)
                except requests.RequestException:
                    return
                assert answer.status_code == 200, answer.status_code
                self.answered.append(hashlib.sha256(body).hexdigest())


def test_w1_what_was_answered_is_a_row(transactional_db: None, dice: random.Random, tmp_path: Path) -> None:
    calls.endpoint()
    variables = Children(str(connection.settings_dict["NAME"])).variables
    answered: set[str] = set()
    for life in range(size(2, 20)):
        with Web(variables, tmp_path / "web.log") as web:
            callers = [Caller(web, f"{life}c{number}") for number in range(CALLERS)]
            for caller in callers:
                caller.start()
            time.sleep(dice.uniform(0.3, 1.5))
            web.kill()
            for caller in callers:
                caller.join(30)
        assert all(caller.answered for caller in callers)
        answered |= {digest for caller in callers for digest in caller.answered}
        kept = set(InboxEvent.objects.values_list("body_hash", flat=True))
        assert answered <= kept
        begun = len(kept) - len(answered)
        assert begun <= CALLERS * (life + 1)  # at most the call under way was stored and not answered
    print(f"{len(answered)} answered, {len(kept)} stored")
