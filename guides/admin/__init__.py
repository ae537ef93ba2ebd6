"""Guides, employments, delegations, bindings, codes, welcomes and tags in the console."""

from guides.admin import bindings, directory, handover, staff, tags, touches, ways, welcomes

__all__ = ["bindings", "directory", "handover", "staff", "tags", "touches", "ways", "welcomes"]
