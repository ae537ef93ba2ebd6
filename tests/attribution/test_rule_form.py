"""The rule's form in the console: percent and yuan, layers, inheritance shown, conflicts named, a comparison, what holds."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from attribution import rulebook
from attribution.models import RuleLayer, RuleVersion
from tests.attribution.test_admin_decisions import form_of
from tests.factories.console import Console, console
from tests.factories.orders import product_of


@pytest.fixture
def company(db: None) -> Console:
    return console()


@pytest.fixture
def draft(company: Console) -> RuleVersion:
    return rulebook.draft_from(version_id=RuleVersion.objects.get().pk, name="双十一", actor=company.staff["operator"])


def page(rule: RuleVersion, name: str = "change") -> str:
    return reverse(f"admin:attribution_ruleversion_{name}", args=(rule.pk,))


def layer(place: int = 0, **values: object) -> dict[str, object]:
    return {f"layers-{place}-{name}": value for name, value in values.items()}


def posted(draft: RuleVersion, count: int, **more: object) -> dict[str, object]:
    return form_of(draft, draft.rates.get(), "5", **{"layers-TOTAL_FORMS": count, "layers-INITIAL_FORMS": 0, **more})


def test_a_layer_typed_in_percent_and_yuan_is_kept_in_basis_points_and_fen(
    company: Console, draft: RuleVersion
) -> None:
    """NULL inherits and 0 is zero: both come out of the form as they went in, and the page says which is which."""
    values = layer(channel="TMALL", rate_bp="3.5", cap_fen="20.50", home_pool_bp="0", mode="SPLIT")
    answer = company.client("operator").post(page(draft), posted(draft, 1, **values))
    assert answer.status_code == 302
    row = RuleLayer.objects.get()
    assert (row.channel, row.rate_bp, row.cap_fen, row.home_pool_bp, row.mode) == ("TMALL", 350, 2_050, 0, "SPLIT")
    assert (row.ip_bp, row.base, row.fulfil_keeps, row.campaign) == (None, None, None, None)
    shown = company.client("hq").get(page(draft)).content.decode()
    for words in ("渠道 TMALL", "佣金率 3.5 %", "每行封顶 20.50 元", "归属门店池 0（明确为零）", "双十一"):
        assert words in shown, words
    assert "继承" in company.client("operator").get(page(draft)).content.decode()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (layer(channel="TMALL", seller_bp="60", service_bp="30"), "销售与服务合计 90.0 %，不是 100 %"),
        (layer(channel="TMALL", seller_bp="60"), "两个权重要么都填，要么都不填"),
        (layer(rate_bp="3"), "请写明本层适用于什么"),
        (layer(channel="TMALL", cap_fen="3", is_uncapped="on"), "“封顶”与“不封顶”只能选一个"),
        (layer(channel="TMALL", rate_bp="101"), "100"),
    ],
)
def test_a_layer_that_contradicts_itself_is_refused(
    company: Console, draft: RuleVersion, values: dict[str, object], words: str
) -> None:
    answer = company.client("operator").post(page(draft), posted(draft, 1, **values))
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not RuleLayer.objects.exists()


def test_two_layers_for_the_same_orders_name_each_other(company: Console, draft: RuleVersion) -> None:
    values = {**layer(0, channel="TMALL", rate_bp="3"), **layer(1, channel="TMALL", ip_bp="10")}
    answer = company.client("operator").post(page(draft), posted(draft, 2, **values))
    assert "第 2 层与第 1 层适用于同样的订单（渠道 TMALL）" in answer.content.decode()
    assert not RuleLayer.objects.exists()


def test_weights_that_do_not_sum_are_refused(company: Console, draft: RuleVersion) -> None:
    """A5"""
    answer = company.client("operator").post(page(draft), posted(draft, 0, seller_bp="70", service_bp="20"))
    assert "销售与服务合计 90.0 %，不是 100 %" in answer.content.decode()
    draft.refresh_from_db()
    assert (draft.seller_bp, draft.service_bp) == (7_000, 3_000)


def test_a_rate_said_twice_cannot_be_published_and_both_places_are_named(company: Console, draft: RuleVersion) -> None:
    draft.rates.create(channel="TMALL", rate_bp=200)
    RuleLayer.objects.create(rule=draft, channel="TMALL", rate_bp=300)
    words = "渠道 TMALL的“佣金率（万分之）”写了两次：规则层写 3 %，佣金率表写 2 %"
    assert words in company.client("hq").get(page(draft)).content.decode()
    address = reverse("admin:attribution_ruleversion_act", args=(draft.pk, "publish"))
    refused = company.client("hq").post(address, {}, follow=True)
    assert words in refused.content.decode()
    draft.refresh_from_db()
    assert draft.status == "DRAFT"


def test_ones_own_rule_is_published_by_somebody_else(company: Console, draft: RuleVersion) -> None:
    """S4"""
    with pytest.raises(rulebook.CannotPublish, match="规则须由起草人以外的人发布"):
        rulebook.publish(version_id=draft.pk, actor=company.staff["operator"], now=timezone.now())
    draft.refresh_from_db()
    assert (draft.status, draft.approver) == ("DRAFT", None)


def test_overlapping_intervals_are_refused_with_the_names(company: Console, draft: RuleVersion) -> None:
    now = timezone.now()
    rulebook.publish(version_id=draft.pk, actor=company.staff["hq"], now=now, effective_from=now + dt.timedelta(days=9))
    other = rulebook.draft_from(version_id=draft.pk, name="双十二", actor=company.staff["operator"])
    with pytest.raises(rulebook.CannotPublish, match="与版本 1“默认规则"):
        rulebook.publish(
            version_id=other.pk, actor=company.staff["hq"], now=now, effective_from=now + dt.timedelta(days=3)
        )
    other.refresh_from_db()
    assert other.status == "DRAFT"


def test_a_draft_is_compared_with_the_version_in_force(company: Console, draft: RuleVersion) -> None:
    RuleLayer.objects.create(rule=draft, channel="TMALL", vest_days=20)
    draft.tiers.create(upto_fen=2_000_000, rate_bp=300)
    RuleVersion.objects.filter(pk=draft.pk).update(home_pool_bp=2_500, netting_cap_bp=None)
    shown = company.client("hq").get(page(draft)).content.decode()
    for words in (
        "相比改了什么", "默认规则", "25 %", "0（明确为零）", "不限", "渠道 TMALL", "至 20,000.00：3 %", "最后一档阶梯必须没有上限",
    ):  # fmt: skip
        assert words in shown, words


def test_what_holds_for_a_product_in_a_store_and_a_channel(company: Console, draft: RuleVersion) -> None:
    product_of("APPLE", "FRUIT")
    RuleLayer.objects.create(rule=draft, channel="TMALL", rate_bp=300, home_pool_bp=0)
    RuleLayer.objects.create(rule=draft, store=company.shops.stores["F1"], fulfil_fee_bp=150)
    answer = company.client("hq").get(
        page(draft, "what"), {"product": "APPLE", "channel": "TMALL", "store": "S1", "fulfil_store": "F1"}
    )
    text = answer.content.decode()
    for words in ("3 %", "渠道 TMALL", "0（明确为零）", "1.5 %", "继承：40 %（品牌）"):
        assert words in text, words
    wrong = company.client("hq").get(page(draft, "what"), {"product": "PEAR", "channel": "TMALL"})
    assert "没有这个编码" in wrong.content.decode()


def test_a_budget_is_shown_against_what_was_spent(company: Console, draft: RuleVersion) -> None:
    """It never changes a decision: 100.00 of base has paid its 5.00 although the budget is 4.00."""
    draft.budgets.create(budget="brand", month_fen=400)
    shown = company.client("hq").get(page(draft)).content.decode()
    assert "品牌预算" in shown and "已超支" in shown


def test_a_part_of_a_published_version_is_immutable(company: Console, draft: RuleVersion) -> None:
    RuleLayer.objects.create(rule=draft, channel="TMALL", rate_bp=300)
    digest = rulebook.digest_of(RuleVersion.objects.get(pk=draft.pk))
    RuleLayer.objects.update(rate_bp=301)
    assert rulebook.digest_of(RuleVersion.objects.get(pk=draft.pk)) != digest
    rulebook.publish(version_id=draft.pk, actor=company.staff["hq"], now=timezone.now())
    with pytest.raises(Exception, match="immutable"):
        RuleLayer.objects.update(rate_bp=1)
