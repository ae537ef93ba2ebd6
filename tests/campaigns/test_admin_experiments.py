"""Experiments in the console: drafted, planned, started, read; the page says in words what was found."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns import experiments
from campaigns.experiments import reading
from campaigns.models import Experiment, Look
from scrm import jobs
from tests.campaigns.test_experiments import NOW, people, seeded
from tests.factories.console import Console, console

ASKED = {
    "name": "五一回访",
    "arms": "",
    "holdout": "20",
    "window_days": "14",
    "cost": "0.50",
    "margin": "40",
    "relevant": "10",
}


@pytest.fixture
def company(db: None) -> Console:
    return console()


def page_of(row: Experiment) -> str:
    return reverse("admin:campaigns_experiment_change", args=(row.pk,))


def act(row: Experiment, name: str) -> str:
    return reverse("admin:campaigns_experiment_act", args=(row.pk, name))


def text_of(company: Console, row: Experiment, **query: Any) -> str:
    return str(company.client("hq").get(page_of(row), query).content.decode())


def run_job(row: Experiment) -> None:
    row.refresh_from_db()
    assert row.job is not None
    jobs.run(row.job.pk)
    row.refresh_from_db()


def test_from_draft_to_a_look(company: Console) -> None:
    people(company.shops.brand, 120)
    hq = company.client("hq")
    answer = hq.post(reverse("admin:campaigns_experiment_new"), {**ASKED, "arms": "短信， 企微"})
    row = Experiment.objects.get()
    assert answer.url == page_of(row)
    assert list(row.arms.order_by("number").values_list("name", "weight_bp")) == [
        ("对照组", 2000),
        ("短信", 4000),
        ("企微", 4000),
    ]
    assert (row.cost_fen, row.margin_bp, row.window_days) == (50, 4000, 14)
    assert "测算实验" in text_of(company, row)
    assert act(row, "start") not in text_of(company, row)  # not before it is known what it can find
    run_job(row)
    page = text_of(company, row)
    assert "这个实验能看出多大的差异" in page and act(row, "start") in page
    hq.post(act(row, "start"))
    run_job(row)
    assert row.status == "RUNNING"
    assert act(row, "start") not in text_of(company, row)
    hq.post(act(row, "look"))
    run_job(row)
    page = text_of(company, row)
    assert "各组人数与计划比例" in page and "这是计划结束前的第 1 次查看" in page
    assert Look.objects.get().taken_by == company.staff["hq"]
    listed = hq.get(reverse("admin:campaigns_experiment_changelist")).content.decode()
    assert "五一回访" in listed


def test_the_page_finds_a_seeded_effect_and_says_what_it_is_worth(company: Console) -> None:
    row = seeded(company.shops.brand)
    experiments.look(experiment_id=row.pk, actor=company.staff["hq"], now=NOW + dt.timedelta(days=3))
    experiments.look(experiment_id=row.pk, actor=None, now=NOW + dt.timedelta(days=15))
    page = text_of(company, row)
    for words in (
        "与对照组相比，购买会员占比在“活动组”高", "多带来", "增量成交额", "归因成交额", "毛利减成本", "划算", "护栏指标",
        "删除导购的会员占比", "只以它为准", "<svg", "相符", "CUPED",
    ):  # fmt: skip
        assert words in page, words
    assert "没有效果" not in page.split('id="experiment-guards"')[0]
    assert "这是计划结束前的第 1 次查看" in text_of(company, row, look="1")
    chart = company.client("hq").get(page_of(row)).context["chart"]
    conversion = chart["bars"][0]
    assert (
        conversion.verdict == "GAIN"
        and chart["zero"] < conversion.low < conversion.point < conversion.high <= chart["width"]
    )


def test_a_broken_ratio_shows_nothing_else(company: Console) -> None:
    row = seeded(company.shops.brand, count=200)
    metric = reading.Metric("conversion", reading.Kind.SHARE)
    arms = [
        reading.Arm(number, name, 5000, count, {"conversion": reading.Moments(count, 100, 100)})
        for number, name, count in ((0, "对照组", 5000), (1, "活动组", 4000))
    ]
    report = reading.read(arms=arms, metrics=[metric], terms=reading.Terms())
    now = timezone.now()
    Look.objects.create(
        experiment=row, number=1, taken_at=now, until=now, is_final=True, content=reading.as_json(report)
    )
    page = text_of(company, row)
    assert "分组不只由随机决定" in page and "不符" in page
    for words in ("experiment-findings", "experiment-guards", "experiment-money", "<svg"):
        assert words not in page


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"holdout": "0"}, "holdout"), ({"holdout": "95"}, "holdout"), ({"window_days": "0"}, "window_days"), ({"name": ""}, "name"),
        ({"arms": "甲,甲"}, "各组名称不能重复"), ({"arms": ",".join("abcdefgh")}, "最多 6 个名称"), ({"margin": "101"}, "margin"),
    ],
)  # fmt: skip
def test_a_form_without_sense_comes_back(company: Console, wrong: dict[str, str], words: str) -> None:
    answer = company.client("hq").post(reverse("admin:campaigns_experiment_new"), {**ASKED, **wrong})
    assert answer.status_code == 400
    assert words in answer.content.decode() or words in answer.context["form"].errors
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("name", ["region", "franchisee", "manager", "auditor"])
def test_who_may_not_act_on_everything_drafts_and_starts_nothing(company: Console, name: str) -> None:
    row = experiments.draft(brand=company.shops.brand, name="他人", window_days=7, actor=None)
    client = company.client(name)
    assert client.post(reverse("admin:campaigns_experiment_new"), ASKED).status_code == 403
    assert client.post(act(row, "look")).status_code in (403, 404)
    assert Experiment.objects.count() == 1
