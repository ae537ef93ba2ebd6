"""The member import on a million rows, beside a COPY of the same final rows into the same tables.

Cases, one after the other in one database: a list into empty tables; another list into the tables it has filled; the
second list again, unchanged; the second list once more with its guides, which adds only the bindings. The floor of each is
the COPY of exactly the rows that the case has written, with all indexes, constraints and triggers in place; nothing is
read, checked, sealed or matched there. With ``into`` the tables are filled with that many members by SQL instead.

One row in a hundred is broken.
"""

from __future__ import annotations

import datetime as dt
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from guides.bench import tables
from guides.models import Employment, Guide
from members import legacy_import
from scrm import bench, imports, jobs
from scrm.models import Brand, LegalEntity, Region, Store
from scrm.owner import as_owner

STORES, GUIDES = 250, 750
HEADER = "会员卡号,姓名,手机号,性别,生日,等级,积分,开卡门店,专属导购,开卡日期,标签,备注"
SURNAMES, GIVEN = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许", "伟芳娜敏静丽强磊军洋艳勇杰娟涛明超秀霞平刚桂英"
TAGS = ("", "", "宝妈", "老客", "周末", "送礼", "宝妈|老客", "周末|送礼", "老客|周末|送礼")
# in the order of their references
MEMBER_TABLES = ("members_member", "members_identity", "members_pointsopening", "members_membertag", "members_listrow")
BINDING_TABLE = "guides_binding"

Say = Callable[[str], None]


def import_members(*, rows: int, say: Say, into: int | None = None) -> dict[str, Any]:
    _make_organisation()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"writing lists of {rows:,} rows")
        _write_list(folder / "second.csv", rows, prefix="B", first_number=10**8 + rows, encoding="gb18030")
        cases: dict[str, Any] = {}
        if into:
            _fill(into, say)
            kept = tables.highest_ids(MEMBER_TABLES)
        else:
            _write_list(folder / "first.csv", rows, prefix="A", first_number=10**8, encoding="utf-8")
            cases["empty"] = _case("empty", folder / "first.csv", say)
            tables.export(folder / "first", MEMBER_TABLES, {})
            kept = tables.highest_ids(MEMBER_TABLES)
            tables.truncate((*MEMBER_TABLES, BINDING_TABLE))
            cases["empty"] |= _floor("empty", folder / "first", MEMBER_TABLES, cases["empty"], say)
        tables.vacuum(MEMBER_TABLES)
        cases["filled"] = _case("filled", folder / "second.csv", say)
        tables.export(folder / "second", MEMBER_TABLES, kept)
        cases["unchanged"] = _case("unchanged", folder / "second.csv", say)
        cases["bindings"] = _case("bindings", folder / "second.csv", say, guides=True)
        tables.export(folder / "second", (BINDING_TABLE,), {})
        if not into:
            tables.truncate((*MEMBER_TABLES, BINDING_TABLE))
            say("putting the first list back")
            tables.copy_in(folder / "first", MEMBER_TABLES)
            tables.vacuum(MEMBER_TABLES)
            cases["filled"] |= _floor("filled", folder / "second", MEMBER_TABLES, cases["filled"], say)
            _forget_list_rows(kept["members_listrow"])  # the case has written them anew
            written = (BINDING_TABLE, "members_listrow")
            cases["bindings"] |= _floor("bindings", folder / "second", written, cases["bindings"], say)
    return {
        "rows_per_second": cases["filled"]["rows_per_second"],
        **{name: cases["filled"][name] for name in ("p50_ms", "p95_ms", "p99_ms")},
        "peak_mb": max(case["peak_mb"] for case in cases.values()),
        "ratio": cases["filled"].get("ratio"),
        "chunk_rows": legacy_import.CHUNK_ROWS,
        "into": into or rows,
        "cases": cases,
    }


# --- measuring --------------------------------------------------------------------------------------------------------


def _case(name: str, path: Path, say: Say, *, guides: bool = False) -> dict[str, Any]:
    """One run of the import. Without ``guides`` the list's guide column is left out by the mapping."""
    say(f"importing: {name}")
    chunks: list[float] = []
    stages: dict[str, float] = {}
    last_at, last_stage = time.perf_counter(), ""

    def note(stage: str, _done: int, _total: int | None) -> None:
        nonlocal last_at, last_stage
        now = time.perf_counter()
        stages[last_stage] = stages.get(last_stage, 0) + now - last_at
        if stage == last_stage == "write":
            chunks.append(now - last_at)
        last_at, last_stage = now, stage

    mapping = {} if guides else {"guide": None}
    job = imports.start(kind=legacy_import.KIND, path=str(path), options={"mapping": mapping, "create_tiers": True})
    with bench.Memory() as memory:
        seconds, job = bench.timed(lambda: jobs.run(job.pk, show=note))
    note("", 0, None)
    counts = {key: value for key, value in job.summary.items() if isinstance(value, int)}
    return {
        "seconds": round(seconds, 2),
        "rows_per_second": round(job.summary["rows"] / seconds),
        **bench.percentiles(chunks or [seconds]),  # from one written chunk to the next
        "peak_mb": memory.peak_mb,
        "stages": {stage: round(spent, 2) for stage, spent in stages.items() if stage},
        "counts": counts,
    }


def _floor(name: str, folder: Path, names: tuple[str, ...], case: dict[str, Any], say: Say) -> dict[str, Any]:
    say(f"the floor of {name}: COPY of the same rows")
    seconds, _ = bench.timed(lambda: tables.copy_in(folder, names))
    return {"floor_seconds": round(seconds, 2), "ratio": round(seconds / case["seconds"], 3)}


def _forget_list_rows(after: int) -> None:
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM members_listrow WHERE member_id > %s", [after])
        cursor.execute("VACUUM ANALYZE members_listrow")


# --- what is imported -------------------------------------------------------------------------------------------------


def _make_organisation() -> None:
    entity = LegalEntity.objects.create(code="HQ", name="HQ", kind=LegalEntity.Kind.HQ)
    region = Region.objects.create(code="R1", name="R1")
    stores = Store.objects.bulk_create(
        Store(code=f"S{n:04}", name=f"S{n:04}", entity=entity, region=region, ownership=Store.Ownership.DIRECT)
        for n in range(STORES)
    )
    users = get_user_model().objects.bulk_create(get_user_model()(username=f"G{n:05}") for n in range(GUIDES))
    guides = Guide.objects.bulk_create(
        Guide(user=user, code=user.username, name=user.username) for user in users
    )  # fmt: skip
    since = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)
    Employment.objects.bulk_create(
        Employment(guide=guide, store=stores[n % STORES], role=Guide.Role.GUIDE, started_at=since)
        for n, guide in enumerate(guides)
    )


def _write_list(path: Path, rows: int, *, prefix: str, first_number: int, encoding: str) -> None:
    """Numbers in four spellings, dates in four formats, one broken row in a hundred; in no order of card or number."""
    rng = random.Random(20)  # noqa: S311
    spellings = ("{0}", "{0}", "{0}", "+86{0}", "{1} {2} {3}", "{1}-{2}-{3}")
    with path.open("w", encoding=encoding, newline="") as stream:
        stream.write(HEADER + "\n")
        for n in range(rows):
            number = f"1{3 + n % 7}{(first_number + n * 7_919) % 10**9:09}"
            mobile = (
                "1380013800"
                if n % 100 == 7
                else rng.choice(spellings).format(number, number[:3], number[3:7], number[7:])
            )
            birthday = _spell(rng, 1955, 50) if n % 5 else ""
            stream.write(
                f"{prefix}{n:09},{rng.choice(SURNAMES)}{rng.choice(GIVEN)}{rng.choice(GIVEN)},{mobile},{rng.choice('男女F')},"
                f"{birthday},{rng.choice(('普通', '银卡', '金卡', '钻石'))},{rng.randrange(20_000)},S{rng.randrange(STORES):04},"
                f"G{rng.randrange(GUIDES):05},{_spell(rng, 2019, 7)},{rng.choice(TAGS)},\n"
            )


def _spell(rng: random.Random, year: int, years: int) -> str:
    day = dt.date(year, 1, 1) + dt.timedelta(days=rng.randrange(years * 365))
    y, m, d = day.year, day.month, day.day
    return rng.choice((f"{y}{m:02}{d:02}", f"{y}/{m}/{d}", f"{y}-{m:02}-{d:02}", f"{y}年{m}月{d}日"))


def _fill(count: int, say: Say) -> None:
    """``count`` members with a card and a number each, in parts so that deferred checks fit into memory."""
    brand = Brand.objects.earliest("pk")
    part = 500_000
    with tables.bulk_session() as cursor:
        for first in range(0, count, part):
            numbers = f"generate_series({first + 1}, {min(count, first + part)}) n"
            cursor.execute(f"""
                INSERT INTO members_member (id, brand_id, name, gender, points_brought_in, remark, status, home_store_id, registered_on)
                SELECT n, %s, chr(0x4e00 + (hashint8(n) & 8191)) || chr(0x4e00 + (hashint8(n + 7) & 8191)), 'F', 0, '',
                       'ACTIVE', (SELECT min(id) FROM scrm_store) + n %% {STORES}, date '2019-01-01' + (n %% 2000)::int
                FROM {numbers}
            """, [brand.pk])  # fmt: skip
            cursor.execute(f"""
                INSERT INTO members_identity (member_id, kind, namespace, value, sealed, is_verified)
                SELECT n, 'CARD', %s, 'F' || n, NULL::bytea, false FROM {numbers}
                UNION ALL SELECT n, 'MOBILE', %s, md5(n::text), decode(md5(n::text), 'hex'), false FROM {numbers} ORDER BY 4
            """, [brand.code, brand.code])  # fmt: skip
            cursor.execute(
                f"INSERT INTO members_listrow (member_id, digest) SELECT n, md5(n::text)::uuid FROM {numbers} ORDER BY 2"
            )
            say(f"  {min(count, first + part):,} members before the import")
    with as_owner(connection), connection.cursor() as cursor:
        for table in ("members_member", "members_identity"):
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
