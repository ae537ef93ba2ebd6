"""Fixtures for every test: the application's database role, the company data of a checkout, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.db import connection, transaction
from django.test import TransactionTestCase
from pghistory.models import Event
from psycopg.pq import TransactionStatus
from pytest_django import DjangoDbBlocker

from scrm.catalogues import APPS
from tests.factories.wecom import sandbox

__all__ = ["sandbox"]  # fixtures for every test

hypothesis.settings.register_profile("busy machine", deadline=None)  # how long a case takes says nothing there
hypothesis.settings.load_profile("busy machine")

Role = Callable[[], AbstractContextManager[None]]
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",  # Chromium refuses root without it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and not shutil.which(CHROMIUM):
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"REQUIRE_BROWSER=1, but there is no {CHROMIUM}", pytrace=False)
        pytest.skip(f"no {CHROMIUM}")


@pytest.fixture
def app_role(db: None) -> Role:
    """``with app_role():`` runs a block with the rights of the application instead of the owner's."""

    @contextmanager
    def role() -> Iterator[None]:
        savepoint = transaction.savepoint() if connection.in_atomic_block else None
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {connection.ops.quote_name(settings.APPLICATION_ROLE)}")
        try:
            yield
        finally:
            if savepoint and connection.connection.info.transaction_status == TransactionStatus.INERROR:
                transaction.savepoint_rollback(savepoint)  # takes the role back too
            else:
                with connection.cursor() as cursor:
                    cursor.execute("RESET ROLE")

    return role


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """What migrations wrote (the default brand, the default rule) comes back after each flush of a transactional test."""
    with django_db_blocker.unblock():
        models = [model for app in APPS for model in apps.get_app_config(app).get_models() if model._meta.managed]
        history = {model for model in models if issubclass(model, Event)}
        written = serializers.serialize(
            "json", [row for m in models if m not in history for row in m._base_manager.all()]
        )
    flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def flush_and_restore(self: TransactionTestCase) -> None:
        flush(self)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE attribution_rulerate DISABLE TRIGGER USER")  # a published rule takes no rates
            for row in serializers.deserialize("json", written):
                row.save()
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE attribution_rulerate ENABLE TRIGGER USER")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", flush_and_restore)
        yield


@pytest.fixture(scope="session")
def company_data() -> Path:
    """The folder that COMPANY_DATA names: a company's own exports, and what must come out of them."""
    folder = os.environ.get("COMPANY_DATA", "")
    if not folder:
        pytest.skip("COMPANY_DATA names no folder with a company's exports")
    path = Path(folder).resolve()
    assert path.is_dir(), f"COMPANY_DATA={folder} is no folder"
    return path


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": CHROMIUM_FLAGS}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "locale": "zh-CN",
        "timezone_id": "Asia/Shanghai",
        "viewport": {"width": 1440, "height": 900},
    }
