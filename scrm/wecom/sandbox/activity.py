"""What members and customers did (统计的来源), by days of Shanghai: counted where it happens, told by the statistics.

1. A friendship counts as new for the member, as a request when she began it, and as a loss when the customer deletes her.
2. Who writes first is noted: the share of answers and the time to the first one are of chats that customers began.
3. Of customers who came through an acquisition link the apps hear that they write: the first message, and the third, fifth
   and tenth with a key for ``get_chat_info``.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from scrm.wecom.sandbox.records import Activity, Follow
from scrm.wecom.sandbox.world import World

SHANGHAI = ZoneInfo("Asia/Shanghai")
KEPT_DAYS = 190
TOLD_AT = (3, 5, 10)
CHAT_KEY_SECONDS = 1800
LOW_BALANCE = 20
LINKS = "customer_acquisition"


def day_of(moment: float) -> dt.date:
    return dt.datetime.fromtimestamp(moment, SHANGHAI).date()


def midnight(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), SHANGHAI).timestamp())


def today(world: World) -> str:
    return day_of(world.clock.now()).isoformat()


def of(world: World, userid: str, day: str) -> Activity | None:
    return world.activity.get(f"{userid} {day}")


def befriended(world: World, follow: Follow) -> None:
    """They have just become friends."""
    done = _today_of(world, follow.userid)
    done.new_contact += 1
    if follow.oper_userid.lower() == follow.userid:
        done.new_apply += 1
    link = world.links.get((follow.more or {}).get("link_id", ""))
    if link is not None:
        link.added[today(world)] = link.added.get(today(world), 0) + 1
        link.customers += ((follow.external_userid, follow.userid, follow.state),)
        _spend(world)


def lost(world: World, follow: Follow) -> None:
    """The customer has deleted the member."""
    _today_of(world, follow.userid).negative += 1


def wrote(world: World, follow: Follow, *, is_by_member: bool, count: int) -> None:
    done, now, customer = _today_of(world, follow.userid), world.clock.now(), follow.external_userid
    if is_by_member:
        done.messages += count
        done.chats[customer] = done.chats.get(customer, 0) + count
        if customer in done.asked and customer not in done.answered:
            done.answered[customer] = now - done.asked[customer]
        return
    if customer not in done.chats:
        done.asked.setdefault(customer, now)
    if link_id := (follow.more or {}).get("link_id", ""):
        for _message in range(count):
            _wrote_through_link(world, follow, link_id)


def _wrote_through_link(world: World, follow: Follow, link_id: str) -> None:
    said = (follow.more or {}).get("said", 0) + 1
    follow.more = {**(follow.more or {}), "said": said}
    member = world.members[follow.userid]
    about = f"{follow.userid} {follow.external_userid}"
    if said == 1:
        who: dict[str, Any] = {"UserID": member.userid, "ExternalUserID": follow.external_userid}
        world.emit(LINKS, "customer_start_chat", about=about, LinkId=link_id, **who)
    if said in TOLD_AT:
        key = world.new_id("CK", 40)
        until = world.clock.now() + CHAT_KEY_SECONDS
        told = {"userid": member.userid, "external_userid": follow.external_userid, "state": follow.state}
        world.more.setdefault("chat_keys", {})[key] = {**told, "link_id": link_id, "said": said, "until": until}
        world.emit(LINKS, "message_from_customer", about=about, LinkId=link_id, ChatKey=key)


def _spend(world: World) -> None:
    """A place of the quota."""
    world.acquisition_balance = max(0, world.acquisition_balance - 1)
    if world.acquisition_balance == LOW_BALANCE - 1:
        world.emit(LINKS, "balance_low")
    if world.acquisition_balance == 0:
        world.emit(LINKS, "balance_exhausted")


def _today_of(world: World, userid: str) -> Activity:
    day = today(world)
    if world.more.get("activity_day") != day:
        world.more["activity_day"] = day
        oldest = (day_of(world.clock.now()) - dt.timedelta(days=KEPT_DAYS)).isoformat()
        for old in [one for one in world.activity if one.rpartition(" ")[2] < oldest]:
            del world.activity[old]
    return world.activity.setdefault(f"{userid} {day}", Activity())
