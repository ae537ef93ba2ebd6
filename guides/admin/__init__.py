"""Guides, employments, delegations and bindings in the console."""

from guides.admin import bindings, directory, handover, staff

__all__ = ["bindings", "directory", "handover", "staff"]
