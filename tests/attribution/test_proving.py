"""The proof of the books: a whole company is proven; one changed number is found and named."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from attribution import blocks, proving
from attribution.models import Proof
from tests.attribution.settling import Books, day
from tests.factories.clock import Clock
from tests.factories.shops import leave, shops


@pytest.fixture
def books(db: None) -> Iterator[Books]:
    """Two settled months with a refund after pay, a payment that came back, a block, a debt carried and one written off."""
    clock = Clock()
    books = Books(shops(), clock)
    books.shops.member("林小满", store="S1", guide="A")
    books.shops.member("周舟", store="S2", guide="B")
    books.shops.member("方圆", store="F1", guide="F")
    books.sell("a", on="05-02", paid_fen=129_900, member="林小满")
    books.sell("b", on="05-03", paid_fen=33_333, member="周舟", store="S2")
    books.sell("f", on="05-04", paid_fen=20_000, member="方圆", store="F1")
    books.sell("blocked", on="05-04", paid_fen=70_000, member="周舟", store="S2")
    books.sell("part", on="05-05", paid_fen=10_001, member="林小满")
    books.refund("part", 3_333, on="05-06")
    books.vest(on="05-25")
    blocks.block(line_ids=[books.shops.lines["blocked"].pk], cause="DISPUTE 1", actor=None)
    may = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    books.pay(may, on="06-12", returned=frozenset({"G00002"}))
    blocks.release(cause="DISPUTE 1")
    books.refund("a", 129_900, on="06-13")
    books.sell("june", on="06-14", paid_fen=86_200, member="林小满")
    leave(books.shops.guides["F"], day("06-14"))
    books.refund("f", 20_000, on="06-15")
    books.shops.line("open", member="周舟", store="S2", paid_fen=5_000, at=clock.set(day("06-16")))
    books.vest(on="06-30")
    books.settle("2027-06", on="07-10")
    clock.set(day("07-11"))
    yield books
    clock.stop()


TABLES = """attribution_entry attribution_txn attribution_account attribution_hold attribution_decision attribution_batchline
attribution_batch attribution_statement attribution_payment attribution_payoutfile members_orderline members_refund""".split()


@contextmanager
def tampering() -> Iterator[None]:
    """As the owner of the tables, with every trigger off."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_every_number_of_a_company_is_proven(books: Books) -> None:
    proof = proving.run(now=day("07-11"))
    assert proof.differences == []
    assert proof.is_proven
    assert all(
        rows for check, rows in proof.proven.items() if check not in ("stray_entries", "splits", "month_caps")
    ), proof.proven
    assert Proof.objects.get().proven["transactions"] > 20
    out = StringIO()
    call_command("prove_books", stdout=out)
    assert "proven:" in out.getvalue()


FIRST, LAST = "(SELECT min(id) FROM {table}{where})", "(SELECT max(id) FROM {table}{where})"


def change(table: str, what: str, which: str = LAST, where: str = "") -> str:
    name = table if table.startswith("members_") else f"attribution_{table}"
    return f"UPDATE {name} SET {what} WHERE id = {which.format(table=name, where=f' WHERE {where}' if where else '')}"


def drop(table: str, which: str = FIRST) -> str:
    return f"DELETE FROM attribution_{table} WHERE id = {which.format(table=f'attribution_{table}', where='')}"


TAMPERS = {
    "one entry": (change("entry", "amount_fen = amount_fen + 1"), "balances"),
    "two entries and every balance": (
        (
            "UPDATE attribution_entry e SET amount_fen = e.amount_fen + CASE WHEN e.position = 0 THEN -1 ELSE 1 END"
            " WHERE e.txn_id = (SELECT min(id) FROM attribution_txn WHERE kind = 'ACCRUE');"
            "UPDATE attribution_account a"
            " SET balance_fen = (SELECT coalesce(sum(amount_fen), 0) FROM attribution_entry WHERE account_id = a.id)"
        ),
        "transactions",
    ),
    "an entry's store": (change("entry", "store_id = NULL", where="store_id IS NOT NULL"), "transactions"),
    "an entry gone": (drop("entry", LAST), "transactions"),
    "a transaction gone": (drop("txn"), "stray_entries"),
    "one hold": (change("hold", "amount_fen = amount_fen + 1", FIRST), "holds"),
    "a hold's vested part": (change("hold", "vested_fen = vested_fen - 1", where="vested_fen > clawed_fen"), "holds"),
    "one decision": (change("decision", "rate_bp = 600"), "pots"),
    "a decision with its commission": (
        change("decision", "rate_bp = 600, pot_fen = (base_fen * 600 + 5000) / 10000"),
        "lines",
    ),
    "a decision gone": (drop("decision"), "decided_once"),
    "an order line": (change("members_orderline", "paid_fen = paid_fen + 100", where="refunded_fen = 0"), "lines"),
    "a refund": (change("members_refund", "amount_fen = amount_fen - 1"), "refunds"),
    "one batch line": (change("batchline", "amount_fen = amount_fen + 1"), "batch_lines"),
    "a batch line gone": (drop("batchline"), "batches"),
    "a batch": (
        change("batch", "paid_fen = paid_fen + 1, netted_fen = netted_fen - 1, approved_fen = approved_fen + 1"),
        "batch_totals",
    ),
    "a statement": (
        change(
            "statement",
            "netted_fen = netted_fen - 1, paid_fen = paid_fen + 1, carried_fen = carried_fen + 1",
            where="netted_fen > 0",
        ),
        "statements",
    ),
    "a carried debt": (
        change("statement", "opening_debt_fen = opening_debt_fen + 1, reversed_fen = reversed_fen - 1"),
        "debts_carried",
    ),
    "a payment": (change("payment", "amount_fen = amount_fen + 1"), "payments"),
    "an answer": (change("payment", "status = 'RETURNED'", where="status = 'SETTLED'"), "answers_of_banks"),
    "a closed period": (change("txn", "posted_at = posted_at + interval '1 second'", FIRST), "closed_periods"),
    "a payout file": (change("payoutfile", "content = content || '\\x20'"), "payout_files"),
}


@pytest.mark.parametrize("what", TAMPERS)
def test_one_changed_number_is_detected_and_named(books: Books, what: str) -> None:
    sql, check = TAMPERS[what]
    with tampering(), connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.rowcount, "nothing was changed"
    proof = proving.run(now=day("07-11"))
    assert not proof.is_proven
    named = [row for row in proof.differences if row[0] == check]
    assert named, proof.differences
    err = StringIO()
    with pytest.raises(CommandError):
        call_command("prove_books", stdout=StringIO(), stderr=err)
    assert str(named[0][1]) in err.getvalue()


def test_the_proof_uses_nothing_of_what_it_proves() -> None:
    for module in pathlib.Path(proving.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("attribution"):
                assert node.module in ("attribution.models", "attribution.proving"), (module, node.module)
