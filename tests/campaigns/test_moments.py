"""Moments from plan to likes, against a WeCom on this machine: nobody has one twice, each guide is assessed, S1, S4."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils import timezone

from campaigns import moments
from campaigns.models import FileUpload, Moment, MomentPost
from campaigns.moments import planning
from scrm import jobs, org
from scrm.models import Grant, OutboxMessage, Role
from scrm.wecom import outbox
from scrm.wecom.sandbox import moments as box
from tests.campaigns.mailing import DAY, Mailing, mailing
from tests.factories import content as content_factory
from tests.factories import shops as factory
from tests.factories.console import Console
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Mailing:
    """甲 is a customer of A and B, 乙 of B, 丙 of F; the manager M has no account."""
    sandbox.world.quotas.dispatch_seconds = 2
    found = mailing(sandbox)
    assert found.second is not None
    Grant.objects.create(user=found.second, role=Role.HQ_OPERATOR)
    for name, guides in (("甲", "AB"), ("乙", "B"), ("丙", "F")):
        found.member(name, *guides)
    return found


def planned(company: Mailing, **values: Any) -> Moment:
    moment = moments.draft(
        **{
            "corp": company.wired.corp,
            "name": "到货",
            "text": "榴莲到货",
            "due_at": timezone.now(),
            "actor": company.hq,
            **values,
        }
    )
    return moments.plan(moment_id=moment.pk, now=timezone.now())


def out(company: Mailing, **values: Any) -> Moment:
    """Agreed to, made by WeCom, with the guides."""
    moment = planned(company, **values)
    moments.submit(moment=moment, actor=company.hq, now=timezone.now())
    return go(company, moment)


def go(company: Mailing, moment: Moment) -> Moment:
    moments.hand_over_due(now=timezone.now())
    outbox.send_due(now=timezone.now())
    company.wired.later(10)
    moments.poll_due(now=timezone.now() + dt.timedelta(minutes=1))
    moment.refresh_from_db()
    return moment


def read(company: Mailing, moment: Moment, after: dt.timedelta = HOUR) -> Moment:
    moments.poll_due(now=timezone.now() + after)
    outbox.send_due(now=timezone.now() + after)
    moments.react_due(now=timezone.now() + after)
    moment.refresh_from_db()
    return moment


def fates(moment: Moment) -> dict[str, str]:
    rows = MomentPost.objects.filter(moment=moment).values_list("guide__name", "state", "reason")
    return {name: reason or state for name, state, reason in rows}


def test_from_the_plan_to_the_likes_of_each_guide(company: Mailing) -> None:
    picture = content_factory.material("榴莲图", kind="IMAGE")
    moment = planned(company, materials=[picture], due_at=timezone.now() + HOUR)
    assert fates(moment) == {"王芳": "PLANNED", "李娜": "PLANNED", "陈静": "PLANNED", "张敏": "NO_ACCOUNT"}
    assert (moment.guide_count, moment.friend_count) == (3, 4)
    moments.submit(moment=moment, actor=company.hq, now=timezone.now())
    assert moments.hand_over_due(now=timezone.now()) == 0  # not before its time
    Moment.objects.filter(pk=moment.pk).update(due_at=timezone.now())
    company.wired.faults.add("code", "media/upload_attachment", code=40004, times=1)
    assert moments.hand_over_due(now=timezone.now()) == 0 and FileUpload.objects.exclude(error_text="").exists()
    factory.leave(company.shops.guides["F"], timezone.now())  # between the agreement and its time
    go(company, moment)
    assert moment.status == "OUT" and fates(moment)["陈静"] == "NO_WORK"
    world = company.wired.world
    (made,) = world.moments.values()
    assert sorted(made.tasks) == ["g00001", "g00002"] and made.content["attachments"][0]["msgtype"] == "image"
    assert moment.moment_id is not None
    box.publish(world, moment.moment_id, "g00002")
    box.like(world, moment.moment_id, "g00002", company.outside["甲"])
    box.like(world, moment.moment_id, "g00002", company.outside["乙"])
    box.comment(world, moment.moment_id, "g00002", company.outside["乙"])
    read(company, moment)
    assert fates(moment) == {"王芳": "PLANNED", "李娜": "PUBLISHED", "陈静": "NO_WORK", "张敏": "NO_ACCOUNT"}
    lines = moments.execution(moment=moment, level="store", scope=org.EVERYTHING)
    assert [(one.name, one.published_bp, one.audience_count, one.like_count, one.comment_count) for one in lines] == [
        ("S1店", 0, 0, 0, 0), ("S2店", 10_000, 2, 2, 1),
    ]  # fmt: skip
    read(company, moment, after=8 * DAY)  # nobody publishes it so late: taken back
    assert moment.status == "ENDED" and made.is_cancelled and fates(moment)["王芳"] == "LEFT"
    with pytest.raises(DatabaseError), transaction.atomic():
        MomentPost.objects.create(
            moment=moment, corp=moment.corp, guide=company.shops.guides["A"], state="PLANNED", at=timezone.now()
        )


def test_a_moment_whose_answer_was_lost_is_found_and_not_made_again(company: Mailing) -> None:
    moment = planned(company)
    moments.submit(moment=moment, actor=company.hq, now=timezone.now())
    company.wired.faults.add("lose", "externalcontact/add_moment_task", times=1)
    now = timezone.now()
    moments.hand_over_due(now=now)
    outbox.send_due(now=now)
    assert OutboxMessage.objects.get().status == "UNKNOWN" and len(company.wired.world.moments) == 1
    company.wired.later(10)
    for minute in range(1, 40):  # killed before anything was settled, or not: the sweep goes on
        outbox.sweep(now=now + dt.timedelta(minutes=minute))
        moments.hand_over_due(now=now + dt.timedelta(minutes=minute))
    moment.refresh_from_db()
    assert len(company.wired.world.moments) == 1
    assert (moment.status, moment.moment_id) == ("OUT", next(iter(company.wired.world.moments)))


def test_from_a_size_on_somebody_else_agrees_and_a_guide_gets_so_many_a_month(
    company: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "FOUR_EYES_FROM", 4)
    store = company.shops.stores["S1"]
    day = timezone.localtime().replace(day=10)
    for _number in range(moments.MOST_A_MONTH):
        moments.submit(moment=planned(company, store=store, due_at=day), actor=company.hq, now=timezone.now())
    moment = planned(company, due_at=day)
    # 甲 has had them through A, so B's moment may not reach her; B's own customer 乙 has had none
    assert fates(moment)["王芳"] == "OFTEN" and moment.guide_count == 2
    assert (moment.friend_count, moment.customer_count, moment.spent_count) == (3, 3, 1)
    assert fates(planned(company, due_at=day + 40 * DAY))["王芳"] == "PLANNED"  # another month
    moment = planned(company, due_at=day + 40 * DAY)
    assert moments.submit(moment=moment, actor=company.hq, now=timezone.now()).status == "ASKED"
    with pytest.raises(moments.BadMoment):
        moments.approve(moment=moment, actor=company.hq, now=timezone.now())
    with pytest.raises(DatabaseError), transaction.atomic():
        Moment.objects.filter(pk=moment.pk).update(approved_by=company.hq)
    assert moments.approve(moment=moment, actor=company.second, now=timezone.now()).status == "MAKING"


def test_cancelled_before_and_after_it_is_made(company: Mailing) -> None:
    first = planned(company)
    moments.submit(moment=first, actor=company.hq, now=timezone.now())
    moments.hand_over_due(now=timezone.now())
    moments.cancel(moment=first, actor=company.hq, now=timezone.now())  # its message waits
    go(company, first)
    assert not company.wired.world.moments and set(fates(first).values()) == {"LEFT", "NO_ACCOUNT"}
    second = out(company)
    assert second.moment_id is not None
    box.publish(company.wired.world, second.moment_id, "g00001")  # faster than the cancelling
    moments.cancel(moment=second, actor=company.hq, now=timezone.now())
    outbox.send_due(now=timezone.now())
    second.refresh_from_db()
    assert second.status == "CANCELLED" and company.wired.world.moments[second.moment_id or ""].is_cancelled
    assert fates(second) == {"王芳": "PUBLISHED", "李娜": "LEFT", "陈静": "LEFT", "张敏": "NO_ACCOUNT"}


def test_own_moments_count_beside_hqs_and_each_part_sees_its_own(
    company: Mailing, django_assert_num_queries: Any
) -> None:
    moment = out(company)
    assert moment.moment_id is not None
    world = company.wired.world
    box.publish(world, moment.moment_id, "g00001")
    own = box.post_own(world, "G00002", "今天的草莓")
    box.like(world, own, "g00002", company.outside["甲"])
    for _again in range(2):
        moments.read_own(now=timezone.now() + _again * HOUR)
    company.wired.later(10)
    read(company, moment)
    since, until = timezone.now() - DAY, timezone.now() + DAY
    with django_assert_num_queries(3):
        lines = moments.assess(since=since, until=until, level="guide", scope=org.EVERYTHING)
    shown = {
        one.name: (one.published_count, one.asked_count, one.own_count, one.like_count, one.last_at is not None)
        for one in lines
    }
    assert shown == {
        "王芳": (1, 1, 0, 0, True),
        "李娜": (0, 1, 1, 1, True),
        "陈静": (0, 1, 0, 0, False),
        "张敏": (0, 0, 0, 0, False),
    }
    part = org.Scope(frozenset({company.shops.stores["S1"].pk}))
    assert [one.name for one in moments.assess(since=since, until=until, level="guide", scope=part)] == ["张敏", "王芳"]
    (region,) = moments.assess(since=since, until=until, level="region", scope=part)
    assert (region.name, region.active_count, region.guide_count) == ("北区", 1, 2)


def test_in_the_console(company: Mailing) -> None:
    staff: dict[str, Any] = {**company.shops.staff, "second": company.second}
    console = Console(company.shops, staff)
    hq, region = console.client("hq"), console.client("region")  # of S1 and F1
    new, assessed = reverse("admin:campaigns_moment_new"), reverse("admin:campaigns_moment_assessment")
    link = content_factory.material("链接")
    asked = {
        "corp": company.wired.corp.pk,
        "name": "到货",
        "text": "榴莲到货",
        "due_at": f"{timezone.localtime():%Y-%m-%d %H:%M}",
    }
    pictures = [content_factory.material(f"图{number}", kind="IMAGE").pk for number in range(10)]
    for wrong, field, words in (
        ({"text": ""}, "text", "没有文字"), ({"text": "字" * 1400}, "text", "4,200 字节"), ({"materials": pictures}, "materials", "最多 9"),
        ({"materials": [pictures[0], link.pk]}, "materials", "不能"), ({"materials": [link.pk]}, "materials", "封面"),
    ):  # fmt: skip
        answer = hq.post(new, {**asked, **wrong})
        assert answer.status_code == 400 and words in answer.context["form"].errors[field][0]
    answer = hq.post(new, {**asked, "materials": pictures[:2]})
    moment = Moment.objects.get()
    assert answer.url == reverse("admin:campaigns_moment_change", args=(moment.pk,))
    assert moment.job is not None
    jobs.run(moment.job.pk)
    assert "没有可用的企业微信账号" in hq.get(answer.url).content.decode()
    hq.post(reverse("admin:campaigns_moment_act", args=(moment.pk, "submit")))
    go(company, moment)
    page = region.get(answer.url, {"level": "guide"}).content.decode()
    assert "王芳" in page and "陈静" in page and "李娜" not in page
    assert region.post(reverse("admin:campaigns_moment_act", args=(moment.pk, "cancel"))).status_code == 403
    assert region.get(new).status_code == 403
    page = region.get(assessed, {"level": "guide"}).content.decode()
    assert "王芳" in page and "李娜" not in page and "从未" in page
    posts = region.get(reverse("admin:campaigns_momentpost_changelist")).content.decode()
    assert "王芳" in posts and "李娜" not in posts
