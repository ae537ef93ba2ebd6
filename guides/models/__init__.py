from guides.models.bindings import Binding
from guides.models.contacts import Contact, ContactToRead, Follower, FriendNews, Friendship, LinkConflict
from guides.models.directory import Department, DirectorySweep, WecomMember
from guides.models.handover import HandoverCase, HandoverGroup, HandoverItem, HandoverTaker
from guides.models.staff import Delegation, Employment, Guide, LoginCode

__all__ = [
    "Binding", "Contact", "ContactToRead", "Delegation", "Department", "DirectorySweep", "Employment", "Follower", "FriendNews",
    "Friendship", "Guide", "HandoverCase", "HandoverGroup", "HandoverItem", "HandoverTaker", "LinkConflict", "LoginCode",
    "WecomMember",
]  # fmt: skip
