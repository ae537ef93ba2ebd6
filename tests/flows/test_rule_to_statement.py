"""From a rule to the money in a real browser: drafted, simulated, published by another person; an order and why it went to
whom; a dispute, the verdict of two people; a month later the statement that shows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect, sync_playwright

from attribution import ledger, periods
from attribution.models import Batch, Decision, Dispute, Hold, RuleVersion, Statement
from members.models import OrderLine
from scrm import jobs
from scrm.models import Job
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories.clock import NAMES
from tests.factories.console import Console, console
from tests.guides.conftest import Api

PASSWORD = "Mountain-River-9"
LATER = dt.timedelta(days=45)


@pytest.fixture
def company(transactional_db: None) -> Iterator[Console]:
    """安琪 is the customer of A; B rang a sale of hers up yesterday."""
    found = console()
    for name in ("hq", "operator"):
        found.staff[name].set_password(PASSWORD)
        found.staff[name].save()
    yesterday = timezone.now() - dt.timedelta(days=1)
    found.shops.line("before", member="安琪", store="S1", paid_fen=20_000, at=yesterday, cashier="G00002")
    yield found
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database()} RESET ALL")
        cursor.execute("DROP SCHEMA IF EXISTS later_clock CASCADE")
    connection.close()


@pytest.fixture
def worker(company: Console) -> Iterator[None]:
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            for key in list(Job.objects.filter(status="QUEUED").values_list("pk", flat=True)):
                jobs.run(key)
            connection.close()
            stop.wait(0.2)

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield found
        found.close()


def ask(question: Callable[[], Any]) -> Any:
    """In a thread of its own: Playwright's event loop keeps this one from the database."""

    def answer() -> Any:
        try:
            return question()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(answer).result()


def console_of(browser: Browser, url: str, who: str) -> Page:
    page = browser.new_context(base_url=url, locale="zh-CN", viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto("/admin/")
    page.fill("input[name=username]", who)
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    expect(page.locator("#login-form")).to_have_count(0)
    return page


def acted(page: Page, address: str, **fields: str) -> None:
    """Open a form of the console, fill it in and confirm it."""
    page.goto(address)
    for name, value in fields.items():
        field = page.locator(f"[name={name}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.locator("form .scrm-actions button[type=submit]").click()
    page.wait_for_load_state()


def fits(page: Page) -> None:
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url


def test_from_a_rule_to_the_statement(live_server: Any, company: Console, worker: None, browser: Browser) -> None:
    hq = console_of(browser, live_server.url, "hq")
    operator = console_of(browser, live_server.url, "operator")
    rule = draft(hq, operator)
    line = order(company, hq)
    dispute(company, hq, operator, line)
    statement(company, live_server.url, browser, line)
    assert ask(lambda: RuleVersion.objects.get(pk=rule).status) == "PUBLISHED"


def draft(hq: Page, operator: Page) -> int:
    """A copy of the rule in force, changed, simulated and published by somebody else."""
    first = ask(lambda: RuleVersion.objects.get().pk)
    acted(hq, f"/admin/attribution/ruleversion/{first}/act/copy/", name="收银优先试行")
    rule = ask(lambda: RuleVersion.objects.latest("pk").pk)
    hq.goto(f"/admin/attribution/ruleversion/{rule}/change/")
    hq.locator("select[name=mode]").select_option("POS_FIRST")
    hq.locator("button[name=_save], input[name=_save]").first.click()
    assert ask(lambda: RuleVersion.objects.get(pk=rule).mode) == "POS_FIRST"
    today = timezone.localdate()
    acted(
        hq, f"/admin/attribution/simulation/new/?rule={rule}", first_day=str(today - dt.timedelta(days=2)), last_day=str(today)
    )  # fmt: skip
    expect(hq.get_by_text("李娜").first).to_be_visible()  # she would win what 王芳 has now
    fits(hq)
    acted(hq, f"/admin/attribution/ruleversion/{rule}/act/publish/")
    assert ask(lambda: RuleVersion.objects.get(pk=rule).status) == "DRAFT"  # nobody publishes her own
    acted(operator, f"/admin/attribution/ruleversion/{rule}/act/publish/")
    assert ask(lambda: RuleVersion.objects.get(pk=rule).status) == "PUBLISHED"
    return int(rule)


def order(company: Console, hq: Page) -> OrderLine:
    """Under the new rule the cashier has it, and the page says why."""
    now = timezone.now()
    line = ask(
        lambda: company.shops.line("after", member="安琪", store="S1", paid_fen=30_000, at=now, cashier="G00002")
    )
    decision = ask(lambda: Decision.objects.get(line_id=line.pk).pk)
    hq.goto(f"/admin/attribution/decision/{decision}/change/")
    expect(hq.get_by_text("收银优先试行").first).to_be_visible()
    expect(hq.get_by_text("获得者").first).to_contain_text("李娜")
    fits(hq)
    return line


def dispute(company: Console, hq: Page, operator: Page, line: OrderLine) -> None:
    """A opens it on her phone; the manager says what she saw; two people decide."""
    guide, manager = ask(lambda: (Api(company.shops.token("A")), Api(company.shops.token("M"))))
    claim = {"ground": "MY_CUSTOMER", "statement": "顾客由我接待讲解，李娜只是代收银"}
    answer = ask(lambda: guide.post(f"commission/{line.pk}/dispute", claim, Idempotency_Key="claim-0001").json())
    number = answer["id"]
    said = {"opinion": "FOR", "text": "我当时在场，是王芳接待的"}
    ask(lambda: manager.post(f"disputes/{number}/opinion", said, Idempotency_Key="opinion-1"))
    acted(operator, f"/admin/attribution/dispute/{number}/act/propose/", is_upheld="1", reason="店长在场作证")
    hq.goto(f"/admin/attribution/dispute/{number}/change/")
    expect(hq.get_by_text("我当时在场，是王芳接待的").first).to_be_visible()
    fits(hq)
    acted(hq, f"/admin/attribution/dispute/{number}/act/confirm/")
    expect(hq.get_by_text("申诉成立").first).to_be_visible()
    assert ask(lambda: Dispute.objects.get(pk=number).moved_fen) == 1_500


def statement(company: Console, url: str, browser: Browser, line: OrderLine) -> None:
    """It vests, the month ends, the batch is made by one and approved by another; her statement shows the line."""
    ask(lambda: Hold.objects.filter(line_id=line.pk).update(vests_at=timezone.now()))
    assert ask(lambda: ledger.vest(now=timezone.now())) == 1
    period = periods.period_of(timezone.now())
    ask(lambda: set_clock(LATER))
    with time_machine.travel(timezone.now() + LATER, tick=True):
        operator, hq = console_of(browser, url, "operator"), console_of(browser, url, "hq")
        operator.goto(f"/admin/attribution/batch/make/?period={period}")
        operator.locator("form[method=post] .scrm-actions button").click()
        batch = ask(lambda: until(lambda: Batch.objects.filter(status="READY").first()))
        fits(operator)
        acted(hq, f"/admin/attribution/batch/{batch.pk}/act/approve/", count=str(batch.line_count), amount="15.00")
        ask(lambda: until(lambda: Batch.objects.filter(status="POSTED").first()))
        found = ask(lambda: Statement.objects.get(beneficiary__code="G00001"))
        assert found.paid_fen == 1_500
        hq.goto(f"/admin/attribution/statement/{found.pk}/change/")
        expect(hq.get_by_text(line.order.order_no).first).to_be_visible()
        fits(hq)


def set_clock(later: dt.timedelta) -> None:
    """Every connection from now on hears that so much time has passed, the triggers of the ledger included."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA later_clock")
        for function in NAMES:
            cursor.execute(
                f"CREATE FUNCTION later_clock.{function}() RETURNS timestamptz LANGUAGE sql STABLE AS"
                f" $$ SELECT pg_catalog.{function}() + interval '{later.days} days' $$"
            )
        cursor.execute(f"ALTER DATABASE {database()} SET search_path = later_clock, public, pg_catalog")


def database() -> str:
    return str(connection.ops.quote_name(connection.settings_dict["NAME"]))


def until(question: Callable[[], Any], tries: int = 200) -> Any:
    pause = Event()
    for _attempt in range(tries):
        found = question()
        if found:
            return found
        pause.wait(0.1)
    raise AssertionError("it did not come")
