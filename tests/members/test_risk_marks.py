"""Risk marks by hand: held, re-decided, kept against the channel's later versions, with a reason and an act."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from attribution import decisions
from members import purchases
from members.models import LineToDecide, OrderLine, RiskMark
from scrm.models import Act
from tests.factories import shops as factory
from tests.factories.console import console

NOW = timezone.now()
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    company.member("安琪", store="S1", guide="A")
    company.line("a", member="安琪", store="S1", paid_fen=10_000, at=NOW - HOUR)
    return company


def mark(shops: factory.Shops, word: str, reason: str = "同一手机号下单 30 次") -> int:
    line = shops.lines["a"]
    return purchases.mark_lines(line_ids=[line.pk], mark=word, reason=reason, actor=shops.staff["hq"])


def state(shops: factory.Shops) -> str:
    decisions.decide_open()
    return factory.live_decision(shops.lines["a"]).state


def newer(shops: factory.Shops, **values: Any) -> purchases.LinesRecorded:
    line = shops.lines["a"]
    version = purchases.LineVersion(
        channel=line.channel, shop=line.order.shop, order_no=line.order.order_no, line_no=1, version_at=NOW,
        created_at=line.created_at, paid_at=line.paid_at, sku=line.product.sku, quantity=Decimal(1), list_fen=12_000,
        paid_fen=12_000, store_id=line.store_id, **values,
    )  # fmt: skip
    return purchases.record_lines(lines=[version])


def stands(shops: factory.Shops) -> str:
    return OrderLine.objects.get(pk=shops.lines["a"].pk).risk_mark


def test_a_mark_holds_the_commission_and_clearing_lets_it_go(shops: factory.Shops) -> None:
    assert state(shops) == "LIVE"
    assert (mark(shops, "HQ_REVIEW"), mark(shops, "HQ_REVIEW")) == (1, 0)
    assert LineToDecide.objects.filter(line_id=shops.lines["a"].pk).exists()
    assert state(shops) == "HELD"
    assert mark(shops, "", "顾客本人确认") == 1
    assert state(shops) == "LIVE"
    assert list(RiskMark.objects.order_by("pk").values_list("mark", "reason")) == [
        ("HQ_REVIEW", "同一手机号下单 30 次"), ("", "顾客本人确认"),
    ]  # fmt: skip
    acts = Act.objects.filter(verb__startswith="line.").order_by("pk")
    assert [(act.verb, act.actor, act.reason) for act in acts] == [
        ("line.mark", shops.staff["hq"], "同一手机号下单 30 次"), ("line.clear", shops.staff["hq"], "顾客本人确认"),
    ]  # fmt: skip


def test_a_mark_outlives_a_newer_version(shops: factory.Shops) -> None:
    mark(shops, "HQ_REVIEW")
    assert newer(shops).updated == 1
    assert stands(shops) == "HQ_REVIEW"


def test_what_was_cleared_stays_clear(shops: factory.Shops) -> None:
    newer(shops, risk_mark="PLATFORM")
    assert stands(shops) == "PLATFORM"
    mark(shops, "")
    line = shops.lines["a"]
    version = purchases.LineVersion(
        channel=line.channel, shop=line.order.shop, order_no=line.order.order_no, line_no=1, version_at=NOW + HOUR,
        created_at=line.created_at, paid_at=line.paid_at, sku=line.product.sku, quantity=Decimal(1), list_fen=13_000,
        paid_fen=13_000, store_id=line.store_id, risk_mark="PLATFORM",
    )  # fmt: skip
    assert purchases.record_lines(lines=[version]).updated == 1
    assert stands(shops) == ""


def test_no_reason_no_mark(shops: factory.Shops) -> None:
    with pytest.raises(purchases.CannotMark):
        mark(shops, "HQ_REVIEW", " ")
    assert stands(shops) == "" and not RiskMark.objects.exists() and not Act.objects.filter(verb="line.mark").exists()


def test_words_on_risk_never_change(shops: factory.Shops) -> None:
    mark(shops, "HQ_REVIEW")
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        RiskMark.objects.all().delete()


def test_the_console_marks_a_line(db: None) -> None:
    company = console()
    line = company.shops.lines["S1"]
    address = f"/admin/members/orderline/{line.pk}/act/mark/"
    assert company.client("manager").get(address).status_code == 403
    company.client("hq").post(address, {"mark": "HQ_REVIEW", "reason": "可疑"})
    assert OrderLine.objects.get(pk=line.pk).risk_mark == "HQ_REVIEW"
    decisions.decide_open()
    assert factory.live_decision(line).state == "HELD"
