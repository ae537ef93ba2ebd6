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

__all__ = [
    "Category", "Channel", "DeliveryMode", "GroupState", "Identity", "LineToDecide", "ListRow", "Member", "MemberTag", "Order", "OrderLine",
    "ParkedVersion", "PointsOpening", "PresaleState", "Product", "Refund", "RiskMark", "Tag", "Tier",
]  # fmt: skip
