"""Collecting the candidates, choosing among them, sharing the pot, sealing the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from attribution import commissions
from attribution.commissions import BP, Base, Pot, PotKind, Role, Share
from attribution.rules.digests import micros, sha256
from attribution.rules.facts import HQ_ENTITY, Evidence, GuideFact, OrderFacts
from attribution.rules.version import Mode, Rule, is_linked_too_late
from guides import touches

HQ_POOL = "HQ_POOL"
POS = "POS"  # the channel of the tills


class State(StrEnum):
    PROVISIONAL = "PROVISIONAL"
    LIVE = "LIVE"
    HELD = "HELD"
    INELIGIBLE = "INELIGIBLE"


class Reason(StrEnum):
    """What became of a candidate, or why a line is not eligible. A touch may also carry a `touches.Fault`."""

    WON = "WON"
    WON_SELLER = "WON_SELLER"
    WON_SERVICE = "WON_SERVICE"
    SAME_PERSON = "SAME_PERSON"
    OUTRANKED = "OUTRANKED"
    NOT_IN_MODE = "NOT_IN_MODE"
    NOT_APPROVED = "NOT_APPROVED"
    UNKNOWN_GUIDE = "UNKNOWN_GUIDE"
    GUIDE_NOT_EMPLOYED = "GUIDE_NOT_EMPLOYED"
    SELF_DEAL = "SELF_DEAL"
    BINDING_NOT_ACTIVE = "BINDING_NOT_ACTIVE"
    LATE_LINK = "LATE_LINK"
    IS_TEST = "IS_TEST"
    IS_GIFT_CARD = "IS_GIFT_CARD"
    IS_WHOLESALE = "IS_WHOLESALE"
    IS_STAFF_PRICE = "IS_STAFF_PRICE"
    IS_VOIDED = "IS_VOIDED"
    IS_GROUP_FAILED = "IS_GROUP_FAILED"


PRECEDENCE = {
    Mode.SERVICE_FIRST: ("C0", "C3", "C2", "C1", "C4", "C5"),
    Mode.SHARE_FIRST: ("C0", "C2", "C3", "C1", "C4", "C5"),
    Mode.POS_FIRST: ("C0", "C1", "C3", "C4", "C5", "C2"),
    Mode.SPLIT: ("C0", "C1", "C2", "C3", "C4", "C5"),
}


class Candidate(NamedTuple):
    """`ref` names the evidence (override, touch or binding id, guide or store code)."""

    type: str
    ref: str
    beneficiary: str
    store: str | None
    ok: bool
    reason: str


class Decision(NamedTuple):
    """The shares split the pot, `commissions.pot(base_fen, rate_bp, cap_fen)`; `reason` is why INELIGIBLE or HELD.

    `fees` are the pots beside the commission.
    """

    state: State
    as_of: datetime
    rule_digest: str
    mode: Mode
    candidates: tuple[Candidate, ...]
    shares: tuple[Share, ...]
    base_fen: int
    rate_bp: int
    cap_fen: int | None
    pot_fen: int
    reason: str
    provisional_until: datetime | None
    digest: str
    budget: str = "brand"
    basis: Base = Base.NET
    fees: tuple[Pot, ...] = ()

    @property
    def pots(self) -> tuple[Pot, ...]:
        """The commission first, then the fees; empty when the line is not eligible."""
        if not self.shares:
            return ()
        main = Pot(
            PotKind.MAIN, self.budget, self.base_fen, self.rate_bp, self.cap_fen, self.pot_fen, self.shares,
            False, self.basis,
        )  # fmt: skip
        return (main, *self.fees)

    @property
    def is_posted(self) -> bool:
        """Whether the ledger has a transaction for it."""
        if self.state not in (State.LIVE, State.PROVISIONAL):
            return False
        return self.pot_fen > 0 or any(fee.amount_fen for fee in self.fees)

    @property
    def winners(self) -> tuple[Candidate, ...]:
        return tuple(c for c in self.candidates if c.reason in (Reason.WON, Reason.WON_SELLER, Reason.WON_SERVICE))


class _Found(NamedTuple):
    """A candidate before the winner is known: `fault` is None when it is valid by itself."""

    type: str
    ref: str
    beneficiary: str
    store: str | None
    fault: str | None
    entity: str


HQ_FOUND = _Found("C5", HQ_POOL, HQ_POOL, None, None, HQ_ENTITY)
HQ_SHARE = Share(Role.HQ, HQ_POOL, None, BP)


class Choice(NamedTuple):
    """A decision without its money and its digest: what lines of one kind have in common."""

    state: State
    candidates: tuple[Candidate, ...]
    shares: tuple[Share, ...]
    rate_bp: int
    reason: str


def decide(line: OrderFacts, evidence: Evidence, rule: Rule) -> Decision:
    """Who gets the credit of the line, and how the commission is shared."""
    return seal(line, evidence, rule, *choose(line, evidence, rule))


def choose(line: OrderFacts, evidence: Evidence, rule: Rule) -> Choice:
    """Who gets the credit of the line, whatever it costs."""
    flag = ineligibility(line)
    if flag is not None:
        return Choice(State.INELIGIBLE, (), (), 0, flag)
    is_late = is_linked_too_late(line.paid_at, evidence.linked_at, rule)
    found = _collect(line, evidence, rule, is_late)
    winners = _split_winners(found, rule) if rule.mode == Mode.SPLIT else _first(found)
    shares = _shares(winners, line, evidence, rule)
    rate_bp = rule.rate_bp
    entity = winners[-1].found.entity
    if entity != HQ_ENTITY and line.shop_entity == HQ_ENTITY:
        entity_bp = rule.entity_share_of(entity)
        if entity_bp > rate_bp:
            shares = _with_entity(shares, entity, rate_bp, entity_bp)
            rate_bp = entity_bp
    if line.risk_mark:
        state = State.HELD
    elif evidence.member is None and winners[0].found is HQ_FOUND:
        state = State.PROVISIONAL
    else:
        state = State.LIVE
    return Choice(state, _judged(found, winners, rule.mode), shares, rate_bp, line.risk_mark)


def is_reopened_by_buyer(state: str, shares: Iterable[Share], line: OrderFacts, evidence: Evidence, rule: Rule) -> bool:
    """Whether a decision taken without a member is taken again, now that the evidence knows her: it was provisional, or she is
    herself one of those it credited. Nobody earns by her own purchase, however late it comes out whose it was (A7)."""
    if evidence.member is None:
        return False
    if state == State.PROVISIONAL:
        return True
    if state != State.LIVE:
        return False
    credited = {share.beneficiary for share in shares}
    found = choose(line, evidence, rule).candidates
    return any(one.reason == Reason.SELF_DEAL and one.beneficiary in credited for one in found)


def ineligibility(line: OrderFacts) -> Reason | None:
    """The first flag that takes the line out of commission."""
    if line.is_test:
        return Reason.IS_TEST
    if line.is_gift_card:
        return Reason.IS_GIFT_CARD
    if line.is_wholesale:
        return Reason.IS_WHOLESALE
    if line.is_staff_price:
        return Reason.IS_STAFF_PRICE
    if line.is_group_failed:
        return Reason.IS_GROUP_FAILED
    return Reason.IS_VOIDED if line.is_voided else None


# Collecting -----------------------------------------------------------------------------------------------------------


def _collect(line: OrderFacts, evidence: Evidence, rule: Rule, is_late: bool) -> list[_Found]:
    """Every candidate that exists, in the order of the mode."""
    found: list[_Found] = []
    for kind in PRECEDENCE[rule.mode]:
        if kind == "C5":
            found.append(HQ_FOUND)
        else:
            COLLECTORS[kind](found, line, evidence, rule, is_late)
    return found


def _override(found: list[_Found], line: OrderFacts, evidence: Evidence, rule: Rule, is_late: bool) -> None:
    override = evidence.override
    if override is None:
        return
    is_approved = override.approved_by is not None and override.approved_by != override.requested_by
    fault = _guide_fault(override.guide, line, evidence, rule) if is_approved else Reason.NOT_APPROVED
    guide = override.guide
    found.append(_Found("C0", str(override.id), guide.code, guide.store, fault, guide.entity))


def _cashier(found: list[_Found], line: OrderFacts, evidence: Evidence, rule: Rule, is_late: bool) -> None:
    guide = evidence.cashier
    if guide is not None:
        fault = _guide_fault(guide, line, evidence, rule)
        if rule.mode == Mode.SPLIT and line.channel != POS:
            fault = Reason.NOT_IN_MODE
        found.append(_Found("C1", guide.code, guide.code, guide.store, fault, guide.entity))
    elif line.cashier:
        found.append(_Found("C1", line.cashier, line.cashier, None, Reason.UNKNOWN_GUIDE, HQ_ENTITY))


def _touches(found: list[_Found], line: OrderFacts, evidence: Evidence, rule: Rule, is_late: bool) -> None:
    if not evidence.touches:
        return
    created_at = line.created_at or line.paid_at
    guides = {touch.id: guide for touch, guide in evidence.touches}
    is_out = rule.mode == Mode.POS_FIRST
    for touch in touches.latest_first((touch for touch, _ in evidence.touches), created_at=created_at):
        guide = guides[touch.id]
        fault: str | None = Reason.NOT_IN_MODE
        if not is_out:
            fault = touches.fault(
                touch, line, created_at=created_at, is_employed=guide.is_employed, windows=rule.windows
            ) or _guide_fault(guide, line, evidence, rule)
        found.append(_Found("C2", str(touch.id), guide.code, guide.store, fault, guide.entity))


def _binding(found: list[_Found], line: OrderFacts, evidence: Evidence, rule: Rule, is_late: bool) -> None:
    binding = evidence.binding
    if binding is None or evidence.member is None:
        return
    guide, fault, entity = binding.guide, None, HQ_ENTITY
    if guide is not None:
        beneficiary, entity = guide.code, guide.entity
        fault = _guide_fault(guide, line, evidence, rule)
        if not guide.is_employed and binding.is_transfer_pending and rule.gap_pool_bp and binding.store:
            beneficiary, fault = f"STORE:{binding.store}", None
    else:
        beneficiary = f"IP:{binding.ip}"
    paid_at = line.paid_at
    is_active = (
        binding.started_at <= paid_at
        and (binding.ended_at is None or paid_at < binding.ended_at)
        and (binding.valid_until is None or paid_at < binding.valid_until)
    )
    if not is_active:
        fault = Reason.BINDING_NOT_ACTIVE
    if is_late:
        fault = Reason.LATE_LINK
    found.append(_Found("C3", str(binding.id), beneficiary, binding.store, fault, entity))


def _home(found: list[_Found], line: OrderFacts, evidence: Evidence, rule: Rule, is_late: bool) -> None:
    if rule.home_pool_bp and evidence.home_store and evidence.member is not None:
        store = evidence.home_store
        found.append(_Found("C4", store, f"STORE:{store}", store, Reason.LATE_LINK if is_late else None, HQ_ENTITY))


COLLECTORS: dict[str, Callable[[list[_Found], OrderFacts, Evidence, Rule, bool], None]] = {
    "C0": _override,
    "C1": _cashier,
    "C2": _touches,
    "C3": _binding,
    "C4": _home,
}


def _guide_fault(guide: GuideFact, line: OrderFacts, evidence: Evidence, rule: Rule) -> str | None:
    if not guide.is_employed:
        return Reason.GUIDE_NOT_EMPLOYED
    if guide.keys and not rule.is_self_purchase_paid and not _is_stranger(guide.keys, line, evidence):
        return Reason.SELF_DEAL
    return None


def _is_stranger(keys: frozenset[str], line: OrderFacts, evidence: Evidence) -> bool:
    return keys.isdisjoint(evidence.buyer_keys) and keys.isdisjoint(line.buyer_keys)


# Choosing and sharing -------------------------------------------------------------------------------------------------


class _Won(NamedTuple):
    found: _Found
    role: Role
    weight: int
    reason: Reason


ROLE_OF = {"C0": Role.SELLER, "C1": Role.SELLER, "C2": Role.SELLER, "C3": Role.SERVICE, "C4": Role.HOME, "C5": Role.HQ}


def _first(found: list[_Found]) -> tuple[_Won, ...]:
    """The first valid candidate takes the whole."""
    for candidate in found:
        if candidate.fault is None:
            return (_Won(candidate, ROLE_OF[candidate.type], BP, Reason.WON),)
    raise AssertionError("C5 is always valid")


def _split_winners(found: list[_Found], rule: Rule) -> tuple[_Won, ...]:
    """Seller and service guide by the weights of the rule; service last."""
    valid = [candidate for candidate in found if candidate.fault is None]
    if valid[0].type == "C0":
        return _first(valid)
    seller = next((candidate for candidate in valid if candidate.type in ("C1", "C2")), None)
    service = next((candidate for candidate in valid if candidate.type == "C3"), None)
    if seller is None or service is None or seller.beneficiary == service.beneficiary:
        return _first(valid)
    return (
        _Won(seller, Role.SELLER, rule.seller_bp, Reason.WON_SELLER),
        _Won(service, Role.SERVICE, rule.service_bp, Reason.WON_SERVICE),
    )


def _shares(winners: tuple[_Won, ...], line: OrderFacts, evidence: Evidence, rule: Rule) -> tuple[Share, ...]:
    shares: list[Share] = []
    for found, role, weight, _ in winners:
        if found is HQ_FOUND:
            return (HQ_SHARE,)
        main = Share(role, found.beneficiary, found.store, weight)
        if found.type == "C3":
            shares += _binding_shares(main, line, evidence, rule)
        elif found.type == "C4":
            shares += _pair(main, rule.home_pool_bp, HQ_SHARE)
        else:
            shares.append(main)
    return tuple(share for share in shares if share.weight)


def _binding_shares(main: Share, line: OrderFacts, evidence: Evidence, rule: Rule) -> Sequence[Share]:
    """The binding's part, shared with the delegate, the successor or the home store where there is one."""
    binding = evidence.binding
    assert binding is not None
    if binding.guide is None:
        main = Share(Role.IP, main.beneficiary, main.store, main.weight)
        if evidence.home_store is None:
            return (main,)
        return _pair(main, rule.ip_bp, Share(Role.HOME, f"STORE:{evidence.home_store}", evidence.home_store, 0))
    if main.beneficiary == binding.guide.code:
        other, bp = binding.delegate, BP - binding.delegate_bp
    else:
        other, bp = binding.successor, rule.gap_pool_bp
    if other is None or other.code == main.beneficiary or _guide_fault(other, line, evidence, rule) is not None:
        return (main,)
    return _pair(main, bp, Share(Role.DELEGATE, other.code, other.store, 0))


def _pair(main: Share, main_bp: int, other: Share) -> tuple[Share, Share]:
    """The weight of `main` divided: `main_bp` of it stays, the rest goes to `other`."""
    kept, given = commissions.apportion(main.weight, (main_bp, BP - main_bp), (0, 1))
    return (
        Share(main.role, main.beneficiary, main.store, kept),
        Share(other.role, other.beneficiary, other.store, given),
    )


def _with_entity(shares: tuple[Share, ...], entity: str, rate_bp: int, entity_bp: int) -> tuple[Share, ...]:
    """The entity's pot, out of which it bears the guides' rate. Weights in bp of bp, so that no rate is rounded."""
    borne = [Share(share.role, share.beneficiary, share.store, share.weight * rate_bp) for share in shares]
    net = Share(Role.ENTITY, f"ENTITY:{entity}", None, BP * (entity_bp - rate_bp))
    return tuple(share for share in (*borne, net) if share.weight)


def fees(line: OrderFacts, evidence: Evidence, rule: Rule) -> tuple[Pot, ...]:
    """The fee of the store that hands over or ships for another; a clerk who may not be paid leaves it all to the store."""
    store = line.fulfil_store
    if store is None or not rule.fulfil_fee_bp or store == line.store:
        return ()
    whole = Share(Role.FULFIL, f"STORE:{store}", store, BP)
    clerk = evidence.clerk
    shares: tuple[Share, ...] = (whole,)
    if clerk is not None and _guide_fault(clerk, line, evidence, rule) is None:
        pair = _pair(whole, rule.fulfil_store_bp, Share(Role.FULFIL, clerk.code, store, 0))
        shares = tuple(share for share in pair if share.weight)
    base_fen = commissions.line_base(line.paid_fen, line.points_fen, rule.base)
    amount_fen = commissions.pot(base_fen, rule.fulfil_fee_bp)
    fee = Pot(
        PotKind.FULFIL, rule.fulfil_budget, base_fen, rule.fulfil_fee_bp, None, amount_fen, shares, rule.fulfil_keeps,
        rule.base,
    )  # fmt: skip
    return (fee,)


def _judged(found: list[_Found], winners: tuple[_Won, ...], mode: Mode) -> tuple[Candidate, ...]:
    first = winners[0]
    last = winners[-1]
    judged = []
    for candidate in found:
        kind, ref, beneficiary, store, fault, _ = candidate
        reason: str
        if candidate is first.found:
            reason = first.reason
        elif candidate is last.found:
            reason = last.reason
        elif fault is not None:
            reason = fault
        elif mode == Mode.SPLIT and kind == "C3" and beneficiary == first.found.beneficiary:
            reason = Reason.SAME_PERSON
        else:
            reason = Reason.OUTRANKED
        judged.append(Candidate(kind, ref, beneficiary, store, fault is None, reason))
    return tuple(judged)


def seal(
    line: OrderFacts,
    evidence: Evidence,
    rule: Rule,
    state: State,
    candidates: tuple[Candidate, ...],
    shares: tuple[Share, ...],
    rate_bp: int,
    reason: str,
) -> Decision:
    """The decision with its pots and its digest."""
    base_fen = commissions.line_base(line.paid_fen, line.points_fen, rule.base)
    pot_fen = commissions.pot(base_fen, rate_bp, rule.cap_fen)
    beside = fees(line, evidence, rule) if shares and line.fulfil_store else ()
    paid_at, created_at = line.paid_at, line.created_at
    paid = micros(paid_at)
    created = paid if created_at is None or created_at is paid_at else micros(created_at)
    content: tuple[object, ...] = (
        (line.channel, line.shop, line.order_no, line.line_no, micros(line.version)),
        (paid, created, line.paid_fen, line.points_fen),
        (rule.digest, evidence.member, state, reason, base_fen, rate_bp, pot_fen),
        candidates,
        [(share.role, share.beneficiary, share.store, share.weight) for share in shares],
    )
    if beside:
        content = (*content, [pot_row(fee) for fee in beside])
    until = line.paid_at + rule.late_link if state == State.PROVISIONAL else None
    return Decision(
        state,
        line.paid_at,
        rule.digest,
        rule.mode,
        candidates,
        shares,
        base_fen,
        rate_bp,
        rule.cap_fen,
        pot_fen,
        reason,
        until,
        sha256(content),
        rule.budget,
        rule.base,
        beside,
    )


def pot_row(pot: Pot) -> list[object]:
    """A pot as JSON values, as decisions are stored and digested."""
    shares = [[share.role, share.beneficiary, share.store, share.weight] for share in pot.shares]
    return [*pot[:6], shares, *pot[7:]]


def pot_of(row: Sequence[Any]) -> Pot:
    """The pot of such values."""
    kind, budget, base_fen, rate_bp, cap_fen, amount_fen, shares, keeps, basis = row
    parts = tuple(Share(Role(role), who, store, weight) for role, who, store, weight in shares)
    return Pot(PotKind(kind), budget, base_fen, rate_bp, cap_fen, amount_fen, parts, keeps, Base(basis))
