from attribution.models.decisions import Decision
from attribution.models.figures import FigureMark, StoreDay, StoreStock
from attribution.models.intake import ChannelEndpoint, ChannelEvent
from attribution.models.ledger import Account, Beneficiary, Entry, Hold, Txn
from attribution.models.overrides import Override
from attribution.models.rules import RuleBudget, RuleLayer, RuleRate, RuleTier, RuleVersion

__all__ = [
    "Account", "Beneficiary", "ChannelEndpoint", "ChannelEvent", "Decision", "Entry", "FigureMark", "Hold", "Override",
    "RuleBudget", "RuleLayer", "RuleRate", "RuleTier", "RuleVersion", "StoreDay", "StoreStock", "Txn",
]  # fmt: skip
