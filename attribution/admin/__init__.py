"""Rules, simulations, decisions, the ledger, channel deliveries, shops on platforms, bills, the overview and the fairness panel."""

from attribution.admin import bills, channels, decisions, fairness, intake, ledger, rules, simulation

__all__ = ["bills", "channels", "decisions", "fairness", "intake", "ledger", "rules", "simulation"]
