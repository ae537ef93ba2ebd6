"""What exists at WeCom against our rows: strays and broken codes, and codes for everybody at once."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from guides import contact_ways
from guides.contact_ways import bulk, ledger
from guides.models import ContactWay, StrayWay
from scrm import jobs
from scrm.models import Job
from scrm.wecom import contact_ways as endpoint
from scrm.wecom import errors, join_ways, outbox
from scrm.wecom.sandbox import groups as life
from tests.guides.contact_ways.conftest import Company

HOUR = dt.timedelta(hours=1)


def compare(company: Company) -> dict[str, Any]:
    job = jobs.enqueue(ledger.KIND, actor=None, params={"corp": company.wecom.corp.pk})
    return jobs.run(job.pk).summary


def stray(company: Company, state: str = "old-system-7") -> str:
    made = endpoint.add_single(company.wecom.app, userid="guide_a", state=state, skip_verify=True, remark="旧系统")
    return made.config_id


def test_windows_cover_the_time_without_a_gap() -> None:
    now = timezone.now()
    pieces = list(ledger.windows(now))
    assert pieces[0][1] > now and pieces[-1][0] == ledger.FIRST
    assert all(older[1] == newer[0] for newer, older in itertools.pairwise(pieces))
    assert all(until - since <= ledger.WINDOW for since, until in pieces)


def test_a_code_that_no_row_names_is_shown_once_and_deleted_by_a_person(company: Company) -> None:
    company.make()
    config_id = stray(company)
    assert compare(company) == {
        "listed": 2, "strays": 1, "missing": 0, "returned": 0, "group_ways": 0, "group_ways_gone": 0,
        "group_ways_not_comparable": 0,
    }  # fmt: skip
    assert compare(company)["strays"] == 1
    row = StrayWay.objects.get()
    assert (row.config_id, row.state, row.remark, row.userids, row.way) == (
        config_id,
        "old-system-7",
        "旧系统",
        ["guide_a"],
        None,
    )
    with pytest.raises(contact_ways.WrongState):
        ledger.adopt(stray=row, actor=None, now=timezone.now())
    ledger.delete(stray=row, actor=None, now=timezone.now(), reason="旧系统停用")
    company.send()
    row.refresh_from_db()
    assert row.status == "DELETED" and config_id not in company.wecom.world.ways
    assert compare(company)["strays"] == 0


def test_a_code_whose_making_was_lost_is_taken_over_by_its_row(company: Company) -> None:
    way = company.draft()
    config_id = stray(company, way.state)
    compare(company)
    row = StrayWay.objects.get()
    assert row.way == way
    ledger.adopt(stray=row, actor=None, now=timezone.now())
    company.send()
    way.refresh_from_db()
    assert (way.status, way.config_id) == ("LIVE", config_id)
    assert company.wecom.world.ways[config_id].remark == "王芳"
    assert compare(company)["strays"] == 0


def test_a_code_deleted_elsewhere_is_called_broken_and_comes_back_with_it(company: Company) -> None:
    way = company.make()
    kept = company.wecom.world.ways.pop(way.config_id or "")
    ContactWay.objects.update(live_at=timezone.now() - 2 * HOUR)
    assert compare(company)["missing"] == 1
    way.refresh_from_db()
    assert way.missing_at is not None
    company.wecom.world.ways[way.config_id or ""] = kept
    assert compare(company)["returned"] == 1


def test_a_stray_one_that_somebody_else_deleted_is_closed(company: Company) -> None:
    company.wecom.world.ways.pop(stray(company), None)
    stray(company)
    compare(company)
    company.wecom.world.ways.clear()
    compare(company)
    assert StrayWay.objects.get().status == "GONE"


def test_codes_of_groups_count_and_the_report_says_which_cannot_be_compared(company: Company, client: Client) -> None:
    chat_id = life.make(company.wecom.world, "guide_a", "福利群").chat_id
    path = "externalcontact/groupchat/add_join_way"
    join_ways.add(company.wecom.app, join_ways.JoinWay([chat_id]))
    company.wecom.faults.add("lose", path, times=1)
    with pytest.raises(errors.Unreachable):
        join_ways.add(company.wecom.app, join_ways.JoinWay([chat_id]))
    company.make()
    assert bulk.quota_used(company.wecom.corp) == 3
    found = compare(company)
    assert (found["group_ways"], found["group_ways_not_comparable"], found["strays"]) == (2, 1, 0)
    client.force_login(company.shops.staff["hq"])
    page = client.get("/admin/guides/strayway/").content.decode()
    assert "2 个入群码" in page and "1 个" in page and "2021-07-10" in page


def test_one_comparison_a_day(company: Company) -> None:
    now = timezone.now()
    for _again in range(2):
        assert ledger.start(now=now) == 1
    assert Job.objects.filter(kind=ledger.KIND).count() == 1


# --- bulk -------------------------------------------------------------------------------------------------------------


def test_the_preview_says_who_gets_one_and_who_cannot(company: Company) -> None:
    company.make("A")
    company.shops.guides["B"].wecom_userid = None
    company.shops.guides["B"].save()
    everybody = bulk.preview(corp=company.wecom.corp, store_ids=None)
    assert (everybody.guides, everybody.to_make, everybody.existing, everybody.without_account) == (4, 2, 1, 1)
    assert everybody.some_without_account == ("李娜 G00002",)
    assert (everybody.quota_used, everybody.is_possible) == (1, True)
    here = bulk.preview(corp=company.wecom.corp, store_ids=[company.shops.stores["S1"].pk])
    assert (here.guides, here.to_make) == (2, 1)


def test_everybody_gets_one_code_however_often_it_runs(company: Company) -> None:
    job = bulk.start(corp=company.wecom.corp, store_ids=None, skip_verify=True, actor=None)
    assert jobs.run(job.pk).summary == {"ways": 4}
    outbox.send_due(now=timezone.now())
    assert set(ContactWay.objects.values_list("status", flat=True)) == {"LIVE"}
    assert {way.state for way in company.wecom.world.ways.values()} == set(
        ContactWay.objects.values_list("state", flat=True)
    )
    with pytest.raises(contact_ways.BadWay):
        bulk.start(corp=company.wecom.corp, store_ids=None, skip_verify=True, actor=None)
    again = jobs.enqueue(bulk.KIND, actor=None, params=job.params)
    assert jobs.run(again.pk).summary == {"ways": 0}
    assert len(company.wecom.world.ways) == 4


def test_a_run_beyond_the_quota_is_refused_before_anything_is_made(company: Company, monkeypatch: Any) -> None:
    monkeypatch.setattr(settings, "WECOM_WAY_QUOTA", 3)
    with pytest.raises(contact_ways.BadWay):
        bulk.start(corp=company.wecom.corp, store_ids=None, skip_verify=True, actor=None)
    assert not ContactWay.objects.exists() and not Job.objects.filter(kind=bulk.KIND).exists()
