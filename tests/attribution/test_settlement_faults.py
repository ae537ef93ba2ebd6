"""Settlement under faults: F1 and F9. Months at random stand in ``test_programmes.py``."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections

from attribution import ledger, payouts, proving, settlement
from attribution.models import Batch, BatchLine, PayoutFile, PayoutResult, Txn
from attribution.settlement import making, posting
from scrm import jobs
from scrm.models import LegalEntity
from tests.attribution.settling import Books, answer, balance, day
from tests.factories import defaults
from tests.factories.clock import Clock
from tests.factories.shops import shops


def company() -> Books:
    books = Books(shops(), Clock())
    for name, store, guide in (("林小满", "S1", "A"), ("周舟", "S2", "B"), ("方圆", "F1", "F")):
        books.shops.member(name, store=store, guide=guide)
    return books


@pytest.fixture
def books(transactional_db: None) -> Iterator[Books]:
    """Committed: six lines of three guides, due in May, and a debt."""
    defaults.restore()
    books = company()
    for number in range(2):
        books.sell(f"a{number}", on=f"05-0{number + 1}", paid_fen=10_001, member="林小满")
        books.sell(f"b{number}", on=f"05-0{number + 1}", paid_fen=33_333, member="周舟", store="S2")
        books.sell(f"f{number}", on=f"05-0{number + 1}", paid_fen=7_777, member="方圆", store="F1")
    books.vest(on="05-25")
    books.refund("b0", 33_333, on="05-26")
    books.clock.set(day("06-10"))
    yield books
    books.clock.stop()


def at_once(count: int, work: Callable[[], Any]) -> tuple[list[Any], list[BaseException]]:
    barrier, results, errors = threading.Barrier(count), [], []

    def run() -> None:
        barrier.wait()
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, errors


def test_f9_twenty_clicks_make_one_batch_one_file_and_one_answer(books: Books) -> None:
    """F9, L3, L12"""
    now = day("06-10")
    made, errors = at_once(20, lambda: settlement.request(period="2027-05", actor=books.maker, now=now).pk)
    assert not errors and len(made) == 20 and len(set(made)) == 1
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    entity = LegalEntity.objects.get(code="HQ")
    files, errors = at_once(
        20, lambda: payouts.produce(batch_id=batch.pk, company_id=entity.pk, actor=books.maker, now=now)[0].pk
    )
    assert not errors and len(set(files)) == 1 and PayoutFile.objects.count() == 1
    file = PayoutFile.objects.get()
    content = answer(file)

    def take() -> bool:
        books.clock.set(now)  # a connection of its own
        return payouts.take_results(file_id=file.pk, content=content, actor=books.maker, now=now)[1]

    taken, errors = at_once(20, take)
    assert not errors and sorted(taken) == [False] * 19 + [True]
    assert (PayoutResult.objects.count(), balance("A:bank:HQ")) == (1, file.total_fen)
    assert proving.run(now=now).is_proven


def test_f9_two_beats_prepare_one_batch(books: Books) -> None:
    made, errors = at_once(8, lambda: settlement.request_due(now=day("06-10")))
    assert not errors and Batch.objects.count() == 1
    assert settlement.request_due(now=day("06-11")) is None
    assert len([batch for batch in made if batch is not None]) >= 1


KILLED_AT = {
    "taking the first range": (making, "_take_lines", "db.ensure_partitions", 1),
    "between two ranges": (making, "_take_lines", "done", 1),
    "settling": (making, "_finish", "_write", 1),
    "posting the first statement": (posting, "_post_some", "ledger.post", 1),
    "posting the second statement": (posting, "_post_some", "ledger.post", 2),
    "before the end": (posting, "work", "_finish", 1),
}


_hours = itertools.count(1)


def later(books: Books) -> None:
    """A new connection knows no clock; time goes on where it was."""
    books.clock.set(day("06-10") + dt.timedelta(hours=next(_hours)))


def run_and_die(books: Books, job_id: int, target: tuple[Any, str], count: int) -> int:
    """The job in a process of its own, killed at the ``count``-th call of the target; its exit status."""
    connections.close_all()
    next(_hours)
    child = os.fork()
    if child:
        _pid, status = os.waitpid(child, 0)
        later(books)
        return status
    with suppress(BaseException):
        later(books)
        owner, name = target
        real, calls = getattr(owner, name), []

        def dying(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            if len(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(owner, name, dying)
        jobs.run(job_id)
    os._exit(0)


@pytest.mark.parametrize("point", KILLED_AT)
def test_f1_a_killed_settlement_goes_on_and_does_nothing_twice(
    books: Books, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: SIGKILL at named points of the making and of the posting."""
    monkeypatch.setattr(making, "IDS_AT_ONCE", 5)
    monkeypatch.setattr(posting, "STATEMENTS_AT_ONCE", 1)
    module, _function, called, count = KILLED_AT[point]
    owner = {"db.ensure_partitions": making.db, "done": jobs.Progress, "ledger.post": ledger}.get(called, module)
    target = (owner, called.rpartition(".")[2])
    batch = settlement.request(period="2027-05", actor=books.maker, now=day("06-10"))
    if module is making:
        assert os.WIFSIGNALED(run_and_die(books, batch.job_id or 0, target, count))
        batch.refresh_from_db()
        assert batch.status == "MAKING"
    batch = books.make("2027-05", on="06-10")
    assert (batch.line_count, batch.payee_count) == (6, 3)
    if module is posting:
        settlement.approve(
            batch_id=batch.pk, actor=books.approver, now=day("06-10"), count=batch.line_count, amount_fen=batch.paid_fen
        )
        batch.refresh_from_db()
        assert os.WIFSIGNALED(run_and_die(books, batch.job_id or 0, target, count))
        jobs.run(batch.job_id or 0)
    else:
        batch = books.approve(batch, on="06-10")
    batch.refresh_from_db()
    assert batch.status == "POSTED"
    assert BatchLine.objects.filter(is_live=True).count() == 6
    assert Txn.objects.filter(kind="PAY").count() == 3 and Txn.objects.filter(kind="NET").count() == 1
    proof = proving.run(now=day("06-10"))
    assert proof.is_proven, proof.differences
