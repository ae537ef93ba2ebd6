"""A coupon in a real browser: drafted, published by somebody else, given to many, used, cleared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect, sync_playwright

from members.models import Coupon, CouponBatch, CouponTemplate
from scrm import jobs
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.factories import coupons as make
from tests.factories import defaults
from tests.factories.console import Console, console

PASSWORD = "Mountain-River-9"
PICTURES = os.environ.get("COUPON_PICTURES", "")  # a folder to look at what the pages look like


@pytest.fixture
def company(transactional_db: None) -> Console:
    defaults.restore()
    found = console()
    for name in ("hq", "operator"):
        found.staff[name].set_password(PASSWORD)
        found.staff[name].save()
    return found


@pytest.fixture
def page(company: Console, live_server: Any) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900})
        found = context.new_page()
        found.set_default_timeout(40_000)
        yield found
        browser.close()


def log_in(page: Page, name: str) -> None:
    page.context.clear_cookies()
    page.goto("/admin/login/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


@pytest.mark.browser
def test_from_the_draft_to_the_clearing(page: Page, company: Console) -> None:
    now = timezone.localtime()
    log_in(page, "hq")
    page.goto("/admin/members/coupontemplate/add/")
    picture(page, "1-form")
    brand = company.shops.brand
    page.select_option("select[name=brand]", str(brand.pk))
    page.select_option("select[name=kind]", "FULL_CUT")
    for name, value in (
        ("code", "SUMMER"), ("name", "夏日满减"), ("value_fen", "20"), ("threshold_fen", "100"), ("valid_days", "30"),
        ("total_cap", "100"), ("budget_fen", "19.99"), ("hq_share_bp", "60"), ("store_ids", "S1\nF1"),
        ("claim_from_0", now.date().isoformat()), ("claim_from_1", "00:00:00"),
        ("claim_until_0", f"{now.year + 1}-12-31"), ("claim_until_1", "00:00:00"),
    ):  # fmt: skip
        page.fill(f"[name={name}]", value)
    page.click("[name=_save]")
    expect(page.locator("body")).to_contain_text("预算不够发一张券")
    expect(page.locator("[name=name]")).to_have_value("夏日满减")  # nothing is lost
    picture(page, "2-mistake")
    page.fill("[name=budget_fen]", "2000")
    page.click("[name=_save]")
    page.wait_for_url("**/members/coupontemplate/")
    row = CouponTemplate.objects.get()
    page.goto(f"/admin/members/coupontemplate/{row.pk}/change/")
    expect(page.locator("#coupon-face")).to_contain_text("满¥100减¥20")
    picture(page, "3-draft")
    log_in(page, "operator")
    page.goto(f"/admin/members/coupontemplate/{row.pk}/change/")
    page.get_by_role("link", name="发布").click()
    page.locator("form button[type=submit], form button").last.click()
    expect(page.locator("body")).to_contain_text("券模板已发布")
    page.goto(f"/admin/members/coupontemplate/{row.pk}/give/")
    cards = [member.identities.get(kind="CARD").value for member in company.shops.members.values()]
    page.select_option("select[name=source]", "LIST")
    page.fill("[name=numbers]", "\n".join(cards))
    page.get_by_role("button", name="预览人数和预算").click()
    expect(page.locator("body")).to_contain_text("¥60.00")
    picture(page, "4-preview")
    page.get_by_role("button", name="确认发放").click()
    page.wait_for_url("**/couponbatch/*/change/")
    job_id = CouponBatch.objects.get().job_id
    assert job_id is not None
    jobs.run(job_id)
    page.reload()
    picture(page, "5-batch")
    for coupon, store in zip(Coupon.objects.order_by("pk"), ("S1", "F1"), strict=False):
        make.redeem(coupon, make.till(company.shops.stores[store], shop=store), now=timezone.now())
    page.goto(f"/admin/members/coupontemplate/{row.pk}/change/")
    picture(page, "6-template")
    page.goto("/admin/members/coupon/")
    expect(page.locator("body")).to_contain_text("已核销")
    picture(page, "7-coupons")
    page.goto(f"/admin/members/coupon/{Coupon.objects.order_by('pk')[0].pk}/change/")
    picture(page, "8-coupon")
    page.goto("/admin/members/clearingentry/")
    expect(page.locator("#chart-clearing canvas")).to_be_visible()
    page.wait_for_timeout(500)
    picture(page, "9-clearing")
