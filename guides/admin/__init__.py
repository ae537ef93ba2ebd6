"""Guides, employments, bindings, WeCom's contacts, codes, welcomes and tags in the console."""

from guides.admin import (
    actions,
    bindings,
    brand_ips,
    contacts,
    directory,
    handover,
    integrity,
    rewards,
    staff,
    tags,
    touches,
    ways,
    welcomes,
)

__all__ = [
    "actions",
    "bindings",
    "brand_ips",
    "contacts",
    "directory",
    "handover",
    "integrity",
    "rewards",
    "staff",
    "tags",
    "touches",
    "ways",
    "welcomes",
]
