"""Guides, employments, delegations and bindings in the console."""

from guides.admin import bindings, directory, staff

__all__ = ["bindings", "directory", "staff"]
