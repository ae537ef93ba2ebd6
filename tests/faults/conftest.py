"""Faults on purpose (故障测试): processes killed, callbacks lost, a broker gone, WeCom in a storm.

1. ``FULL_SIZE=1 pytest -s tests/faults`` runs every test at the size of its docstring; without it each takes some seconds.
2. Chance comes from one seed, printed with each test. ``FAULT_SEED=… pytest …`` plays the same run again.
3. Workers are processes of their own, with the application's database role, started and killed by the test (``children``).
   Where they die is said by the test's own wrapping of functions (``zygote``): the product has no hooks for it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import TypeVar

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from scrm.wecom.sandbox import Sandbox
from tests.factories.wecom import Wired, wire
from tests.faults.children import Children

FULL_SIZE = os.environ.get("FULL_SIZE", "") == "1"


T = TypeVar("T")


def size(ci: T, full: T) -> T:
    return full if FULL_SIZE else ci


@pytest.fixture
def seed() -> int:
    number = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
    print(f"FAULT_SEED={number}{' FULL_SIZE=1' if FULL_SIZE else ''}")
    return number


@pytest.fixture
def dice(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture(autouse=True)
def alone(transactional_db: None) -> Iterator[None]:
    """PostgreSQL goes on with the statement of a client that was killed: it is ended before the tables are emptied."""
    yield
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IN (current_user, %s)",
            [settings.APPLICATION_ROLE],
        )


@pytest.fixture
def box(transactional_db: None, seed: int, settings: Settings) -> Iterator[Wired]:
    """A WeCom over real HTTP, whose tokens outlive a test that moves its clock."""
    with Sandbox(seed=seed, sends=False, transport=lambda url, body, seconds: (200, b"")) as sandbox:
        quotas = sandbox.world.quotas
        quotas.token_seconds, quotas.calls_per_minute, quotas.calls_per_hour = 10**8, None, None
        settings.WECOM_API_BASE = sandbox.api_base
        yield wire_without_receivers(sandbox)


def wire_without_receivers(sandbox: Sandbox) -> Wired:
    """No callback address: what happens over there is found by asking, or sent by the test itself."""
    sandbox.callbacks.set_receiver = lambda *args, **values: True  # type: ignore[method-assign]
    return wire(sandbox)


@pytest.fixture
def children(box: Wired) -> Iterator[Children]:
    with Children(str(connection.settings_dict["NAME"]), WECOM_API_BASE=box.box.api_base) as started:
        yield started
