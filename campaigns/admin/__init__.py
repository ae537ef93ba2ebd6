"""Campaigns in the console."""

from campaigns.admin import experiments, sends, sops

__all__ = ["experiments", "sends", "sops"]
