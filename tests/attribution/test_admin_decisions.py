"""A decision explains itself; a rule is drafted by one person and published by another; parked deliveries play again."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from attribution.models import ChannelEvent, Decision, RuleRate, RuleVersion
from scrm.models import Act
from tests.factories.console import Console, console


@pytest.fixture
def company(db: None) -> Console:
    return console()


def page(company: Console, code: str) -> str:
    decision = Decision.objects.get(line_id=company.shops.lines[code].pk)
    return reverse("admin:attribution_decision_change", args=(decision.pk,))


def test_the_page_names_rule_winner_losers_and_the_money(company: Console) -> None:
    """A14, on the screen."""
    text = company.client("hq").get(page(company, "S1")).content.decode()
    for words in (
        "规则：默认规则：服务优先 v1", "获得者：专属关系 王芳（G00001）", "未获得：收银导购 王芳（G00001）", "未获得：总部池",
        "计佣基数：100.00 元", "100.00 元 × 5 % = 5.00 元", "状态：已生效", "退款", "L:hold:G00001",
    ):  # fmt: skip
        assert words in text, words


def test_what_lies_outside_the_scope_stays_a_code(company: Console) -> None:
    """A line of S1 whose cashier was from S2: the manager of S1 reads her code, not her name."""
    company.shops.line("mixed", member="安琪", store="S1", paid_fen=1_000, at=timezone.now(), cashier="G00002")
    text = company.client("manager").get(page(company, "mixed")).content.decode()
    assert "李娜" not in text
    assert "G00002" in text
    assert "X:budget:brand" not in text  # HQ's own accounts


def test_a_fixed_number_of_queries(company: Console) -> None:
    client = company.client("hq")
    client.get(reverse("admin:rights"))

    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(page(company, "S1")).status_code == 200
        return len(caught)

    before = count()
    company.shops.refund("S1", 500, timezone.now())
    assert count() == before <= 21


def test_an_order_number_finds_its_decisions(company: Console) -> None:
    client, line = company.client("hq"), company.shops.lines["S2"]
    for term, expected in ((line.order.order_no, {line.pk}), ("G00001", {company.shops.lines["S1"].pk})):
        found = client.get(reverse("admin:attribution_decision_changelist"), {"q": term}).context["cl"].result_list
        assert {row.line_id for row in found} == expected


def test_four_eyes_from_draft_to_publication(company: Console) -> None:
    author, second = company.client("operator"), company.client("hq")
    standing = RuleVersion.objects.get()
    author.post(reverse("admin:attribution_ruleversion_act", args=(standing.pk, "copy")), {"name": "双十一规则"})
    draft = RuleVersion.objects.get(status="DRAFT")
    assert (draft.number, draft.author, draft.name) == (2, company.staff["operator"], "双十一规则")
    publish = reverse("admin:attribution_ruleversion_act", args=(draft.pk, "publish"))
    refused = author.post(publish, {}, follow=True)
    assert "规则须由起草人以外的人发布" in refused.content.decode()
    begins = timezone.localtime(timezone.now() + dt.timedelta(days=1))
    second.post(publish, {"effective_from_0": f"{begins:%Y-%m-%d}", "effective_from_1": f"{begins:%H:%M:%S}"})
    draft.refresh_from_db()
    standing.refresh_from_db()
    assert (draft.status, draft.approver) == ("PUBLISHED", company.staff["hq"])
    assert standing.effective_until == draft.effective_from
    assert [a.verb for a in Act.objects.filter(target_id=str(draft.pk), verb__startswith="rule.").order_by("pk")] == [
        "rule.draft",
        "rule.publish",
    ]


def form_of(draft: RuleVersion, rate: RuleRate, percent: str, **more: object) -> dict[str, object]:
    """What the browser posts: rates in percent, amounts in yuan."""
    plain = (
        "name", "mode", "share_window_hours", "live_window_hours", "late_link_days", "vest_days", "snatch", "protected_days",
        "base", "budget", "fulfil_budget", "settle_day", "dispute_days",
    )  # fmt: skip
    parts = (
        "seller_bp", "service_bp", "gap_pool_bp", "home_pool_bp", "ip_bp", "entity_share_bp", "fulfil_fee_bp", "fulfil_store_bp",
        "netting_cap_bp",
    )  # fmt: skip
    empty = {f"{name}-{form}_FORMS": 0 for name in ("layers", "tiers", "budgets") for form in ("TOTAL", "INITIAL")}
    return {
        **{name: getattr(draft, name) for name in plain}, **{name: getattr(draft, name) / 100 for name in parts},
        "binding_validity_days": "", "fulfil_keeps": "on", **empty,
        "rates-TOTAL_FORMS": 1, "rates-INITIAL_FORMS": 1, "rates-0-id": rate.pk, "rates-0-rule": draft.pk,
        "rates-0-channel": "", "rates-0-category": "", "rates-0-rate_bp": percent, **more,
    }  # fmt: skip


def test_a_draft_is_its_authors_and_a_published_version_nobodys(company: Console) -> None:
    author, second = company.client("operator"), company.client("hq")
    standing = RuleVersion.objects.get()
    author.post(reverse("admin:attribution_ruleversion_act", args=(standing.pk, "copy")), {"name": "草稿"})
    draft = RuleVersion.objects.get(status="DRAFT")
    address, rate = reverse("admin:attribution_ruleversion_change", args=(draft.pk,)), draft.rates.get()
    assert second.post(address, form_of(draft, rate, "9")).status_code == 403
    assert author.post(address, form_of(draft, rate, "8")).status_code == 302
    assert draft.rates.get().rate_bp == 800
    assert Act.objects.filter(verb="console.change", target_id=str(draft.pk)).exists()
    published = reverse("admin:attribution_ruleversion_change", args=(standing.pk,))
    assert author.post(published, form_of(standing, standing.rates.get(), "0.01")).status_code == 403
    assert standing.rates.get().rate_bp == 500


def event(status: str) -> ChannelEvent:
    return ChannelEvent.objects.create(
        channel="TMALL",
        event_id=f"e-{status}",
        body_hash="0" * 64,
        body_sealed=b"x",
        status=status,
        error_code="bad_amount",
    )


def test_parked_deliveries_play_again(company: Console) -> None:
    parked, done = event("PARKED"), event("PROCESSED")
    client = company.client("operator")
    client.post(reverse("admin:attribution_channelevent_act", args=(parked.pk, "replay")), {})
    client.post(
        reverse("admin:attribution_channelevent_changelist"),
        {"action": "replay_chosen", "_selected_action": [parked.pk, done.pk]},
    )
    parked.refresh_from_db()
    done.refresh_from_db()
    assert (parked.status, done.status) == ("RECEIVED", "PROCESSED")
    assert Act.objects.filter(verb="event.replay", actor=company.staff["operator"]).count() == 1


@pytest.mark.parametrize("name", ["auditor", "manager"])
def test_who_may_not_act_replays_nothing(company: Console, name: str) -> None:
    parked = event("PARKED")
    refused = company.client(name).post(reverse("admin:attribution_channelevent_act", args=(parked.pk, "replay")), {})
    assert refused.status_code in (403, 404)
    parked.refresh_from_db()
    assert parked.status == "PARKED"
