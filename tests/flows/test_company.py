"""A year of a real company, as it hands its data over: every figure to the fen, from a database that was only migrated.

COMPANY_DATA names the folder with its five files and ``expected.json``, which was computed apart from this code.
"""

from __future__ import annotations

import hashlib
import json
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
    assert report("--rule", "service_first") == report()  # the replay says what was posted
    assert digest() == expected["service_first"]["digest_of_sorted_beneficiary_comma_fen_lines"]
    same, other = simulated("SERVICE_FIRST"), simulated("POS_FIRST")
    assert same["now"] == same["then"] == other["now"] == digest()
    assert same["changed"] == 0
    assert other["then"] == expected["pos_first"]["digest_of_sorted_beneficiary_comma_fen_lines"]


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
