"""Moments (客户朋友圈): a post that members publish to their customers, and who saw and answered it.

1. Making one starts a job; its result names the moment. The job is forgotten after 24 hours.
2. Senders alone: their customers see it. Tags alone: every member who follows a tagged customer is given the task. Both:
   the tagged customers of those senders. Neither: everybody in the app's visible range.
3. Pictures, a video or a link, never mixed; their media come from ``media.upload_attachment`` and nowhere else.
4. Ten a minute and 100,000 a month; making one is never repeated after a lost answer.
5. Each member publishes on their own; before that their audience answers NotYet. There is no event for any of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client

TEXT_CHARS, TEXT_BYTES = 2000, 4000
MOST_IMAGES, MOST_SENDERS = 9, 100_000
LINK_TITLE_BYTES = 128
LONGEST_PERIOD = dt.timedelta(days=30)
MOMENTS_PER_PAGE, TASKS_PER_PAGE, AUDIENCE_PER_PAGE, PUBLISHED_PER_PAGE = 20, 1000, 1000, 5000
JOB_BEGUN, JOB_RUNNING, JOB_DONE = 1, 2, 3
CORP, PERSONAL, BOTH = 0, 1, 2

_ADD = client.create("externalcontact/add_moment_task")
_JOB = client.read("externalcontact/get_moment_task_result")
_CANCEL = client.query("externalcontact/cancel_moment_task")
_LIST = client.query("externalcontact/get_moment_list")
_TASKS = client.query("externalcontact/get_moment_task")
_CHOSEN = client.query("externalcontact/get_moment_customer_list")
_PUBLISHED = client.query("externalcontact/get_moment_send_result")
_COMMENTS = client.query("externalcontact/get_moment_comments")


@dataclass(frozen=True)
class Link:
    """``media_id``: its picture."""

    title: str
    url: str
    media_id: str


@dataclass(frozen=True)
class Job:
    """``status``: JOB_BEGUN, JOB_RUNNING, JOB_DONE. When done ``moment_id`` is set, or ``errcode`` says why not."""

    status: int
    moment_id: str = ""
    errcode: int = 0
    invalid_userids: tuple[str, ...] = ()
    invalid_department_ids: tuple[int, ...] = ()
    invalid_tag_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moment:
    """``creator`` is empty for those made through the API."""

    moment_id: str
    creator: str
    created_at: dt.datetime | None
    created_by: int  # CORP or PERSONAL
    is_public: bool
    text: str
    media: str = ""  # image, video, link, or nothing


@dataclass(frozen=True)
class Task:
    userid: str
    is_published: bool


@dataclass(frozen=True)
class Reaction:
    """Of a customer or of a member; the text of a comment is never told."""

    external_userid: str
    userid: str
    created_at: dt.datetime | None


@dataclass(frozen=True)
class Reactions:
    comments: tuple[Reaction, ...]
    likes: tuple[Reaction, ...]


def create(
    app: WecomApp, *, text: str = "", image_ids: Sequence[str] = (), video_id: str = "", link: Link | None = None,
    userids: Sequence[str] = (), department_ids: Sequence[int] = (), tag_ids: Sequence[str] = (),
) -> str:  # fmt: skip
    """The id of the job that makes the moment. QuotaExhausted for the month, NotYet with too many jobs running."""
    path = _ADD.path
    media = _media(path, image_ids, video_id, link)
    bounds.present(path, "text", text or media)
    bounds.chars(path, "text.content", text, TEXT_CHARS)
    bounds.utf8_bytes(path, "text.content", text, TEXT_BYTES)
    bounds.items(path, "user_list", userids, MOST_SENDERS)
    values: dict[str, Any] = {"text": {"content": text}} if text else {}
    if media:
        values["attachments"] = media
    if reach := _reach(userids, department_ids, tag_ids):
        values["visible_range"] = reach
    return str(client.call(app, _ADD, values)["jobid"])


def job(app: WecomApp, job_id: str) -> Job:
    """How far it is, and once done the moment."""
    bounds.present(_JOB.path, "jobid", job_id)
    answer = client.call(app, _JOB, {"jobid": job_id})
    result = answer.get("result") or {}
    senders, customers = result.get("invalid_sender_list") or {}, result.get("invalid_external_contact_list") or {}
    return Job(
        status=answer["status"],
        moment_id=result.get("moment_id", ""),
        errcode=result.get("errcode", 0),
        invalid_userids=tuple(senders.get("user_list") or ()),
        invalid_department_ids=tuple(senders.get("department_list") or ()),
        invalid_tag_ids=tuple(customers.get("tag_list") or ()),
    )


def cancel(app: WecomApp, moment_id: str) -> None:
    """Stop members from publishing it; what is published stays."""
    bounds.present(_CANCEL.path, "moment_id", moment_id)
    client.call(app, _CANCEL, {"moment_id": moment_id})


def recent(
    app: WecomApp, *, since: dt.datetime, until: dt.datetime, creator: str = "", made_by: int = BOTH
) -> Iterator[Moment]:
    """The moments of up to 30 days, page by page, deleted ones left out."""
    bounds.period(_LIST.path, since, until, LONGEST_PERIOD)
    values = {
        "start_time": int(since.timestamp()),
        "end_time": int(until.timestamp()),
        "filter_type": made_by,
        "limit": MOMENTS_PER_PAGE,  # WeCom takes more for the default
    }
    for answer in client.pages(app, _LIST, {**values, "creator": creator} if creator else values):
        for row in answer.get("moment_list", []):
            yield _moment(row)


def tasks(app: WecomApp, moment_id: str) -> Iterator[Task]:
    """Who was given the moment of the corp, and who has published it, page by page."""
    bounds.present(_TASKS.path, "moment_id", moment_id)
    for answer in client.pages(app, _TASKS, {"moment_id": moment_id, "limit": TASKS_PER_PAGE}):
        for row in answer.get("task_list", []):
            yield Task(row["userid"], bool(row.get("publish_status")))


def chosen_audience(app: WecomApp, *, moment_id: str, userid: str) -> Iterator[str]:
    """External ids that the member's moment is meant for, page by page."""
    return _customers(app, _CHOSEN, moment_id, userid, AUDIENCE_PER_PAGE)


def audience(app: WecomApp, *, moment_id: str, userid: str) -> Iterator[str]:
    """External ids that can see the member's published moment, page by page. NotYet before it is published."""
    return _customers(app, _PUBLISHED, moment_id, userid, PUBLISHED_PER_PAGE)


def reactions(app: WecomApp, *, moment_id: str, userid: str) -> Reactions:
    """Comments and likes under the member's moment; all at once."""
    _require_one(_COMMENTS.path, moment_id, userid)
    answer = client.call(app, _COMMENTS, {"moment_id": moment_id, "userid": userid})
    return Reactions(
        comments=tuple(_reaction(row) for row in answer.get("comment_list") or ()),
        likes=tuple(_reaction(row) for row in answer.get("like_list") or ()),
    )


def _media(path: str, image_ids: Sequence[str], video_id: str, link: Link | None) -> list[dict[str, Any]]:
    bounds.items(path, "image", image_ids, MOST_IMAGES)
    bounds.items(path, "attachments", [kind for kind in (image_ids, video_id, link) if kind], 1)
    if video_id:
        return [{"msgtype": "video", "video": {"media_id": video_id}}]
    if link is not None:
        for name in ("title", "url", "media_id"):
            bounds.present(path, f"link.{name}", getattr(link, name))
        bounds.utf8_bytes(path, "link.title", link.title, LINK_TITLE_BYTES)
        return [{"msgtype": "link", "link": {"title": link.title, "url": link.url, "media_id": link.media_id}}]
    return [{"msgtype": "image", "image": {"media_id": media_id}} for media_id in image_ids]


def _reach(userids: Sequence[str], department_ids: Sequence[int], tag_ids: Sequence[str]) -> dict[str, Any]:
    given = {"user_list": list(userids), "department_list": list(department_ids)}
    senders = {name: values for name, values in given.items() if values}
    reach: dict[str, Any] = {"sender_list": senders} if senders else {}
    return {**reach, "external_contact_list": {"tag_list": list(tag_ids)}} if tag_ids else reach


def _customers(app: WecomApp, endpoint: client.Endpoint, moment_id: str, userid: str, per_page: int) -> Iterator[str]:
    _require_one(endpoint.path, moment_id, userid)
    values = {"moment_id": moment_id, "userid": userid, "limit": per_page}
    for answer in client.pages(app, endpoint, values):
        for row in answer.get("customer_list", []):
            yield row["external_userid"]


def _require_one(path: str, moment_id: str, userid: str) -> None:
    bounds.present(path, "moment_id", moment_id)
    bounds.userid(path, "userid", userid)


def _moment(row: dict[str, Any]) -> Moment:
    return Moment(
        moment_id=row["moment_id"],
        creator=row.get("creator", ""),
        created_at=answers.at(row.get("create_time")),
        created_by=row.get("create_type", CORP),
        is_public=bool(row.get("visible_type", 1)),
        text=(row.get("text") or {}).get("content", ""),
        # whether there is one is all that is asked: images are a list here and one thing elsewhere
        media=next((kind for kind in ("image", "video", "link") if dict.get(row, kind)), ""),
    )


def _reaction(row: dict[str, Any]) -> Reaction:
    return Reaction(row.get("external_userid", ""), row.get("userid", ""), answers.at(row.get("create_time")))
