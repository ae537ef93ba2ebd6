"""The HQ console: the bases of every admin class, the site, and the kernel's own lists."""

from scrm.admin import (
    exports,
    organisation,
    others,
    staff,
    system,
    wecom_group_ways,
    wecom_inbox,
    wecom_outbox,
    wecom_setup,
)

__all__ = [
    "exports",
    "organisation",
    "others",
    "staff",
    "system",
    "wecom_group_ways",
    "wecom_inbox",
    "wecom_outbox",
    "wecom_setup",
]
