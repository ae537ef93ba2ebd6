"""How an order line finds its guide (归属规则): a pure function of order, facts as of payment and rule version.

1. A line flagged as test, gift card, wholesale, staff price, voided or of a group buy that failed is not eligible;
   nothing else makes it so. A line with a risk mark (风险标记) is decided but held back.
2. The candidates (候选) are: C0 a manual override approved by a second person, C1 the cashier on the ticket, C2 the
   touches, latest first, C3 the active binding, C4 the home store's pool, C5 the HQ pool (总部池), which is always
   there.
3. A candidate is dropped when its guide was not employed at payment, or when she is the buyer herself (自购).
4. The mode orders the candidates; the first valid one wins. In the split mode (分摊) the seller is the cashier at a
   till, else the touch, and the service guide is the binding; when one is missing or both are the same person, the
   other takes all.
5. C3 and C4 need a known member. An unknown buyer whom nobody claims goes to the HQ pool provisionally until the
   late-link window (补关联期) ends; an identity linked inside the window decides the line anew, one linked later
   changes nothing.
6. The binding's guide on leave shares with her delegate (代班). When she has left and the hand-over is pending, the
   store's pool takes her place if the rule has the gap rule, with what it leaves over to the successor. A brand IP
   (品牌号) shares with the member's home store.
7. Rates, weights, windows and all else come from the layers of the version (``layers``); NULL inherits, 0 is zero.
8. When the winner's store belongs to another company than HQ and HQ's shop took the order, that company has the
   entity share (主体分成) and bears its guide's commission out of it.
9. A store that hands over or ships an order that another one took has the fulfilment fee (履约费), part of it her clerk's:
   a pot of its own, paid by a budget of its own.
10. The digest is SHA-256 over the facts that counted and the outcome: neither the order in which touches arrive nor
   the time zone of a date changes it.
"""

from attribution.commissions import Pot
from attribution.rules.decision import (
    HQ_POOL,
    POS,
    Candidate,
    Choice,
    Decision,
    Reason,
    State,
    choose,
    decide,
    fees,
    ineligibility,
    is_reopened_by_buyer,
    pot_of,
    pot_row,
    seal,
)
from attribution.rules.explanation import explain
from attribution.rules.facts import HQ_ENTITY, BindingFact, Evidence, GuideFact, OrderFacts, OverrideFact, binding_as_of
from attribution.rules.layers import FIELDS, NO_CAP, Layer, Layers, Place, Placed, Scope, Value, conflicts
from attribution.rules.payables import Credit, Payable, credits, payables  # noqa: A004 - the credit for a sale
from attribution.rules.telling import in_one_sentence
from attribution.rules.version import Mode, Rule, is_linked_too_late

__all__ = [
    "FIELDS", "HQ_ENTITY", "HQ_POOL", "NO_CAP", "POS", "BindingFact", "Candidate", "Choice", "Credit", "Decision", "Evidence",
    "GuideFact", "Layer", "Layers", "Mode", "OrderFacts", "OverrideFact", "Payable", "Place", "Placed", "Pot", "Reason", "Rule", "Scope",
    "State", "Value", "binding_as_of", "choose", "conflicts", "credits", "decide", "explain", "fees", "in_one_sentence", "ineligibility", "is_linked_too_late",
    "is_reopened_by_buyer", "payables", "pot_of", "pot_row", "seal",
]  # fmt: skip
