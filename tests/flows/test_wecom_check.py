"""The self-check in a real browser: the button, the bar, what does not work first, and the same page on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Page, expect, sync_playwright
from pytest_django import Settings

from scrm import jobs
from scrm.models import Job
from scrm.wecom.sandbox import SELF, SYNC
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.console import Console, console
from tests.factories.wecom import Wired

PASSWORD = "Mountain-River-9"


@pytest.fixture
def company(transactional_db: None) -> Console:
    found = console()
    found.staff["hq"].set_password(PASSWORD)
    found.staff["hq"].save()
    return found


@pytest.fixture
def worker(company: Console, sandbox: Wired) -> Iterator[None]:
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            for key in list(Job.objects.filter(status="QUEUED").values_list("pk", flat=True)):
                jobs.run(key)
            stop.wait(0.3)
        connection.close()

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def page(company: Console, live_server: Any) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900})
        found = context.new_page()
        found.set_default_timeout(20_000)
        yield found
        browser.close()


def test_from_the_button_to_the_missing_setting(
    live_server: Any, sandbox: Wired, company: Console, worker: None, page: Page, settings: Settings
) -> None:
    settings.PUBLIC_URL = live_server.url
    sandbox.world.add_member("wangfang", "王芳")
    sandbox.world.app(SELF).is_callable = False
    sandbox.world.app(SYNC).trusted_ips = ("10.9.9.9",)
    page.goto("/admin/")
    page.fill("input[name=username]", "hq")
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.goto("/admin/wecom-check/")
    page.get_by_role("button", name="立即检查").click()
    expect(page.get_by_role("button", name="重新检查")).to_be_visible()  # the page reads itself again at the end
    first = page.locator("#check-error li")
    expect(first.filter(has_text="可调用接口的应用")).to_be_visible()
    expect(first.filter(has_text="企业可信IP").filter(has_text="127.0.0.1").first).to_be_visible()
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
