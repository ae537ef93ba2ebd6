"""WeChat Pay's notices over real HTTP: signed, sealed, told twice, early and late; orders and refunds that wait for them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from attribution import intake, payments
from attribution.models import ChannelEvent, Decision, PayMerchant, PayNotice
from members.models import OrderLine, Refund
from scrm.models import Act
from tests.attribution.test_intake import event, line, send
from tests.factories import defaults

pytestmark = pytest.mark.django_db
SECRET, MCHID, SERIAL, CERTIFICATE = (
    "k" * 32,
    "1900000001",
    "PUB_KEY_ID_0119000000012026",
    "5157F09EFDC096DE15EBE81A47057A72",
)
URL = f"/api/pay/wechat/{MCHID}"
PAID_AT = "2026-01-02T03:05:00+08:00"
KEY = rsa.generate_private_key(65537, 2048)


def pem() -> str:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KEY.public_key().public_bytes(*form).decode()


def certificate() -> str:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com")]), dt.datetime(2026, 1, 1)  # noqa: DTZ001
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key()).serial_number(7)
    made = made.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1_800))
    return made.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(autouse=True)
def merchant() -> PayMerchant:
    intake._secrets.clear()
    return payments.connect(
        actor=None, channel="MINI_PROGRAM", shop_no="main", mchid=MCHID, secret=SECRET,
        keys={SERIAL: pem(), CERTIFICATE: certificate()},
    )  # fmt: skip


@pytest.fixture
def secret() -> str:
    return intake.new_secret(channel="MINI_PROGRAM", actor=None)


def payment(pay_no: str = "PAY1", total: int = 10_000, **values: Any) -> dict[str, Any]:
    return {
        "mchid": MCHID, "appid": "wx1", "out_trade_no": pay_no, "transaction_id": f"42000{pay_no}", "trade_state": "SUCCESS",
        "success_time": PAID_AT, "payer": {"openid": "oBuyer"}, "amount": {"total": total, "payer_total": total, "currency": "CNY"},
        **values,
    }  # fmt: skip


def refunded(refund_no: str = "RF1", status: str = "SUCCESS", **values: Any) -> dict[str, Any]:
    return {
        "mchid": MCHID, "out_trade_no": "PAY1", "out_refund_no": refund_no, "refund_id": f"50000{refund_no}", "refund_status": status,
        "success_time": "2026-01-05T10:00:00+08:00", "amount": {"total": 10_000, "refund": 4_000, "payer_total": 10_000, "payer_refund": 4_000},
        **values,
    }  # fmt: skip


def sealed(said: dict[str, Any], kind: str = "TRANSACTION.SUCCESS", secret: str = SECRET) -> bytes:
    content = AESGCM(secret.encode()).encrypt(b"0123456789ab", json.dumps(said).encode(), b"transaction")
    resource = {
        "algorithm": "AEAD_AES_256_GCM", "ciphertext": base64.b64encode(content).decode(), "nonce": "0123456789ab",
        "associated_data": "transaction", "original_type": "transaction",
    }  # fmt: skip
    body = {
        "id": "EV-1",
        "create_time": PAID_AT,
        "event_type": kind,
        "resource_type": "encrypt-resource",
        "resource": resource,
    }
    return json.dumps(body).encode()


def headers(body: bytes, *, at: int | None = None, serial: str = SERIAL, signed: bytes | None = None) -> dict[str, str]:
    timestamp = str(int(timezone.now().timestamp()) if at is None else at)
    text = f"{timestamp}\nnonce1\n".encode() + (body if signed is None else signed) + b"\n"
    signature = base64.b64encode(KEY.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
    return {
        "Wechatpay-Timestamp": timestamp, "Wechatpay-Nonce": "nonce1", "Wechatpay-Signature": signature, "Wechatpay-Serial": serial,
    }  # fmt: skip


def tell(said: dict[str, Any], kind: str = "TRANSACTION.SUCCESS", **values: Any) -> int:
    body = sealed(said, kind)
    status: int = Client(headers=headers(body, **values)).post(URL, body, content_type="application/json").status_code
    return status


def unpaid(pay_no: str = "PAY1", **values: Any) -> dict[str, Any]:
    return event(order={"pay_no": pay_no, "lines": [line()], **values})


def process() -> None:
    intake.process(now=timezone.now())


# --- the notice ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serial", [SERIAL, CERTIFICATE], ids=["public key", "platform certificate"])
def test_a_notice_is_kept_before_it_is_answered_and_once(serial: str) -> None:
    assert [tell(payment(), serial=serial) for _time in range(3)] == [204, 204, 204]
    row = PayNotice.objects.get()
    assert (row.kind, row.fact_id, row.trade_no, row.total_fen, row.openid) == (
        "PAYMENT",
        "42000PAY1",
        "PAY1",
        10_000,
        "oBuyer",
    )
    assert row.happened_at == dt.datetime.fromisoformat(PAID_AT)


def test_what_is_not_verified_leaves_no_trace() -> None:
    """W8."""
    body, now = sealed(payment()), int(timezone.now().timestamp())
    good = headers(body)
    bad = [
        headers(body, at=now - 302), headers(body, at=now + 302), headers(body, serial="ANOTHER"), headers(body, signed=body + b" "),
        {**good, "Wechatpay-Nonce": "nonce2"}, {**good, "Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + good["Wechatpay-Signature"]},
        {**good, "Wechatpay-Signature": "not base64"}, {**good, "Wechatpay-Timestamp": "soon"}, {},
    ]  # fmt: skip
    answers = [Client(headers=h).post(URL, body, content_type="application/json") for h in bad]
    assert [a.status_code for a in answers] == [401] * len(bad)
    assert len({a.content for a in answers}) == 1 and answers[0].json()["code"] == "FAIL"
    other = Client(headers=good).post("/api/pay/wechat/1900000009", body, content_type="application/json")
    assert other.status_code == 401
    PayMerchant.objects.update(is_active=False)
    assert tell(payment()) == 401 and not PayNotice.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b"[]", b"null", sealed(payment(), "COUPON.USE"), sealed(payment(), secret="x" * 32), sealed(payment(mchid="1900000009")),
        sealed(payment(trade_state="NOTPAY")), sealed(payment(total=-1)), sealed({"mchid": MCHID}),
        sealed(payment(amount={"total": 1.5, "payer_total": 1})), sealed(payment(success_time="yesterday")),
        sealed(payment()).replace(b'"nonce": "0123456789ab"', b'"nonce": "0123456789ac"'),
    ],
)  # fmt: skip
def test_a_verified_body_that_cannot_be_opened_is_refused(body: bytes) -> None:
    assert Client(headers=headers(body)).post(URL, body, content_type="application/json").status_code == 400
    assert not PayNotice.objects.exists()


# --- orders that wait ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_early", [False, True], ids=["order first", "notice first"])
def test_an_order_counts_when_its_payment_is_told(secret: str, is_early: bool) -> None:
    """W3: in whichever order the two come, the line is the same."""
    steps = [lambda: send(secret, unpaid()).status_code, lambda: tell(payment())]
    for step in reversed(steps) if is_early else steps:
        assert step() in (200, 204)
        process()
        if step is steps[0] and not is_early:
            waiting = ChannelEvent.objects.get()
            assert (waiting.status, waiting.error_code) == ("PARKED", "unpaid") and not OrderLine.objects.exists()
    found = OrderLine.objects.get()
    assert (found.paid_at, found.paid_fen, found.buyer_account) == (
        dt.datetime.fromisoformat(PAID_AT),
        10_000,
        "oBuyer",
    )
    assert Decision.objects.filter(line_id=found.pk).count() == 1
    assert ChannelEvent.objects.get().status == "PROCESSED"
    assert tell(payment()) == 204  # told again, it moves nothing
    process()
    assert OrderLine.objects.count() == 1


def test_another_amount_waits_for_a_person(secret: str) -> None:
    send(secret, unpaid(freight_fen=600))
    tell(payment(total=10_000))
    process()
    assert (ChannelEvent.objects.get().error_code, OrderLine.objects.count()) == ("pay_amount_differs", 0)


def test_a_payment_of_another_order_wakes_nobody(secret: str) -> None:
    send(secret, unpaid("PAY2"))
    process()
    tell(payment("PAY1"))
    process()
    assert ChannelEvent.objects.get().error_code == "unpaid"


@pytest.mark.parametrize(
    ("status", "code", "fen"), [("SUCCESS", "", 4_000), ("CLOSED", "not_refunded", 0), ("ABNORMAL", "not_refunded", 0)]
)
def test_a_refund_counts_when_its_money_is_back(secret: str, status: str, code: str, fen: int) -> None:
    send(secret, unpaid())
    tell(payment())
    send(
        secret, event(order=None, refunds=[{"refund_no": "RF1", "line_no": 1, "amount_fen": 4_000, "by_notice": True}])
    )
    process()
    assert ChannelEvent.objects.order_by("-pk")[0].error_code == "unrefunded"
    assert tell(refunded(status=status), f"REFUND.{status}") == 204
    process()
    assert ChannelEvent.objects.order_by("-pk")[0].error_code == code
    assert OrderLine.objects.get().refunded_fen == fen
    assert list(Refund.objects.values_list("refunded_at", flat=True)) == (
        [dt.datetime.fromisoformat("2026-01-05T10:00:00+08:00")] if fen else []
    )


@pytest.mark.parametrize(("told", "code"), [(8_500, ""), (10_000, "pay_amount_differs")])
def test_points_are_no_money_that_wechat_pay_was_paid(secret: str, told: int, code: str) -> None:
    send(secret, unpaid(points_fen=1_500))
    tell(payment(total=told))
    process()
    assert ChannelEvent.objects.get().error_code == code
    assert list(OrderLine.objects.values_list("paid_fen", "points_fen")) == ([] if code else [(10_000, 1_500)])


def test_a_refund_of_more_than_went_back_waits_for_a_person(secret: str) -> None:
    send(secret, unpaid())
    tell(payment())
    send(
        secret, event(order=None, refunds=[{"refund_no": "RF1", "line_no": 1, "amount_fen": 4_001, "by_notice": True}])
    )
    tell(refunded(), "REFUND.SUCCESS")
    process()
    assert ChannelEvent.objects.order_by("-pk")[0].error_code == "pay_amount_differs"
    assert OrderLine.objects.get().refunded_fen == 0


@pytest.mark.parametrize("payer", [{"openid": "-oBuyer_-"}, {"openid": ""}, {}])
def test_an_openid_is_kept_as_it_is(payer: dict[str, str]) -> None:
    assert tell(payment(payer=payer)) == 204
    assert PayNotice.objects.get().openid == payer.get("openid", "")


# --- at the same moment -------------------------------------------------------------------------------------------------


def aside(work: Callable[[], Any], done: threading.Event) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()
            done.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def at_once(transactional_db: None) -> None:
    defaults.restore()


@pytest.mark.django_db(transaction=True)
def test_a_notice_that_comes_while_its_order_is_recorded_wakes_it(
    at_once: None, merchant: PayMerchant, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(secret, unpaid())
    threads: list[threading.Thread] = []
    told, known = threading.Event(), payments.known

    def asked(**values: Any) -> Any:
        found = known(**values)
        if not threads:  # nothing was told so far, and it is told now, before the event is parked
            threads.append(aside(lambda: tell(payment()), told))
            told.wait(1)
        return found

    monkeypatch.setattr(payments, "known", asked)
    process()
    threads[0].join()
    process()
    assert (ChannelEvent.objects.get().error_code, OrderLine.objects.count()) == ("", 1)


@pytest.mark.django_db(transaction=True)
def test_an_order_that_comes_while_its_notice_is_kept_waits_for_it(
    at_once: None, merchant: PayMerchant, secret: str
) -> None:
    send(secret, unpaid())
    done = threading.Event()
    with transaction.atomic():
        assert tell(payment()) == 204
        thread = aside(process, done)
        done.wait(1)
    thread.join()
    assert (ChannelEvent.objects.get().error_code, OrderLine.objects.count()) == ("", 1)


# --- the merchant -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"secret": "short"}, {"channel": "NOBODY"}, {"keys": {}}, {"keys": {"S": "no pem"}}],
    ids=["secret", "channel", "no key", "bad key"],
)
def test_a_merchant_that_cannot_work_is_refused(change: dict[str, Any]) -> None:
    said: dict[str, Any] = {
        "actor": None,
        "channel": "MINI_PROGRAM",
        "shop_no": "main",
        "mchid": "1900000002",
        "secret": SECRET,
        "keys": {"S": pem()},
    }
    acts = Act.objects.count()
    with pytest.raises(payments.BadMerchant):
        payments.connect(**{**said, **change})
    assert (PayMerchant.objects.count(), Act.objects.count()) == (1, acts)


def test_keys_are_sealed_and_replaced(merchant: PayMerchant) -> None:
    assert SECRET.encode() not in bytes(merchant.secret_sealed)
    payments.connect(
        actor=None, channel="MINI_PROGRAM", shop_no="main", mchid=MCHID, secret="n" * 32, keys={SERIAL: pem()}
    )
    assert tell(payment()) == 400  # sealed under the old key
    assert PayMerchant.objects.count() == 1
