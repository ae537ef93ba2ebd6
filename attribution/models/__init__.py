from attribution.models.bills import ChannelBill, ChannelBillLine, ChannelDifference
from attribution.models.blocks import MoneyBlock
from attribution.models.caps import MonthCap
from attribution.models.channels import ChannelCursor, ChannelNotice, ChannelShop, StrangePush
from attribution.models.decisions import Decision
from attribution.models.disputes import Dispute, DisputeEvidence
from attribution.models.fairness import FairnessDay, FairnessMark, GuideDay
from attribution.models.figures import FigureMark, StoreDay, StoreStock
from attribution.models.intake import ChannelEndpoint, ChannelEvent
from attribution.models.ledger import Account, Beneficiary, Entry, Hold, Txn
from attribution.models.overrides import Override
from attribution.models.payments import PayMerchant, PayNotice
from attribution.models.periods import ClosedPeriod
from attribution.models.pos import PosDay
from attribution.models.rules import RuleBudget, RuleLayer, RuleRate, RuleTier, RuleVersion
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
from attribution.models.simulation import ChangedLine, Simulation, SimulationRow, SimulationSlice

__all__ = [
    "Account", "Batch", "BatchLine", "Beneficiary", "ChangedLine", "ChannelBill", "ChannelBillLine", "ChannelCursor",
    "ChannelDifference", "ChannelEndpoint", "ChannelEvent", "ChannelNotice", "ChannelShop", "ClosedPeriod", "Decision",
    "Dispute", "DisputeEvidence", "Entry", "FairnessDay", "FairnessMark", "FigureMark", "GuideDay", "Hold", "MoneyBlock", "MonthCap",
    "Override", "PayMerchant", "PayNotice", "Payment", "PayoutFile", "PayoutResult", "PosDay", "Proof", "RuleBudget", "RuleLayer", "RuleRate", "RuleTier",
    "RuleVersion", "SettlementTerms", "Simulation", "SimulationRow", "SimulationSlice", "Statement", "StoreDay",
    "StoreStock", "StrangePush", "Txn",
]  # fmt: skip
