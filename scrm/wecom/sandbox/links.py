"""Acquisition links (获客链接) as customers use them: opened, and a guide is asked to be a friend."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import activity, panels, people
from scrm.wecom.sandbox.people import Impossible
from scrm.wecom.sandbox.records import Approach, Follow, Link, Member, Way
from scrm.wecom.sandbox.registry import Button, Field, act, panel
from scrm.wecom.sandbox.world import World

BY_LINK = 16  # add_way
MULTI = 2
CHANNEL_BYTES = 64


@act(
    "open_link",
    "客户打开获客链接",
    Field("link_id", "获客链接"),
    Field("external_userid", "客户", "contact"),
    Field("channel", "渠道参数 customer_channel", is_optional=True),
    group="客户",
)
def click(world: World, link_id: str, external_userid: str, channel: str = "") -> Approach | Follow:
    """The channel is cut at 64 bytes. Without balance nobody is let through."""
    with world.lock:
        link, contact = world.links.get(link_id), people.contact_of(world, external_userid)
        if link is None:
            raise Impossible("链接已失效")
        link.clicks[activity.today(world)] = link.clicks.get(activity.today(world), 0) + 1
        world.touch()
        if world.acquisition_balance <= 0:
            raise Impossible("获客额度已用完")
        member = _chosen(world, link, contact.followers)
        link.served += 1
        state = channel.encode()[:CHANNEL_BYTES].decode(errors="ignore")
        return people.approach(
            world, member.userid, external_userid, add_way=BY_LINK, state=state, skips=link.skip_verify,
            more={"link_id": link_id},
        )  # fmt: skip


@act("acquisition_quota", "改获客额度", Field("balance", "剩余", "number"), group="沙箱")
def set_balance(world: World, balance: int) -> None:
    with world.lock:
        is_more = balance > world.acquisition_balance
        world.acquisition_balance = max(0, balance)
        world.acquisition_total = max(world.acquisition_total, balance)
        if is_more:
            world.emit(activity.LINKS, "balance_increased")
        world.touch()


@panel(
    "links", "获客链接",
    ("created_at", "创建时间"), ("name", "名称"), ("members", "员工"), ("clicks", "点击"), ("added", "添加"), ("link_id", "链接编号"),
    buttons=(Button("open_link", "客户打开", {"link_id": "link_id"}),),
)  # fmt: skip
def shown(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "link_id": one.link_id,
            "created_at": one.created_at,
            "name": one.name,
            "members": "、".join(member.name for member in members_of(world, one)[:5]),
            "clicks": sum(one.clicks.values()),
            "added": len(one.customers),
        }
        for one in reversed(world.links.values())
    )
    return panels.first(rows, query)


def members_of(world: World, link: Link) -> list[Member]:
    return people.members_of(world, Way("", MULTI, 0, 0, None, users=link.users, parties=link.parties))


def _chosen(world: World, link: Link, known: tuple[str, ...]) -> Member:
    those = members_of(world, link)
    if not those:
        raise Impossible("这个链接的员工都不能添加客户了")
    friends = [one for one in those if one.key in known]
    return friends[0] if friends else those[link.served % len(those)]
