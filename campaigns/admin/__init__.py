"""Campaigns in the console."""

from campaigns.admin import experiments, sops

__all__ = ["experiments", "sops"]
