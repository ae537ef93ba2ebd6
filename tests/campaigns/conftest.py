"""The shops of the guide API, for campaigns."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from tests.factories import shops as factory
from tests.guides.conftest import Api


@pytest.fixture(autouse=True)
def no_limits_counted() -> None:
    """What one test has counted limits no other."""
    cache.clear()


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    now = timezone.now()
    company.member("安琪", store="S1", guide="A", gender="F", tier=factory.tier(company.brand, "金卡"))
    company.member("白鹭", store="S2", guide="B")
    company.line("a", member="安琪", store="S1", paid_fen=10_000, at=now - dt.timedelta(hours=1), cashier="G00001")
    return company


@pytest.fixture
def api(shops: factory.Shops) -> Any:
    """``api("A")`` is a device of guide A."""
    return lambda name="": Api(shops.token(name) if name else "")
