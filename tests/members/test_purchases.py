"""Order lines and refunds: any order and repetition of deliveries ends in the same rows; contradictions are parked."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from members import purchases
from members.models import Identity, LineToDecide, Member, Order, OrderLine, ParkedVersion, Product, Refund
from members.purchases import LineVersion, RefundVersion, batch, lines
from scrm import crypto
from scrm.models import Brand
from tests.factories import shops

DAY = dt.datetime(2025, 5, 1, 9, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True, params=[batch.PASSED_UP_TO, 0], ids=["passed", "in tables"])
def _however_it_is_worked_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery ends in the same rows whether its rows go along with each statement or lie in temporary tables."""
    monkeypatch.setattr(batch, "PASSED_UP_TO", request.param)


def line(**values: Any) -> LineVersion:
    known: dict[str, Any] = {
        "channel": "POS", "shop": "S1", "order_no": "E1", "line_no": 1, "version_at": DAY, "created_at": DAY, "paid_at": DAY,
        "sku": "K1", "quantity": Decimal(1), "list_fen": 10_000, "paid_fen": 10_000,
    }  # fmt: skip
    return LineVersion(**{**known, **values})


def refund(**values: Any) -> RefundVersion:
    known: dict[str, Any] = {
        "channel": "POS", "shop": "S1", "refund_no": "R1", "order_no": "E1", "line_no": 1, "version_at": DAY + HOUR,
        "refunded_at": DAY + HOUR, "quantity": Decimal(1), "amount_fen": 3_000,
    }  # fmt: skip
    return RefundVersion(**{**known, **values})


def rows() -> list[tuple[Any, ...]]:
    """What stands, without what depends on arrival: ids, and the month in which a row lies."""
    said = OrderLine.objects.order_by("order__order_no", "line_no").values_list(
        "order__channel", "order__shop", "order__order_no", "line_no", "version_at", "content_hash", "paid_fen",
        "refunded_fen", "member_id", "product__sku",
    )  # fmt: skip
    refunds = Refund.objects.order_by("refund_no").values_list(
        "channel", "shop", "refund_no", "order_no", "line_no", "version_at", "content_hash", "amount_fen", "status"
    )
    return [*said, *refunds]


def member(name: str, **identities: str) -> Member:
    person = Member.objects.create(brand=Brand.objects.get(code="MAIN"), name=name)
    for kind, value in identities.items():
        sealed = crypto.seal_mobile("+8613900000000") if kind == "mobile" else None
        namespace = "POS/S1" if kind == "account" else "MAIN"
        Identity.objects.create(member=person, kind=kind.upper(), namespace=namespace, value=value, sealed=sealed)
    return person


# --- versions ---------------------------------------------------------------------------------------------------------


def test_a_new_line_is_kept_with_all_it_says_and_waits_to_be_decided(db: None) -> None:
    said = line(
        completed_at=DAY + HOUR, cashier_code="G1", buyer_card_no="C1", buyer_account="a", buyer_unionid="u",
        buyer_mobile_index="0" * 32, product_name="苹果", category="FRUIT", quantity=Decimal("1.250"),
        unit_price=Decimal("80.0000"), discounts={"HQ": 500, "STORE": 100}, list_fen=10_600, points_fen=7, freight_fen=800,
        is_wholesale=True, risk_mark="chargeback", line_ref="3100000000000000002", delivery_mode="PICKUP", exchange_of="E0",
        fulfil_store_id=shops.shops().stores["S2"].pk, group_state="FORMED", presale_state="BALANCE", live_no="70", group_no="g7",
        gift_card_fen=5, details={"guide_marks": [{"kind": "guide", "id": "880001", "name": "小王"}]},
    )  # fmt: skip
    result = purchases.record_lines(lines=[said])
    row = OrderLine.objects.select_related("order", "product__category").get()
    assert result.counts() == {
        "inserted": 1, "updated": 0, "repeated": 0, "older": 0, "confirmed": 0, "two_members": 0, "refunds_applied": 0,
        "parked": 0,
    }  # fmt: skip
    for name, _kind in (*lines.CONTENT, *lines.FACTS):
        assert getattr(row, name) == getattr(said, name), name
    assert (row.channel, row.refunded_fen, row.member_id) == ("POS", 0, None)
    assert (row.product.sku, row.product.name, row.product.category and row.product.category.code) == (
        "K1",
        "苹果",
        "FRUIT",
    )
    assert list(LineToDecide.objects.values_list("line_id", "booked_on")) == [(row.pk, row.booked_on)]
    assert result.line_ids == [row.pk]


def test_the_same_delivery_again_changes_nothing(db: None) -> None:
    purchases.record_lines(lines=[line(), line(line_no=2)])
    LineToDecide.objects.all().delete()
    before = rows()
    result = purchases.record_lines(lines=[line(), line(line_no=2), line()])
    assert (result.repeated, result.inserted, result.line_ids) == (3, 0, [])
    assert rows() == before
    assert not LineToDecide.objects.exists()


def test_a_newer_version_replaces_and_an_older_one_is_ignored(db: None) -> None:
    purchases.record_lines(lines=[line()])
    LineToDecide.objects.all().delete()
    newer = line(version_at=DAY + HOUR, paid_fen=9_000, paid_at=DAY + 40 * 24 * HOUR, sku="K2")
    result = purchases.record_lines(lines=[newer])
    row = OrderLine.objects.get()
    assert (result.updated, row.paid_fen, row.product.sku, row.version_at) == (1, 9_000, "K2", DAY + HOUR)
    assert row.booked_on == row.order.booked_on == dt.date(2025, 5, 1)  # although it was paid in June
    assert LineToDecide.objects.get().line_id == row.pk
    assert purchases.record_lines(lines=[line(paid_fen=1)]).older == 1
    assert OrderLine.objects.get().paid_fen == 9_000


def test_a_newer_version_that_says_the_same_only_moves_the_version(db: None) -> None:
    purchases.record_lines(lines=[line()])
    LineToDecide.objects.all().delete()
    result = purchases.record_lines(lines=[line(version_at=DAY + 2 * HOUR)])
    assert (result.confirmed, result.line_ids) == (1, [])
    assert not LineToDecide.objects.exists()
    assert purchases.record_lines(lines=[line(version_at=DAY + HOUR, paid_fen=1)]).older == 1  # between the two


def test_the_same_version_with_other_content_is_parked_once_and_changes_nothing(db: None) -> None:
    purchases.record_lines(lines=[line(buyer_mobile_index="a" * 32)])
    for _ in range(2):
        result = purchases.record_lines(lines=[line(line_no=2), line(paid_fen=1, buyer_mobile_index="a" * 32)])
        assert result.parked == [(1, "version_conflict")]
    assert OrderLine.objects.get(line_no=1).paid_fen == 10_000
    parked = ParkedVersion.objects.get()
    assert (parked.kind, parked.key, parked.code) == ("LINE", "POS/S1/E1/1", "version_conflict")
    assert parked.content["paid_fen"] == 1 and "buyer_mobile_index" not in parked.content


def test_of_one_delivery_with_several_versions_the_newest_stands(db: None) -> None:
    said = [
        line(paid_fen=1),
        line(version_at=DAY + HOUR, paid_fen=2),
        line(paid_fen=3),
        line(version_at=DAY + HOUR, paid_fen=4),
    ]
    result = purchases.record_lines(lines=said)
    assert (result.inserted, result.older, result.parked) == (1, 2, [(3, "version_conflict")])
    assert OrderLine.objects.get().paid_fen == 2


def test_a_version_that_pays_less_than_was_refunded_is_parked_and_the_next_best_counts(db: None) -> None:
    purchases.record_lines(lines=[line()])
    purchases.record_refunds(refunds=[refund()])
    result = purchases.record_lines(
        lines=[line(version_at=DAY + 2 * HOUR, paid_fen=2_999), line(version_at=DAY + HOUR, paid_fen=3_000)]
    )
    assert result.parked == [(0, "paid_below_refunds")]
    assert (result.updated, OrderLine.objects.get().paid_fen) == (1, 3_000)


def test_the_digest_can_be_computed_again_from_what_is_kept(db: None) -> None:
    purchases.record_lines(lines=[line(discounts={"STORE": 1, "HQ": 2}, unit_price=Decimal("1.5"), completed_at=DAY)])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'America/New_York'; SET LOCAL DateStyle = 'German'")
        cursor.execute(f"""
            SELECT l.content_hash, {lines.content_hash("l")} FROM
            (SELECT l.*, p.sku FROM members_orderline l JOIN members_product p ON p.id = l.product_id) l
        """)
        kept, again = cursor.fetchone()
    assert kept == again


def test_a_line_recorded_before_channels_said_more_keeps_its_digest(db: None) -> None:
    """Sent again by a list after the upgrade it is a repeat, not a contradiction."""
    purchases.record_lines(lines=[line(unit_price=Decimal("1.5"))])
    old = ", ".join(
        f"extract(epoch FROM l.{name})" if kind == "timestamptz" else f"l.{name}" for name, kind in lines.CONTENT
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT l.content_hash, md5(row('K1', {old})::text) FROM members_orderline l")
        kept, before = cursor.fetchone()
    assert kept == before
    said: list[dict[str, Any]] = [
        {"line_ref": "1"},
        {"details": {"status": "PAID"}},
        {"gift_card_fen": 1},
        {"group_state": "FORMED"},
    ]
    for more in said:
        assert purchases.record_lines(lines=[line(unit_price=Decimal("1.5"), **more)]).parked == [
            (0, "version_conflict")
        ]


# --- products and buyers ----------------------------------------------------------------------------------------------


def test_what_hq_says_about_a_product_stays(db: None) -> None:
    purchases.record_lines(lines=[line(product_name="first"), line(line_no=2, product_name="second", category="C1")])
    product = Product.objects.select_related("category").get()
    assert (product.name, product.category and product.category.code) == ("second", "C1")  # the row that knows more
    purchases.record_lines(lines=[line(line_no=3, product_name="third", category="C2")])
    product.refresh_from_db()
    assert (product.name, product.category and product.category.code) == ("second", "C1")


@pytest.mark.parametrize(
    ("said", "found", "two"),
    [
        ({"buyer_card_no": "C1"}, "card", 0),
        ({"buyer_mobile_index": "m" * 32}, "mobile", 0),
        ({"buyer_card_no": "C1", "buyer_mobile_index": "m" * 32}, "card", 1),
        ({"buyer_card_no": "nobody", "buyer_mobile_index": "m" * 32}, "mobile", 0),
        ({"buyer_unionid": "U1"}, "unionid", 0),
        ({"buyer_account": "A1"}, "account", 0),
        ({"buyer_account": "A1", "shop": "S2"}, None, 0),
        ({"buyer_card_no": "m" * 32}, None, 0),
        ({}, None, 0),
    ],
)
def test_the_buyer_is_found_by_card_then_number_then_the_rest(
    db: None, said: dict[str, str], found: str | None, two: int
) -> None:
    people = {
        "card": member("card", card="C1"), "mobile": member("mobile", mobile="m" * 32),
        "unionid": member("unionid", unionid="U1"), "account": member("account", account="A1"),
    }  # fmt: skip
    result = purchases.record_lines(lines=[line(**said)])
    row = OrderLine.objects.get()
    assert row.member == (people[found] if found else None)
    assert result.two_members == two


def test_the_buyer_follows_the_newest_version(db: None) -> None:
    person = member("card", card="C1")
    purchases.record_lines(lines=[line()])
    purchases.record_lines(lines=[line(version_at=DAY + HOUR, buyer_card_no="C1")])
    assert OrderLine.objects.get().member == person
    purchases.record_lines(lines=[line(version_at=DAY + 2 * HOUR)])
    assert OrderLine.objects.get().member is None


def test_who_becomes_known_later_gets_her_earlier_lines(db: None) -> None:
    since = timezone.now() - HOUR
    purchases.record_lines(
        lines=[
            line(line_no=1, buyer_mobile_index="m" * 32),
            line(line_no=2, buyer_card_no="C1", buyer_mobile_index="m" * 32),
            line(line_no=3, buyer_card_no="C9"),
            line(line_no=4),
        ]
    )
    LineToDecide.objects.all().delete()
    assert purchases.recognise_buyers(since=since) == 0
    by_mobile, by_card = member("mobile", mobile="m" * 32), member("card", card="C1")
    assert purchases.recognise_buyers(since=timezone.now() + HOUR) == 0  # nobody has become known since then
    assert purchases.recognise_buyers(since=since) == 2
    found = dict(OrderLine.objects.values_list("line_no", "member"))
    assert found == {1: by_mobile.pk, 2: by_card.pk, 3: None, 4: None}
    assert LineToDecide.objects.count() == 2
    assert purchases.recognise_buyers(since=since) == 0


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_refund_is_applied_once_and_queues_its_line(db: None) -> None:
    purchases.record_lines(lines=[line()])
    LineToDecide.objects.all().delete()
    result = purchases.record_refunds(refunds=[refund(), refund()])
    row = OrderLine.objects.get()
    assert (result.inserted, result.repeated, result.applied, result.waiting) == (1, 1, 1, 0)
    assert row.refunded_fen == 3_000
    assert result.line_ids == [row.pk] == [LineToDecide.objects.get().line_id]
    assert purchases.record_refunds(refunds=[refund()]).repeated == 1
    assert OrderLine.objects.get().refunded_fen == 3_000


def test_a_refund_before_its_order_waits_and_is_applied_on_arrival(db: None) -> None:
    result = purchases.record_refunds(refunds=[refund(), refund(refund_no="R2", line_no=2)])
    assert (result.waiting, result.applied) == (2, 0)
    assert purchases.record_lines(lines=[line()]).refunds_applied == 1
    assert purchases.record_lines(lines=[line(line_no=2)]).refunds_applied == 1
    assert [row.refunded_fen for row in OrderLine.objects.order_by("line_no")] == [3_000, 3_000]
    assert set(Refund.objects.values_list("status", flat=True)) == {"APPLIED"}


def test_a_refund_without_a_shop_belongs_to_the_only_order_of_that_number(db: None) -> None:
    purchases.record_refunds(refunds=[refund(shop="")])
    purchases.record_lines(lines=[line()])
    kept = Refund.objects.get()
    assert (kept.shop, kept.status) == ("S1", "APPLIED")
    assert purchases.record_refunds(refunds=[refund(shop="")]).repeated == 1
    purchases.record_lines(lines=[line(shop="S2")])
    result = purchases.record_refunds(refunds=[refund(shop="", refund_no="R2")])
    assert result.refused == [(0, "ambiguous_order")]
    assert Refund.objects.count() == 1


def test_refunds_never_exceed_the_line(db: None) -> None:
    purchases.record_lines(lines=[line()])
    result = purchases.record_refunds(
        refunds=[
            refund(amount_fen=6_000),
            refund(refund_no="R2", amount_fen=6_000),
            refund(refund_no="R3", amount_fen=4_000),
        ]
    )
    assert (result.applied, result.refused) == (2, [(1, "refund_exceeds_line")])
    assert OrderLine.objects.get().refunded_fen == 10_000
    assert set(Refund.objects.values_list("refund_no", flat=True)) == {"R1", "R3"}


def test_a_waiting_refund_that_does_not_fit_waits_on_and_does_not_stop_the_next(db: None) -> None:
    purchases.record_refunds(refunds=[refund(amount_fen=10_001), refund(refund_no="R2", amount_fen=100)])
    purchases.record_lines(lines=[line()])
    assert dict(Refund.objects.values_list("refund_no", "status")) == {"R1": "WAITING", "R2": "APPLIED"}
    purchases.record_lines(lines=[line(version_at=DAY + HOUR, paid_fen=20_000)])
    assert OrderLine.objects.get().refunded_fen == 10_101


def test_a_newer_version_of_a_refund_moves_the_line_by_the_difference(db: None) -> None:
    purchases.record_lines(lines=[line()])
    purchases.record_refunds(refunds=[refund()])
    Refund.objects.update(is_posted=True)
    LineToDecide.objects.all().delete()
    result = purchases.record_refunds(refunds=[refund(version_at=DAY + 2 * HOUR, amount_fen=2_500)])
    kept = Refund.objects.get()
    assert (result.updated, OrderLine.objects.get().refunded_fen, kept.is_posted) == (1, 2_500, False)
    assert LineToDecide.objects.count() == 1
    too_much = [refund(version_at=DAY + 3 * HOUR, amount_fen=10_001)]
    assert purchases.record_refunds(refunds=too_much).refused == [(0, "refund_exceeds_line")]
    moved = [refund(version_at=DAY + 3 * HOUR, line_no=2)]
    assert purchases.record_refunds(refunds=moved).refused == [(0, "refund_moved")]
    assert OrderLine.objects.get().refunded_fen == 2_500


def test_a_refund_that_contradicts_is_parked(db: None) -> None:
    purchases.record_lines(lines=[line()])
    purchases.record_refunds(refunds=[refund()])
    result = purchases.record_refunds(refunds=[refund(amount_fen=1)])
    assert result.refused == [(0, "version_conflict")]
    assert (OrderLine.objects.get().refunded_fen, ParkedVersion.objects.get().key) == (3_000, "POS/S1/R1")


def test_the_sweep_applies_a_refund_whose_line_came_at_the_same_moment(db: None) -> None:
    purchases.record_lines(lines=[line()])
    purchases.record_refunds(refunds=[refund()])
    Refund.objects.update(status="WAITING", line_id=None, booked_on=None)
    OrderLine.objects.update(refunded_fen=0)
    assert purchases.apply_waiting().applied == 1
    assert purchases.apply_waiting().applied == 0
    assert OrderLine.objects.get().refunded_fen == 3_000


# --- any order --------------------------------------------------------------------------------------------------------

PLACES = [("E1", 1), ("E1", 2), ("E2", 1)]


@st.composite
def deliveries(draw: st.DrawFn) -> list[LineVersion | RefundVersion]:
    """Versions of three lines and of refunds on them that do not contradict, some of them more than once, shuffled."""
    said: list[LineVersion | RefundVersion] = []
    for order_no, line_no in PLACES:
        said += [
            line(
                order_no=order_no,
                line_no=line_no,
                version_at=DAY + version * HOUR,
                sku=draw(st.sampled_from(["K1", "K2"])),
                paid_fen=draw(st.integers(9_000, 10_000)),
                buyer_card_no=draw(st.sampled_from(["", "C1", "C2"])),
            )
            for version in range(draw(st.integers(1, 3)))
        ]
    for number in range(draw(st.integers(0, 4))):
        order_no, line_no = draw(st.sampled_from(PLACES))
        for version in range(draw(st.integers(1, 2))):
            amount = draw(st.integers(0, 2_000))
            key = {"refund_no": f"R{number}", "order_no": order_no, "line_no": line_no}
            said.append(refund(**key, version_at=DAY + (1 + version) * HOUR, amount_fen=amount))
    said += draw(st.lists(st.sampled_from(said), max_size=6))
    return draw(st.permutations(said))


def deliver(said: list[LineVersion | RefundVersion], size: int) -> None:
    for start in range(0, len(said), size):
        part = said[start : start + size]
        purchases.record_lines(lines=[each for each in part if isinstance(each, LineVersion)])
        purchases.record_refunds(refunds=[each for each in part if isinstance(each, RefundVersion)])


def oracle(said: list[LineVersion | RefundVersion]) -> tuple[dict[Any, LineVersion], dict[Any, RefundVersion]]:
    newest_lines: dict[Any, LineVersion] = {}
    newest_refunds: dict[Any, RefundVersion] = {}
    for each in sorted(said, key=lambda each: each.version_at):
        if isinstance(each, LineVersion):
            newest_lines[each.order_no, each.line_no] = each
        else:
            newest_refunds[each.refund_no] = each
    return newest_lines, newest_refunds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), said=deliveries())
def test_any_order_and_repetition_ends_in_what_the_newest_versions_say(
    db: None, data: st.DataObject, said: Any
) -> None:
    """W3, W4: permuted, repeated and batched in any way, deliveries converge."""
    with transaction.atomic():
        people = {"": None, "C1": member("one", card="C1").pk, "C2": member("two", card="C2").pk}
        deliver(said, data.draw(st.integers(1, 5)))
        newest_lines, newest_refunds = oracle(said)
        for (order_no, line_no), expected in newest_lines.items():
            row = OrderLine.objects.get(order__order_no=order_no, line_no=line_no)
            refunded = sum(
                r.amount_fen for r in newest_refunds.values() if (r.order_no, r.line_no) == (order_no, line_no)
            )
            assert (row.paid_fen, row.product.sku, row.version_at) == (
                expected.paid_fen,
                expected.sku,
                expected.version_at,
            )
            assert (row.member_id, row.refunded_fen) == (people[expected.buyer_card_no], refunded)
        assert OrderLine.objects.count() == len(newest_lines) == LineToDecide.objects.count()
        kept = {r.refund_no: (r.amount_fen, r.version_at, r.status) for r in Refund.objects.all()}
        assert kept == {no: (r.amount_fen, r.version_at, "APPLIED") for no, r in newest_refunds.items()}
        assert not ParkedVersion.objects.exists()
        before = rows()
        deliver(said, 3)
        assert rows() == before
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_moment_end_in_one_row_per_key() -> None:
    """Sixteen threads deliver the same order, its newer version and its refunds at once."""
    Order.objects.all().delete()
    said: list[Callable[[], Any]] = [
        lambda: purchases.record_lines(lines=[line(), line(line_no=2)]),
        lambda: purchases.record_lines(lines=[line(line_no=2), line(version_at=DAY + HOUR, paid_fen=9_000)]),
        lambda: purchases.record_refunds(refunds=[refund()]),
        lambda: purchases.record_refunds(refunds=[refund(), refund(refund_no="R2", line_no=2)]),
    ]
    errors: list[BaseException] = []
    start = threading.Barrier(16)

    def work(number: int) -> None:
        try:
            start.wait()
            said[number % 4]()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    purchases.apply_waiting()
    assert not errors
    found = OrderLine.objects.order_by("line_no").values_list("line_no", "paid_fen", "refunded_fen")
    assert list(found) == [(1, 9_000, 3_000), (2, 10_000, 3_000)]
    assert Order.objects.count() == 1 and Refund.objects.filter(status="APPLIED").count() == 2
    assert LineToDecide.objects.count() == 2


def test_a_line_is_known_by_channel_shop_order_and_number(db: None) -> None:
    said = [line(), line(line_no=2), line(order_no="E2"), line(shop="S2"), line(channel="TMALL")]
    assert purchases.record_lines(lines=said).inserted == 5
    assert Order.objects.count() == 4
    assert purchases.record_lines(lines=[replace(each, paid_fen=1) for each in said]).parked == [
        (number, "version_conflict") for number in range(5)
    ]
