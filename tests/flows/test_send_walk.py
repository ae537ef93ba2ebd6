"""A campaign in a real browser, from the audience to what it brought: a live count, a plan with a control group, a second person
who agrees, guides who confirm in a WeCom on this machine, orders that come in signed, and the page that compares the two.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django import Settings

from attribution import intake
from campaigns import experiments, sends
from campaigns.models import Assignment, Recipient, Send
from campaigns.sends import planning
from members import consent
from members.models import Identity
from scrm import jobs
from scrm.models import Grant, Job, Role
from scrm.wecom import outbox
from scrm.wecom.sandbox import Sandbox
from tests.campaigns.mailing import Mailing, mailing
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.wecom import wire
from tests.flows.test_console import PASSWORD, ask

CHANNEL = "MINI_PROGRAM"
MEMBERS, GUIDES = 120, ("A", "B", "F")
HURRY = 240  # so many seconds of asking WeCom for results go by in one


@pytest.fixture
def company(transactional_db: None, live_server: Any, settings: Settings) -> Iterator[Mailing]:
    """120 members, each a friend of one of three guides; WeCom calls the live server."""
    with Sandbox(seed=1) as box:
        settings.WECOM_API_BASE = box.api_base
        box.world.quotas.dispatch_seconds = 0.2
        found = mailing(wire(box, url=live_server.url))
        for number in range(MEMBERS):
            found.member(f"客{number:03}", GUIDES[number % 3])
        assert found.second is not None and found.hq is not None
        Grant.objects.create(user=found.second, role=Role.HQ_OPERATOR)
        for user in (found.hq, found.second):
            user.set_password(PASSWORD)
            user.save()
        intake._secrets.clear()
        yield found


@pytest.fixture
def worker(company: Mailing) -> Iterator[None]:
    """What the workers of a running product do, with the hours between two looks at WeCom gone by quickly."""
    stop = Event()
    started = timezone.now()

    def work() -> None:
        while not stop.is_set():
            for key in list(Job.objects.filter(status="QUEUED").values_list("pk", flat=True)):
                jobs.run(key)
            outbox.send_due(now=timezone.now())
            sends.poll_due(now=started + HURRY * (timezone.now() - started))
            intake.process(now=timezone.now())
            experiments.due(now=timezone.now())
            stop.wait(0.1)
        connection.close()

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def chromium(company: Mailing) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield found
        found.close()


def person(browser: Browser, url: str, name: str) -> Page:
    """A browser of their own, logged in."""
    context = browser.new_context(base_url=url, locale="zh-CN", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto("/admin/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    expect(page.get_by_text("今日成交额")).to_be_visible()
    return page


def press(page: Page, name: str) -> None:
    """A button of the page and the one that confirms it."""
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("button", name="确认", exact=True).click()


def until(page: Page, text: str) -> None:
    """The page reads itself again."""
    expect(page.get_by_text(text).first).to_be_visible(timeout=20_000)


def buy(url: str, secret: str, number: int, card: str, fen: int) -> None:
    """An order as the mini-program's shop reports it."""
    now = timezone.localtime().isoformat()
    body = json.dumps({
        "schema": "order-event/1", "event_id": f"walk-{number}", "version": now, "shop": "main", "order_no": f"W{number}",
        "order": {"created_at": now, "paid_at": now, "buyer": {"card_no": card}, "lines": [{"line_no": 1, "sku": "K1", "quantity": "1", "list_fen": fen}]},
    }).encode()  # fmt: skip
    at = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-Timestamp": at,
        "X-Signature": intake.signature(secret.encode(), at, body),
    }
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/channels/{CHANNEL}/events", body, headers)) as said:
        assert json.load(said) == {"result": "stored"}


def test_from_an_audience_to_what_it_brought(
    chromium: Browser, worker: None, company: Mailing, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "FOUR_EYES_FROM", 50)
    secret = ask(lambda: intake.new_secret(channel=CHANNEL, actor=None))
    hq = person(chromium, live_server.url, "hq")
    trouble: list[str] = []
    hq.on("pageerror", lambda error: trouble.append(str(error)))

    hq.goto("/admin/members/audience/new/")
    hq.fill("input[name=name]", "可触达会员")
    hq.get_by_role("button", name="添加条件", exact=False).first.click()
    hq.locator(".scrm-rule-field").first.select_option("may_wecom")
    expect(hq.locator("#rule-count")).to_contain_text(f"{MEMBERS}位会员", use_inner_text=True)
    hq.get_by_role("button", name="保存").click()
    hq.get_by_role("button", name="冻结为快照").click()
    expect(hq.locator("#snapshot-count")).to_contain_text(str(MEMBERS))
    refusing = [f"客{number:03}" for number in range(6)]
    ask(lambda: _refuse(company, refusing))  # after the count

    hq.goto("/admin/campaigns/send/")
    hq.get_by_role("link", name="新建群发").click()
    hq.fill("input[name=name]", "周三会员日")
    hq.select_option("select[name=snapshot]", index=1)
    hq.fill("textarea[name=text]", "周三会员日，全场八折")
    hq.fill("input[name=holdout]", "10")
    hq.fill("input[name=window_days]", "7")
    hq.fill("input[name=cost]", "0.1")
    hq.fill("input[name=margin]", "40")
    hq.locator("#send-form button[type=submit]").click()
    until(hq, "排除的会员")
    assert not company.wired.world.mass_sends
    press(hq, "发送")
    until(hq, "待审批")
    address = hq.url
    second = person(chromium, live_server.url, "second")
    second.goto(address)
    press(second, "同意")

    phone = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    for _look in range(150):
        if len(company.wired.world.mass_sends) == len(GUIDES):
            break
        phone.wait_for_timeout(100)
    phone.goto(f"{company.wired.box.base_url}/sandbox/#mass_sends")
    waiting = phone.get_by_role("row").filter(has_text="待确认")
    for left in range(len(GUIDES), 0, -1):
        expect(waiting).to_have_count(left)
        waiting.first.get_by_role("button", name="确认发送").click()
    expect(waiting).to_have_count(0)

    hq.goto(address)
    until(hq, "已结束")
    expect(hq.locator(".scrm-tiles")).to_contain_text("100%")  # the figures follow with the tables
    send = ask(Send.objects.get)
    sent = ask(lambda: Recipient.objects.filter(send=send, state="SENT").count())
    arms = ask(lambda: dict(Assignment.objects.values_list("member__name", "arm_number")))
    control = sum(arm == 0 for arm in arms.values())
    assert 0 < control < MEMBERS // 4 and len(company.wired.world.sent) == sent
    assert {one.to for one in company.wired.world.sent} == _outside_of(company, send)
    expect(hq.locator("#send-execution")).to_contain_text("北区")
    expect(hq.locator("#send-left-out")).to_contain_text("不愿接收营销")

    buyers = [name for number, name in enumerate(sorted(arms)) if arms[name] == 1 and number % 6]
    cards = ask(lambda: dict(Identity.objects.filter(kind="CARD").values_list("member__name", "value")))
    for number, name in enumerate(buyers):
        buy(live_server.url, secret, number, cards[name], 12_000 + number)
    ask(lambda: _wait_for_lines(len(buyers)))
    hq.get_by_role("link", name="带对照组的实验").click()
    press(hq, "查看结果")
    until(hq, "分组人数核对")
    bought = sum(arms.get(name) == 1 for name in buyers)
    findings = hq.locator("#experiment-findings")
    expect(findings).to_contain_text("95%")
    expect(findings.locator("tbody tr").first).to_contain_text(f"{100 * bought / (len(arms) - control):.2f}%")
    expect(findings.locator("tbody tr").first).to_contain_text("更高")
    expect(hq.locator(".experiment-money")).to_contain_text("增量")
    expect(hq.locator("#experiment-sizes")).to_contain_text(f"{control}")
    assert trouble == []


def _refuse(company: Mailing, names: list[str]) -> None:
    now = timezone.now()
    for name in names:
        member = company.shops.members[name]
        consent.say(member=member, purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=now, now=now)


def _outside_of(company: Mailing, send: Send) -> set[str]:
    names = ask(lambda: list(Recipient.objects.filter(send=send, state="SENT").values_list("member__name", flat=True)))
    return {company.outside[name] for name in names}


def _wait_for_lines(count: int) -> None:
    from members.models import OrderLine

    for _look in range(200):
        if OrderLine.objects.filter(member__isnull=False).count() >= count:
            return
        time.sleep(0.1)
    raise AssertionError("the orders did not come in")
