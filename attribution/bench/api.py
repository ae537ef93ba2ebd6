"""The guide API under load, beside a view that returns a constant through the same middleware.

``ratio`` is what the guides' screens reach of the constant view's requests per second. The percentiles are those at half of
the screens' own capacity, counted from the moment each request was due; ``at_half_constant`` those at half of the constant
view's: where ``ratio`` is below one half that is more than there is to give, and they only say how long the queue grew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from attribution import decisions
from attribution.bench.filling import UNTIL
from guides.models import Guide
from scrm import bench
from scrm.api import authentication
from scrm.owner import as_owner

DEVICES = 400  # guides who are at work
SEED = 7
CONNECTIONS = 8
SECONDS = 8.0
REQUESTS = 12_000  # more than a load of SECONDS gets through
MONTH = f"{UNTIL:%Y-%m}"
# what a guide opens in a day: her list most of all
MIX = {
    "members": 40,
    "members?name=%E7%8E%8B": 5,
    "members?not_bought_for_days=180": 5,
    "members/{member}": 20,
    "today": 10,
    "me": 10,
    f"commission?month={MONTH}": 5,
    f"commission/lines?month={MONTH}": 5,
}


def api(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Scenario ``api``; figures per screen come with those of the mix."""
    bench.fill(rows=rows, say=say)
    say("deciding the lines")
    decisions.decide_open()
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    people = _devices()
    with bench.web() as address:
        _warm_up(address.port, people)
        say("a constant")
        floor = bench.throughput(
            address.port, [bench.Request.of("GET", "/bench/constant")], connections=CONNECTIONS, seconds=SECONDS
        ).require(200)
        say("the mix, as much as it takes")
        top = _load(address.port, list(MIX.items()), people)
        say("the mix at half of the constant's capacity, then at half of its own")
        paced = _pace(address.port, floor.per_second / 2, people)
        calm = _pace(address.port, top.per_second / 2, people)
        screens = {}
        for screen in MIX:
            say(screen)
            screens[screen] = _load(address.port, [(screen, 1)], people, seconds=SECONDS / 2).per_second
    return {
        "requests_per_second": top.per_second,
        "constant_per_second": floor.per_second,
        "ratio": round(top.per_second / floor.per_second, 3),
        "paced_per_second": calm.per_second,
        **bench.percentiles(calm.times),
        "at_half_constant": {"per_second": paced.per_second, **bench.percentiles(paced.times)},
        "screens_per_second": screens,
    }


def _devices() -> list[tuple[str, list[int]]]:
    """(token, some of her members) of guides at work."""
    found = []
    now = timezone.now()
    for guide in Guide.objects.select_related("user").order_by("pk")[:DEVICES]:
        with transaction.atomic():
            _token, text = authentication.issue(user=guide.user, device="bench-device", now=now)
        members = guide.binding_set.filter(ended_at=None).order_by("member_id").values_list("member_id", flat=True)[:20]
        if members:
            found.append((text, list(members)))
    return found


def _requests(mix: list[tuple[str, int]], people: list[tuple[str, list[int]]], count: int) -> list[bench.Request]:
    rng = random.Random(SEED)  # noqa: S311  the same load every time
    screens, weights = zip(*mix, strict=True)
    requests = []
    for screen in rng.choices(screens, weights, k=count):
        token, members = rng.choice(people)
        path = f"/api/guide/{screen.format(member=rng.choice(members))}"
        requests.append(bench.Request.of("GET", path, headers={"Authorization": f"Bearer {token}"}))
    return requests


def _load(
    port: int, mix: list[tuple[str, int]], people: list[tuple[str, list[int]]], *, seconds: float = SECONDS
) -> bench.Burst:
    requests = _requests(mix, people, REQUESTS)
    return bench.throughput(port, requests, connections=CONNECTIONS, seconds=seconds).require(200)


def _pace(port: int, per_second: float, people: list[tuple[str, list[int]]]) -> bench.Burst:
    requests = _requests(list(MIX.items()), people, int(per_second * SECONDS * 1.5) + 100)
    return bench.pace(port, requests, per_second=per_second, seconds=SECONDS).require(200)


def _warm_up(port: int, people: list[tuple[str, list[int]]]) -> None:
    _load(port, list(MIX.items()), people)  # plans and pages of a million rows are cold at first
