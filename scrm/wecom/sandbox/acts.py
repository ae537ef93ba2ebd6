"""What people do, as forms and buttons of the control page."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import faults, people
from scrm.wecom.sandbox.people import Impossible
from scrm.wecom.sandbox.records import Approach, Follow
from scrm.wecom.sandbox.registry import Field, act
from scrm.wecom.sandbox.world import World

PAIR = (Field("userid", "导购", "member"), Field("external_userid", "客户", "contact"))


# --- customers


@act(
    "scan",
    "扫一个活码",
    Field("config_id", "活码", "way"),
    Field("external_userid", "客户", "contact", is_optional=True),
    Field("name", "或者新客户的昵称", is_optional=True),
    group="客户",
)
def scan(world: World, config_id: str, external_userid: str = "", name: str = "") -> Approach | Follow:
    return people.scan(world, config_id, external_userid or people.newcomer(world, name))


@act(
    "scan_card",
    "扫导购的个人名片",
    Field("userid", "导购", "member"),
    Field("external_userid", "客户", "contact", is_optional=True),
    Field("name", "或者新客户的昵称", is_optional=True),
    group="客户",
)
def scan_card(world: World, userid: str, external_userid: str = "", name: str = "") -> Approach | Follow:
    return people.approach(world, userid, external_userid or people.newcomer(world, name), add_way=people.BY_CARD)


@act("delete_by_customer", "客户删除导购", *PAIR, group="客户", is_grave=True)
def delete_by_customer(world: World, userid: str, external_userid: str) -> None:
    people.delete_by_customer(world, userid, external_userid)


@act("chat", "客户发来一句话", *PAIR, group="客户")
def chat(world: World, userid: str, external_userid: str) -> None:
    people.chat(world, userid, external_userid)


@act("reply", "导购回一句话", *PAIR, group="导购")
def reply(world: World, userid: str, external_userid: str) -> None:
    people.chat(world, userid, external_userid, is_by_member=True)


@act("new_contact", "来一位新客户", Field("name", "昵称"), Field("unionid", "unionid", is_optional=True), group="客户")
def new_contact(world: World, name: str, unionid: str = "") -> Any:
    if not name.strip():
        raise Impossible("请填写昵称")
    return world.add_contact(name.strip(), unionid)


# --- guides


@act("confirm", "导购通过好友申请", *PAIR, group="导购")
def confirm(world: World, userid: str, external_userid: str) -> Follow:
    return people.confirm(world, userid, external_userid)


@act(
    "add_by_member",
    "导购主动添加客户",
    *PAIR,
    group="导购",
)
def add_by_member(world: World, userid: str, external_userid: str) -> Follow:
    return people.add_by_member(world, userid, external_userid)


@act("delete_by_member", "导购删除客户", *PAIR, group="导购", is_grave=True)
def delete_by_member(world: World, userid: str, external_userid: str) -> None:
    people.delete_by_member(world, userid, external_userid)


@act(
    "edit",
    "导购改备注和标签",
    *PAIR,
    Field("remark", "备注", is_optional=True),
    Field("add_tag", "打上企业标签", "tag", is_optional=True),
    Field("remove_tag", "去掉企业标签", "tag", is_optional=True),
    group="导购",
)
def edit(
    world: World, userid: str, external_userid: str, remark: str = "", add_tag: str = "", remove_tag: str = ""
) -> None:
    add, remove = ((one,) if one else () for one in (add_tag, remove_tag))
    people.edit(world, userid, external_userid, remark=remark or None, add_tags=add, remove_tags=remove)


@act(
    "join",
    "员工入职",
    Field("userid", "账号"),
    Field("name", "姓名"),
    Field("department", "部门编号", "number"),
    group="导购",
)
def join(world: World, userid: str, name: str, department: int) -> None:
    people.join(world, userid, name, (department,))


@act("leave", "员工离职", Field("userid", "导购", "member"), group="导购", is_grave=True)
def leave(world: World, userid: str) -> None:
    people.leave(world, userid)


@act("move", "员工调部门", Field("userid", "导购", "member"), Field("department", "部门编号", "number"), group="导购")
def move(world: World, userid: str, department: int) -> None:
    people.move(world, userid, (department,))


@act(
    "confirms_after",
    "免验证的好友多久后自动通过",
    Field("seconds", "秒（留空：等人来点）", "number", is_optional=True),
    group="导购",
)
def confirms_after(world: World, seconds: float | None = None) -> None:
    world.confirms_after = seconds
    world.touch()


# --- the machine


@act("advance", "拨快时钟", Field("seconds", "秒", "number", value=3600), group="沙箱")
def advance(world: World, seconds: float) -> None:
    if seconds < 0:
        raise Impossible("时钟不能往回拨")
    world.clock.advance(seconds)


@act(
    "fault",
    "注入故障",
    Field("kind", "故障", "choice", tuple(faults.KINDS.items())),
    Field("path", "接口（* 为全部）", value="*"),
    Field("code", "错误码", "number", value=-1, is_optional=True),
    Field("seconds", "持续秒数", "number", value=60, is_optional=True),
    Field("times", "次数（留空：一直）", "number", is_optional=True),
    group="沙箱",
    of_box=True,
)
def fault(box: Any, kind: str, path: str = "*", **values: Any) -> None:
    box.faults.add(kind, path, **{name: value for name, value in values.items() if value is not None})


@act(
    "road",
    "回调路上的故障",
    Field("drop", "丢失（0 到 1）", "number", value=0),
    Field("duplicate", "重复（0 到 1）", "number", value=0),
    Field("delay", "延迟（0 到 1）", "number", value=0),
    Field("reorder", "乱序（0 到 1）", "number", value=0),
    group="沙箱",
    of_box=True,
)
def road(box: Any, **shares: float) -> None:
    box.faults.road = faults.Road(**shares)


@act("clear_faults", "撤掉全部故障", group="沙箱", of_box=True)
def clear_faults(box: Any) -> None:
    box.faults.clear()


@act("forget_tokens", "让访问凭证提前失效", group="沙箱", of_box=True)
def forget_tokens(box: Any) -> None:
    for app in box.world.apps:
        box.tokens.forget(app)


@act("verify", "重新校验回调地址", group="沙箱", of_box=True)
def verify(box: Any) -> None:
    for app in box.world.apps:
        if app.receiver is not None and not box.callbacks.verify(app):
            raise Impossible(f"{app.name}:{app.receiver.error}")
