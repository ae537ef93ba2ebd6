from guides.models.bindings import Binding
from guides.models.staff import Delegation, Employment, Guide, LoginCode

__all__ = ["Binding", "Delegation", "Employment", "Guide", "LoginCode"]
