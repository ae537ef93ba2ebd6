"""Customer groups (客户群): the mirror of WeCom's groups, of their owners and of who came and went.

1. A group is known from an event or from the list of its owner, and is read from WeCom soon after (``reading``). Its owner's
   guide and that guide's store are taken over with each reading.
2. Who joins is a stay (进退群记录) of her own: group, person and moment of joining are its key; it ends once, and nothing of
   it is ever taken back. A customer is a member by her unionid, or as a friend whom we have recognised; also when she
   becomes one later.
3. An event names the version of the list of people before and after it (版本链). Where the one before is ours, somebody's
   leaving is written at once, as of the event; everything else is read. A reading that shows an older version than the
   newest event is repeated: WeCom's detail lags behind its events.
4. A dissolved group stays with its stays, which end at that moment.
5. Events may be lost: each night the owners' lists are read, a page is a transaction and a killed sweep goes on behind the
   owners it has done; every group is then read again, and one that is listed no more as well (``listing``).
"""

from campaigns.communities import fleet, group_tags, group_welcomes, groups, health, invitations, join_ways
from campaigns.communities.groups import RECENT, hear, member_linked, recognise_late
from campaigns.communities.listing import start_daily, start_now
from campaigns.communities.reading import read_due

__all__ = [
    "RECENT", "fleet", "group_tags", "group_welcomes", "health", "hear", "invitations", "join_ways", "member_linked", "read_due", "recognise_late", "register",
    "start_daily", "start_now",
]  # fmt: skip


def register() -> None:
    """Called from ``AppConfig.ready``."""
    groups.register()
    join_ways.register()
    group_welcomes.register()
    fleet.register()
