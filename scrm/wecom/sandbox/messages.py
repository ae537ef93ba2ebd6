"""App messages (应用消息) as members get them; a click on a card's button is told to its app."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import panels
from scrm.wecom.sandbox.people import Impossible
from scrm.wecom.sandbox.records import AppMessage, Sent
from scrm.wecom.sandbox.registry import Button, Field, act, panel
from scrm.wecom.sandbox.world import World

CODE_SECONDS = 72 * 3600


@act(
    "click_card",
    "员工点模板卡片的按钮",
    Field("msgid", "消息编号"),
    Field("userid", "员工", "member"),
    Field("key", "按钮 key", is_optional=True),
    group="导购",
)
def click(world: World, msgid: str, userid: str, key: str = "") -> str:
    """The response code, which the event carries too."""
    with world.lock:
        message = world.app_messages.get(msgid)
        if message is None or userid.lower() not in message.to:
            raise Impossible("没有收到这条消息")
        card = message.content.get("template_card") or {}
        keys = [one["key"] for one in card.get("button_list", ())]
        if message.is_recalled or message.is_changed or not keys:
            raise Impossible("这条消息没有可点的按钮")
        if key and key not in keys:
            raise Impossible("没有这个按钮")
        code = world.new_id("RC", 40)
        until = world.clock.now() + CODE_SECONDS
        world.more.setdefault("response_codes", {})[code] = {"msgid": msgid, "until": until}
        world.emit(
            "template_card_event", "", about=msgid, agent_id=message.agent_id, FromUserName=world.members[userid.lower()].userid,
            EventKey=key or keys[0], TaskId=card.get("task_id", ""), CardType=card.get("card_type", ""), ResponseCode=code,
            AgentID=message.agent_id or 0,
        )  # fmt: skip
        return code


@panel(
    "app_messages", "应用消息",
    ("at", "时间"), ("to", "员工"), ("kind", "类型"), ("text", "内容"), ("state", "状态"), ("msgid", "消息编号"),
    buttons=(Button("click_card", "点按钮", {"msgid": "msgid"}),),
)  # fmt: skip
def shown(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "msgid": one.msgid,
            "at": int(one.at),
            "to": "、".join(panels.member_name(world, key) for key in one.to[:5]),
            "kind": one.content["msgtype"],
            "text": _text(one.content)[:60],
            "state": "已撤回" if one.is_recalled else "已更新" if one.is_changed else "",
        }
        for one in reversed(world.app_messages.values())
    )
    return panels.first(rows, query)


def deliver(world: World, message: AppMessage) -> None:
    for key in message.to[:100]:
        world.sent.append(Sent("app", int(message.at), key, key, {"text": _text(message.content)}))


def _text(content: dict[str, Any]) -> str:
    part = content.get(content["msgtype"]) or {}
    titled = part.get("main_title") or (part.get("articles") or [{}])[0]
    return str(part.get("content") or part.get("title") or titled.get("title") or "")
