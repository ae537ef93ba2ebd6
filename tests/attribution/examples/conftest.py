from __future__ import annotations

import pytest

from tests.factories.shops import Shops, shops


@pytest.fixture
def company(db: None) -> Shops:
    """Guides A (G00001, S1), B (G00002, S2) and F (G00003, franchised F1), the manager M (G00004, S1); member 林小满 at S1."""
    company = shops()
    company.member("林小满", store="S1")
    return company
