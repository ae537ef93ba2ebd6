from guides.models.bindings import Binding, BindingRequest
from guides.models.contacts import Contact, Friendship
from guides.models.staff import Delegation, Employment, Guide, LoginCode
from guides.models.tags import CorpTag, TagGroup, TagMapping, TagPush, TagSweep
from guides.models.touches import Touch
from guides.models.ways import ContactWay, StrayWay, WayDay, WayPicture, WayStaff
from guides.models.welcomes import Material, Welcome, WelcomePart, WelcomeSend

__all__ = [
    "Binding", "BindingRequest", "Contact", "ContactWay", "CorpTag", "Delegation", "Employment", "Friendship", "Guide",
    "LoginCode", "Material", "StrayWay", "TagGroup", "TagMapping", "TagPush", "TagSweep", "Touch", "WayDay", "WayPicture",
    "WayStaff", "Welcome", "WelcomePart", "WelcomeSend",
]  # fmt: skip
