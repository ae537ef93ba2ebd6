"""Campaigns in the console."""

from campaigns.admin import experiments

__all__ = ["experiments"]
