"""The mirror of groups: ``rows`` people in groups of 250, against a WeCom of another process, beside the floor of the same machine.

- ``sync``: all owners are listed and every group is read, into an empty mirror. The least number of calls is a list for each hundred
  owners (a page is 1,000 groups) and one reading per group. Here the pace is raised, to see what our side can do; at WeCom's own
  pace it takes ``least_seconds_at_wecom``. Its floor is, for a part of the groups, asking WeCom and keeping nothing, and writing the
  same stays from a plain table into the same table with all its indexes, constraints and triggers.
- ``event``: somebody leaves (the version chain needs no call) and somebody joins (it is asked for), each in its transaction. The
  floor is the two bare updates of a leaving.
- ``health``: all groups counted as of the last day of the orders. The floor reads the same two tables once, grouped.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from campaigns import bench_wecom
from campaigns.communities import groups, health, listing, reading
from campaigns.models import Group, GroupStay
from guides.models import Follower, Guide
from members.purchases.buyers import BRAND
from scrm import bench, db, jobs
from scrm.models import Corp
from scrm.owner import as_owner
from scrm.wecom import corps, pace
from scrm.wecom import groups as wecom
from scrm.wecom.inbox import Delivery

EACH = 250
ROWS = 4_000_000
MEMBERS_OF = 4  # one person in so many is a member
RAISED = 1_000_000.0  # calls a second: no pace at all
EVENTS = 200
SAMPLE = 200  # groups of the floor
DAY = dt.date(2026, 6, 30)  # the last business day of the orders

Say = Callable[[str], None]

UNIONIDS = f"""
    INSERT INTO members_identity (member_id, kind, namespace, value, linked_at, is_verified)
    SELECT m.id, 'UNIONID', '{BRAND}', 'oBench' || lpad((row_number() OVER (ORDER BY m.id) * {MEMBERS_OF})::text, 25, '0'), now(), false
    FROM members_member m
"""


class _Wecom:
    """The other process."""

    def __init__(self, rows: int) -> None:
        command = [sys.executable, "-m", "campaigns.bench_wecom", str(rows), str(EACH)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(settings.BASE_DIR)
        )
        self.where = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def calls(self) -> dict[str, int]:
        assert self.process.stdin is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        found: dict[str, int] = json.loads(self._line())
        return found

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def run(*, rows: int, say: Say) -> dict[str, Any]:
    count = rows // EACH
    rows = count * EACH
    bench.fill(rows=max(1, rows // MEMBERS_OF), say=say)
    with connection.cursor() as cursor:
        cursor.execute(UNIONIDS)
    _analyse("members_member", "members_identity", "members_orderline")
    box = _Wecom(rows)
    try:
        settings.WECOM_API_BASE = box.where["api_base"]
        corp = _corp(box, count)
        pace.CALLS_PER_SECOND = pace.BURST_CALLS = RAISED
        found = {"groups": count, "people": rows, "sync": _sync(box, corp, count, rows, say)}
        _analyse("campaigns_group", "campaigns_groupstay")
        found["event"] = _events(corp, say)
        found["health"] = _health(say)
    finally:
        box.end()
    return found


def _corp(box: _Wecom, count: int) -> Corp:
    corp = Corp.objects.create(corp_id=box.where["corp_id"], name="性能测试")
    corps.add_app(
        actor=None,
        corp=corp,
        kind="SELF_BUILT",
        name="性能测试",
        secret=box.where["secret"],
        agent_id=box.where["agent_id"],
    )
    guides = list(Guide.objects.order_by("pk").values_list("pk", flat=True))
    owners = -(-count // bench_wecom.GROUPS_EACH)
    Follower.objects.bulk_create(
        (
            Follower(
                corp=corp, userid=bench_wecom.userid_of(number), is_listed=True, guide_id=guides[number] if number < len(guides) else None
            )
            for number in range(owners)
        ),
        batch_size=5_000,
    )  # fmt: skip
    return corp


def _sync(box: _Wecom, corp: Corp, count: int, rows: int, say: Say) -> dict[str, Any]:
    say(f"listing and reading {count:,} groups with {rows:,} people")
    owners = -(-count // bench_wecom.GROUPS_EACH)
    started = time.perf_counter()
    with bench.Memory() as memory:
        jobs.run(listing.start_now(corp=corp, actor=None).pk)
        listed = time.perf_counter() - started
        Group.objects.update(due_at=db.clock())
        read = reading.read_due()
    seconds = time.perf_counter() - started
    calls = box.calls()
    asked = {path: calls.get(f"externalcontact/groupchat/{path}", 0) for path in ("list", "get")}
    least = {"list": -(-owners // wecom.OWNERS_PER_CALL), "get": count}
    stays = GroupStay.objects.filter(is_staff=False, left_at=None).count()
    matched = GroupStay.objects.filter(member__isnull=False).count()
    say("the floor: asking for some groups, and writing their stays from a plain table")
    asking, writing = _floor_of_sync(corp, count)
    floor = asking + writing
    return {
        "seconds": round(seconds, 1), "listing_seconds": round(listed, 1), "groups_read": read, "calls": asked, "least_calls": least,
        "is_least": asked == least, "stays": stays, "is_whole": stays == rows, "matched": matched, "peak_mb": memory.peak_mb,
        "floor_seconds": round(floor, 1), "floor_asking_seconds": round(asking, 1), "floor_writing_seconds": round(writing, 1),
        "ratio": round(floor / seconds, 3), "least_seconds_at_wecom": round(max(0, count - 2_000) / 40),
    }  # fmt: skip


def _floor_of_sync(corp: Corp, count: int) -> tuple[float, float]:
    """Seconds for all groups, taken from some of them."""
    some = min(SAMPLE, count)
    app = corps.app_of(corp)
    asking, _ = bench.timed(lambda: [wecom.get(app, bench_wecom.chat_of(number)) for number in range(some)])
    now = db.clock()
    made = Group.objects.bulk_create(Group(corp=corp, chat_id=f"floor{n}", asked_at=now) for n in range(some))
    real = list(Group.objects.filter(read_at__isnull=False).order_by("pk").values_list("pk", flat=True)[:some])
    columns = "userid, is_staff, unionid, member_id, joined_at, join_scene, inviter, state"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE bench_stays AS SELECT m.to_id AS group_id, {columns} FROM campaigns_groupstay s"
            " JOIN unnest(%s::bigint[], %s::bigint[]) m (from_id, to_id) ON m.from_id = s.group_id",
            [real, [group.pk for group in made]],
        )
        write = f"INSERT INTO campaigns_groupstay (group_id, {columns}) SELECT group_id, {columns} FROM bench_stays"
        writing, _ = bench.timed(lambda: cursor.execute(write))
        cursor.execute("DROP TABLE bench_stays")
    Group.objects.filter(pk__in=[group.pk for group in made]).update(dissolved_at=now)
    return asking / some * count, writing / some * count


def _events(corp: Corp, say: Say) -> dict[str, Any]:
    say(f"{EVENTS} leavings and {EVENTS} joinings")
    chosen = list(Group.objects.filter(dissolved_at=None).order_by("pk")[:EVENTS])
    leaving, joining, floor = [], [], []
    for number, group in enumerate(chosen):
        first, second = GroupStay.objects.filter(group=group, left_at=None, is_staff=False).order_by("pk")[:2]
        said = {
            "ChatId": group.chat_id,
            "UpdateDetail": groups.LEFT,
            "MemChangeList": {"Item": first.userid},
            "MemChangeCnt": "1",
        }
        said |= {"LastMemVer": group.version, "CurMemVer": f"after{number}", "QuitScene": "0"}
        leaving.append(_hear(corp, {**said, "MemChangeList": {"Item": [first.userid]}}))
        joined = {"ChatId": group.chat_id, "UpdateDetail": groups.JOINED, "CurMemVer": f"more{number}"}
        joining.append(_hear(corp, joined))
        floor.append(_bare_leaving(group.pk, second.pk))
    left = GroupStay.objects.filter(group__in=chosen, left_at__isnull=False).count()
    shown = {
        name: bench.percentiles(values)
        for name, values in (("leaving", leaving), ("joining", joining), ("floor", floor))
    }
    return {
        **{f"{name}_{key}": value for name, values in shown.items() for key, value in values.items()},
        "are_applied": left == 2 * len(chosen),
    }


def _hear(corp: Corp, fields: dict[str, Any]) -> float:
    """Seconds of one event, with its commit."""
    delivery = Delivery(corp.corp_id, groups.EVENT, groups.CHANGED, db.clock(), fields)

    def work() -> None:
        with transaction.atomic():
            groups.hear(delivery)

    return bench.timed(work)[0]


def _bare_leaving(group_id: int, stay_id: int) -> float:
    def work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE campaigns_groupstay SET left_at = now() WHERE id = %s", [stay_id])
            cursor.execute("UPDATE campaigns_group SET customer_count = customer_count - 1 WHERE id = %s", [group_id])

    return bench.timed(work)[0]


def _health(say: Say) -> dict[str, Any]:
    say("the health of all groups")
    seconds, counted = bench.timed(lambda: health.count(day=DAY))
    again, _ = bench.timed(lambda: health.count(day=DAY))
    say("the floor: both tables read once, grouped")

    def read() -> None:
        db.read("SELECT group_id, count(*), max(joined_at) FROM campaigns_groupstay GROUP BY 1")
        start = dt.datetime.combine(DAY - dt.timedelta(days=29), dt.time(), health.ZONE)
        db.read(
            "SELECT count(*) FROM (SELECT member_id, sum(paid_fen) FROM members_orderline WHERE paid_at >= %s GROUP BY 1) x",
            [start],
        )

    floor, _ = bench.timed(read)
    return {
        "seconds": round(seconds, 1), "seconds_again": round(again, 1), "groups": counted, "floor_seconds": round(floor, 1),
        "ratio": round(floor / seconds, 3),
    }  # fmt: skip


def _analyse(*tables: str) -> None:
    with as_owner(connection), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"VACUUM ANALYZE {table}")
