"""Flash sales in the console: from the draft to the stop, by two people; what is wrong stands at its field; who sees which stores."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.communities import flash_sales, group_buys, payments
from campaigns.models import Group, Sale, SaleGroup, SaleRefund
from scrm import approvals
from scrm.models import Corp
from tests.campaigns.test_group_buys import pass_time
from tests.factories import sales as make
from tests.factories import shops as factory
from tests.factories.console import Console, console

pytestmark = pytest.mark.django_db


@pytest.fixture
def company(db: None) -> Console:
    return console()


def typed(company: Console, **values: Any) -> dict[str, Any]:
    return {
        "kind": "FLASH", "brand": company.shops.brand.pk, "name": "周五秒杀", "sku": factory.product("猫山王").sku, "list_fen": "199.00",
        "price_fen": "99.00", "starts_at_0": "2026-01-01", "starts_at": "2026-01-01 10:00", "ends_at": "2099-01-01 10:00", "stock": "S1 3\nS2\t2",
        "member_cap": "1", "hold_minutes": "15", "bucket_count": "1", "returns_stock": "on", "terms": "到店自提", **values,
    }  # fmt: skip


def act(company: Console, user: str, row: Sale, name: str, **said: Any) -> str:
    url = reverse("admin:campaigns_sale_act", args=(row.pk, name))
    return company.client(user).post(url, said, follow=True).content.decode()


def test_from_the_draft_to_the_stop_by_two_people(company: Console) -> None:
    new = reverse("admin:campaigns_sale_new")
    now = timezone.localtime()
    ends = (now + 24 * make.HOUR).strftime("%Y-%m-%d %H:%M")
    starts = (now - make.HOUR).strftime("%Y-%m-%d %H:%M")
    answer = company.client("hq").post(new, typed(company, starts_at=starts, ends_at=ends))
    assert answer.status_code == 302, answer.content.decode()
    row = Sale.objects.get()
    page = reverse("admin:campaigns_sale_change", args=(row.pk,))
    assert "给出" not in company.client("region").get(page).content.decode()
    question = company.client("hq").get(reverse("admin:campaigns_sale_act", args=(row.pk, "ask"))).content.decode()
    assert "99.00" in question and "500.00" in question  # 5 pieces, 100 yuan each: seen before it is asked
    act(company, "hq", row, "ask")
    assert "approve" not in company.client("hq").get(page).content.decode()  # her own is not offered to her
    assert [found.rows[0].text for found in approvals.waiting_for(company.staff["operator"])] == ["周五秒杀"]
    act(company, "operator", row, "approve")
    row.refresh_from_db()
    assert (row.status, make.counts(row)) == ("PUBLISHED", (5, 5, 0, 0))
    said = {"store": "S1", "count": "4", "reason": "又到一批", "key": "k1"}
    for _click in range(2):
        act(company, "operator", row, "change_stock", **said)
    assert make.counts(row) == (9, 9, 0, 0)
    board = company.client("region").get(page).content.decode()  # of the north: without S2
    assert "S1店" in board and "S2店" not in board
    act(company, "operator", row, "stop", reason="价格标错")
    row.refresh_from_db()
    assert (row.status, row.stop_reason) == ("STOPPED", "价格标错")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sku": "没有"}, "没有这个 SKU 的商品"),
        ({"stock": "S1"}, "S1"),
        ({"stock": "S9 3"}, "S9"),
        ({"price_fen": "299.00"}, "活动价要大于 0"),
        ({"kind": "GROUP"}, "拼团要填成团人数"),
        ({"ends_at": "2026-01-01 11:00"}, "请选择更晚的时间"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_kept(
    company: Console, values: dict[str, str], words: str
) -> None:
    answer = company.client("hq").post(reverse("admin:campaigns_sale_new"), typed(company, **values))
    assert answer.status_code == 400 and words in answer.content.decode()
    assert not Sale.objects.exists()


def test_the_author_changes_her_draft_and_nobody_else(company: Console) -> None:
    row = flash_sales.draft(said=make.said(company.shops), actor=company.staff["hq"], now=timezone.now())
    edit = reverse("admin:campaigns_sale_edit", args=(row.pk,))
    assert company.client("operator").get(edit).status_code == 403
    shown = company.client("hq").get(edit).content.decode()
    assert 'value="99"' in shown and "S1 5" in shown
    changed = typed(company, stock="全部 7", starts_at="2026-01-01 10:00", ends_at="2026-02-01 10:00")
    assert company.client("hq").post(edit, changed).status_code == 400  # long over
    soon = timezone.localtime() + make.HOUR
    changed |= {"starts_at": soon.strftime("%Y-%m-%d %H:%M"), "ends_at": (soon + make.HOUR).strftime("%Y-%m-%d %H:%M")}
    assert company.client("hq").post(edit, changed).status_code == 302
    assert set(row.planned_stock.values_list("store__code", "planned_count")) == {
        ("S1", 7),
        ("S2", 7),
        ("F1", 7),
        ("F2", 7),
    }


def test_a_page_says_which_group_is_gone_and_what_is_to_be_refunded(company: Console) -> None:
    shops, now = company.shops, timezone.now()
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwSALE00000001", defaults={"name": "企业"})
    groups = [
        Group.objects.create(corp=corp, chat_id=f"wr{n}", name=f"{n}群", asked_at=now, store=shops.stores["S1"]) for n in "甲乙"
    ]  # fmt: skip
    row = make.sale(shops, {"S1": 5}, kind="GROUP")
    SaleGroup.objects.bulk_create(SaleGroup(sale=row, group=group) for group in groups)
    Group.objects.filter(pk=groups[0].pk).update(dissolved_at=now)
    Group.objects.filter(pk=groups[1].pk).update(status=Group.Status.OWNER_LEFT)
    SaleGroup.objects.all().delete()
    opened = group_buys.open_team(said=make.wants(row, shops.stores["S1"], shops.members["安琪"]), now=now)
    SaleGroup.objects.bulk_create(SaleGroup(sale=row, group=group) for group in groups)
    make.order(opened.seat.reservation)
    payments.sweep(now=now)
    pass_time(opened.team)
    payments.sweep(now=now)
    page = company.client("hq").get(reverse("admin:campaigns_sale_change", args=(row.pk,))).content.decode()
    assert "甲群" in page and "已解散" in page and "乙群" in page and "群主已离职" in page and "1 笔" in page
    due = SaleRefund.objects.get()
    url = reverse("admin:campaigns_salerefund_act", args=(due.pk, "enter_refund"))
    company.client("operator").post(url, {"refund_no": "R1"})
    due.refresh_from_db()
    assert (due.status, due.refund_no, due.done_by) == ("DONE", "R1", company.staff["operator"])
    for name in ("team", "reservation", "salerefund"):
        assert company.client("region").get(reverse(f"admin:campaigns_{name}_changelist")).status_code == 200
