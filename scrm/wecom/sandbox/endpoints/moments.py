"""Moments: made by a job, given to guides as tasks (``moments``), told of by lists."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.endpoints.mass_sends import tagged, visible
from scrm.wecom.sandbox.records import Moment, MomentTask
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint

DAY, MONTH = 86_400, 30 * 86_400
TEXT_CHARS, TEXT_BYTES, IMAGES, TITLE_BYTES = 2000, 4000, 9, 128
MOST_SENDERS = 100_000
FOR_MOMENT = 1
BEGUN_SECONDS = 1.0
BEGUN, RUNNING, DONE = 1, 2, 3
NO_JOB, NO_ID, BAD_ID, NOT_HERS, UNPUBLISHED, WRONG_SCENE = 40088, 41059, 41060, 41061, 41062, 41072
DISPATCHING, MONTH_FULL, EMPTY, NOT_OF_CORP = 41079, 41210, 41089, 41067


@endpoint("POST", "externalcontact/add_moment_task", CC)
def add_moment_task(call: Call) -> dict[str, Any]:
    world = call.world
    said = _content(call)
    _require_room(call)
    candidates, invalid = _senders(call)
    tags = call.texts("tag_list", of=call.object("external_contact_list", of=call.object("visible_range")))
    known = [tag for tag in tags if tag in world.tags and not world.tags[tag].is_deleted]
    tasks = {}
    for key in sorted(candidates):
        chosen = tagged(world, {key}, [known] if known else [])
        if chosen:
            tasks[key] = MomentTask(key, tuple(chosen))
    result: dict[str, Any] = {
        "errcode": 0,
        "errmsg": "ok",
        "moment_id": world.new_id("mom"),
        "invalid_sender_list": invalid,
        "invalid_external_contact_list": {"tag_list": [tag for tag in tags if tag not in known]},
    }
    moment = Moment(
        result["moment_id"], world.new_id("jobid", 24), world.clock.now(), said, not tags, result,
        tasks if known or not tags else {},
    )  # fmt: skip
    world.moments[moment.moment_id] = moment
    if world.sends_after is not None:
        seconds = world.quotas.dispatch_seconds + world.sends_after
        world.later(seconds, "publish_moment", moment_id=moment.moment_id)
    return {"jobid": moment.jobid}


@endpoint("GET", "externalcontact/get_moment_task_result", CC)
def job_result(call: Call) -> dict[str, Any]:
    jobid = call.text("jobid", missing=NO_JOB)
    moment = next((one for one in call.world.moments.values() if one.jobid == jobid), None)
    age = call.world.clock.now() - moment.created_at if moment else 0.0
    if moment is None or not jobid or age > DAY:
        raise Refusal(NO_JOB)
    if age < call.world.quotas.dispatch_seconds:
        return {"status": BEGUN if age < BEGUN_SECONDS else RUNNING, "type": "add_moment_task"}
    return {"status": DONE, "type": "add_moment_task", "result": moment.job}


@endpoint("POST", "externalcontact/cancel_moment_task", CC)
def cancel_moment_task(call: Call) -> dict[str, Any]:
    _moment(call).is_cancelled = True
    return {}


@endpoint("POST", "externalcontact/get_moment_list", CC, reads=True)
def moment_list(call: Call) -> dict[str, Any]:
    """Those made through the API have no creator."""
    start, end = call.number("start_time"), call.number("end_time")
    if not 0 <= end - start <= MONTH:
        raise Refusal(40058)
    wanted, creator = call.number("filter_type", 2, low=0, high=2), call.text("creator")
    limit = call.page(default=20, most=20, over=20)
    moments = list(call.world.moments.values())
    those = [
        one for one in moments
        if start <= int(one.created_at) <= end and wanted in (2, int(bool(one.creator)))
        and creator.lower() in ("", one.creator.lower())
    ]  # fmt: skip
    page, cursor = call.paged(those, limit)
    return {"moment_list": [_row(one) for one in page], "next_cursor": cursor}


@endpoint("POST", "externalcontact/get_moment_task", CC, reads=True)
def moment_task(call: Call) -> dict[str, Any]:
    world, moment = call.world, _dispatched(call)
    if moment.creator:
        raise Refusal(NOT_OF_CORP)
    limit = call.page(default=500, most=1000)
    seen = [task for task in moment.tasks.values() if world.sees(call.app, world.members[task.userid])]
    page, cursor = call.paged(seen, limit)
    rows = [
        {"userid": world.members[task.userid].userid, "publish_status": int(bool(task.published_at))} for task in page
    ]
    return {"task_list": rows, "next_cursor": cursor}


@endpoint("POST", "externalcontact/get_moment_customer_list", CC, reads=True)
def moment_customers(call: Call) -> dict[str, Any]:
    task = _task(call, _dispatched(call))
    page, cursor = call.paged(list(task.chosen), call.page(default=500, most=1000))
    userid = call.world.members[task.userid].userid
    return {"customer_list": [{"userid": userid, "external_userid": one} for one in page], "next_cursor": cursor}


@endpoint("POST", "externalcontact/get_moment_send_result", CC, reads=True)
def moment_audience(call: Call) -> dict[str, Any]:
    task = _published(call)
    page, cursor = call.paged(list(task.audience), call.page(default=3000, most=5000))
    return {"customer_list": [{"external_userid": one} for one in page], "next_cursor": cursor}


@endpoint("POST", "externalcontact/get_moment_comments", CC, reads=True)
def moment_comments(call: Call) -> dict[str, Any]:
    task = _published(call)
    told = [[{"external_userid": who, "create_time": at} for who, at in some] for some in (task.comments, task.likes)]
    return {"comment_list": told[0], "like_list": told[1]}


def _content(call: Call) -> dict[str, Any]:
    text = call.text("content", of=call.object("text"), size=TEXT_BYTES, chars=TEXT_CHARS)
    attachments = call.objects("attachments")
    kinds = {call.text("msgtype", of=one) for one in attachments}
    if not text and not attachments:
        raise Refusal(EMPTY)
    if len(kinds) > 1 or not kinds <= {"image", "video", "link"}:
        raise Refusal(40058, "invalid attachments msgtype")
    if len(attachments) > (IMAGES if kinds == {"image"} else 1):
        raise Refusal(40058, "invalid attachments size")
    for one in attachments:
        kind = one["msgtype"]
        part = call.object(kind, of=one)
        if kind == "link":
            call.text("url", of=part, missing=40058)
            call.text("title", of=part, size=TITLE_BYTES)
        _require_media(call, call.text("media_id", of=part, missing=40058), "image" if kind == "link" else kind)
    return {"text": text, "attachments": attachments}


def _require_media(call: Call, media_id: str, kind: str) -> None:
    known = call.world.media.get(media_id)
    if known is None or known["until"] <= call.world.clock.now():
        raise Refusal(40007)
    if known.get("use") != FOR_MOMENT or known["kind"] != kind:
        raise Refusal(WRONG_SCENE)


def _require_room(call: Call) -> None:
    quotas, now = call.world.quotas, call.world.clock.now()
    made = [one.created_at for one in call.world.moments.values()]
    if sum(at > now - 60 for at in made) >= quotas.moments_per_minute:
        raise Refusal(45009)
    if sum(at > now - MONTH for at in made) >= quotas.moments_per_month:
        raise Refusal(MONTH_FULL)


def _senders(call: Call) -> tuple[set[str], dict[str, Any]]:
    """Who is given the task, and which senders are none."""
    world, seen = call.world, visible(call)
    named = call.object("sender_list", of=call.object("visible_range"))
    users = call.texts("user_list", most=MOST_SENDERS, of=named)
    parties = call.numbers("department_list", of=named)
    invalid: dict[str, list[Any]] = {
        "user_list": [one for one in users if one.lower() not in seen],
        "department_list": [one for one in parties if one not in world.visible_departments(call.app)],
    }
    if not users and not parties:
        return seen, invalid
    below = set().union(*(world.below(one) for one in parties if one not in invalid["department_list"]))
    chosen = {one.lower() for one in users} & seen
    return chosen | {key for key in seen if below & set(world.members[key].departments)}, invalid


def _moment(call: Call) -> Moment:
    moment = call.world.moments.get(call.text("moment_id", missing=NO_ID))
    if moment is None:
        raise Refusal(BAD_ID)
    return moment


def _dispatched(call: Call) -> Moment:
    moment = _moment(call)
    if call.world.clock.now() < moment.created_at + call.world.quotas.dispatch_seconds:
        raise Refusal(DISPATCHING)
    return moment


def _task(call: Call, moment: Moment) -> MomentTask:
    task = moment.tasks.get(call.member().key)
    if task is None:
        raise Refusal(NOT_HERS)
    return task


def _published(call: Call) -> MomentTask:
    task = _task(call, _dispatched(call))
    if not task.published_at:
        raise Refusal(UNPUBLISHED)
    return task


def _row(moment: Moment) -> dict[str, Any]:
    row: dict[str, Any] = {
        "moment_id": moment.moment_id, "create_time": str(int(moment.created_at)), "create_type": int(bool(moment.creator)),
        "visible_type": int(moment.is_public), "text": {"content": moment.content["text"]},
    }  # fmt: skip
    if moment.creator:
        row["creator"] = moment.creator
    parts = moment.content["attachments"]
    if images := [one["image"] for one in parts if one["msgtype"] == "image"]:
        row["image"] = images
    for one in parts:
        if one["msgtype"] != "image":
            row[one["msgtype"]] = one[one["msgtype"]]
    return row
