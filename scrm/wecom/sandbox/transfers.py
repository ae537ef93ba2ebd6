"""What becomes of transfers (继承): after 24 hours, unless the customer refuses or the taker is full.

1. Done: the taker follows (way of adding 202), with the remark and tags of before; the giver who still works here has lost the
   customer, told with ``DELETE_BY_TRANSFER``.
2. The taker's event does not come for a customer whom the taker knew already or once gave away.
3. Refused, or the taker is full: ``transfer_fail`` for the taker, and the customer stays.
"""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import panels
from scrm.wecom.sandbox.people import EXTERNAL, Impossible
from scrm.wecom.sandbox.records import Member, Transfer
from scrm.wecom.sandbox.registry import Button, Field, act, job, panel
from scrm.wecom.sandbox.world import World

DONE, WAITING, REFUSED, AT_LIMIT = 1, 2, 3, 4
ASSIGNED = 202
STATUS = {DONE: "已接替", WAITING: "等待接替", REFUSED: "客户拒绝", AT_LIMIT: "接替人客户已满"}


@act("refuse_transfer", "客户拒绝被继承", Field("transfer_id", "继承编号"), group="继承")
def refuse(world: World, transfer_id: str) -> None:
    with world.lock:
        transfer = world.transfers.get(transfer_id)
        if transfer is None or transfer.status != WAITING:
            raise Impossible("没有等待中的继承")
        _fail(world, transfer, REFUSED, "customer_refused")


@act("transfer_refusals", "多少客户会拒绝继承", Field("share", "比例（0 到 1）", "number"), group="继承")
def set_refusals(world: World, share: float) -> None:
    if not 0 <= share <= 1:
        raise Impossible("比例在 0 和 1 之间")
    world.transfer_refusals = share
    world.touch()


@panel(
    "transfers", "继承",
    ("started_at", "发起时间"), ("customer", "客户"), ("handover", "原跟进人"), ("takeover", "接替人"), ("status", "状态"),
    ("takeover_at", "接替时间"),
    buttons=(Button("refuse_transfer", "客户拒绝", {"transfer_id": "transfer_id"}),),
    hint="发起后等待 24 小时自动接替，可以拨快时钟。",
)  # fmt: skip
def shown(world: World, query: str) -> list[dict[str, Any]]:
    rows = (
        {
            "transfer_id": key,
            "started_at": one.started_at,
            "customer": panels.contact_name(world, one.external_userid),
            "handover": panels.member_name(world, one.handover),
            "takeover": panels.member_name(world, one.takeover),
            "status": STATUS[one.status],
            "takeover_at": one.takeover_at,
        }
        for key, one in reversed(world.transfers.items())
    )
    return panels.first(rows, query)


def begin(world: World, handover: Member, takeover: Member, external_userid: str, *, was_resigned: bool) -> None:
    now = world.clock.epoch()
    key = world.new_id("tf", 16)
    at = now + world.quotas.transfer_seconds
    world.transfers[key] = Transfer(external_userid, handover.key, takeover.key, WAITING, at, now, was_resigned)
    world.later(world.quotas.transfer_seconds, "transfer", key=key)


def waiting(world: World, takeover: str) -> int:
    return sum(one.takeover == takeover and one.status == WAITING for one in world.transfers.values())


@job("transfer")
def _take_over(world: World, *, at: float, key: str) -> None:
    transfer = world.transfers[key]
    if transfer.status != WAITING:
        return
    takeover, follow = world.member(transfer.takeover), world.follow(transfer.handover, transfer.external_userid)
    if takeover is None or follow is None or world.random.random() < world.transfer_refusals:
        _fail(world, transfer, REFUSED, "customer_refused")
        return
    if len(takeover.follows) >= world.quotas.customers_per_member and transfer.external_userid not in takeover.follows:
        _fail(world, transfer, AT_LIMIT, "customer_limit_exceed")
        return
    transfer.status, transfer.takeover_at = DONE, int(at)
    knew = transfer.external_userid in takeover.follows or _gave_away(world, transfer)
    world.part(transfer.handover, transfer.external_userid)
    handover = world.members[transfer.handover]
    if not transfer.was_resigned:
        _tell(world, "del_external_contact", handover, transfer, Source="DELETE_BY_TRANSFER")
    if transfer.external_userid not in takeover.follows:
        world.befriend(
            takeover.key, transfer.external_userid, add_way=ASSIGNED, oper_userid=takeover.userid, remark=follow.remark,
            tag_ids=follow.tag_ids,
        )  # fmt: skip
    if not knew:
        _tell(world, "add_external_contact", takeover, transfer)


def _fail(world: World, transfer: Transfer, status: int, reason: str) -> None:
    transfer.status = status
    world.touch()
    taker = world.members[transfer.takeover]
    _tell(world, "transfer_fail", taker, transfer, FailReason=reason)


def _gave_away(world: World, transfer: Transfer) -> bool:
    return any(
        one.handover == transfer.takeover and one.external_userid == transfer.external_userid and one.status == DONE
        for one in world.transfers.values()
    )


def _tell(world: World, change_type: str, member: Member, transfer: Transfer, **tags: str) -> None:
    about = f"{member.key} {transfer.external_userid}"
    said: dict[str, Any] = {**tags, "UserID": member.userid, "ExternalUserID": transfer.external_userid}
    world.emit(EXTERNAL, change_type, about=about, **said)
