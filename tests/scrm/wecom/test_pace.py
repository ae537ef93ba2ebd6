"""How fast and how many at a time, over all workers."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scrm.models import WecomApp, WecomPace
from scrm.wecom import customers, directory, errors, pace
from tests.scrm.wecom.conftest import Request, Wecom, in_threads, refusal

TREE = "department/simplelist"
EMPTY: dict[str, Any] = {"department_id": []}


def slow(_request: Request) -> dict[str, Any]:
    time.sleep(0.05)
    return EMPTY


def row() -> WecomPace:
    return WecomPace.objects.get(path=TREE)


def later(**delta: int) -> None:
    """As if that much time had passed since the block."""
    blocked_until = row().blocked_until
    assert blocked_until is not None
    WecomPace.objects.update(blocked_until=blocked_until - dt.timedelta(**delta))


def wait(error: errors.RateLimited) -> dt.timedelta:
    assert error.retry_at is not None
    return error.retry_at - timezone.now()


def held_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.fetchone()[0]


def test_the_hour_and_the_minute_of_wecom_are_kept() -> None:
    assert pace.BURST_CALLS + 60 * pace.CALLS_PER_SECOND < 10_000
    assert pace.BURST_CALLS + 3600 * pace.CALLS_PER_SECOND < 150_000


def test_calls_at_a_time_stay_below_the_limit_and_every_place_is_given_back(
    transactional_db: None, wecom: Wecom, app: WecomApp
) -> None:
    wecom.on(TREE, slow)
    assert in_threads(12, lambda _n: directory.department_tree(app)) == [[]] * 12
    assert wecom.most_at_once[TREE] == pace.FIRST_PARALLEL
    assert held_locks() == 0


def test_a_place_is_given_back_by_a_worker_that_dies(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, EMPTY)
    directory.department_tree(app)
    WecomPace.objects.update(parallel_limit=1)

    def die(_n: int) -> None:
        with pace.turn(app.corp_id, TREE):
            connection.close()

    assert in_threads(1, die) == [None]
    assert directory.department_tree(app) == []


def test_too_many_at_a_time_halves_them_and_a_quiet_minute_adds_one(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, refusal(45033), EMPTY)
    directory.department_tree(app)
    assert row().parallel_limit == pace.FIRST_PARALLEL // 2
    WecomPace.objects.update(parallel_set_at=timezone.now() - dt.timedelta(seconds=61))
    directory.department_tree(app)
    directory.department_tree(app)
    assert row().parallel_limit == pace.FIRST_PARALLEL // 2 + 1


def test_the_limit_never_reaches_zero(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, refusal(45033))
    for _n in range(5):
        with pytest.raises(errors.Busy):
            directory.department_tree(app)
        WecomPace.objects.update(parallel_set_at=timezone.now() - dt.timedelta(seconds=2))
    assert row().parallel_limit == 1


def test_who_calls_too_fast_waits(wecom: Wecom, app: WecomApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BURST_CALLS", 3.0)
    monkeypatch.setattr(pace, "CALLS_PER_SECOND", 10.0)
    wecom.on(TREE, EMPTY)
    directory.department_tree(app)
    started = time.monotonic()
    for _n in range(6):
        directory.department_tree(app)
    assert 0.25 < time.monotonic() - started < 3


def test_who_would_wait_too_long_is_told_so(wecom: Wecom, app: WecomApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BURST_CALLS", 1.0)
    monkeypatch.setattr(pace, "CALLS_PER_SECOND", 0.01)
    monkeypatch.setattr(pace, "WAIT_SECONDS", 1.0)
    wecom.on(TREE, EMPTY)
    directory.department_tree(app)
    with pytest.raises(errors.RateLimited) as caught:
        directory.department_tree(app)
    assert wait(caught.value) > dt.timedelta(0)
    assert len(wecom.calls(TREE)) == 1


def test_a_frequency_block_stops_this_endpoint_only(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, refusal(45009))
    wecom.on("externalcontact/get_follow_user_list", {"follow_user": ["guide_0001"]})
    for _n in range(3):
        with pytest.raises(errors.RateLimited) as caught:
            directory.department_tree(app)
    assert len(wecom.calls(TREE)) == 1
    left = wait(caught.value)
    assert dt.timedelta(seconds=50) < left <= dt.timedelta(seconds=60)
    assert customers.followers(app) == ["guide_0001"]


def test_a_block_that_comes_again_is_longer(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, refusal(45009))
    lengths = []
    for _n in range(4):
        with pytest.raises(errors.RateLimited) as caught:
            directory.department_tree(app)
        lengths.append(round(wait(caught.value).total_seconds(), -1))
        later(days=1, minutes=30) if lengths[-1] > 3600 else later(seconds=int(lengths[-1]) + 1)
    assert lengths == [60, 3600, 86400, 86400]
    later(hours=2)
    with pytest.raises(errors.RateLimited) as caught:
        directory.department_tree(app)
    assert round(wait(caught.value).total_seconds(), -1) == 60


def test_abnormal_traffic_stops_for_an_hour(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, refusal(45036))
    with pytest.raises(errors.RateLimited) as caught:
        directory.department_tree(app)
    assert wait(caught.value) > dt.timedelta(minutes=59)


def test_answers_that_were_under_way_when_the_block_began_do_not_make_it_longer(
    transactional_db: None, wecom: Wecom, app: WecomApp
) -> None:
    def refused(_request: Request) -> dict[str, Any]:
        time.sleep(0.1)
        return refusal(45009)

    wecom.on(TREE, refused)
    results = in_threads(4, lambda _n: directory.department_tree(app))
    assert {type(result) for result in results} == {errors.RateLimited}
    assert row().block_count == 1
