"""Mass sends to customer groups, from the choice to the result, against a WeCom on this machine: the path of the customers' sends."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils import timezone

from campaigns import sends
from campaigns.models import Group, GroupRecipient, Send, SendBatch
from campaigns.sends import BadSend, Wish, choosing, ending, planning, targets
from guides.models import Follower, Guide
from scrm import org
from scrm.models import OutboxMessage
from scrm.wecom import mass_sends, outbox
from scrm.wecom.sandbox import groups as chats
from scrm.wecom.sandbox import sends as sandbox_sends
from tests.campaigns.mailing import DAY, Mailing, mailing, run_job
from tests.factories import shops as factory
from tests.factories.console import Console
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Mailing:
    found = mailing(sandbox)
    for code in ("A", "B", "F"):
        guide = found.shops.guides[code]
        Follower.objects.create(corp=sandbox.corp, userid=guide.code.lower(), guide=guide, is_listed=True)
    return found


def group(company: Mailing, name: str, code: str = "A", people: int = 100, **values: Any) -> Group:
    """A group of the guide both here and at WeCom, as it was read there."""
    guide: Guide = company.shops.guides[code]
    chat = chats.make(company.wired.world, guide.code, name)
    work = guide.employments.order_by("-started_at").first()
    return Group.objects.create(
        **{
            "corp": company.wired.corp, "chat_id": chat.chat_id, "name": name, "owner_userid": guide.code.lower(), "owner": guide,
            "store": work.store if work else None, "customer_count": people, "member_count": people + 1,
            "asked_at": timezone.now(), "read_at": timezone.now(), **values,
        }
    )  # fmt: skip


def planned(company: Mailing, wish: Wish, **values: Any) -> Send:
    now = timezone.now()
    asked = {
        "corp": company.wired.corp,
        "name": "今晚接龙",
        "text": "今晚8点接龙开团",
        "due_at": now,
        "actor": company.hq,
        "groups": wish,
    }
    return sends.plan(send_id=sends.draft(**{**asked, **values}).pk, now=now)


def those(*groups: Group) -> Wish:
    return Wish(groups=[one.pk for one in groups])


def fates(send: Send) -> dict[str, str]:
    rows = GroupRecipient.objects.filter(send=send).values_list("group__name", "state", "reason")
    return {name: reason or state for name, state, reason in rows}


def confirm(company: Mailing) -> None:
    for msgid, made in company.wired.world.mass_sends.items():
        for userid, task in made.tasks.items():
            if not task.sent_at and not made.is_cancelled:
                sandbox_sends.confirm(company.wired.world, msgid, userid)


def reached(company: Mailing) -> list[str]:
    return sorted(one.to for one in company.wired.world.sent if one.kind == "mass")


def out(company: Mailing, send: Send) -> Send:
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    return company.go(send)


def test_groups_are_picked_by_what_is_asked_and_left_out_for_the_first_reason(
    company: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops, corp, now = company.shops, company.wired.corp, timezone.now()
    big, small, other = (
        group(company, "福利一群", people=200),
        group(company, "福利二群", people=20),
        group(company, "乙群", "B"),
    )
    old = group(company, "老福利群", dissolved_at=now - 40 * DAY)
    for wish, names in (
        (Wish(stores=[shops.stores["S1"].pk]), {"福利一群", "福利二群"}),
        (Wish(regions=[shops.stores["S2"].region_id]), {"乙群"}),
        (Wish(owners=[shops.guides["B"].pk]), {"乙群"}),
        (Wish(name="福利", least=50), {"福利一群"}),
        (Wish(name="群", most=150), {"福利二群", "乙群"}),
        (those(old, small), {"老福利群", "福利二群"}),
    ):
        assert set(choosing.picked(wish, corp, now).values_list("name", flat=True)) == names
    leaver = factory.hire("G00009", "离职", shops.stores["S1"])
    factory.leave(leaver, now - DAY)
    company.wired.world.add_member("G00009", "离职")
    shops.guides["L"] = leaver
    gone, far = group(company, "离职群", "L"), group(company, "外群", "F")
    Follower.objects.filter(guide=shops.guides["F"]).update(is_listed=False)
    moving, unread = group(company, "交接群", status=2), group(company, "未读群", read_at=None)
    strange = group(company, "外人群", owner=None, owner_userid="stranger", store=None)
    monkeypatch.setattr(choosing, "limit", lambda at: {"month": at - DAY, "most": 1})
    first = out(company, planned(company, those(small)))
    confirm(company)
    company.read(first)
    send = planned(company, those(big, small, other, old, gone, far, moving, unread, strange))
    assert fates(send) == {
        "福利一群": "PLANNED", "福利二群": "LIMIT", "乙群": "PLANNED", "老福利群": "DISSOLVED", "离职群": "OWNER_LEFT", "外群": "UNSEEN",
        "交接群": "MOVING", "未读群": "UNREAD", "外人群": "NO_GUIDE",
    }  # fmt: skip
    assert (send.audience_count, send.planned_count, send.people_count) == (9, 2, 300)
    assert dict(sends.left_out(send=send))["群主已离职"] == 1 and sends.prove(send=send) == []
    assert [line.planned_count for line in sends.execution(send=send, level="guide", scope=org.EVERYTHING)] == [1, 1]


def test_bad_wishes_are_refused_with_the_sentence_of_the_field(company: Mailing) -> None:
    one = group(company, "福利群")
    for wish, field in (
        (Wish(), "regions"),
        (Wish(name="没有这样的"), "regions"),
        (Wish(least=9, most=3), "most"),
        (Wish(groups=[one.pk], name="福利"), "file"),
    ):
        with pytest.raises(BadSend) as refused:
            planned(company, wish)
        assert field in refused.value.extra["fields"], wish
    assert choosing.by_chat_ids(["chat_id", one.chat_id, "", one.chat_id], company.wired.corp) == ([one.pk], "")
    assert "wrX" in choosing.by_chat_ids(["wrX"], company.wired.corp)[1]
    with pytest.raises(DatabaseError), transaction.atomic():
        Send.objects.filter(pk=planned(company, those(one)).pk).update(wish=None)


def test_each_owner_gets_tasks_of_wecoms_size_one_after_the_other_and_every_group_is_sent_to_once(
    company: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_sends, "GROUPS", 2)
    mine = [group(company, f"群{number}") for number in range(3)]
    theirs = group(company, "乙群", "B")
    send = out(company, planned(company, those(*mine, theirs)))
    tasks = SendBatch.objects.filter(send=send).order_by("userid", "number")
    assert list(tasks.values_list("userid", "planned_count")) == [("g00001", 2), ("g00001", 1), ("g00002", 1)]
    assert [made.is_group for made in company.wired.world.mass_sends.values()] == [True, True]
    ending.sweep(now=timezone.now())  # her second one, now that the first has its number
    outbox.send_due(now=timezone.now())
    company.wired.later(10)
    assert sends.remind(send=send, actor=company.hq, now=timezone.now()) == 3
    confirm(company)
    company.read(send)
    assert reached(company) == sorted(one.chat_id for one in [*mine, theirs])
    assert set(fates(send).values()) == {"SENT"} and send.status == "ENDED" and sends.prove(send=send) == []
    shown = sends.groups_of(send=send, scope=org.EVERYTHING, guide_id=company.shops.guides["B"].pk)
    assert [(row.group.name, row.state, row.people_count) for row in shown] == [("乙群", "SENT", 100)]


def test_a_lost_answer_is_found_again_and_no_group_gets_it_twice(company: Mailing) -> None:
    """Before the owner has confirmed WeCom names no group of the task: its guide, its text and its being nobody else's do."""
    company.wired.world.quotas.dispatch_seconds = 0  # WeCom tells of it at once: the sweeps below pass in no time
    send = planned(company, those(group(company, "甲群")))
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    company.wired.faults.add("lose", "externalcontact/add_msg_template", times=1)
    sends.hand_over(send_id=send.pk, now=timezone.now())
    at = timezone.now()
    for _minute in range(20):
        outbox.sweep(now=at)
        at += dt.timedelta(minutes=2)
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"DONE"}
    assert len(company.wired.world.mass_sends) == 1
    confirm(company)
    company.read(send)
    assert fates(send) == {"甲群": "SENT"} and len(reached(company)) == 1


def test_what_changed_since_the_planning_is_left_out_and_the_rest_is_sent_again(company: Mailing) -> None:
    dissolved, passed_on, kept = group(company, "解散群"), group(company, "转让群"), group(company, "留群")
    late = group(company, "迟散群")
    send = planned(company, those(dissolved, passed_on, kept, late))
    Group.objects.filter(pk=dissolved.pk).update(dissolved_at=timezone.now())
    Group.objects.filter(pk=passed_on.pk).update(owner=company.shops.guides["B"], owner_userid="g00002")
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    sends.hand_over(send_id=send.pk, now=timezone.now())
    Group.objects.filter(pk=late.pk).update(
        dissolved_at=timezone.now()
    )  # after the handing over, before WeCom is asked
    outbox.send_due(now=timezone.now())
    assert fates(send) == {"解散群": "DISSOLVED", "转让群": "CHANGED", "留群": "PLANNED", "迟散群": "DISSOLVED"}
    sends.cancel(send=Send.objects.get(pk=send.pk), actor=company.hq, now=timezone.now())
    send.refresh_from_db()
    run_job(send)
    company.wired.later(10)
    outbox.send_due(now=timezone.now())
    send.refresh_from_db()
    assert fates(send)["留群"] == "LEFT" and reached(company) == [] and sends.prove(send=send) == []
    rest = sends.send_rest(send=send, actor=company.hq, now=timezone.now())
    rest = out(company, sends.plan(send_id=rest.pk, now=timezone.now()))
    assert (rest.goes_to, rest.audience_count) == ("GROUPS", 1)
    confirm(company)
    company.read(rest)
    assert reached(company) == [kept.chat_id] and rest.status == "ENDED"
    row = GroupRecipient.objects.get(send=rest)
    for wrong in (
        lambda: GroupRecipient.objects.update(state="PLANNED"),
        lambda: GroupRecipient.objects.create(
            send=rest, group=kept, state="PLANNED", batch_id=row.batch_id, people_count=1
        ),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            wrong()
    assert targets.of(rest) is targets.GROUPS


def test_in_the_console_from_the_form_to_the_groups(company: Mailing) -> None:
    """Four eyes count the customers in the groups; each level of the execution shows its part, down to the group."""
    assert company.second is not None
    groups = [group(company, "大群", people=planning.FOUR_EYES_FROM - 1), group(company, "小群", "B", people=1)]
    gone = group(company, "散群", dissolved_at=timezone.now() - DAY)
    staff = Console(company.shops, {**company.shops.staff, "second": company.second})
    hq, region = staff.client("hq"), staff.client("region")
    new = reverse("admin:campaigns_send_new_groups")
    asked = {
        "corp": company.wired.corp.pk, "name": "今晚接龙", "text": "今晚8点接龙开团", "stores": "S1，S9", "owners": "", "part": "", "least": "",
        "most": "", "link_title": "", "link_url": "", "due_at": f"{timezone.localtime():%Y-%m-%d %H:%M}",
    }  # fmt: skip
    refused = hq.post(new, asked)
    assert (
        refused.status_code == 400
        and "这里没有：S9" in refused.content.decode()
        and "今晚8点" in refused.content.decode()
    )
    assert region.get(new).status_code == 403
    answer = hq.post(new, {**asked, "stores": "S1\nS2"})
    send = Send.objects.get()
    page = reverse("admin:campaigns_send_change", args=(send.pk,))
    assert answer.url == page
    run_job(send)
    shown = hq.get(page).content.decode()
    for word in ("群已解散", "客户群", "500"):
        assert word in shown, word
    act = {name: reverse("admin:campaigns_send_act", args=(send.pk, name)) for name in ("submit", "approve")}
    hq.post(act["submit"])
    send.refresh_from_db()
    assert send.status == "ASKED"
    staff.client("second").post(act["approve"])
    company.go(send)
    within = {"level": "group", "within": company.shops.guides["A"].pk}
    assert "大群" in (found := hq.get(page, within).content.decode()) and "小群" not in found
    assert "散群" in hq.get(page, {"level": "group"}).content.decode()
    mine = region.get(page, {"level": "group"}).content.decode()  # of S1 and F1
    assert "大群" in mine and "小群" not in mine
    assert fates(send)["散群"] == "DISSOLVED" and {one.pk for one in groups} != {gone.pk}
