"""Simulations in the console: asked for by HQ, read by everybody for her own stores, taken out as text; and in a browser."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect, sync_playwright

from attribution import fairness, rulebook, simulation
from attribution.models import RuleVersion, Simulation
from guides.models import Guide
from scrm import jobs
from scrm.models import Act, Job
from tests.attribution.test_simulation import AT, PERIOD, draft, march, posted_digest, simulate
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.console import Console, console

LIST = "admin:attribution_simulation_changelist"


@pytest.fixture
def company(db: None) -> Console:
    return march(console())


def page_of(found: Simulation) -> str:
    return reverse("admin:attribution_simulation_change", args=(found.pk,))


def asked(company: Console, name: str, **values: Any) -> Any:
    data = {
        "rule": "",
        "mode": "POS_FIRST",
        "first_day": "2026-03-01",
        "last_day": "2026-03-31",
        "budget": "",
        **values,
    }
    return company.client(name).post(reverse("admin:attribution_simulation_new"), data)


def test_hq_asks_and_is_led_to_the_simulation(company: Console) -> None:
    rule = draft(company, mode="SPLIT")
    answer = asked(company, "operator", rule=rule.pk, mode="", budget="1234.56")
    found = Simulation.objects.get()
    assert answer.url == page_of(found)
    assert (found.rule_id, found.mode, found.budget_fen) == (rule.pk, "", 123_456)
    waiting = company.client("operator").get(page_of(found)).content.decode()
    assert 'role="progressbar"' in waiting
    state = company.client("operator").get(reverse("admin:attribution_simulation_state", args=(found.pk,))).json()
    assert (state["is_open"], state["share"]) == (True, 0)
    assert found.job is not None
    jobs.run(found.job.pk)
    page = company.client("operator").get(page_of(found)).content.decode()
    for words in ("现佣金", "试算佣金", "增减分布", "增加最多", "变化最大的订单行", "全部预算", "与试算时一致"):
        assert words in page
    assert f"#{found.pk}" in company.client("operator").get(reverse(LIST)).content.decode() or str(found.pk)


@pytest.mark.parametrize("name", ["region", "franchisee", "manager", "auditor"])
def test_who_may_not_act_on_everything_asks_for_nothing(company: Console, name: str) -> None:
    assert asked(company, name).status_code == 403
    assert not Simulation.objects.exists()


def test_a_period_without_sense_comes_back_with_its_reason(company: Console) -> None:
    answer = asked(company, "hq", first_day="2026-04-01")
    assert answer.status_code == 400
    assert "结束日期早于开始日期" in answer.content.decode()
    assert not Simulation.objects.exists()


def test_a_part_of_the_organisation_sees_its_own_stores(company: Console) -> None:
    found = simulate(company, mode="POS_FIRST")
    page = company.client("franchisee").get(page_of(found)).content.decode()
    assert "陈静" in page  # F1's own
    assert "李娜" not in page  # S2's
    assert "王芳" not in page  # S1's
    assert "全部预算" not in page
    empty = company.client("franchisee_b").get(page_of(found)).content.decode()
    assert "您的门店没有已付款的订单行" in empty
    for by in ("store", "region", "entity", "channel"):
        shown = company.client("region").get(page_of(found), {"by": by}).content.decode()
        assert "S2店" not in shown


def test_only_who_may_export_takes_the_table_out_and_it_is_an_act(company: Console) -> None:
    Guide.objects.filter(code="G00003").update(name="=HYPERLINK(1)")
    found = simulate(company, mode="POS_FIRST")
    url = reverse("admin:attribution_simulation_export", args=(found.pk, "guide"))
    assert company.client("operator").post(url).status_code == 403
    assert company.client("hq").get(url).status_code == 405
    answer = company.client("hq").post(url)
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][:2] == ["编码", "导购或池"]
    by_code = {row[0]: row for row in rows[1:]}
    assert by_code["G00003"][1] == "'=HYPERLINK(1)"
    assert by_code["G00002"][7] == "-23.33"  # a negative number stays one
    assert Act.objects.get(verb="simulation.export").data == {"by": "guide", "rows": len(rows) - 1}
    lines = company.client("hq").post(reverse("admin:attribution_simulation_export", args=(found.pk, "lines")))
    text = lines.content.decode("utf-8-sig")
    assert "获得者：专属关系" in text and "获得者：收银导购" in text
    assert (
        company.client("hq").post(reverse("admin:attribution_simulation_export", args=(found.pk, "x"))).status_code
        == 302
    )


def test_cancelling(company: Console) -> None:
    found = simulation.start(actor=company.staff["hq"], mode="SPLIT", **PERIOD)
    url = reverse("admin:attribution_simulation_cancel", args=(found.pk,))
    assert company.client("region").post(url).status_code == 403
    company.client("operator").post(url)
    assert Job.objects.get(simulation=found).status == Job.Status.CANCELLED
    assert "已取消" in company.client("hq").get(page_of(found)).content.decode()


def test_the_publisher_is_told_what_was_simulated(company: Console) -> None:
    rule = draft(company, mode="SPLIT")
    url = reverse("admin:attribution_ruleversion_act", args=(rule.pk, "publish"))
    assert "从未试算过" in company.client("operator").get(url).content.decode()
    simulate(company, rule_id=rule.pk)
    assert "草稿与试算时一致" in company.client("operator").get(url).content.decode()
    RuleVersion.objects.filter(pk=rule.pk).update(late_link_days=3)
    assert "请重新试算" in company.client("operator").get(url).content.decode()
    assert (
        "science"
        in company.client("operator")
        .get(reverse("admin:attribution_ruleversion_change", args=(rule.pk,)))
        .content.decode()
    )


# --- in a browser ---


@pytest.fixture
def page(transactional_db: None, live_server: Any) -> Iterator[Page]:
    """A browser of this test alone, with HQ logged in."""
    found = march(console())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900})
        session = found.client("hq").cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        tab = context.new_page()
        tab.set_default_timeout(30_000)
        yield tab
        browser.close()


def test_drawn_and_readable_on_a_screen_and_on_a_phone(page: Page, tmp_path: Path) -> None:
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    before = posted_digest()
    rule = rulebook.draft_from(
        version_id=RuleVersion.objects.get(number=1).pk,
        name="收银优先草稿",
        actor=RuleVersion.objects.get(number=1).author,
    )
    RuleVersion.objects.filter(pk=rule.pk).update(mode="POS_FIRST")
    page.goto(f"/admin/attribution/ruleversion/{rule.pk}/change/")
    page.locator('a[href*="simulation/new/"]').first.click()
    page.fill("input[name=first_day]", "2026-03-01")
    page.fill("input[name=last_day]", "2026-03-31")
    page.locator("#simulation-form button[type=submit]").click()
    expect(page.locator("#job .scrm-progress")).to_be_visible()
    jobs.run(Simulation.objects.get().job_id)  # type: ignore[arg-type]
    expect(page.locator("#simulation-result")).to_be_visible()
    expect(page.locator("#chart-distribution canvas")).to_have_count(1)
    page.screenshot(path=tmp_path / "simulation.png", full_page=True)
    page.locator("details.scrm-change summary").nth(1).click()
    expect(page.get_by_text("获得者：收银导购 张敏（G00004）").first).to_be_visible()
    page.goto(f"/admin/attribution/ruleversion/{rule.pk}/act/publish/")
    expect(page.get_by_text("草稿与试算时一致")).to_be_visible()
    assert posted_digest() == before
    fairness.recount()
    day = AT.date().isoformat()
    page.goto(f"/admin/attribution/fairnessday/?first={day}&last={(AT.date() + dt.timedelta(days=3)).isoformat()}")
    expect(page.locator("#unexplained b")).to_have_text("0")
    expect(page.locator("#chart-winners canvas")).to_have_count(1)
    page.screenshot(path=tmp_path / "fairness.png", full_page=True)
    page.get_by_role("link", name="C3 专属关系").click()
    expect(page.get_by_role("link", name="原因").first).to_be_visible()
    for name, url in (
        ("simulation", page_of(Simulation.objects.get())),
        ("fairness", f"/admin/attribution/fairnessday/?first={day}&last={day}"),
    ):
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(url)
        page.wait_for_timeout(500)
        page.screenshot(path=tmp_path / f"{name}-phone.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 391, name
    assert trouble == []
