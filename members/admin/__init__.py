"""Members, what they bought and what can be bought, in the console."""

from members.admin import audiences, facts, identity, products, purchases, tags, taste

__all__ = ["audiences", "facts", "identity", "products", "purchases", "tags", "taste"]
