"""Rules, decisions, the ledger, channel deliveries, shops on platforms, bills and the overview in the console."""

from attribution.admin import bills, channels, decisions, disputes, intake, ledger, rules, settlement

__all__ = ["bills", "channels", "decisions", "disputes", "intake", "ledger", "rules", "settlement"]
