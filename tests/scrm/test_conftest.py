"""Every test finds what migrations wrote, also after a transactional test has flushed the tables."""

import pytest

from scrm.models import Brand


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("run", [1, 2])
def test_migrated_rows_come_back_after_a_flush(run: int) -> None:
    assert Brand.objects.count() == 1
    Brand.objects.create(code=f"B{run}", name="second")
