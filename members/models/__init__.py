from members.models.audiences import Audience, AudienceSnapshot, AudienceVersion, SnapshotMember, TagRule
from members.models.consent import Consent, ConsentSource, ConsentWord, Purpose
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
from members.models.refreshing import MemberToRefresh
from members.models.risk import RiskMark
from members.models.tags import MemberTag, Tag

__all__ = [
    "Audience", "AudienceSnapshot", "AudienceVersion", "Category", "Channel", "Consent", "ConsentSource",
    "ConsentWord", "DeliveryMode", "GroupState", "Identity", "LifecycleRule", "LineToDecide", "ListRow", "Member",
    "MemberFacts", "MemberTag", "MemberToRefresh", "Order", "OrderLine", "ParkedVersion", "PointsOpening",
    "PresaleState", "Product", "Purpose", "Refund", "RfmCuts", "RiskMark", "SnapshotMember", "Stage", "Tag",
    "TagRule", "Tier",
]  # fmt: skip
