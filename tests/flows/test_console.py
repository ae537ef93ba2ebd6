"""HQ's first day in a real browser: log in, bring a list of members, watch it go in, find one, ask who got the credit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Page, expect, sync_playwright

from members.models import Identity, Member
from scrm import crypto, jobs
from scrm.models import Act, Job
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.console import Console, console

PASSWORD = "Mountain-River-9"
MOBILE = "15412345678"
HEADER = "会员卡号,姓名,手机号,性别,等级,积分,开卡门店,专属导购,开卡日期,标签\n"


def rows() -> str:
    good = f"VIP900001,周小满,{MOBILE},女,金卡,1200,S1,G00001,2024-05-01,宝妈|老客\n"
    good += "".join(f"VIP91{n:04d},顾客{n},1541000{n:04d},,金卡,{n},S2,G00002,2024/5/1,\n" for n in range(200))
    return HEADER + good + "VIP900002,写错了,12345,女,金卡,0,S1,G00001,2024-05-01,\n"


@pytest.fixture
def company(transactional_db: None) -> Console:
    found = console()
    found.staff["hq"].set_password(PASSWORD)
    found.staff["hq"].save()
    return found


@pytest.fixture
def page(company: Console, live_server: Any) -> Iterator[Page]:
    """A browser of this test alone: Playwright's event loop would keep later tests from the database."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900})
        found = context.new_page()
        found.set_default_timeout(20_000)
        yield found
        browser.close()


@pytest.fixture
def worker(company: Console, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs what is queued, slowly enough to be watched; there is no broker in a test."""
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0)
    done = jobs.Progress.done

    def slowly(self: jobs.Progress, count: int) -> None:
        done(self, count)
        time.sleep(0.6)

    monkeypatch.setattr(jobs.Progress, "done", slowly)
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            for key in list(Job.objects.filter(status="QUEUED").values_list("pk", flat=True)):
                jobs.run(key)
            stop.wait(0.2)
        connection.close()

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def ask(question: Callable[[], Any]) -> Any:
    """The database from beside the browser's event loop."""

    def answer() -> Any:
        try:
            return question()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(answer).result()


def log_in(page: Page) -> None:
    page.goto("/admin/")
    page.fill("input[name=username]", "hq")
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    expect(page.get_by_text("今日成交额")).to_be_visible()


def watch(page: Page) -> list[int]:
    """Every value the bar has shown until the result stood there."""
    page.wait_for_selector("#job")
    seen: list[int] = []
    while page.locator("#job-result").count() == 0:
        bar = page.locator("#job .scrm-progress")
        if bar.count():
            value = int(bar.first.get_attribute("aria-valuenow") or 0)
            if not seen or seen[-1] != value:
                seen.append(value)
        page.wait_for_timeout(60)
    return seen


def test_from_a_list_of_members_to_the_reason_of_a_commission(page: Page, worker: None, tmp_path: Path) -> None:
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    listed = tmp_path / "members.csv"
    listed.write_bytes(rows().encode("gb18030"))
    log_in(page)
    _import(page, listed)
    _open_member(page)
    _open_decision(page)
    assert trouble == []


def _import(page: Page, listed: Path) -> None:
    page.goto("/admin/imports/")
    page.click("text=新建导入")
    page.check("input[value=import_members]")
    page.set_input_files("input[type=file]", listed)
    page.click("text=上传并查看列对应")
    expect(page.get_by_text("GB18030")).to_be_visible()
    expect(page.locator("select[name=column_mobile]")).to_have_value("手机号")
    expect(page.get_by_text("154****5678")).to_be_visible()  # samples are masked
    assert MOBILE not in page.content()
    page.click("text=开始试运行")
    watch(page)
    expect(page.get_by_text("201", exact=True).first).to_be_visible()
    expect(page.get_by_text("应为 13 到 19 开头的 11 位数字")).to_be_visible()
    assert ask(lambda: Member.objects.filter(name="周小满").exists()) is False
    page.click("#import-now")
    seen = watch(page)
    assert len(seen) >= 2, "the bar never moved"
    assert seen[-1] > 0
    expect(page.get_by_text("查看导入结果")).to_be_visible()
    _take_errors(page)


def _take_errors(page: Page) -> None:
    page.click("text=下载错误行")
    page.fill("input[name=reason]", "更正后重新导入")
    with page.expect_download() as download:
        page.click("text=登记并下载")
    text = Path(download.value.path()).read_text("utf-8-sig")
    assert "bad_mobile" in text
    assert "写错了" in text
    assert ask(lambda: Act.objects.filter(verb="upload.errors").count()) == 1


def _open_member(page: Page) -> None:
    page.goto("/admin/members/member/")
    page.fill("input[type=search]", MOBILE)
    page.click(".scrm-search button")
    expect(page.locator("h1", has_text="周小满").first).to_be_visible()
    assert MOBILE not in page.url
    for words in ("154****5678", "王芳", "宝妈", "金卡"):
        expect(page.get_by_text(words).first).to_be_visible()
    assert MOBILE not in page.content()
    page.click("text=查看完整手机号")
    page.fill("input[name=reason]", "核对到店礼领取")
    page.click("text=登记并查看")
    expect(page.locator("#revealed")).to_have_text(MOBILE)
    assert ask(lambda: Act.objects.filter(verb="member.reveal").count()) == 1
    index = ask(lambda: Identity.objects.get(value=crypto.mobile_index(f"+86{MOBILE}")).member.name)
    assert index == "周小满"


def _open_decision(page: Page) -> None:
    page.goto("/admin/attribution/decision/")
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_text("获得者：").first).to_be_visible()
    expect(page.get_by_text("未获得：").first).to_be_visible()
    expect(page.get_by_text("金额逐步说明")).to_be_visible()


def test_on_a_telephone_nothing_overflows(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    log_in(page)
    for address in ("/admin/", "/admin/imports/new/", "/admin/members/member/"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
