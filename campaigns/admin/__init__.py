"""Campaigns in the console."""

from campaigns.admin import (
    calendar,
    calendar_days,
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
    reservoirs,
    scripts,
    sends,
    sops,
)

__all__ = [
    "calendar",
    "calendar_days",
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
    "reservoirs",
    "scripts",
    "sends",
    "sops",
]
