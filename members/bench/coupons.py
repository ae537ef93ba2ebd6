"""Claims and redemptions of one hot template by eight threads, beside a bare conditional update and insert.

Both work on the same server with the same number of buckets and commits that wait for the disk. The floor takes one off a
bucket (``UPDATE … WHERE left > 0``) and inserts a row with a unique key: what any shop with a stock must do. The product
also keeps the request's key, the member's place, counts, budget, an event, and for a redemption the clearing.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction
from django.utils import timezone

from members import coupons
from members.coupons.quoting import Till
from members.coupons.terms import Basket
from members.models import Coupon, CouponTemplate, Member
from scrm import bench
from scrm.models import Brand, LegalEntity, Region, Store, User

ROWS = 8_000
THREADS = 8
BUCKETS = 16
BASKET = Basket(12_000)

Say = Callable[[str], None]


def hot_coupons(*, rows: int, say: Say) -> dict[str, Any]:
    now = timezone.now()
    say(f"{rows:,} members, one template with {BUCKETS} buckets")
    store, members = _people(rows)
    template = _template(rows, now)
    say("the floor: a conditional update and an insert")
    floor = _at_once(_floor(rows), rows)
    say(f"  {floor['per_second']}/s; claims")

    def claim(number: int) -> None:
        coupons.issuing.give(template_id=template.pk, member_id=members[number], key=f"claim {number}", now=now)

    claims = _at_once(claim, rows)
    say(f"  {claims['per_second']}/s; redemptions")
    ids = list(Coupon.objects.order_by("pk").values_list("pk", flat=True))

    def redeem(number: int) -> None:
        till = Till(store=store, channel="POS", order_no=f"T{number}")
        coupons.redeeming.redeem(coupon_id=ids[number], till=till, basket=BASKET, key=f"redeem {number}", now=now)

    redemptions = _at_once(redeem, rows)
    if len(ids) != rows or coupons.daily.differences():
        raise RuntimeError(f"{len(ids)} coupons of {rows}, differences {coupons.daily.differences()}")
    return {
        "rows_per_second": claims["per_second"],
        "ratio": round(claims["per_second"] / floor["per_second"], 3),
        "redeem_ratio": round(redemptions["per_second"] / floor["per_second"], 3),
        "floor": floor,
        "claim": claims,
        "redeem": redemptions,
    }


def _people(rows: int) -> tuple[Store, list[int]]:
    brand = Brand.objects.order_by("pk")[0]
    entity = LegalEntity.objects.create(code="HQ", name="总部", kind=LegalEntity.Kind.HQ)
    region = Region.objects.create(code="N", name="北区")
    store = Store.objects.create(code="S1", name="人民路店", entity=entity, region=region, ownership="DIRECT")
    made = Member.objects.bulk_create((Member(brand=brand, name=f"会员{n}") for n in range(rows)), batch_size=5_000)
    return store, [member.pk for member in made]


def _template(rows: int, now: dt.datetime) -> CouponTemplate:
    author, approver = User.objects.create_user("author"), User.objects.create_user("approver")
    draft = CouponTemplate.objects.create(
        brand=Brand.objects.order_by("pk")[0], code="HOT", name="满100减20", kind=CouponTemplate.Kind.FULL_CUT, value_fen=2_000,
        threshold_fen=10_000, claim_from=now - dt.timedelta(days=1), claim_until=now + dt.timedelta(days=1), valid_days=30,
        member_cap=1, total_cap=rows, budget_fen=rows * 2_000, bucket_count=min(BUCKETS, rows), author=author,
    )  # fmt: skip
    return coupons.templates.publish(template=draft, actor=approver, now=now)


def _floor(rows: int) -> Callable[[int], None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE staging.floor_stock (bucket int PRIMARY KEY, left_count int CHECK (left_count >= 0))"
        )
        cursor.execute(
            "CREATE TABLE staging.floor_claim (id bigserial PRIMARY KEY, member_id bigint UNIQUE, at timestamptz)"
        )
        cursor.execute(
            "INSERT INTO staging.floor_stock SELECT n, %s FROM generate_series(0, %s) n", [rows, BUCKETS - 1]
        )

    def take(number: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE staging.floor_stock SET left_count = left_count - 1 WHERE bucket = %s AND left_count > 0",
                [number % BUCKETS],
            )
            if cursor.rowcount != 1:
                raise RuntimeError("the floor has no stock")
            cursor.execute("INSERT INTO staging.floor_claim (member_id, at) VALUES (%s, now())", [number])

    return take


def _at_once(work: Callable[[int], None], rows: int) -> dict[str, Any]:
    """Every number once, shared by the threads; a failure of one ends the bench."""
    times: list[list[float]] = [[] for _thread in range(THREADS)]
    failed: list[BaseException] = []
    gate = threading.Barrier(THREADS + 1)

    def run(thread: int) -> None:
        try:
            connection.ensure_connection()
            gate.wait()
            for number in range(thread, rows, THREADS):
                started = time.perf_counter()
                work(number)
                times[thread].append(time.perf_counter() - started)
        except BaseException as error:  # noqa: BLE001  raised below, in the thread that waits
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    with bench.Cpu() as cpu:
        gate.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started
    if failed:
        raise failed[0]
    each_ms = {f"{name}_cpu_ms": round(spent * 1_000 / rows, 2) for name, spent in vars(cpu).items()}
    return {
        "per_second": round(rows / seconds, 1), **each_ms, **bench.percentiles([each for part in times for each in part])
    }  # fmt: skip
