"""A company with shops and members; a fresh cache for limits."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from tests.factories import defaults
from tests.factories import shops as factory


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    cache.clear()


def company() -> factory.Shops:
    shops = factory.shops()
    shops.member("安琪", store="S1", guide="A")
    shops.member("白鹭", store="S2", guide="B")
    shops.member("付雪", store="F1", guide="F")
    return shops


@pytest.fixture
def shops(db: None) -> factory.Shops:
    return company()


@pytest.fixture
def real_shops(transactional_db: None) -> Any:
    """Committed, for threads with connections of their own."""
    defaults.restore()
    return company()
