"""A year of a real company, as it hands its data over: every figure to the fen, from a database that was only migrated.

COMPANY_DATA names the folder with its five files and ``expected.json``, which was computed apart from this code.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.models import Sum

from attribution import simulation
from guides.models import Guide
from members.models import Member, Refund
from scrm import jobs
from scrm.models import Job, Store

FILES = (
    ("import_stores", "stores.csv"),
    ("import_guides", "guides.csv"),
    ("import_members", "members_legacy.gb18030.csv"),
    ("import_orders", "orders.csv.gz"),
    ("import_refunds", "refunds.csv"),
)
NOT_COMPUTED = ("rate_bp", "about_the_source")
HQ_POOL = "HQ_POOL"


def test_every_figure_to_the_fen(transactional_db: None, company_data: Path) -> None:
    expected = json.loads((company_data / "expected.json").read_text())
    summaries = {command: run(command, str(company_data / name)) for command, name in FILES}
    found = counts() | sales() | {"dirty_rows": summaries["import_members"]}
    found["member_file_rows"] = found["members_valid"] + sum(found["dirty_rows"].values())
    found["service_first"] = commission()
    found["pos_first"] = commission("--rule", "pos_first")
    assert found == {name: value for name, value in expected.items() if name not in NOT_COMPUTED}
    assert value_report() == value_by_hand()
    assert report("--rule", "service_first") == report()  # the replay says what was posted
    assert digest() == expected["service_first"]["digest_of_sorted_beneficiary_comma_fen_lines"]
    same, other = simulated("SERVICE_FIRST"), simulated("POS_FIRST")
    assert same["now"] == same["then"] == other["now"] == digest()
    assert same["changed"] == 0
    assert other["then"] == expected["pos_first"]["digest_of_sorted_beneficiary_comma_fen_lines"]


def value_report() -> dict[str, Any]:
    """What ``member_value_report`` prints: figures by name, and members and spend by measure and score."""
    out = StringIO()
    call_command("member_value_report", stdout=out)
    lines = [line.split(",") for line in out.getvalue().splitlines()]
    fifths = {(row[0], int(row[1])): (int(row[3]), int(row[4])) for row in lines if len(row) == 5 and row[1].isdigit()}
    return {row[0]: int(row[1]) for row in lines if len(row) == 2} | {"fifths": fifths}


def value_by_hand() -> dict[str, Any]:
    """The same in plain Python, from the rows of the purchases."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT member_id, order_id, paid_at AT TIME ZONE 'Asia/Shanghai', paid_fen, refunded_fen FROM members_orderline"
            " WHERE member_id IS NOT NULL"
        )
        lines = cursor.fetchall()
    orders: dict[int, dict[int, list[tuple[Any, int]]]] = defaultdict(lambda: defaultdict(list))
    for member, order, at, paid, refunded in lines:
        if paid == 0 or refunded < paid:
            orders[member][order].append((at, paid - refunded))
    rows = [
        (
            max(min(at for at, _fen in kept) for kept in found.values()).date(), len(found),
            sum(fen for kept in found.values() for _at, fen in kept),
        )
        for found in orders.values()
    ]  # fmt: skip
    fifths: dict[tuple[str, int], tuple[int, int]] = {}
    for place, name in enumerate(("recency", "frequency", "money")):
        ordered = sorted(row[place] for row in rows)
        worse = {value: ordered.index(value) for value in set(ordered)}
        for score in range(1, 6):
            scored = [row[2] for row in rows if 1 + 5 * worse[row[place]] // len(rows) == score]
            fifths[name, score] = (len(scored), sum(scored))
    spend, repeat = sum(row[2] for row in rows), sum(row[1] >= 2 for row in rows)
    top = sorted((row[2] for row in rows), reverse=True)[: math.ceil(len(rows) / 10)]
    return {
        "members": len(rows), "orders": sum(row[1] for row in rows), "spend_fen": spend, "repeat_members": repeat,
        "repeat_bp": round_half_up(repeat, len(rows)), "top_members": len(top), "top_fen": sum(top),
        "top_bp": round_half_up(sum(top), spend), "fifths": fifths,
    }  # fmt: skip


def round_half_up(part: int, whole: int) -> int:
    return int((Decimal(part * 10_000) / Decimal(whole)).quantize(Decimal(1), ROUND_HALF_UP))


def run(command: str, path: str) -> dict[str, Any]:
    out = StringIO()
    options = ["--create-tiers"] if command == "import_members" else []
    call_command(command, path, "--json", *options, stdout=out)
    summary: dict[str, Any] = json.loads(out.getvalue())
    return summary


def counts() -> dict[str, Any]:
    return {
        "stores": Store.objects.count(),
        "guides": Guide.objects.count(),
        "members_valid": Member.objects.count(),
        "refunds": Refund.objects.filter(status=Refund.Status.APPLIED).count(),
    }


def sales() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT order_id), count(*) FILTER (WHERE member_id IS NULL), count(DISTINCT member_id),"
            " sum(paid_fen)::bigint, sum(paid_fen) FILTER (WHERE member_id IS NOT NULL)::bigint, sum(refunded_fen)::bigint"
            " FROM members_orderline"
        )
        names = ("order_lines", "orders", "lines_without_member", "members_who_bought", "gmv_fen", "gmv_of_members_fen")
        figures = dict(zip((*names, "refunded_fen"), cursor.fetchone(), strict=True))
        cursor.execute("SELECT channel, sum(paid_fen)::bigint FROM members_orderline GROUP BY 1")
        return figures | {"gmv_by_channel_fen": dict(cursor.fetchall())}


def commission(*options: str) -> dict[str, Any]:
    """What expected.json says of one mode. What was accrued before refunds is the same under every mode: one rate."""
    text = report(*options)
    fen = {code: int(amount) for code, amount in (line.rsplit(",", 1) for line in text.split("\n"))}
    guides = sorted(
        ((code, amount) for code, amount in fen.items() if code != HQ_POOL), key=lambda pair: (-pair[1], pair[0])
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(amount_fen)::bigint FROM attribution_hold")
        before = cursor.fetchone()[0]
    return {
        "beneficiaries": len(fen),
        "commission_before_refunds_fen": before,
        "commission_after_refunds_fen": sum(fen.values()),
        "hq_pool_after_refunds_fen": fen[HQ_POOL],
        "top10": [list(pair) for pair in guides[:10]],
        "digest_of_sorted_beneficiary_comma_fen_lines": hashlib.sha256(text.encode()).hexdigest(),
    }


def simulated(mode: str) -> dict[str, Any]:
    """Digests of both sides of a simulation of every line under a mode."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(paid_at AT TIME ZONE 'Asia/Shanghai')::date, max(paid_at AT TIME ZONE 'Asia/Shanghai')::date"
            " FROM members_orderline"
        )
        first, last = cursor.fetchone()
    asked = simulation.start(actor=None, mode=mode, first_day=first, last_day=last, workers=1)
    jobs.run(Job.objects.get(simulation=asked).pk)
    asked.refresh_from_db()
    sides = {}
    for side in ("now", "then"):
        sums = asked.rows.values_list("beneficiary_code").annotate(fen=Sum(f"commission_{side}_fen")).order_by()
        text = "\n".join(sorted(f"{code},{fen}" for code, fen in sums if fen))
        sides[side] = hashlib.sha256(text.encode()).hexdigest()
    return sides | {"changed": asked.changed_count}


def report(*options: str) -> str:
    out = StringIO()
    call_command("commission_report", *options, stdout=out)
    return out.getvalue().removesuffix("\n")


def digest() -> str:
    out = StringIO()
    call_command("commission_report", "--digest", stdout=out)
    return out.getvalue().strip()
