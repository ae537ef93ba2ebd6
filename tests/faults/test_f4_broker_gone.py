"""F4: the broker is flushed, then killed with all it held, while messages to WeCom are written and sent.

Real processes: a writer, a Celery worker, beat with the entries of the product at a quicker pace, and a Valkey of the test's
own. Full size: 50,000 messages.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.db import connection

from guides.models import ContactWay, StrayWay
from scrm.embedded.valkey import Valkey
from scrm.models import OutboxMessage, WecomPace
from tests.factories.wecom import Wired
from tests.faults.children import ROOT, Children
from tests.faults.conftest import size
from tests.faults.ways import Ways

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_SECONDS = size(180, 3 * 3600)


@pytest.fixture
def broker() -> Iterator[Valkey]:
    home = Path(tempfile.mkdtemp(prefix="f4-"))
    server = Valkey(home)
    server.attach()
    yield server
    server.release()
    shutil.rmtree(home)


@pytest.fixture
def children(box: Wired, broker: Valkey) -> Iterator[Children]:
    name = str(connection.settings_dict["NAME"])
    with Children(name, WECOM_API_BASE=box.box.api_base, FAULT_BROKER=broker.url) as started:
        yield started


@pytest.fixture
def running(children: Children) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A worker and a beat, as the product starts them."""
    worker = ["celery", "-A", "scrm", "--quiet", "worker", "--without-gossip", "--without-mingle", "-Q", "celery,welcome",
              "--concurrency", "2"]  # fmt: skip
    commands = [[sys.executable, "-m", *worker], [sys.executable, "-m", "tests.faults.quick_beat"]]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=children.variables, start_new_session=True) for command in commands
    ]
    yield processes
    for process in processes:
        assert process.poll() is None, "it did not live through the loss of its broker"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {left()}"
        WecomPace.objects.update(allowance=2_000)  # the pace of calls is not the subject
        time.sleep(0.1)


def left() -> Counter[str]:
    return Counter(OutboxMessage.objects.values_list("status", flat=True))


def client(broker: Valkey) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(broker.socket))


def kill(broker: Valkey) -> None:
    """And what its file would have brought back is gone too."""
    os.kill(client(broker).info()["process_id"], signal.SIGKILL)
    until(lambda: not broker.is_running(), 20)
    shutil.rmtree(broker.home / "appendonlydir", ignore_errors=True)


def test_f4_the_broker_is_flushed_and_killed(
    box: Wired, broker: Valkey, children: Children, running: list[subprocess.Popen[bytes]]
) -> None:
    """W5: everything written is sent, each once, by the sweep that beat asks for; writing never fails meanwhile."""
    count = size(500, 50_000)
    ways = Ways(box)
    started = time.monotonic()
    writer = children.start("ask_for_ways", values={"count": count, **ways.names})
    until(lambda: left()["DONE"] >= count // 10)
    client(broker).flushall()
    until(lambda: OutboxMessage.objects.count() >= count // 3)
    kill(broker)
    children.wait(writer)  # the rest is written while nobody can be rung
    written = time.monotonic() - started
    assert left().total() == count and left()["DONE"] < count
    time.sleep(size(1, 60))
    broker.start()
    until(lambda: left() == {"DONE": count})
    print(f"{count} messages: written after {written:.1f} s, sent after {time.monotonic() - started:.1f} s")
    made = Counter(way.state for way in box.world.ways.values())
    assert made == Counter(ContactWay.objects.filter(status="LIVE").values_list("state", flat=True))
    assert set(made.values()) == {1} and len(made) == count and not StrayWay.objects.exists()
