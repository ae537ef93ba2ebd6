from members.models.audiences import Audience, AudienceSnapshot, AudienceVersion, SnapshotMember, TagRule
from members.models.clearing import ClearingEntry, ClearingMonth
from members.models.consent import Consent, ConsentSource, ConsentWord, Purpose
from members.models.coupons import Coupon, CouponBatch, CouponClaim, CouponStock, CouponTemplate
from members.models.facts import LifecycleRule, MemberFacts, RfmCuts, Stage
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
from members.models.refreshing import MemberToRefresh
from members.models.risk import RiskMark
from members.models.tags import MemberTag, Tag
from members.models.taste import MemberTaste, ProductAttribute, ProductPopularity, TasteAttribute, TasteScale

__all__ = [
    "Audience", "AudienceSnapshot", "AudienceVersion", "Category", "Channel", "ClearingEntry", "ClearingMonth",
    "Consent", "ConsentSource", "ConsentWord", "Coupon", "CouponBatch", "CouponClaim", "CouponEvent", "CouponGift",
    "CouponLock", "CouponPass", "CouponQuota", "CouponRequest", "CouponStock", "CouponTemplate", "DeliveryMode",
    "GroupState", "Identity", "LifecycleRule", "LineToDecide", "ListRow", "Member", "MemberFacts", "MemberTag",
    "MemberTaste", "MemberToRefresh", "Order", "OrderLine", "ParkedVersion", "PointsOpening", "PresaleState", "Product", "ProductAttribute", "ProductPopularity", "Purpose",
    "Redemption", "RedemptionNews", "Refund", "RfmCuts", "RiskMark", "SnapshotMember", "Stage", "Tag", "TagRule",
    "TasteAttribute", "TasteScale", "Tier",
]  # fmt: skip
