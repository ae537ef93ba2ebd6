from guides.models.bindings import Binding
from guides.models.contacts import Contact, ContactToRead, Follower, FriendNews, Friendship, LinkConflict
from guides.models.directory import Department, DirectorySweep, WecomMember
from guides.models.handover import HandoverCase, HandoverGroup, HandoverItem, HandoverTaker
from guides.models.staff import Delegation, Employment, Guide, LoginCode
from guides.models.sweeps import ContactSweep, EventHour, HeldEnds, SweepBatch

__all__ = [
    "Binding", "Contact", "ContactSweep", "ContactToRead", "Delegation", "Department", "DirectorySweep", "Employment", "EventHour",
    "Follower", "FriendNews", "Friendship", "Guide", "HandoverCase", "HandoverGroup", "HandoverItem", "HandoverTaker", "HeldEnds",
    "LinkConflict", "LoginCode", "SweepBatch", "WecomMember",
]  # fmt: skip
