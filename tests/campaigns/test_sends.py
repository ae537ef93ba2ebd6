"""Mass sends from plan to result, against a WeCom on this machine: M1, M2, S7, one guide per customer, the contact budget."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from campaigns import experiments, sends
from campaigns.experiments import draw
from campaigns.models import (
    Assignment,
    ContactBudget,
    Experiment,
    FileUpload,
    Holdout,
    Recipient,
    Send,
    SendBatch,
    ShortLink,
)
from campaigns.sends import ending, handing, planning, results
from guides.models import Friendship
from members import consent
from members.models import Member
from scrm import org
from scrm.models import OutboxMessage
from scrm.wecom import mass_sends, outbox
from scrm.wecom.sandbox import sends as sandbox_sends
from tests.campaigns.mailing import DAY, Mailing, mailing, run_job
from tests.factories import content as content_factory
from tests.factories import shops as factory
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> Mailing:
    """Nobody is in the universal hold-out unless a test says so."""
    monkeypatch.setattr(draw, "HOLDOUT_BP", 0)
    return mailing(sandbox)


def fates(send: Send) -> dict[str, str]:
    rows = Recipient.objects.filter(send=send).values_list("member__name", "state", "reason")
    return {name: reason or state for name, state, reason in rows}


def confirm(company: Mailing, send: Send, *only: str) -> None:
    for msgid, task in [(one.msgid, one) for one in company.wired.world.mass_sends.values() for one in [one]]:
        for userid in task.tasks:
            if not task.tasks[userid].sent_at and not task.is_cancelled and (not only or userid in only):
                sandbox_sends.confirm(company.wired.world, msgid, userid)


def withdraw(member: Member) -> None:
    now = timezone.now()
    consent.say(member=member, purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=now, now=now)


# --- planning ---


def test_each_member_is_planned_for_one_guide_or_left_out_with_the_first_reason(company: Mailing) -> None:
    shops = company.shops
    leaver = factory.hire("G00009", "离职", shops.stores["S1"])
    factory.leave(leaver, timezone.now() - DAY)
    shops.guides["L"] = leaver
    company.wired.world.add_member("G00009", "离职")
    rows = [
        company.member("绑定优先", "A", "B", bound="A", store="S2"),
        company.member("本店优先", "B", "A", store="S2"),
        company.member("最近优先", "A", "F", store="S2"),
        company.member("离职换人", "A", "L", bound="L"),
        company.member("只有离职", "L"),
        company.member("无好友"),
        company.member("已退订", "A"),
        company.member("已删导购", "A"),
        company.member("已冻结", "A"),
    ]
    withdraw(rows[6])
    Friendship.objects.filter(contact__member=rows[7]).update(customer_left_at=timezone.now())
    Member.objects.filter(pk=rows[8].pk).update(status="FROZEN")
    send = company.planned(*rows)
    assert fates(send) == {
        "绑定优先": "PLANNED", "本店优先": "PLANNED", "最近优先": "PLANNED", "离职换人": "PLANNED", "只有离职": "NO_GUIDE",
        "无好友": "NO_FRIEND", "已退订": "NO_CONSENT", "已删导购": "NO_FRIEND", "已冻结": "NOT_ACTIVE",
    }  # fmt: skip
    guides = dict(
        Recipient.objects.filter(send=send, batch__isnull=False).values_list("member__name", "batch__guide__code")
    )
    assert guides == {"绑定优先": "G00001", "本店优先": "G00002", "最近优先": "G00003", "离职换人": "G00001"}
    assert (send.audience_count, send.planned_count) == (9, 4)
    assert dict(sends.left_out(send=send)) == {
        "不愿接收营销": 1, "已不是有效会员": 1, "没有导购好友": 2, "好友导购都已离职": 1,
    }  # fmt: skip
    assert sends.prove(send=send) == []
    assert not OutboxMessage.objects.exists()


def test_planning_again_changes_nothing(company: Mailing) -> None:
    send = company.planned(company.member("甲", "A"), company.member("乙", "B"))
    before = list(Recipient.objects.order_by("member_id").values_list("member_id", "batch_id", "state"))
    sends.plan(send_id=send.pk, now=timezone.now())
    assert list(Recipient.objects.order_by("member_id").values_list("member_id", "batch_id", "state")) == before


def test_a_guides_customers_are_cut_into_tasks_of_wecoms_size(
    company: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_sends, "CUSTOMERS", 2)
    send = company.planned(*[company.member(f"客{n}", "A") for n in range(5)], company.member("乙", "B"))
    found = (
        SendBatch.objects.filter(send=send)
        .order_by("userid", "number")
        .values_list("userid", "number", "planned_count")
    )
    assert list(found) == [("g00001", 0, 2), ("g00001", 1, 2), ("g00001", 2, 1), ("g00002", 0, 1)]


def test_m1_the_database_refuses_a_second_row_and_a_second_end(company: Mailing) -> None:
    member = company.member("甲", "A")
    send = company.out(member)
    confirm(company, send)
    company.read(send)
    assert fates(send) == {"甲": "SENT"}
    row = Recipient.objects.get()
    for wrong in (
        lambda: Recipient.objects.create(
            send=send, member=member, state="PLANNED", batch_id=row.batch_id, contact_id=row.contact_id
        ),
        lambda: Recipient.objects.update(state="PLANNED"),
        lambda: Recipient.objects.update(state="LEFT"),
        lambda: Recipient.objects.all().delete(),
        lambda: SendBatch.objects.update(sent_count=7),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            wrong()


def test_the_control_group_and_the_universal_holdout_are_never_planned(
    company: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw, "HOLDOUT_BP", 2000)
    members = [company.member(f"客{n}", "A") for n in range(40)]
    send = company.planned(*members, holdout_bp=3000)
    assert send.experiment_id is not None
    holdout, arms = Holdout.objects.get(), dict(Assignment.objects.values_list("member_id", "arm_number"))
    for row in Recipient.objects.filter(send=send):
        if draw.is_held_out(holdout, row.member_id):
            assert row.reason == "HELD_OUT" and row.member_id not in arms
        elif arms[row.member_id] == 0:
            assert row.reason == "CONTROL"
        else:
            assert row.state == "PLANNED"
    assert {"HELD_OUT", "CONTROL", "PLANNED"} == set(fates(send).values())
    assert Experiment.objects.get().plan["people"] == 40
    page = experiments.look(experiment_id=send.experiment_id, actor=None, now=timezone.now() + HOUR)
    assert sum(arm["count"] for arm in page.content["arms"]) == len(arms)


# --- agreeing ---


def test_from_a_size_on_somebody_else_agrees(company: Mailing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "FOUR_EYES_FROM", 2)
    send = company.planned(company.member("甲", "A"), company.member("乙", "A"))
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    send.refresh_from_db()
    assert send.status == "ASKED"
    assert sends.hand_over(send_id=send.pk, now=timezone.now()) == 0
    with pytest.raises(sends.BadSend):
        sends.approve(send=send, actor=company.hq, now=timezone.now())
    with pytest.raises(DatabaseError), transaction.atomic():
        Send.objects.filter(pk=send.pk).update(approved_by=company.hq)
    sends.approve(send=send, actor=company.second, now=timezone.now())
    send.refresh_from_db()
    assert (send.status, send.approved_count) == ("SENDING", 2)
    run_job(send)
    outbox.send_due(now=timezone.now())
    assert len(company.wired.world.mass_sends) == 1


def test_a_small_send_goes_at_once_and_never_before_its_time(company: Mailing) -> None:
    due = timezone.now() + 3 * HOUR
    send = company.planned(company.member("甲", "A"), due_at=due)
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    assert sends.hand_over(send_id=send.pk, now=due - dt.timedelta(seconds=1)) == 0
    assert sends.hand_over(send_id=send.pk, now=due) == 1


def test_nobody_to_send_to_is_said_and_not_sent(company: Mailing) -> None:
    send = company.planned(company.member("无好友"))
    with pytest.raises(sends.BadSend):
        sends.submit(send=send, actor=company.hq, now=timezone.now())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"text": " "}, "没有文字"), ({"text": "字" * 1334}, "4002 字节"), ({"link_title": "看"}, "标题和地址"),
        ({"link_title": "字" * 43, "link_url": "https://a.cn"}, "128 字节"), ({"link_title": "看", "link_url": "http://a.cn"}, "https://"),
    ],
)  # fmt: skip
def test_content_that_wecom_would_refuse_is_refused_here(company: Mailing, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(sends.BadSend) as caught:
        company.planned(company.member("甲", "A"), **wrong)
    assert words in caught.value.message
    assert not Send.objects.exists()


def test_a_text_is_as_long_as_wecom_takes_it(company: Mailing) -> None:
    send = company.planned(company.member("甲", "A"), text="a" * 2000)
    send.refresh_from_db()
    assert send.text == "a" * 2000
    with pytest.raises(sends.BadSend):
        company.planned(company.member("乙", "A"), text="a" * 4001)


def test_materials_go_along_as_they_were_when_planned_and_their_files_go_up_first(
    company: Mailing, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://scrm.example.com"
    rows = [content_factory.material(f"素材{kind}", kind=kind) for kind in ("IMAGE", "LINK", "MINI_PROGRAM")]
    send = company.planned(company.member("甲", "A"), company.member("乙", "B"), text="周三见", materials=rows)
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    content_factory.material(
        "素材LINK", said={"title": "改了", "url": f"https://{content_factory.HOST}/x"}, pk=rows[1].pk
    )
    company.wired.faults.add("code", "media/upload", code=40004, times=1)
    assert sends.hand_over(send_id=send.pk, now=timezone.now()) == 0 and not OutboxMessage.objects.exists()
    assert FileUpload.objects.exclude(error_text="").count() == 1  # the page says so; the next minute tries again
    company.go(send)
    first, second = (one.content for one in company.wired.world.mass_sends.values())
    picture, link, card = first["attachments"]
    assert first["text"] == "周三见" and link["link"]["title"] == "榴莲怎么挑"
    assert picture["image"]["media_id"] in company.wired.world.media and card["miniprogram"]["pic_media_id"]
    links = [one["attachments"][1]["link"]["url"] for one in (first, second)]
    guides = [ShortLink.objects.get(code=url.rpartition("/")[2]).guide.code for url in links]
    assert guides == ["G00001", "G00002"] and links[0].startswith("https://scrm.example.com/s/")
    assert first["attachments"][2]["miniprogram"]["page"] != second["attachments"][2]["miniprogram"]["page"]
    assert len(company.wired.world.media) == 1  # the one file of both materials, once for both guides
    FileUpload.objects.filter(use="MESSAGE").update(expires_at=timezone.now())  # three days later
    company.read(send, after=4 * DAY)
    rest = sends.plan(send_id=sends.send_rest(send=send, actor=company.hq, now=timezone.now()).pk, now=timezone.now())
    sends.submit(send=rest, actor=company.hq, now=timezone.now())
    company.go(rest)
    again = list(company.wired.world.mass_sends.values())[-1].content
    assert len(company.wired.world.media) == 2 and again["attachments"][1]["link"]["title"] == "榴莲怎么挑"


def test_materials_that_cannot_go_along_are_refused_at_their_field(company: Mailing) -> None:
    member, soon = company.member("甲", "A"), timezone.now() + HOUR
    many = [content_factory.material(f"链接{number}") for number in range(10)]
    over = content_factory.material("过期", ends_at=soon)
    words = content_factory.material("文案", kind="TEXT")
    for wrong, sentence in (({"materials": many}, "最多 9 个"), ({"materials": [over], "due_at": soon}, "过期")):
        with pytest.raises(sends.BadSend) as caught:
            company.planned(member, **wrong)
        assert sentence in caught.value.extra["fields"]["materials"]
    assert company.planned(member, text="", materials=[words]).text == "榴莲到货啦"


# --- to the end ---


def test_tasks_reach_their_guides_and_every_result_its_member(company: Mailing) -> None:
    members = [company.member(name, "A") for name in ("甲", "乙", "丙", "丁")] + [company.member("戊", "B")]
    send = company.out(*members, link_title="会员日", link_url="https://example.com/day")
    made = list(company.wired.world.mass_sends.values())
    assert sorted(sorted(task.targets) for one in made for task in one.tasks.values()) == sorted(
        [sorted(company.outside[name] for name in ("甲", "乙", "丙", "丁")), [company.outside["戊"]]]
    )
    assert made[0].content["attachments"][0]["link"]["title"] == "会员日"
    world = company.wired.world
    world.delete_by_customer("G00001", company.outside["乙"])
    world.mass_received[company.outside["丙"]] = tuple(world.clock.epoch() for _ in range(31))
    confirm(company, send, "g00001")
    company.read(send)
    assert fates(send) == {"甲": "SENT", "乙": "GONE", "丙": "OVER", "丁": "SENT", "戊": "PLANNED"}
    assert send.status == "SENDING"
    done, waiting = SendBatch.objects.filter(send=send).order_by("userid")
    assert (done.status, done.sent_count, done.failed_count, done.confirmed_at is not None) == ("ENDED", 2, 2, True)
    assert (waiting.status, waiting.confirmed_at) == ("MADE", None)
    lines = sends.execution(send=send, level="store", scope=org.EVERYTHING)
    assert [(line.name, line.confirmed_bp, line.sent_count, line.waiting_count) for line in lines] == [
        ("S2店", 0, 0, 1),
        ("S1店", 10_000, 2, 0),
    ]
    assert [
        line.name
        for line in sends.execution(
            send=send, level="guide", scope=org.EVERYTHING, within=company.shops.stores["S1"].pk
        )
    ] == ["王芳"]
    assert [
        line.name
        for line in sends.execution(
            send=send, level="region", scope=org.Scope(frozenset({company.shops.stores["S2"].pk}))
        )
    ] == ["南区"]
    company.read(send, after=4 * DAY)  # nobody has confirmed it: taken back
    assert fates(send)["戊"] == "LEFT" and send.status == "ENDED"
    assert [one.is_cancelled for one in made] == [False, True]
    assert sends.prove(send=send) == []
    total = sends.totals(send=send, scope=org.EVERYTHING)
    assert (
        total.planned_count == total.sent_count + total.failed_count + total.left_count + total.excluded_count == 5
    )  # M2
    counted = Recipient.objects.filter(contacted_at__isnull=False)
    assert set(counted.values_list("member__name", flat=True)) == {"甲", "丁"}


def test_the_pace_of_asking() -> None:
    assert (
        sends.pace(HOUR, is_confirmed=False)
        < sends.pace(3 * HOUR, is_confirmed=False)
        < sends.pace(2 * DAY, is_confirmed=False)
    )
    assert sends.pace(2 * DAY, is_confirmed=True) < sends.pace(HOUR, is_confirmed=False)


def test_whom_wecom_refuses_at_once_is_failed(company: Mailing) -> None:
    send = company.planned(company.member("甲", "A"), company.member("乙", "A"), company.member("丙", "B"))
    company.wired.world.delete_by_member("G00001", company.outside["乙"])
    company.wired.world.delete_by_member("G00002", company.outside["丙"])
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    company.go(send)
    assert fates(send) == {"甲": "PLANNED", "乙": "GONE", "丙": "GONE"}
    assert SendBatch.objects.get(userid="g00002").status == "ENDED"


def test_a_task_that_wecom_does_not_take_back_stays_open(company: Mailing) -> None:
    send = company.out(company.member("甲", "A"), company.member("乙", "B"))
    company.wired.faults.add("code", "externalcontact/cancel_groupmsg_send", code=40058, times=2)
    company.read(send, after=4 * DAY)
    assert fates(send) == {"甲": "PLANNED", "乙": "PLANNED"} and send.status == "SENDING"
    rows = SendBatch.objects.filter(send=send, status="MADE", poll_at__isnull=False)
    assert rows.exclude(error_code="").count() == 2
    confirm(company, send, "g00001")  # she still had it
    company.read(send, after=5 * DAY)  # asked once more on another day
    assert fates(send) == {"甲": "SENT", "乙": "LEFT"} and send.status == "ENDED"
    assert sends.prove(send=send) == []


def test_what_does_not_add_up_is_named_in_words(company: Mailing) -> None:
    send = company.out(company.member("甲", "A"))
    confirm(company, send)
    company.read(send)
    Send.objects.filter(pk=send.pk).update(audience_count=7)
    SendBatch.objects.filter(send=send).update(sent_count=0, failed_count=1)
    send.refresh_from_db()
    assert sends.prove(send=send) == ["人群人数", "已发送", "失败"]


def test_cancelled_half_way(company: Mailing) -> None:
    first, second = company.member("甲", "A"), company.member("乙", "B")
    send = company.out(first, second)
    confirm(company, send, "g00001")
    company.read(send)
    assert sends.cancel(send=send, actor=company.hq, now=timezone.now()) == 1
    send.refresh_from_db()
    assert send.status == "CANCELLED" and OutboxMessage.objects.count() == 2  # the click itself asks for nothing
    run_job(send)
    outbox.send_due(now=timezone.now())
    send.refresh_from_db()
    assert (send.status, fates(send)) == ("CANCELLED", {"甲": "SENT", "乙": "LEFT"})
    assert sorted(one.is_cancelled for one in company.wired.world.mass_sends.values()) == [False, True]
    assert sends.prove(send=send) == []


def test_cancelled_before_anything_is_out(company: Mailing) -> None:
    send = company.planned(company.member("甲", "A"))
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    sends.hand_over(send_id=send.pk, now=timezone.now())
    sends.cancel(send=send, actor=company.hq, now=timezone.now())
    send.refresh_from_db()
    run_job(send)
    outbox.send_due(now=timezone.now())
    assert not company.wired.world.mass_sends
    assert fates(send) == {"甲": "LEFT"}
    assert OutboxMessage.objects.get().status == "CANCELLED"


def test_the_rest_is_sent_once_more_and_nobody_twice(company: Mailing) -> None:
    send = company.out(company.member("甲", "A"), company.member("乙", "B"))
    with pytest.raises(sends.WrongState):
        sends.send_rest(send=send, actor=company.hq, now=timezone.now())
    confirm(company, send, "g00001")
    company.read(send)
    company.read(send, after=4 * DAY)
    rest = sends.send_rest(send=send, actor=company.hq, now=timezone.now())
    with pytest.raises(sends.BadSend):
        sends.send_rest(send=send, actor=company.hq, now=timezone.now())
    run_job(rest)
    rest.refresh_from_db()
    assert (rest.status, fates(rest)) == ("PLANNED", {"乙": "PLANNED"})
    sends.submit(send=rest, actor=company.hq, now=timezone.now())
    company.go(rest)
    confirm(company, rest)
    company.read(rest)
    assert fates(rest) == {"乙": "SENT"}
    reached = [one.to for one in company.wired.world.sent if one.kind == "mass"]
    assert sorted(reached) == sorted(company.outside.values())


def test_reminders_go_to_those_who_wait_and_not_twice_at_once(company: Mailing) -> None:
    send = company.out(company.member("甲", "A"), company.member("乙", "B"))
    confirm(company, send, "g00001")
    company.read(send)
    now = timezone.now()
    for after, count in ((0 * HOUR, 1), (HOUR, 0), (7 * HOUR, 0), (8 * HOUR, 1)):
        assert sends.remind(send=send, actor=company.hq, now=now + after) == count
        send.refresh_from_db()
        if count:
            with pytest.raises(sends.BadSend):  # on its way
                sends.remind(send=send, actor=company.hq, now=now + after)
        run_job(send)
        outbox.send_due(now=now + after)
    assert sorted(len(one.reminded_at) for one in company.wired.world.mass_sends.values()) == [0, 2]


# --- the contact budget ---


def test_the_contact_budget_counts_all_sends_and_only_what_was_sent(company: Mailing) -> None:
    ContactBudget.objects.create(brand=company.shops.brand, most_count=1, days=7)
    first, second = company.member("甲", "A"), company.member("乙", "B")
    send = company.out(first, second)
    assert fates(company.planned(first, second)) == {"甲": "BUDGET", "乙": "BUDGET"}  # on their way
    confirm(company, send, "g00001")
    company.read(send)
    company.read(send, after=4 * DAY)  # the other was never confirmed
    assert fates(company.planned(first, second)) == {"甲": "BUDGET", "乙": "PLANNED"}
    assert fates(company.planned(first, second, due_at=timezone.now() + 8 * DAY)) == {"甲": "PLANNED", "乙": "PLANNED"}


def test_the_contact_budget_is_looked_at_again_when_handing_over(company: Mailing) -> None:
    ContactBudget.objects.create(brand=company.shops.brand, most_count=1, days=7)
    member = company.member("甲", "A")
    one, two = company.planned(member), company.planned(member)
    for send in (one, two):
        sends.submit(send=send, actor=company.hq, now=timezone.now())
        company.go(send)
    assert (fates(one), fates(two)) == ({"甲": "PLANNED"}, {"甲": "BUDGET"})
    assert two.status == "ENDED"
    assert len(company.wired.world.mass_sends) == 1


# --- a lost answer ---


def test_a_task_whose_answer_was_lost_is_found_and_not_made_again(company: Mailing) -> None:
    send = company.planned(company.member("甲", "A"))
    other = company.out(company.member("乙", "A"))  # same guide, same words, other customer
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    sends.hand_over(send_id=send.pk, now=timezone.now())
    batch = SendBatch.objects.get(send=send)
    message = OutboxMessage.objects.get(key=handing.key_of(batch))
    from scrm.wecom.outbox import ending as outbox_ending

    intent = outbox_ending.intent_of(message)
    assert handing._reconcile(intent).name == "not done"
    made = handing._send(intent)  # WeCom has it; our answer is lost
    company.wired.later(10)
    verdict = handing._reconcile(intent)
    assert verdict.answer is not None and verdict.answer["msgid"] == made["msgid"]
    assert SendBatch.objects.get(send=other).msgid != made["msgid"]


# --- consent ---


def test_s7_a_no_before_the_handing_over_is_obeyed(company: Mailing) -> None:
    first, second = company.member("甲", "A"), company.member("乙", "A")
    send = company.planned(first, second)
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    withdraw(first)
    company.go(send)
    assert fates(send) == {"甲": "NO_CONSENT", "乙": "PLANNED"}
    (made,) = company.wired.world.mass_sends.values()
    assert made.tasks["g00001"].targets == (company.outside["乙"],)


def test_s7_a_no_between_the_handing_over_and_the_request_is_obeyed(company: Mailing) -> None:
    first, second, third = company.member("甲", "A"), company.member("乙", "A"), company.member("丙", "B")
    send = company.planned(first, second, third)
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    sends.hand_over(send_id=send.pk, now=timezone.now())
    withdraw(first)
    withdraw(third)
    outbox.send_due(now=timezone.now())
    assert fates(send) == {"甲": "NO_CONSENT", "乙": "PLANNED", "丙": "NO_CONSENT"}
    (made,) = company.wired.world.mass_sends.values()
    assert made.tasks["g00001"].targets == (company.outside["乙"],)


def test_s7_a_no_while_the_task_waits_for_its_guide_is_obeyed(company: Mailing) -> None:
    first, second = company.member("甲", "A"), company.member("乙", "A")
    send = company.out(first, second)
    withdraw(first)
    company.wired.later(10)
    ending.sweep(now=timezone.now())
    outbox.send_due(now=timezone.now())
    outbox.send_due(now=timezone.now())
    old, new = company.wired.world.mass_sends.values()
    assert old.is_cancelled and new.tasks["g00001"].targets == (company.outside["乙"],)
    confirm(company, send)
    company.read(send)
    assert fates(send) == {"甲": "NO_CONSENT", "乙": "SENT"}
    assert sends.prove(send=send) == []


def test_a_guide_who_was_faster_than_the_withdrawal_has_sent_and_nobody_is_sent_to_twice(company: Mailing) -> None:
    first, second = company.member("甲", "A"), company.member("乙", "A")
    send = company.out(first, second)
    confirm(company, send)
    withdraw(first)
    company.wired.later(10)
    ending.sweep(now=timezone.now())
    outbox.send_due(now=timezone.now())
    company.read(send)
    assert fates(send) == {"甲": "SENT", "乙": "SENT"}
    assert len(company.wired.world.mass_sends) == 1
    assert results.EXPIRES_AFTER == 3 * DAY and connection.vendor == "postgresql"
