"""Mass sends: made here, confirmed by guides (``sends``), told of by the records."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import content, sends
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.records import MassSend, MassTask, Member
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint
from scrm.wecom.sandbox.world import World

DAY = 86_400
LONGEST_SECONDS = 31 * DAY
TAGS_PER_GROUP = 100
NO_ID, BAD_ID, NOBODY, DISPATCHING, CANCELLED, REMINDED = 41046, 41047, 41048, 41063, 41093, 41094
BAD_TYPE = 86214
OLD_FORM = ("image", "link", "miniprogram")


@endpoint("POST", "externalcontact/add_msg_template", CC)
def add_msg_template(call: Call) -> dict[str, Any]:
    world = call.world
    chat_type = call.text("chat_type") or "single"
    if chat_type not in ("single", "group"):
        raise Refusal(BAD_TYPE)
    if not call.has("attachments") and any(call.has(name) for name in OLD_FORM):
        raise Refusal(48005)
    said = content.of(call)
    find = _groups if chat_type == "group" else _customers
    tasks, failed = find(call)
    if not tasks:
        raise Refusal(NOBODY)
    send = MassSend(
        world.new_id("msg"), chat_type == "group", world.clock.now(), said,
        allow_select=chat_type == "single" and call.flag("allow_select"),
    )  # fmt: skip
    send.tasks = {userid: MassTask(userid, tuple(targets)) for userid, targets in tasks.items()}
    world.mass_sends[send.msgid] = send
    if world.sends_after is not None:
        world.later(world.quotas.dispatch_seconds + world.sends_after, "confirm_send", msgid=send.msgid)
    return {"fail_list": failed, "msgid": send.msgid}


@endpoint("POST", "externalcontact/remind_groupmsg_send", CC)
def remind(call: Call) -> dict[str, Any]:
    world, send = call.world, _send(call)
    if send.is_cancelled:
        raise Refusal(CANCELLED)
    now = world.clock.now()
    recent = tuple(moment for moment in send.reminded_at if moment > now - DAY)
    if len(recent) >= world.quotas.reminders_per_day:
        raise Refusal(REMINDED)
    send.reminded_at = (*recent, now)
    return {}


@endpoint("POST", "externalcontact/cancel_groupmsg_send", CC)
def cancel(call: Call) -> dict[str, Any]:
    send = _send(call)
    if send.is_cancelled:
        raise Refusal(CANCELLED)
    send.is_cancelled = True
    return {}


@endpoint("POST", "externalcontact/get_groupmsg_list_v2", CC, reads=True)
def records(call: Call) -> dict[str, Any]:
    """All of them were made through the API: there is no creator, and a filter by one finds nothing."""
    world = call.world
    chat_type, start, end = call.text("chat_type", missing=40058), call.number("start_time"), call.number("end_time")
    if chat_type not in ("single", "group") or not 0 <= end - start <= LONGEST_SECONDS:
        raise Refusal(40058)
    wanted, creator = call.number("filter_type", 2, low=0, high=2), call.text("creator")
    limit = call.page(default=50, most=100, over=50)
    those = [
        one
        for one in world.mass_sends.values()
        if one.is_group == (chat_type == "group")
        and start <= int(one.created_at) <= end
        and wanted != 1
        and not creator
    ]
    page, cursor = call.paged(those, limit)
    return {"group_msg_list": [_record(one) for one in page], "next_cursor": cursor}


@endpoint("POST", "externalcontact/get_groupmsg_task", CC, reads=True)
def tasks_of(call: Call) -> dict[str, Any]:
    world, send = call.world, _dispatched(call)
    limit = call.page(default=500, most=1000, over=500)
    seen = [task for task in send.tasks.values() if world.sees(call.app, world.members[task.userid])]
    page, cursor = call.paged(seen, limit)
    rows = [
        {"userid": world.members[task.userid].userid, "status": 2 if task.sent_at else 0}
        | ({"send_time": task.sent_at} if task.sent_at else {})
        for task in page
    ]
    return {"task_list": rows, "next_cursor": cursor}


@endpoint("POST", "externalcontact/get_groupmsg_send_result", CC, reads=True)
def results_of(call: Call) -> dict[str, Any]:
    send, member = _dispatched(call), call.member()
    limit = call.page(default=500, most=1000, over=500)
    task = send.tasks.get(member.key)
    targets = [one for one in task.targets if not send.is_group or one in task.results] if task else []
    page, cursor = call.paged(targets, limit)
    rows = [_result(send, task, member, target) for target in page] if task else []
    return {"send_list": rows, "next_cursor": cursor}


def _customers(call: Call) -> tuple[dict[str, list[str]], list[str]]:
    """Who sends to whom, and whom nobody can send to."""
    world = call.world
    named = list(dict.fromkeys(call.texts("external_userid", most=world.quotas.mass_customers, code=40032)))
    tags = [call.texts("tag_list", most=TAGS_PER_GROUP, of=row) for row in call.objects("group_list", of=_filter(call))]
    sender = call.follower("sender") if call.text("sender") else None
    if not named and not tags and sender is None:
        raise Refusal(40058, "sender, external_userid or tag_filter missing")
    candidates = {sender.key} if sender else visible(call)
    wanted = named or tagged(world, candidates, tags)
    tasks = sends.assigned(world, wanted, candidates)
    found = {target for targets in tasks.values() for target in targets}
    return tasks, [target for target in named if target not in found]


def _groups(call: Call) -> tuple[dict[str, list[str]], list[str]]:
    """Groups of the sender; all of them when none is named, for the owner then picks."""
    world = call.world
    named = list(dict.fromkeys(call.texts("chat_id_list", most=world.quotas.mass_groups, code=40032)))
    sender = call.follower("sender")
    owned = [one.chat_id for one in world.groups.values() if one.owner == sender.key]
    chosen = [chat_id for chat_id in named if chat_id in owned] if named else owned
    return ({sender.key: chosen} if chosen else {}), [chat_id for chat_id in named if chat_id not in owned]


def _filter(call: Call) -> dict[str, Any]:
    return call.object("tag_filter")


def visible(call: Call) -> set[str]:
    return {one.key for one in call.world.staff() if one.has_feature and call.world.sees(call.app, one)}


def tagged(world: World, candidates: set[str], groups: list[list[str]]) -> list[str]:
    """Customers of the candidates with a tag of every group; all of them without groups."""
    found: dict[str, None] = {}
    for key in sorted(candidates):
        for follow in world.members[key].follows.values():
            if all(set(tags) & set(follow.tag_ids) for tags in groups):
                found[follow.external_userid] = None
    return list(found)


def _send(call: Call) -> MassSend:
    send = call.world.mass_sends.get(call.text("msgid", missing=NO_ID))
    if send is None:
        raise Refusal(BAD_ID)
    return send


def _dispatched(call: Call) -> MassSend:
    send = _send(call)
    if call.world.clock.now() < send.created_at + call.world.quotas.dispatch_seconds:
        raise Refusal(DISPATCHING)
    return send


def _record(send: MassSend) -> dict[str, Any]:
    """The time as text, and the mini-program without its picture."""
    attachments = []
    for one in send.content["attachments"]:
        kind = one["msgtype"]
        attachments.append(
            {"msgtype": kind, kind: {name: value for name, value in one[kind].items() if name != "pic_media_id"}}
        )
    row: dict[str, Any] = {"msgid": send.msgid, "create_time": str(int(send.created_at)), "create_type": 0}
    return row | {"text": {"content": send.content["text"]}, "attachments": attachments}


def _result(send: MassSend, task: MassTask, member: Member, target: str) -> dict[str, Any]:
    status, at = task.results.get(target, (sends.UNSENT, 0))
    row: dict[str, Any] = {"chat_id" if send.is_group else "external_userid": target, "userid": member.userid}
    return row | {"status": status} | ({"send_time": at} if status == sends.DONE else {})
