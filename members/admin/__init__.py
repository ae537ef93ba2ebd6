"""Members, what they bought and what can be bought, in the console."""

from members.admin import (
    audiences,
    clearing,
    coupons,
    facts,
    identity,
    products,
    purchases,
    redemptions,
    tags,
    taste,
)

__all__ = [
    "audiences", "clearing", "coupons", "facts", "identity", "products", "purchases", "redemptions", "tags", "taste",
]  # fmt: skip
