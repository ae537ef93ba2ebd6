"""Campaigns in the console."""

from campaigns.admin import content, experiments, knowledge, links, moments, posters, scripts, sends, sops

__all__ = ["content", "experiments", "knowledge", "links", "moments", "posters", "scripts", "sends", "sops"]
