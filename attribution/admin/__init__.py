"""Rules, decisions, the ledger, channel deliveries and the overview in the console."""

from attribution.admin import decisions, intake, ledger, rules, settlement

__all__ = ["decisions", "intake", "ledger", "rules", "settlement"]
