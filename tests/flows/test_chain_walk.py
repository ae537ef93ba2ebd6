"""A chain order in a real browser: published, joined by form and out of the chat, changed, cancelled, closed, paid, handed over, explained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from attribution import decisions
from attribution.models import Decision
from campaigns.models import ChainOrder, ChainPerson
from members.models import OrderLine
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories import shops as factory
from tests.factories.shops import Shops, mobile
from tests.flows.test_console import PASSWORD, ask
from tests.flows.test_send_walk import person

TEXT = "#接龙\n周末榴莲团\n\n2. 李姐 草莓3盒\n3. 老周 猫山王1个 自提\n4. 钱姐 西瓜1个\n哈哈太香了"


@pytest.fixture
def company(transactional_db: None) -> Shops:
    found = factory.shops()
    user = found.staff["hq"]
    user.set_password(PASSWORD)
    user.save()
    return found


@pytest.fixture
def chromium(company: Shops) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield found
        found.close()


def test_from_the_offer_to_the_commission(chromium: Browser, company: Shops, live_server: Any, settings: Any) -> None:
    settings.PUBLIC_URL = live_server.url
    hq = person(chromium, live_server.url, "hq")
    trouble: list[str] = []
    hq.on("pageerror", lambda error: trouble.append(str(error)))
    hq.goto("/admin/campaigns/chainorder/")
    hq.get_by_role("link", name="新建接龙").click()
    hq.fill("input[name=title]", "周末榴莲团")
    hq.select_option("select[name=leader]", label="王芳 G00001")
    hq.select_option("select[name=pickup_store]", str(company.stores["S1"].pk))
    for place, (name, price, count, unit) in enumerate(
        (("猫山王榴莲", "268", "3", "个"), ("丹东草莓", "39.9", "10", "盒"))
    ):
        for field, value in (
            ("name", name),
            ("price", price),
            ("count", count),
            ("unit", unit),
            ("aliases", name[:3] if not place else "草莓"),
        ):
            hq.fill(f"input[name=i{place}-{field}]", value)
    hq.get_by_role("button", name="发布").click()
    expect(hq.get_by_text("还没有人接龙")).to_be_visible()
    board = hq.url

    phone = chromium.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN").new_page()
    link = hq.locator(".scrm-facts a").get_attribute("href") or ""
    phone.goto(link)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_label("猫山王榴莲").fill("2")
    phone.fill("input[name=name]", "王姐")
    phone.get_by_role("button", name="接龙").click()
    expect(phone.get_by_text("请填写手机号")).to_be_visible()
    phone.fill("input[name=mobile]", mobile(90_031))
    phone.get_by_role("button", name="接龙").click()
    expect(phone.locator(".chain-code")).to_be_visible()
    code = phone.locator(".chain-code").inner_text()

    hq.goto(board)
    expect(hq.locator("#chain-people")).to_contain_text("王姐")
    hq.get_by_role("link", name="粘贴群聊文字").click()
    hq.fill("textarea[name=text]", TEXT)
    hq.get_by_role("button", name="识别").click()
    expect(hq.locator("#chain-unread")).to_contain_text("钱姐 西瓜1个")
    assert ask(ChainPerson.objects.count) == 1  # shown, not saved
    hq.get_by_role("button", name="保存这些行").click()
    expect(hq.locator("#chain-saved")).to_contain_text("已保存 2 行")

    phone.get_by_label("猫山王榴莲").fill("1")  # she edits hers
    phone.get_by_role("button", name="保存修改").click()
    expect(phone.locator(".chain-mine")).to_contain_text("×1")
    hq.goto(f"{board.removesuffix('change/')}paste/")
    hq.fill("textarea[name=text]", "李姐：不要了")
    hq.get_by_role("button", name="识别").click()
    expect(hq.locator("#chain-plan")).to_contain_text("取消")
    hq.get_by_role("button", name="保存这些行").click()
    expect(hq.locator("#chain-saved")).to_contain_text("已保存 1 行")

    hq.goto(board)
    hq.get_by_role("link", name="截止接龙").click()
    hq.get_by_role("button", name="确认", exact=True).click()
    expect(hq.get_by_text("接龙已截止").first).to_be_visible()
    phone.reload()
    expect(phone.get_by_text("已经截止")).to_be_visible()
    hq.get_by_role("link", name="提货单").click()
    table = hq.locator("#pickup-list")
    expect(table).to_contain_text("王姐")
    expect(table).to_contain_text("老周")
    expect(table).not_to_contain_text("李姐")
    expect(table).to_contain_text(code)

    hq.goto("/admin/campaigns/chainorder/redeem/")
    hq.fill("input[name=code]", code)
    hq.get_by_role("button", name="核销").click()
    expect(hq.get_by_text("还有 268.00 元没付")).to_be_visible()
    hq.goto(board)
    hq.get_by_role("link", name="王姐").click()
    hq.get_by_role("button", name="收款").click()
    expect(hq.get_by_text("已收款")).to_be_visible()
    hq.goto("/admin/campaigns/chainorder/redeem/")
    hq.fill("input[name=code]", code)
    hq.get_by_role("button", name="核销").click()
    expect(hq.get_by_text("王姐已提货")).to_be_visible()

    line = ask(lambda: OrderLine.objects.get(channel="CHAIN_ORDER"))
    assert (line.paid_fen, line.group_no) == (26_800, ask(ChainOrder.objects.get).code) and line.completed_at
    ask(decisions.decide_open)
    decision = ask(lambda: Decision.objects.get(line_id=line.pk))
    hq.goto(f"/admin/attribution/decision/{decision.pk}/change/")
    expect(hq.get_by_text("分享触点 王芳").first).to_be_visible()
    expect(hq.get_by_text("13.40").first).to_be_visible()
    assert trouble == []
