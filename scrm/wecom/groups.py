"""Customer groups (客户群): which there are, who is in them, and the welcome templates of groups (入群欢迎语).

1. Groups are listed by owner, 100 owners a call: without owners WeCom refuses a larger corp.
2. ``get`` may lag the event by a few seconds. ``version`` names the state of the member list; events carry the one before
   and the one after.
3. How somebody joined is counted differently here (1 invited, 2 link, 3 QR code) and in events (0 invited, 3 QR code).
4. A corp has 100 welcome templates; an app sees only its own, and the owner must put one to use in the client.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, attachments, bounds, client

OWNERS_PER_CALL, GROUPS_PER_PAGE = 100, 1000
NORMAL, OWNER_LEFT, TRANSFER_RUNNING, TRANSFERRED = 0, 1, 2, 3
STAFF, EXTERNAL = 1, 2
BY_INVITATION, BY_LINK, BY_QR_CODE = 1, 2, 3
TEMPLATE_TEXT_BYTES = 3000

_LIST = client.query("externalcontact/groupchat/list")
_GET = client.query("externalcontact/groupchat/get")
_OPENGID = client.query("externalcontact/opengid_to_chatid")
_ADD_TEMPLATE = client.create("externalcontact/group_welcome_template/add")
_EDIT_TEMPLATE = client.query("externalcontact/group_welcome_template/edit")
_GET_TEMPLATE = client.query("externalcontact/group_welcome_template/get")
_DELETE_TEMPLATE = client.query("externalcontact/group_welcome_template/del")


@dataclass(frozen=True)
class Listed:
    """``status``: NORMAL, OWNER_LEFT, TRANSFER_RUNNING, TRANSFERRED."""

    chat_id: str
    status: int


@dataclass(frozen=True)
class GroupMember:
    """``userid`` is a member id (STAFF) or an external_userid (EXTERNAL); ``unionid`` comes even without a friendship.

    ``inviter`` only when a colleague invited; ``state`` is the join way's.
    """

    userid: str
    type: int
    joined_at: dt.datetime | None
    join_scene: int
    unionid: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    nickname: str = field(default="", repr=False)
    inviter: str = ""
    state: str = ""


@dataclass(frozen=True)
class Group:
    chat_id: str
    name: str
    owner: str
    created_at: dt.datetime | None
    notice: str
    members: tuple[GroupMember, ...] = field(repr=False)
    admins: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class WelcomeTemplate:
    """``%NICKNAME%`` in the text becomes the name of who joins. Beside the text at most one attachment."""

    text: str = ""
    attachment: attachments.Attachment | None = None


def of_owners(app: WecomApp, owners: Sequence[str], *, status: int = NORMAL) -> Iterator[Listed]:
    """The groups of the owners, page by page. For an owner who left only this way finds them.

    ``status`` NORMAL is no filter: all of them come.
    """
    for start in range(0, len(owners), OWNERS_PER_CALL):
        some = list(owners[start : start + OWNERS_PER_CALL])
        for userid in some:
            bounds.userid(_LIST.path, "userid_list", userid)
        values = {"status_filter": status, "owner_filter": {"userid_list": some}, "limit": GROUPS_PER_PAGE}
        for answer in client.pages(app, _LIST, values):
            for row in answer.get("group_chat_list", []):
                yield Listed(row["chat_id"], row.get("status", NORMAL))


def get(app: WecomApp, chat_id: str, *, with_names: bool = False) -> Group:
    """The group with its members. NotFound: unknown, dissolved, or no group of customers."""
    bounds.present(_GET.path, "chat_id", chat_id)
    return _group(client.call(app, _GET, {"chat_id": chat_id, "need_name": int(with_names)})["group_chat"])


def chat_id_of(app: WecomApp, opengid: str) -> str:
    """The group behind the id that a mini-program gets when it is opened from a group. NotFound: not ours."""
    bounds.present(_OPENGID.path, "opengid", opengid)
    return str(client.call(app, _OPENGID, {"opengid": opengid})["chat_id"])


def add_welcome_template(app: WecomApp, template: WelcomeTemplate, *, notify: bool = True) -> str:
    """The id of the new template; ``notify`` tells the owners of groups. QuotaExhausted at 100."""
    values = {**_template(_ADD_TEMPLATE.path, template), "notify": int(notify)}
    return str(client.call(app, _ADD_TEMPLATE, values)["template_id"])


def edit_welcome_template(app: WecomApp, template_id: str, template: WelcomeTemplate) -> None:
    bounds.present(_EDIT_TEMPLATE.path, "template_id", template_id)
    client.call(app, _EDIT_TEMPLATE, {"template_id": template_id, **_template(_EDIT_TEMPLATE.path, template)})


def welcome_template(app: WecomApp, template_id: str) -> WelcomeTemplate:
    bounds.present(_GET_TEMPLATE.path, "template_id", template_id)
    answer = client.call(app, _GET_TEMPLATE, {"template_id": template_id})
    return WelcomeTemplate((answer.get("text") or {}).get("content", ""), attachments.read_named(answer))


def delete_welcome_template(app: WecomApp, template_id: str) -> None:
    """NoPermission for one of another app or of WeCom's console."""
    bounds.present(_DELETE_TEMPLATE.path, "template_id", template_id)
    client.call(app, _DELETE_TEMPLATE, {"template_id": template_id})


def _template(path: str, template: WelcomeTemplate) -> dict[str, Any]:
    bounds.present(path, "text", template.text or template.attachment)
    bounds.utf8_bytes(path, "text.content", template.text, TEMPLATE_TEXT_BYTES)
    text = {"text": {"content": template.text}} if template.text else {}
    return {**text, **(attachments.named(path, template.attachment) if template.attachment else {})}


def _group(row: dict[str, Any]) -> Group:
    return Group(
        chat_id=row["chat_id"],
        name=row.get("name", ""),
        owner=row.get("owner", ""),
        created_at=answers.at(row.get("create_time")),
        notice=row.get("notice", ""),
        members=tuple(_member(one) for one in row.get("member_list", [])),
        admins=tuple(one["userid"] for one in row.get("admin_list") or ()),
        version=row.get("member_version", ""),
    )


def _member(row: dict[str, Any]) -> GroupMember:
    return GroupMember(
        userid=row["userid"],
        type=row["type"],
        joined_at=answers.at(row.get("join_time")),
        join_scene=row.get("join_scene", 0),
        unionid=row.get("unionid", ""),
        name=row.get("name", ""),
        nickname=row.get("group_nickname", ""),
        inviter=(row.get("invitor") or {}).get("userid", ""),
        state=row.get("state", ""),
    )
