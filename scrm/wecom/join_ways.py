"""Group join ways (客户群进群方式): QR codes and buttons by which a customer joins a group.

1. They count against the same 500,000 as contact ways, and WeCom lists them nowhere. So each is a row of ours (GroupWay)
   before WeCom is asked. A ``config_id`` that is lost can never be found or deleted: making one is never repeated by itself
   after a lost answer, and the row goes on counting as used until a person decides (``group_ways``).
2. The code fills its one to five groups in order. When they are full and ``makes_groups`` is set, WeCom makes new ones,
   named ``base_name`` and a number counted up from ``base_number``.
3. An update writes all fields; there is no changing of one alone.
4. WeCom cuts a longer remark without a word; here it is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from scrm import db
from scrm.models import Corp, GroupWay, OutboxMessage, WecomApp
from scrm.wecom import bounds, client, errors

BUTTON, QR_CODE = 1, 2
MOST_GROUPS = 5
REMARK_CHARS, STATE_CHARS, BASE_NAME_CHARS = 30, 30, 40
ANSWERED_WITHIN = dt.timedelta(minutes=10)  # with every repetition
CREATE = "group_way.create"  # the message by which a person has one asked for again
RECORD = "group_way "  # and the row's key: the name of a code among the messages to WeCom
Status = GroupWay.Status
NOT_COUNTED = (Status.GONE, Status.UNMADE)
OPEN = (OutboxMessage.Status.WAITING, OutboxMessage.Status.SENDING, OutboxMessage.Status.UNKNOWN)

_ADD = client.create("externalcontact/groupchat/add_join_way")
_GET = client.query("externalcontact/groupchat/get_join_way")
_UPDATE = client.query("externalcontact/groupchat/update_join_way")
_DELETE = client.query("externalcontact/groupchat/del_join_way")


@dataclass(frozen=True)
class JoinWay:
    """``state`` comes back with the members who joined this way. ``qr_code`` is an address; WeCom gives it."""

    chat_ids: Sequence[str]
    scene: int = QR_CODE
    remark: str = ""
    makes_groups: bool = True
    base_name: str = ""
    base_number: int = 1
    state: str = ""
    qr_code: str = ""


def add(app: WecomApp, way: JoinWay) -> str:
    """The ``config_id``, without the code: that comes from ``get``. QuotaExhausted when the corp has no more ways."""
    values = _values(_ADD.path, way)
    db.require_no_transaction()  # the row must stand whatever becomes of us
    row = GroupWay.objects.create(corp_id=app.corp_id, state=way.state, remark=way.remark, wish=values)
    try:
        config_id = ask(app, values)
    except errors.WecomError as error:
        if _may_be_made(error):
            GroupWay.objects.filter(pk=row.pk).update(status=Status.LOST, error_code=error.code)
        else:
            row.delete()
        raise
    GroupWay.objects.filter(pk=row.pk).update(status=Status.LIVE, config_id=config_id)
    return config_id


def ask(app: WecomApp, wish: dict[str, Any]) -> str:
    """The ``config_id``; ``wish`` is that of a row, which the caller keeps."""
    return str(client.call(app, _ADD, wish)["config_id"])


def get(app: WecomApp, config_id: str) -> JoinWay:
    """NotFound for an unknown id. Groups that WeCom has added since are among ``chat_ids``."""
    bounds.present(_GET.path, "config_id", config_id)
    return _join_way(client.call(app, _GET, {"config_id": config_id})["join_way"])


def update(app: WecomApp, config_id: str, way: JoinWay) -> None:
    bounds.present(_UPDATE.path, "config_id", config_id)
    client.call(app, _UPDATE, {"config_id": config_id, **_values(_UPDATE.path, way)})


def delete(app: WecomApp, config_id: str) -> None:
    bounds.present(_DELETE.path, "config_id", config_id)
    client.call(app, _DELETE, {"config_id": config_id})
    _forget(app, config_id)


# --- our rows -----------------------------------------------------------------------------------------------------------


def used(corp: Corp) -> int:
    """How many count against the quota: what exists, what is being made, and what may exist."""
    return GroupWay.objects.filter(corp=corp).exclude(status__in=NOT_COUNTED).count()


def lost(corp: Corp, *, now: dt.datetime) -> int:
    """How many may exist without anybody knowing their id."""
    return lost_ones(now=now).filter(corp=corp).count()


def lost_ones(*, now: dt.datetime) -> QuerySet[GroupWay]:
    """The answer, or whoever waited for it, was lost; what a message to WeCom still waits for is not."""
    record = Concat(Value(RECORD), Cast(OuterRef("pk"), CharField()))
    under_way = OutboxMessage.objects.filter(corp=OuterRef("corp"), record=record, topic=CREATE, status__in=OPEN)
    unanswered = Q(status=Status.MAKING, asked_at__lt=now - ANSWERED_WITHIN) & ~Q(Exists(under_way))
    return GroupWay.objects.filter(Q(status=Status.LOST) | unanswered)


def compare(app: WecomApp, *, most: int) -> int:
    """Ask WeCom for up to ``most`` of those in use, those not asked for longest first; how many it no longer has."""
    gone = 0
    rows = GroupWay.objects.filter(corp=app.corp_id, status=Status.LIVE)
    for row in rows.order_by(F("compared_at").asc(nulls_first=True), "pk")[:most]:
        try:
            get(app, row.config_id or "")
        except errors.NotFound:
            _forget(app, row.config_id or "")
            gone += 1
        else:
            GroupWay.objects.filter(pk=row.pk).update(compared_at=timezone.now())
    return gone


def _may_be_made(error: errors.WecomError) -> bool:
    if isinstance(error, errors.Malformed):
        return True
    return isinstance(error, errors.Unreachable) and error.may_be_done


def _forget(app: WecomApp, config_id: str) -> None:
    GroupWay.objects.filter(corp=app.corp_id, config_id=config_id).update(status=Status.GONE)


def _values(path: str, way: JoinWay) -> dict[str, Any]:
    bounds.between(path, "scene", way.scene, BUTTON, QR_CODE)
    bounds.items(path, "chat_id_list", way.chat_ids, MOST_GROUPS, least=1)
    bounds.chars(path, "remark", way.remark, REMARK_CHARS)
    bounds.chars(path, "room_base_name", way.base_name, BASE_NAME_CHARS)
    bounds.chars(path, "state", way.state, STATE_CHARS)
    return {
        "scene": way.scene,
        "remark": way.remark,
        "auto_create_room": int(way.makes_groups),
        "room_base_name": way.base_name,
        "room_base_id": way.base_number,
        "chat_id_list": list(way.chat_ids),
        "state": way.state,
    }


def _join_way(row: dict[str, Any]) -> JoinWay:
    return JoinWay(
        chat_ids=tuple(row.get("chat_id_list", [])),
        scene=row.get("scene", QR_CODE),
        remark=row.get("remark", ""),
        makes_groups=bool(row.get("auto_create_room", 1)),
        base_name=row.get("room_base_name", ""),
        base_number=row.get("room_base_id", 1),
        state=row.get("state", ""),
        qr_code=row.get("qr_code", ""),
    )
