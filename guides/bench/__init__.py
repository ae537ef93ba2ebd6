"""Benches of guides: the member list, and the mirror of WeCom's contacts."""

from guides.bench.contacts import contact_sync
from guides.bench.members import import_members

__all__ = ["contact_sync", "import_members"]
