"""HQ finds its customers in a real browser: build a rule, see the count, save it, ask why she is in it, freeze it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect, sync_playwright

from members import facts
from members.models import Audience, AudienceSnapshot, Identity, SnapshotMember
from tests.campaigns.planning import entry
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.console import Console, console
from tests.flows.test_console import PASSWORD, ask, log_in

DAY = dt.timedelta(days=1)


@pytest.fixture
def company(transactional_db: None) -> Console:
    """安琪 has bought twice, 白鹭 and 付雪 once; 安琪 is tagged 老客 like everybody, and 宝妈 alone."""
    found = console()
    found.staff["hq"].set_password(PASSWORD)
    found.staff["hq"].save()
    now = timezone.now()
    found.shops.line("again", member="安琪", store="S1", paid_fen=25_000, at=now - 40 * DAY)
    facts.refresh_all(now=now)
    return found


@pytest.fixture
def page(company: Console, live_server: Any) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900})
        found = context.new_page()
        found.set_default_timeout(20_000)
        yield found
        browser.close()


def test_build_count_save_ask_and_freeze(page: Page, company: Console) -> None:
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    log_in(page)
    page.goto("/admin/members/audience/new/")
    count = page.locator("#rule-count")
    expect(count).to_contain_text("请添加第一个条件")
    page.fill("input[name=name]", "老客宝妈")

    # by keyboard: the new condition has the focus, its field is chosen by its value
    page.get_by_role("button", name="添加条件", exact=False).first.press("Enter")
    page.locator(".scrm-rule-field").first.select_option("orders_count")
    page.locator(".scrm-rule-values input").first.fill("2")
    expect(count).to_contain_text("1位会员", use_inner_text=True)
    page.locator(".scrm-rule-values input").first.fill("")
    expect(page.locator(".scrm-rule-row .scrm-rule-error")).to_contain_text("整数")  # at its place, in Chinese
    page.locator(".scrm-rule-values input").first.fill("1")
    expect(count).to_contain_text("3位会员", use_inner_text=True)

    # a group with purchases in a window, or a tag
    page.get_by_role("button", name="添加条件组").first.click()
    row = page.locator(".scrm-rule-group .scrm-rule-group .scrm-rule-row").first
    row.locator(".scrm-rule-field").select_option("purchases")
    row.get_by_label("统计口径").select_option("fen")
    row.get_by_label("值", exact=True).last.fill("200.50")
    expect(count).to_contain_text("0位会员", use_inner_text=True)
    row.get_by_label("值", exact=True).first.fill("60")
    expect(count).to_contain_text("1位会员", use_inner_text=True)

    page.get_by_role("button", name="保存").click()
    expect(page.locator("#audience-count")).to_contain_text("1")
    saved = ask(Audience.objects.get)
    assert saved.rule["of"][1]["of"][0] == {
        "field": "purchases", "is": "gte", "measure": "fen", "days": 60, "value": 20_050,
    }  # fmt: skip
    expect(page.get_by_text("净额 大于等于 ¥200.50")).to_be_visible()

    card = ask(lambda: Identity.objects.get(member=company.shops.members["安琪"], kind="CARD").value)
    page.get_by_placeholder("会员卡号或手机号").fill(card)
    page.get_by_role("button", name="为什么在里面？").click()
    expect(page.locator("#why")).to_contain_text("在人群里")
    expect(page.locator("#why")).to_contain_text(
        "¥330.00"
    )  # what she has bought in the window, net of her refund… and more
    page.go_back()

    page.get_by_role("button", name="冻结为快照").click()
    expect(page.locator("#snapshot-count")).to_contain_text("1")
    snapshot = ask(AudienceSnapshot.objects.get)
    assert snapshot.status == "READY" and snapshot.member_count == 1
    assert ask(lambda: SnapshotMember.objects.get().member_id) == company.shops.members["安琪"].pk
    assert trouble == []


def test_the_builder_fits_a_phone_and_keeps_what_was_typed_when_it_is_refused(page: Page, company: Console) -> None:
    ask(
        lambda: Audience.objects.create(
            brand=company.shops.brand, name="已有", rule={"field": "first_on", "is": "known"}
        )
    )
    log_in(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/admin/members/audience/new/")
    page.fill("input[name=name]", "已有")
    page.get_by_role("button", name="添加条件", exact=False).first.click()
    page.locator(".scrm-rule-field").first.select_option("spend_fen")
    page.locator(".scrm-rule-values input").first.fill("99.90")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("alert").first).to_contain_text("同名")
    expect(page.locator("input[name=name]")).to_have_value("已有")
    expect(page.locator(".scrm-rule-values input").first).to_have_value("99.90")


def focused(page: Page) -> str:
    """The day that has the focus, and what of it: its number, or an entry's title."""
    return str(
        page.evaluate("document.activeElement.closest('td').dataset.day + ' ' + document.activeElement.innerText")
    )


def test_the_month_of_the_calendar_by_its_arrow_keys(page: Page, company: Console) -> None:
    """Days by left and right, from Sunday on to Monday; a day's entries, then the week below, by down; Enter opens."""
    starts_on = dt.date(2027, 3, 1)
    ask(lambda: [entry(title=title, weekdays=[7], starts_on=starts_on) for title in ("到货日", "会员日")])
    log_in(page)
    page.goto("/admin/campaigns/calendarentry/calendar/?view=month&on=2027-03-10")
    page.locator('td[data-day^="3月6日"] .scrm-cal-date').focus()
    for key, expected in (
        ("ArrowRight", "3月7日 星期日 7"), ("ArrowDown", "3月7日 星期日 到货日"), ("ArrowDown", "3月7日 星期日 会员日"),
        ("ArrowUp", "3月7日 星期日 到货日"), ("ArrowUp", "3月7日 星期日 7"), ("ArrowRight", "3月8日 星期一 8"),
        ("ArrowLeft", "3月7日 星期日 7"), ("ArrowLeft", "3月6日 星期六 6"), ("ArrowDown", "3月13日 星期六 13"),
        ("ArrowRight", "3月14日 星期日 14"), ("ArrowDown", "3月14日 星期日 到货日"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert focused(page) == expected
    page.keyboard.press("Enter")
    expect(page.locator("input[name=title]")).to_have_value("到货日")
