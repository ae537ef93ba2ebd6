"""Fixtures of the callback: one endpoint, and no handler or key of another test."""

from __future__ import annotations

from typing import Any

import pytest

from scrm.wecom import inbox
from tests.scrm.wecom import calls


@pytest.fixture(autouse=True)
def _nothing_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox._known.clear()
    monkeypatch.setattr(inbox, "_handlers", {})


@pytest.fixture
def endpoint(db: None) -> Any:
    return calls.endpoint()


@pytest.fixture
def applied() -> list[inbox.Delivery]:
    """What a handler of changes to customers was given, in that order."""
    given: list[inbox.Delivery] = []
    inbox.register("change_external_contact", "", given.append)
    return given
