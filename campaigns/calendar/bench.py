"""Compiling the calendar of a whole company, and looking at it: so many stores, four guides each, eight entries, a week.

The floor, in the same run and on the same server: the same rows of stores and tasks written again from plain tables, with all
indexes and constraints in place; nothing is decided there. Pages are asked over HTTP from the product's own web process, one
after the other as one person does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from campaigns import calendar
from campaigns.models import CalendarAdaptation, CalendarEntry
from scrm import bench, people
from scrm.models import Brand, Region, Role, Store, User
from scrm.owner import as_owner

STORES = 5_000
GUIDES_PER_STORE = 4
ASKED = 40  # times, per page
LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

Say = Callable[[str], None]

# six regions with four parts each; every third store is a franchisee's
COMPANY = """
    INSERT INTO scrm_legalentity (code, name, kind, is_active)
    SELECT 'HQ', '总部', 'HQ', true UNION ALL SELECT 'F' || n, '加盟商' || n, 'FRANCHISEE', true FROM generate_series(1, 20) n;

    INSERT INTO scrm_region (code, name) SELECT 'R' || n, '大区' || n FROM generate_series(1, 6) n;
    INSERT INTO scrm_region (code, name, parent_id)
    SELECT p.code || '-' || n, p.name || n || '片区', p.id FROM scrm_region p, generate_series(1, 4) n;

    INSERT INTO scrm_store (code, name, entity_id, region_id, ownership, city, address)
    SELECT 'S' || n, '门店' || n, e.id, r.id, CASE WHEN e.kind = 'HQ' THEN 'DIRECT' ELSE 'FRANCHISEE' END, '', ''
    FROM generate_series(1, {stores}) n
    JOIN scrm_legalentity e ON e.code = CASE WHEN n % 3 = 0 THEN 'F' || (1 + n % 20) ELSE 'HQ' END
    JOIN scrm_region r ON r.code = 'R' || (1 + n % 6) || '-' || (1 + n / 6 % 4);

    INSERT INTO scrm_user (username, name, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
    SELECT 'guide' || n, '导购' || n, '!', '', '', '', false, false, true, now() FROM generate_series(1, {guides}) n;

    INSERT INTO guides_guide (user_id, code, name)
    SELECT id, 'G' || substr(username, 6), name FROM scrm_user WHERE username LIKE 'guide%' ORDER BY id;

    INSERT INTO guides_employment (guide_id, store_id, role, started_at)
    SELECT g.id, s.id, 'GUIDE', '2020-01-01' FROM guides_guide g
    JOIN scrm_store s ON s.code = 'S' || (1 + (substr(g.code, 2)::int - 1) / {per_store});
"""
# a weekly rhythm as brands have it: title, weekdays, task, quota per, of direct stores, of franchised ones
RHYTHM = (
    ("每日问候", [1, 2, 3, 4, 5, 6, 7], "MESSAGE", "GUIDE", 10, 5),
    ("新品周一", [1], "MOMENT", "GUIDE", 2, 1),
    ("会员日", [2], "MESSAGE", "STORE", 40, 20),
    ("周三回访", [3], "CALL", "GUIDE", 5, 0),
    ("周四试吃", [4], "INVITE", "GUIDE", 0, 0),
    ("周末预热", [5], "GROUP_POST", "STORE", 6, 3),
    ("周末促销", [6, 7], "MESSAGE", "GUIDE", 15, 8),
    ("周日内容", [7], "MOMENT", "GUIDE", 1, 1),
)
FLOOR = """
    CREATE TEMPORARY TABLE floor_day AS SELECT * FROM campaigns_calendarstoreday;
    CREATE TEMPORARY TABLE floor_task AS SELECT * FROM guides_action;
    UPDATE floor_day SET day = day - 7000;
    UPDATE floor_task SET key = 'floor ' || key, id = id + 1000000000, source_id = source_id + 1000000000;
    UPDATE floor_day SET id = id + 1000000000
"""
WRITES = (
    "INSERT INTO campaigns_calendarstoreday SELECT * FROM floor_day",
    "INSERT INTO guides_action SELECT * FROM floor_task",
)


def compile_week(*, rows: int, say: Say) -> dict[str, Any]:
    """``rows``: stores."""
    say(f"{rows:,} stores, {rows * GUIDES_PER_STORE:,} guides, {len(RHYTHM)} entries")
    brand, today, now = _company(rows), timezone.localdate(), timezone.now()
    days = [today + dt.timedelta(days=ahead) for ahead in range(1, 8)]
    asked: dict[str, Any] = {"brand_id": brand.pk, "days": days, "now": now}
    say("previewing")
    preview_seconds, wished = bench.timed(lambda: calendar.preview(**asked))
    say("compiling")
    with bench.Memory() as memory, bench.Cpu() as cpu:
        seconds, made = bench.timed(lambda: calendar.compile_days(**asked))
    if (wished.new, wished.tasks) != (made.new, made.tasks):
        raise RuntimeError(f"previewed {wished}, compiled {made}")
    again, same = bench.timed(lambda: calendar.compile_days(**asked))
    if same.kept != made.new or same.new + same.changed + same.gone:
        raise RuntimeError(f"compiled again: {same}")
    entry = CalendarEntry.objects.get(title="每日问候")
    entry.text = "今天有新品到店，欢迎来尝。"
    calendar.write(entry=entry, actor=None, now=now)
    say("one entry of all days is changed")
    changed_seconds, changed = bench.timed(lambda: calendar.compile_days(**asked))
    say("counting, and looking for conflicts")
    count_seconds, _ = bench.timed(lambda: calendar.count(now=now + dt.timedelta(days=1)))
    check_seconds, conflicts = bench.timed(lambda: calendar.check(**asked))
    say("the floor: the same rows written from plain tables")
    floor = _floor()
    pages = _pages(brand, days[3], say)
    return {
        "rows_per_second": round(made.tasks / seconds), "seconds": round(seconds, 2), "peak_mb": memory.peak_mb,
        "cpu_python": cpu.python, "cpu_server": cpu.server, "floor_seconds": round(floor, 2), "ratio": round(floor / seconds, 3),
        "store_days": made.new, "tasks": made.tasks, "preview_seconds": round(preview_seconds, 2),
        "again_seconds": round(again, 2), "changed": changed.changed, "changed_seconds": round(changed_seconds, 2),
        "count_seconds": round(count_seconds, 2), "check_seconds": round(check_seconds, 2), "conflicts": conflicts, "pages": pages,
    }  # fmt: skip


def _company(stores: int) -> Brand:
    values = {"stores": stores, "guides": stores * GUIDES_PER_STORE, "per_store": GUIDES_PER_STORE}
    with connection.cursor() as cursor:
        cursor.execute(COMPANY.format(**values))
    brand, today = Brand.objects.get(code="MAIN"), timezone.localdate()
    for title, weekdays, kind, per, direct, franchisee in RHYTHM:
        CalendarEntry.objects.create(
            brand=brand, kind="OTHER", title=title, weekdays=weekdays, starts_on=today - dt.timedelta(days=90), from_time=dt.time(9),
            until_time=dt.time(21), task_kind=kind, text="今天有活动，欢迎来店里看看。", quota_per=per, direct_quota=direct,
            franchisee_quota=franchisee, adapted_by="STORE", may_drop=True, may_move=True, least_quota_percent=10,
        )  # fmt: skip
    _adapt(today)
    _analyse()
    return brand


def _adapt(today: dt.date) -> None:
    """Each part of a region moves an entry, and one store in twenty leaves one out."""
    author = User.objects.create_user("author")
    entries = list(CalendarEntry.objects.order_by("pk"))
    common: dict[str, Any] = {
        "starts_on": today, "ends_on": today + dt.timedelta(days=30), "reason": "当地安排", "made_by": author
    }  # fmt: skip
    moved = [
        CalendarAdaptation(entry=entries[0], region=region, from_time=dt.time(10), until_time=dt.time(20), **common)
        for region in Region.objects.exclude(parent=None)
    ]
    stores = Store.objects.order_by("pk")[::20]
    dropped = [
        CalendarAdaptation(entry=entries[n % len(entries)], store=store, is_dropped=True, **common)
        for n, store in enumerate(stores)
    ]
    CalendarAdaptation.objects.bulk_create([*moved, *dropped])


def _floor() -> float:
    with connection.cursor() as cursor:
        cursor.execute(FLOOR)
        return sum(bench.timed(lambda sql=sql: cursor.execute(sql))[0] for sql in WRITES)  # type: ignore[misc]


def _analyse() -> None:
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


# --- pages ----------------------------------------------------------------------------------------------------------------


def _pages(brand: Brand, day: dt.date, say: Say) -> dict[str, Any]:
    """What HQ and the manager of a region (a sixth of the stores) wait for."""
    _analyse()
    region = Region.objects.filter(parent=None).order_by("pk")[0]
    week, compiling = reverse("admin:campaigns_calendar"), reverse("admin:campaigns_calendar_compile")
    paths = {
        "month": f"{week}?view=month&on={day}",
        "week": f"{week}?on={day}",
        "compile": f"{compiling}?on={day}&brand={brand.pk}",
    }
    figures: dict[str, Any] = {}
    with override_settings(CACHES=LOCAL):  # no broker runs for this process
        clients = {"hq": _client("hq", Role.HQ_ADMIN), "region": _client("region", Role.REGION_MANAGER, region=region)}
        wanted = {f"{name}_{who}": (path, clients[who]) for who in clients for name, path in paths.items()}
        del wanted["compile_region"]  # HQ's
        queries = {name: _query_count(client, path) for name, (path, client) in wanted.items()}
    with bench.web() as address:
        for name, (path, client) in wanted.items():
            say(f"asking: {name}")
            request = bench.Request.of("GET", path, headers=_headers(client))
            bench.throughput(address.port, [request] * 3, connections=1, seconds=60).require(200)  # warm
            burst = bench.throughput(address.port, [request] * ASKED, connections=1, seconds=60).require(200)
            figures[name] = {**bench.percentiles(burst.times), "queries": queries[name]}
    return figures


def _query_count(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return len(captured)


def _client(name: str, role: Role, **part: Any) -> Client:
    user = people.create(actor=None, username=name, name=name, password="bench-of-the-calendar")  # noqa: S106
    people.grant(actor=None, user=user, role=role, **part)
    client = Client(HTTP_HOST="localhost")
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return client


def _headers(client: Client) -> dict[str, str]:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return {"Cookie": cookies, "Accept-Language": "zh-CN", "Accept": "text/html"}
