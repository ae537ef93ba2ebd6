"""WeCom's directory: whatever order its words come in, the same accounts, guides and departments come of them."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guides import contacts, directory
from guides.contacts import pairs
from guides.models import Contact, Department, Employment, Follower, Friendship, Guide, HandoverCase, WecomMember
from scrm.errors import RuleViolation
from scrm.models import Act, CallbackEndpoint, Corp, InboxEvent
from scrm.wecom import inbox
from tests.factories import shops as factory
from tests.scrm.wecom import calls
from tests.scrm.wecom.conftest import in_threads

T = dt.datetime(2026, 6, 10, 10, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture(autouse=True)
def no_keys_of_another_test() -> None:
    inbox._known.clear()


@pytest.fixture
def corp(db: None) -> Corp:
    return Corp.objects.create(corp_id=calls.CORP_ID, name="示例公司")


@pytest.fixture
def shops(corp: Corp) -> factory.Shops:
    company = factory.shops()
    Guide.objects.filter(pk=company.guides["A"].pk).update(wecom_userid="WangFang")  # as people write it
    company.guides["A"].refresh_from_db()
    return company


def say(kind: str, second: int, **fields: str) -> inbox.Delivery:
    return inbox.Delivery(calls.CORP_ID, "change_contact", kind, T + second * SECOND, {**fields})


def tell(kind: str, second: int = 0, **fields: str) -> None:
    directory.take_event(say(kind, second, **fields))


def befriend(corp: Corp, userid: str, name: str, guide: Guide | None = None, second: int = 0) -> Friendship:
    contact, _new = Contact.objects.get_or_create(corp=corp, external_userid=f"wm{name}", defaults={"name": name})
    return Friendship.objects.create(
        contact=contact, corp=corp, userid=userid, guide=guide, added_at=T + second * SECOND
    )


# --- events -----------------------------------------------------------------------------------------------------------

STORY = [
    ("create_party", 1, {"Id": "18", "ParentId": "3"}),
    ("update_party", 4, {"Id": "18", "ParentId": "5"}),
    ("create_user", 2, {"UserID": "WangFang", "Department": "3,18"}),
    ("update_user", 5, {"UserID": "wangfang", "Department": "18"}),
    ("update_user", 6, {"UserID": "wangfang", "NewUserID": "wf0001"}),
    ("update_user", 7, {"UserID": "wf0001", "Department": "5"}),
    ("create_user", 3, {"UserID": "lina", "Department": "3"}),
    ("delete_user", 8, {"UserID": "lina"}),
    ("update_user", 8, {"UserID": "lina", "Department": "3,5"}),  # of the same second
    ("create_user", 9, {"UserID": "chen", "Department": "3"}),
    ("delete_user", 10, {"UserID": "chen"}),
    ("create_user", 11, {"UserID": "chen", "Department": "18"}),
    ("delete_party", 12, {"Id": "18"}),
]


def picture() -> Any:
    """The directory and what hangs on it, without keys."""
    members = WecomMember.objects.order_by("userid").values_list(
        "userid", "former_userid", "departments", "left_at", "placed_at", "guide__code"
    )
    departments = Department.objects.order_by("number").values_list("number", "parent_number", "gone_at")
    friends = Friendship.objects.order_by("contact__name").values_list("contact__name", "userid", "added_at")
    open_cases = HandoverCase.objects.exclude(status="CANCELLED").order_by("pk")
    cases = sorted(open_cases.values_list("guide__code", "userid", "status", "opened_at"))
    accounts = sorted(Guide.objects.exclude(wecom_userid=None).values_list("code", "wecom_userid"))
    return list(members), list(departments), list(friends), cases, accounts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_repetition_of_events_ends_the_same(shops: factory.Shops, corp: Corp, data: Any) -> None:
    """W3, W4"""
    told = data.draw(st.permutations(STORY))
    told = [*told, *data.draw(st.lists(st.sampled_from(STORY), max_size=5))]

    def outcome(events: Any) -> Any:
        with transaction.atomic():
            Guide.objects.filter(pk=shops.guides["B"].pk).update(wecom_userid="lina")
            befriend(corp, "wangfang", "晚风", shops.guides["A"])
            befriend(corp, "wangfang", "晴天", shops.guides["A"], second=3)
            befriend(corp, "wf0001", "晴天", None, second=6)  # the mirror heard of it under the new account first
            for kind, second, fields in events:
                tell(kind, second, **fields)
            seen = picture()
            transaction.set_rollback(True)
        return seen

    expected = outcome(sorted(STORY, key=lambda event: event[1]))
    assert outcome(told) == expected
    members, departments, friends, cases, accounts = expected
    assert [row[0] for row in members] == ["chen", "lina", "wf0001"]
    assert [(name, userid) for name, userid, _at in friends] == [("晚风", "wf0001"), ("晴天", "wf0001")]
    assert accounts == [("G00001", "wf0001"), ("G00002", "lina")]
    assert [(case[0], case[1]) for case in cases] == [("G00002", "lina")]
    assert departments[0][1] == 5


def test_a_late_word_from_before_a_departure_brings_nobody_back(shops: factory.Shops) -> None:
    """W4"""
    tell("create_user", 0, UserID="wangfang", Department="3")
    tell("delete_user", 10, UserID="wangfang")
    tell("update_user", 5, UserID="wangfang", Department="17")
    member = WecomMember.objects.get()
    assert (member.left_at, member.departments, member.guide) == (T + 10 * SECOND, [17], shops.guides["A"])


def test_through_the_inbox_a_rename_reaches_guide_and_friends(shops: factory.Shops, corp: Corp) -> None:
    calls.endpoint()
    befriend(corp, "wangfang", "晚风", shops.guides["A"])
    at = int(T.timestamp())
    for number, tags in enumerate((
        {"ChangeType": "update_user", "UserID": "wangfang", "NewUserID": "wf0001", "Department": "3"},
        {"ChangeType": "create_user", "UserID": "wangfang", "Department": "9"},
    )):  # fmt: skip
        assert calls.send(calls.event(at - number, event="change_contact", **tags)).status_code == 200
        inbox.process(now=timezone.now())
    assert set(InboxEvent.objects.values_list("status", flat=True)) <= {"PROCESSED", "STALE"}
    shops.guides["A"].refresh_from_db()
    member = WecomMember.objects.get()
    assert (member.userid, member.former_userid, shops.guides["A"].wecom_userid) == ("wf0001", "wangfang", "wf0001")
    assert Friendship.objects.get().userid == "wf0001"


def say_friend(kind: str, second: int, userid: str, friend: str) -> None:
    at = int((T + second * SECOND).timestamp())
    body = calls.event(at, ChangeType=kind, UserID=userid, ExternalUserID=friend)
    assert calls.send(body).status_code == 200
    inbox.process(now=timezone.now())


def friends() -> dict[str, tuple[str, str | None, str]]:
    rows = Friendship.objects.values_list("contact__external_userid", "userid", "guide__code", "ended_by")
    return {friend: (userid, code, ended_by) for friend, userid, code, ended_by in rows}


def test_what_is_told_late_of_friends_finds_who_was_renamed(shops: factory.Shops, corp: Corp) -> None:
    calls.endpoint()
    tell("create_user", -100, UserID="wangfang")
    tell("update_user", 0, UserID="wangfang", NewUserID="wf0001")
    say_friend("add_external_contact", -60, "WangFang", "wm1")  # from before
    say_friend("add_external_contact", 60, "WangFang", "wm2")  # nobody else has the name
    assert friends() == {"wm1": ("wf0001", "G00001", ""), "wm2": ("wf0001", "G00001", "")}
    say_friend("del_external_contact", -30, "WangFang", "wm1")
    assert friends()["wm1"] == ("wf0001", "G00001", "DELETED")
    assert not Follower.objects.filter(userid="wangfang").exists()
    tell("create_user", 100, UserID="wangfang")  # a newcomer takes the name
    say_friend("add_external_contact", 160, "WangFang", "wm3")
    say_friend("add_external_contact", -20, "WangFang", "wm4")
    assert friends()["wm3"] == ("wangfang", None, "") and friends()["wm4"] == ("wf0001", "G00001", "")
    tell("update_user", 200, UserID="wangfang", NewUserID="second")
    say_friend("add_external_contact", 180, "WangFang", "wm5")
    say_friend("add_external_contact", -10, "WangFang", "wm6")
    assert friends()["wm3"][0] == friends()["wm5"][0] == "second" and friends()["wm6"][0] == "wf0001"


@pytest.mark.django_db(transaction=True)
def test_an_event_that_meets_the_rename_itself_waits_for_it(shops: factory.Shops, corp: Corp) -> None:
    tell("create_user", -100, UserID="wangfang")
    befriend(corp, "wangfang", "晚风", shops.guides["A"])
    renaming = threading.Event()

    def work(number: int) -> None:
        if number:
            assert renaming.wait(30)
            change = pairs.Change(kind="add_external_contact", at=T - SECOND)
            contacts.hear(corp=corp, userid="wangfang", external_userid="wmLate", change=change)
            return
        with transaction.atomic():
            tell("update_user", 0, UserID="wangfang", NewUserID="wf0001")
            renaming.set()
            time.sleep(0.5)

    assert in_threads(2, work) == [None, None]
    assert set(Friendship.objects.values_list("userid", flat=True)) == {"wf0001"}
    assert Friendship.objects.count() == 2


def test_an_event_of_an_unknown_corp_is_parked(db: None) -> None:
    calls.endpoint()
    calls.send(calls.event(event="change_contact", ChangeType="create_user", UserID="a", Department="1"))
    inbox.process(now=timezone.now())
    event = InboxEvent.objects.get()
    assert (event.status, event.error_code) == ("PARKED", "wecom_unknown_corp")
    assert CallbackEndpoint.objects.count() == 1 and not WecomMember.objects.exists()


# --- departures -------------------------------------------------------------------------------------------------------


def test_a_departure_opens_one_handover_and_ends_no_employment(shops: factory.Shops) -> None:
    tell("create_user", 0, UserID="wangfang")
    for _time in range(2):
        tell("delete_user", 5, UserID="WANGFANG")
    case = HandoverCase.objects.get()
    assert (case.guide, case.cause, case.userid, case.is_resigned) == (
        shops.guides["A"], "LEFT_WECOM", "wangfang", True,
    )  # fmt: skip
    assert (case.store, case.opened_at) == (shops.stores["S1"], T + 5 * SECOND)
    assert Employment.objects.get(guide=shops.guides["A"]).ended_at is None
    tell("update_user", 9, UserID="wangfang", Department="3")  # back again
    case.refresh_from_db()
    assert case.status == "CANCELLED"
    tell("delete_user", 5, UserID="wangfang")
    assert HandoverCase.objects.count() == 1


@override_settings(WECOM_LEAVER_ENDS_EMPLOYMENT=True)
def test_where_the_setting_says_so_the_employment_ends_with_the_day(shops: factory.Shops) -> None:
    tell("delete_user", 0, UserID="wangfang")
    job = Employment.objects.get(guide=shops.guides["A"])
    assert job.ended_at == dt.datetime(2026, 6, 10, 16, tzinfo=dt.UTC)  # 00:00 of the 11th in Shanghai
    shops.guides["A"].user.refresh_from_db()
    assert not shops.guides["A"].user.is_active
    assert Act.objects.filter(verb="guides.end_employment").count() == 1


# --- accounts and guides ----------------------------------------------------------------------------------------------


def member(corp: Corp, userid: str, name: str = "", departments: list[int] | None = None) -> WecomMember:
    return WecomMember.objects.create(
        corp=corp, userid=userid, name=name, departments=departments or [], state_at=T, placed_at=T
    )


def test_the_list_of_guides_links_accounts_and_unlinks_them(shops: factory.Shops, corp: Corp) -> None:
    hers, nobodys = member(corp, "wangfang"), member(corp, "stranger")
    friend = befriend(corp, "wangfang", "晚风")
    assert directory.match_guides() == 1
    hers.refresh_from_db()
    friend.refresh_from_db()
    assert (hers.guide, friend.guide) == (shops.guides["A"], shops.guides["A"])
    Guide.objects.filter(pk=shops.guides["A"].pk).update(wecom_userid="stranger")
    assert directory.match_guides() == 1
    hers.refresh_from_db()
    nobodys.refresh_from_db()
    assert (hers.guide, nobodys.guide) == (None, shops.guides["A"])
    assert directory.match_guides() == 0


def test_a_joiner_is_suggested_by_name_and_store(shops: factory.Shops, corp: Corp) -> None:
    Department.objects.create(corp=corp, number=3, state_at=T, store=shops.stores["S1"])
    Department.objects.create(corp=corp, number=31, parent_number=3, state_at=T)
    Department.objects.create(corp=corp, number=4, state_at=T, store=shops.stores["S2"])
    twin = factory.hire("G00009", "张敏", shops.stores["S2"])
    here, there, unplaced = (
        member(corp, "zm1", "张敏", [31]), member(corp, "zm2", "张敏", [4]), member(corp, "zm3", "张敏", []),
    )  # fmt: skip
    other = member(corp, "x", "无名", [3])
    found = directory.suggested_guides([here, there, unplaced, other])
    assert found == {here.pk: shops.guides["M"], there.pk: twin}
    assert directory.link_suggested(members=[here, there, unplaced, other], actor=None) == 2
    assert Guide.objects.get(code="G00009").wecom_userid == "zm2"
    assert directory.suggested_guides(list(WecomMember.objects.all())) == {}  # who has an account is suggested no more


def test_linking_refuses_what_belongs_to_another(shops: factory.Shops, corp: Corp) -> None:
    one, two = member(corp, "wangfang"), member(corp, "second")
    directory.match_guides()
    for account, code in ((two, "G00001"), (one, "G00002"), (two, "G404"), (two, " ")):
        with pytest.raises(RuleViolation):
            directory.link_by_code(member=account, code=code, actor=None)
    two.left_at = T
    two.save()
    with pytest.raises(directory.AccountGone):
        directory.link(member=two, guide=shops.guides["B"], actor=None)
    shops.guides["B"].refresh_from_db()
    assert shops.guides["B"].wecom_userid is None
    assert not Act.objects.filter(verb="directory.link").exists()


def test_who_is_ignored_is_asked_about_no_more(shops: factory.Shops, corp: Corp) -> None:
    rows = [member(corp, "boss"), member(corp, "wangfang")]
    directory.match_guides()
    assert directory.ignore(members=rows, actor=None, now=T) == 1  # a guide's account is not ignored
    assert directory.ignore(members=rows, actor=None, now=T) == 0


# --- departments and stores -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "store"),
    [
        ("S1", 1), ("华东-s2", 2), ("人民路店", 3), ("人民路", 3), ("S1 人民路", 1), ("（S2）南山店", 2), ("南山", None),
        ("不存在", None), ("", None), ("S1-S2", None),
    ],
)  # fmt: skip
def test_a_department_suggests_the_one_store_it_means(name: str, store: int | None) -> None:
    keys = directory.store_keys([
        (1, "S1", "一店"), (2, "S2", "二店"), (3, "S3", "人民路门店"), (4, "S4", "南山店"), (5, "S5", "南山门店"),
    ])  # fmt: skip
    assert directory.suggested_store(name, keys) == store


def test_a_store_is_found_through_the_parents_and_a_loop_ends() -> None:
    places = {1: directory.Place(0, None), 2: directory.Place(1, 7), 3: directory.Place(2, None), 4: directory.Place(5, None),
              5: directory.Place(4, None)}  # fmt: skip
    assert directory.store_of([3], places) == 7
    assert directory.store_of([1, 3], places) == 7
    assert directory.store_of([4], places) is None
    assert directory.store_of([99], places) is None


def test_departments_are_mapped_by_code_and_by_suggestion(shops: factory.Shops, corp: Corp) -> None:
    rows = [
        Department.objects.create(corp=corp, number=n, name=name, state_at=T) for n, name in ((1, "S1店"), (2, "总部"))
    ]
    with pytest.raises(directory.UnknownStore):
        directory.map_store(department=rows[1], code="NO", actor=None)
    assert directory.suggested_stores(rows) == {rows[0].pk: shops.stores["S1"].pk}
    directory.map_stores(chosen=dict(directory.suggested_stores(rows)), actor=None)
    assert directory.map_store(department=rows[1], code="S2", actor=None).store == shops.stores["S2"]
    assert directory.map_store(department=rows[1], code="", actor=None).store is None
    assert Act.objects.filter(verb="directory.map").count() == 3
