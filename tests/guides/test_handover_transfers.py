"""WeCom's side of a handover: batches, codes, lost answers, results, events, groups; and who stayed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from attribution import rulebook
from attribution.models import RuleVersion
from guides.handover import cases, figures, moving, plan, results
from guides.models import Binding, Friendship, HandoverCase, HandoverGroup, HandoverItem, HandoverTaker, Touch
from scrm.models import OutboxMessage
from scrm.wecom import inbox, outbox
from tests.factories import shops as factory
from tests.guides import handover_company
from tests.guides.handover_company import Company, Transfers, send
from tests.scrm.wecom import calls
from tests.scrm.wecom.conftest import CORP_ID, Raw, Wecom, in_threads, no_long_pauses, refusal, wecom  # noqa: F401

NAMES = ("安琪", "白露", "晨曦", "丁香")
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def company(db: None) -> Company:
    inbox._known.clear()
    return handover_company.company()


@pytest.fixture
def other_side(wecom: Wecom) -> Transfers:  # noqa: F811
    return Transfers(wecom)


def moved(company: Company, *takers: str) -> HandoverCase:
    for name in NAMES:
        company.customer(name)
    return company.run(company.planned(*takers))


def friendship(company: Company, name: str, guide: str) -> Friendship:
    return Friendship.objects.get(contact=company.friends[name], userid=handover_company.ACCOUNTS[guide])


# --- asking -----------------------------------------------------------------------------------------------------------


def test_a_batch_holds_a_hundred_customers_of_one_pair(company: Company, other_side: Transfers) -> None:
    contacts = [f"客户{number}" for number in range(205)]
    for name in contacts:
        company.customer(name, guide=None)
    case = company.planned("M", "C")
    HandoverItem.objects.update(taker=HandoverTaker.objects.get(guide=company.guide("M")))
    company.run(case)
    send()
    assert [len(said["external_userid"]) for said in other_side.asked] == [100, 100, 5]
    assert {(said["handover_userid"], said["takeover_userid"]) for said in other_side.asked} == {
        ("wangfang", "zhangmin")
    }
    everybody = [external for said in other_side.asked for external in said["external_userid"]]
    assert len(set(everybody)) == 205
    assert set(HandoverItem.objects.values_list("state", flat=True)) == {"WAITING"}


def test_who_has_left_is_asked_for_by_the_other_call(company: Company, other_side: Transfers, wecom: Wecom) -> None:  # noqa: F811
    company.customer("安琪")
    company.case()
    HandoverCase.objects.update(is_resigned=True)
    company.run(company.planned("M", message="您好"))
    send()
    (said,) = wecom.bodies("externalcontact/resigned/transfer_customer")
    assert said is not None and "transfer_success_msg" not in said
    assert wecom.calls("externalcontact/transfer_customer") == []


def test_each_code_of_wecom_is_a_state_of_its_own_and_no_binding_goes_back(
    company: Company, other_side: Transfers
) -> None:
    codes = {"满了": 40099, "两次": 40128, "陌生": 40096, "不是": 40131, "在途": 40129, "好": 0, "怪": 40130}
    for name, code in codes.items():
        company.customer(name)
        other_side.codes[f"wm{name}"] = code
    case = company.run(company.planned())
    send()
    assert company.states(case) == {
        "满了": "AT_LIMIT", "两次": "TWICE_IN_90_DAYS", "陌生": "NOT_CUSTOMER", "不是": "NOT_CUSTOMER", "在途": "WAITING",
        "好": "WAITING", "怪": "FAILED",
    }  # fmt: skip
    assert HandoverItem.objects.get(state="FAILED").code == "40130"
    assert {company.bound_to(name) for name in codes} == {"M"}


def test_what_is_busy_is_asked_again_a_few_times(company: Company, other_side: Transfers) -> None:
    company.customer("安琪")
    company.customer("白露")
    other_side.codes["wm安琪"] = 45035
    case = company.run(company.planned())
    for number in range(5):
        send(timezone.now() + number * HOUR)
    assert [len(said["external_userid"]) for said in other_side.asked] == [2, 1, 1]
    assert company.states(case) == {"安琪": "FAILED", "白露": "WAITING"}
    assert HandoverItem.objects.get(state="FAILED").code == "45035"


def test_a_call_refused_as_a_whole_fails_its_batch_and_a_person_may_send_it_again(
    company: Company,
    other_side: Transfers,
    wecom: Wecom,  # noqa: F811
) -> None:
    company.customer("安琪")
    case = company.run(company.planned())
    answer = wecom._handlers["externalcontact/transfer_customer"]
    wecom.on("externalcontact/transfer_customer", refusal(40098))
    send()
    item = HandoverItem.objects.get()
    case.refresh_from_db()
    assert (item.state, item.code, case.status, company.bound_to("安琪")) == ("FAILED", "40098", "DONE", "M")
    wecom._handlers["externalcontact/transfer_customer"] = answer
    outbox.retry(message=OutboxMessage.objects.get(), actor=company.hq, now=timezone.now())
    send()
    item.refresh_from_db()
    assert item.state == "WAITING"


def test_a_lost_answer_is_read_not_repeated(company: Company, other_side: Transfers, wecom: Wecom) -> None:  # noqa: F811
    """W5: of four customers WeCom began two before the answer was lost: those wait, the others are asked alone."""
    case = moved(company)
    answer = wecom._handlers["externalcontact/transfer_customer"]

    def begins_two(request: Any) -> Any:
        request.body["external_userid"] = request.body["external_userid"][:2]
        answer(request)
        return Raw(502)

    wecom.on("externalcontact/transfer_customer", begins_two)
    send()
    assert OutboxMessage.objects.get().status == "UNKNOWN"
    wecom._handlers["externalcontact/transfer_customer"] = answer
    outbox.sweep(now=timezone.now() + HOUR)
    send(timezone.now() + HOUR)
    assert [len(said["external_userid"]) for said in other_side.asked] == [2, 2]
    assert set(company.states(case).values()) == {"WAITING"}


def test_a_call_that_never_arrived_is_sent_again(company: Company, other_side: Transfers, wecom: Wecom) -> None:  # noqa: F811
    """W5; an earlier transfer of the same pair is not taken for this one."""
    case = moved(company)
    long_ago = int((timezone.now() - 200 * DAY).timestamp())
    other_side.results["wangfang", "zhangmin"] = [{"external_userid": "wm安琪", "status": 1, "takeover_time": long_ago}]
    answer = wecom._handlers["externalcontact/transfer_customer"]
    wecom.on("externalcontact/transfer_customer", Raw(502))
    send()
    wecom._handlers["externalcontact/transfer_customer"] = answer
    outbox.sweep(now=timezone.now() + HOUR)
    send(timezone.now() + 2 * HOUR)
    assert [len(said["external_userid"]) for said in other_side.asked] == [4]
    assert set(company.states(case).values()) == {"WAITING"}


# --- results ----------------------------------------------------------------------------------------------------------


def test_after_24_hours_the_result_is_read_and_the_mirror_follows(company: Company, other_side: Transfers) -> None:
    case = moved(company)
    send()
    now = timezone.now()
    assert results.poll_due(now=now + 23 * HOUR) == 0
    at = (now + 24 * HOUR).replace(microsecond=0)
    other_side.decide("wangfang", "zhangmin", 1, at)
    assert results.poll_due(now=now + 25 * HOUR) == 4
    case.refresh_from_db()
    assert set(company.states(case).values()) == {"DONE"} and case.status == "DONE"
    before, after = friendship(company, "安琪", "A"), friendship(company, "安琪", "M")
    assert (before.ended_at, before.ended_by) == (at, "TRANSFERRED")
    assert (after.added_at, after.is_confirmed, after.ended_at, after.guide) == (at, True, None, company.guide("M"))
    assert after.add_way == 202 and not Touch.objects.exists()  # she chose nobody
    assert HandoverTaker.objects.get().next_poll_at is None
    assert results.poll_due(now=now + 100 * DAY) == 0


@pytest.mark.parametrize(("status", "state"), [(3, "REFUSED"), (4, "AT_LIMIT")])
def test_a_refusal_or_a_limit_leaves_the_binding(
    company: Company, other_side: Transfers, status: int, state: str
) -> None:
    case = moved(company)
    send()
    now = timezone.now()
    other_side.decide("wangfang", "zhangmin", status, now + DAY)
    results.poll_due(now=now + 25 * HOUR)
    case.refresh_from_db()
    assert set(company.states(case).values()) == {state} and case.status == "DONE"
    assert company.bound_to("安琪") == "M"
    assert friendship(company, "安琪", "A").ended_at is None


def test_who_waits_is_read_daily_and_given_up_in_the_end(company: Company, other_side: Transfers) -> None:
    case = moved(company)
    send()
    now = timezone.now()
    other_side.results.clear()
    for day in range(1, 9):
        results.poll_due(now=now + day * DAY + HOUR)
    case.refresh_from_db()
    assert set(company.states(case).values()) == {"FAILED"} and case.status == "DONE"
    assert set(HandoverItem.objects.values_list("code", flat=True)) == {"no_result"}


def test_results_that_cannot_be_read_are_read_later(company: Company, other_side: Transfers, wecom: Wecom) -> None:  # noqa: F811
    moved(company)
    send()
    now, path = timezone.now(), "externalcontact/transfer_result"
    answer = wecom._handlers[path]
    wecom.on(path, refusal(-1))
    assert results.poll_due(now=now + 25 * HOUR) == 0
    wecom._handlers[path] = answer
    other_side.decide("wangfang", "zhangmin", 1, now + DAY)
    assert results.poll_due(now=now + 25 * HOUR) == 0  # somebody is on it, as far as we know
    assert results.poll_due(now=now + 27 * HOUR) == 4


def test_one_worker_reads_the_results_of_a_taker(transactional_db: None, wecom: Wecom) -> None:  # noqa: F811
    """W10"""
    other_side = Transfers(wecom)
    firm = handover_company.company()
    moved(firm)
    send()
    at = timezone.now() + DAY
    other_side.decide("wangfang", "zhangmin", 1, at)
    ended = in_threads(4, lambda n: results.poll_due(now=at + HOUR))
    assert sorted(ended) == [0, 0, 0, 4]
    assert len(wecom.calls("externalcontact/transfer_result")) == 1


# --- events -----------------------------------------------------------------------------------------------------------


def tell(change: str, at: dt.datetime, userid: str, name: str, **tags: str) -> None:
    body = calls.event(int(at.timestamp()), ChangeType=change, UserID=userid, ExternalUserID=f"wm{name}", **tags)
    body = body.replace(calls.CORP_ID.encode(), CORP_ID.encode())
    assert calls.send(body, keys=calls.crypto.Keys(calls.TOKEN, calls.KEYS.aes_key, CORP_ID)).status_code == 200
    inbox.process(now=timezone.now())


def test_events_say_it_before_the_result_is_read(company: Company, other_side: Transfers) -> None:
    calls.endpoint(corp_id=CORP_ID)
    case = moved(company)
    send()
    at = timezone.now() + DAY
    tell("add_external_contact", at, "zhangmin", "安琪")
    tell("del_external_contact", at, "wangfang", "安琪", Source="DELETE_BY_TRANSFER")
    tell("transfer_fail", at, "zhangmin", "白露", FailReason="customer_refused")
    tell("transfer_fail", at, "zhangmin", "晨曦", FailReason="customer_limit_exceed")
    assert company.states(case) == {"安琪": "DONE", "白露": "REFUSED", "晨曦": "AT_LIMIT", "丁香": "WAITING"}
    assert friendship(company, "安琪", "A").ended_by == "TRANSFERRED"
    assert friendship(company, "安琪", "M").add_way == 202 and not Touch.objects.exists()
    other_side.decide("wangfang", "zhangmin", 1, at)  # the later reading does not undo what was decided
    results.poll_due(now=at + HOUR)
    assert company.states(case) == {"安琪": "DONE", "白露": "REFUSED", "晨曦": "AT_LIMIT", "丁香": "DONE"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_refusal_and_a_later_friendship_end_the_same_in_any_order(
    company: Company, other_side: Transfers, order: tuple[int, int]
) -> None:
    """W3, W4"""
    calls.endpoint(corp_id=CORP_ID)
    case = moved(company)
    send()
    at = timezone.now() + DAY
    events = (
        lambda: tell("transfer_fail", at, "zhangmin", "安琪", FailReason="customer_refused"),
        lambda: tell("add_external_contact", at + HOUR, "zhangmin", "安琪"),
    )
    for number in (*order, *order):
        events[number]()
    assert company.states(case)["安琪"] == "DONE"


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_go_over_in_batches_and_300_a_day(company: Company, other_side: Transfers) -> None:
    other_side.chats = [f"wr{number:04}" for number in range(650)]
    other_side.failed_chats = {"wr0001": 90503}
    case = company.run(company.planned("M"))
    send()
    assert [len(said["chat_id_list"]) for said in other_side.asked] == [100, 100, 100]
    send(timezone.now() + DAY + HOUR)
    send(timezone.now() + 2 * DAY + HOUR)
    assert [len(said["chat_id_list"]) for said in other_side.asked] == [100] * 6 + [50]
    assert HandoverGroup.objects.filter(state="DONE").count() == 649
    assert HandoverGroup.objects.get(state="FAILED").code == "90503"
    case.refresh_from_db()
    assert case.status == "DONE"


def test_a_lost_answer_about_groups_is_read_from_their_owners(
    company: Company,
    other_side: Transfers,
    wecom: Wecom,  # noqa: F811
) -> None:
    """W5"""
    other_side.chats = ["wr1", "wr2"]
    company.run(company.planned("M"))
    path = "externalcontact/groupchat/onjob_transfer"
    answer = wecom._handlers[path]

    def done_and_lost(request: Any) -> Any:
        answer(request)
        return Raw(502)

    wecom.on(path, done_and_lost)
    send()
    outbox.sweep(now=timezone.now() + HOUR)
    assert set(HandoverGroup.objects.values_list("state", flat=True)) == {"DONE"}
    assert len(wecom.calls(path)) == 1


def test_groups_that_failed_are_named_with_the_reason_and_asked_for_again(
    company: Company, other_side: Transfers, client: Any
) -> None:
    other_side.chats = ["wr1", "wr2", "wr3"]
    other_side.failed_chats = {"wr1": 90503, "wr2": 90502}
    case = company.run(company.planned("M", "C"))
    send()
    client.force_login(company.shops.staff["hq"])
    page = client.get(f"/admin/guides/handovercase/{case.pk}/change/").content.decode()
    assert page.count("已达企业微信上限") == 2 and page.count("请按离职继承移交") == 2  # in the list and in the counts
    assert "wr1" in page and "重新移交失败的群" in page
    other_side.failed_chats = {}
    asked = len(other_side.asked)
    with pytest.raises(moving.UnknownTaker):
        moving.retry_groups(case=case, taker_code="G00002", actor=company.hq, now=timezone.now())
    assert moving.retry_groups(case=case, taker_code="G00005", actor=company.hq, now=timezone.now()) == 2
    send()
    assert sorted(said["chat_id_list"] for said in other_side.asked[asked:]) == [["wr1"], ["wr2"]]  # a call each
    assert {said["new_owner"] for said in other_side.asked[asked:]} == {"chenxi"}
    assert set(HandoverGroup.objects.values_list("state", "code")) == {("DONE", "")}
    with pytest.raises(moving.NoFailedGroup):
        moving.retry_groups(case=case, actor=company.hq, now=timezone.now())


# --- money, and who stayed --------------------------------------------------------------------------------------------


def test_worked_example_10(company: Company, other_side: Transfers) -> None:
    """Leaves on 10 June 18:00, assigned on the 11th 10:00, WeCom moves on the 12th 10:00: who gets which order."""
    cst = dt.timezone(8 * HOUR)
    company.customer("安琪")
    draft = rulebook.draft_from(version_id=RuleVersion.objects.get().pk, name="离职空档归门店", actor=company.hq)
    RuleVersion.objects.filter(pk=draft.pk).update(gap_pool_bp=10_000)
    june = dt.datetime(2026, 6, 1, tzinfo=cst)
    rulebook.publish(version_id=draft.pk, actor=company.second, now=june, effective_from=june)
    factory.leave(company.guide("A"), dt.datetime(2026, 6, 10, 18, tzinfo=cst))
    case = company.planned("M")
    plan.confirm(case=case, actor=company.second, now=timezone.now())
    moving.move_some(case_id=case.pk, now=dt.datetime(2026, 6, 11, 10, tzinfo=cst))
    assert HandoverItem.objects.get().state == "ASKED"  # WeCom has not moved anything yet
    expected = []
    for name, paid_fen, at, winner, commission in (
        ("before", 52_900, dt.datetime(2026, 6, 9, 12, tzinfo=cst), company.guide("A").code, 2_645),
        ("gap", 23_900, dt.datetime(2026, 6, 11, 9, tzinfo=cst), "STORE:S1", 1_195),
        ("after", 31_900, dt.datetime(2026, 6, 12, 8, tzinfo=cst), company.guide("M").code, 1_595),
    ):
        line = company.shops.line(name, member="安琪", store=None, paid_fen=paid_fen, at=at)
        decision = factory.live_decision(line)
        (share,) = decision.shares
        assert (share[1], decision.pot_fen) == (winner, commission), name
        expected.append(name)
    assert len(expected) == 3


def test_who_stayed_and_who_bought(company: Company, other_side: Transfers) -> None:
    case = moved(company, "M", "C")
    company.customer("只是会员", friend_of=None)
    now = timezone.now()
    start = now - 40 * DAY
    HandoverCase.objects.update(started_at=start)
    HandoverItem.objects.update(state="DONE", bound_at=start, takeover_at=start + DAY, state_at=start + DAY)
    for item in case.items.select_related("taker", "contact"):
        assert item.taker is not None and item.contact is not None
        Friendship.objects.create(
            contact=item.contact,
            corp=company.corp,
            userid=item.taker.userid,
            added_at=start + DAY,
            guide=item.taker.guide,
        )
    gone = Friendship.objects.filter(userid="zhangmin").order_by("pk")
    gone.filter(pk=gone[0].pk).update(customer_left_at=start + 5 * DAY)
    gone.filter(pk=gone[1].pk).update(ended_at=start + 20 * DAY, ended_by="DELETED")
    company.shops.line("soon", member="安琪", store="S1", paid_fen=100, at=start + 3 * DAY)
    company.shops.line("late", member="白露", store="S1", paid_fen=100, at=start + 25 * DAY)
    company.shops.line("before", member="晨曦", store="S1", paid_fen=100, at=start - DAY)
    case.refresh_from_db()
    everybody, *takers = figures.retention(case=case, now=now)
    assert (everybody.moved, everybody.done, everybody.refused) == (4, 4, 0)
    assert [(stay.friends, stay.kept, stay.moved, stay.bought) for stay in everybody.stays] == [
        (4, 3, 4, 1), (4, 2, 4, 2), (0, 0, 0, 0),
    ]  # fmt: skip
    assert [(row.code, row.stays[1].kept) for row in takers] == [("G00004", 0), ("G00005", 2)]
    assert (
        figures.retention(case=cases.open_by_hand(guide=company.guide("B"), reason="x", actor=None, now=now), now=now)
        == []
    )


def test_the_bindings_of_the_moved_are_open_intervals_without_overlap(company: Company, other_side: Transfers) -> None:
    """A2"""
    moved(company)
    for name in NAMES:
        first, second = Binding.objects.filter(member=company.shops.members[name]).order_by("started_at")
        assert first.ended_at == second.started_at and second.ended_at is None
