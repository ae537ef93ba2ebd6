"""How an order line finds its guide (归属规则): a pure function of order, facts as of payment and rule version.

1. A line flagged as test, gift card, wholesale, staff price or voided is not eligible; nothing else makes it so. A
   line with a risk mark (风险标记) is decided but held back.
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
7. The rate is that of (channel, category), else category, else channel, else of everything; NULL inherits, 0 is zero.
8. When the winner's store belongs to another company than HQ and HQ's shop took the order, that company has the
   entity share (主体分成) and bears its guide's commission out of it.
9. The digest is SHA-256 over the facts that counted and the outcome: neither the order in which touches arrive nor
   the time zone of a date changes it.
"""

from attribution.rules.decision import HQ_POOL, POS, Candidate, Decision, Reason, State, decide, ineligibility
from attribution.rules.explanation import explain
from attribution.rules.facts import HQ_ENTITY, BindingFact, Evidence, GuideFact, OrderFacts, OverrideFact, binding_as_of
from attribution.rules.version import Mode, Rule, is_linked_too_late, rate_for, resolve

__all__ = [
    "HQ_ENTITY",
    "HQ_POOL",
    "POS",
    "BindingFact",
    "Candidate",
    "Decision",
    "Evidence",
    "GuideFact",
    "Mode",
    "OrderFacts",
    "OverrideFact",
    "Reason",
    "Rule",
    "State",
    "binding_as_of",
    "decide",
    "explain",
    "ineligibility",
    "is_linked_too_late",
    "rate_for",
    "resolve",
]
