from guides.models.bindings import Binding
from guides.models.contacts import Contact, Friendship
from guides.models.directory import Department, DirectorySweep, WecomMember
from guides.models.handover import HandoverCase, HandoverGroup, HandoverItem, HandoverTaker
from guides.models.staff import Delegation, Employment, Guide, LoginCode

__all__ = [
    "Binding", "Contact", "Delegation", "Department", "DirectorySweep", "Employment", "Friendship", "Guide", "HandoverCase",
    "HandoverGroup", "HandoverItem", "HandoverTaker", "LoginCode", "WecomMember",
]  # fmt: skip
