"""A company with three shops for the API tests."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from tests.factories import shops as factory


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """What one test has counted limits no other."""
    cache.clear()


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    now = timezone.now()
    company.member("安琪", store="S1", guide="A", gender="F", tier=factory.tier(company.brand, "金卡"))
    company.member("安然", store="S1", guide="A", gender="M")
    company.member("白鹭", store="S2", guide="B")
    company.member("陈晨", store="S1")  # nobody's, at home in S1
    company.member("付雪", store="F1", guide="F")
    company.line("a", member="安琪", store="S1", paid_fen=10_000, at=now - dt.timedelta(hours=1), cashier="G00001")
    company.line("online", member="安琪", store=None, paid_fen=5_000, at=now - dt.timedelta(days=2))
    company.line("b", member="白鹭", store="S2", paid_fen=20_000, at=now - dt.timedelta(hours=2), cashier="G00002")
    return company


class Api:
    """A device of somebody: ``api.get("me")`` asks ``/api/guide/me``."""

    def __init__(self, token: str = "") -> None:
        self.client = Client(raise_request_exception=True)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **params: Any) -> Any:
        return self.client.get(f"/api/guide/{path}", params, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            f"/api/guide/{path}",
            body if body is not None else {},
            content_type="application/json",
            headers=self.headers | extra,
        )


@pytest.fixture
def api(shops: factory.Shops) -> Any:
    """``api("A")`` is a device of guide A, ``api()`` of nobody."""
    return lambda name="": Api(shops.token(name) if name else "")
