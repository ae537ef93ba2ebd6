"""Reading groups from WeCom (读取群详情): what an event does not tell."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Q

from campaigns.communities import groups
from campaigns.models import Group
from guides.models import Employment, Follower
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import corps, errors
from scrm.wecom import groups as wecom

READ_AT_ONCE = 10
LEASE = dt.timedelta(minutes=3)
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(seconds=10), dt.timedelta(hours=1)
STALE_READINGS = 5  # of a group whose detail goes on to show another version than its newest event
NAME_CHARS, ID_CHARS = 128, 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Claimed:
    group_id: int
    asked_at: dt.datetime
    attempts: int


def read_due(*, limit: int | None = None) -> int:
    """Read what is due, until nothing is left; the number of groups asked for."""
    count = 0
    while (limit is None or count < limit) and (claimed := _claim()):
        for row in claimed:
            _read(row)
        count += len(claimed)
    return count


@transaction.atomic
def _claim() -> list[_Claimed]:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaigns_group SET due_at = clock_timestamp() + make_interval(secs => %s), attempts = attempts + 1"
            " WHERE id = ANY(ARRAY(SELECT id FROM campaigns_group WHERE due_at <= clock_timestamp()"
            " ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING id, asked_at, attempts",
            [LEASE.total_seconds(), READ_AT_ONCE],
        )
        return [_Claimed(*row) for row in cursor.fetchall()]


def _read(row: _Claimed) -> None:
    group = Group.objects.select_related("corp").get(pk=row.group_id)
    read_at = db.clock()
    try:
        shown = wecom.get(corps.app_of(group.corp), group.chat_id)
    except errors.NotFound:
        with transaction.atomic():
            (group,) = db.lock(Group.objects.filter(pk=row.group_id))
            if group.dissolved_at is None:
                groups.dissolve(group, read_at)
        return
    except RuleViolation as refusal:  # WeCom's errors, and an app that HQ has not entered yet
        _put_off(row, refusal)
        return
    record(group.pk, shown, read_at, row)


@transaction.atomic
def record(group_id: int, shown: wecom.Group, read_at: dt.datetime, row: _Claimed) -> None:
    """Write what WeCom said of a group when it was asked at ``read_at``."""
    (group,) = db.lock(Group.objects.filter(pk=group_id).select_related("corp"))
    if group.dissolved_at is not None or (group.read_at is not None and group.read_at > read_at):
        return
    group.name, group.founded_at = shown.name[:NAME_CHARS], shown.created_at or group.founded_at
    group.owner_userid = shown.owner.lower()[:ID_CHARS]
    group.owner_id, group.store_id = _owner(group.corp, group.owner_userid, read_at)
    if shown.version != group.version or not shown.version:
        _take_over(group.pk, shown, read_at)
        groups.recognise(group.pk)
    group.version, group.read_at, group.error_code = shown.version[:ID_CHARS], read_at, ""
    group.member_count = len(shown.members)
    group.customer_count = sum(one.type != wecom.STAFF for one in shown.members)
    is_stale = bool(group.heard_version) and group.heard_version != group.version and row.attempts < STALE_READINGS
    if is_stale or group.asked_at != row.asked_at:
        group.due_at = db.clock() + groups.LAG
    else:
        group.due_at, group.attempts, group.heard_version = None, 0, group.version
    group.save()


def _owner(corp: Corp, userid: str, at: dt.datetime) -> tuple[int | None, int | None]:
    """The guide of the account, and where she works."""
    guide_id = Follower.objects.filter(corp=corp, userid=userid).values_list("guide_id", flat=True).first()
    if guide_id is None:
        return None, None
    works = Employment.objects.filter(Q(ended_at=None) | Q(ended_at__gt=at), guide=guide_id, started_at__lte=at)
    return guide_id, works.order_by("-started_at").values_list("store_id", flat=True).first()


# who is shown, by id; of one who came again the earlier stay has ended by then
_PEOPLE = """
    unnest(%(ids)s::text[], %(staff)s::boolean[], %(unions)s::text[], %(joins)s::timestamptz[], %(scenes)s::smallint[],
           %(inviters)s::text[], %(states)s::text[]) n (userid, is_staff, unionid, joined_at, scene, inviter, state)
"""
_ENDED = f"""
    UPDATE campaigns_groupstay s SET left_at = GREATEST(s.joined_at, COALESCE(
        (SELECT LEAST(n.joined_at, %(read_at)s) FROM {_PEOPLE} WHERE n.userid = s.userid), %(read_at)s))
    WHERE s.group_id = %(group)s AND s.left_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM {_PEOPLE} WHERE n.userid = s.userid AND n.joined_at = s.joined_at)
"""
_BEGUN = f"""
    INSERT INTO campaigns_groupstay (group_id, userid, is_staff, unionid, joined_at, join_scene, inviter, state)
    SELECT %(group)s, n.userid, n.is_staff, n.unionid, n.joined_at, n.scene, n.inviter, n.state FROM {_PEOPLE}
    WHERE NOT EXISTS (
        SELECT 1 FROM campaigns_groupstay s WHERE s.group_id = %(group)s AND s.userid = n.userid AND s.joined_at = n.joined_at
    ) ORDER BY n.joined_at, n.userid
"""
_UNIONIDS = f"""
    UPDATE campaigns_groupstay s SET unionid = n.unionid FROM {_PEOPLE}
    WHERE s.group_id = %(group)s AND s.userid = n.userid AND s.unionid = '' AND n.unionid <> ''
"""


def _take_over(group_id: int, shown: wecom.Group, read_at: dt.datetime) -> None:
    """The stays of who is shown begin, those of who is not end. Somebody who left since WeCom looked stays gone."""
    people = {(one.userid.lower() if one.type == wecom.STAFF else one.userid): one for one in shown.members}
    values: dict[str, Any] = {
        "group": group_id, "read_at": read_at, "ids": list(people), "staff": [one.type == wecom.STAFF for one in people.values()],
        "unions": [one.unionid[:ID_CHARS] for one in people.values()],
        "joins": [one.joined_at or shown.created_at or read_at for one in people.values()],
        "scenes": [one.join_scene for one in people.values()],
        "inviters": [one.inviter.lower()[:ID_CHARS] for one in people.values()],
        "states": [one.state[:ID_CHARS] for one in people.values()],
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in (_ENDED, _BEGUN, _UNIONIDS):
            cursor.execute(statement, values)


def _put_off(row: _Claimed, refusal: RuleViolation) -> None:
    now = db.clock()
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
    retry_at = getattr(refusal, "retry_at", None)
    if not isinstance(refusal, errors.Retryable):
        log.warning("group_not_read", group=row.group_id, code=refusal.code)
        pause = max(pause, LONGEST_PAUSE / 6)
    Group.objects.filter(pk=row.group_id, dissolved_at=None).update(
        due_at=max(retry_at or now, now + pause), error_code=refusal.code[:ID_CHARS]
    )
