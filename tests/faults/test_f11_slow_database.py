"""F11: 500 buyers want 37 items while everything they send to the database arrives late: 37 are sold, to 37 people.

Real threads with connections of their own through a line that is slow on purpose. Full size: 2 seconds each way that a statement
goes; otherwise a tenth of one. Whoever is told "busy" asks again under the same key; nobody may be told "sold out" while
something is left.
"""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone

from campaigns.communities import flash_sales, payments, stock, stock_levels
from campaigns.communities.flash_sales import Claim
from campaigns.models import Reservation
from tests.factories import sales as make
from tests.factories import shops as factory
from tests.faults.conftest import size
from tests.faults.slow_line import SlowLine

pytestmark = pytest.mark.django_db(transaction=True)
BUYERS, ITEMS, AT_ONCE = 500, 37, 60
SECONDS = size(0.1, 2.0)


@pytest.mark.parametrize("buckets", [1, 5])
def test_f11_exactly_what_is_there_is_sold(transactional_db: None, buckets: int) -> None:
    company = factory.shops()
    row = make.sale(company, {"S1": ITEMS}, bucket_count=buckets)
    members = [member.pk for member in make.members(company, BUYERS)]
    store = company.stores["S1"].pk
    told: list[str] = [""] * BUYERS
    gate = threading.Barrier(AT_ONCE)

    def ask(buyer: int) -> str:
        said = Claim(sale_id=row.pk, store_id=store, member_id=members[buyer], key=f"buyer {buyer}")
        while True:
            try:
                flash_sales.claim(said=said, now=timezone.now())
            except stock.StockBusy:
                continue
            except stock.StockRefused as error:
                return error.code
            return "taken"

    def buy(thread: int, line: SlowLine) -> None:
        try:
            connections["default"] = DatabaseWrapper(line.settings(), "default")  # this thread's
            connection.ensure_connection()
            gate.wait()
            line.seconds = SECONDS
            for buyer in range(thread, BUYERS, AT_ONCE):
                told[buyer] = ask(buyer)
        finally:
            connections.close_all()

    with SlowLine() as line:
        threads = [threading.Thread(target=buy, args=(thread, line)) for thread in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert line.late_count >= BUYERS  # each asked at least once, that way
    assert Counter(told) == {"taken": ITEMS, "stock_all_reserved": BUYERS - ITEMS}
    assert make.counts(row) == (ITEMS, 0, ITEMS, 0)
    for reservation in Reservation.objects.select_related("item__product"):
        make.order(reservation)
    payments.sweep(now=timezone.now())
    assert make.counts(row) == (ITEMS, 0, 0, ITEMS) and stock_levels.differences() == []
