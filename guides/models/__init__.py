from guides.models.bindings import Binding
from guides.models.contacts import Contact, Friendship
from guides.models.staff import Delegation, Employment, Guide, LoginCode

__all__ = ["Binding", "Contact", "Delegation", "Employment", "Friendship", "Guide", "LoginCode"]
