"""A newcomer's walk without a WeCom account, in a real browser: codes are made and printed, a customer scans one, and the
console shows a friend, a greeting, a member and whose she is. Everything between goes over real HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, expect, sync_playwright
from pytest_django import Settings

from guides import contacts
from guides.models import Binding, ContactWay, Friendship, Guide, Welcome, WelcomeSend
from members.models import Identity
from scrm import jobs
from scrm.models import Job
from scrm.wecom import inbox, outbox
from scrm.wecom.sandbox import Sandbox, people
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.console import Console, console
from tests.factories.wecom import Wired, wire

PASSWORD = "Mountain-River-9"
CUSTOMER = "晚风"


@pytest.fixture
def company(transactional_db: None) -> Console:
    found = console()
    found.staff["hq"].set_password(PASSWORD)
    found.staff["hq"].save()
    Guide.objects.filter(pk=found.shops.guides["A"].pk).update(wecom_userid="wangfang")
    member = found.shops.member("周小满", store="S1")
    Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value="oXiaoman")
    return found


@pytest.fixture
def box(company: Console, live_server: Any, settings: Settings) -> Iterator[Wired]:
    """WeCom beside a running product: it calls the live server."""
    with Sandbox(seed=1) as sandbox:
        settings.WECOM_API_BASE = sandbox.api_base
        sandbox.world.confirms_after = 0.2
        sandbox.world.add_member("wangfang", "王芳")
        sandbox.world.add_contact(CUSTOMER, unionid="oXiaoman", external_userid="wmXiaoman")
        wired = wire(sandbox, url=live_server.url)
        Welcome.objects.create(corp=wired.corp, name="通用", text="您好，我是{门店名称}的{导购姓名}")
        yield wired


@pytest.fixture
def worker(box: Wired) -> Iterator[None]:
    """What the workers of a running product do whenever a bell rings."""
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            for key in list(Job.objects.filter(status="QUEUED").values_list("pk", flat=True)):
                jobs.run(key)
            inbox.process(now=timezone.now())
            contacts.read_new_friends()
            contacts.read_due()
            outbox.send_due(now=timezone.now())
            stop.wait(0.1)
        connection.close()

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def page(box: Wired, live_server: Any) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900})
        found = context.new_page()
        found.set_default_timeout(20_000)
        yield found
        browser.close()


def ask(question: Callable[[], Any]) -> Any:
    """The database from beside the browser's event loop."""

    def answer() -> Any:
        try:
            return question()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(answer).result()


def test_from_a_printed_code_to_a_bound_member(page: Page, worker: None, box: Wired, company: Console) -> None:
    page.goto("/admin/")
    page.fill("input[name=username]", "hq")
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.goto("/admin/guides/contactway/bulk/")
    page.get_by_role("button", name="预览").click()
    page.get_by_role("button", name="生成").click()
    page.wait_for_load_state()
    name = ask(lambda: company.shops.guides["A"].name)
    for _look in range(100):
        page.goto("/admin/guides/contactway/")
        if page.get_by_role("link", name=name).count():
            break
        page.wait_for_timeout(100)
    page.get_by_role("link", name=name).first.click()
    expect(page.locator(".scrm-qr svg")).to_be_visible()  # the page reads itself until WeCom has made it
    with page.expect_download() as printed:
        page.get_by_role("link", name="PNG").click()
    assert printed.value.suggested_filename.endswith(".png")

    way = ask(lambda: ContactWay.objects.get(guide=company.shops.guides["A"]))
    phone = page.context.new_page()
    phone.goto(f"{box.box.base_url}/sandbox/scan/{way.config_id}")
    phone.locator("input[name=external_userid]").fill("wmXiaoman")
    phone.get_by_role("button", name="扫码添加").click()
    expect(phone.get_by_text("您好，我是S1店的")).to_be_visible()  # on the customer's phone

    for _look in range(100):  # she may be read from WeCom a moment after she was greeted
        if ask(lambda: Friendship.objects.filter(contact__member__isnull=False).exists()):
            break
        page.wait_for_timeout(100)
    page.goto("/admin/guides/contact/")
    page.get_by_role("link", name=CUSTOMER).first.click()
    expect(page.get_by_text("周小满").first).to_be_visible()  # she is known as a member
    friend = ask(lambda: Friendship.objects.select_related("contact__member").get(contact__external_userid="wmXiaoman"))
    assert friend.is_confirmed and friend.state == way.state
    member_id = friend.contact.member_id
    assert member_id == company.shops.members["周小满"].pk
    bound = ask(lambda: Binding.objects.get(member_id=member_id, ended_at=None))
    assert (bound.guide_id, bound.source) == (company.shops.guides["A"].pk, "SCAN")
    assert ask(lambda: WelcomeSend.objects.get(friendship_id=friend.pk).outcome) == "SENT"


def test_a_friend_without_a_code_is_bound_within_two_seconds(worker: None, box: Wired, company: Console) -> None:
    """The guide adds her by her number: the event does not say how, so she is read from WeCom first, at once."""
    started = time.monotonic()
    people.add_by_member(box.world, "wangfang", "wmXiaoman")
    member = company.shops.members["周小满"]
    while not Binding.objects.filter(member=member, ended_at=None).exists():
        assert time.monotonic() - started < 2
        time.sleep(0.02)
    binding = Binding.objects.get(member=member)
    assert (binding.guide_id, binding.source) == (company.shops.guides["A"].pk, "FRIEND_ADDED")
    friend = Friendship.objects.select_related("contact").get(contact__external_userid="wmXiaoman")
    assert (friend.contact.member_id, binding.started_at) == (member.pk, friend.added_at)
