from members.models.identity import Identity, Member, PointsOpening, Tier
from members.models.lists import ListRow
from members.models.products import Category, Product
from members.models.purchases import (
    Channel,
    DeliveryMode,
    GroupState,
    LineToDecide,
    Order,
    OrderLine,
    ParkedVersion,
    PresaleState,
    Refund,
)
from members.models.risk import RiskMark
from members.models.tags import MemberTag, Tag
from members.models.taste import MemberTaste, ProductAttribute, ProductPopularity, TasteAttribute, TasteScale

__all__ = [
    "Category", "Channel", "DeliveryMode", "GroupState", "Identity", "LineToDecide", "ListRow", "Member", "MemberTag", "MemberTaste", "Order", "OrderLine",
    "ParkedVersion", "PointsOpening", "PresaleState", "Product", "ProductAttribute", "ProductPopularity",
    "Refund", "RiskMark", "Tag", "TasteAttribute", "TasteScale", "Tier",
]  # fmt: skip
