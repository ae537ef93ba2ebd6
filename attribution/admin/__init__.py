"""Rules, decisions, the ledger, channel deliveries and the overview in the console."""

from attribution.admin import decisions, disputes, intake, ledger, rules

__all__ = ["decisions", "disputes", "intake", "ledger", "rules"]
