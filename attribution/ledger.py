"""The ledger (佣金台账): the one writer of transactions, entries and holds.

1. A transaction is one business fact, known by its key. The same key with the same content returns the first
   transaction; with other content it is refused (``ContentConflict``) and nothing of the batch is posted.
2. Everything a batch posts is posted at one instant, the database's clock after its accounts are locked: ``posted_at``
   is monotone per account. Accounts are locked in the order of their ids.
3. The database checks balance, wholeness and dates of what is written here and keeps the balances; see
   ``models/ledger.py``.
4. What a beneficiary was promised on a line is a hold (待结佣金). It vests, or is reversed before vesting, or is clawed
   back after it; never more than its amount.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef
from django.utils.translation import gettext as _

from attribution import blocks, figures, periods, postings
from attribution.models import Account, Entry, Hold, MoneyBlock, Txn
from scrm import db
from scrm.errors import RuleViolation

SHANGHAI = ZoneInfo("Asia/Shanghai")
SYSTEM = "SYSTEM"
TXN_COLUMNS = (
    "id", "kind", "key", "content_hash", "effective_at", "posted_at", "posted_on", "line_id", "booked_on",
    "decision_id", "refund_id", "reverses_id", "actor", "reason", "adjusts_period", "fact",
)  # fmt: skip
HOLD_COLUMNS = (
    "id", "txn_id", "line_id", "booked_on", "role", "beneficiary_id", "store_id", "earned_on", "amount_fen",
    "vested_fen", "reversed_fen", "clawed_fen", "vests_at", "fact",
)  # fmt: skip
VEST_AT_ONCE = 5_000  # holds in one transaction


class ContentConflict(RuleViolation):
    """The same business fact arrived with other content."""

    code = "ledger_content_conflict"


class Ids:
    """Primary keys drawn ahead from the model's sequence, a block at a time."""

    def __init__(self, model: type[Any], block: int) -> None:
        self._model, self._block = model, max(1, block)
        self._ids: list[int] = []

    def take(self) -> int:
        if not self._ids:
            self._ids = db.next_ids(self._model, self._block)[::-1]
        return self._ids.pop()

    def give(self, ids: Iterable[int]) -> None:
        """Drawn elsewhere."""
        self._ids = [*ids][::-1]


class StoreIds(dict[str, int]):
    """Ids of stores by their codes: those that a batch knows already, any other is looked up."""

    def __init__(self, known: Iterable[Mapping[str, int]]) -> None:
        super().__init__()
        for codes in {id(codes): codes for codes in known}.values():
            self.update(codes)

    def __missing__(self, code: str) -> int:
        self[code] = _store_ids({code})[code]
        return self[code]


def draw_ids(*models: type[Any], count: int) -> list[Ids]:
    """Ids of each of the models, ``count`` of them drawn at once for all."""
    found = [Ids(model, count) for model in models]
    if count:
        drawn = db.read_together(*((db.NEXT_IDS, [model._meta.db_table, count]) for model in models))
        for ids, rows in zip(found, drawn, strict=True):
            ids.give(pk for (pk,) in rows)
    return found


class NewHold(NamedTuple):
    id: int
    role: str
    beneficiary: str
    store_id: int | None
    amount_fen: int
    earned_on: dt.date
    vests_at: dt.datetime | None


class HoldMove(NamedTuple):
    """What a transaction does to a hold that exists; fen >= 0."""

    hold_id: int
    vested_fen: int = 0
    reversed_fen: int = 0
    clawed_fen: int = 0


class Posting(NamedTuple):
    """One transaction with what surrounds it. ``txn`` says what is posted, the rest where it belongs."""

    txn: postings.Transaction
    line_id: int | None = None
    booked_on: dt.date | None = None
    decision_id: int | None = None
    refund_id: int | None = None
    reverses_key: str | None = None  # of the transaction this one corrects
    actor: str = SYSTEM
    reason: str = ""
    holds: tuple[NewHold, ...] = ()
    moves: tuple[HoldMove, ...] = ()
    fact: str = ""  # the occasion, where there is no order line
    adjusts_key: str | None = None  # of the transaction whose period this one corrects, where it reverses none


class _Known(NamedTuple):
    id: int
    content_hash: str
    posted_on: dt.date | None  # None: of this batch


@transaction.atomic
def post(*, batch: Sequence[Posting], stores: Mapping[str, int] | None = None) -> list[int]:
    """Write a batch; returns the transaction's id per posting, the first one's for a repeat. ``stores``: ids that are known.

    Raises ContentConflict. A balance that would fall below zero is refused by the database (IntegrityError).
    """
    if not batch:
        return []
    accounts = _open_accounts({entry.account for posting in batch for entry in posting.txn.entries})
    _lock_accounts([account_id for account_id, _ in accounts.values()])
    posted_at, known = _known({key for p in batch for key in (p.txn.key, p.reverses_key, p.adjusts_key) if key})
    ids = db.next_ids(Txn, len(batch))
    fresh: list[tuple[int, Posting]] = []
    result: list[int] = []
    for txn_id, posting in zip(ids, batch, strict=True):
        first = known.get(posting.txn.key)
        if first is None:
            known[posting.txn.key] = _Known(txn_id, posting.txn.content_hash, None)
            fresh.append((txn_id, posting))
            result.append(txn_id)
        elif first.content_hash == posting.txn.content_hash:
            result.append(first.id)
        else:
            raise ContentConflict(_("This fact is already posted with other content."), extra={"key": posting.txn.key})
    _write(fresh, accounts, known, posted_at, stores)
    return result


@transaction.atomic(durable=True)
def vest(*, now: dt.datetime, limit: int = VEST_AT_ONCE) -> int:
    """Holds whose time has come become due: at most ``limit`` of them; returns how many. Call until it returns 0."""
    ripe = Hold.objects.filter(vests_at__lte=now, amount_fen__gt=F("vested_fen") + F("reversed_fen"))
    ripe = ripe.filter(~Exists(MoneyBlock.objects.live().filter(hold=OuterRef("pk"))))
    ripe = ripe.select_related("beneficiary", "store").order_by("pk").select_for_update(of=("self",), skip_locked=True)
    holds = list(ripe[:limit])
    # asked again under the locks: who blocks takes them too
    blocked = blocks.blocked_among(hold.pk for hold in holds)
    holds = [hold for hold in holds if hold.pk not in blocked]
    post(batch=[_vesting(hold) for hold in holds])
    figures.mark({hold.earned_on for hold in holds})
    return len(holds)


def _vesting(hold: Hold) -> Posting:
    """All that is left of a hold; it vests once, so its id is the business fact."""
    left = hold.amount_fen - hold.vested_fen - hold.reversed_fen
    part = postings.Part(hold.beneficiary.code, hold.store.code if hold.store else None, left)
    assert hold.vests_at is not None
    txn = postings.vest(postings.key(postings.Kind.VEST, hold.pk), [part], hold.vests_at)
    return Posting(txn, hold.line_id, hold.booked_on, moves=(HoldMove(hold.pk, vested_fen=left),), fact=hold.fact)


def complete(vests_at: dict[int, dt.datetime]) -> None:
    """Set when the holds of completed lines vest (``{line_id: vests_at}``); a time once set stays."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE attribution_hold h SET vests_at = c.vests_at"
            " FROM unnest(%s::bigint[], %s::timestamptz[]) c(line_id, vests_at)"
            " WHERE h.line_id = c.line_id AND h.vests_at IS NULL",
            [list(vests_at), list(vests_at.values())],
        )


def _write(
    fresh: Sequence[tuple[int, Posting]],
    accounts: dict[str, tuple[int, int | None]],
    known: dict[str, _Known],
    posted_at: dt.datetime,
    stores: Mapping[str, int] | None,
) -> None:
    if not fresh:
        return
    posted_on = posted_at.astimezone(SHANGHAI).date()
    db.ensure_partitions(Entry, posted_on, posted_on)
    codes = {entry.store for _, posting in fresh for entry in posting.txn.entries if entry.store}
    # all of them before the first COPY: a connection that copies answers no other question
    stores = _store_ids(codes) if stores is None else {code: stores[code] for code in codes}
    _copy_txns(fresh, known, posted_at, posted_on)
    _copy_entries(fresh, accounts, stores, posted_on)
    _copy_holds(fresh, accounts)
    _move_holds(fresh)


def _copy_txns(
    fresh: Sequence[tuple[int, Posting]],
    known: dict[str, _Known],
    posted_at: dt.datetime,
    posted_on: dt.date,
) -> None:
    closed = periods.closed() if any(p.reverses_key or p.adjusts_key for _, p in fresh) else frozenset()
    rows = (
        (
            txn_id, p.txn.kind, p.txn.key, p.txn.content_hash, p.txn.effective_at, posted_at, posted_on, p.line_id,
            p.booked_on, p.decision_id, p.refund_id, known[p.reverses_key].id if p.reverses_key else None, p.actor,
            p.reason, _adjusted(p, known, closed), p.fact,
        )
        for txn_id, p in fresh
    )  # fmt: skip
    db.copy_rows(Txn._meta.db_table, TXN_COLUMNS, rows)


def _adjusted(posting: Posting, known: dict[str, _Known], closed: frozenset[str]) -> str:
    """The closed period in which what this posting corrects was posted."""
    original = known.get(posting.adjusts_key or posting.reverses_key or "")
    if original is None or original.posted_on is None:
        return ""
    period = periods.period_of_day(original.posted_on)
    return period if period in closed else ""


def _copy_entries(
    fresh: Sequence[tuple[int, Posting]],
    accounts: dict[str, tuple[int, int | None]],
    stores: Mapping[str, int],
    posted_on: dt.date,
) -> None:
    db.copy_rows(
        Entry._meta.db_table,
        ("txn_id", "position", "posted_on", "account_id", "store_id", "amount_fen"),
        (
            (txn_id, position, posted_on, accounts[e.account][0], stores[e.store] if e.store else None, e.amount_fen)
            for txn_id, posting in fresh
            for position, e in enumerate(posting.txn.entries)
        ),
    )


def _copy_holds(fresh: Sequence[tuple[int, Posting]], accounts: dict[str, tuple[int, int | None]]) -> None:
    rows = (
        (
            hold.id, txn_id, posting.line_id, posting.booked_on, hold.role,
            accounts[postings.hold_account(hold.beneficiary)][1], hold.store_id, hold.earned_on, hold.amount_fen,
            0, 0, 0, hold.vests_at, posting.fact,
        )
        for txn_id, posting in fresh
        for hold in posting.holds
    )  # fmt: skip
    db.copy_rows(Hold._meta.db_table, HOLD_COLUMNS, rows)


def _move_holds(fresh: Sequence[tuple[int, Posting]]) -> None:
    moves = [move for _, posting in fresh for move in posting.moves]
    if not moves:
        return
    with connection.cursor() as cursor:
        # one row per hold: several refunds of a line in one batch add up
        cursor.execute(
            """
            WITH moved AS (
                SELECT id, sum(vested)::bigint vested, sum(reversed)::bigint reversed, sum(clawed)::bigint clawed
                FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) m(id, vested, reversed, clawed)
                GROUP BY id
            )
            UPDATE attribution_hold h
            SET vested_fen = h.vested_fen + moved.vested, reversed_fen = h.reversed_fen + moved.reversed,
                clawed_fen = h.clawed_fen + moved.clawed
            FROM moved WHERE h.id = moved.id
            """,
            [
                [m.hold_id for m in moves],
                [m.vested_fen for m in moves],
                [m.reversed_fen for m in moves],
                [m.clawed_fen for m in moves],
            ],
        )
        if cursor.rowcount != len({m.hold_id for m in moves}):
            raise LookupError("a hold to move does not exist")


def _open_accounts(codes: set[str]) -> dict[str, tuple[int, int | None]]:
    """``{account code: (account id, beneficiary id)}``; accounts of a new beneficiary are opened."""
    found = _read_accounts(codes)
    missing = codes - found.keys()
    if missing:
        open_beneficiaries({code.split(":", 2)[2] for code in missing})
        _open_money_accounts(missing)
        found |= _read_accounts(missing)
    if codes - found.keys():
        raise LookupError(f"no such account: {sorted(codes - found.keys())[:3]}")
    return found


def _read_accounts(codes: Iterable[str]) -> dict[str, tuple[int, int | None]]:
    rows = db.read(
        "SELECT code, id, beneficiary_id FROM attribution_account WHERE code = ANY(%s::text[])", [sorted(codes)]
    )
    return {code: (account_id, beneficiary_id) for code, account_id, beneficiary_id in rows}


@transaction.atomic
def open_beneficiaries(codes: set[str]) -> None:
    """Beneficiaries and their three accounts for guide codes, ``STORE:<code>``, ``ENTITY:<code>`` and ``IP:<code>``."""
    with connection.cursor() as cursor:
        for kind, column, table, prefix in (
            ("GUIDE", "guide_id", "guides_guide", ""),
            ("STORE_POOL", "store_id", "scrm_store", "STORE:"),
            ("ENTITY", "entity_id", "scrm_legalentity", "ENTITY:"),
        ):
            cursor.execute(
                f"INSERT INTO attribution_beneficiary (code, kind, {column})"
                f" SELECT %s || t.code, %s, t.id FROM {table} t WHERE %s || t.code = ANY(%s)"
                " ORDER BY t.code ON CONFLICT DO NOTHING",
                [prefix, kind, prefix, sorted(codes)],
            )
        cursor.execute(
            "INSERT INTO attribution_beneficiary (code, kind) SELECT DISTINCT 'IP:' || p.code, 'BRAND_IP'"
            " FROM guides_brandip p WHERE 'IP:' || p.code = ANY(%s) ON CONFLICT DO NOTHING",
            [sorted(codes)],
        )
        cursor.execute(
            """
            INSERT INTO attribution_account (code, kind, beneficiary_id, balance_fen)
            SELECT k.prefix || b.code, k.kind, b.id, 0
            FROM attribution_beneficiary b,
                 (VALUES ('L:hold:', 'HOLD'), ('L:due:', 'DUE'), ('A:recv:', 'RECV')) k(prefix, kind)
            WHERE b.code = ANY(%s) ORDER BY 1 ON CONFLICT DO NOTHING
            """,
            [sorted(codes)],
        )


def _open_money_accounts(codes: set[str]) -> None:
    """Accounts of payout batches and of companies' banks, opened when they are first used."""
    kinds = {"A:payout": Account.Kind.PAYOUT, "A:bank": Account.Kind.BANK}
    wanted = [(code, kinds[prefix]) for code in sorted(codes) if (prefix := code.rpartition(":")[0]) in kinds]
    Account.objects.bulk_create([Account(code=code, kind=kind) for code, kind in wanted], ignore_conflicts=True)


def _lock_accounts(ids: Sequence[int]) -> None:
    statement = "SELECT 1 FROM attribution_account WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
    db.write(statement, [db.array(sorted(set(ids)))])


KNOWN = """
    SELECT clock_timestamp(), t.key, t.id, t.content_hash, t.posted_on
    FROM (SELECT) now LEFT JOIN attribution_txn t ON t.key = ANY(%b::text[])
"""


def _known(keys: set[str]) -> tuple[dt.datetime, dict[str, _Known]]:
    """The clock, and the transactions that are posted already; asked under the locks of the accounts."""
    rows = db.read(KNOWN, [list(keys)])
    return rows[0][0], {key: _Known(*found) for _at, key, *found in rows if key is not None}


def _store_ids(codes: set[str]) -> dict[str, int]:
    return (
        dict(db.read("SELECT code, id FROM scrm_store WHERE code = ANY(%s::text[])", [sorted(codes)])) if codes else {}
    )
