from members.models.clearing import ClearingEntry, ClearingMonth
from members.models.coupons import Coupon, CouponBatch, CouponClaim, CouponStock, CouponTemplate
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
from members.models.redemptions import (
    CouponEvent,
    CouponGift,
    CouponLock,
    CouponPass,
    CouponQuota,
    CouponRequest,
    Redemption,
    RedemptionNews,
)
from members.models.risk import RiskMark
from members.models.tags import MemberTag, Tag

__all__ = [
    "Category", "Channel", "ClearingEntry", "ClearingMonth", "Coupon", "CouponBatch", "CouponClaim", "CouponEvent", "CouponGift", "CouponLock",
    "CouponPass", "CouponQuota", "CouponRequest", "CouponStock", "CouponTemplate", "DeliveryMode", "GroupState", "Identity", "LineToDecide", "ListRow", "Member", "MemberTag", "Order", "OrderLine",
    "ParkedVersion", "PointsOpening", "PresaleState", "Product", "Redemption", "RedemptionNews", "Refund", "RiskMark", "Tag", "Tier",
]  # fmt: skip
