"""Stock of community sales (社群库存): claimed, paid, given back; the same for 秒杀, 拼团 and 接龙.

1. A stock item has stock per store, or one of the company (store: none). sold + reserved + left = stock, and none is below zero;
   the database counts it with each reservation, whoever writes it (``models.stock_triggers``).
2. A claim (抢购) is one reservation under the key of its fact and one conditional update, in one statement: there is no moment
   between them in which a worker may die. The same key and content answers with the first reservation, with other content it is an
   error. The window is judged by the database's clock when the claim arrives.
3. Hot items have several buckets. A claim takes from a random one that has enough, or tries the others; "sold out" (已抢完) is said only
   when the stock of all of them together, read at one moment, is not enough. What is scattered over buckets is put together first.
4. Whoever waits too long for the row is told "busy, try again" (请重试), never "sold out"; nothing was written then.
5. What an item allows one person is counted by the database too, and what she gives back counts for her again.
6. A reservation ends once (K7): paid, cancelled, or expired by the sweep; one that names its order waits some minutes longer for
   the order to be heard of. Who pays after that gets what is still left, or is short,
   and her money goes back. What a refund gives back returns once.
7. How stock is put in, taken out, stopped and proven: ``stock_levels``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.utils.translation import gettext as _

from campaigns.models import Reservation, StockBucket, StockItem
from scrm import db
from scrm.errors import RuleViolation

AT_ONCE = 500
PAYMENT_GRACE = dt.timedelta(minutes=5)  # what was paid in time may be heard of so much later
MOST_STOCK = 10_000_000
RETRY_SECONDS = 2
BUSY_STATES = frozenset(
    {"55P03", "40P01", "40001", "57014"}
)  # lock not had in time, deadlock, serialisation, cancelled
MEMBER_CAP, LEFT, ORDER_ONCE = "stock_member_cap", "stock_left", "reservation_order_once"
Status = Reservation.Status


class StockRefused(RuleViolation):
    """``extra.field`` names what to change; ``extra.left`` what could be had, where that helps."""

    code = "stock_refused"

    def __init__(self, message: str, *, code: str, field: str = "quantity", **extra: Any) -> None:
        super().__init__(message, code=code, extra={"field": field, **extra})


class StockShort(StockRefused):
    """There is not as much left as was asked for."""


class StockBusy(RuleViolation):
    """Too many at once; nothing was written. The same request with the same key is safe to repeat."""

    code = "stock_busy"

    def __init__(self) -> None:
        super().__init__(
            _("Many people are buying this moment, and nothing was taken from you; please try again."),
            extra={"retry_after_seconds": RETRY_SECONDS},
        )


class KeyDiffers(RuleViolation):
    """The key came before with other content."""

    code = "stock_request_differs"


@dataclass(frozen=True, slots=True)
class Claimed:
    reservation: Reservation
    is_new: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """``buyer`` is whom the item's cap counts by: ``buyer_of(member)``, or any name of somebody who is no member."""

    item_id: int
    store_id: int | None
    buyer: str
    quantity: int = 1
    member_id: int | None = None
    unit_fen: int | None = None
    guide_id: int | None = None
    share_id: int | None = None

    @property
    def digest(self) -> str:
        said = (self.item_id, self.store_id, self.buyer, self.quantity, self.unit_fen)
        return hashlib.sha256(repr(said).encode()).hexdigest()


def buyer_of(member_id: int) -> str:
    return f"member {member_id}"


# --- claims -----------------------------------------------------------------------------------------------------------

_LOOK = """
    SELECT r.id, r.content_hash, i.id, i.stopped_at IS NULL, coalesce(i.opens_at > clock_timestamp(), false),
        coalesce(i.closes_at <= clock_timestamp(), false), i.opens_at, i.member_cap, s.buckets, s.lefts, s.reserved
    FROM (VALUES (1)) one
    LEFT JOIN campaigns_reservation r ON r.key = %(key)s
    LEFT JOIN campaigns_stockitem i ON i.id = %(item)s
    LEFT JOIN LATERAL (
        SELECT array_agg(b.id) AS buckets, array_agg(b.left_count) AS lefts, sum(b.reserved_count) AS reserved
        FROM campaigns_stockbucket b WHERE b.item_id = i.id AND {of_store}
    ) s ON true
"""
# From any bucket that seems to have enough, or from one; no row: none has, the key came before, or the item is closed.
_CLAIM = """
    INSERT INTO campaigns_reservation (key, content_hash, item_id, bucket_id, store_id, buyer, member_id, quantity, returned_count,
        unit_fen, status, guide_id, share_id, channel, shop, order_no, held_at, until)
    SELECT %(key)s::text, %(digest)s::text, i.id, b.id, %(store)s::bigint, %(buyer)s::text, %(member)s::bigint,
        %(quantity)s::int, 0, %(unit)s::bigint, 'HELD', %(guide)s::bigint, %(share)s::bigint, '', '', '', c.now,
        c.now + make_interval(mins => i.hold_minutes)
    FROM (SELECT clock_timestamp() AS now OFFSET 0) c
    JOIN campaigns_stockitem i ON i.id = %(item)s AND i.stopped_at IS NULL AND (i.opens_at IS NULL OR i.opens_at <= c.now)
        AND (i.closes_at IS NULL OR c.now < i.closes_at)
    CROSS JOIN LATERAL (
        SELECT b.id FROM campaigns_stockbucket b
        WHERE b.item_id = i.id AND {of_store} AND b.left_count >= %(quantity)s::int
            AND (%(bucket)s::bigint IS NULL OR b.id = %(bucket)s::bigint)
        ORDER BY random() LIMIT 1
    ) b
    ON CONFLICT (key) DO NOTHING
    RETURNING id, bucket_id, held_at, until
"""
# by the index, for a store and for the company's own stock
OF_STORE = {False: "b.store_id = %(store)s::bigint", True: "b.store_id IS NULL"}
LOOKS, CLAIMS = ({is_own: text.format(of_store=OF_STORE[is_own]) for is_own in OF_STORE} for text in (_LOOK, _CLAIM))
TURNS = 3  # looks at the whole stock before a claim says that too many take from it at once


@dataclass(frozen=True, slots=True)
class _Seen:
    reservation_id: int | None
    content_hash: str
    is_item: bool
    is_on: bool
    is_early: bool
    is_late: bool
    opens_at: dt.datetime | None
    member_cap: int | None
    lefts: dict[int, int]
    reserved: int

    @property
    def left(self) -> int:
        return sum(self.lefts.values())


def claim(*, wanted: Wanted, key: str) -> Claimed:
    """Reserve ``wanted.quantity``. Raises StockRefused, StockShort (sold out or not enough), StockBusy, KeyDiffers.

    Outside of a transaction the server is waited for once; the hot row is held no longer than the one statement and its
    commit. Only who gets nothing so looks why.
    """
    if not 1 <= wanted.quantity <= MOST_STOCK:
        raise StockRefused(_("Say how many, at least one."), code="stock_quantity")
    made = _take(wanted, key)
    if made is not None:
        return made
    for _turn in range(TURNS):
        seen = _look(wanted, key)
        if seen.reservation_id is not None:
            return Claimed(_first(seen.reservation_id, seen.content_hash, wanted.digest), False)
        require_on_sale(seen, wanted)
        enough = [bucket for bucket, left in seen.lefts.items() if left >= wanted.quantity]
        if not enough:
            _gather(next(iter(seen.lefts)), wanted.quantity)
            continue
        for bucket in random.sample(enough, len(enough)):
            made = _take(wanted, key, bucket)
            if made is not None:
                return made
    raise StockBusy


def require_on_sale(seen: _Seen, wanted: Wanted) -> None:
    """Why nothing is taken, from what one statement saw at one moment."""
    if not seen.is_item or not seen.lefts:
        raise StockRefused(_("This is not sold here; choose another store."), code="stock_unknown", field="store")
    if not seen.is_on:
        raise StockRefused(_("The sale has been stopped; nothing more is sold."), code="stock_stopped", field="item")
    if seen.is_early:
        raise StockRefused(
            _("The sale has not begun yet."), code="stock_not_yet", field="item", opens_at=_iso(seen.opens_at)
        )
    if seen.is_late:
        raise StockRefused(_("The sale is over."), code="stock_closed", field="item")
    if seen.member_cap is not None and wanted.quantity > seen.member_cap:
        raise _cap_reached(seen.member_cap)
    if seen.left < wanted.quantity:
        raise _short(seen.left, seen.reserved)


def _look(wanted: Wanted, key: str) -> _Seen:
    values = {"key": key, "item": wanted.item_id, "store": wanted.store_id}
    with never_sold_out():
        ((reservation, digest, item, is_on, early, late, opens_at, cap, buckets, lefts, reserved),) = db.fetch(
            LOOKS[wanted.store_id is None], values
        )
    counts = dict(zip(buckets or (), lefts or (), strict=True))
    return _Seen(
        reservation, digest or "", item is not None, bool(is_on), early, late, opens_at, cap, counts, reserved or 0
    )


def _take(wanted: Wanted, key: str, bucket: int | None = None) -> Claimed | None:
    """None: others were quicker, the key came before, or nothing is to be had; look why."""
    values: dict[str, Any] = {
        "key": key, "digest": wanted.digest, "item": wanted.item_id, "bucket": bucket, "store": wanted.store_id,
        "buyer": wanted.buyer, "member": wanted.member_id, "quantity": wanted.quantity, "unit": wanted.unit_fen,
        "guide": wanted.guide_id, "share": wanted.share_id,
    }  # fmt: skip
    try:
        with never_sold_out(), _turn():
            rows = db.fetch(CLAIMS[wanted.store_id is None], values)
    except IntegrityError as error:
        name = constraint_of(error)
        if name == MEMBER_CAP:
            cap = StockItem.objects.values_list("member_cap", flat=True).get(pk=wanted.item_id)
            raise _cap_reached(cap or 0) from None
        if name != LEFT:
            raise
        return None
    if not rows:
        return None
    pk, bucket_id, held_at, until = rows[0]
    made = Reservation(
        pk=pk, key=key, content_hash=values["digest"], item_id=wanted.item_id, bucket_id=bucket_id, store_id=wanted.store_id,
        buyer=wanted.buyer, member_id=wanted.member_id, quantity=wanted.quantity, unit_fen=wanted.unit_fen, status=Status.HELD,
        guide_id=wanted.guide_id, share_id=wanted.share_id, channel="", shop="", order_no="", held_at=held_at, until=until,
    )  # fmt: skip
    made._state.adding, made._state.db = False, "default"
    return Claimed(made, True)


@contextmanager
def _turn() -> Iterator[None]:
    """One statement is a transaction by itself; a caller's transaction survives a refusal."""
    if not connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        yield


@contextmanager
def never_sold_out() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) in BUSY_STATES:
            raise StockBusy from error
        raise


def _first(pk: int, stored: str, digest: str) -> Reservation:
    if stored != digest:
        raise KeyDiffers(_("This request number was used for something else; send a new one."))
    return Reservation.objects.get(pk=pk)


@transaction.atomic
def _gather(bucket_id: int, quantity: int) -> None:
    """What is left in the other buckets of the same stock goes into this one, as far as it is needed."""
    with never_sold_out():
        target = StockBucket.objects.get(pk=bucket_id)
        rows = db.lock(StockBucket.objects.filter(item=target.item_id, store=target.store_id))
    needed = quantity - next(row.left_count for row in rows if row.pk == bucket_id)
    moved = 0
    for row in rows:
        part = min(needed - moved, row.left_count)
        if row.pk == bucket_id or part <= 0:
            continue
        shift(row, -part)
        moved += part
    if moved:
        shift(next(row for row in rows if row.pk == bucket_id), moved)


def shift(bucket: StockBucket, count: int) -> None:
    """The locked bucket gets ``count`` more that nobody has taken, or fewer."""
    bucket.total_count += count
    bucket.left_count += count
    bucket.save(update_fields=["total_count", "left_count"])


# --- what becomes of a reservation ------------------------------------------------------------------------------------


@transaction.atomic
def confirm(
    *, reservation_id: int, paid_at: dt.datetime, channel: str = "", shop: str = "", order_no: str = ""
) -> Reservation:
    """It is paid. Paid before: the same again. After its end: with what is still left. Raises StockShort, StockBusy."""
    row = _locked(reservation_id)
    if row.status in (Status.SOLD, Status.RETURNED):
        return row
    if row.status != Status.HELD:
        _gather(row.bucket_id, row.quantity)
    row.status, row.paid_at, row.ended_at = Status.SOLD, paid_at, None
    if order_no and not row.order_no:
        row.channel, row.shop, row.order_no = channel, shop, order_no
    try:
        with never_sold_out(), transaction.atomic():
            row.save(update_fields=["status", "paid_at", "ended_at", "channel", "shop", "order_no"])
    except IntegrityError as error:
        if constraint_of(error) == LEFT:
            raise StockShort(
                _("It was paid after its time, and nothing is left; the money goes back."), code="stock_paid_too_late"
            ) from None
        if constraint_of(error) == MEMBER_CAP:
            raise StockShort(
                _("It was paid after its time, and she has as many as she may; the money goes back."),
                code="stock_paid_too_late",
            ) from None
        raise
    return row


@transaction.atomic
def release(*, reservation_id: int, now: dt.datetime) -> bool:
    """Cancelled before it was paid; False when it had ended before. Raises StockRefused when it is paid."""
    row = _locked(reservation_id)
    if row.status in (Status.SOLD, Status.RETURNED):
        raise StockRefused(_("It is paid; refund the order instead."), code="stock_paid", field="order_no")
    return _end(row, Status.RELEASED, now)


@transaction.atomic
def give_back(*, reservation_id: int, quantity: int, now: dt.datetime) -> int:
    """Of what was paid, ``quantity`` altogether is back in stock; how many of them are new. Again: none."""
    row = _locked(reservation_id)
    more = min(quantity, row.quantity) - row.returned_count
    if row.status != Status.SOLD or more <= 0:
        return 0
    row.returned_count += more
    if row.returned_count == row.quantity:
        row.status, row.ended_at = Status.RETURNED, now
    with never_sold_out():
        row.save(update_fields=["status", "returned_count", "ended_at"])
    return more


@transaction.atomic
def resize(*, reservation_id: int, quantity: int) -> Reservation:
    """A held reservation becomes larger or smaller. Raises StockRefused, StockShort, StockBusy."""
    row = _locked(reservation_id)
    if row.quantity == quantity:
        return row
    if row.status != Status.HELD or quantity < 1:
        raise StockRefused(_("Only what is reserved and not paid can be changed."), code="stock_not_held")
    if quantity > row.quantity:
        _gather(row.bucket_id, quantity - row.quantity)
    row.quantity = quantity
    try:
        with never_sold_out(), transaction.atomic():
            row.save(update_fields=["quantity"])
    except IntegrityError as error:
        if constraint_of(error) == LEFT:
            left, reserved = left_of(item_id=row.item_id, store_id=row.store_id)
            raise _short(left, reserved) from None
        if constraint_of(error) == MEMBER_CAP:
            raise _cap_reached(row.item.member_cap or 0) from None
        raise
    return row


@transaction.atomic
def name_order(*, reservation_id: int, channel: str, shop: str, order_no: str) -> Reservation:
    """The reservation is paid by this order. Said again: the same. Raises StockRefused for another order."""
    row = _locked(reservation_id)
    said = (channel, shop, order_no)
    if row.order_no:
        if (row.channel, row.shop, row.order_no) != said:
            raise StockRefused(_("Another order pays for this already."), code="stock_other_order", field="order_no")
        return row
    row.channel, row.shop, row.order_no = said
    try:
        with transaction.atomic():
            row.save(update_fields=["channel", "shop", "order_no"])
    except IntegrityError as error:
        if constraint_of(error) == ORDER_ONCE:
            raise StockRefused(
                _("This order pays for another reservation already."), code="stock_order_taken", field="order_no"
            ) from None
        raise
    return row


_DUE = """
    SELECT DISTINCT item_id FROM campaigns_reservation WHERE status = 'HELD' AND until <= clock_timestamp()
        AND (order_no = '' OR until <= clock_timestamp() - %s::interval) ORDER BY item_id
"""
# of one item at a time: buyers and buckets of several items would be locked crosswise to a claim of several items
_EXPIRE = """
    WITH due AS (
        SELECT id FROM campaigns_reservation
        WHERE status = 'HELD' AND until <= clock_timestamp() AND item_id = %(item)s
            AND (order_no = '' OR until <= clock_timestamp() - %(grace)s::interval)
        ORDER BY until, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE campaigns_reservation r SET status = 'EXPIRED', ended_at = clock_timestamp() FROM due WHERE due.id = r.id
"""


def expire() -> int:
    """Reservations whose time is up are over; how many. Each piece is a transaction of its own (K7)."""
    done = 0
    for (item,) in db.read(_DUE, [PAYMENT_GRACE]):
        while count := db.write(_EXPIRE, {"item": item, "limit": AT_ONCE, "grace": PAYMENT_GRACE}):
            done += count
    return done


def _locked(reservation_id: int) -> Reservation:
    with never_sold_out():
        rows = db.lock(Reservation.objects.filter(pk=reservation_id))
    if not rows:
        raise StockRefused(_("There is no such reservation."), code="stock_no_reservation", field="reservation")
    found: Reservation = rows[0]
    return found


def _end(row: Reservation, status: str, now: dt.datetime) -> bool:
    if row.status != Status.HELD:
        return False
    row.status, row.ended_at = status, now
    with never_sold_out():
        row.save(update_fields=["status", "ended_at"])
    return True


def left_of(*, item_id: int, store_id: int | None) -> tuple[int, int]:
    """(left, reserved) of an item in a store at one moment."""
    ((left, reserved),) = db.fetch(
        "SELECT coalesce(sum(left_count), 0)::bigint, coalesce(sum(reserved_count), 0)::bigint"
        f" FROM campaigns_stockbucket b WHERE b.item_id = %(item)s AND {OF_STORE[store_id is None]}",
        {"item": item_id, "store": store_id},
    )
    return left, reserved


def constraint_of(error: DatabaseError) -> str:
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""


def _short(left: int, reserved: int) -> StockShort:
    if left:
        return StockShort(_("Only %(left)s are left.") % {"left": left}, code="stock_not_enough", left=left)
    if reserved:
        return StockShort(
            _("All are taken; %(count)s of them are not paid yet and may come back in some minutes.")
            % {"count": reserved},
            code="stock_all_reserved", left=0, reserved=reserved,
        )  # fmt: skip
    return StockShort(_("Sold out."), code="stock_sold_out", left=0)


def _cap_reached(cap: int) -> StockRefused:
    return StockRefused(
        _("One person gets at most %(cap)s of this.") % {"cap": cap}, code="stock_member_cap", field="member", cap=cap
    )


def _iso(at: dt.datetime | None) -> str:
    return at.isoformat() if at else ""
