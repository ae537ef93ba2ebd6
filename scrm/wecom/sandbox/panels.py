"""What there is to see on the control page, as tables; and what may be picked in its forms."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import faults, people
from scrm.wecom.sandbox.records import ACTIVE, LEFT
from scrm.wecom.sandbox.registry import Button, panel
from scrm.wecom.sandbox.world import World

ROWS = 100
OF_PAIR = {"userid": "userid", "external_userid": "external_userid"}
STATUS = {ACTIVE: "在职", 2: "已禁用", 4: "未激活", LEFT: "已离职"}
ADD_WAYS = {
    0: "未知", 1: "扫码", 2: "搜手机号", 3: "名片分享", 4: "群聊", 5: "手机通讯录", 6: "微信联系人", 9: "搜索邮箱", 10: "视频号",
    13: "微信好友转企微", 16: "获客链接", 24: "主动添加", 201: "内部共享", 202: "管理员分配",
}  # fmt: skip
DELIVERY = {
    "waiting": "待送达", "delivered": "已送达", "refused": "对方拒收", "failed": "多次无人应答", "dropped": "故障：已丢失",
    "no receiver": "没有可用的回调地址",
}  # fmt: skip


@panel(
    "approaches", "待通过的好友",
    ("at", "时间"), ("guide", "导购"), ("customer", "客户"), ("way", "方式"), ("state", "渠道参数"), ("half", "免验证"),
    buttons=(Button("confirm", "通过", OF_PAIR),),
    hint="客户扫码以后、导购通过以前。",
)  # fmt: skip
def approaches(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        pair(world, one.userid, one.external_userid)
        | {"at": one.at, "way": _way(one.add_way), "state": one.state, "half": "是" if one.is_half else "否"}
        for one in reversed(world.approaches.values())
    )
    return first(rows, query)


@panel(
    "friends", "好友",
    ("guide", "导购"), ("customer", "客户"), ("created_at", "添加时间"), ("way", "方式"), ("state", "渠道参数"), ("remark", "备注"),
    ("tags", "企业标签"), ("left", "客户侧"),
    buttons=(
        Button("edit", "改备注标签", OF_PAIR), Button("chat", "客户说话", OF_PAIR), Button("reply", "导购回话", OF_PAIR),
        Button("delete_by_customer", "客户删除", OF_PAIR), Button("delete_by_member", "导购删除", OF_PAIR),
    ),
    hint="最近成为好友的在前；可按导购、客户、备注、渠道参数查找。",
)  # fmt: skip
def friends(world: World, query: str) -> list[dict[str, Any]]:
    follows = [follow for member in world.staff() for follow in member.follows.values()]
    follows.sort(key=lambda follow: (-follow.created_at, -follow.number))
    rows = (
        pair(world, one.userid, one.external_userid)
        | {"created_at": one.created_at, "way": _way(one.add_way), "state": one.state, "remark": one.remark}
        | {"tags": "、".join(world.tags[tag].name for tag in one.tag_ids if not world.tags[tag].is_deleted)}
        | {"left": "已删除导购" if one.customer_left_at else ""}
        for one in follows
    )
    return first(rows, query)


@panel(
    "customers", "客户", ("customer", "昵称"), ("external_userid", "external_userid"), ("unionid", "unionid"), ("followers", "好友导购"),
)  # fmt: skip
def customers(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "customer": one.name,
            "external_userid": one.external_userid,
            "unionid": one.unionid,
            "followers": "、".join(world.members[key].name for key in one.followers),
        }
        for one in reversed(world.contacts.values())
    )
    return first(rows, query)


@panel(
    "guides", "员工", ("name", "姓名"), ("userid", "账号"), ("departments", "部门"), ("status", "状态"), ("friends", "好友数"),
    buttons=(
        Button("scan_card", "扫她的名片", {"userid": "userid"}), Button("leave", "离职", {"userid": "userid"}),
    ),
)  # fmt: skip
def guides(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "name": one.name,
            "userid": one.userid,
            "departments": "、".join(world.departments[number].name for number in one.departments),
            "status": STATUS.get(one.status, one.status),
            "friends": len(one.follows),
        }
        for one in world.members.values()
    )
    return first(rows, query)


@panel(
    "ways", "活码",
    ("created_at", "创建时间"), ("remark", "备注"), ("state", "渠道参数"), ("members", "员工"), ("skips", "免验证"), ("served", "扫码次数"),
    ("url", "扫码页"),
    buttons=(Button("scan", "扫一扫", {"config_id": "config_id"}),),
    hint="用接口创建的「联系我」。扫码页就是二维码指向的地址。",
)  # fmt: skip
def ways(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "config_id": one.config_id,
            "created_at": one.created_at,
            "remark": one.remark,
            "state": one.state,
            "members": "、".join(member.name for member in people.members_of(world, one)[:5]),
            "skips": "是" if one.skip_verify else "否",
            "served": one.served,
            "url": f"/sandbox/scan/{one.config_id}",
        }
        for one in reversed(world.ways.values())
    )
    return first(rows, query)


@panel(
    "sent", "发出的消息", ("at", "时间"), ("kind", "种类"), ("guide", "导购"), ("customer", "发给"), ("text", "内容")
)
def sent(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "at": one.at,
            "kind": {"welcome": "欢迎语", "mass": "群发", "moment": "朋友圈", "app": "应用消息"}.get(
                one.kind, one.kind
            ),
            "guide": member_name(world, one.userid),
            "customer": contact_name(world, one.to),
            "text": f"{one.content.get('text', '')} {_attached(one.content)}".strip(),
            "external_userid": one.to,
            "userid": one.userid,
        }
        for one in reversed(world.sent)
    )
    return first(rows, query)


@panel(
    "events", "回调事件",
    ("number", "序号"), ("at", "时间"), ("event", "事件"), ("change_type", "变化"), ("about", "对象"), ("state", "送达"), ("attempts", "次数"),
    hint="推给各应用的回调，加密签名后送到它们的回调地址。",
)  # fmt: skip
def events(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "number": one.number,
            "at": one.at,
            "event": one.event,
            "change_type": one.change_type,
            "about": one.about,
            "state": "、".join(
                DELIVERY[delivery.state] + (f"({delivery.error})" if delivery.error else "")
                for delivery in one.deliveries
            )
            or DELIVERY["no receiver"],
            "attempts": sum(delivery.attempts for delivery in one.deliveries),
        }
        for one in reversed(world.events)
    )
    return first(rows, query)


@panel("calls", "接口调用", ("at", "时间"), ("path", "接口"), ("errcode", "errcode"), of_box=True)
def calls(box: Any, query: str) -> list[dict[str, Any]]:
    return first(reversed(list(box.calls)), query)


@panel(
    "faults", "故障", ("what", "故障"), ("path", "接口"), ("code", "错误码"), ("seconds", "秒"), ("times", "还剩次数"), of_box=True,
)  # fmt: skip
def shown_faults(box: Any, query: str) -> list[dict[str, Any]]:
    return [row | {"what": faults.KINDS[row["kind"]]} for row in box.faults.described()]


# --- what may be picked in a form


def find(world: World, kind: str, query: str) -> list[dict[str, str]]:
    """At most twenty: value and label."""
    sources: dict[str, Any] = {
        "member": ((one.userid, f"{one.name} {one.userid}") for one in world.staff()),
        "contact": ((one.external_userid, _described(world, one)) for one in reversed(world.contacts.values())),
        "way": ((one.config_id, f"{one.remark} {one.state} {one.config_id[:6]}") for one in reversed(world.ways.values())),
        "tag": (
            (one.id, f"{world.tag_groups[one.group_id].name} / {one.name}")
            for one in world.tags.values()
            if not one.is_deleted
        ),
    }  # fmt: skip
    found = []
    for value, label in sources.get(kind, ()):
        if query in label or query == value:
            found.append({"value": value, "label": label})
        if len(found) == 20:
            break
    return found


# --- for the panels of other modules too


def first(rows: Any, query: str) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        if not query or any(query in str(value) for value in row.values()):
            found.append(row)
        if len(found) == ROWS:
            break
    return found


def pair(world: World, userid: str, external_userid: str) -> dict[str, Any]:
    return {
        "userid": userid,
        "external_userid": external_userid,
        "guide": member_name(world, userid),
        "customer": contact_name(world, external_userid),
    }


def member_name(world: World, userid: str) -> str:
    member = world.members.get(userid.lower())
    return f"{member.name} {member.userid}" if member else userid


def contact_name(world: World, external_userid: str) -> str:
    contact = world.contacts.get(external_userid)
    return contact.name if contact else external_userid


def _described(world: World, contact: Any) -> str:
    friends = "、".join(world.members[key].name for key in contact.followers[:2])
    return f"{contact.name} {contact.external_userid[:10]}" + (f"（好友：{friends}）" if friends else "（还没有好友）")


def _way(add_way: int) -> str:
    return ADD_WAYS.get(add_way, str(add_way))


def _attached(content: dict[str, Any]) -> str:
    return " ".join(f"[{one.get('msgtype')}]" for one in content.get("attachments", ()))
