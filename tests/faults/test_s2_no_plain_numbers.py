"""S2, §8 row 7: a thousand mobile numbers come in through every door; none of them is found again outside of a seal.

Searched: every cell of every table, the database's files and log, files below SCRM_VAR, the broker and the cache in it, what web
and workers log at DEBUG, and every answer that refuses something. Once with imports cut off in the middle, once at the end.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import requests
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from attribution import intake
from guides import contacts, staff_import
from guides.contacts import sweeps
from guides.models import Guide
from members import legacy_import
from members.models import Identity
from scrm import crypto, jobs, uploads
from scrm.embedded.valkey import Valkey
from scrm.models import User
from scrm.wecom.sandbox import Sandbox, people
from tests.attribution.test_intake import CHANNEL, event, line
from tests.factories import shops as factory
from tests.factories.member_lists import HEADER as MEMBERS
from tests.factories.wecom import Wired, wire
from tests.faults.children import Children
from tests.faults.test_f4_broker_gone import broker
from tests.faults.web import Web
from tests.guides.test_staff_import import HEADER as GUIDES
from tests.members.test_purchase_import import HEADER as ORDERS

__all__ = ["broker"]
pytestmark = pytest.mark.django_db(transaction=True)
COUNT = 1_000
PLAIN = re.compile(rb"(?=(154[0-9]{8}))")
IN_HEX = re.compile(rb"(?=(313534(?:3[0-9]){8}))", re.I)


class Numbers:
    """Numbers of a block that no operator has, and which of them has come in through which door."""

    def __init__(self, dice: random.Random) -> None:
        self.left = [f"154{number:08d}" for number in dice.sample(range(10**7, 10**8), COUNT)]
        self.door: dict[str, str] = {}

    def take(self, door: str, count: int = 1) -> list[str]:
        taken = [self.left.pop() for _number in range(count)]
        self.door |= dict.fromkeys(taken, door)
        return taken

    def found_in(self, content: bytes) -> set[str]:
        """Written as they are, or as the bytes of a column that nobody sealed."""
        plain = {match.decode() for match in PLAIN.findall(content)}
        hexed = {bytes.fromhex(match.decode()).decode() for match in IN_HEX.findall(content)}
        return (plain | hexed) & set(self.door)


@pytest.fixture
def numbers(dice: random.Random) -> Numbers:
    return Numbers(dice)


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def variables(broker: Valkey) -> dict[str, str]:
    return {"FAULT_BROKER": broker.url, "FAULT_LOG_LEVEL": "DEBUG"}


@pytest.fixture
def box(
    transactional_db: None, seed: int, settings: Settings, variables: dict[str, str], logged: Path
) -> Iterator[Wired]:
    with Sandbox(seed=seed, sends=False) as sandbox:
        settings.WECOM_API_BASE = sandbox.api_base
        name = str(connection.settings_dict["NAME"])
        children = Children(name, WECOM_API_BASE=sandbox.api_base, **variables)
        with Web(children.variables, logged / "web.log") as web:
            yield wire(sandbox, url=web.url)


@pytest.fixture
def children(box: Wired, variables: dict[str, str], logged: Path) -> Iterator[Children]:
    name = str(connection.settings_dict["NAME"])
    with (
        (logged / "workers.log").open("wb") as log,
        Children(name, WECOM_API_BASE=box.box.api_base, **variables).logging_to(log) as started,
    ):
        yield started


# --- doors ------------------------------------------------------------------------------------------------------------


def upload(kind: str, name: str, header: str, rows: Iterable[str]) -> int:
    """As the console does; the job."""
    content = "\n".join([header, *rows]).encode() + b"\n"
    stored = uploads.store(actor=None, purpose=kind, name=name, chunks=[content], now=timezone.now())
    return jobs.enqueue(kind, actor=None, upload=stored, params={}).pk


def bring_lists(numbers: Numbers) -> list[int]:
    """Members, orders and guides; some rows are broken, so that what is said of them is searched too."""
    members = [
        f"C{number},顾客{number},{mobile},女,,,{'x' if number % 9 == 0 else number},S1,,2024-01-01,,"
        for number, mobile in enumerate(numbers.take("member list", 200))
    ]
    orders = [
        f"POS,S1,L{number},1,{'soon' if number % 9 == 0 else '2025-05-01 09:30:00'},{mobile},,S1,G00001,K1,苹果,1,10.00,10.00"
        for number, mobile in enumerate(numbers.take("order list", 200))
    ]
    people_rows = [
        f"X{number:04},导购{number},{mobile},{'NOWHERE' if number % 9 == 0 else 'S1'},导购,,2020-01-01,"
        for number, mobile in enumerate(numbers.take("guide list", 100))
    ]
    return [
        upload(legacy_import.KIND, "会员.csv", MEMBERS, members),
        upload("import_orders", "订单.csv", ORDERS, orders),
        upload(staff_import.KIND, "导购.csv", GUIDES, people_rows),
    ]


def bring_friends(box: Wired, numbers: Numbers) -> None:
    """What a guide notes beside a friend; half of it told by events, all of it shown by readings and sweeps."""
    world = box.world
    world.add_member("wangfang", "王芳")
    contacts.match_guides()
    for number, mobile in enumerate(numbers.take("remark_mobiles", 150)):
        friend = world.add_contact(f"客{number}", unionid=f"oU{number}").external_userid
        people.add_by_member(world, "wangfang", friend)
        people.edit(world, "wangfang", friend, remark=f"客{mobile}", remark_mobiles=(mobile,))
    assert box.deliver() >= 300


def bring_orders(box: Wired, web: str, numbers: Numbers) -> list[requests.Response]:
    """The webhook: good events, events that no one can apply, and bodies that are none."""
    secret, answers = intake.new_secret(channel=CHANNEL, actor=None), []
    for number, mobile in enumerate(numbers.take("webhook", 250)):
        values: dict[str, Any] = {"buyer": {"mobile": mobile if number % 5 else f"+86 {mobile}"}, "lines": [line()]}
        if number % 7 == 0:
            values["paid_at"] = mobile
        body = json.dumps(
            event(order_no=f"W{number}", order={"paid_at": "2025-05-01T09:30:00+08:00", **values})
        ).encode()
        body = body[:-9] if number % 11 == 0 else body
        at = str(int(time.time()))
        signature = intake.signature(secret.encode(), at, body) if number % 13 else "0" * 64
        headers = {"X-Timestamp": at, "X-Signature": signature, "Content-Type": "application/json"}
        answers.append(requests.post(f"{web}/api/channels/{CHANNEL}/events", body, headers=headers, timeout=30))
    return answers


def knock(web: str, shops: factory.Shops, numbers: Numbers) -> list[requests.Response]:
    """Logins, searches and addresses that hold a number, most of them refused."""
    bearer = {"Authorization": f"Bearer {shops.token('A')}"}
    answers = []

    def ask(method: str, path: str, **values: Any) -> None:
        answers.append(requests.request(method, f"{web}{path}", timeout=30, allow_redirects=False, **values))

    for mobile in numbers.take("login and search", 25):
        ask("POST", "/api/guide/login", json={"code": mobile, "device": "phone-4c1d9e02"})
        ask("POST", "/api/guide/members/search", json={"mobile": mobile}, headers=bearer)
    for mobile in numbers.take("addresses", 25):
        ask("GET", f"/api/guide/members?q={mobile}", headers=bearer)
        ask("GET", f"/api/guide/members/{mobile}", headers=bearer)
        ask("GET", f"/admin/members/member/?q={mobile}")
        ask("GET", f"/nowhere/{mobile}?mobile={mobile}")
        ask("POST", f"/wecom/callback/customers?msg_signature={mobile}&timestamp={mobile}&nonce=1", data=mobile)
    for mobile in numbers.take("verified mobile", 50):
        member = shops.member(f"客{mobile[-4:]}", store="S1", guide="A")
        Identity.objects.filter(member=member, kind="MOBILE").update(
            value=crypto.mobile_index(f"+86{mobile}"), sealed=crypto.seal_mobile(f"+86{mobile}")
        )
        key = {"Idempotency-Key": f"reveal-{mobile[-4:]}-{member.pk}"}
        ask("POST", f"/api/guide/members/{member.pk}/reveal", json={"reason": "电话通知顾客"}, headers=bearer | key)
        ask("POST", "/api/guide/members/search", json={"mobile": mobile}, headers=bearer)
    return answers


# --- places -----------------------------------------------------------------------------------------------------------


def tables() -> Iterator[tuple[str, bytes]]:
    """Every table of every schema as COPY writes it: bytes in hex, JSON as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        names = [name for (name,) in cursor.fetchall()]
        for name in names:
            with (
                suppress(psycopg.errors.UndefinedTable),  # a staging table that its job has dropped meanwhile
                cursor.copy(f"COPY (SELECT * FROM {name}) TO STDOUT") as copy,
            ):
                yield f"table {name}", b"".join(bytes(part) for part in copy)


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            with suppress(FileNotFoundError):  # the servers go on
                if path.is_file() and not path.is_socket():
                    yield f"file {path}", path.read_bytes()


def broker_content(server: Valkey) -> Iterator[tuple[str, bytes]]:
    client: Any = redis.Redis(unix_socket_path=str(server.socket))
    for key in client.keys("*"):
        yield f"broker {key!r}", key + (client.dump(key) or b"")


def places(broker: Valkey, logged: Path, answers: Iterable[requests.Response]) -> Iterator[tuple[str, bytes]]:
    yield from tables()
    yield from files(Path(django_settings.SCRM_VAR), logged, broker.home)
    yield from broker_content(broker)
    for answer in answers:
        if answer.status_code >= 400:
            yield f"answer {answer.status_code} {answer.request.method} {answer.request.path_url}", answer.content


def assert_nowhere(numbers: Numbers, where: Iterable[tuple[str, bytes]]) -> None:
    size = found = 0
    leaks: Counter[str] = Counter()
    for place, content in where:
        size += len(content)
        for number in numbers.found_in(content):
            leaks[f"{numbers.door[number]} → {place}"] += 1
            found += 1
    print(f"{size / 2**20:.1f} MiB searched for {len(numbers.door)} numbers: {found} found")
    assert not leaks, leaks


def test_s2_a_thousand_numbers_leave_no_trace(
    box: Wired, children: Children, broker: Valkey, logged: Path, numbers: Numbers
) -> None:
    shops = factory.shops()
    Guide.objects.filter(code="G00001").update(wecom_userid="wangfang")
    web = str(box.world.app().receiver.url).partition("/wecom/")[0]  # type: ignore[union-attr]
    cut_off = bring_lists(numbers)
    for point, nth in (
        ("file staged", 1),
        ("rows checked", 1),
        ("members written", 1),
        ("file staged", 2),
        ("rows checked", 2),
    ):
        assert children.kill_at("open_jobs", point=point, nth=nth)
        assert_nowhere(numbers, tables())
    bring_friends(box, numbers)
    answers = bring_orders(box, web, numbers)
    answers += knock(web, shops, numbers)
    jobs_left = [sweeps.start(corp=box.corp, kind="FULL", actor=None).pk, *cut_off]
    for work in ("inbox", "read", "open_jobs", "news"):
        children.run(work)
    children.run("call", values={"target": "attribution.intake:process"})
    assert not numbers.left
    came = set(Identity.objects.filter(kind="MOBILE").values_list("value", flat=True))
    assert len(came & {crypto.mobile_index(f"+86{number}") for number in numbers.door}) > 200
    assert len(jobs_left) == 4 and {answer.status_code for answer in answers} >= {200, 400, 401, 403, 404}
    assert User.objects.filter(username__startswith="X0").exists()
    known = next(iter(numbers.door)).encode()
    assert numbers.found_in(b"1" + known) and numbers.found_in(known.hex().encode())  # it would be found
    assert_nowhere(numbers, places(broker, logged, answers))
