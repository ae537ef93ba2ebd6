"""A14: one sentence that a guide understands, for whoever reads it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from attribution import rules
from attribution.rules import BindingFact, Evidence, GuideFact, Mode, OrderFacts, Rule
from guides.touches import Touch, TouchKind

PAID = dt.datetime(2025, 6, 10, 12, tzinfo=dt.UTC)
A, B, C = (GuideFact(f"G{n}", f"S{n}") for n in (1, 2, 3))
NAMES = {"G1": "王芳", "G2": "李娜"}


def line(**changes: Any) -> OrderFacts:
    return OrderFacts("MINI_PROGRAM", "main", "1", "1", PAID, PAID, changes.pop("paid_fen", 68_900), **changes)


BOUND = BindingFact(7, "S2", PAID - dt.timedelta(days=9), guide=B)
SHARED = ((Touch(1, "G1", TouchKind.SHARE, PAID - dt.timedelta(days=2)), A),)
BOTH = Evidence(member=1, binding=BOUND, touches=SHARED)


@pytest.mark.parametrize(
    ("mode", "viewer", "sentence"),
    [
        (Mode.SERVICE_FIRST, "G2", "按‘服务优先’规则 v3：您是该会员的专属导购，本行佣金 34.45 元。"),
        (
            Mode.SERVICE_FIRST, "G1",
            "按‘服务优先’规则 v3：本行归专属关系李娜（G2）；您作为分享触点未获得——有效，但排位在获得者之后。",
        ),
        (Mode.SPLIT, "G1", "按‘销售与服务分摊’规则 v3：会员下单前最后打开的是您的分享，本行佣金您得 24.12 元（占 70 %）。"),
        (Mode.SPLIT, "G2", "按‘销售与服务分摊’规则 v3：您是该会员的专属导购，本行佣金您得 10.33 元（占 30 %）。"),
        (Mode.SHARE_FIRST, "G9", "按‘分享优先’规则 v3：本行归分享触点王芳（G1）。"),
    ],
)  # fmt: skip
def test_a14_one_sentence(mode: Mode, viewer: str, sentence: str) -> None:
    found = rules.decide(line(), BOTH, Rule(mode=mode))
    assert rules.in_one_sentence(found, viewer=viewer, version=3, names=NAMES) == sentence


def test_a14_one_sentence_of_other_states() -> None:
    voided = rules.decide(line(is_voided=True), BOTH, Rule())
    assert rules.in_one_sentence(voided, viewer="G1", version=3) == "本行不计佣：已作废的订单行。"
    nobody = rules.decide(line(), Evidence(), Rule())
    assert rules.in_one_sentence(nobody, viewer="G1", version=3) == "按‘服务优先’规则 v3：本行归总部池；目前为暂定。"
    order = line(paid_fen=45_900, fulfil_store="S3", fulfil_entity="HQ")
    rule = Rule(fulfil_fee_bp=200, fulfil_store_bp=7_000)
    packed = rules.decide(order, BOTH._replace(clerk=C), rule)
    assert rules.in_one_sentence(packed, viewer="G3", version=3) == (
        "按‘服务优先’规则 v3：您交付了这笔订单，本行佣金您得 2.75 元。"
    )


def test_a14_the_money_of_a_fee_step_by_step() -> None:
    rule = Rule(fulfil_fee_bp=200, fulfil_store_bp=7_000, budget="promo")
    order = line(paid_fen=45_900, fulfil_store="F2", fulfil_entity="FE")
    said = rules.explain(rules.decide(order, BOTH._replace(clerk=C), rule), rule_name="规则 v3", line=order)
    for sentence in (
        "由推广预算承担。",
        "履约费：459.00 元 × 2 % = 9.18 元，由电商预算承担，退货后保留。",
        "履约费分配：门店池 F2 占 70 %，6.43 元。",
        "履约费分配：导购 G3 占 30 %，2.75 元。",
    ):
        assert sentence in said, sentence
