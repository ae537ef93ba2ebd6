from campaigns.admin import content, links, scripts

__all__ = ["content", "links", "scripts"]
