"""How a line finds its guide: the worked examples and the invariants A3, A4, A5, A7, A8, A9, A12, A14."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution import commissions, rules
from attribution.commissions import Role
from attribution.rules import (
    BindingFact,
    Decision,
    Evidence,
    GuideFact,
    Mode,
    OrderFacts,
    OverrideFact,
    Reason,
    Rule,
    State,
    explanation,
)
from guides.touches import Fault, Touch, TouchKind, TouchObject

PAID = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
A, B, C = (GuideFact(code, f"S{code}", keys=frozenset({f"mobile:{code}"})) for code in ("A", "B", "C"))
DEFAULT = Rule()


def line(paid_fen: int = 68_900, **changes: Any) -> OrderFacts:
    return OrderFacts(
        **{
            "channel": "MINI_PROGRAM",
            "shop": "main",
            "order_no": "489434",
            "line_no": "1",
            "version": PAID,
            "paid_at": PAID,
            "paid_fen": paid_fen,
            **changes,
        }
    )


def layered(brand: dict[str, Any], *layers: tuple[rules.Scope, dict[str, Any]]) -> rules.Layers:
    """The brand's layer with a rate of 5 % and the others."""
    found = [rules.Layer(rules.Scope(), {"rate_bp": 500, **brand}), *(rules.Layer(*layer) for layer in layers)]
    return rules.Layers(found, code="T", version=1, digest="d", late_link=15 * DAY)


def bound(guide: GuideFact | None = B, **changes: Any) -> BindingFact:
    store = guide.store if guide else None
    return BindingFact(**{"id": 7, "store": store, "started_at": PAID - 30 * DAY, "guide": guide, **changes})


def touched(guide: GuideFact = A, age: timedelta = 2 * DAY, **changes: Any) -> tuple[Touch, GuideFact]:
    return Touch(**{"id": 1, "guide": guide.code, "kind": TouchKind.SHARE, "at": PAID - age, **changes}), guide


def paid_out(decision: Decision) -> list[tuple[str, str, int]]:
    amounts = commissions.split(decision.pot_fen, decision.shares)
    return [(s.role.value, s.beneficiary, amount) for s, amount in zip(decision.shares, amounts, strict=True)]


def verdicts(decision: Decision) -> list[tuple[str, str, bool, str]]:
    return [(c.type, c.beneficiary, c.ok, str(c.reason)) for c in decision.candidates]


# Worked examples ------------------------------------------------------------------------------------------------------


def test_example_1_share_without_binding() -> None:
    decision = rules.decide(line(29_900), Evidence(member=1, touches=(touched(),)), DEFAULT)
    assert decision.state == State.LIVE
    assert paid_out(decision) == [("SELLER", "A", 1_495)]
    assert verdicts(decision) == [("C2", "A", True, "WON"), ("C5", "HQ_POOL", True, "OUTRANKED")]


@pytest.mark.parametrize(
    ("category", "paid", "pot"), [("MAIN", 16_514, 826), ("ACCESSORY", 4_971, 149), ("ACCESSORY", 2_905, 87)]
)
def test_example_2_rate_of_the_category(category: str, paid: int, pot: int) -> None:
    order = line(paid, category=category)
    layers = layered({}, (rules.Scope(category="ACCESSORY"), {"rate_bp": 300}))
    assert rules.decide(order, Evidence(), layers.rule_for(order)).pot_fen == pot


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.SHARE_FIRST, [("SELLER", "A", 3_445)]),
        (Mode.SERVICE_FIRST, [("SERVICE", "B", 3_445)]),
        (Mode.SPLIT, [("SELLER", "A", 2_412), ("SERVICE", "B", 1_033)]),
        (Mode.POS_FIRST, [("SERVICE", "B", 3_445)]),
    ],
)
def test_example_3_bound_to_one_shared_by_another(mode: Mode, expected: list[tuple[str, str, int]]) -> None:
    decision = rules.decide(line(), Evidence(member=1, binding=bound(), touches=(touched(),)), Rule(mode=mode))
    assert paid_out(decision) == expected


@pytest.mark.parametrize(("age", "is_expired"), [(7 * DAY - SECOND, False), (7 * DAY, True), (7 * DAY + SECOND, True)])
def test_example_4_expired_touch_leaves_all_to_service(age: timedelta, is_expired: bool) -> None:
    decision = rules.decide(
        line(), Evidence(member=1, binding=bound(), touches=(touched(age=age),)), Rule(mode=Mode.SPLIT)
    )
    if is_expired:
        assert paid_out(decision) == [("SERVICE", "B", 3_445)]
        assert ("C2", "A", False, "TOUCH_EXPIRED") in verdicts(decision)
    else:
        assert [part[1] for part in paid_out(decision)] == ["A", "B"]


def test_example_5_split_of_a_rounded_pot() -> None:
    rule = Rule(mode=Mode.SPLIT, rate_bp=350)
    decision = rules.decide(line(15_990), Evidence(member=1, binding=bound(), touches=(touched(),)), rule)
    assert paid_out(decision) == [("SELLER", "A", 392), ("SERVICE", "B", 168)]


def test_example_6_home_store_and_hq_pool() -> None:
    decision = rules.decide(line(25_800), Evidence(member=1, home_store="S1"), Rule(home_pool_bp=5_000))
    assert paid_out(decision) == [("HOME", "STORE:S1", 645), ("HQ", "HQ_POOL", 645)]
    assert decision.state == State.LIVE


@pytest.mark.parametrize(
    ("guide", "started", "paid_at", "paid", "gap_bp", "expected"),
    [
        (A, PAID - 90 * DAY, PAID - DAY, 52_900, 10_000, [("SERVICE", "A", 2_645)]),
        (replace(A, is_employed=False), PAID - 90 * DAY, PAID, 23_900, 10_000, [("SERVICE", "STORE:SA", 1_195)]),
        (
            replace(A, is_employed=False), PAID - 90 * DAY, PAID, 23_900, 5_000,
            [("SERVICE", "STORE:SA", 598), ("DELEGATE", "B", 597)],
        ),
        (B, PAID, PAID + DAY, 31_900, 10_000, [("SERVICE", "B", 1_595)]),
    ],
)  # fmt: skip
def test_example_10_resignation(
    guide: GuideFact, started: datetime, paid_at: datetime, paid: int, gap_bp: int, expected: list[tuple[str, str, int]]
) -> None:
    """The gap between a guide's exit and the assignment belongs to the store, wholly or in halves with the successor."""
    binding = bound(guide, started_at=started, is_transfer_pending=not guide.is_employed, successor=B)
    decision = rules.decide(line(paid, paid_at=paid_at), Evidence(member=1, binding=binding), Rule(gap_pool_bp=gap_bp))
    assert paid_out(decision) == expected


@pytest.mark.parametrize(("gap_bp", "is_pending"), [(0, True), (10_000, False)])
def test_example_10_without_gap_rule_or_pending_transfer(gap_bp: int, is_pending: bool) -> None:
    binding = bound(replace(A, is_employed=False), is_transfer_pending=is_pending)
    decision = rules.decide(line(), Evidence(member=1, binding=binding), Rule(gap_pool_bp=gap_bp))
    assert paid_out(decision) == [("HQ", "HQ_POOL", 3_445)]
    assert ("C3", "A", False, "GUIDE_NOT_EMPLOYED") in verdicts(decision)


def test_example_11_leave_shares_with_the_delegate() -> None:
    decision = rules.decide(line(88_800), Evidence(member=1, binding=bound(A, delegate=C)), DEFAULT)
    assert paid_out(decision) == [("SERVICE", "A", 2_220), ("DELEGATE", "C", 2_220)]


@pytest.mark.parametrize("delegate", [replace(C, is_employed=False), replace(C, keys=frozenset({"me"})), A])
def test_a_delegate_who_cannot_be_paid_leaves_all_to_the_guide(delegate: GuideFact) -> None:
    decision = rules.decide(
        line(88_800), Evidence(member=1, buyer_keys=frozenset({"me"}), binding=bound(A, delegate=delegate)), DEFAULT
    )
    assert paid_out(decision) == [("SERVICE", "A", 4_440)]


def test_example_12_franchise_guide_in_an_hq_shop() -> None:
    guide = replace(A, entity="F")
    rule = Rule(entity_share_bp=2_000)
    decision = rules.decide(line(128_000, channel="TMALL"), Evidence(member=1, binding=bound(guide)), rule)
    assert (decision.rate_bp, decision.pot_fen) == (2_000, 25_600)
    assert paid_out(decision) == [("SERVICE", "A", 6_400), ("ENTITY", "ENTITY:F", 19_200)]
    own_shop = rules.decide(line(128_000, shop_entity="F"), Evidence(member=1, binding=bound(guide)), rule)
    assert paid_out(own_shop) == [("SERVICE", "A", 6_400)]


def test_example_17_brand_ip_shares_with_the_home_store() -> None:
    evidence = Evidence(member=1, binding=bound(None, ip="main"), home_store="S1")
    assert paid_out(rules.decide(line(47_900), evidence, DEFAULT)) == [
        ("IP", "IP:main", 958),
        ("HOME", "STORE:S1", 1_437),
    ]
    alone = evidence._replace(home_store=None)
    assert paid_out(rules.decide(line(47_900), alone, DEFAULT)) == [("IP", "IP:main", 2_395)]


@pytest.mark.parametrize(
    ("days", "winner"), [(9 * DAY, "B"), (15 * DAY - SECOND, "B"), (15 * DAY, "HQ_POOL"), (16 * DAY, "HQ_POOL")]
)
def test_a12_example_18_late_link(days: timedelta, winner: str) -> None:
    """A12: inside the window the binding as of payment wins, outside it HQ keeps the line for good; never both."""
    order = line(76_500, channel="JD")
    first = rules.decide(order, Evidence(), DEFAULT)
    assert (first.state, first.provisional_until) == (State.PROVISIONAL, PAID + 15 * DAY)
    assert paid_out(first) == [("HQ", "HQ_POOL", 3_825)]
    second = rules.decide(order, Evidence(member=1, linked_at=PAID + days, binding=bound()), DEFAULT)
    assert second.state == State.LIVE
    assert [(part[1], part[2]) for part in paid_out(second)] == [(winner, 3_825)]
    assert (("C3", "B", False, "LATE_LINK") in verdicts(second)) == (winner == "HQ_POOL")


def test_example_20_base_without_points() -> None:
    decision = rules.decide(line(35_900, points_fen=1_500), Evidence(), DEFAULT)
    assert (decision.base_fen, decision.pot_fen) == (34_400, 1_720)


def test_example_24_refused_snatch_remains_a_touch() -> None:
    scan = touched(C, age=SECOND)
    evidence = Evidence(member=1, binding=bound(B), touches=(scan,))
    assert [p[1] for p in paid_out(rules.decide(line(), evidence, Rule(mode=Mode.SHARE_FIRST)))] == ["C"]
    history = [
        bound(B, started_at=PAID - 40 * DAY, ended_at=PAID + 5 * DAY),
        bound(C, id=8, started_at=PAID + 5 * DAY),
    ]
    for paid_at, winner in ((PAID, "B"), (PAID + 5 * DAY - SECOND, "B"), (PAID + 5 * DAY, "C")):
        binding = rules.binding_as_of(history, paid_at)
        decision = rules.decide(line(paid_at=paid_at), Evidence(member=1, binding=binding), DEFAULT)
        assert [part[1] for part in paid_out(decision)] == [winner]


def test_example_25_self_purchase() -> None:
    evidence = Evidence(member=1, buyer_keys=A.keys, touches=(touched(A),), home_store="S1")
    rule = Rule(home_pool_bp=10_000)
    decision = rules.decide(line(), evidence, rule)
    assert paid_out(decision) == [("HOME", "STORE:S1", 3_445)]
    assert ("C2", "A", False, "SELF_DEAL") in verdicts(decision)
    allowed = rules.decide(line(), evidence, Rule(home_pool_bp=10_000, is_self_purchase_paid=True))
    assert paid_out(allowed) == [("SELLER", "A", 3_445)]


# Precedence -----------------------------------------------------------------------------------------------------------

EVERYONE = Evidence(
    member=1,
    override=OverrideFact(3, replace(C, code="D"), "alice", "bob"),
    cashier=C,
    touches=(touched(A),),
    binding=bound(B),
    home_store="S1",
)


@pytest.mark.parametrize(
    ("mode", "order"),
    [
        (Mode.SERVICE_FIRST, ["C0", "C3", "C2", "C1", "C4", "C5"]),
        (Mode.SHARE_FIRST, ["C0", "C2", "C3", "C1", "C4", "C5"]),
        (Mode.POS_FIRST, ["C0", "C1", "C3", "C4", "C5"]),
    ],
)
def test_precedence_of_each_mode(mode: Mode, order: list[str]) -> None:
    """Taking the winner away, one by one, walks down the order of the mode."""
    rule = Rule(mode=mode, home_pool_bp=5_000)
    without: dict[str, dict[str, Any]] = {
        "C0": {"override": None}, "C1": {"cashier": None}, "C2": {"touches": ()}, "C3": {"binding": None},
        "C4": {"home_store": None},
    }  # fmt: skip
    evidence, walked = EVERYONE, []
    for _ in order:
        [winner] = rules.decide(line(channel="POS"), evidence, rule).winners
        walked.append(winner.type)
        evidence = evidence._replace(**without.get(winner.type, {}))
    assert walked == order


def test_pos_first_does_not_know_touches() -> None:
    decision = rules.decide(line(), Evidence(touches=(touched(),)), Rule(mode=Mode.POS_FIRST))
    assert decision.state == State.PROVISIONAL
    assert ("C2", "A", False, "NOT_IN_MODE") in verdicts(decision)


@pytest.mark.parametrize(
    ("channel", "evidence", "expected"),
    [
        ("POS", EVERYONE._replace(override=None), [("SELLER", "C", 7_000), ("SERVICE", "B", 3_000)]),
        ("JD", EVERYONE._replace(override=None), [("SELLER", "A", 7_000), ("SERVICE", "B", 3_000)]),
        ("POS", EVERYONE._replace(override=None, cashier=None), [("SELLER", "A", 7_000), ("SERVICE", "B", 3_000)]),
        ("POS", EVERYONE, [("SELLER", "D", 10_000)]),
        ("POS", EVERYONE._replace(override=None, cashier=B), [("SELLER", "B", 10_000)]),
        ("JD", Evidence(member=1, cashier=C), [("HQ", "HQ_POOL", 10_000)]),
        ("POS", Evidence(cashier=C), [("SELLER", "C", 10_000)]),
        (
            "POS", Evidence(member=1, cashier=C, binding=bound(B, delegate=A, delegate_bp=3_333)),
            [("SELLER", "C", 7_000), ("SERVICE", "B", 2_000), ("DELEGATE", "A", 1_000)],
        ),
    ],
)  # fmt: skip
def test_split_mode(channel: str, evidence: Evidence, expected: list[tuple[str, str, int]]) -> None:
    decision = rules.decide(line(channel=channel), evidence, Rule(mode=Mode.SPLIT))
    assert [(s.role.value, s.beneficiary, s.weight) for s in decision.shares] == expected


def test_split_names_the_same_person() -> None:
    evidence = Evidence(member=1, cashier=B, binding=bound(B))
    decision = rules.decide(line(channel="POS"), evidence, Rule(mode=Mode.SPLIT))
    assert ("C3", "B", True, "SAME_PERSON") in verdicts(decision)


def test_the_store_of_a_share_is_the_bindings_store() -> None:
    """A guide who moved keeps her customers with the old store."""
    decision = rules.decide(line(), Evidence(member=1, binding=bound(replace(B, store="NEW"), store="OLD")), DEFAULT)
    assert [share.store for share in decision.shares] == ["OLD"]


@pytest.mark.parametrize(("approver", "winner"), [(None, "B"), ("alice", "B"), ("bob", "D")])
def test_an_override_needs_a_second_person(approver: str | None, winner: str) -> None:
    override = OverrideFact(3, replace(C, code="D"), "alice", approver)
    decision = rules.decide(line(), EVERYONE._replace(override=override), DEFAULT)
    assert [part[1] for part in paid_out(decision)] == [winner]


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        (Evidence(), State.PROVISIONAL),
        (Evidence(member=1), State.LIVE),
        (Evidence(cashier=C), State.LIVE),
        (Evidence(touches=(touched(),)), State.LIVE),
        (Evidence(binding=bound(), home_store="S1"), State.PROVISIONAL),  # they need a member
    ],
)
def test_unknown_buyer(evidence: Evidence, state: State) -> None:
    assert rules.decide(line(), evidence, Rule(home_pool_bp=5_000)).state == state


def test_cashier_code_that_is_nobody() -> None:
    decision = rules.decide(line(cashier="G99999"), Evidence(), DEFAULT)
    assert ("C1", "G99999", False, "UNKNOWN_GUIDE") in verdicts(decision)


@pytest.mark.parametrize(
    ("changes", "is_active"),
    [
        ({"started_at": PAID}, True),
        ({"started_at": PAID + SECOND}, False),
        ({"ended_at": PAID}, False),
        ({"ended_at": PAID + SECOND}, True),
        ({"valid_until": PAID}, False),
        ({"valid_until": PAID + SECOND}, True),
    ],
)
def test_a_binding_counts_inside_its_interval(changes: dict[str, Any], is_active: bool) -> None:
    decision = rules.decide(line(), Evidence(member=1, binding=bound(**changes)), DEFAULT)
    assert (decision.winners[0].type == "C3") == is_active


# Eligibility, base, rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["is_test", "is_gift_card", "is_wholesale", "is_staff_price", "is_voided"])
def test_a_flag_makes_a_line_ineligible(flag: str) -> None:
    decision = rules.decide(line(**{flag: True}, risk_mark="R1"), EVERYONE, DEFAULT)
    assert (decision.state, decision.reason, decision.pot_fen) == (State.INELIGIBLE, flag.upper(), 0)
    assert decision.shares == ()
    assert not decision.is_posted


def test_a_strange_sku_is_no_flag() -> None:
    assert rules.decide(line(sku="gift_0001_20"), Evidence(member=1), DEFAULT).state == State.LIVE


def test_a_risk_mark_holds_the_decision_back() -> None:
    decision = rules.decide(line(risk_mark="BRUSHING"), EVERYONE, DEFAULT)
    assert (decision.state, decision.reason, decision.is_posted) == (State.HELD, "BRUSHING", False)
    assert decision.pot_fen == 3_445


def test_a_line_without_money_has_a_decision_and_no_posting() -> None:
    decision = rules.decide(line(0), Evidence(member=1, binding=bound()), DEFAULT)
    assert (decision.state, decision.pot_fen, decision.is_posted) == (State.LIVE, 0, False)
    assert [share.beneficiary for share in decision.shares] == ["B"]


@pytest.mark.parametrize(
    ("channel", "category", "rate"),
    [
        ("JD", "FRUIT", 1),
        ("JD", "FISH", 2),
        ("POS", "FRUIT", 3),
        ("JD", "NUTS", 4),
        ("TMALL", None, 0),
        ("POS", None, 500),
    ],
)
def test_the_most_specific_rate_wins(channel: str, category: str | None, rate: int) -> None:
    rates: dict[tuple[str | None, str | None], int | None] = {
        ("JD", "FRUIT"): 1, ("JD", "FISH"): None, (None, "FISH"): 2, (None, "FRUIT"): 3, ("JD", None): 4,
        ("TMALL", None): 0, ("POS", None): None, (None, None): 500,
    }  # fmt: skip
    layers = layered({}, *(
        (rules.Scope(channel=key[0], category=key[1]), {"rate_bp": bp}) for key, bp in rates.items() if any(key)
    ))  # fmt: skip
    assert layers.rule_for(line(channel=channel, category=category)).rate_bp == rate


@pytest.mark.parametrize(
    "fields",
    [
        {"rate_bp": -1},
        {"rate_bp": 10_001},
        {"fulfil_store_bp": 10_001},
        {"entity_shares": {"F": -1}},
        {"seller_bp": 7_000, "service_bp": 2_999},
        {"ip_bp": -1},
        {"mode": "OTHER"},
    ],
)
def test_an_impossible_rule_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Rule(**fields)


def test_the_default_rule() -> None:
    assert DEFAULT.mode == Mode.SERVICE_FIRST
    assert DEFAULT.rate_bp == 500
    assert (DEFAULT.home_pool_bp, DEFAULT.gap_pool_bp, DEFAULT.entity_share_bp) == (0, 0, 0)
    assert Rule(mode=Mode.SPLIT).digest != DEFAULT.digest == Rule().digest


# Invariants -----------------------------------------------------------------------------------------------------------

guides = st.builds(
    GuideFact,
    code=st.sampled_from(["A", "B", "C", "D"]),
    store=st.sampled_from(["S1", "S2"]),
    is_employed=st.booleans(),
    entity=st.sampled_from(["HQ", "F"]),
    keys=st.sampled_from([frozenset(), frozenset({"p1"}), frozenset({"p2", "p3"})]),
)
offsets = st.integers(-15 * 86_400, 2 * 86_400).map(lambda seconds: seconds * SECOND)


@st.composite
def touch_facts(draw: st.DrawFn) -> tuple[tuple[Touch, GuideFact], ...]:
    numbers = draw(st.lists(st.integers(1, 50), unique=True, max_size=4))
    return tuple(
        (
            Touch(
                number,
                "",
                draw(st.sampled_from(TouchKind)),
                PAID + draw(offsets),
                is_signed=draw(st.booleans()),
                object_kind=draw(st.sampled_from([TouchObject.ALL, TouchObject.SKU])),
                object_code=draw(st.sampled_from(["APPLE", "PEAR"])),
            ),
            draw(guides),
        )
        for number in numbers
    )


bindings = st.builds(
    BindingFact,
    id=st.just(7),
    store=st.sampled_from(["S1", None]),
    started_at=offsets.map(lambda offset: PAID + offset),
    ended_at=st.none(),
    guide=st.none() | guides,
    ip=st.just("main"),
    valid_until=st.none() | offsets.map(lambda offset: PAID + offset),
    delegate=st.none() | guides,
    delegate_bp=st.integers(0, 10_000),
    is_transfer_pending=st.booleans(),
    successor=st.none() | guides,
)
evidences = st.builds(
    Evidence,
    member=st.none() | st.just(1),
    linked_at=st.none() | st.integers(0, 30).map(lambda days: PAID + days * DAY),
    buyer_keys=st.sampled_from([frozenset(), frozenset({"p1"}), frozenset({"p3"})]),
    override=st.none() | st.builds(OverrideFact, st.just(1), guides, st.just("x"), st.sampled_from([None, "x", "y"])),
    cashier=st.none() | guides,
    touches=touch_facts(),
    binding=st.none() | bindings,
    home_store=st.none() | st.just("S1"),
)
some_rules = st.builds(
    Rule,
    mode=st.sampled_from(Mode),
    home_pool_bp=st.sampled_from([0, 3_333, 10_000]),
    gap_pool_bp=st.sampled_from([0, 5_000, 10_000]),
    ip_bp=st.sampled_from([0, 4_000, 10_000]),
    entity_share_bp=st.sampled_from([0, 333, 2_000]),
    is_self_purchase_paid=st.booleans(),
)
lines = st.builds(
    line,
    paid_fen=st.integers(0, 10_000_000),
    channel=st.sampled_from(["POS", "JD"]),
    sku=st.sampled_from(["APPLE", "PEAR"]),
    created_at=st.none() | st.integers(0, 600).map(lambda seconds: PAID - seconds * SECOND),
    buyer_keys=st.sampled_from([frozenset(), frozenset({"p2"})]),
    risk_mark=st.sampled_from(["", "R"]),
)
CASES = settings(max_examples=300, deadline=None)
ZONES = st.sampled_from([timezone(timedelta(hours=h, minutes=m)) for h, m in ((8, 0), (-11, 0), (5, 45))])


def moved(value: Any, zone: timezone) -> Any:
    """The same instants, told in another time zone."""
    if isinstance(value, datetime):
        return value.astimezone(zone)
    if isinstance(value, tuple):
        parts = [moved(part, zone) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if hasattr(value, "__dataclass_fields__"):
        return replace(value, **{name: moved(getattr(value, name), zone) for name in value.__dataclass_fields__})
    return value


@given(order=lines, evidence=evidences, rule=some_rules, zone=ZONES, random=st.randoms(use_true_random=False))
@CASES
def test_a3_a_decision_is_a_pure_function(
    order: OrderFacts, evidence: Evidence, rule: Rule, zone: timezone, random: Random
) -> None:
    """A3: again, with shuffled touches and in another time zone: the same digest and the same outcome."""
    first = rules.decide(order, evidence, rule)
    shuffled = evidence._replace(touches=tuple(random.sample(evidence.touches, len(evidence.touches))))
    again = rules.decide(moved(order, zone), moved(shuffled, zone), rule)
    assert again == first
    assert again.digest == first.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"paid_fen": 68_901}, {"paid_at": PAID + SECOND}, {"created_at": PAID - SECOND}, {"version": PAID + SECOND},
        {"line_no": "2"}, {"order_no": "489435"}, {"shop": "other"}, {"channel": "JD"}, {"risk_mark": "R"}, {"is_test": True},
        {"points_fen": 1},
    ],
)  # fmt: skip
def test_a3_the_digest_covers_the_snapshot(changes: dict[str, Any]) -> None:
    """A3: another snapshot, evidence or rule has another digest."""
    first = rules.decide(line(), EVERYONE, DEFAULT)
    assert rules.decide(line(**changes), EVERYONE, DEFAULT).digest != first.digest


def test_a3_the_digest_covers_evidence_and_rule() -> None:
    """A3."""
    digests = {rules.decide(line(), evidence, DEFAULT).digest for evidence in (
        EVERYONE, EVERYONE._replace(member=2), EVERYONE._replace(binding=None), EVERYONE._replace(cashier=A),
        EVERYONE._replace(touches=()), EVERYONE._replace(override=None),
    )}  # fmt: skip
    assert len(digests) == 6
    assert rules.decide(line(), EVERYONE, Rule(ip_bp=0)).digest not in digests


def test_a3_golden_digest() -> None:
    """A3: the canonical form is frozen; decisions of years ago must replay to the digest they were stored with."""
    rule = Rule()
    object.__setattr__(rule, "digest", "0" * 64)
    decision = rules.decide(line(sku="苹果", order_no="№1"), EVERYONE, rule)
    assert decision.digest == "5be1e678d8b95394eca0e577e73b701971e82a100dff0b9c80445549d0cc2176"


@given(order=lines, evidence=evidences, rule=some_rules, later=st.integers(1, 10**6), guide=guides)
@CASES
def test_a4_later_facts_change_nothing(
    order: OrderFacts, evidence: Evidence, rule: Rule, later: int, guide: GuideFact
) -> None:
    """A4: a later touch, a later rebinding and a later completion leave the decision as it was, digest included."""
    first = rules.decide(order, evidence, rule)
    after = PAID + later * SECOND
    touch = Touch(1_000, guide.code, TouchKind.SHARE, after)
    history = []
    if evidence.binding is not None and evidence.binding.started_at <= PAID:
        history = [evidence.binding._replace(ended_at=after)]
    as_of = rules.binding_as_of([*history, BindingFact(8, "S2", after, guide=guide)], PAID)
    known = evidence._replace(binding=as_of, touches=(*evidence.touches, (touch, guide)))
    before = evidence._replace(binding=history[0] if history else None)
    later_order = order._replace(completed_at=after)
    assert rules.decide(later_order, known, rule).digest == rules.decide(order, before, rule).digest
    if history or evidence.binding is None:
        assert rules.decide(later_order, known, rule) == first


@given(order=lines, evidence=evidences, rule=some_rules)
@CASES
def test_a5_weights_sum(order: OrderFacts, evidence: Evidence, rule: Rule) -> None:
    """A5: weights sum to 10,000 bp (x the pot's rate beside an entity share), and none is zero."""
    decision = rules.decide(order, evidence, rule)
    has_entity = any(share.role == Role.ENTITY for share in decision.shares)
    assert sum(share.weight for share in decision.shares) == 10_000 * (decision.rate_bp if has_entity else 1)
    assert all(share.weight > 0 for share in decision.shares)
    assert decision.pot_fen == commissions.pot(decision.base_fen, decision.rate_bp, decision.cap_fen)


SELF = frozenset({"unionid:x", "staff:9"})
SELFISH = replace(C, code="E", keys=frozenset({"staff:9", "mobile:z"}))


@pytest.mark.parametrize("keys_on", ["line", "evidence"])
@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(member=1, override=OverrideFact(1, SELFISH, "a", "b")),
        Evidence(member=1, cashier=SELFISH),
        Evidence(cashier=SELFISH),
        Evidence(member=1, touches=(touched(SELFISH),)),
        Evidence(member=1, binding=bound(SELFISH)),
    ],
)
def test_a7_no_self_deal(evidence: Evidence, keys_on: str) -> None:
    """A7: whatever way the guide would be the winner, her own purchase pays her nothing."""
    order = line(buyer_keys=SELF) if keys_on == "line" else line()
    known = evidence if keys_on == "line" else evidence._replace(buyer_keys=SELF)
    decision = rules.decide(order, known, DEFAULT)
    assert decision.candidates[0].reason == Reason.SELF_DEAL
    assert [share.beneficiary for share in decision.shares] == ["HQ_POOL"]


@given(order=lines, evidence=evidences, rule=some_rules)
@CASES
def test_a7_a8_a9_whoever_is_paid_may_be_paid(order: OrderFacts, evidence: Evidence, rule: Rule) -> None:
    """A7, A8, A9: no paid guide had left, is the buyer, or won by a touch that is unsigned, late, early or of other goods."""
    decision = rules.decide(order, evidence, rule)
    binding = evidence.binding
    standing = [
        evidence.override and evidence.override.guide,
        evidence.cashier,
        *(guide for _, guide in evidence.touches),
    ]
    standing += [binding.guide, binding.delegate, binding.successor] if binding else []
    buyer = evidence.buyer_keys | order.buyer_keys
    payable = {g.code for g in standing if g and g.is_employed and (rule.is_self_purchase_paid or not g.keys & buyer)}
    for share in decision.shares:
        assert share.beneficiary in payable or share.beneficiary == "HQ_POOL" or ":" in share.beneficiary
    for winner in decision.winners:
        if winner.type != "C2":
            continue
        created_at = order.created_at or order.paid_at
        touch = next(touch for touch, _ in evidence.touches if str(touch.id) == winner.ref)
        window = DAY if touch.kind == TouchKind.LIVE else 7 * DAY
        assert touch.is_signed
        assert touch.at <= created_at < touch.at + window
        assert touch.object_kind == TouchObject.ALL or touch.object_code == order.sku


def test_a8_of_two_touches_the_latest_then_the_smaller_id() -> None:
    """A8: never the order of arrival."""
    old, late, twin = touched(A, 2 * DAY, id=1), touched(B, DAY, id=3), touched(C, DAY, id=2)
    decision = rules.decide(line(), Evidence(touches=(old, late, twin)), DEFAULT)
    assert [(c.ref, c.reason) for c in decision.candidates if c.type == "C2"] == [
        ("2", Reason.WON), ("3", Reason.OUTRANKED), ("1", Reason.OUTRANKED),
    ]  # fmt: skip


def test_a8_the_order_is_measured_at_its_creation_not_its_payment() -> None:
    """A8: a touch between order and payment came too late; one that expired in between still counts."""
    between = touched(A, timedelta(minutes=5))
    order = line(created_at=PAID - timedelta(minutes=10))
    assert rules.decide(order, Evidence(touches=(between,)), DEFAULT).state == State.PROVISIONAL
    expired = touched(A, 7 * DAY + timedelta(minutes=5))
    assert rules.decide(order, Evidence(touches=(expired,)), DEFAULT).state == State.LIVE


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(member=1, override=OverrideFact(1, replace(A, is_employed=False), "a", "b")),
        Evidence(member=1, cashier=replace(A, is_employed=False)),
        Evidence(member=1, touches=(touched(replace(A, is_employed=False)),)),
        Evidence(member=1, binding=bound(replace(A, is_employed=False))),
    ],
)
def test_a9_a_guide_who_left_gets_no_new_accrual(evidence: Evidence) -> None:
    """A9."""
    decision = rules.decide(line(), evidence, DEFAULT)
    assert decision.candidates[0].reason == Reason.GUIDE_NOT_EMPLOYED == Fault.GUIDE_NOT_EMPLOYED
    assert [share.beneficiary for share in decision.shares] == ["HQ_POOL"]


def test_naive_times_are_refused() -> None:
    with pytest.raises(TypeError):
        rules.decide(line(paid_at=PAID.replace(tzinfo=None)), Evidence(), DEFAULT)


# Explaining -----------------------------------------------------------------------------------------------------------


def test_a14_explanation_of_a_split() -> None:
    """A14: the text names the rule, the winners, each loser and why, and the money step by step."""
    evidence = Evidence(
        member=1,
        cashier=replace(C, code="G00003"),
        touches=(touched(replace(A, code="G00001")), touched(replace(C, code="G00004"), 8 * DAY, id=2)),
        binding=bound(replace(B, code="G00002")),
    )
    order = line(70_400, points_fen=1_500)
    decision = rules.decide(order, evidence, Rule(mode=Mode.SPLIT))
    assert rules.explain(decision, rule_name="默认规则 v1", line=order, names={"G00001": "牛嘉娟"}) == [
        "规则：默认规则 v1，销售与服务分摊；按付款时刻 2025-06-10 20:00:00 的事实判定。",
        "获得者：分享触点 牛嘉娟（G00001）（触点 1）——作为销售方参与分摊。",
        "获得者：专属关系 导购 G00002——作为服务方参与分摊。",
        "未获得：收银导购 导购 G00003——本规则模式不采用该类候选。",
        "未获得：分享触点 导购 G00004（触点 2）——触点在下单时已过期。",
        "未获得：总部池——有效，但排位在获得者之后。",
        "计佣基数：实付 704.00 元 − 积分与礼品卡 15.00 元 = 689.00 元。",
        "佣金：689.00 元 × 5 % = 34.45 元（四舍五入到分）。",
        "分配：牛嘉娟（G00001）（销售）占 70 %，24.12 元。",
        "分配：导购 G00002（服务）占 30 %，10.33 元。",
        "状态：已生效。",
    ]


def test_a14_explanation_of_other_states() -> None:
    """A14."""
    provisional = rules.explain(rules.decide(line(), Evidence(), DEFAULT), rule_name="默认规则")
    assert provisional[-1] == (
        "状态：暂定。买家身份未知且无人认领，2025-06-25 20:00:00 前补关联会员可改判，逾期即为最终结果。"
    )
    held = rules.explain(rules.decide(line(risk_mark="刷单"), Evidence(), DEFAULT), rule_name="默认规则")
    assert held[-1] == "状态：暂缓。订单带有风险标记（刷单），解除前不入账。"
    ineligible = rules.explain(rules.decide(line(is_voided=True), Evidence(), DEFAULT), rule_name="默认规则")
    assert ineligible[1:] == ["状态：不计佣。原因：已作废的订单行。"]
    capped = rules.explain(rules.decide(line(), Evidence(), Rule(cap_fen=1_000)), rule_name="默认规则")
    assert "佣金：689.00 元 × 5 %，封顶为 10.00 元。" in capped


@given(order=lines, evidence=evidences, rule=some_rules)
@settings(max_examples=100, deadline=None)
def test_a14_every_decision_can_be_explained(order: OrderFacts, evidence: Evidence, rule: Rule) -> None:
    """A14: one sentence per candidate and per share, whatever the reasons."""
    decision = rules.decide(order, evidence, rule)
    sentences = rules.explain(decision, rule_name="默认规则", line=order)
    losers = [s for s in sentences if s.startswith("未获得：")]
    assert len(losers) == len(decision.candidates) - len(decision.winners)
    assert len([s for s in sentences if s.startswith("分配：")]) == len(decision.shares)


def test_a14_every_reason_has_its_sentence() -> None:
    """A14."""
    assert explanation.REASONS.keys() == {*Reason, *Fault}
    assert explanation.MODES.keys() == set(Mode)
    assert explanation.ROLES.keys() == set(Role)
