from guides.models.actions import Action
from guides.models.bindings import Binding, BindingRequest
from guides.models.contacts import Contact, ContactToRead, Follower, FriendNews, Friendship, LinkConflict
from guides.models.directory import Department, DirectorySweep, WecomMember
from guides.models.handover import HandoverCase, HandoverGroup, HandoverItem, HandoverTaker
from guides.models.integrity import IntegrityCase, IntegrityFlag, IntegritySettings
from guides.models.rewards import FirstMessage, RewardClaim, RewardProgramme
from guides.models.service_acts import ServiceAct
from guides.models.shares import Share
from guides.models.staff import BrandIP, Delegation, Employment, Guide, LoginCode
from guides.models.sweeps import ContactSweep, EventHour, HeldEnds, SweepBatch
from guides.models.tags import CorpTag, TagGroup, TagMapping, TagPush, TagSweep
from guides.models.touches import Touch
from guides.models.visitors import Visitor
from guides.models.ways import ContactWay, StrayWay, WayDay, WayPicture, WayStaff
from guides.models.welcomes import Material, Welcome, WelcomePart, WelcomeSend

__all__ = [
    "Action", "Binding", "BindingRequest", "BrandIP", "Contact", "ContactSweep", "ContactToRead", "ContactWay", "CorpTag",
    "Delegation", "Department", "DirectorySweep", "Employment", "EventHour", "FirstMessage", "Follower", "FriendNews",
    "Friendship", "Guide", "HandoverCase", "HandoverGroup", "HandoverItem", "HandoverTaker", "HeldEnds",
    "IntegrityCase", "IntegrityFlag", "IntegritySettings", "LinkConflict", "LoginCode", "Material", "RewardClaim",
    "RewardProgramme", "ServiceAct", "Share", "StrayWay", "SweepBatch", "TagGroup", "TagMapping", "TagPush",
    "TagSweep", "Touch", "Visitor", "WayDay", "WayPicture", "WayStaff", "WecomMember", "Welcome", "WelcomePart",
    "WelcomeSend",
]  # fmt: skip
