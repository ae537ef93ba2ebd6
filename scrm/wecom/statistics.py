"""Statistics (联系客户统计): what members and their groups did, by days of Shanghai.

1. Several members are summed up by WeCom, so ``behaviour`` asks for one at a time: one call for a member and up to 30 days.
2. A day without chats has no share and no time of replies: None, never 0.
3. Up to 30 days at once, none older than 180. The figures of a day are complete the day after.
4. Figures of groups belong to their owner; there are none of a single group.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client

MOST_DAYS, DAYS_BACK = 30, 180
OWNERS_PER_CALL, OWNERS_PER_PAGE = 100, 1000

_BEHAVIOUR = client.query("externalcontact/get_user_behavior_data")
_BY_OWNER = client.query("externalcontact/groupchat/statistic")
_BY_DAY = client.query("externalcontact/groupchat/statistic_group_by_day")


@dataclass(frozen=True)
class Day:
    """What one member, or one department, did on one day; groups are not counted."""

    date: dt.date
    requests_sent: int
    new_contacts: int
    chats: int  # in which the member wrote
    messages_sent: int
    reply_percentage: float | None
    reply_minutes: float | None  # to the first reply, on average
    lost: int  # customers who deleted or blocked the member


@dataclass(frozen=True)
class GroupFigures:
    """``total`` ones count up to the end of the period, ``new`` ones within it."""

    new_groups: int
    total_groups: int
    groups_with_messages: int
    new_members: int
    total_members: int
    members_with_messages: int
    messages: int


def behaviour(
    app: WecomApp,
    *,
    userid: str = "",
    department_ids: Sequence[int] = (),
    first: dt.date,
    last: dt.date,
    today: dt.date,
) -> list[Day]:
    """A row for each day of one member, or of up to 100 departments together."""
    path = _BEHAVIOUR.path
    bounds.items(path, "partyid", department_ids, OWNERS_PER_CALL)
    if userid or not department_ids:
        bounds.userid(path, "userid", userid)
    bounds.days(path, first, last, today, most=MOST_DAYS, back=DAYS_BACK)
    who = {"userid": [userid]} if userid else {"partyid": list(department_ids)}
    period = {"start_time": answers.midnight(first), "end_time": answers.midnight(last)}
    return [_day(row) for row in client.call(app, _BEHAVIOUR, {**who, **period}).get("behavior_data", [])]


def groups_by_owner(
    app: WecomApp, owners: Sequence[str], *, first: dt.date, last: dt.date, today: dt.date
) -> Iterator[tuple[str, GroupFigures]]:
    """The groups of each owner over the whole period, 100 owners a call."""
    for values in _owners(_BY_OWNER.path, owners, first, last, today):
        offset = 0
        while True:
            answer = client.call(app, _BY_OWNER, {**values, "offset": offset, "limit": OWNERS_PER_PAGE})
            for row in answer.get("items", []):
                yield row["owner"], _figures(row["data"])
            following = answer.get("next_offset", 0)
            if following >= answer.get("total", 0) or following <= offset:
                break
            offset = following


def groups_by_day(
    app: WecomApp, owners: Sequence[str], *, first: dt.date, last: dt.date, today: dt.date
) -> list[tuple[dt.date, GroupFigures]]:
    """The groups of up to 100 owners together, day by day."""
    bounds.items(_BY_DAY.path, "userid_list", owners, OWNERS_PER_CALL, least=1)
    (values,) = _owners(_BY_DAY.path, owners, first, last, today)
    rows = client.call(app, _BY_DAY, values).get("items", [])
    return [(answers.day(row["stat_time"]), _figures(row["data"])) for row in rows]


def _owners(
    path: str, owners: Sequence[str], first: dt.date, last: dt.date, today: dt.date
) -> Iterator[dict[str, Any]]:
    bounds.days(path, first, last, today, most=MOST_DAYS, back=DAYS_BACK)
    period = {"day_begin_time": answers.midnight(first), "day_end_time": answers.midnight(last)}
    for start in range(0, len(owners), OWNERS_PER_CALL):
        some = list(owners[start : start + OWNERS_PER_CALL])
        for userid in some:
            bounds.userid(path, "userid_list", userid)
        yield {**period, "owner_filter": {"userid_list": some}}


def _day(row: dict[str, Any]) -> Day:
    return Day(
        date=answers.day(row["stat_time"]),
        requests_sent=row.get("new_apply_cnt", 0),
        new_contacts=row.get("new_contact_cnt", 0),
        chats=row.get("chat_cnt", 0),
        messages_sent=row.get("message_cnt", 0),
        reply_percentage=row.get("reply_percentage"),
        reply_minutes=row.get("avg_reply_time"),
        lost=row.get("negative_feedback_cnt", 0),
    )


def _figures(row: dict[str, Any]) -> GroupFigures:
    return GroupFigures(
        new_groups=row.get("new_chat_cnt", 0),
        total_groups=row.get("chat_total", 0),
        groups_with_messages=row.get("chat_has_msg", 0),
        new_members=row.get("new_member_cnt", 0),
        total_members=row.get("member_total", 0),
        members_with_messages=row.get("member_has_msg", 0),
        messages=row.get("msg_total", 0),
    )
