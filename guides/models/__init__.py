from guides.models.bindings import Binding
from guides.models.contacts import Contact, ContactToRead, Follower, FriendNews, Friendship, LinkConflict
from guides.models.staff import Delegation, Employment, Guide, LoginCode

__all__ = [
    "Binding", "Contact", "ContactToRead", "Delegation", "Employment", "Follower", "FriendNews", "Friendship", "Guide",
    "LinkConflict", "LoginCode",
]  # fmt: skip
