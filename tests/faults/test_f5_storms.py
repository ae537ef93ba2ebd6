"""F5: WeCom in a storm. Calls end in time, the pace falls and rises again, and nobody is left out without a word.

Full size: 100,000 friends, WeCom's own 20 seconds before a call is given up.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guides.contacts import sweeps
from guides.models import Contact, ContactSweep, Follower, SweepBatch
from scrm import jobs
from scrm.models import WecomApp, WecomPace, WecomToken
from scrm.wecom import client, customers, errors, pace, tokens, transport
from tests.factories.wecom import Wired
from tests.faults.conftest import FULL_SIZE, size
from tests.guides.contacts.test_sweeps import BATCH, fill, here, on_wecom
from tests.scrm.wecom.conftest import Raw, Wecom, app, refusal, wecom

__all__ = ["app", "wecom"]

BLOCKS = (dt.timedelta(seconds=0.2), dt.timedelta(seconds=0.5), dt.timedelta(seconds=1))
FEW_CALLS = 60  # that a job makes before it gives way to a token that nobody accepts


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes become tenths of a second; the answers' timeout stays WeCom's own at full size."""
    for module in (client, pace, tokens):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    for module, name, value in (
        (client, "BACKOFF_SECONDS", 0.01), (transport, "ANSWER_SECONDS", size(0.4, 20)), (pace, "BLOCKS", BLOCKS),
        (pace, "GROW_SECONDS", 0.3), (pace, "HALVE_SECONDS", 0.05), (sweeps, "PATIENCE", dt.timedelta(seconds=0.3)),
        (sweeps, "LONGEST_WAIT_SECONDS", 0.05), (sweeps, "PAUSE", dt.timedelta(0)), (sweeps, "LOOK_SECONDS", 0.02),
        (tokens, "FRESH", dt.timedelta(seconds=0.1)),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    if not FULL_SIZE:
        monkeypatch.setattr(customers, "MEMBERS_PER_CALL", 4)
        monkeypatch.setattr(customers, "PAIRS_PER_PAGE", 20)


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each exchange took."""
    exchange, taken = transport.exchange, list[float]()

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return exchange(*args, **kwargs)
        finally:
            taken.append(time.monotonic() - started)

    monkeypatch.setattr(transport, "exchange", timed)
    return taken


@contextmanager
def watched(limits: list[int]) -> Iterator[None]:
    """The number of calls at a time that the pace allows, as it goes."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            found = WecomPace.objects.filter(path=BATCH).values_list("parallel_limit", flat=True).first()
            if found is not None and (not limits or limits[-1] != found):
                limits.append(found)
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def pages() -> int:
    return SweepBatch.objects.aggregate(pages=Sum("page_count"))["pages"] or 0


def until(is_so: Callable[[ContactSweep], bool]) -> ContactSweep:
    """What the clock does each minute, for jobs that were held up."""
    for _round in range(400):
        row = ContactSweep.objects.get()
        if is_so(row):
            return row
        for job in sweeps.go_on(now=timezone.now() + dt.timedelta(days=2)):
            jobs.run(job.pk)
        time.sleep(0.02)
    raise AssertionError(f"it does not end: {ContactSweep.objects.values()}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_f5_a_sweep_in_a_storm(box: Wired, durations: list[float], dice: random.Random) -> None:
    """W9: 40014 for ever, then 45009, 45033, -1, answers that are lost or never come; two accounts that nobody may read."""
    userids, faults = fill(box, *size((20, 100), (100, 1_000))), box.faults
    faults.random.seed(dice.random())
    started = time.monotonic()
    faults.add("code", BATCH, code=40014)
    jobs.run(sweeps.start(corp=box.corp, kind="FULL", actor=None).pk)
    row = ContactSweep.objects.get()
    assert (row.status, row.error_code) == ("PAUSED", "wecom_token_refused")
    assert box.box.counts[BATCH] + box.box.counts["gettoken"] < FEW_CALLS
    unread = {userids[3], userids[11]}
    for userid in unread:
        box.world.leave(userid)

    faults.clear()
    faults.add("code", BATCH, code=45033, share=0.4)
    faults.add("code", BATCH, code=-1, share=0.1)
    faults.add("code", BATCH, code=45009, share=0.05)
    faults.add("lose", BATCH, share=0.05)
    faults.add("hang", BATCH, seconds=30, share=size(0.03, 0.002))
    limits: list[int] = []
    with watched(limits):
        until(lambda row: row.status == "DONE" or pages() > size(40, 400))
        lowest, at_the_end_of_the_storm = min(limits), limits[-1]
        faults.clear()
        row = until(lambda row: row.status == "DONE")
    print(f"{len(durations)} calls in {time.monotonic() - started:.1f} s, the longest {max(durations):.2f} s")
    print(f"calls at a time: {limits[:12]}…, lowest {lowest}, at the end {limits[-1]}; held up {row.pause_count} times")
    assert max(durations) < transport.ANSWER_SECONDS + transport.CONNECT_SECONDS
    assert lowest < pace.FIRST_PARALLEL and limits[-1] > min(lowest, at_the_end_of_the_storm)
    assert (row.failed_count, row.swept_count) == (2, len(userids) - 2)
    assert dict(Follower.objects.exclude(error_code="").values_list("userid", "error_code")) == dict.fromkeys(
        unread, errors.NotFound.code
    )
    assert here() == {pair for pair in on_wecom(box) if pair[0] not in unread}
    assert Contact.objects.count() == len({pair[1] for pair in on_wecom(box) if pair[0] not in unread})


# --- one call ---------------------------------------------------------------------------------------------------------

PATH = "externalcontact/get"
SLOW_SECONDS = 0.12


def silence(_request: Any) -> dict[str, Any]:
    time.sleep(SLOW_SECONDS)
    return {}


CODES = (-1, 40001, 40014, 42001, 45009, 45033, 45035, 45036, 40003, 41050, 50100, 60011, 60020, 84061, 99999)
REPLIES: tuple[Any, ...] = (
    *map(refusal, CODES), {"external_contact": {}}, silence, Raw(502), Raw(200, b"<html>"), Raw(200, b"null"),
    Raw(200, b'{"errcode": "x"}'), Raw(302, b"", "http://127.0.0.1:9/"), Raw(200, b""), Raw(200, b"\xff\xfe"), Raw(500, b"{}"),
    {"errcode": 0, "errmsg": "Warning: wrong json format"},
)  # fmt: skip
TOKENS: tuple[Any, ...] = (
    refusal(-1), refusal(40001), refusal(40013), refusal(45009), refusal(60020), Raw(502), {"errcode": 0}, silence,
)  # fmt: skip


@pytest.mark.django_db
@settings(max_examples=size(150, 2_000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    replies=st.lists(st.sampled_from(range(len(REPLIES))), min_size=1, max_size=8),
    token=st.none() | st.sampled_from(range(len(TOKENS))),
    is_repeatable=st.booleans(),
)
def test_w9_every_script_of_replies_ends_within_its_budget(
    app: WecomApp,
    wecom: Wecom,
    replies: list[int],
    token: int | None,
    is_repeatable: bool,
) -> None:
    """Whatever WeCom says, the last reply for ever: an answer or a WecomError, after a bounded number of calls and seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (client, "BACKOFF_SECONDS", 0.001), (transport, "ANSWER_SECONDS", 0.05), (pace, "WAIT_SECONDS", 0.2),
            (tokens, "WAIT_SECONDS", 0.5),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        WecomPace.objects.all().delete()
        WecomToken.objects.all().delete()
        wecom._handlers.clear()
        wecom.requests.clear()
        wecom.on(PATH, *(REPLIES[number] for number in replies))
        if token is not None:
            wecom.on("gettoken", TOKENS[token])
        endpoint = client.read(PATH) if is_repeatable else client.spend(PATH)
        started = time.monotonic()
        try:
            answer = client.call(app, endpoint, {"external_userid": "wmA1"})
        except errors.WecomError:
            answer = None
        seconds = time.monotonic() - started
    calls = Counter(request.path for request in wecom.requests)
    assert calls[PATH] <= 2 * (client.RETRIES + 1) and calls["gettoken"] <= 2 * (client.RETRIES + 1)
    assert seconds < (client.RETRIES + 1) * 2 * (0.05 + 5)  # each answered or given up, the pace waited for
    if not is_repeatable and replies and REPLIES[replies[0]] is silence:
        assert calls[PATH] <= 1  # sent blindly never
    assert answer is None or answer["errcode"] == 0
