"""Codes of groups over real HTTP against the sandbox: rotation, the quota, lost answers, groups that go; welcomes and tags."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from campaigns import communities
from campaigns.communities import entries, group_tags, group_welcomes, join_ways
from campaigns.communities.join_ways import Slot
from campaigns.models import Group, GroupStay, GroupWelcome, JoinWay
from guides.models import Action, Follower, Guide
from scrm.models import GroupWay, OutboxMessage
from scrm.wecom import outbox
from scrm.wecom.sandbox import groups as chats
from tests.factories import shops as factory
from tests.factories.shops import Shops
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]
pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Shops:
    shops = factory.shops()
    Guide.objects.filter(pk=shops.guides["A"].pk).update(wecom_userid="WangFang")
    sandbox.world.add_member("WangFang", "王芳")
    Follower.objects.create(corp=sandbox.corp, userid="wangfang", guide=shops.guides["A"], is_listed=True)
    for number in range(1, 9):
        sandbox.world.add_contact(f"客{number}", unionid=f"o{number}", external_userid=f"wm{number}")
    return shops


def sync(sandbox: Wired) -> None:
    sandbox.tell()
    sandbox.later(5)
    Group.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - HOUR)
    communities.read_due()


def group(sandbox: Wired, name: str) -> Group:
    chat = chats.make(sandbox.world, "WangFang", name)
    sync(sandbox)
    return Group.objects.get(chat_id=chat.chat_id)


def way(sandbox: Wired, shops: Shops, *of: Group, **values: Any) -> JoinWay:
    said = {"name": "S1入群码", "full_at": 3, "makes_groups": True, "base_name": "S1福利群", "next_number": 2, **values}
    row = join_ways.draft(corp=sandbox.corp, store=shops.stores["S1"], of=of, actor=shops.staff["hq"], **said)
    join_ways.create(way=row, actor=shops.staff["hq"], now=timezone.now())
    outbox.send_due(now=timezone.now())
    row.refresh_from_db()
    return row


def at_wecom(sandbox: Wired, row: JoinWay) -> list[str]:
    return list(sandbox.world.join_ways[row.config_id or ""].chat_ids)


def round_of(after: dt.timedelta = dt.timedelta()) -> None:
    join_ways.refresh(now=timezone.now() + after)
    outbox.send_due(now=timezone.now() + after)


@pytest.mark.parametrize(
    ("slots", "chosen"),
    [
        ([Slot("a", 9), Slot("b", 1), Slot("c", 1)], ("b", "c")),
        ([Slot("a", 1, is_out=True), Slot("b", 1, is_gone=True), Slot("c", 1)], ("c",)),
        ([Slot(letter, 1) for letter in "abcdefg"], ("a", "b", "c", "d", "e")),
        ([Slot("a", 9), Slot("b", 9)], ("b",)),
        ([Slot("a", 1, is_gone=True)], ()),
    ],
)
def test_which_groups_wecom_is_to_fill(slots: list[Slot], chosen: tuple[str, ...]) -> None:
    assert join_ways.wanted(slots, full_at=9) == chosen


def test_a_code_leads_into_the_next_group_when_one_is_full_and_wecom_opens_another(
    sandbox: Wired, company: Shops
) -> None:
    first, second = group(sandbox, "S1福利群1"), group(sandbox, "S1福利群2")
    row = way(sandbox, company, first, second)
    assert (row.status, at_wecom(sandbox, row)) == ("LIVE", [first.chat_id, second.chat_id])
    sandbox.world.quotas.group_size = 3
    for number in (1, 2):
        assert chats.scan(sandbox.world, row.config_id or "", f"wm{number}").chat_id == first.chat_id
    sync(sandbox)
    round_of()
    assert at_wecom(sandbox, row) == [second.chat_id]
    stay = GroupStay.objects.get(userid="wm1")
    assert stay.state == row.state
    (route,) = entries.of_group(first)
    assert (route["route"], route["way_id"], route["joined"]) == ("WAY", row.pk, 2)
    for number in (3, 4, 5):
        chats.scan(sandbox.world, row.config_id or "", f"wm{number}")
    sync(sandbox)
    round_of(dt.timedelta(hours=2))
    sync(sandbox)
    round_of(dt.timedelta(hours=2))
    row.refresh_from_db()
    made = Group.objects.get(name="S1福利群2", slots__is_made_by_wecom=True)
    assert (at_wecom(sandbox, row), row.next_number) == ([made.chat_id], 3)
    assert entries.brought([row.pk], midnight=timezone.now() - HOUR)[row.pk]["ever"] == 5
    join_ways.rotate(group_ids=[made.pk], actor=None, now=timezone.now())
    assert JoinWay.objects.get().error_code == ""  # WeCom makes the next one


def test_at_the_quota_a_code_waits_and_says_so_and_goes_on_when_there_is_room(sandbox: Wired, company: Shops) -> None:
    one = group(sandbox, "S1福利群1")
    kept = way(sandbox, company, one)
    sandbox.world.quotas.contact_ways = 1
    waiting = way(sandbox, company, one, name="二号码")
    assert (waiting.status, waiting.error_code) == ("CREATING", "wecom_quota") and waiting.error_text
    join_ways.retire(way=kept, actor=company.staff["hq"], now=timezone.now(), reason="换新")
    outbox.send_due(now=timezone.now())
    outbox.send_due(now=timezone.now() + 2 * HOUR)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.error_code) == ("LIVE", "") and waiting.qr_code
    assert not GroupWay.objects.filter(status="LOST").exists()


def test_a_dissolved_group_leaves_the_code_and_a_code_without_groups_says_what_to_do(
    sandbox: Wired, company: Shops
) -> None:
    first, second = group(sandbox, "S1福利群1"), group(sandbox, "S1福利群2")
    row = way(sandbox, company, first, second)
    chats.dismiss(sandbox.world, first.chat_id)  # WeCom refuses a list that names it; its event comes late
    join_ways.change(
        way=row, name="新名字", of=[second, first], full_at=3, makes_groups=False, actor=None, now=timezone.now()
    )
    outbox.send_due(now=timezone.now())
    row.refresh_from_db()
    assert row.error_code == "wecom_not_found" and row.error_text
    sandbox.later(5)
    Group.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - HOUR)
    communities.read_due()
    first.refresh_from_db()
    assert first.dissolved_at is not None
    round_of()
    row.refresh_from_db()
    assert (at_wecom(sandbox, row), row.error_code) == ([second.chat_id], "")
    Group.objects.filter(pk=second.pk).update(member_count=3)
    round_of()
    row.refresh_from_db()
    assert row.error_code == join_ways.NO_ROOM
    chats.dismiss(sandbox.world, second.chat_id)
    sandbox.tell()
    round_of()
    row.refresh_from_db()
    assert row.error_code == join_ways.NO_GROUP


def test_a_lost_answer_makes_no_second_code_and_is_taken_over_when_found(sandbox: Wired, company: Shops) -> None:
    one = group(sandbox, "S1福利群1")
    sandbox.faults.add("lose", "externalcontact/groupchat/add_join_way", times=1)
    row = way(sandbox, company, one)
    assert row.status == "CREATING" and OutboxMessage.objects.get(topic=join_ways.CREATE).status == "UNKNOWN"
    (config_id,) = sandbox.world.join_ways
    ledger = GroupWay.objects.get()
    assert ledger.status == "LOST"
    GroupWay.objects.update(status="LIVE", config_id=config_id)  # a person has found and claimed it
    round_of()
    row.refresh_from_db()
    assert (row.status, row.config_id, len(sandbox.world.join_ways)) == ("LIVE", config_id, 1)


def test_a_welcome_is_made_changed_and_asked_for_and_says_when_wecom_has_no_room(
    sandbox: Wired, company: Shops
) -> None:
    one, now = group(sandbox, "S1福利群1"), timezone.now()
    said: dict[str, Any] = {
        "corp": sandbox.corp,
        "name": "新人欢迎",
        "link_title": "",
        "link_url": "",
        "actor": None,
        "now": now,
    }
    row = group_welcomes.write(welcome=None, text="欢迎 %NICKNAME%", **said)
    outbox.send_due(now=now)
    row.refresh_from_db()
    assert row.status == "LIVE" and row.template_id in sandbox.world.group_welcomes
    group_welcomes.write(welcome=row, text="欢迎来到福利群", **said)
    outbox.send_due(now=timezone.now())
    assert sandbox.world.group_welcomes[row.template_id].content["text"]["content"] == "欢迎来到福利群"
    assert group_welcomes.ask_owners(welcome=row, groups=[one], actor=None, now=now) == 1
    assert group_welcomes.ask_owners(welcome=row, groups=[one], actor=None, now=now) == 0
    assert "新人欢迎" in Action.objects.get(guide=company.guides["A"]).text
    sandbox.world.quotas.group_welcomes = 1
    other = group_welcomes.write(welcome=None, text="再来一个", **said)
    outbox.send_due(now=timezone.now())
    other.refresh_from_db()
    assert (other.status, other.error_code) == ("FAILED", "wecom_quota")
    with pytest.raises(group_welcomes.BadGroupWelcome) as refusal:
        group_welcomes.write(welcome=None, **{**said, "link_url": "http://x"}, text="欢" * 1001)
    assert set(refusal.value.extra["fields"]) == {"text", "link_title"}
    group_welcomes.delete(welcome=row, actor=None, now=timezone.now())
    outbox.send_due(now=timezone.now())
    assert not sandbox.world.group_welcomes and GroupWelcome.objects.get(pk=row.pk).status == "DELETED"


def test_tags_of_groups_are_given_once(sandbox: Wired, company: Shops) -> None:
    one, other = group(sandbox, "甲群"), group(sandbox, "乙群")
    assert group_tags.give(groups=[one], name="高活跃", actor=None) == 1
    assert group_tags.give(groups=[one, other], name=" 高活跃 ", actor=None) == 1
    tag = one.tagged.get().tag
    assert group_tags.take(groups=[one], tag=tag, actor=None) == 1 and not one.tagged.exists()
