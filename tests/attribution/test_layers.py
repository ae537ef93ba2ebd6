"""Which layer says what for a line (precedence, NULL and 0), the pots beside the commission, payables and credit (A11)."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution import rules
from attribution.commissions import PotKind
from attribution.rules import BindingFact, Evidence, GuideFact, Layer, Layers, OrderFacts, Rule, Scope

PAID = datetime(2025, 6, 10, 12, tzinfo=UTC)
G = GuideFact("G1", "S1", entity="HQ")
FRANCHISED = GuideFact("G9", "F9", entity="FE")


def line(**changes: Any) -> OrderFacts:
    values: dict[str, Any] = {
        "channel": "TMALL", "shop": "main", "order_no": "1", "line_no": "1", "version": PAID, "paid_at": PAID,
        "paid_fen": 45_900, "sku": "APPLE", "category": "FRUIT", "store": "S1", "campaign": "618", **changes,
    }  # fmt: skip
    return OrderFacts(**values)


def layered(*layers: tuple[Scope, dict[str, Any]]) -> Layers:
    found = [Layer(*layer) for layer in layers]
    return Layers(found, code="T", version=3, digest="d" * 64, late_link=timedelta(days=15))


def bound(guide: GuideFact = G) -> Evidence:
    return Evidence(member=1, binding=BindingFact(7, guide.store, PAID - timedelta(days=9), guide=guide))


SCOPES = [
    Scope(campaign="618"), Scope(sku="APPLE"), Scope(category="FRUIT"), Scope(channel="TMALL"), Scope(store="S1"),
    Scope(entity="HQ"), Scope(),
]  # fmt: skip


def test_campaign_beats_product_beats_category_beats_channel_beats_store_beats_company_beats_brand() -> None:
    """Taking the strongest away, one by one, walks down the order; the order in which layers are written says nothing."""
    for taken in range(len(SCOPES)):
        left = [(scope, {"rate_bp": 100 + number}) for number, scope in enumerate(SCOPES)][taken:]
        for order in (left, left[::-1]):
            assert layered(*order).rule_for(line()).rate_bp == 100 + taken


def test_fields_are_inherited_one_by_one() -> None:
    layers = layered(
        (Scope(), {"rate_bp": 500, "home_pool_bp": 2_500, "cap_fen": 900, "vest_days": 15}),
        (Scope(channel="TMALL"), {"home_pool_bp": 0, "vest_days": 20, "rate_bp": None}),
        (Scope(sku="APPLE"), {"cap_fen": rules.NO_CAP}),
    )
    rule = layers.rule_for(line())
    assert (rule.rate_bp, rule.home_pool_bp, rule.cap_fen, rule.vest_days) == (500, 0, None, 20)
    found = layers.values_for(line())
    assert found["rate_bp"] == (500, Scope())
    assert found["home_pool_bp"] == (0, Scope(channel="TMALL"))  # an explicit zero, not an inherited value
    assert found["ip_bp"] == (None, None)  # nobody says it: the product's own default
    assert layers.rule_for(line(channel="JD", sku="PEAR")).cap_fen == 900


def test_a_pair_of_scopes_is_narrower_than_either() -> None:
    layers = layered(
        (Scope(channel="TMALL"), {"rate_bp": 1}),
        (Scope(category="FRUIT"), {"rate_bp": 2}),
        (Scope(category="FRUIT", channel="TMALL"), {"rate_bp": 3}),
        (Scope(category="FISH", campaign="618"), {"rate_bp": 4}),
    )
    assert layers.rule_for(line()).rate_bp == 3
    assert layers.rule_for(line(channel="JD")).rate_bp == 2
    assert layers.rule_for(line(category="NUTS")).rate_bp == 1
    assert layers.rule_for(line(category="FISH")).rate_bp == 4
    assert layers.rule_for(line(category="NUTS", channel="JD")).rate_bp == 500


def test_the_entity_share_is_that_of_the_winners_company() -> None:
    layers = layered((Scope(), {"entity_share_bp": 1_000}), (Scope(entity="FE"), {"entity_share_bp": 2_000}))
    rule = layers.rule_for(line(store=None))
    assert (rule.entity_share_of("FE"), rule.entity_share_of("OTHER")) == (2_000, 1_000)
    assert rules.decide(line(store=None), bound(FRANCHISED), rule).rate_bp == 2_000


def test_the_fulfilment_fee_is_that_of_the_store_that_ships() -> None:
    layers = layered(
        (Scope(), {"fulfil_fee_bp": 100}),
        (Scope(store="F2"), {"fulfil_fee_bp": 150}),
        (Scope(store="S1"), {"fulfil_fee_bp": 999}),
    )
    assert layers.rule_for(line(fulfil_store="F2", fulfil_entity="FE")).fulfil_fee_bp == 150
    assert layers.rule_for(line(fulfil_store="F3", fulfil_entity="FE")).fulfil_fee_bp == 100


def test_one_rule_per_combination_that_the_layers_tell_apart() -> None:
    layers = layered((Scope(), {}), (Scope(channel="JD"), {"rate_bp": 1}))
    found = {id(layers.rule_for(line(channel=c, sku=s))) for c, s in itertools.product(("JD", "POS", "TMALL"), "abc")}
    assert len(found) == 2


def test_a_field_that_no_rule_has_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        layered((Scope(), {"colour": 1}))


def test_two_layers_of_one_scope_may_not_say_one_field() -> None:
    one, other = (
        Layer(Scope(store="S1"), {"rate_bp": 1, "ip_bp": None}),
        Layer(Scope(store="S1"), {"rate_bp": 2, "ip_bp": 0}),
    )
    assert rules.conflicts([one, other, Layer(Scope(), {"rate_bp": 1})]) == [("rate_bp", Scope(store="S1"))]


def test_a_replay_mode_overrules_every_layer() -> None:
    layers = layered((Scope(), {"mode": "SPLIT"}), (Scope(channel="TMALL"), {"mode": "POS_FIRST", "rate_bp": 7}))
    rule = layers.with_mode(rules.Mode.SHARE_FIRST).rule_for(line())
    assert (rule.mode, rule.rate_bp) == (rules.Mode.SHARE_FIRST, 7)


# Pots, payables, credit -----------------------------------------------------------------------------------------------

FEE = Rule(fulfil_fee_bp=200, fulfil_store_bp=7_000)
SHIPPED = line(store=None, fulfil_store="F2", fulfil_entity="FE")
CLERK = GuideFact("G7", "F2", keys=frozenset({"mobile:7"}))


def test_the_fee_is_a_pot_of_its_own_budget() -> None:
    found = rules.decide(SHIPPED, bound()._replace(clerk=CLERK), FEE)
    main, fee = found.pots
    assert (main.kind, main.budget, main.amount_fen) == (PotKind.MAIN, "brand", 2_295)
    assert (fee.kind, fee.budget, fee.amount_fen, fee.keeps_on_refund) == (PotKind.FULFIL, "ecom", 918, True)
    assert rules.pot_of(rules.pot_row(fee)) == fee


@pytest.mark.parametrize(
    ("changes", "clerk"),
    [
        ({"fulfil_store": None}, CLERK),  # nobody hands over
        ({"store": "F2"}, CLERK),  # the store that took the order hands it over: its own work
    ],
)
def test_no_fee_without_a_second_store(changes: dict[str, Any], clerk: GuideFact) -> None:
    assert rules.decide(SHIPPED._replace(**changes), bound()._replace(clerk=clerk), FEE).fees == ()


@pytest.mark.parametrize("clerk", [None, CLERK, GuideFact("G7", None, is_employed=False)])
def test_a_clerk_who_may_not_be_paid_leaves_the_fee_to_the_store(clerk: GuideFact | None) -> None:
    """A7, A9 for the clerk: she is the buyer, or has left, or is not known."""
    order = SHIPPED._replace(buyer_keys=CLERK.keys)
    [fee] = rules.decide(order, bound()._replace(clerk=clerk), FEE).fees
    assert [(share.beneficiary, share.weight) for share in fee.shares] == [("STORE:F2", 10_000)]


def test_an_ineligible_line_has_no_pots() -> None:
    assert rules.decide(SHIPPED._replace(is_group_failed=True), bound(), FEE).pots == ()


def test_payables_are_trees_that_sum() -> None:
    """The company bears its guide, the store its clerk; nets sum to the pots."""
    rule = Rule(entity_share_bp=2_000, fulfil_fee_bp=200, fulfil_store_bp=7_000)
    found = rules.decide(SHIPPED._replace(paid_fen=128_000), bound(FRANCHISED)._replace(clerk=CLERK), rule)
    rows = [(p.beneficiary, p.parent, p.gross_fen, p.out_fen, p.net_fen) for p in rules.payables(found)]
    assert rows == [
        ("ENTITY:FE", None, 25_600, 6_400, 19_200),
        ("G9", "ENTITY:FE", 6_400, 0, 6_400),
        ("STORE:F2", None, 2_560, 768, 1_792),
        ("G7", "STORE:F2", 768, 0, 768),
    ]
    assert rules.credits(found) == (("G9", "F9", 10_000),)


@given(
    mode=st.sampled_from(rules.Mode),
    entity=st.sampled_from([0, 300, 2_000, 10_000]),
    rate=st.sampled_from([0, 1, 350, 500]),
    fee=st.sampled_from([0, 150, 10_000]),
    home=st.sampled_from([0, 3_333]),
    paid=st.integers(0, 1_000_000),
    guide=st.sampled_from([G, FRANCHISED]),
    cashier=st.sampled_from([None, CLERK, FRANCHISED]),
    has_binding=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_a11_credit_sums_to_the_whole_and_payables_to_the_pots(
    mode: rules.Mode, entity: int, rate: int, fee: int, home: int, paid: int, guide: GuideFact, cashier: GuideFact | None,
    has_binding: bool,
) -> None:  # fmt: skip
    """A11: whatever is paid, the credit of an eligible line sums to 10,000 bp; no money is lost between gross and net."""
    rule = Rule(
        mode=mode, rate_bp=rate, entity_share_bp=entity, fulfil_fee_bp=fee, fulfil_store_bp=6_500, home_pool_bp=home
    )
    evidence = Evidence(member=1, cashier=cashier, home_store="S1", clerk=CLERK)
    evidence = evidence._replace(binding=bound(guide).binding if has_binding else None)
    found = rules.decide(SHIPPED._replace(paid_fen=paid, channel="POS"), evidence, rule)
    assert sum(credit.bp for credit in rules.credits(found)) == 10_000
    assert not any(c.beneficiary.startswith("ENTITY:") for c in rules.credits(found))
    rows = rules.payables(found)
    assert sum(row.net_fen for row in rows) == sum(pot.amount_fen for pot in found.pots)
    assert all(row.net_fen >= 0 and row.gross_fen >= 0 for row in rows)
    heads = {row.beneficiary: row.out_fen for row in rows if row.out_fen}
    for head, out_fen in heads.items():
        assert out_fen == sum(row.gross_fen for row in rows if row.parent == head)


def test_a15_nothing_is_paid_for_a_guide_of_a_guide() -> None:
    """A15: the only parents in a tree are a company and a store; no guide has anybody below her."""
    found = rules.decide(
        SHIPPED,
        bound(FRANCHISED)._replace(clerk=CLERK),
        Rule(entity_share_bp=2_000, fulfil_fee_bp=200, fulfil_store_bp=1),
    )
    assert {(row.parent or "").partition(":")[0] for row in rules.payables(found)} == {"", "ENTITY", "STORE"}
