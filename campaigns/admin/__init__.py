"""Campaigns in the console."""

from campaigns.admin import experiments, sends

__all__ = ["experiments", "sends"]
