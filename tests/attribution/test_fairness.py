"""The fairness panel: every figure equals what the big tables say, and leads to the lines behind it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from attribution import fairness, overrides
from attribution.models import Decision, FairnessDay, FairnessMark, GuideDay, Hold
from attribution.overview import Part
from guides import bindings
from members.models import LineToDecide, OrderLine
from scrm import org
from tests.factories import shops as factory
from tests.factories.console import Console, console

AT = dt.datetime(2026, 3, 15, 4, tzinfo=dt.UTC)
DAY = dt.date(2026, 3, 15)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def company(db: None) -> Console:
    found = console()
    shops = found.shops
    shops.member("散客", store="S1")
    shops.line("bound", member="安琪", store="S1", paid_fen=10_000, at=AT, cashier="G00004")
    shops.line("cashier", member="散客", store="S1", paid_fen=4_000, at=AT, cashier="G00004")
    shops.line("online", member="白鹭", store=None, paid_fen=6_000, at=AT)
    shops.line("unknown", member=None, store=None, paid_fen=3_000, at=AT)
    shops.line("alone", member="散客", store=None, paid_fen=2_000, at=AT)
    shops.line("stranger", member="散客", store="S1", paid_fen=1_000, at=AT, cashier="G09999")
    shops.line("held", member="安琪", store="S1", paid_fen=9_000, at=AT, risk_mark="BULK")
    shops.line("test", member="安琪", store="S1", paid_fen=9_000, at=AT, is_test=True)
    fairness.recount()
    return found


def panel(scope: org.Scope = org.EVERYTHING, part: Part | None = None, day: dt.date = DAY) -> fairness.Panel:
    return fairness.read(scope=scope, part=part or Part(), first=day, last=day)


def counts(rows: list[fairness.Count]) -> dict[str, int]:
    return {row.key: row.count for row in rows}


def test_every_line_counts_once_under_its_winner(company: Console) -> None:
    found = panel()
    assert counts(found.winners) == {"C3": 2, "C1": 1, "C5": 3, "HELD": 1, "INELIGIBLE": 1}
    assert found.line_count == OrderLine.objects.filter(paid_at=AT).count() == 8
    assert sum(row.net_fen for row in found.winners) == 44_000
    assert found.days == [{"day": DAY, "counts": counts(found.winners)}]
    assert not FairnessMark.objects.exists()


def test_the_hq_pool_by_reason(company: Console) -> None:
    assert counts(panel().pool) == {"UNKNOWN_BUYER": 1, "NO_GUIDE": 1, "C1 UNKNOWN_GUIDE": 1}


def test_nothing_is_unexplained(company: Console) -> None:
    assert panel().unexplained == []
    assert panel().unexplained_count == 0


def test_what_nobody_can_explain_is_named(company: Console) -> None:
    """A decision without its winner, one without its reason, money for somebody it does not name, and none at all."""
    shops = company.shops
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE attribution_decision DISABLE TRIGGER USER")
        ids = [shops.lines[name].pk for name in ("online", "test")]
        cursor.execute("UPDATE attribution_decision SET winner_code = '' WHERE line_id = %s", [ids[0]])
        cursor.execute("UPDATE attribution_decision SET reason = '' WHERE line_id = %s", [ids[1]])
        cursor.execute(
            "UPDATE attribution_decision SET shares = replace(shares::text, 'G00004', 'G00003')::jsonb WHERE line_id = %s",
            [shops.lines["cashier"].pk],
        )
        cursor.execute("DELETE FROM attribution_decision WHERE line_id = %s", [shops.lines["unknown"].pk])
        cursor.execute("ALTER TABLE attribution_decision ENABLE TRIGGER USER")
    fairness.count_days(days=[DAY])
    found = panel()
    assert counts(found.unexplained) == {"NO_WINNER": 1, "NO_REASON": 1, "UNNAMED_MONEY": 2, "NO_DECISION": 1}
    lines = fairness.lines(scope=org.EVERYTHING, part=Part(), topic="UNEXPLAINED", key="UNNAMED_MONEY", day=DAY)
    assert {line["id"] for line in lines} == {shops.lines["cashier"].pk, shops.lines["unknown"].pk}


def test_a_line_that_waits_is_no_riddle(company: Console) -> None:
    order = factory.Order.objects.create(channel="POS", shop="S1", order_no="waits", booked_on=DAY)
    line = OrderLine.objects.create(
        order=order, booked_on=DAY, line_no=1, channel="POS", version_at=AT, content_hash="f" * 32, created_at=AT, paid_at=AT,
        store=company.shops.stores["S1"], product=factory.product("水果1"), quantity=1, list_fen=2_000, paid_fen=2_000,
    )  # fmt: skip
    LineToDecide.objects.create(line_id=line.pk, booked_on=DAY)
    fairness.count_days(days=[DAY])
    assert counts(panel().winners)["WAITING"] == 1
    assert panel().unexplained == []


def test_deciding_and_asking_for_a_member_mark_their_days(company: Console) -> None:
    company.shops.line("next", member="安琪", store="S1", paid_fen=100, at=AT + 48 * HOUR)
    assert set(FairnessMark.objects.values_list("day", flat=True)) == {dt.date(2026, 3, 17)}
    claim(company, "B", AT + 72 * HOUR)
    assert set(FairnessMark.objects.values_list("day", flat=True)) == {dt.date(2026, 3, 17), dt.date(2026, 3, 18)}
    assert fairness.recount() == 2
    assert not FairnessMark.objects.exists()


def claim(company: Console, guide: str, at: dt.datetime, member: str = "安琪") -> Any:
    shops = company.shops
    return bindings.bind(
        bindings.Claim(
            key=f"test {guide} {member} {at}", member_id=shops.members[member].pk, guide_id=shops.guides[guide].pk, source="QR",
            at=at,
        )
    )[0]  # fmt: skip


def test_who_asked_for_members_and_what_was_answered(company: Console) -> None:
    day = dt.date(2026, 3, 18)
    at = AT + 72 * HOUR
    taken = claim(company, "B", at)  # bound since 2020: no longer protected
    refused = claim(company, "A", at + HOUR)
    assert (taken.answer, refused.answer) == ("SNATCH", "REFUSED_PROTECTED")
    fairness.recount()
    assert counts(panel(day=day).snatch) == {"SNATCH": 1, "REFUSED_PROTECTED": 1}
    (row,) = fairness.requests(scope=org.EVERYTHING, part=Part(), key="SNATCH", day=day)
    assert row.pk == taken.pk
    south = org.scope_of(company.staff["franchisee_b"])
    assert panel(scope=south, day=day).snatch == []
    assert fairness.requests(scope=south, part=Part(), key="SNATCH", day=day) == []


def test_an_overturned_decision_counts_at_the_rule_it_was_taken_by(company: Console) -> None:
    line = company.shops.lines["bound"]
    asked = overrides.request(
        line=line, guide=company.shops.guides["M"], reason="她接待了两个小时，小票可证", actor=company.staff["hq"]
    )
    overrides.approve(override=asked, actor=company.staff["operator"])
    fairness.recount()
    found = panel()
    assert [(row["key"], row["count"]) for row in found.overturned] == [("OVERRIDDEN", 1)]
    (rule,) = found.overturned_bp
    assert rule["overturned"] == 1
    assert rule["share_bp"] == 10_000 * 1 // rule["decided"]
    (row,) = fairness.lines(scope=org.EVERYTHING, part=Part(), topic="OVERTURNED", key="OVERRIDDEN", day=DAY)
    assert row["id"] == line.pk
    assert Decision.objects.get(pk=row["decision_id"]).state == "SUPERSEDED"
    assert counts(found.winners)["C0"] == 1


def test_guides_by_day_equal_their_holds(company: Console) -> None:
    for code, fen in GuideDay.objects.filter(day=DAY).values_list("guide_code", "commission_fen"):
        holds = Hold.objects.filter(beneficiary__code=code, earned_on=DAY)
        assert fen == sum(hold.amount_fen - hold.reversed_fen - hold.clawed_fen for hold in holds) > 0
    assert set(GuideDay.objects.filter(day=DAY).values_list("guide_code", flat=True)) == {"G00001", "G00002", "G00004"}


def test_concentration_within_a_store(company: Console) -> None:
    (store,) = panel().stores  # S1: A has 5.00, M has 2.00
    assert (store.store, store.guide_count, store.commission_fen) == ("S1店", 2, 700)
    assert (store.first_code, store.first_bp) == ("G00001", 500 * 10_000 // 700)
    assert store.gini_bp == fairness.gini_bp([200, 500]) == 300 * 10_000 // 1_400


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [([], 0), ([5], 0), ([3, 3, 3], 0), ([0, 0, 0, 10], 7_500), ([1, 3], 2_500), ([3, 1], 2_500)],
)
def test_gini(amounts: list[int], expected: int) -> None:
    assert fairness.gini_bp(amounts) == expected


def test_counting_twice_changes_nothing(company: Console) -> None:
    fields = ("day", "store", "rule", "topic", "key", "row_count", "net_fen")
    before = sorted(FairnessDay.objects.values_list(*fields), key=str)
    fairness.mark([DAY])
    assert fairness.recount() == 1
    assert sorted(FairnessDay.objects.values_list(*fields), key=str) == before


def test_a_refund_is_no_sale(company: Console) -> None:
    company.shops.refund("bound", 4_000, AT + HOUR)
    fairness.recount()
    assert next(row.net_fen for row in panel().winners if row.key == "C3") == 10_000 - 4_000 + 6_000


def test_a_scope_sees_the_lines_of_its_stores(company: Console) -> None:
    north = panel(scope=org.scope_of(company.staff["region"]))
    assert counts(north.winners) == {"C3": 1, "C1": 1, "C5": 1, "HELD": 1, "INELIGIBLE": 1}
    assert counts(north.pool) == {"C1 UNKNOWN_GUIDE": 1}  # HQ's own lines are HQ's
    foreign = Part(store_id=company.shops.stores["S2"].pk)
    assert panel(scope=org.scope_of(company.staff["region"]), part=foreign).winners == []
    found = fairness.lines(scope=org.scope_of(company.staff["region"]), part=Part(), topic="WINNER", key="C3", day=DAY)
    assert [row["id"] for row in found] == [company.shops.lines["bound"].pk]


def test_the_panel_reads_no_big_table(company: Console, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(8) as caught:
        panel()
    statements = " ".join(query["sql"] for query in caught.captured_queries)
    for table in ("members_orderline", "attribution_decision", "attribution_hold", "guides_bindingrequest"):
        assert table not in statements


def test_the_page_and_what_lies_behind_each_figure(company: Console) -> None:
    url = reverse("admin:attribution_fairnessday_changelist")
    period = {"first": DAY.isoformat(), "last": DAY.isoformat()}
    page = company.client("hq").get(url, period)
    text = page.content.decode()
    assert "专属关系" in text and "买家未知" in text
    assert "SELECT" in text  # the query that must find nothing
    links = [one["url"] for table in page.context["tables"].values() for one in table]
    assert links
    for link in links:
        lines = company.client("hq").get(url + link)
        assert lines.status_code == 200
        assert len(lines.context["lines"]) >= 1
    empty = company.client("hq").get(url, {"first": "2025-01-01", "last": "2025-01-31"})
    assert "没有" in empty.content.decode()
    assert company.client("hq").get(url + "lines/?topic=NONSENSE&key=x").status_code == 404


@pytest.mark.parametrize("name", ["region", "franchisee", "franchisee_b", "manager", "auditor"])
def test_whoever_may_look_sees_the_page_cut_to_her_stores(company: Console, name: str) -> None:
    url = reverse("admin:attribution_fairnessday_changelist")
    answer = company.client(name).get(url, {"first": DAY.isoformat(), "last": DAY.isoformat()})
    assert answer.status_code == 200
    scope = org.scope_of(company.staff[name])
    if scope.store_ids is not None:
        whole = fairness.read(scope=scope, part=Part(), first=DAY, last=DAY)
        assert answer.context["panel"].line_count == whole.line_count < 8
        assert "S2店" not in answer.content.decode() or company.shops.stores["S2"].pk in scope.store_ids


def test_the_period_is_cut_to_what_a_screen_can_show(company: Console) -> None:
    found = fairness.read(scope=org.EVERYTHING, part=Part(), first=dt.date(2020, 1, 1), last=DAY)
    assert len(found.days) == fairness.LONGEST
    assert timezone.localdate() > DAY
