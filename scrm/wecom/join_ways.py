"""Group join ways (客户群进群方式): QR codes and buttons by which a customer joins a group.

1. They count against the same 500,000 as contact ways; a ``config_id`` that is lost can never be deleted, so making one
   is never repeated after a lost answer.
2. The code fills its one to five groups in order. When they are full and ``makes_groups`` is set, WeCom makes new ones,
   named ``base_name`` and a number counted up from ``base_number``.
3. An update writes all fields; there is no changing of one alone.
4. WeCom cuts a longer remark without a word; here it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import bounds, client

BUTTON, QR_CODE = 1, 2
MOST_GROUPS = 5
REMARK_CHARS, STATE_CHARS, BASE_NAME_CHARS = 30, 30, 40

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
    return str(client.call(app, _ADD, _values(_ADD.path, way))["config_id"])


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
