"""Simulations: the same orders under another rule; nothing is posted, nothing depends on who does which part."""

from __future__ import annotations

import datetime as dt
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from attribution import rulebook, simulation
from attribution.models import ChangedLine, Decision, Entry, Hold, RuleRate, RuleVersion, Simulation, SimulationRow
from attribution.simulation import replay, results, runs
from members.models import OrderLine
from scrm import jobs, org
from scrm.models import Act, Job
from tests.factories import shops as factory
from tests.factories.console import Console, console

TODAY = dt.date(2026, 3, 15)
AT = dt.datetime(2026, 3, 15, 4, tzinfo=dt.UTC)
PERIOD: dict[str, Any] = {"first_day": dt.date(2026, 3, 1), "last_day": dt.date(2026, 3, 31)}
POSTED = ("attribution_decision", "attribution_txn", "attribution_entry", "attribution_hold", "attribution_account")


@pytest.fixture
def company(db: None) -> Console:
    return march(console())


def march(found: Console) -> Console:
    """A month: sales of one's own guide, of another's, online, of nobody, refunded, held back, not eligible."""
    shops = found.shops
    shops.line("own", member="安琪", store="S1", paid_fen=10_000, at=AT, cashier=shops.guides["A"].code)
    shops.line("other", member="安琪", store="S1", paid_fen=30_001, at=AT, cashier=shops.guides["M"].code)
    shops.line("abroad", member="白鹭", store="F1", paid_fen=50_000, at=AT, cashier=shops.guides["F"].code)
    shops.line("online", member="付雪", store=None, paid_fen=7_777, at=AT)
    shops.line("nobody", member=None, store=None, paid_fen=5_000, at=AT)
    shops.line("marked", member="安琪", store="S1", paid_fen=9_000, at=AT, risk_mark="BULK")
    shops.line("test", member="安琪", store="S1", paid_fen=9_000, at=AT, is_test=True)
    shops.refund("other", 10_000, AT + dt.timedelta(days=1))
    shops.refund("abroad", 3_333, AT + dt.timedelta(days=2))
    return found


def draft(company: Console, **values: Any) -> RuleVersion:
    """A draft of HQ's that says what the default rule says, but for ``values``."""
    rule = rulebook.draft_from(version_id=RuleVersion.objects.get(number=1).pk, name="草稿", actor=company.staff["hq"])
    RuleVersion.objects.filter(pk=rule.pk).update(**values)
    rule.refresh_from_db()
    return rule


def simulate(company: Console, **asked: Any) -> Simulation:
    found = simulation.start(actor=company.staff["hq"], **{**PERIOD, **asked})
    assert found.job is not None
    assert jobs.run(found.job.pk).status == Job.Status.DONE
    found.refresh_from_db()
    return found


def posted_digest() -> str:
    """Everything that decisions and ledger hold, row by row."""
    digest = hashlib.sha256()
    with connection.cursor() as cursor:
        for table in POSTED:
            cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
            digest.update(repr(cursor.fetchall()).encode())
    return digest.hexdigest()


def found_rows(found: Simulation) -> list[tuple[Any, ...]]:
    fields = ("beneficiary_code", "store__code", "channel", *results.SUMS)
    return sorted(SimulationRow.objects.filter(simulation=found).values_list(*fields), key=str)


def found_lines(found: Simulation) -> list[tuple[Any, ...]]:
    fields = ("rank", "line_id", "moved_fen", "moved_credit_fen", "now_plain", "then_plain", "store_ids")
    return list(ChangedLine.objects.filter(simulation=found).order_by("rank").values_list(*fields))


def test_nothing_is_posted(company: Console) -> None:
    before = posted_digest()
    simulate(company, mode="POS_FIRST")
    simulate(company, rule_id=draft(company, mode="SPLIT").pk)
    assert posted_digest() == before


def test_a_rule_against_itself_changes_nothing(company: Console) -> None:
    for found in (simulate(company, mode="SERVICE_FIRST"), simulate(company, rule_id=draft(company).pk)):
        assert found.line_count == 7
        assert found.changed_count == 0
        assert not found.changed_lines.exists()
        for row in found.rows.all():
            assert (row.credit_now_fen, row.commission_now_fen, row.line_now_count) == (
                row.credit_then_fen, row.commission_then_fen, row.line_then_count,
            )  # fmt: skip
        total = results.total(simulation=found, scope=org.EVERYTHING)
        net = 10_000 + 20_001 + 46_667 + 7_777 + 5_000
        assert total.credit_now_fen == total.credit_then_fen == net  # A11: every posted line counts once, as a whole
        lines = [company.shops.lines[name].pk for name in ("own", "other", "abroad", "online", "nobody")]
        held = sum(h.amount_fen - h.reversed_fen - h.clawed_fen for h in Hold.objects.filter(line_id__in=lines))
        assert total.commission_now_fen == held > 0


def test_the_cashier_instead_of_the_bound_guide(company: Console) -> None:
    found = simulate(company, mode="POS_FIRST")
    by_guide = {group.code: group for group in results.groups(simulation=found, by="guide", scope=org.EVERYTHING)}
    # "other": 300.01 − 100.00 = 200.01 at 5 % = 10.00; "abroad": 500.00 − 33.33 = 466.67 at 5 % = 23.33
    assert by_guide["G00001"].commission_fen == -1_000
    assert by_guide["G00004"].commission_fen == 1_000
    assert by_guide["G00002"].commission_fen == -2_333
    assert by_guide["G00003"].commission_fen == 2_333
    assert by_guide["G00003"].credit_fen == 46_667
    assert by_guide["HQ_POOL"].commission_fen == 0
    assert found.changed_count == 2
    assert {group.code: group.commission_fen for group in results.groups(simulation=found, by="store", scope=org.EVERYTHING)} == {
        "S1": 0, "S2": -2_333, "F1": 2_333, "": 0,
    }  # fmt: skip
    assert [group.code for group in results.winners(by_guide.values())] == ["G00003", "G00004"]
    assert [group.code for group in results.losers(by_guide.values())] == ["G00002", "G00001"]


@pytest.mark.parametrize("by", list(results.DIMENSIONS))
def test_every_dimension_adds_up_to_the_same(company: Console, by: str) -> None:
    found = simulate(company, rule_id=draft(company, mode="SPLIT", seller_bp=6_000, service_bp=4_000).pk)
    total = results.total(simulation=found, scope=org.EVERYTHING)
    groups = results.groups(simulation=found, by=by, scope=org.EVERYTHING)
    assert groups
    for name in results.SUMS:
        assert sum(getattr(group, name) for group in groups) == getattr(total, name)


def test_the_lines_that_change_most_tell_both_decisions(company: Console) -> None:
    found = simulate(company, mode="POS_FIRST")
    first, second = results.lines(simulation=found, scope=org.EVERYTHING)
    assert first["row"].line_id == company.shops.lines["abroad"].pk
    assert second["row"].line_id == company.shops.lines["other"].pk
    assert first["row"].moved_fen == 4_666
    assert "服务优先" in first["now"][0]
    assert any("获得者：专属关系 李娜（G00002）" in sentence for sentence in first["now"])
    assert "收银优先" in first["then"][0]
    assert any("获得者：收银导购 陈静（G00003）" in sentence for sentence in first["then"])
    assert any("未获得：专属关系 李娜" in sentence for sentence in first["then"])


def test_a_rate_of_a_draft_counts(company: Console) -> None:
    rule = draft(company)
    RuleRate.objects.filter(rule=rule).update(rate_bp=800)
    found = simulate(company, rule_id=rule.pk, budget_fen=10_000)
    total = results.total(simulation=found, scope=org.EVERYTHING)
    net = (10_000, 20_001, 46_667, 7_777, 5_000)
    assert total.commission_then_fen == sum((base * 800 + 5_000) // 10_000 for base in net)
    assert total.credit_then_fen == total.credit_now_fen
    assert found.changed_count == 5


def test_a_line_that_waits_counts_by_the_rule_in_force(company: Console) -> None:
    line = company.shops.lines["own"]
    day = line.booked_on
    OrderLine.objects.filter(pk=line.pk, booked_on=day)
    order = factory.Order.objects.create(channel="POS", shop="S1", order_no="waits", booked_on=day)
    waiting = OrderLine.objects.create(
        order=order, booked_on=day, line_no=1, channel="POS", version_at=AT, content_hash="f" * 32, created_at=AT, paid_at=AT,
        store=company.shops.stores["S1"], cashier_code="G00004", member=company.shops.members["安琪"],
        product=factory.product("水果1"), quantity=1, list_fen=2_000, paid_fen=2_000,
    )  # fmt: skip
    found = simulate(company, mode="POS_FIRST")
    assert found.undecided_count == 1
    by_guide = {group.code: group for group in results.groups(simulation=found, by="guide", scope=org.EVERYTHING)}
    assert by_guide["G00004"].commission_fen == 1_000 + 100
    assert by_guide["G00001"].commission_fen == -1_000 - 100
    assert not Decision.objects.filter(line_id=waiting.pk).exists()


def test_a_buyer_found_too_late_stays_with_hq_under_the_same_rule(company: Console) -> None:
    """A12: what the late link left with the HQ pool does not come back through a simulation."""
    from attribution import decisions
    from members.models import LineToDecide

    line = company.shops.lines["nobody"]
    OrderLine.objects.filter(pk=line.pk, booked_on=line.booked_on).update(member=company.shops.members["安琪"])
    LineToDecide.objects.create(line_id=line.pk, booked_on=line.booked_on)
    decisions.decide_lines(line_ids=[line.pk])
    assert factory.live_decision(line).winner_code == "HQ_POOL"
    found = simulate(company, mode="SERVICE_FIRST")
    assert found.changed_count == 0
    longer = simulate(company, rule_id=draft(company, late_link_days=5_000).pk)
    by_guide = {group.code: group for group in results.groups(simulation=longer, by="guide", scope=org.EVERYTHING)}
    assert (by_guide["G00001"].commission_fen, by_guide["HQ_POOL"].commission_fen) == (250, -250)


def test_killed_and_resumed_gives_the_same(company: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(company, mode="POS_FIRST")
    monkeypatch.setattr(runs, "SLICE", 2)
    asked = simulation.start(actor=company.staff["hq"], mode="POS_FIRST", workers=1, **PERIOD)
    assert asked.job is not None

    class Killed(BaseException):
        pass

    tally = replay.tally

    def dies(keys: Any, **terms: Any) -> replay.Tally:
        if asked.slices.exclude(outcome=None).count() == 2:
            raise Killed
        return tally(keys, **terms)

    monkeypatch.setattr(replay, "tally", dies)
    with pytest.raises(Killed):
        jobs.run(asked.job.pk)
    assert asked.slices.exclude(outcome=None).count() == 2
    assert asked.slices.count() == 4
    Job.objects.filter(pk=asked.job.pk).update(status=Job.Status.RUNNING)  # as a kill leaves it: nobody wrote an end
    monkeypatch.setattr(replay, "tally", tally)
    assert jobs.run(asked.job.pk).status == Job.Status.DONE
    asked.refresh_from_db()
    assert found_rows(asked) == found_rows(whole)
    assert found_lines(asked) == found_lines(whole)
    assert not asked.slices.exists()
    assert jobs.run(asked.job.pk).status == Job.Status.DONE
    assert found_rows(asked) == found_rows(whole)


def test_two_processes_share_the_ranges(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    company = march(console())
    whole = simulate(company, mode="POS_FIRST")
    monkeypatch.setattr(runs, "SLICE", 1)
    asked = simulation.start(actor=company.staff["hq"], mode="POS_FIRST", workers=1, **PERIOD)
    runs._cut(asked)

    def take() -> int:
        try:
            return simulation.take_part(simulation_id=asked.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(lambda _: take(), range(3)))
    assert sum(shares) == 7
    assert asked.job is not None
    assert jobs.run(asked.job.pk).status == Job.Status.DONE
    assert found_rows(asked) == found_rows(whole)
    assert found_lines(asked) == found_lines(whole)


def test_a_cancelled_simulation_takes_no_more(company: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SLICE", 1)
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0)
    asked = simulation.start(actor=company.staff["hq"], mode="POS_FIRST", workers=1, **PERIOD)
    assert asked.job is not None
    tally = replay.tally

    def cancelled(keys: Any, **terms: Any) -> replay.Tally:
        simulation.cancel(simulation=asked, actor=company.staff["hq"])
        return tally(keys, **terms)

    monkeypatch.setattr(replay, "tally", cancelled)
    assert jobs.run(asked.job.pk).status == Job.Status.CANCELLED
    assert asked.slices.exclude(outcome=None).count() == 1
    assert simulation.take_part(simulation_id=asked.pk) == 0
    asked.refresh_from_db()
    assert asked.finished_at is None


def test_a_draft_edited_meanwhile_fails_its_simulation(company: Console) -> None:
    rule = draft(company)
    asked = simulation.start(actor=company.staff["hq"], rule_id=rule.pk, **PERIOD)
    RuleVersion.objects.filter(pk=rule.pk).update(late_link_days=3)
    assert asked.job is not None
    with pytest.raises(simulation.RuleChanged):
        jobs.run(asked.job.pk)
    assert Job.objects.get(pk=asked.job.pk).status == Job.Status.FAILED


def test_the_publisher_learns_whether_the_draft_was_simulated(company: Console) -> None:
    rule = draft(company, mode="SPLIT")
    assert results.last_of(rule) == results.Checked(None, is_current=False)
    found = simulate(company, rule_id=rule.pk)
    assert results.last_of(rule) == results.Checked(found, is_current=True)
    RuleVersion.objects.filter(pk=rule.pk).update(late_link_days=3)
    assert results.last_of(rule) == results.Checked(found, is_current=False)


def test_a_scope_sees_its_own_stores_only(company: Console) -> None:
    found = simulate(company, mode="POS_FIRST")
    north = org.scope_of(company.staff["region"])  # S1 and F1
    stores = {group.code for group in results.groups(simulation=found, by="store", scope=north)}
    assert stores == {"S1", "F1"}
    assert results.total(simulation=found, scope=north).commission_then_fen < (
        results.total(simulation=found, scope=org.EVERYTHING).commission_then_fen
    )
    franchisee = org.scope_of(company.staff["franchisee"])
    (line,) = results.lines(simulation=found, scope=franchisee)  # "abroad": sold in F1
    assert line["row"].line_id == company.shops.lines["abroad"].pk
    assert not any("李娜" in sentence for sentence in line["now"] + line["then"])
    assert results.lines(simulation=found, scope=org.scope_of(company.staff["franchisee_b"])) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"mode": ""}, "选择"),
        ({"mode": "SPLIT", "first_day": dt.date(2026, 4, 1)}, "结束"),
        ({"mode": "SPLIT", "first_day": dt.date(2024, 4, 1)}, "400"),
        ({"mode": "SPLIT", "budget_fen": -1}, "负"),
    ],
)
def test_a_question_without_sense_is_refused_without_a_trace(
    company: Console, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(simulation.CannotSimulate, match=words):
        simulation.start(actor=company.staff["hq"], **{**PERIOD, **asked})
    assert not Simulation.objects.exists()
    assert not Job.objects.filter(kind=simulation.KIND).exists()
    assert not Act.objects.filter(verb="simulation.start").exists()


def test_a_draft_without_a_rate_for_everything_is_refused(company: Console) -> None:
    rule = draft(company)
    RuleRate.objects.filter(rule=rule).delete()
    with pytest.raises(simulation.CannotSimulate, match="佣金率"):
        simulation.start(actor=company.staff["hq"], rule_id=rule.pk, **PERIOD)


@pytest.mark.parametrize(
    ("changes", "bars"),
    [
        ([], []),
        ([0, 0], [(0, 1, 2)]),
        ([-100, 100, 0, 15], [(-120, -100, 0), (-100, -80, 1)]),
    ],
)
def test_the_distribution_counts_everybody_once(changes: list[int], bars: list[tuple[int, int, int]]) -> None:
    found = results.distribution(changes)
    assert sum(bar.count for bar in found) == len(changes)
    for change in changes:
        assert any(bar.least_fen <= change < bar.below_fen for bar in found)
    assert len(found) <= results.BINS + 2
    if not changes or not any(changes):
        assert [(bar.least_fen, bar.below_fen, bar.count) for bar in found] == bars


def test_no_lines_is_a_result_too(company: Console) -> None:
    found = simulate(company, mode="SPLIT", first_day=dt.date(2025, 1, 1), last_day=dt.date(2025, 1, 31))
    assert found.finished_at is not None
    assert (found.line_count, found.rows.count()) == (0, 0)
    assert results.groups(simulation=found, by="guide", scope=org.EVERYTHING) == []


def test_the_ledger_stays_readable_beside_it(company: Console) -> None:
    simulate(company, mode="SPLIT")
    assert Entry.objects.exists()
    assert Act.objects.filter(verb="simulation.start").count() == 1
    assert timezone.now() >= Simulation.objects.get().requested_at
