"""Forms (同类行): lines that a rule decides alike but for the names are decided once.

1. A candidate with a fault never wins, and of the touches the first valid one claims the line. So a line's form is: its rule,
   which valid candidates it has, of which companies, and which of them are one person.
2. The decision of a form is ``rules.choose`` on made-up names; a line of that form puts its own in their place. Nothing in
   a choice hangs on a name except that two are the same.
3. Lines with anything rarer (a flag, an override, a delegation, a brand IP, a guide who has left, a fulfilment fee, an
   exchange, a buyer who is a guide) have no form: they are decided one by one.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from attribution import evidence, rulebook, rules
from attribution.commissions import Base, Pot, Share
from attribution.rules.digests import EPOCH
from guides import touches

Actor = tuple[str, str | None]  # beneficiary, store


class Outcome(NamedTuple):
    """What a rule makes of a line. The share of ``shares`` at a place is that of the actor at the same place of ``actors``."""

    is_posted: bool
    shares: tuple[Share, ...]
    actors: tuple[Actor, ...]
    sold: tuple[tuple[str, str | None, int], ...]  # beneficiary, store, bp of the credit
    rate_bp: int
    cap_fen: int | None
    budget: str
    basis: Base
    fees: tuple[Pot, ...] = ()


def outcome_of(found: rules.Decision) -> Outcome:
    """Of a line that was decided by itself."""
    is_posted = found.state in (rules.State.LIVE, rules.State.PROVISIONAL)
    sold = rules.credits(found) if is_posted else ()
    return Outcome(
        is_posted, found.shares, tuple((share.beneficiary, share.store) for share in found.shares), sold, found.rate_bp,
        found.cap_fen, found.budget, found.basis, found.fees,
    )  # fmt: skip


class _Form(NamedTuple):
    """``who`` and ``sellers``: the place of the candidate in the line's own list, or who it is whatever the line."""

    shares: tuple[Share, ...]
    who: tuple[int | Actor, ...]
    sellers: tuple[tuple[int | Actor, int], ...]
    rule: rules.Rule
    rate_bp: int


# the candidates by their place, with the names and the stores that stand for them
CASHIER, TOUCH, BINDING, HOME = range(4)
NAMES = ("cashier", "touch", "binding", "STORE:home")
STORES = ("S-cashier", "S-touch", "S-binding", "home")
FOREVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)

Key = tuple[int, bool, bool, str | None, str | None, str | None, bool, bool, bool, bool, str]


class Forms:
    """The forms that a run has met so far, few whatever the number of lines; and the guides."""

    def __init__(self) -> None:
        self.staff = evidence.Staff()
        self._known: dict[Key, _Form | None] = {}
        self._rules: list[rules.Rule] = []  # kept alive: a form knows its rule by its address

    def outcome(self, line: evidence.Line, around: evidence.Surroundings, version: rulebook.Version) -> Outcome | None:
        """None: this line has to be decided by itself."""
        if _is_rare(line, around):
            return None
        place = around.place(line)
        rule = version.rule_for(place)
        found = _candidates(line, around, version, place, rule)
        if found is None:
            return None
        cashier, touch, binding = found
        is_known = line.member_id is not None
        key: Key = (
            id(rule), line.channel == rules.POS, is_known, cashier.entity if cashier else None,
            touch.entity if touch else None, binding.entity if binding else None,
            is_known and line.home_store_id is not None, _is_one(cashier, binding), _is_one(touch, binding),
            _is_one(touch, cashier), place.shop_entity,
        )  # fmt: skip
        try:
            form = self._known[key]
        except KeyError:
            form = self._known[key] = _decide(key, rule)
            self._rules.append(rule)
        if form is None:
            return None
        shares, who, sellers, _rule, rate_bp = form
        actors = tuple([_actor(one, line, around, found) for one in who])
        if len(who) == 1 and len(sellers) == 1 and sellers[0][0] == who[0]:  # nearly every line
            sold: tuple[tuple[str, str | None, int], ...] = ((*actors[0], sellers[0][1]),)
        else:
            sold = tuple([(*_actor(one, line, around, found), bp) for one, bp in sellers])
        return Outcome(True, shares, actors, sold, rate_bp, rule.cap_fen, rule.budget, rule.base)


Found = tuple[rules.GuideFact | None, rules.GuideFact | None, rules.GuideFact | None]  # by CASHIER, TOUCH, BINDING


def _candidates(
    line: evidence.Line, around: evidence.Surroundings, version: rulebook.Version, place: rules.Place, rule: rules.Rule
) -> Found | None:
    """Those without a fault; None: the binding is more than one guide."""
    staff, as_of = around.staff, line.as_of
    cashier = touch = binding = None
    if line.cashier_code and (guide_id := around.by_code.get(line.cashier_code)) is not None:
        cashier = staff.alone(guide_id, as_of) or staff.fact(guide_id, as_of)
        if not cashier.is_employed:
            cashier = None
    if (pairs := around.touches.get(line.id)) is not None:
        touch = _claiming(pairs, line, place, rule, staff)
    guide_id = line.binding_guide_id
    if guide_id is not None:
        binding = staff.alone(guide_id, as_of)
        if binding is None:
            if staff.ip(guide_id, as_of) is not None or staff.delegation(guide_id, as_of) is not None:
                return None
            binding = staff.fact(guide_id, as_of)
            if not binding.is_employed:
                return None
        until = evidence.valid_until(line, version)
        if until is not None and until <= as_of:
            binding = None
    return cashier, touch, binding


def _actor(which: int | Actor, line: evidence.Line, around: evidence.Surroundings, found: Found) -> Actor:
    """Who stands at that place of the form."""
    if not isinstance(which, int):
        return which
    if which == HOME:
        store = around.store_code(line.home_store_id)
        return f"STORE:{store}", store
    guide = found[which]
    assert guide is not None
    return guide.code, around.store_code(line.binding_store_id) if which == BINDING else guide.store


def _is_one(one: rules.GuideFact | None, other: rules.GuideFact | None) -> bool:
    return one is not None and other is not None and (one is other or one.code == other.code)


def _is_rare(line: evidence.Line, around: evidence.Surroundings) -> bool:
    """Whether a line has something that a form does not tell."""
    return bool(
        line.is_test or line.is_gift_card or line.is_wholesale or line.is_staff_price or line.is_voided
        or line.risk_mark or line.exchange_of or line.group_state == "FAILED" or line.fulfil_store_id
        or line.id in around.overrides or around.may_be_guide(line)
    )  # fmt: skip


def _claiming(
    pairs: evidence.Touches, line: evidence.Line, place: rules.Place, rule: rules.Rule, staff: evidence.Staff
) -> rules.GuideFact | None:
    """The guide of the first touch without a fault."""
    created_at, as_of, windows = line.created_at, line.as_of, rule.windows
    for touch, guide_id in pairs:  # the latest first, none after the order
        guide = staff.alone(guide_id, as_of) or staff.fact(guide_id, as_of)
        if not touches.fault(touch, place, created_at=created_at, is_employed=guide.is_employed, windows=windows):
            return guide
    return None


def _decide(key: Key, rule: rules.Rule) -> _Form | None:
    """The form of ``key`` under made-up names; None where two of its shares are told apart by nothing but a name."""
    _, is_pos, is_known, cashier, touch, binding, has_home, is_own_till, is_own_touch, is_tillers_touch, shop = key
    names = list(NAMES)
    if is_own_till:
        names[CASHIER] = names[BINDING]
    if is_own_touch:
        names[TOUCH] = names[BINDING]
    elif is_tillers_touch:
        names[TOUCH] = names[CASHIER]

    def guide(which: int, entity: str | None) -> rules.GuideFact | None:
        return rules.GuideFact(names[which], STORES[which], entity=entity) if entity is not None else None

    till, toucher, bound = guide(CASHIER, cashier), guide(TOUCH, touch), guide(BINDING, binding)
    line = rules.OrderFacts(
        channel=rules.POS if is_pos else "", shop="", order_no="", line_no="", version=EPOCH, paid_at=EPOCH, paid_fen=0,
        shop_entity=shop,
    )  # fmt: skip
    seen = touches.Touch(1, names[TOUCH], touches.TouchKind.SHARE, EPOCH, FOREVER)
    choice = rules.choose(
        line,
        rules.Evidence(
            member=1 if is_known else None,
            cashier=till,
            touches=((seen, toucher),) if toucher else (),
            binding=rules.BindingFact(1, STORES[BINDING], EPOCH, guide=bound) if bound else None,
            home_store=STORES[HOME] if has_home else None,
        ),
        rule,
    )
    found = rules.seal(line, rules.Evidence(), rule, *choice)
    if len({share.role for share in found.shares}) < len(found.shares):
        return None
    return _Form(
        found.shares,
        tuple(_place(share.beneficiary, share.store) for share in found.shares),
        tuple((_place(credit.beneficiary, credit.store), credit.bp) for credit in rules.credits(found)),
        rule,
        found.rate_bp,
    )


def _place(beneficiary: str, store: str | None) -> int | Actor:
    """Which candidate this is, told by the store; the pool and the companies have none and are who they are."""
    return STORES.index(store) if store is not None else (beneficiary, store)
