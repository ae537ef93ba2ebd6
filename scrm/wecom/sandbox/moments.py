"""Moments (朋友圈) as guides and customers see them: published by each guide, liked and commented by who may see them."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import panels
from scrm.wecom.sandbox.people import Impossible
from scrm.wecom.sandbox.records import Moment, MomentTask, Sent
from scrm.wecom.sandbox.registry import Button, Field, act, job, panel
from scrm.wecom.sandbox.world import World

ONE = (Field("moment_id", "朋友圈编号"), Field("userid", "导购", "member"))
OF_ONE = {"moment_id": "moment_id", "userid": "userid"}


@act("publish_moment", "导购发表朋友圈", *ONE, group="群发与朋友圈")
def publish(world: World, moment_id: str, userid: str) -> None:
    """Those of the chosen customers can see it who are still friends."""
    with world.lock:
        moment, task = _task(world, moment_id, userid)
        if moment.is_cancelled:
            raise Impossible("企业已停止发表")
        if task.published_at:
            raise Impossible("已经发表过了")
        task.published_at = world.clock.epoch()
        follows = world.members[task.userid].follows
        task.audience = tuple(
            one for one in task.chosen if one in follows and not follows[one].customer_left_at
        )  # fmt: skip
        for one in task.audience[:100]:
            world.sent.append(Sent("moment", task.published_at, task.userid, one, moment.content))
        world.touch()


@act(
    "post_own_moment",
    "导购自己发朋友圈",
    Field("userid", "导购", "member"),
    Field("text", "内容"),
    group="群发与朋友圈",
)
def post_own(world: World, userid: str, text: str) -> str:
    """Seen by all her customers at once; the id."""
    with world.lock:
        member = world.members.get(userid.lower())
        if member is None or member.left_at:
            raise Impossible("没有这位导购")
        now = world.clock.epoch()
        friends = tuple(one for one, follow in member.follows.items() if not follow.customer_left_at)
        task = MomentTask(member.key, friends, now, friends)
        said = {"text": text, "attachments": []}
        moment = Moment(
            world.new_id("mom"), "", world.clock.now(), said, True, {}, {member.key: task}, creator=member.userid
        )
        world.moments[moment.moment_id] = moment
        world.touch()
        return moment.moment_id


@act("like_moment", "客户点赞", *ONE, Field("external_userid", "客户", "contact"), group="群发与朋友圈")
def like(world: World, moment_id: str, userid: str, external_userid: str) -> None:
    with world.lock:
        task = _seen(world, moment_id, userid, external_userid)
        if external_userid in dict(task.likes):
            raise Impossible("已经点过赞了")
        task.likes += ((external_userid, world.clock.epoch()),)
        world.touch()


@act("comment_moment", "客户评论", *ONE, Field("external_userid", "客户", "contact"), group="群发与朋友圈")
def comment(world: World, moment_id: str, userid: str, external_userid: str) -> None:
    with world.lock:
        task = _seen(world, moment_id, userid, external_userid)
        task.comments += ((external_userid, world.clock.epoch()),)
        world.touch()


@panel(
    "moments", "朋友圈任务",
    ("created_at", "创建时间"), ("guide", "导购"), ("text", "内容"), ("chosen", "可见客户"), ("published_at", "发表时间"), ("likes", "点赞"),
    ("comments", "评论"), ("moment_id", "朋友圈编号"),
    buttons=(
        Button("publish_moment", "发表", OF_ONE), Button("like_moment", "客户点赞", OF_ONE), Button("comment_moment", "客户评论", OF_ONE),
    ),
)  # fmt: skip
def shown(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "moment_id": moment.moment_id,
            "userid": task.userid,
            "created_at": int(moment.created_at),
            "guide": panels.member_name(world, task.userid),
            "text": moment.content["text"][:40],
            "chosen": len(task.chosen),
            "published_at": task.published_at or None,
            "likes": len(task.likes),
            "comments": len(task.comments),
        }
        for moment in reversed(world.moments.values())
        for task in moment.tasks.values()
    )
    return panels.first(rows, query)


@job("publish_moment")
def _publish_later(world: World, *, at: float, moment_id: str) -> None:
    moment = world.moments.get(moment_id)
    for task in list(moment.tasks.values()) if moment and not moment.is_cancelled else ():
        if not task.published_at:
            publish(world, moment_id, task.userid)


def _task(world: World, moment_id: str, userid: str) -> tuple[Moment, MomentTask]:
    moment = world.moments.get(moment_id)
    task = moment.tasks.get(userid.lower()) if moment else None
    if moment is None or task is None:
        raise Impossible("没有这条朋友圈任务")
    return moment, task


def _seen(world: World, moment_id: str, userid: str, external_userid: str) -> MomentTask:
    _moment, task = _task(world, moment_id, userid)
    if not task.published_at or external_userid not in task.audience:
        raise Impossible("这位客户看不到这条朋友圈")
    return task
