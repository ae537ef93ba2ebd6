"""Campaigns in the console."""

from campaigns.admin import content, experiments, knowledge, links, posters, scripts, sends, sops

__all__ = ["content", "experiments", "knowledge", "links", "posters", "scripts", "sends", "sops"]
