"""Mass sends (群发) as guides see them: a task each, to be confirmed, and what reaches whom.

1. Of several guides who follow a customer the one who chatted last has the task; with a sender it is the sender.
2. Confirmed, each customer gets it (1), unless they are no friends any more (2) or has had their share of the month (3). Who
   was left out stays unsent (0); leaving out must have been allowed.
3. The share counts mass-sent messages per customer and group: as many a calendar month as it has days, or what the quotas say
   for a month, a week or a day of Shanghai.
4. With ``world.sends_after`` guides confirm by themselves.
"""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any

from scrm.wecom.sandbox import activity, panels
from scrm.wecom.sandbox.people import Impossible
from scrm.wecom.sandbox.records import MassSend, MassTask, Sent
from scrm.wecom.sandbox.registry import Button, Field, act, job, panel
from scrm.wecom.sandbox.world import World

UNSENT, DONE, NOT_FRIENDS, OVER_QUOTA = 0, 1, 2, 3
KEPT_SECONDS = 32 * 86_400
OF_TASK = {"msgid": "msgid", "userid": "userid"}


@act(
    "confirm_send", "导购确认群发", Field("msgid", "群发编号"), Field("userid", "导购", "member"), group="群发与朋友圈"
)
def confirm(world: World, msgid: str, userid: str, only: tuple[str, ...] | None = None) -> None:
    """``only``: the customers she sends to when she may leave some out; None is all."""
    with world.lock:
        send = world.mass_sends.get(msgid)
        task = send.tasks.get(userid.lower()) if send else None
        if send is None or task is None:
            raise Impossible("没有这条群发任务")
        if send.is_cancelled:
            raise Impossible("群发已被取消")
        if task.sent_at:
            raise Impossible("已经发送过了")
        if only is not None and not send.allow_select:
            raise Impossible("这条群发不允许去掉客户")
        task.sent_at = now = world.clock.epoch()
        for target in task.targets if only is None else [one for one in task.targets if one in only]:
            task.results[target] = (_fate(world, send, task, target), now)
        world.touch()


@act("confirm_send_partly", "导购只发给一位客户", Field("msgid", "群发编号"), Field("userid", "导购", "member"),
     Field("external_userid", "客户", "contact"), group="群发与朋友圈")  # fmt: skip
def confirm_one(world: World, msgid: str, userid: str, external_userid: str) -> None:
    confirm(world, msgid, userid, (external_userid,))


@act("sends_after", "群发和朋友圈多久后自动确认", Field("seconds", "秒（留空：等人来点）", "number", is_optional=True),
     group="群发与朋友圈")  # fmt: skip
def set_sends_after(world: World, seconds: float | None = None) -> None:
    world.sends_after = seconds
    world.touch()


@panel(
    "mass_sends", "群发任务",
    ("created_at", "创建时间"), ("guide", "导购"), ("text", "内容"), ("count", "对象数"), ("status", "状态"), ("sent_at", "发送时间"),
    ("done", "送达"), ("gone", "不是好友"), ("over", "超过次数"), ("msgid", "群发编号"),
    buttons=(Button("confirm_send", "确认发送", OF_TASK), Button("confirm_send_partly", "只发一位", OF_TASK)),
    hint="导购在企业微信里看到的群发任务，确认以后才会发出。",
)  # fmt: skip
def shown(world: World, query: str) -> list[dict[str, Any]]:
    rows = (_row(world, send, task) for send in reversed(world.mass_sends.values()) for task in send.tasks.values())
    return panels.first(rows, query)


@job("confirm_send")
def _confirm_later(world: World, *, at: float, msgid: str) -> None:
    send = world.mass_sends.get(msgid)
    for task in list(send.tasks.values()) if send and not send.is_cancelled else ():
        if not task.sent_at:
            confirm(world, msgid, task.userid)


def assigned(world: World, targets: list[str], candidates: set[str]) -> dict[str, list[str]]:
    """By guide, each customer with the one of ``candidates`` who chatted last; customers of nobody are left out."""
    tasks: dict[str, list[str]] = {}
    for target in targets:
        contact = world.contacts.get(target)
        follows = [
            world.members[key].follows[target] for key in (contact.followers if contact else ()) if key in candidates
        ]
        if follows:
            best = max(follows, key=lambda follow: (follow.chatted_at, follow.number))
            tasks.setdefault(best.userid, []).append(target)
    return tasks


def received(world: World, target: str) -> int:
    """Mass-sent messages of this month, week or day."""
    start = _window_start(world)
    return sum(moment >= start for moment in world.mass_received.get(target, ()))


def limit(world: World) -> int:
    day = activity.day_of(world.clock.now())
    return world.quotas.mass_per_window or calendar.monthrange(day.year, day.month)[1]


def _fate(world: World, send: MassSend, task: MassTask, target: str) -> int:
    if not _reaches(world, send, task, target):
        return NOT_FRIENDS
    if received(world, target) >= limit(world):
        return OVER_QUOTA
    now = world.clock.epoch()
    kept = tuple(moment for moment in world.mass_received.get(target, ()) if moment > now - KEPT_SECONDS)
    world.mass_received[target] = (*kept, now)
    world.sent.append(Sent("mass", now, task.userid, target, send.content))
    return DONE


def _reaches(world: World, send: MassSend, task: MassTask, target: str) -> bool:
    if send.is_group:
        return target in world.groups and world.groups[target].owner == task.userid
    follow = world.follow(task.userid, target)
    return follow is not None and not follow.customer_left_at


def _window_start(world: World) -> int:
    day = activity.day_of(world.clock.now())
    if world.quotas.mass_window == "month":
        day = day.replace(day=1)
    elif world.quotas.mass_window == "week":
        day -= dt.timedelta(days=day.weekday())
    return activity.midnight(day)


def _row(world: World, send: MassSend, task: MassTask) -> dict[str, Any]:
    fates = [fate for fate, _at in task.results.values()]
    status = "已发送" if task.sent_at else "已取消" if send.is_cancelled else "待确认"
    return {
        "msgid": send.msgid,
        "userid": task.userid,
        "created_at": int(send.created_at),
        "guide": panels.member_name(world, task.userid),
        "text": send.content["text"][:40],
        "count": len(task.targets),
        "status": status,
        "sent_at": task.sent_at or None,
        "done": fates.count(DONE),
        "gone": fates.count(NOT_FRIENDS),
        "over": fates.count(OVER_QUOTA),
    }
