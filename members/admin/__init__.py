"""Members, what they bought and what can be bought, in the console."""

from members.admin import identity, products, purchases, tags, taste

__all__ = ["identity", "products", "purchases", "tags", "taste"]
