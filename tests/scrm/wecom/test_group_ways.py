"""Codes of groups are counted by rows of ours: WeCom lists them nowhere, and a lost answer leaves one that nobody finds."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from scrm.models import GroupWay
from scrm.wecom import client, errors, join_ways
from scrm.wecom.sandbox import groups as life
from tests.factories.wecom import Wired

ADD = "externalcontact/groupchat/add_join_way"


@pytest.fixture
def way(sandbox: Wired) -> join_ways.JoinWay:
    sandbox.world.add_member("guide_0001", "林晓")
    return join_ways.JoinWay(
        [life.make(sandbox.world, "guide_0001", "福利群").chat_id], remark="南山店1群", state="j:1"
    )


def rows() -> list[tuple[str, str | None, str]]:
    return list(GroupWay.objects.order_by("pk").values_list("status", "config_id", "error_code"))


def test_one_that_is_made_counts_until_it_is_deleted(sandbox: Wired, way: join_ways.JoinWay) -> None:
    config_id = join_ways.add(sandbox.app, way)
    assert rows() == [("LIVE", config_id, "")]
    assert join_ways.used(sandbox.corp) == 1 and join_ways.lost(sandbox.corp, now=timezone.now()) == 0
    join_ways.delete(sandbox.app, config_id)
    assert rows() == [("GONE", config_id, "")] and join_ways.used(sandbox.corp) == 0


def test_a_lost_answer_counts_as_used_and_is_not_asked_again(sandbox: Wired, way: join_ways.JoinWay) -> None:
    sandbox.faults.add("lose", ADD, times=1)
    with pytest.raises(errors.Unreachable):
        join_ways.add(sandbox.app, way)
    assert sandbox.box.counts[ADD] == 1
    assert rows() == [("LOST", None, "wecom_unreachable")]
    assert join_ways.used(sandbox.corp) == join_ways.lost(sandbox.corp, now=timezone.now()) == 1
    assert join_ways.compare(sandbox.app, most=100) == 0 and join_ways.used(sandbox.corp) == 1


def test_one_that_is_refused_leaves_nothing(sandbox: Wired, way: join_ways.JoinWay) -> None:
    sandbox.faults.add("code", ADD, code=41045, times=1)
    with pytest.raises(errors.QuotaExhausted):
        join_ways.add(sandbox.app, way)
    assert rows() == []


def test_whoever_dies_while_asking_leaves_one_that_counts(
    sandbox: Wired, way: join_ways.JoinWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(client, "call", lambda *_: (_ for _ in ()).throw(Killed))
        join_ways.add(sandbox.app, way)
    now = timezone.now()
    assert rows() == [("MAKING", None, "")] and join_ways.used(sandbox.corp) == 1
    assert join_ways.lost(sandbox.corp, now=now) == 0  # it may still be under way
    assert join_ways.lost(sandbox.corp, now=now + dt.timedelta(minutes=11)) == 1


def test_one_deleted_elsewhere_no_longer_counts(sandbox: Wired, way: join_ways.JoinWay) -> None:
    kept, other = join_ways.add(sandbox.app, way), join_ways.add(sandbox.app, way)
    client.call(sandbox.app, join_ways._DELETE, {"config_id": other})  # by another app of the company
    assert [join_ways.compare(sandbox.app, most=1) for _turn in range(2)] == [0, 1]
    assert rows() == [("LIVE", kept, ""), ("GONE", other, "")] and join_ways.used(sandbox.corp) == 1
