"""The console at a million members: the first page of the list, the exact mobile search, the page of one member.

Asked over HTTP from the product's own web process, one request after the other as one person does; the query count comes
from the same pages asked in-process, and must not depend on which member is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from attribution import decisions
from attribution.bench import filling
from members.models import Member, OrderLine
from scrm import bench, people
from scrm.models import Role, User

SECONDS = 6  # of asking, per page
LOOKED_AT = 50  # members, half of them among those who buy most
CSRF = "b" * 32
LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


def admin(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    filling.fill(rows=rows, say=say)
    say("deciding and posting, so that the pages show what they will show")
    decisions.decide_open(workers=2)
    user = people.create(actor=None, username="bench", name="bench", password="bench-of-the-console")  # noqa: S106
    people.grant(actor=None, user=user, role=Role.HQ_ADMIN)
    members = _members()
    with override_settings(CACHES=LOCAL):  # no broker runs for this process
        client = _client(user)
        pages = _pages(members)
        queries = {name: _query_count(client, name, members) for name in pages}
    with bench.web() as address, bench.Memory(address.pid) as memory:
        floor = bench.throughput(
            address.port, [_get("/bench/constant", client)], connections=1, seconds=SECONDS
        ).require(200)
        figures = {}
        for name, make in pages.items():
            say(f"asking: {name}")
            burst = _ask(address.port, [make(client, member) for member in members])
            figures[name] = {"per_second": burst.per_second, **bench.percentiles(burst.times), "queries": queries[name]}
    slowest = min(figures.values(), key=lambda page: page["per_second"])
    return {
        "rows_per_second": slowest["per_second"],
        **{name: slowest[name] for name in ("p50_ms", "p95_ms", "p99_ms")},
        "peak_mb": memory.peak_mb,
        "floor_per_second": floor.per_second,
        "ratio": round(slowest["per_second"] / floor.per_second, 3),
        "pages": figures,
    }


def _ask(port: int, requests: Sequence[bench.Request]) -> bench.Burst:
    """Every page once to warm up, then over and over."""
    bench.throughput(port, requests, connections=1, seconds=SECONDS).require(200, 302)
    return bench.throughput(port, list(requests) * 100, connections=1, seconds=SECONDS).require(200, 302)


def _pages(members: Sequence[Member]) -> dict[str, Callable[[Client, Member], bench.Request]]:
    return {
        "list": lambda client, _member: _get(reverse("admin:members_member_changelist"), client),
        "search": lambda client, member: _post(*_search(member), client),
        "member": lambda client, member: _get(reverse("admin:members_member_change", args=[member.pk]), client),
    }


def _query_count(client: Client, name: str, members: Sequence[Member]) -> int:
    """Of a warm page; the same for everybody who is looked at."""
    counts = set()
    for number, member in enumerate(members):
        with CaptureQueriesContext(connection) as captured:
            if name == "list":
                client.get(reverse("admin:members_member_changelist"))
            elif name == "search":
                client.post(*_search(member))
            else:
                client.get(reverse("admin:members_member_change", args=[member.pk]))
        if number:
            counts.add(len(captured))
    if len(counts) != 1:
        raise RuntimeError(f"the page {name} takes {sorted(counts)} queries, depending on the member")
    return counts.pop()


def _members() -> list[Member]:
    """Half of the ones who buy most, half of all who bought."""
    bought = list(
        OrderLine.objects.exclude(member=None).order_by("member_id").values_list("member_id", flat=True).distinct()
    )
    step = max(1, len(bought) * 2 // LOOKED_AT)
    return list(Member.objects.filter(pk__in=[*bought[: LOOKED_AT // 2], *bought[::step]]).order_by("pk"))


def _search(member: Member) -> tuple[str, dict[str, str]]:
    return reverse("admin:members_member_search"), {"q": f"{filling.MOBILE_BLOCK}{member.pk:08d}"}


def _client(user: User) -> Client:
    client = Client(HTTP_HOST="localhost")
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    client.cookies[settings.CSRF_COOKIE_NAME] = CSRF
    return client


def _get(path: str, client: Client) -> bench.Request:
    return bench.Request.of("GET", path, headers=_headers(client))


def _post(path: str, values: dict[str, str], client: Client) -> bench.Request:
    headers = _headers(client) | {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": CSRF}
    return bench.Request.of("POST", path, headers=headers, body=urlencode(values).encode())


def _headers(client: Client) -> dict[str, str]:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return {"Cookie": cookies, "Accept-Language": "zh-CN", "Accept": "text/html"}
