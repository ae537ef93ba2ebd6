"""Contact ways (联系我): QR codes and buttons by which a customer adds a member.

1. A corp may make 500,000 through the API, group join ways included. They are not shown in WeCom's console: a
   ``config_id`` that is lost can never be deleted. Store it as soon as it comes.
2. Making one is never repeated after a lost answer (``Unreachable.may_be_done``): it might be the second.
3. ``state`` comes back with the relation and in events: 30 characters, a short key of ours.
4. ``skip_verify`` is always said: WeCom takes silence for true.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from scrm import db
from scrm.models import WecomApp
from scrm.wecom import bounds, client, errors, transport

SINGLE, MULTI = 1, 2
BUTTON, QR_CODE = 1, 2
REMARK_CHARS, STATE_CHARS = 30, 30
MOST_MEMBERS = 100  # after WeCom has expanded the departments
PAGE = 1000
PICTURE_HOSTS = ("qpic.cn", "weixin.qq.com", "qlogo.cn")  # where WeCom keeps the pictures of codes
PICTURE_KINDS = ("image/png", "image/jpeg")
PICTURE_BYTES = 1 << 20

_ADD = client.create("externalcontact/add_contact_way")
_GET = client.query("externalcontact/get_contact_way")
_LIST = client.query("externalcontact/list_contact_way")
_UPDATE = client.query("externalcontact/update_contact_way")
_DELETE = client.query("externalcontact/del_contact_way")
_CLOSE = client.query("externalcontact/close_temp_chat")


@dataclass(frozen=True)
class Made:
    config_id: str
    qr_code: str  # an address; empty for a button


@dataclass(frozen=True)
class ContactWay:
    """``type`` SINGLE or MULTI, ``scene`` BUTTON or QR_CODE."""

    config_id: str
    type: int
    scene: int
    remark: str
    skip_verify: bool
    state: str
    qr_code: str
    userids: tuple[str, ...]
    department_ids: tuple[int, ...]


def add_single(
    app: WecomApp, *, userid: str, state: str, skip_verify: bool, remark: str = "", scene: int = QR_CODE
) -> Made:
    """A way to one member. NotActivated when she is not set up; QuotaExhausted when the corp has no more ways."""
    bounds.userid(_ADD.path, "user", userid)
    return _add(app, {"type": SINGLE, "user": [userid]}, scene, remark, state, skip_verify)


def add_multi(
    app: WecomApp, *, userids: Sequence[str] = (), department_ids: Sequence[int] = (), state: str, skip_verify: bool,
    remark: str = "", scene: int = QR_CODE,
) -> Made:  # fmt: skip
    """A way to one of several members, whom WeCom chooses; the event says whom."""
    bounds.present(_ADD.path, "user", [*userids, *department_ids])
    _require_members(_ADD.path, userids)
    to = {"user": list(userids), "party": list(department_ids)}
    return _add(
        app, {"type": MULTI, **{key: value for key, value in to.items() if value}}, scene, remark, state, skip_verify
    )


def get(app: WecomApp, config_id: str) -> ContactWay:
    """NotFound for an unknown id."""
    bounds.present(_GET.path, "config_id", config_id)
    return _contact_way(client.call(app, _GET, {"config_id": config_id})["contact_way"])


def ids(app: WecomApp, *, since: dt.datetime, until: dt.datetime) -> Iterator[str]:
    """The config ids made in a period, page by page; those made before 2021-07-10 are never listed."""
    period = {"start_time": int(since.timestamp()), "end_time": int(until.timestamp())}
    for answer in client.pages(app, _LIST, {**period, "limit": PAGE}):
        for row in answer.get("contact_way", []):
            yield row["config_id"]


def update(
    app: WecomApp, *, config_id: str, skip_verify: bool, remark: str | None = None, state: str | None = None,
    userids: Sequence[str] | None = None, department_ids: Sequence[int] | None = None,
) -> None:  # fmt: skip
    """Replace what is given; None leaves it. Type and scene never change."""
    path = _UPDATE.path
    bounds.present(path, "config_id", config_id)
    _require_texts(path, remark, state)
    _require_members(path, userids or ())
    given = {
        "remark": remark,
        "state": state,
        "user": None if userids is None else list(userids),
        "party": None if department_ids is None else list(department_ids),
    }
    values = {name: value for name, value in given.items() if value is not None}
    client.call(app, _UPDATE, {"config_id": config_id, "skip_verify": skip_verify, **values})


def delete(app: WecomApp, config_id: str) -> None:
    bounds.present(_DELETE.path, "config_id", config_id)
    client.call(app, _DELETE, {"config_id": config_id})


def close_temporary(app: WecomApp, *, userid: str, external_userid: str) -> None:
    """End the temporary session that a temporary way has begun."""
    bounds.userid(_CLOSE.path, "userid", userid)
    bounds.present(_CLOSE.path, "external_userid", external_userid)
    client.call(app, _CLOSE, {"userid": userid, "external_userid": external_userid})


def _add(app: WecomApp, to: dict[str, Any], scene: int, remark: str, state: str, skip_verify: bool) -> Made:
    bounds.between(_ADD.path, "scene", scene, BUTTON, QR_CODE)
    _require_texts(_ADD.path, remark, state)
    texts = {name: text for name, text in (("remark", remark), ("state", state)) if text}
    answer = client.call(app, _ADD, {**to, "scene": scene, "skip_verify": skip_verify, **texts})
    return Made(answer["config_id"], answer.get("qr_code", ""))


def _require_texts(path: str, remark: str | None, state: str | None) -> None:
    bounds.chars(path, "remark", remark, REMARK_CHARS)
    bounds.chars(path, "state", state, STATE_CHARS)


def _require_members(path: str, userids: Sequence[str]) -> None:
    bounds.items(path, "user", userids, MOST_MEMBERS)
    for userid in userids:
        bounds.userid(path, "user", userid)


def _contact_way(row: dict[str, Any]) -> ContactWay:
    return ContactWay(
        config_id=row["config_id"],
        type=row["type"],
        scene=row["scene"],
        remark=row.get("remark", ""),
        skip_verify=bool(row.get("skip_verify", True)),
        state=row.get("state", ""),
        qr_code=row.get("qr_code", ""),
        userids=tuple(row.get("user", [])),
        department_ids=tuple(row.get("party", [])),
    )


def picture(address: str) -> tuple[bytes, str] | None:
    """The picture behind a code's address and its kind (``image/png``); None where the address is the target itself.

    ``qr_code`` comes from WeCom's answer, and only WeCom's own hosts are asked. Raises Unreachable.
    """
    db.require_no_transaction()
    if not _is_of_wecom(address):
        return None
    try:
        with requests.get(
            address, timeout=(transport.CONNECT_SECONDS, transport.ANSWER_SECONDS), stream=True, allow_redirects=False
        ) as answer:
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if answer.status_code != HTTPStatus.OK:
                raise errors.Unreachable("qr_code", detail=f"HTTP {answer.status_code}", may_be_done=False)
            if kind not in PICTURE_KINDS:
                return None
            content = answer.raw.read(PICTURE_BYTES + 1, decode_content=True)
    except requests.RequestException as failure:
        raise errors.Unreachable("qr_code", detail=type(failure).__name__, may_be_done=False) from None
    return (content, kind) if len(content) <= PICTURE_BYTES else None


def _is_of_wecom(address: str) -> bool:
    parts = urlsplit(address)
    base = urlsplit(settings.WECOM_API_BASE)
    is_known = parts.hostname is not None and any(
        parts.hostname == host or parts.hostname.endswith(f".{host}") for host in PICTURE_HOSTS
    )
    return parts.scheme in ("https", "http") and (is_known or parts.netloc == base.netloc)
