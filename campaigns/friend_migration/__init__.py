"""Migration of old customers (老客迁移): from the personal WeChat of guides to WeCom, by the customer's own act.

1. A drive has a text, a period, targets by day and days after which lists are erased. One runs at a time. Starting it (a job) puts
   every guide with a WeCom account into it and gives her a code of its own, so that what the drive brought is known by the code's
   state. What WeCom's quota does not hold is refused before anything is made.
2. A guide lists her personal contacts: name and number from a file of HQ or from her mini-program, or only how many there are. Names
   are masked at once, numbers sealed as members' are. The system writes to nobody: the guide sends text and code herself and
   marks who was invited. Nobody is added but by scanning the code.
3. On several lists (``is_double``): each guide sees it; whoever is added first wins by the binding rules, the others' rows
   follow nothing any more. Who was on WeCom before the drive is no success of it.
4. The funnel: listed → invited → added → registered → bought, per guide, store and region, kept by triggers. Added is a friend
   through the drive's code, listed or not; a listed one is recognised by the number that her contact or member has proved.
5. Who was invited some days ago and has not added the guide becomes one action of the guide a day, with the number of them.
6. After the kept days, and when a drive has ended for so long, name and number are erased; the counts stay.
"""

from __future__ import annotations

from campaigns.friend_migration import drives, figures, following, listing
from campaigns.friend_migration.refusals import MigrationRefused
from scrm import imports, jobs

__all__ = ["MigrationRefused", "drives", "figures", "following", "listing", "register"]


def register() -> None:
    """Called from ``AppConfig.ready``."""
    jobs.register(drives.KIND, drives.work)
    jobs.register(following.KIND, following.run)
    imports.register(listing.KIND, listing.COLUMNS, listing.run)
