"""The mirror of WeCom's contacts and friends (企微客户与好友镜像).

1. A contact (客户) is one person, a friendship (好友关系) one account of our staff and one contact, with the state of both
   sides. An account that deletes a contact ends the friendship; a contact who deletes the account only leaves it.
2. Events name ids only. Each is folded into the pair by the time at which it happened, whatever the order in which it
   comes and however often (``pairs``). What it does not tell (name, unionid, tags) is read from WeCom soon after
   (``reading``).
3. A reading counts as of the moment before WeCom was asked: an event heard since then wins.
4. A contact is a member when her unionid, her WeCom contact id or a number she proved herself is an identity of exactly
   one member; a remark proves nothing. Identities that name two members are a conflict (身份冲突) for a person to see. A
   contact who is no member stays a contact, and is recognised when the member comes (``linking``).
5. Other topics are told of a new friend, a recognised member, a welcome code and a failed transfer in the transaction
   that learns of it (``listeners``); what a sweep finds by the thousand is told soon after, each in its own transaction.
6. Events may be lost, so the whole list of friends is read and compared: a part each night, everything each week and after
   a gap in the events (``sweeps``, ``compare``, ``gaps``). Ends that are too many to be believed wait for a person
   (``held``).
"""

from guides.contacts.events import UnknownCorp, hear, register
from guides.contacts.followers import locked, match_guides
from guides.contacts.linking import RECENT, check_again, prove_mobile, recognise_late
from guides.contacts.listeners import (
    on_friend_added,
    on_member_linked,
    on_tags_read,
    on_transfer_failed,
    on_welcome_code,
    tell_news,
)
from guides.contacts.reading import ask, read_again, read_due, read_new_friends, record, record_friend

__all__ = [
    "RECENT", "UnknownCorp", "ask", "check_again", "hear", "locked", "match_guides", "on_friend_added",
    "on_member_linked", "on_tags_read", "on_transfer_failed", "on_welcome_code", "prove_mobile", "read_again",
    "read_due", "read_new_friends", "recognise_late", "record", "record_friend", "register", "tell_news",
]  # fmt: skip
