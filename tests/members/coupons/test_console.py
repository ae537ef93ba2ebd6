"""Coupons in the console: draft, second person, preview, giving out with a look first, printing, clearing."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.utils import timezone

from members.models import (
    Audience,
    AudienceSnapshot,
    AudienceVersion,
    Coupon,
    CouponBatch,
    CouponTemplate,
    Redemption,
    SnapshotMember,
)
from scrm import jobs
from scrm.models import Act
from tests.factories import coupons as make
from tests.factories.console import Console, console
from tests.factories.coupons import DAY, NOW

ADD = "/admin/members/coupontemplate/add/"


@pytest.fixture
def company(db: None) -> Console:
    return console()


def typed(company: Console, **values: Any) -> dict[str, Any]:
    now = timezone.localtime()
    return {
        "brand": company.shops.brand.pk, "code": "SUMMER", "name": "夏日满减", "kind": "FULL_CUT", "value_fen": "20", "off_bp": "",
        "threshold_fen": "100", "terms": "", "claim_from_0": now.date().isoformat(), "claim_from_1": "00:00:00",
        "claim_until_0": (now + 30 * DAY).date().isoformat(), "claim_until_1": "00:00:00", "valid_days": "30", "valid_from": "",
        "valid_until": "", "store_ids": "S1\nF1", "product_ids": "", "member_cap": "1", "total_cap": "100", "budget_fen": "2000",
        "bucket_count": "1", "guide_month_quota": "", "hq_share_bp": "60", "bearer": "REDEEMER", "lock_minutes": "30",
        "gift_hours": "24", "reversal_hours": "24", "hour_from": "", "hour_until": "", **values,
    }  # fmt: skip


def test_a_template_is_written_by_one_and_published_by_another(company: Console) -> None:
    hq, operator = company.client("hq"), company.client("operator")
    answer = hq.post(ADD, typed(company, weekdays=["6", "7"]))
    assert answer.status_code == 302, answer.context["adminform"].errors
    row = CouponTemplate.objects.get()
    stores = company.shops.stores
    assert (row.value_fen, row.threshold_fen, row.budget_fen, row.hq_share_bp) == (2_000, 10_000, 200_000, 6_000)
    assert (row.store_ids, row.weekdays, row.author) == (
        [stores["S1"].pk, stores["F1"].pk],
        [6, 7],
        company.staff["hq"],
    )
    page = f"/admin/members/coupontemplate/{row.pk}/change/"
    own = hq.get(page).content.decode()
    assert "顾客看到的券" in own and "满¥100减¥20" in own and "F1\nS1" in own
    assert "周六、周日" in operator.get(page).content.decode()
    assert operator.post(page, typed(company)).status_code == 403
    act = f"/admin/members/coupontemplate/{row.pk}/act/publish/"
    hq.post(act)
    row.refresh_from_db()
    assert row.status == "DRAFT"
    operator.post(act)
    row.refresh_from_db()
    assert (row.status, row.approver) == ("PUBLISHED", company.staff["operator"])
    assert hq.post(page, typed(company, value_fen="99")).status_code == 403
    assert operator.post(ADD, typed(company)).context["adminform"].errors["code"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"budget_fen": "19.99"}, "budget_fen"), ({"total_cap": "", "budget_fen": ""}, "total_cap"),
        ({"threshold_fen": "10"}, "threshold_fen"), ({"kind": "DISCOUNT"}, "off_bp"), ({"store_ids": "S1 NOWHERE"}, "store_ids"),
        ({"valid_from": "2030-01-01"}, "valid_days"), ({"value_fen": "-1"}, "value_fen"), ({"hour_from": "09:00"}, "hour_until"),
        ({"hq_share_bp": "101"}, "hq_share_bp"), ({"product_ids": "NOSKU"}, "product_ids"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_at_its_field_and_nothing_is_lost(
    company: Console, values: dict[str, Any], field: str
) -> None:
    answer = company.client("hq").post(ADD, typed(company, **values))
    form = answer.context["adminform"].form
    assert list(form.errors) == [field] and any("\u4e00" <= sign <= "\u9fff" for sign in str(form.errors[field]))
    assert form.data["name"] == "夏日满减" and not CouponTemplate.objects.exists()


def template(**values: Any) -> CouponTemplate:
    now = timezone.now()
    return make.template(now, claim_from=now - DAY, claim_until=now + 9 * DAY, **values)


def test_giving_to_many_shows_count_and_money_first(company: Console) -> None:
    row, hq = template(total_cap=2), company.client("hq")
    cards = [member.identities.get(kind="CARD").value for member in company.shops.members.values()]
    page = f"/admin/members/coupontemplate/{row.pk}/give/"
    said = {"source": "LIST", "numbers": "\n".join([*cards, "VIP-NOBODY"]), "key": "console-key"}
    over = hq.post(page, said).content.decode()
    assert "需要 3 张，只剩 2 张" in over and "VIP-NOBODY" in over and "确认发放" not in over
    assert hq.post(page, {**said, "confirmed": "1"}).status_code == 400 and not CouponBatch.objects.exists()
    said["numbers"] = "\n".join(cards[:2])
    seen = hq.post(page, said).content.decode()
    assert "¥40.00" in seen and "确认发放" in seen
    first, again = (hq.post(page, {**said, "confirmed": "1"}) for _click in range(2))  # clicked twice
    batch = CouponBatch.objects.get()
    assert first.url == again.url == f"/admin/members/couponbatch/{batch.pk}/change/"
    assert batch.job_id is not None
    jobs.run(batch.job_id)
    assert Coupon.objects.filter(batch=batch).count() == 2
    assert hq.get(f"/admin/members/couponbatch/{batch.pk}/state/").json()["share"] == 100
    assert company.client("auditor").get(page).status_code == 403
    assert hq.post(page, {**said, "source": "TAG", "key": "k2"}).context["form"].errors["tag"]


def test_codes_are_printed_on_the_record(company: Console) -> None:
    row, hq = template(), company.client("hq")
    hq.post(f"/admin/members/coupontemplate/{row.pk}/codes/", {"count": 3, "key": "print-key", "confirmed": "1"})
    batch = CouponBatch.objects.get()
    assert batch.job_id is not None
    jobs.run(batch.job_id)
    sheet = f"/admin/members/couponbatch/{batch.pk}/sheet/"
    assert hq.get(sheet).status_code == 404
    assert company.client("operator").post(sheet).status_code == 403  # codes are money: the right to export
    page = hq.post(sheet).content.decode()
    assert all(code in page for code in Coupon.objects.values_list("code", flat=True)) and page.count("<svg") == 3
    assert Act.objects.filter(verb="coupon.print", data__count=3).exists()


def test_a_coupon_shows_its_life_and_is_made_void_with_a_reason(company: Console) -> None:
    hq = company.client("hq")
    coupon = make.give(template(), company.shops.members["安琪"], timezone.now())
    page = hq.get(f"/admin/members/coupon/{coupon.pk}/change/").content.decode()
    assert "发放" in page and coupon.code not in page and coupon.code[-4:] in page
    assert str(coupon) in hq.get("/admin/members/coupon/", {"q": coupon.code.lower()}).content.decode()
    hq.post(f"/admin/members/coupon/{coupon.pk}/act/make_void/", {"reason": "发错会员"})
    coupon.refresh_from_db()
    assert coupon.status == "VOID"


def test_a_redemption_is_taken_back_from_the_console(company: Console) -> None:
    now = timezone.now()
    row = make.redeem(
        make.give(template(), company.shops.members["安琪"], now), make.till(company.shops.stores["S1"]), now=now
    )
    act = f"/admin/members/redemption/{row.pk}/act/take_back/"
    assert company.client("franchisee").post(act, {"reason": "退货"}).status_code == 404
    company.client("region").post(act, {"reason": "顾客退货"})
    row.refresh_from_db()
    assert (row.status, row.reversed_by) == ("REVERSED", company.staff["region"])


def test_clearing_page_chart_file_and_close(company: Console) -> None:
    shops = company.shops
    row = make.template(hq_share_bp=5_000, member_cap=None, name="=1+1")
    for code in ("F1", "F2", "S1"):
        make.redeem(make.give(row, shops.members["安琪"]), make.till(shops.stores[code], "@SUM(A1)", shop=code))
    base, month = "/admin/members/clearingentry/", {"period": "2026-06"}
    page = company.client("hq").get(base, month).content.decode()
    assert "加盟公司乙" in page and "chart-clearing" in page and "本月关账" in page
    own = company.client("franchisee").get(base, month).content.decode()
    assert "加盟公司" in own and "加盟公司乙" not in own and "本月关账" not in own
    answer = company.client("franchisee").get(f"{base}file/", month)
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 3 and {row[2] for row in rows[1:]} == {"F1店"}
    assert rows[1][5] == "'=1+1" and rows[1][7] == "'@SUM(A1)" and {row[8] for row in rows[1:]} == {"10.00"}
    assert company.client("franchisee").post(f"{base}close/", month).status_code == 403
    company.client("hq").post(f"{base}close/", month)
    assert "已关账" in company.client("hq").get(base, month, follow=True).content.decode()
    assert Redemption.objects.count() == 3 and NOW.year == 2026
    assert company.client("manager").get(base, month).content.decode().count("加盟公司") == 0


def test_a_frozen_audience_gets_coupons(company: Console) -> None:
    """Those of the snapshot, whoever comes into the audience later."""
    members = company.shops.members
    audience = Audience.objects.create(brand=company.shops.brand, name="老客", rule={})
    version = AudienceVersion.objects.create(audience=audience, version_no=1, rule={}, digest="0" * 64)
    snapshot = AudienceSnapshot.objects.create(version=version)
    for name in ("安琪", "白鹭"):
        SnapshotMember.objects.create(snapshot=snapshot, member=members[name], store=members[name].home_store)
    row, hq = template(), company.client("hq")
    page = f"/admin/members/coupontemplate/{row.pk}/give/"
    said = {"source": "AUDIENCE", "audience": snapshot.pk, "key": "audience-key"}
    assert hq.post(page, said).context["form"].errors["audience"]  # not frozen yet
    AudienceSnapshot.objects.filter(pk=snapshot.pk).update(status="READY", as_of=timezone.now(), member_count=2)
    assert hq.post(page, said).context["seen"].coupons == 2
    hq.post(page, {**said, "confirmed": "1"})
    job_id = CouponBatch.objects.get().job_id
    assert job_id is not None
    jobs.run(job_id)
    assert set(Coupon.objects.values_list("member__name", flat=True)) == {"安琪", "白鹭"}
