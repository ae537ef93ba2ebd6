from members.models.identity import Identity, Member, PointsOpening, Tier
from members.models.lists import ListRow
from members.models.products import Category, Product
from members.models.purchases import Channel, LineToDecide, Order, OrderLine, ParkedVersion, Refund
from members.models.tags import MemberTag, Tag

__all__ = [
    "Category", "Channel", "Identity", "LineToDecide", "ListRow", "Member", "MemberTag", "Order", "OrderLine", "ParkedVersion", "PointsOpening",
    "Product", "Refund", "Tag", "Tier",
]  # fmt: skip
