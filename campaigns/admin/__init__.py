"""Campaigns in the console."""

from campaigns.admin import content, experiments, groups, knowledge, links, posters, scripts, sends, sops

__all__ = ["content", "experiments", "groups", "knowledge", "links", "posters", "scripts", "sends", "sops"]
