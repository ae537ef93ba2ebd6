"""What the database itself refuses of bindings: A1, A2."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import IntegrityError, ProgrammingError, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guides.models import Binding
from scrm.models import Brand
from tests.factories import defaults
from tests.factories.shops import bind, hire, shops

AT = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.mark.django_db(transaction=True)
def test_a1_twenty_guides_bind_one_member_at_once() -> None:
    """A1: real connections, real commits; one wins, nineteen are told."""
    defaults.restore()
    company = shops()
    member = company.member("林小满", store="S1")
    guides = [hire(f"G1{number:04d}", "导购", company.stores["S1"]) for number in range(20)]
    barrier, outcomes = threading.Barrier(20), []

    def work(index: int) -> None:
        barrier.wait()
        try:
            bind(member, guides[index], company.stores["S1"], AT + index * DAY)
            outcomes.append("bound")
        except IntegrityError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["bound"] + ["refused"] * 19
    assert Binding.objects.filter(member=member, ended_at=None).count() == 1


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 20), st.one_of(st.none(), st.integers(1, 8))), max_size=8))
def test_a2_intervals_never_overlap(intervals: list[tuple[int, int | None]]) -> None:
    """A2: whatever is tried, in whatever order, an oracle over day numbers agrees with the database."""
    with transaction.atomic():
        company = shops()
        member = company.member("林小满", store="S1")
        taken: list[tuple[float, float]] = []
        for start, length in intervals:
            end = float("inf") if length is None else start + length
            is_free = all(end <= other_start or start >= other_end for other_start, other_end in taken)
            try:
                with transaction.atomic():
                    Binding.objects.create(
                        brand=Brand.objects.get(code="MAIN"), member=member, guide=company.guides["A"],
                        store=company.stores["S1"], source="IMPORT", started_at=AT + start * DAY,
                        ended_at=None if length is None else AT + end * DAY,
                    )  # fmt: skip
                assert is_free
                taken.append((start, end))
            except IntegrityError:
                assert not is_free
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a2_history_only_ends() -> None:
    """A2: an interval is ended once; nothing else of it changes and nothing is deleted."""
    company = shops()
    binding = bind(company.member("林小满", store="S1"), company.guides["A"], company.stores["S1"], AT)
    Binding.objects.filter(pk=binding.pk).update(ended_at=AT + DAY)
    for change in ({"ended_at": AT + 2 * DAY}, {"guide": company.guides["B"]}, {"started_at": AT - DAY}):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            Binding.objects.filter(pk=binding.pk).update(**change)
    with pytest.raises(ProgrammingError, match="delete"), transaction.atomic():
        binding.delete()
