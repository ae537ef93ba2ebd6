"""Benches of guides: the member list, and the mirror of WeCom's contacts."""
