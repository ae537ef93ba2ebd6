"""Rules, simulations, decisions, overrides, disputes, the ledger, deliveries, shops on platforms, bills, overview and fairness."""

from attribution.admin import (
    bills,
    channels,
    decisions,
    disputes,
    fairness,
    intake,
    ledger,
    overrides,
    rules,
    settlement,
    simulation,
)

__all__ = [
    "bills",
    "channels",
    "decisions",
    "disputes",
    "fairness",
    "intake",
    "ledger",
    "overrides",
    "rules",
    "settlement",
    "simulation",
]
