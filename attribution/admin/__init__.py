"""Rules, simulations, decisions, the ledger, channel deliveries, the overview and the fairness panel in the console."""

from attribution.admin import decisions, fairness, intake, ledger, rules, simulation

__all__ = ["decisions", "fairness", "intake", "ledger", "rules", "simulation"]
