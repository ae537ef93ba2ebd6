"""Guides, employments, delegations, bindings and WeCom's contacts in the console."""

from guides.admin import bindings, contacts, directory, handover, staff

__all__ = ["bindings", "contacts", "directory", "handover", "staff"]
