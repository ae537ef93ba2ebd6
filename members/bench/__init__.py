"""Benches of members: coupons."""
