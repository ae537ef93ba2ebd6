"""Members, what they bought and what can be bought, in the console."""

from members.admin import clearing, coupons, identity, products, purchases, redemptions, tags

__all__ = ["clearing", "coupons", "identity", "products", "purchases", "redemptions", "tags"]
