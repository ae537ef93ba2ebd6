"""Campaigns in the console."""

from campaigns.admin import (
    calendar,
    calendar_days,
    chain_orders,
    content,
    experiments,
    groups,
    groups_entry,
    groups_fleet,
    holdouts,
    knowledge,
    links,
    moments,
    posters,
    scripts,
    sends,
    sops,
)

__all__ = [
    "calendar",
    "calendar_days",
    "chain_orders",
    "content",
    "experiments",
    "groups",
    "groups_entry",
    "groups_fleet",
    "holdouts",
    "knowledge",
    "links",
    "moments",
    "posters",
    "scripts",
    "sends",
    "sops",
]
