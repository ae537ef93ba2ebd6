from attribution.models.blocks import MoneyBlock
from attribution.models.decisions import Decision
from attribution.models.figures import FigureMark, StoreDay, StoreStock
from attribution.models.intake import ChannelEndpoint, ChannelEvent
from attribution.models.ledger import Account, Beneficiary, Entry, Hold, Txn
from attribution.models.periods import ClosedPeriod
from attribution.models.rules import RuleRate, RuleVersion
from attribution.models.settlement import (
    Batch,
    BatchLine,
    Payment,
    PayoutFile,
    PayoutResult,
    Proof,
    SettlementTerms,
    Statement,
)

__all__ = [
    "Account",
    "Batch",
    "BatchLine",
    "Beneficiary",
    "ChannelEndpoint",
    "ChannelEvent",
    "ClosedPeriod",
    "Decision",
    "Entry",
    "FigureMark",
    "Hold",
    "MoneyBlock",
    "Payment",
    "PayoutFile",
    "PayoutResult",
    "Proof",
    "RuleRate",
    "RuleVersion",
    "SettlementTerms",
    "Statement",
    "StoreDay",
    "StoreStock",
    "Txn",
]
