"""The pages of flash sales and group buys on a telephone: nothing is wider than the screen, and the board says how far it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect, sync_playwright

from campaigns.communities import group_buys
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories import sales as make
from tests.factories.console import Console, console
from tests.flows.test_console import PASSWORD, log_in


@pytest.fixture
def company(transactional_db: None) -> Console:
    found = console()
    found.staff["hq"].set_password(PASSWORD)
    found.staff["hq"].save()
    row = make.sale(found.shops, {"S1": 20, "S2": 5, "F1": 1}, kind="GROUP", terms="到店自提，凭订单号领取，先到先得。")
    said = make.wants(row, found.shops.stores["S1"], found.shops.members["安琪"])
    group_buys.open_team(said=said, now=timezone.now())
    make.asked(found.shops, {"S1": 3})
    return found


@pytest.fixture
def page(company: Console, live_server: Any) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 390, "height": 844})
        found = context.new_page()
        found.set_default_timeout(20_000)
        yield found
        browser.close()


def test_the_pages_of_a_sale_fit_a_telephone(page: Page) -> None:
    log_in(page)
    page.goto("/admin/campaigns/sale/")
    page.wait_for_load_state("networkidle")
    pages = [page.locator("#result_list tbody a").nth(n).get_attribute("href") for n in range(2)]
    others = [
        "/admin/campaigns/sale/",
        "/admin/campaigns/sale/new/",
        "/admin/campaigns/team/",
        "/admin/campaigns/reservation/",
    ]
    for number, address in enumerate([*pages, *others]):
        assert address is not None
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
        if os.environ.get("SHOTS"):
            page.screenshot(path=f"{os.environ['SHOTS']}/sale{number}.png", full_page=True)
    page.goto(str(pages[1]))
    expect(page.locator("#sale-board tbody tr")).to_have_count(3)
    expect(page.get_by_text("距结束")).to_be_visible()
