"""Benches of members."""
