"""``bench welcome``: from WeCom's event of a new friend to her welcome message, while long jobs fill the normal worker.

All are processes of their own: web, a broker, the two workers with the commands of ``bin/up``, and WeCom. ``rows`` friends
are made at a steady rate, first with idle workers (the floor), then with every process of the normal worker inside a task
of a minute and more of them waiting. Measured is the time from the answer to the event until WeCom has taken the message:
a code lives for 20 seconds. A friend whose message never came is an error, not a figure.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from django.conf import settings
from django.contrib.auth import get_user_model

from guides.bench import friends
from guides.models import Employment, Guide, Welcome
from scrm import bench
from scrm.models import Corp, LegalEntity, Region, Store
from scrm.wecom import corps, inbox

ROWS = 50
PER_SECOND = 2.0
CODE_SECONDS, TASK_SECONDS = 20.0, 60.0
WARM = 3  # friends before each measurement: a token is fetched, connections are opened
START_SECONDS = 60
LOOK_SECONDS = 0.05
NAME = "bench"
TEXT = "{客户昵称}您好！我是{门店名称}的{导购姓名}。"  # the nickname must be asked for: the longer way
LONG_TASKS = "guides.bench.long_tasks"

Say = Callable[[str], None]


def welcome(*, rows: int, say: Say) -> dict[str, Any]:
    load = os.getloadavg()[0]  # of whatever else the machine does: a busy one makes every figure longer
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scrm-bench-")))
        web = stack.enter_context(bench.web())
        wecom = stack.enter_context(_wecom())
        wecom.tell_of_friends(_company(wecom), web.port)
        surroundings = {**os.environ, "BROKER_URL": web.broker_url, "WECOM_API_BASE": wecom.where["api_base"]}
        pids = stack.enter_context(_workers(folder, surroundings))
        memory = stack.enter_context(bench.Memory(pids["welcome"]))
        say(f"{rows} friends, {PER_SECOND:g} a second, with idle workers")
        idle = wecom.befriend(rows)
        say(f"{rows} friends with every process of the normal worker inside a task of {TASK_SECONDS:g} seconds")
        _occupy(folder, web.broker_url, rows)
        busy = wecom.befriend(rows)
        if _inside(folder) < settings.WORKER_PROCESSES:
            raise RuntimeError("the normal worker was not busy to the end")
    figures, floor = _figures(busy), _figures(idle)
    return {
        **figures,
        "idle": floor,
        "ratio": round(floor["p95_ms"] / figures["p95_ms"], 3),
        "welcomed": len(busy),
        "later_than_20_s": sum(seconds > CODE_SECONDS for seconds in busy),
        "at_per_second": PER_SECOND,
        "load_average_before": round(load, 1),
        "long_tasks_at_a_time": settings.WORKER_PROCESSES,
        "peak_mb": memory.peak_mb,
    }


def _figures(seconds: list[float]) -> dict[str, float]:
    return {**bench.percentiles(seconds), "max_ms": round(max(seconds) * 1000, 2)}


# --- the processes ----------------------------------------------------------------------------------------------------


class _Wecom:
    """The other process, in which WeCom is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.where = self._heard()

    def tell_of_friends(self, keys: dict[str, str], port: int) -> None:
        error = self._ask({"url": f"http://localhost:{port}/wecom/callback/{NAME}", **keys})["error"]
        if error:
            raise RuntimeError(f"the callback address: {error}")

    def befriend(self, count: int) -> list[float]:
        self._ask({"friends": WARM, "per_second": PER_SECOND})
        seconds = self._ask({"friends": count, "per_second": PER_SECOND})["seconds"]
        if None in seconds:
            raise RuntimeError(f"{seconds.count(None)} of {count} friends were not welcomed")
        return list(seconds)

    def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout
        heard: dict[str, Any] = json.loads(self._process.stdout.readline())
        return heard


@contextmanager
def _wecom() -> Iterator[_Wecom]:
    process = subprocess.Popen(
        [sys.executable, "-m", "guides.bench.friends"],
        cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield _Wecom(process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _workers(folder: Path, surroundings: dict[str, str]) -> Iterator[dict[str, int]]:
    """The workers of ``bin/up``, the normal one with the long tasks besides; their pids."""
    from scrm.management.commands import up  # brings the embedded servers along, which no other process needs

    log, processes = folder / "workers.log", {}
    with log.open("wb") as out:
        try:
            for child in up.workers({}):
                command = [*child.command, *(["--include", LONG_TASKS] if child.name == "worker" else [])]
                processes[child.name] = subprocess.Popen(
                    command, env={**surroundings, "LOG_LEVEL": "WARNING", **child.environment}, cwd=settings.BASE_DIR,
                    stdout=out, stderr=out, start_new_session=True,
                )  # fmt: skip
            _wait_for(processes, surroundings["BROKER_URL"], log)
            yield {name: process.pid for name, process in processes.items()}
        finally:
            for process in processes.values():
                os.killpg(process.pid, signal.SIGKILL)  # it would wait for its minute
                process.wait()


def _wait_for(processes: dict[str, subprocess.Popen[bytes]], broker_url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    control = _caller(broker_url).control
    while len(control.ping(timeout=1)) < len(processes):
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes.values()):
            raise RuntimeError(f"the workers did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _caller(broker_url: str) -> Celery:
    """Speaks to the bench's broker; the product's own app here speaks to the user's."""
    return Celery("bench", broker=broker_url, set_as_current=False)


def _occupy(folder: Path, broker_url: str, rows: int) -> None:
    """Tasks for longer than the friends take, so that more of them wait than are done."""
    marks = folder / "marks"
    marks.mkdir()
    rounds = 2 + int((rows + WARM) / PER_SECOND / TASK_SECONDS) + 1
    caller = _caller(broker_url)
    for _number in range(rounds * settings.WORKER_PROCESSES):
        caller.send_task(f"{LONG_TASKS}.occupy", (str(marks), TASK_SECONDS))
    deadline = time.monotonic() + START_SECONDS
    while _inside(folder) < settings.WORKER_PROCESSES:
        if time.monotonic() > deadline:
            raise RuntimeError("the normal worker does not take the long tasks")
        time.sleep(LOOK_SECONDS)


def _inside(folder: Path) -> int:
    """How many long tasks are being worked on."""
    return len(list((folder / "marks").iterdir()))


# --- who is welcomed ---------------------------------------------------------------------------------------------------


def _company(wecom: _Wecom) -> dict[str, str]:
    """A guide with her store and a welcome message; the keys of the callback address."""
    where = wecom.where
    corp = Corp.objects.create(corp_id=where["corp_id"], name="WeCom")
    corps.add_app(
        actor=None, corp=corp, kind="SELF_BUILT", name="app", secret=where["secret"], agent_id=where["agent_id"]
    )
    keys = {"token": inbox.new_token(), "aes_key": inbox.new_aes_key()}
    inbox.save_endpoint(name=NAME, corp_id=corp.corp_id, actor=None, **keys)
    store = Store.objects.create(
        code="S1", name="南山店", entity=LegalEntity.objects.create(code="HQ", name="HQ", kind=LegalEntity.Kind.HQ),
        region=Region.objects.create(code="R1", name="R1"), ownership=Store.Ownership.DIRECT,
    )  # fmt: skip
    user = get_user_model().objects.create(username=friends.USERID)
    guide = Guide.objects.create(user=user, code="G1", name="林晓", wecom_userid=friends.USERID)
    since = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    Employment.objects.create(guide=guide, store=store, role=Guide.Role.GUIDE, started_at=since)
    Welcome.objects.create(corp=corp, name="bench", text=TEXT)
    return keys
