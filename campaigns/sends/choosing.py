"""Which customer groups a send goes to (选群), and which of them are left out.

1. Groups are picked by region (with all below it), store, owner, a part of the name and size, all of them together; or by a
   file of their ids at WeCom. What has been dissolved for longer than LONG_GONE is picked by a file only.
2. A group is left out for the first reason that applies: dissolved, not read from WeCom yet, its owner has left, being handed
   over, its owner is no guide who works with us, is outside the app's range, or WeCom's limit is reached.
3. WeCom lets a group have as many mass messages a calendar month as the month has days (D 92135). What we have given to
   owners for it counts from then on; what turns out not to have been sent counts no more. What an owner sends by herself we
   do not see: WeCom then sends no more, and the group counts as not executed.
4. All of it is looked at again when a task is handed over; a group that has another owner by then is left out.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from campaigns.models import Group, GroupRecipient, Send
from guides.models import Guide
from scrm.models import Corp, Region, Store

LONG_GONE = dt.timedelta(days=30)
MOST_LISTED = 20_000
SHOWN = 5
ZONE = ZoneInfo("Asia/Shanghai")

# The first reason of each group; ``f`` is its owner's account, ``w`` where she works now.
REASON = """
    CASE WHEN g.dissolved_at IS NOT NULL THEN 'DISSOLVED'
         WHEN g.read_at IS NULL THEN 'UNREAD'
         WHEN g.status = 1 OR g.owner_id IS NOT NULL AND w.guide_id IS NULL THEN 'OWNER_LEFT'
         WHEN g.status = 2 THEN 'MOVING'
         WHEN g.owner_id IS NULL THEN 'NO_GUIDE'
         WHEN f.is_listed IS FALSE THEN 'UNSEEN'
         WHEN (SELECT count(*) FROM campaigns_grouprecipient o WHERE o.group_id = g.id AND o.contacted_at >= %(month)s)
              >= %(most)s THEN 'LIMIT'
         ELSE '' END
"""
CHOSEN = (
    """
    CREATE TEMPORARY TABLE send_plan ON COMMIT DROP AS
    WITH working AS MATERIALIZED ({working}), judged AS (
        SELECT g.id AS group_id, g.customer_count, w.guide_id, g.owner_userid AS userid, w.store_id,"""
    + REASON
    + """ AS reason
        FROM campaigns_group g
        LEFT JOIN working w ON w.guide_id = g.owner_id
        LEFT JOIN guides_follower f ON f.corp_id = g.corp_id AND f.userid = g.owner_userid
        WHERE g.id = ANY(%(groups)s)
    )
    SELECT *, CASE WHEN reason = '' THEN
                  (row_number() OVER (PARTITION BY reason, userid ORDER BY group_id) - 1) / %(size)s END AS number
    FROM judged
"""
)
RECIPIENTS = """
    INSERT INTO campaigns_grouprecipient (send_id, group_id, batch_id, people_count, state, reason)
    SELECT %(send)s, p.group_id, b.id, p.customer_count, CASE p.reason WHEN '' THEN 'PLANNED' ELSE 'EXCLUDED' END, p.reason
    FROM send_plan p
    LEFT JOIN campaigns_sendbatch b ON b.send_id = %(send)s AND b.userid = p.userid AND b.number = p.number
"""
LOOKED_AT_AGAIN = (
    """
    UPDATE campaigns_grouprecipient r SET state = 'EXCLUDED', reason = j.reason
    FROM (
        SELECT g.id AS group_id, CASE WHEN g.dissolved_at IS NULL AND g.owner_userid <> b.userid THEN 'CHANGED' ELSE"""
    + REASON
    + """ END AS reason
        FROM campaigns_grouprecipient r
        JOIN campaigns_sendbatch b ON b.id = r.batch_id
        JOIN campaigns_group g ON g.id = r.group_id
        LEFT JOIN ({working}) w ON w.guide_id = g.owner_id
        LEFT JOIN guides_follower f ON f.corp_id = g.corp_id AND f.userid = g.owner_userid
        WHERE r.batch_id = %(batch)s AND r.state = 'PLANNED'
    ) j
    WHERE r.send_id = %(send)s AND r.group_id = j.group_id AND j.reason <> ''
"""
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for, by numbers; empty: not asked. ``groups`` is a list of its own, beside which nothing is asked."""

    regions: Sequence[int] = ()
    stores: Sequence[int] = ()
    owners: Sequence[int] = ()
    name: str = ""
    least: int | None = None  # customers
    most: int | None = None
    groups: Sequence[int] = ()

    @property
    def asked(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in ((), [], "", None)}


def faults(wish: Wish, corp: Corp, now: dt.datetime) -> dict[str, str]:
    """``{field: sentence}`` of what is wrong with it."""
    if not wish.asked:
        return {"regions": _("Say which groups: by region, store, owner, name or size, or by a file of their ids.")}
    if wish.groups and set(wish.asked) != {"groups"}:
        return {"file": _("Either a file or the other fields; not both.")}
    if wish.least is not None and wish.most is not None and wish.least > wish.most:
        return {"most": _("The upper bound is below the lower one.")}
    if not picked(wish, corp, now).exists():
        return {"regions": _("No customer group fits.")}
    return {}


def picked(wish: Wish, corp: Corp, now: dt.datetime) -> QuerySet[Group]:
    groups = Group.objects.filter(corp=corp)
    if wish.groups:
        return groups.filter(pk__in=wish.groups)
    groups = groups.filter(Q(dissolved_at=None) | Q(dissolved_at__gt=now - LONG_GONE))
    if wish.regions:
        below = {one.pk for pk in wish.regions for one in Region.objects.descendants(pk, include_self=True)}
        groups = groups.filter(store__region__in=below)
    if wish.stores:
        groups = groups.filter(store__in=wish.stores)
    if wish.owners:
        groups = groups.filter(owner__in=wish.owners)
    if wish.name:
        groups = groups.filter(name__icontains=wish.name)
    if wish.least is not None:
        groups = groups.filter(customer_count__gte=wish.least)
    return groups if wish.most is None else groups.filter(customer_count__lte=wish.most)


def group_ids(send: Send, now: dt.datetime) -> list[int]:
    """The groups that a send is to decide on; of a rest those that were meant to get the first and did not."""
    if send.rest_of_id is not None:
        missed = GroupRecipient.objects.filter(send=send.rest_of_id, state__in=("LEFT", "OVER"))
        return list(missed.order_by("group_id").values_list("group_id", flat=True))
    found = picked(Wish(**send.wish or {}), send.corp, now)
    return list(found.order_by("pk").values_list("pk", flat=True))


def limit(at: dt.datetime) -> dict[str, Any]:
    """``month``: since when messages count at ``at``; ``most``: how many a group may have from then on."""
    day = at.astimezone(ZONE)
    month = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return {"month": month, "most": calendar.monthrange(day.year, day.month)[1]}


# --- what people write ---


def by_store_codes(codes: Sequence[str]) -> tuple[list[int], str]:
    """The stores of these codes, and a sentence on those that are unknown."""
    known = dict(Store.objects.filter(code__in=codes).values_list("code", "pk"))
    return [known[code] for code in codes if code in known], _unknown([one for one in codes if one not in known])


def by_guide_codes(codes: Sequence[str]) -> tuple[list[int], str]:
    known = dict(Guide.objects.filter(code__in=codes).values_list("code", "pk"))
    return [known[code] for code in codes if code in known], _unknown([one for one in codes if one not in known])


def by_chat_ids(lines: Sequence[str], corp: Corp) -> tuple[list[int], str]:
    """The groups that a file names, one id a line; its heading, if it has one, is passed over."""
    ids = list(dict.fromkeys(line.split(",")[0].strip().strip('"') for line in lines))
    ids = [one for one in ids if one and one.lower() not in ("chat_id", "chatid", "群id", "客户群id")]
    if not ids:
        return [], _("The file names no group.")
    if len(ids) > MOST_LISTED:
        return [], _("The file names more than %(most)s groups.") % {"most": f"{MOST_LISTED:,}"}
    known = dict(Group.objects.filter(corp=corp, chat_id__in=ids).values_list("chat_id", "pk"))
    return list(known.values()), _unknown([one for one in ids if one not in known])


def _unknown(found: Sequence[str]) -> str:
    if not found:
        return ""
    names = "、".join(found[:SHOWN])
    return _("Not known here: %(names)s (%(count)s in all).") % {"names": names, "count": len(found)}
