"""Mass sends (企业群发): a task that members confirm in their client, and what became of it.

1. Creating one sends nothing: a task appears with the member, who must confirm it.
2. Of several members who follow a customer only the one who chatted last is given the task. To have a certain member
   send, name the sender and only customers of theirs.
3. Every customer and every group may be sent to only so often a month; that shows as OVER_QUOTA in the result, never when
   the task is made.
4. Making one is never repeated after a lost answer: it would be sent twice. ``recent`` shows whether it was made.
5. Shortly after the making the records answer NotYet.
6. A limit above the maximum counts as the default here, so the pages ask for exactly the maximum.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client
from scrm.wecom import attachments as parts

SINGLE, GROUP = "single", "group"
CUSTOMERS, GROUPS, TAGS_PER_GROUP = 10_000, 2_000, 100
CORP, PERSONAL, BOTH = 0, 1, 2  # who made it
RECORDS_PER_PAGE, ROWS_PER_PAGE = 100, 1000
LONGEST_PERIOD = dt.timedelta(days=31)  # "a month"
TASK_WAITING, TASK_SENT = 0, 2
UNSENT, SENT, NOT_FRIENDS, OVER_QUOTA = 0, 1, 2, 3

_ADD = client.create("externalcontact/add_msg_template")
_REMIND = client.create("externalcontact/remind_groupmsg_send")
_CANCEL = client.query("externalcontact/cancel_groupmsg_send")
_LIST = client.query("externalcontact/get_groupmsg_list_v2")
_TASKS = client.query("externalcontact/get_groupmsg_task")
_RESULTS = client.query("externalcontact/get_groupmsg_send_result")


@dataclass(frozen=True)
class Made:
    """``failed``: customers or groups that WeCom will not send to, possibly all of them."""

    msgid: str
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A mass send as WeCom keeps it; ``creator`` is empty for those made through the API."""

    msgid: str
    creator: str
    created_at: dt.datetime | None
    created_by: int  # CORP or PERSONAL
    text: str
    attachments: tuple[parts.Attachment, ...]


@dataclass(frozen=True)
class Task:
    """``status``: TASK_WAITING or TASK_SENT, which is 2."""

    userid: str
    status: int
    sent_at: dt.datetime | None


@dataclass(frozen=True)
class Result:
    """One customer or one group. ``status``: UNSENT, SENT, NOT_FRIENDS, OVER_QUOTA. Of groups only those sent to come."""

    userid: str
    status: int
    external_userid: str = ""
    chat_id: str = ""
    sent_at: dt.datetime | None = None


def create(
    app: WecomApp, *, text: str = "", attachments: Sequence[parts.Attachment] = (), sender: str = "",
    external_userids: Sequence[str] = (), tag_groups: Sequence[Sequence[str]] = (), allow_select: bool = False,
) -> Made:  # fmt: skip
    """A mass send to customers; ``sender`` alone means all customers of that member.

    ``tag_groups``: one tag of each group must fit; WeCom ignores them beside ``external_userids``. ``allow_select`` lets
    the member leave customers out. NoRecipient when nobody can be sent to.
    """
    path = _ADD.path
    bounds.present(path, "external_userid", sender or external_userids or tag_groups)
    bounds.items(path, "external_userid", external_userids, CUSTOMERS)
    for tags in tag_groups:
        bounds.items(path, "tag_list", tags, TAGS_PER_GROUP, least=1)
    to: dict[str, Any] = {"chat_type": SINGLE, "allow_select": allow_select, **_sender(sender)}
    if external_userids:
        to["external_userid"] = list(external_userids)
    elif tag_groups:
        to["tag_filter"] = {"group_list": [{"tag_list": list(tags)} for tags in tag_groups]}
    return _create(app, to, text, attachments)


def create_for_groups(
    app: WecomApp, *, sender: str, chat_ids: Sequence[str] = (), text: str = "",
    attachments: Sequence[parts.Attachment] = (),
) -> Made:  # fmt: skip
    """A mass send to groups of ``sender``, who owns them; without ``chat_ids`` the member picks the groups."""
    bounds.userid(_ADD.path, "sender", sender)
    bounds.items(_ADD.path, "chat_id_list", chat_ids, GROUPS)
    to: dict[str, Any] = {"chat_type": GROUP, **_sender(sender)}
    if chat_ids:
        to["chat_id_list"] = list(chat_ids)
    return _create(app, to, text, attachments)


def remind(app: WecomApp, msgid: str) -> None:
    """Remind the members who have not confirmed. QuotaExhausted when reminded too often."""
    bounds.present(_REMIND.path, "msgid", msgid)
    client.call(app, _REMIND, {"msgid": msgid})


def cancel(app: WecomApp, msgid: str) -> None:
    """Take back what is not confirmed; what was sent stays sent. TooLate when it is cancelled already."""
    bounds.present(_CANCEL.path, "msgid", msgid)
    client.call(app, _CANCEL, {"msgid": msgid})


def recent(
    app: WecomApp, *, chat_type: str, since: dt.datetime, until: dt.datetime, creator: str = "", made_by: int = BOTH
) -> Iterator[Record]:
    """The mass sends made within a period of a month at most, page by page."""
    bounds.period(_LIST.path, since, until, LONGEST_PERIOD)
    values = {
        "chat_type": chat_type,
        "start_time": int(since.timestamp()),
        "end_time": int(until.timestamp()),
        "filter_type": made_by,
        "limit": RECORDS_PER_PAGE,
    }
    for answer in client.pages(app, _LIST, {**values, "creator": creator} if creator else values):
        for row in answer.get("group_msg_list", []):
            yield _record(row)


def tasks(app: WecomApp, msgid: str) -> Iterator[Task]:
    """The members in the visible range who were given the task, page by page. NotYet shortly after the making."""
    bounds.present(_TASKS.path, "msgid", msgid)
    for answer in client.pages(app, _TASKS, {"msgid": msgid, "limit": ROWS_PER_PAGE}):
        for row in answer.get("task_list", []):
            yield Task(row["userid"], row["status"], answers.at(row.get("send_time")))


def results(app: WecomApp, *, msgid: str, userid: str) -> Iterator[Result]:
    """What became of it for the customers or groups of one member, page by page."""
    bounds.present(_RESULTS.path, "msgid", msgid)
    bounds.userid(_RESULTS.path, "userid", userid)
    values = {"msgid": msgid, "userid": userid, "limit": ROWS_PER_PAGE}
    for answer in client.pages(app, _RESULTS, values):
        for row in answer.get("send_list", []):
            yield _result(row, userid)


def _sender(userid: str) -> dict[str, str]:
    bounds.utf8_bytes(_ADD.path, "sender", userid, bounds.USERID_BYTES)
    return {"sender": userid} if userid else {}


def _create(app: WecomApp, to: dict[str, Any], text: str, attachments: Sequence[parts.Attachment]) -> Made:
    answer = client.call(app, _ADD, {**to, **parts.message(_ADD.path, text, attachments)})
    return Made(answer["msgid"], tuple(answer.get("fail_list") or ()))


def _record(row: dict[str, Any]) -> Record:
    return Record(
        msgid=row["msgid"],
        creator=row.get("creator", ""),
        created_at=answers.at(row.get("create_time")),
        created_by=row.get("create_type", CORP),
        text=(row.get("text") or {}).get("content", ""),
        attachments=tuple(one for one in map(parts.read, row.get("attachments") or ()) if one is not None),
    )


def _result(row: dict[str, Any], userid: str) -> Result:
    return Result(
        userid=row.get("userid", userid),
        status=row["status"],
        external_userid=row.get("external_userid", ""),
        chat_id=row.get("chat_id", ""),
        sent_at=answers.at(row.get("send_time")),
    )
