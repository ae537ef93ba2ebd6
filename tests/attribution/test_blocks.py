"""Blocks, holds without an order line, closed periods: what the ledger refuses and what it carries."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, connections, transaction

from attribution import blocks, ledger, periods, postings
from attribution.models import Account, ClosedPeriod, Hold, MoneyBlock, Txn
from scrm.models import Act
from tests.attribution.test_ledger import AT, accrual, balance
from tests.factories import defaults
from tests.factories.clock import Clock

MAY = dt.datetime(2027, 5, 20, 4, tzinfo=dt.UTC)
JUNE = dt.datetime(2027, 6, 12, 4, tzinfo=dt.UTC)


@pytest.fixture
def clock(db: None) -> Iterator[Clock]:
    clock = Clock()
    yield clock
    clock.stop()


def hold_of(key: str) -> Hold:
    return Hold.objects.get(txn__key=key)


@pytest.mark.django_db(transaction=True)
def test_a_blocked_hold_waits_until_its_last_block_is_released() -> None:
    defaults.restore()
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7)), accrual("b", ("HQ_POOL", 5))])
    hold = hold_of("a")
    assert hold.line_id is not None
    assert blocks.block(line_ids=[hold.line_id], cause="DISPUTE 1", actor=None) == [hold.pk]
    assert blocks.block(hold_ids=[hold.pk], cause="DISPUTE 1", actor=None) == [hold.pk]  # once per cause
    blocks.block(hold_ids=[hold.pk], cause="RISK 9", actor=None)
    assert MoneyBlock.objects.count() == 2
    assert ledger.vest(now=AT) == 1
    assert balance("L:due:HQ_POOL") == 5
    assert blocks.release(cause="DISPUTE 1") == 1
    assert ledger.vest(now=AT) == 0
    assert blocks.release(cause="RISK 9") == 1
    assert blocks.release(cause="RISK 9") == 0
    assert ledger.vest(now=AT) == 1
    assert balance("L:due:HQ_POOL") == 12
    assert Act.objects.filter(verb__in=["money.block", "money.release"]).count() == 5


@pytest.mark.django_db
def test_a_blocked_hold_can_be_reversed_and_not_vested_by_anybody() -> None:
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    hold = hold_of("a")
    blocks.block(hold_ids=[hold.pk], cause="DISPUTE 1", actor=None)
    with pytest.raises(IntegrityError, match="blocked hold"), transaction.atomic():
        Hold.objects.filter(pk=hold.pk).update(vested_fen=7)
    part = [postings.Part("HQ_POOL", None, 7)]
    move = (ledger.HoldMove(hold.pk, reversed_fen=7),)
    ledger.post(batch=[ledger.Posting(postings.unhold("u", part, AT), reverses_key="a", reason="REFUND", moves=move)])
    assert balance("L:hold:HQ_POOL") == 0


@pytest.mark.django_db
def test_a_block_is_released_once_and_never_vanishes() -> None:
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    blocks.block(hold_ids=[hold_of("a").pk], cause="DISPUTE 1", actor=None)
    for change in (lambda: MoneyBlock.objects.update(cause="x"), lambda: MoneyBlock.objects.all().delete()):
        with (
            pytest.raises((IntegrityError, Exception), match=r"only ever released|Cannot delete"),
            transaction.atomic(),
        ):
            change()
    blocks.release(cause="DISPUTE 1")
    with pytest.raises(IntegrityError, match="only ever released"), transaction.atomic():
        MoneyBlock.objects.update(released_at=None)


@pytest.mark.django_db(transaction=True)
def test_blocking_and_vesting_at_once_never_both_win() -> None:
    """Whichever comes first: a hold that is blocked when the dust settles has not vested after it."""
    defaults.restore()
    ledger.post(batch=[accrual(f"a{number}", ("HQ_POOL", 7)) for number in range(40)])
    ids = list(Hold.objects.order_by("pk").values_list("pk", flat=True))
    barrier, errors, vested_first = threading.Barrier(2), [], []

    def run(work: object) -> None:
        barrier.wait()
        try:
            work()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)
        finally:
            connections.close_all()

    def vest() -> None:
        while ledger.vest(now=AT, limit=3):
            pass

    def block() -> None:
        for hold_id in reversed(ids):
            blocks.block(hold_ids=[hold_id], cause="DISPUTE 1", actor=None)
            vested_first.append(Hold.objects.get(pk=hold_id).vested_fen)

    threads = [threading.Thread(target=run, args=(work,)) for work in (vest, block)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    after = list(Hold.objects.order_by("-pk").values_list("vested_fen", flat=True))
    assert after == vested_first
    while ledger.vest(now=AT):
        pass
    assert list(Hold.objects.order_by("-pk").values_list("vested_fen", flat=True)) == vested_first


@pytest.mark.django_db(transaction=True)
def test_a_hold_without_an_order_line_names_its_occasion() -> None:
    defaults.restore()
    hold_id = ledger.Ids(Hold, 1).take()
    hold = ledger.NewHold(hold_id, "REWARD", "HQ_POOL", None, 500, AT.date(), AT)
    txn = postings.accrue("r", [postings.Part("HQ_POOL", None, 500)], AT, budget=postings.PROMO)
    with pytest.raises(IntegrityError, match="hold_of_line_or_fact"):
        ledger.post(batch=[ledger.Posting(txn, holds=(hold,))])
    ledger.post(batch=[ledger.Posting(txn, holds=(hold,), fact="REWARD 4")])
    assert ledger.vest(now=AT) == 1
    assert balance("X:budget:promo") == -500
    assert balance("L:due:HQ_POOL") == 500
    assert set(Txn.objects.values_list("fact", flat=True)) == {"REWARD 4"}
    assert Hold.objects.get().fact == "REWARD 4"


def test_only_the_four_budgets_exist() -> None:
    with pytest.raises(ValueError, match="no budget"):
        postings.budget_account("marketing")


@pytest.mark.django_db
def test_l11_a_closed_period_takes_no_posting_and_a_correction_names_it(clock: Clock) -> None:
    """L11: the correction stands in the open period."""
    clock.set(MAY)
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    frozen = periods.frozen("2027-05")
    assert (frozen.entry_count, frozen.debit_fen) == (2, 7)
    clock.set(JUNE)
    ClosedPeriod.objects.create(period="2027-05", closed_at=JUNE, **frozen._asdict())
    assert periods.is_closed(periods.period_of(MAY)) and not periods.is_closed(periods.period_of(JUNE))
    part = [postings.Part("HQ_POOL", None, 3)]
    move = (ledger.HoldMove(hold_of("a").pk, reversed_fen=3),)
    posting = ledger.Posting(postings.unhold("u", part, MAY), reverses_key="a", reason="REFUND", moves=move)
    ledger.post(
        batch=[posting, ledger.Posting(postings.accrue("b", part, MAY), adjusts_key="a"), accrual("c", ("HQ_POOL", 1))]
    )
    said = dict(Txn.objects.values_list("key", "adjusts_period"))
    assert said == {"a": "", "u": "2027-05", "b": "2027-05", "c": ""}
    assert periods.frozen("2027-05") == frozen
    clock.set(MAY)  # a clock that went back
    with pytest.raises(IntegrityError, match="period is closed"), transaction.atomic():
        ledger.post(batch=[accrual("late", ("HQ_POOL", 1))])
    assert not Txn.objects.filter(key="late").exists()


@pytest.mark.django_db
def test_money_accounts_open_with_their_first_posting() -> None:
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    part = [postings.Part("HQ_POOL", None, 7)]
    ledger.post(
        batch=[
            ledger.Posting(postings.vest("v", part, AT)),
            ledger.Posting(postings.pay("p", part, AT, "2027-05")),
            ledger.Posting(postings.returned("x", [postings.Part("HQ_POOL", None, 2)], AT, "2027-05")),
            ledger.Posting(postings.settled("s", "2027-05", "HQ", 5, AT)),
        ]
    )
    assert balance("A:payout:2027-05") == 0
    assert (balance("A:bank:HQ"), balance("L:due:HQ_POOL")) == (5, 2)
    assert set(Account.objects.filter(code__startswith="A:").values_list("kind", flat=True)) >= {"PAYOUT", "BANK"}
