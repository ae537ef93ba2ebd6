"""The sweep of the directory: what no event told is found, and a reading that loses half the company is not believed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from guides import directory, directory_sweep, tasks
from guides.models import Department, DirectorySweep, Guide, HandoverCase, WecomMember
from scrm import jobs
from scrm.models import Corp, Job, WecomApp
from scrm.wecom import corps
from tests.factories import shops as factory
from tests.scrm.wecom.conftest import CORP_ID, SECRET, Wecom, no_long_pauses, refusal, wecom  # noqa: F401

ROOT, SHOP = 1, 17


class World:
    """A directory on the other side: userid to departments, what the app sees of them, who may have customers."""

    def __init__(self, fake: Wecom) -> None:
        self.members: dict[str, list[int]] = {}
        self.names: dict[str, str] = {}
        self.followers: list[str] = []
        self.departments = {ROOT: (0, "总部"), SHOP: (ROOT, "S1店")}
        self.hidden: set[int] = set()
        fake.on("user/list_id", lambda request: {"next_cursor": "", "dept_user": [
            {"userid": userid, "department": number} for userid, numbers in self.members.items() for number in numbers
        ]})  # fmt: skip
        fake.on("department/simplelist", lambda request: {"department_id": [
            {"id": number, "parentid": parent, "order": 1} for number, (parent, _name) in self.departments.items()
        ]})  # fmt: skip
        fake.on("externalcontact/get_follow_user_list", lambda request: {"follow_user": self.followers})
        fake.on("department/get", lambda request: self._department(int(request.query["id"])))
        fake.on("user/list", lambda request: self._users(int(request.query["department_id"])))

    def _department(self, number: int) -> Any:
        if number in self.hidden:
            return refusal(60011)
        parent, name = self.departments[number]
        return {"department": {"id": number, "name": name, "parentid": parent, "order": 1}}

    def _users(self, number: int) -> Any:
        if number in self.hidden:
            return refusal(60011)
        found = [userid for userid, numbers in self.members.items() if number in numbers]
        return {"userlist": [
            {"userid": userid, "name": self.names.get(userid, userid), "department": self.members[userid], "status": 1}
            for userid in found
        ]}  # fmt: skip


@pytest.fixture
def corp(db: None) -> Corp:
    corp = Corp.objects.create(corp_id=CORP_ID, name="示例公司")
    corps.add_app(actor=None, corp=corp, kind="SELF_BUILT", name="私域", agent_id=1000014, secret=SECRET)
    corps.add_app(actor=None, corp=corp, kind="CONTACT_SYNC", name="通讯录", secret=SECRET)
    return corp


@pytest.fixture
def world(wecom: Wecom, corp: Corp) -> World:  # noqa: F811
    world = World(wecom)
    world.members = {f"guide_{n:02}": [SHOP] for n in range(20)}
    return world


def sweep(corp: Corp, **options: Any) -> DirectorySweep:
    job = directory_sweep.start(corp=corp, actor=None, **options)
    jobs.run(job.pk)
    return DirectorySweep.objects.get(job=job)


def present() -> set[str]:
    return set(WecomMember.objects.filter(left_at=None).values_list("userid", flat=True))


def test_the_first_sweep_reads_everything(world: World, corp: Corp, wecom: Wecom) -> None:  # noqa: F811
    world.members["Boss"] = [ROOT, SHOP]
    world.names["Boss"] = "老板"
    world.followers = ["guide_00", "BOSS"]
    done = sweep(corp)
    assert (done.status, done.known_count, done.seen_count, done.joined_count, done.missing_count) == (
        "DONE",
        0,
        21,
        21,
        0,
    )
    boss = WecomMember.objects.get(userid="boss")
    assert (boss.name, boss.departments, boss.status, boss.has_feature) == ("老板", [ROOT, SHOP], 1, True)
    assert WecomMember.objects.filter(has_feature=True).count() == 2
    assert Department.objects.get(number=SHOP).parent_number == ROOT
    assert len(wecom.calls("department/get")) == 2
    again = sweep(corp)
    assert (again.joined_count, again.moved_count, again.missing_count) == (0, 0, 0)
    assert len(wecom.calls("department/get")) == 2  # names keep for a week


def test_every_drift_is_found(world: World, corp: Corp) -> None:
    """W11: joined, moved, left, renamed department, another state: none of them was told by an event."""
    company = factory.shops()
    Guide.objects.filter(pk=company.guides["A"].pk).update(wecom_userid="guide_03")
    sweep(corp)
    Department.objects.update(named_at=timezone.now() - dt.timedelta(days=8))
    del world.members["guide_03"]
    world.members |= {"newcomer": [SHOP], "guide_05": [ROOT]}
    world.departments |= {SHOP: (ROOT, "S1旗舰店"), 18: (SHOP, "二楼")}
    world.followers = ["guide_07"]
    done = sweep(corp)
    assert (done.joined_count, done.moved_count, done.missing_count) == (1, 1, 1)
    assert "guide_03" not in present() and "newcomer" in present()
    assert WecomMember.objects.get(userid="guide_05").departments == [ROOT]
    assert WecomMember.objects.get(userid="guide_07").has_feature
    assert Department.objects.get(number=SHOP).name == "S1旗舰店"
    assert Department.objects.get(number=18).parent_number == SHOP
    case = HandoverCase.objects.get()
    assert (case.guide, case.cause, case.userid) == (company.guides["A"], "LEFT_WECOM", "guide_03")
    world.members["guide_03"] = [SHOP]
    del world.departments[18]
    assert sweep(corp).joined_count == 1
    case.refresh_from_db()
    assert case.status == "CANCELLED" and "guide_03" in present()
    assert Department.objects.get(number=18).gone_at is not None


def test_too_many_missing_are_believed_by_a_person_only(world: World, corp: Corp) -> None:
    sweep(corp)
    everybody = dict(world.members)
    world.members = {"guide_00": [SHOP], "newcomer": [SHOP]}
    held = sweep(corp)
    assert (held.status, held.missing_count) == ("HELD", 19)
    assert present() == {*everybody, "newcomer"}  # who came is taken, nobody is marked
    assert not HandoverCase.objects.exists()
    actor = factory.shops().staff["hq"]
    job = directory_sweep.allow(sweep=held, actor=actor)
    with pytest.raises(directory_sweep.NotHeld):
        directory_sweep.allow(sweep=held, actor=actor)
    jobs.run(job.pk)
    assert DirectorySweep.objects.get(job=job).status == "DONE"
    assert present() == {"guide_00", "newcomer"}


def test_more_than_was_allowed_is_held_again(world: World, corp: Corp) -> None:
    sweep(corp)
    for number in range(5):
        del world.members[f"guide_{number:02}"]
    assert sweep(corp, allowed=4).status == "HELD"
    assert sweep(corp, allowed=5).status == "DONE"


def test_an_empty_answer_marks_nobody(world: World, corp: Corp) -> None:
    sweep(corp)
    world.members = {}
    assert sweep(corp).status == "HELD"
    assert len(present()) == 20


@pytest.mark.parametrize(
    ("missing", "known", "allowed", "is_held"),
    [(3, 10, None, False), (4, 10, None, True), (50, 1000, None, False), (51, 1000, None, True), (51, 1000, 51, False)],
)
def test_the_cap(missing: int, known: int, allowed: int | None, is_held: bool) -> None:
    assert directory_sweep.is_too_many(missing=missing, known=known, allowed=allowed) is is_held


def test_what_was_said_after_the_reading_began_stands(world: World, corp: Corp) -> None:
    """W4: events come in while a sweep reads; what it read before them does not undo them."""
    sweep(corp)
    later = timezone.now() + dt.timedelta(minutes=1)
    for userid, new, is_there in (("guide_01", "", False), ("guide_02", "renamed", True), ("brand_new", "", True)):
        directory.say_member(corp=corp, userid=userid, at=later, is_there=is_there, departments=[18], new_userid=new)
    sweep(corp)
    assert present() == ({f"guide_{n:02}" for n in range(20)} - {"guide_01", "guide_02"}) | {"renamed", "brand_new"}
    assert WecomMember.objects.get(userid="renamed").departments == [18]


def test_a_departure_of_the_second_in_which_a_sweep_began_stands(world: World, corp: Corp) -> None:
    """Events know whole seconds: told before the sweep or after it, the departure counts."""
    sweep(corp)
    begun = timezone.now().replace(microsecond=0)
    for userid, told_first in (("guide_01", True), ("guide_02", False)):
        done = DirectorySweep(corp=corp, started_at=begun + dt.timedelta(milliseconds=500))
        done.save()
        reading = directory_sweep.Reading(members={f"guide_{n:02}": {SHOP} for n in range(20)})
        if told_first:
            directory.say_member(corp=corp, userid=userid, at=begun, is_there=False)
        directory_sweep.write(done, reading)
        directory.say_member(corp=corp, userid=userid, at=begun, is_there=False)
        assert userid not in present()


def test_departments_out_of_range_stay_without_names(world: World, corp: Corp) -> None:
    world.hidden = {SHOP}
    done = sweep(corp)
    assert (done.status, done.unseen_count) == ("DONE", 1)
    assert WecomMember.objects.get(userid="guide_00").name == ""


def test_a_reading_that_breaks_off_writes_nothing(world: World, corp: Corp, wecom: Wecom) -> None:  # noqa: F811
    wecom.on("externalcontact/get_follow_user_list", refusal(48002))
    job = directory_sweep.start(corp=corp, actor=None)
    with pytest.raises(Exception, match="48002"):
        jobs.run(job.pk)
    job.refresh_from_db()
    assert job.status == "FAILED" and "48002" in job.error
    assert not WecomMember.objects.exists()


def test_one_sweep_a_day_and_corp(world: World, corp: Corp) -> None:
    """W10"""
    Corp.objects.create(corp_id="ww2", name="没有通讯录")
    night = dt.datetime(2026, 6, 10, 15, 59, tzinfo=dt.UTC)  # 23:59 in Shanghai
    first = directory_sweep.start_daily(now=night)
    assert directory_sweep.start_daily(now=night - dt.timedelta(hours=20)) == first
    assert len(first) == 1
    assert directory_sweep.start_daily(now=night + dt.timedelta(minutes=1)) != first
    tasks.sweep_directories()
    tasks.sweep_directories()
    assert Job.objects.filter(kind=directory_sweep.KIND).count() == 3


def test_a_corp_that_was_never_swept_is_swept_at_once(world: World, corp: Corp) -> None:
    now = dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC)
    (job,) = directory_sweep.start_first(now=now)
    jobs.run(job.pk)
    assert len(present()) == 20
    assert directory_sweep.start_first(now=now + dt.timedelta(days=1)) == []


def test_the_command_says_when_too_many_are_missing(world: World, corp: Corp, capsys: Any) -> None:
    call_command("sync_directory")
    assert '"joined": 20' in capsys.readouterr().out
    world.members = {"guide_00": [SHOP]}
    with pytest.raises(CommandError, match="19"):
        call_command("sync_directory")
    call_command("sync_directory", allow=19)
    assert present() == {"guide_00"}
    WecomApp.objects.filter(kind="CONTACT_SYNC").delete()
    with pytest.raises(CommandError):
        call_command("sync_directory")
