"""Guides, employments, delegations and bindings in the console."""

from guides.admin import bindings, staff

__all__ = ["bindings", "staff"]
