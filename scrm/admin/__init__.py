"""The HQ console: the bases of every admin class, the site, and the kernel's own lists."""

from scrm.admin import organisation, others, staff, system, wecom_inbox

__all__ = ["organisation", "others", "staff", "system", "wecom_inbox"]
