"""Campaigns in the console."""

from campaigns.admin import content, experiments, links, scripts, sends, sops

__all__ = ["content", "experiments", "links", "scripts", "sends", "sops"]
