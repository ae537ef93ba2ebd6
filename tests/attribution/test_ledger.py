"""The ledger against a real database: L1–L6, L10, L13, L14."""

from __future__ import annotations

import ast
import datetime as dt
import itertools
import pathlib
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution import ledger, postings
from attribution.models import Account, Entry, Hold, Txn
from scrm.db import ensure_partitions
from tests.factories import defaults

AT = dt.datetime(2026, 5, 1, 4, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def accrual(key: str, *parts: tuple[str, int]) -> ledger.Posting:
    """An accrual with a hold per part, on a line of its own."""
    line_id = next(_numbers) + 10_000_000
    ids = ledger.Ids(Hold, len(parts))
    holds = tuple(ledger.NewHold(ids.take(), "SELLER", who, None, fen, AT.date(), AT) for who, fen in parts)
    txn = postings.accrue(key, [postings.Part(who, None, fen) for who, fen in parts], AT)
    return ledger.Posting(txn, line_id, AT.date(), holds=holds)


def balance(code: str) -> int:
    return Account.objects.get(code=code).balance_fen


def insert_raw(*amounts: int, positions: list[int] | None = None) -> None:
    """Entries for a new transaction by plain SQL, between the HQ pool's accounts and the budget."""
    accounts = [Account.objects.get(code=code).pk for code in ("X:budget:brand", "L:hold:HQ_POOL", "L:due:HQ_POOL")]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO attribution_txn (kind, key, content_hash, effective_at, posted_at, posted_on, actor, reason,"
            " adjusts_period) SELECT 'ACCRUE', %s, '', n, n, (n AT TIME ZONE 'Asia/Shanghai')::date, 'S', '', ''"
            " FROM clock_timestamp() n RETURNING id, posted_on",
            [f"raw{next(_numbers)}"],
        )
        txn_id, posted_on = cursor.fetchone()
        ensure_partitions(Entry, posted_on, posted_on)
        rows = zip(positions or range(len(amounts)), accounts, amounts, strict=False)
        values = ", ".join(f"({txn_id}, {pos}, '{posted_on}', {account}, {fen})" for pos, account, fen in rows)
        cursor.execute(
            f"INSERT INTO attribution_entry (txn_id, position, posted_on, account_id, amount_fen) VALUES {values}"
        )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("amounts", "positions"),
    [((-5, 6), None), ((-5, 5, 1), None), ((-5, 5), [1, 2]), ((-5, 5), [0, 2]), ((5,), None)],
    ids=["sum", "three legs", "no first", "gap", "one leg"],
)
def test_l1_raw_sql_cannot_write_an_unbalanced_transaction(
    amounts: tuple[int, ...], positions: list[int] | None
) -> None:
    """L1"""
    with pytest.raises(IntegrityError, match="not balanced"):
        insert_raw(*amounts, positions=positions)
    assert Entry.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        """INSERT INTO attribution_entry (txn_id, position, posted_on, account_id, amount_fen)
           SELECT max(txn_id) + 1, 0, max(posted_on), max(account_id), 5 FROM attribution_entry""",
        "UPDATE attribution_entry SET amount_fen = 1",
        "DELETE FROM attribution_txn",
        "UPDATE attribution_account SET balance_fen = 0",
    ],
)
def test_l1_no_setting_switches_the_triggers_off(sql: str) -> None:
    """L1, L2: any role may set what pgtrigger reads; nothing may come of it."""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    with pytest.raises((ProgrammingError, IntegrityError)), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('pgtrigger.ignore', array_agg(tgname)::text, true) FROM pg_trigger WHERE NOT tgisinternal"
        )
        cursor.execute(sql)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert balance("L:hold:HQ_POOL") == 7


@pytest.mark.django_db
def test_l1_raw_sql_can_write_a_balanced_one() -> None:
    """L1: the check does not refuse everything."""
    insert_raw(-5, 5)
    assert balance("L:hold:HQ_POOL") == 5


@pytest.mark.django_db
def test_l1_nothing_is_added_to_a_whole_transaction() -> None:
    """L1, L2: a second balanced pair for an old transaction is refused."""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    txn = Txn.objects.get(key="a")
    entries = list(Entry.objects.filter(txn=txn).values_list("account_id", "amount_fen"))
    with (
        pytest.raises(IntegrityError, match=r"entry_once|posted_on_key"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO attribution_entry (txn_id, position, posted_on, account_id, amount_fen)"
            " VALUES (%s, 0, %s, %s, -3), (%s, 1, %s, %s, 3)",
            [txn.pk, txn.posted_on, entries[0][0], txn.pk, txn.posted_on, entries[1][0]],
        )
    assert balance("L:hold:HQ_POOL") == 7


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        lambda: Entry.objects.update(amount_fen=1),
        lambda: Entry.objects.all().delete(),
        lambda: Txn.objects.update(reason="x"),
        lambda: Txn.objects.all().delete(),
        lambda: Hold.objects.update(amount_fen=99),
        lambda: Hold.objects.all().delete(),
        lambda: Account.objects.all().delete(),
        lambda: Account.objects.update(balance_fen=1),
    ],
)
def test_l2_nothing_posted_changes_or_vanishes(change: Callable[[], object]) -> None:
    """L2: not even for the owner of the tables."""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    with pytest.raises((ProgrammingError, IntegrityError)), transaction.atomic():
        change()
    assert balance("L:hold:HQ_POOL") == 7


@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["UPDATE attribution_entry SET amount_fen = 1", "DELETE FROM attribution_txn"])
def test_l2_the_application_has_no_right_to(sql: str, app_role: Callable[[], object]) -> None:
    """L2: the grant is missing, before any trigger is asked."""
    refused = pytest.raises(ProgrammingError, match="permission denied")
    with refused, app_role(), transaction.atomic(), connection.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(sql)


@pytest.mark.django_db
def test_l3_same_key_same_content_is_the_first_result() -> None:
    """L3"""
    first = ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    assert ledger.post(batch=[accrual("a", ("HQ_POOL", 7))]) == first
    assert (Txn.objects.count(), Hold.objects.count(), balance("L:hold:HQ_POOL")) == (1, 1, 7)


@pytest.mark.django_db
def test_l3_same_key_other_content_posts_nothing_of_the_batch() -> None:
    """L3"""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    with pytest.raises(ledger.ContentConflict):
        ledger.post(batch=[accrual("b", ("HQ_POOL", 1)), accrual("a", ("HQ_POOL", 8))])
    assert list(Txn.objects.values_list("key", flat=True)) == ["a"]


@pytest.mark.django_db(transaction=True)
def test_l3_twenty_threads_with_one_key_write_one_row() -> None:
    """L3: real connections, real commits."""
    defaults.restore()
    posting, results, errors = accrual("race", ("HQ_POOL", 7)), [], []

    def work() -> None:
        try:
            results.append(ledger.post(batch=[posting])[0])
        except Exception as error:  # noqa: BLE001 - whatever happens is looked at below
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(results) == 20 and len(set(results)) == 1
    assert (Txn.objects.count(), balance("L:hold:HQ_POOL")) == (1, 7)


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["accrue", "unhold", "vest"]), st.integers(1, 500)), max_size=12))
def test_l4_a_balance_is_the_sum_of_its_entries(steps: list[tuple[str, int]]) -> None:
    """L1, L4, L5: after any sequence of postings, the refused ones included."""
    for kind, fen in steps:
        part = [postings.Part("HQ_POOL", None, fen)]
        key = f"{kind}{next(_numbers)}"
        if kind == "accrue":
            posting = accrual(key, ("HQ_POOL", fen))
        elif kind == "vest":
            posting = ledger.Posting(postings.vest(key, part, AT))
        else:
            ledger.post(batch=[first := accrual(f"first{key}", ("HQ_POOL", 1))])
            posting = ledger.Posting(postings.unhold(key, part, AT), reverses_key=first.txn.key, reason="r")
        with suppress(IntegrityError), transaction.atomic():  # more than is held
            ledger.post(batch=[posting])
    for account in Account.objects.all():
        entries = Entry.objects.filter(account=account).aggregate(fen=Sum("amount_fen"))["fen"] or 0
        assert account.balance_fen == entries
        assert account.kind not in ("HOLD", "DUE") or account.balance_fen >= 0
    assert (Entry.objects.aggregate(fen=Sum("amount_fen"))["fen"] or 0) == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("vested", "reversed_", "clawed"), [(8, 0, 0), (4, 4, 0), (3, 0, 4), (0, -1, 0)])
def test_l6_a_hold_moves_at_most_its_amount(vested: int, reversed_: int, clawed: int) -> None:
    """L6"""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    with pytest.raises(IntegrityError), transaction.atomic():
        Hold.objects.update(vested_fen=vested, reversed_fen=reversed_, clawed_fen=clawed)


@pytest.mark.django_db(transaction=True)
def test_l6_two_reversals_of_one_hold_at_once_one_wins() -> None:
    """L6: concurrent, committed, under different keys."""
    defaults.restore()
    first = accrual("a", ("HQ_POOL", 7))
    ledger.post(batch=[first, accrual("other", ("HQ_POOL", 100))])
    hold = Hold.objects.get(txn__key="a")
    barrier, outcomes = threading.Barrier(2), []

    def reverse(key: str) -> None:
        txn = postings.unhold(key, [postings.Part("HQ_POOL", None, 7)], AT)
        posting = ledger.Posting(txn, reverses_key="a", reason="r", moves=(ledger.HoldMove(hold.pk, reversed_fen=7),))
        barrier.wait()
        try:
            ledger.post(batch=[posting])
            outcomes.append("won")
        except IntegrityError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=reverse, args=(key,)) for key in ("r1", "r2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "won"]
    assert balance("L:hold:HQ_POOL") == 100


@pytest.mark.django_db(transaction=True)
def test_l6_vesting_moves_a_ripe_hold_once() -> None:
    """L6: held to due, once, and only when its time has come."""
    defaults.restore()
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    assert ledger.vest(now=AT - dt.timedelta(seconds=1)) == 0
    assert ledger.vest(now=AT) == 1
    assert ledger.vest(now=AT) == 0
    assert (balance("L:hold:HQ_POOL"), balance("L:due:HQ_POOL")) == (0, 7)


@pytest.mark.django_db
def test_l10_posted_at_is_the_clock_of_the_posting() -> None:
    """L10: nobody back-dates or post-dates a posting; effective_at is free in the past."""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    txn = Txn.objects.get(key="a")
    assert txn.effective_at <= txn.posted_at <= timezone.now()
    for posted_at in ("now() - interval '1 second'", "clock_timestamp() + interval '1 hour'"):
        with (
            pytest.raises(IntegrityError, match="time of posting"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "INSERT INTO attribution_txn (kind, key, content_hash, effective_at, posted_at, posted_on, actor, reason,"
                f" adjusts_period) SELECT 'ACCRUE', 'late', '', n, n, (n AT TIME ZONE 'Asia/Shanghai')::date, 'S', '', ''"
                f" FROM (SELECT {posted_at} n) t"
            )


@pytest.mark.django_db
def test_l10_posted_at_rises_along_an_account() -> None:
    """L10"""
    for number in range(5):
        ledger.post(batch=[accrual(f"a{number}", ("HQ_POOL", 7))])
    account = Account.objects.get(code="L:hold:HQ_POOL")
    posted = list(Entry.objects.filter(account=account).order_by("pk").values_list("txn__posted_at", flat=True))
    assert posted == sorted(posted) and len(posted) == 5


@pytest.mark.django_db
@pytest.mark.parametrize("missing", ["original", "reason", "actor"])
def test_l13_a_correction_names_its_original_its_reason_and_its_actor(missing: str) -> None:
    """L13"""
    ledger.post(batch=[accrual("a", ("HQ_POOL", 7))])
    txn = postings.unhold("u", [postings.Part("HQ_POOL", None, 7)], AT)
    posting = ledger.Posting(
        txn,
        reverses_key=None if missing == "original" else "a",
        reason="" if missing == "reason" else "refund",
        actor="" if missing == "actor" else "SYSTEM",
    )
    with pytest.raises(IntegrityError, match="correction_names_original"), transaction.atomic():
        ledger.post(batch=[posting])


WAITS = ("client.py", "polling.py")  # they measure seconds


def test_l14_money_is_bigint_and_no_float_is_near_it() -> None:
    """L14: every ``_fen`` column is a bigint, and no module that handles money names or writes a float."""
    from django.apps import apps

    fields = [
        f for model in apps.get_models() for f in model._meta.get_fields() if getattr(f, "attname", "").endswith("_fen")
    ]
    assert fields and {f.get_internal_type() for f in fields} <= {"BigIntegerField", "FenField"}
    root = pathlib.Path(__file__).resolve().parents[2]
    names = "accruals commissions ledger overrides payouts postings queries rewards rulebook tiers"
    modules = [root / f"attribution/{name}.py" for name in names.split()]
    modules += [
        *root.glob("attribution/decisions/*.py"),
        *root.glob("attribution/rules/*.py"),
        *(root / f"attribution/simulation/{name}.py" for name in ("forms", "replay", "standing")),
        root / "attribution/simulation/results.py",
        *root.glob("attribution/evidence/*.py"),
        *root.glob("attribution/settlement/*.py"),
        *(path for path in root.glob("attribution/channels/*.py") if path.name not in WAITS),
    ]
    modules += [root / "scrm/money.py", *root.glob("members/purchases/*.py"), *root.glob("members/coupons/*.py")]
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{module}:{node.lineno}"
            assert not (isinstance(node, ast.Name) and node.id == "float"), f"{module}:{node.lineno}"
