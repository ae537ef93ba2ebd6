"""Signed order events: verified on raw bytes, stored sealed, understood later; permuted and repeated they converge."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import threading
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution import intake
from attribution.channels import order_event
from attribution.models import ChannelEndpoint, ChannelEvent, Decision, Txn
from members.models import LineToDecide, OrderLine, ParkedVersion, Refund
from scrm import imports, jobs
from scrm.models import Act, Store
from tests.factories import shops

CHANNEL = "MINI_PROGRAM"
URL = f"/api/channels/{CHANNEL}/events"
MOBILE = "15400009999"
DAY = "2025-05-01T10:00:00+08:00"
_events = itertools.count(1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> None:
    intake._secrets.clear()


@pytest.fixture
def secret() -> str:
    return intake.new_secret(channel=CHANNEL, actor=None)


def event(**values: Any) -> dict[str, Any]:
    body = {
        "schema": "order-event/1", "event_id": f"e{next(_events)}", "version": DAY, "shop": "main", "order_no": "W1",
        "order": {"paid_at": DAY, "lines": [line()]},
    }  # fmt: skip
    return {name: value for name, value in {**body, **values}.items() if value is not None}


def line(**values: Any) -> dict[str, Any]:
    return {"line_no": 1, "sku": "K1", "quantity": "1", "list_fen": 10_000, **values}


def refund(**values: Any) -> dict[str, Any]:
    return {"refund_no": "R1", "line_no": 1, "refunded_at": "2025-05-02T10:00:00+08:00", "amount_fen": 4_000, **values}


def send(secret: str, body: Any, *, url: str = URL, at: int | None = None, headers: Any = None) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    timestamp = str(int(timezone.now().timestamp()) if at is None else at)
    signed = {"X-Timestamp": timestamp, "X-Signature": intake.signature(secret.encode(), timestamp, raw)}
    return Client(headers={**signed, **(headers or {})}).post(url, raw, content_type="application/json")


def take(*bodies: dict[str, Any], secret: str) -> intake.Processed:
    for body in bodies:
        assert send(secret, body).status_code == 200
    return intake.process(now=timezone.now())


# --- receiving --------------------------------------------------------------------------------------------------------


def test_a_signed_event_is_stored_sealed_and_answered(secret: str) -> None:
    """W1, W2, W8: one row per body, however often it comes within the window."""
    body = event(order={"paid_at": DAY, "buyer": {"mobile": MOBILE}, "lines": [line()]})
    answer = send(secret, body)
    assert (answer.status_code, answer.json()) == (200, {"result": "stored"})
    assert send(secret, body).json() == {"result": "known"}
    kept = ChannelEvent.objects.get()
    assert (kept.channel, kept.event_id, kept.status, kept.attempts) == (CHANNEL, body["event_id"], "RECEIVED", 0)
    assert MOBILE.encode() not in bytes(kept.body_sealed)
    assert send(secret, {**body, "version": "2025-05-01T10:00:01+08:00"}).json() == {
        "result": "stored"
    }  # other content
    assert ChannelEvent.objects.count() == 2


def test_a_body_is_verified_before_anything_else(secret: str) -> None:
    now = int(timezone.now().timestamp())
    body = event()
    refused = [
        send("another secret", body),
        send(secret, body, url="/api/channels/JD/events"),
        send(secret, body, url="/api/channels/NOBODY/events"),
        send(secret, body, at=now - 302),
        send(secret, body, at=now + 302),
        send(secret, b"not json", headers={"X-Signature": "0" * 64}),
        send(secret, body, headers={"X-Signature": ""}),
        send(secret, body, headers={"X-Timestamp": str(now - 1)}),  # not the one that was signed
        send(secret, body, headers={"X-Timestamp": "soon"}),
        Client().post(URL, json.dumps(body), content_type="application/json"),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert len({answer.content for answer in refused}) == 1  # nothing to learn from
    assert not ChannelEvent.objects.exists()
    for seconds in (-298, 298):
        assert send(secret, event(), at=now + seconds).status_code == 200


def test_an_endpoint_that_was_switched_off_takes_nothing(secret: str) -> None:
    ChannelEndpoint.objects.update(is_active=False)
    assert send(secret, event()).status_code == 403


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b'{"event_id": ""}', b'{"event_id": 7}', b'{"event_id": NaN}',
        b'{"event_id": "a\\u0000b"}', json.dumps({"event_id": "x" * 129}).encode(), b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_verified_body_that_is_no_event_is_refused_without_a_row(secret: str, raw: bytes) -> None:
    answer = send(secret, raw)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_readable")
    assert not ChannelEvent.objects.exists()


def test_more_than_a_mebibyte_is_refused(secret: str) -> None:
    fits = json.dumps({"event_id": "big"}).encode().ljust(intake.MAX_BODY_BYTES)
    assert send(secret, fits).status_code == 200
    assert send(secret, fits + b" ").status_code == 413
    assert ChannelEvent.objects.count() == 1


def test_only_post_is_answered(secret: str) -> None:
    assert Client().get(URL).status_code == 405


def test_storing_is_one_statement(secret: str, django_assert_num_queries: Any) -> None:
    send(secret, event())
    with django_assert_num_queries(1):
        send(secret, event())


def test_a_secret_is_printed_once_and_replaced_at_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    call_command("channel_secret", CHANNEL, stdout=first)
    assert send(first.getvalue().strip(), event()).status_code == 200
    call_command("channel_secret", CHANNEL, stdout=second)
    intake._secrets.clear()  # or some seconds later
    assert send(first.getvalue().strip(), event()).status_code == 403
    assert send(second.getvalue().strip(), event()).status_code == 200
    sealed = bytes(ChannelEndpoint.objects.get().secret_sealed)
    assert second.getvalue().strip().encode() not in sealed
    assert Act.objects.filter(verb="channel.new_secret").count() == 2
    with pytest.raises(CommandError):
        call_command("channel_secret", "NOWHERE")


# --- understanding ----------------------------------------------------------------------------------------------------


def test_an_event_becomes_decided_lines(secret: str) -> None:
    world = shops.shops()
    member = world.member("顾客", store="S1", guide="A")
    card = member.identities.get(kind="CARD").value
    done = take(
        event(
            order={
                "paid_at": DAY, "completed_at": "2025-05-03T10:00:00", "store": "S2", "cashier": "G00002",
                "buyer": {"card_no": card, "mobile": None}, "flags": {"wholesale": False},
                "lines": [line(name="苹果", category="FRUIT", unit_price="99.9"), line(line_no=2, flags={"test": True})],
            }
        ),
        secret=secret,
    )  # fmt: skip
    assert vars(done) == {"processed": 1, "parked": 0, "failed": 0}
    first, second = OrderLine.objects.order_by("line_no")
    assert (first.member, first.store, first.cashier_code, first.paid_fen) == (
        member,
        world.stores["S2"],
        "G00002",
        10_000,
    )
    assert first.completed_at == dt.datetime(2025, 5, 3, 2, tzinfo=dt.UTC)  # the clock of Shanghai
    assert dict(Decision.objects.values_list("line_id", "state")) == {first.pk: "LIVE", second.pk: "INELIGIBLE"}
    assert Decision.objects.get(line_id=first.pk).pot_fen == 500
    assert not LineToDecide.objects.exists()
    kept = ChannelEvent.objects.get()
    assert (kept.status, kept.attempts, kept.error_code) == ("PROCESSED", 1, "")


def test_order_discounts_are_spread_as_in_the_worked_example(secret: str) -> None:
    """Rules, example 2: lines 199.00, 59.90, 35.00 with a coupon of 50.00. L9."""
    lines = [line(line_no=n, list_fen=fen) for n, fen in enumerate((19_900, 5_990, 3_500), start=1)]
    lines[2]["paid_fen"] = 2_905
    order = {"paid_at": DAY, "lines": lines, "paid_fen": 24_390, "discounts": [{"sponsor": "HQ", "amount_fen": 5_000}]}
    assert take(event(order=order), secret=secret).processed == 1
    found = OrderLine.objects.order_by("line_no").values_list("paid_fen", "discounts")
    assert list(found) == [(16_514, {"HQ": 3_386}), (4_971, {"HQ": 1_019}), (2_905, {"HQ": 595})]


AMOUNTS = st.integers(0, 100_000)


@given(
    lists=st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=6),
    coupons=st.lists(st.tuples(st.sampled_from(["HQ", "STORE", "PLATFORM"]), AMOUNTS), max_size=3),
    points=AMOUNTS,
    freight=AMOUNTS,
)
def test_the_parts_of_an_order_add_up(lists: Any, coupons: Any, points: int, freight: int) -> None:
    """L9: line amounts sum to the order's net, discounts to the coupons, and no line falls below zero."""
    lines = [
        line(line_no=n, list_fen=max(pair), discounts=[{"sponsor": "STORE", "amount_fen": min(pair)}])
        for n, pair in enumerate(lists)
    ]
    order = {
        "paid_at": DAY, "lines": lines, "points_fen": points, "freight_fen": freight,
        "discounts": [{"sponsor": sponsor, "amount_fen": amount} for sponsor, amount in coupons],
    }  # fmt: skip
    due = sum(max(pair) - min(pair) for pair in lists)
    net = due - sum(amount for _sponsor, amount in coupons)
    if net < 0 or points > net:
        with pytest.raises(order_event.Unreadable) as raised:
            order_event.read(CHANNEL, event(order=order), stores={}, now=timezone.now())
        assert raised.value.code == ("discount_exceeds_order" if net < 0 else "points_exceed_paid")
        return
    said = order_event.read(CHANNEL, event(order=order), stores={}, now=timezone.now()).lines
    assert sum(each.paid_fen for each in said) == net
    assert sum(each.points_fen for each in said) == points
    assert sum(each.freight_fen for each in said) == freight
    given_away = dict.fromkeys(("HQ", "STORE", "PLATFORM"), 0) | {"STORE": sum(min(pair) for pair in lists)}
    for sponsor, amount in coupons:
        given_away[sponsor] += amount
    for sponsor, amount in given_away.items():
        assert sum(each.discounts.get(sponsor, 0) for each in said) == amount
    for each in said:
        assert each.list_fen - sum(each.discounts.values()) == each.paid_fen >= each.points_fen >= 0


def test_a_line_of_a_list_and_of_an_event_are_the_same_line(secret: str, tmp_path: Any) -> None:
    """One content, one digest: the list's row is a repeat of the event's line."""
    shops.shops()
    order = {
        "paid_at": DAY, "created_at": "2025-05-01T09:00:00+08:00", "completed_at": "2025-05-02T09:00:00+08:00", "store": "S1",
        "cashier": "G00001", "risk_mark": "watch", "flags": {"wholesale": True}, "freight_fen": 800,
        "buyer": {"mobile": MOBILE, "card_no": "C9", "account": "nick", "unionid": "u9"},
        "lines": [
            line(
                quantity="1.5", unit_price="66.6667", points_fen=100,
                discounts=[{"sponsor": "HQ", "amount_fen": 300}, {"sponsor": "STORE", "amount_fen": 50}],
            )
        ],
    }  # fmt: skip
    assert take(event(order=order, refunds=[refund(quantity="1")]), secret=secret).processed == 1
    orders = tmp_path / "orders.csv"
    orders.write_text(
        "channel,shop,order_no,line_no,paid_at,created_at,completed_at,updated_at,store_code,cashier_guide_code,risk_mark,wholesale,"
        "freight,buyer_mobile,buyer_card_no,buyer_account,buyer_unionid,sku,quantity,unit_price,points_amount,discount_hq,"
        "discount_store,discount_platform,list_amount,paid_amount\n"
        "MINI_PROGRAM,main,W1,1,2025-05-01 10:00:00,2025-05-01 09:00,2025-05-02 09:00:00,2025-05-01T02:00:00Z,S1,G00001,watch,是,"
        "8.00,+86 154-0000-9999,C9,nick,u9,K1,1.50,66.6667,1,3,0.5,0,100.00,96.50\n"
    )
    assert run("import_orders", orders)["repeated"] == 1
    refunds = tmp_path / "refunds.csv"
    refunds.write_text(
        "channel,order_no,line_no,refund_no,refunded_at,quantity,amount,updated_at\n"
        "MINI_PROGRAM,W1,1,R1,2025-05-02 10:00:00,1,40.00,2025-05-01 10:00:00\n"
    )
    assert run("import_refunds", refunds)["repeated"] == 1
    assert not ParkedVersion.objects.exists()


def run(kind: str, path: Any, **options: Any) -> dict[str, Any]:
    job = imports.start(kind=kind, path=str(path), options={"attribute": False, **options})
    return jobs.run(job.pk).summary


BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("unknown_schema", "/schema", {"schema": "order-event/2"}),
    ("bad_event", "/", {"order": None}),
    ("bad_event", "/", {"surprise": 1}),
    ("bad_event", "/version", {"version": "yesterday"}),
    ("bad_time", "/version", {"version": "2025-02-30T10:00:00"}),
    ("time_out_of_range", "/order/paid_at", {"order": {"paid_at": "2125-01-01T00:00:00", "lines": [line()]}}),
    ("bad_event", "/order/lines/0/list_fen", {"order": {"paid_at": DAY, "lines": [line(list_fen=1.5)]}}),
    ("bad_event", "/order/lines/1/quantity", {"order": {"paid_at": DAY, "lines": [line(), line(line_no=2, quantity="-1")]}}),
    ("repeated_line", "/order/lines", {"order": {"paid_at": DAY, "lines": [line(), line()]}}),
    ("amounts_disagree", "/order/lines/0/paid_fen", {"order": {"paid_at": DAY, "lines": [line(paid_fen=9_999)]}}),
    ("amounts_disagree", "/order/paid_fen", {"order": {"paid_at": DAY, "lines": [line()], "paid_fen": 1}}),
    (
        "discount_exceeds_line", "/order/lines/0/discounts",
        {"order": {"paid_at": DAY, "lines": [line(discounts=[{"sponsor": "HQ", "amount_fen": 10_001}])]}},
    ),
    (
        "discount_exceeds_order", "/order/discounts",
        {"order": {"paid_at": DAY, "lines": [line()], "discounts": [{"sponsor": "HQ", "amount_fen": 10_001}]}},
    ),
    ("points_exceed_paid", "/order/lines/0/points_fen", {"order": {"paid_at": DAY, "lines": [line(points_fen=10_001)]}}),
    ("unknown_store", "/order/store", {"order": {"paid_at": DAY, "store": "S9", "lines": [line()]}}),
    ("bad_mobile", "/order/buyer/mobile", {"order": {"paid_at": DAY, "buyer": {"mobile": "139****0000"}, "lines": [line()]}}),
    ("bad_character", "/order/lines/0/name", {"order": {"paid_at": DAY, "lines": [line(name="a\0")]}}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "place", "values"), BAD, ids=[f"{code} {place}" for code, place, _values in BAD])
def test_what_cannot_be_read_is_parked_with_code_and_place(
    secret: str, code: str, place: str, values: dict[str, Any]
) -> None:
    """W7: and the next event is processed."""
    done = take(event(**values), event(order_no="W2"), secret=secret)
    assert (done.parked, done.processed) == (1, 1)
    kept = ChannelEvent.objects.get(status="PARKED")
    assert (kept.error_code, kept.error_place) == (code, place)
    assert list(OrderLine.objects.values_list("order__order_no", flat=True)) == ["W2"]


def test_a_contradiction_is_parked_beside_what_stands(secret: str) -> None:
    done = take(
        event(order={"paid_at": DAY, "lines": [line(), line(line_no=2)]}),
        event(order={"paid_at": DAY, "lines": [line(line_no=3), line(line_no=2, list_fen=1)]}),
        event(order=None, refunds=[refund(), refund(refund_no="R2", amount_fen=6_001)]),
        secret=secret,
    )
    assert (done.processed, done.parked) == (1, 2)
    parked = ChannelEvent.objects.filter(status="PARKED").order_by("pk").values_list("error_code", "error_place")
    assert list(parked) == [("version_conflict", "/order/lines/1"), ("refund_exceeds_line", "/refunds/1")]
    assert list(OrderLine.objects.order_by("line_no").values_list("paid_fen", "refunded_fen")) == [
        (10_000, 4_000), (10_000, 0), (10_000, 0),
    ]  # fmt: skip


def test_a_parked_event_is_played_again_when_its_cause_is_gone(secret: str) -> None:
    world = shops.shops()
    take(event(order={"paid_at": DAY, "store": "S9", "lines": [line()]}), secret=secret)
    old = world.stores["S1"]
    Store.objects.create(code="S9", name="S9", entity=old.entity, region=old.region, ownership=old.ownership)
    parked = ChannelEvent.objects.get()
    assert intake.replay(event_ids=[parked.pk], actor=world.staff["hq"]) == 1
    assert intake.process(now=timezone.now()).processed == 1
    assert OrderLine.objects.get().store.code == "S9"  # type: ignore[union-attr]
    assert Act.objects.get(verb="event.replay").target_id == str(parked.pk)
    assert intake.replay(event_ids=[parked.pk], actor=None) == 0


def test_only_events_understood_long_ago_are_forgotten(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "FORGOTTEN_AT_ONCE", 1)
    for number in range(4):
        assert send(secret, event(event_id=f"E{number}")).status_code == 200
    now = timezone.now()
    old = now - dt.timedelta(days=intake.EVENT_DAYS, seconds=1)
    ChannelEvent.objects.exclude(event_id="E0").update(received_at=old)
    ChannelEvent.objects.exclude(event_id="E3").update(status="PROCESSED")
    assert intake.forget_events(now=now) == 2
    assert set(ChannelEvent.objects.values_list("event_id", flat=True)) == {"E0", "E3"}


def test_a_failure_that_may_pass_is_tried_again_by_the_sweep(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(secret, event()).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(intake.purchases, "record_refunds", lambda **_: 1 / 0)
        assert intake.process(now=timezone.now()).failed == 1
        assert not OrderLine.objects.exists()  # all or nothing
        assert vars(intake.process(now=timezone.now())) == {"processed": 0, "parked": 0, "failed": 0}  # not at once
    assert intake.sweep(now=timezone.now())["processed"] == 1
    assert ChannelEvent.objects.get().attempts == 2


def test_of_events_taken_together_only_the_one_that_fails_waits(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """W7: poison does not delay its neighbours."""
    record = intake.purchases.record_lines

    def poisoned(*, lines: Any) -> Any:
        if any(each.order_no == "W2" for each in lines):
            raise ZeroDivisionError
        return record(lines=lines)

    monkeypatch.setattr(intake.purchases, "record_lines", poisoned)
    done = take(*(event(order_no=f"W{number}") for number in range(4)), secret=secret)
    assert vars(done) == {"processed": 3, "parked": 0, "failed": 1}
    assert set(OrderLine.objects.values_list("order__order_no", flat=True)) == {"W0", "W1", "W3"}
    assert ChannelEvent.objects.get(status="RECEIVED").attempts == 1


def test_a_failure_that_stays_ends_parked(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(secret, event()).status_code == 200
    monkeypatch.setattr(intake.purchases, "record_lines", lambda **_: 1 / 0)
    for _ in range(intake.MAX_ATTEMPTS):
        intake.sweep(now=timezone.now())
    kept = ChannelEvent.objects.get()
    assert (kept.status, kept.error_code, kept.error_place) == ("PARKED", "internal_error", "ZeroDivisionError")


def test_an_event_that_kills_its_worker_ends_parked(secret: str) -> None:
    assert send(secret, event()).status_code == 200
    ChannelEvent.objects.update(attempts=intake.MAX_ATTEMPTS)
    intake.sweep(now=timezone.now())
    kept = ChannelEvent.objects.get()
    assert (kept.status, kept.error_code, kept.error_place) == ("PARKED", "internal_error", "worker")


def test_the_sweep_finishes_what_was_cut_short(secret: str) -> None:
    """A worker that died between recording and deciding: the lines wait in their queue."""
    take(event(), secret=secret)
    taken = OrderLine.objects.get()
    LineToDecide.objects.create(line_id=taken.pk, booked_on=taken.booked_on)
    assert send(secret, event(order_no="W2")).status_code == 200  # and nobody rang
    swept = intake.sweep(now=timezone.now())
    assert (swept["processed"], swept["decided"]["lines"]) == (1, 1)
    assert not LineToDecide.objects.exists()
    assert Decision.objects.count() == 2


# --- any order --------------------------------------------------------------------------------------------------------


@st.composite
def deliveries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Three versions of an order with two lines, and its refunds in events of their own; shuffled, some repeated."""
    said = []
    for hour in range(draw(st.integers(1, 3))):
        lines = [line(line_no=n, list_fen=draw(st.integers(9_000, 10_000))) for n in (1, 2)]
        said.append(event(version=f"2025-05-01T{10 + hour}:00:00+08:00", order={"paid_at": DAY, "lines": lines}))
    for number in range(draw(st.integers(0, 3))):
        one = refund(
            refund_no=f"R{number}", line_no=draw(st.sampled_from([1, 2])), amount_fen=draw(st.integers(1, 3_000))
        )
        said.append(event(order=None, refunds=[one]))
    said += draw(st.lists(st.sampled_from(said), max_size=3))
    return draw(st.permutations(said))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=deliveries(), drained=st.integers(1, 4))
def test_permuted_and_repeated_events_converge(secret: str, said: list[dict[str, Any]], drained: int) -> None:
    """W3, W4: the lines, refunds and posted commission are those of the newest versions, whatever came when."""
    with transaction.atomic():
        for number, body in enumerate(said):
            assert send(secret, body).status_code == 200
            if number % drained == 0:
                intake.process(now=timezone.now())
        intake.process(now=timezone.now())
        newest = max((body for body in said if "order" in body), key=lambda body: body["version"])
        refunds = {one["refund_no"]: one for body in said for one in body.get("refunds", ())}
        for row, expected in zip(OrderLine.objects.order_by("line_no"), newest["order"]["lines"], strict=True):
            given_back = sum(one["amount_fen"] for one in refunds.values() if one["line_no"] == row.line_no)
            assert (row.paid_fen, row.refunded_fen) == (expected["list_fen"], given_back)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT sum(amount_fen - reversed_fen) FROM attribution_hold WHERE line_id = %s", [row.pk]
                )
                assert cursor.fetchone()[0] == (2 * (row.paid_fen - given_back) * 500 // 10_000 + 1) // 2
        assert set(ChannelEvent.objects.values_list("status", flat=True)) == {"PROCESSED"}
        assert ChannelEvent.objects.count() == len({body["event_id"] for body in said})
        assert Refund.objects.filter(status="APPLIED").count() == len(refunds)
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_workers_share_the_events_and_each_is_taken_once() -> None:
    """W6: forty events, six workers at once."""
    secret = intake.new_secret(channel=CHANNEL, actor=None)
    for number in range(40):
        assert send(secret, event(order_no=f"W{number % 5}", order={"paid_at": DAY, "lines": [line(line_no=number)]}))
    done: list[intake.Processed] = []

    def work() -> None:
        try:
            done.append(intake.process(now=timezone.now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    intake.sweep(now=timezone.now())
    assert sum(each.processed for each in done) + sum(each.failed for each in done) == 40
    assert ChannelEvent.objects.filter(status="PROCESSED").count() == 40
    assert OrderLine.objects.count() == 40 == Decision.objects.count() == Txn.objects.filter(kind="ACCRUE").count()


def test_the_published_schema_is_valid_and_describes_the_examples() -> None:
    order_event.validator().check_schema(json.loads(order_event.SCHEMA.read_text("utf-8")))
    text = (order_event.SCHEMA.parent / "order-webhook.md").read_text("utf-8")
    examples = [part.split("```")[0] for part in text.split("```json\n")[1:]]
    assert examples
    for example in examples:
        body = json.loads(example)
        trades, refunds = order_event.awaited(body)
        told = {
            order_event.place_of_payment(no): order_event.Paid("SUCCESS", 19_900, timezone.now(), "") for no in trades
        }
        told |= {
            order_event.place_of_refund(no): order_event.Paid("SUCCESS", 4_971, timezone.now(), "") for no in refunds
        }
        said = order_event.read(CHANNEL, body, stores={"S0001": 1}, now=timezone.now(), paid=told)
        assert said.lines or said.refunds
