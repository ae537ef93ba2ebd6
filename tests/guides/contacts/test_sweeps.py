"""Sweeps against a WeCom on this machine: every drift is found, nothing is repeated or lost, WeCom may refuse as it likes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from guides.contacts import compare, held, sweeps
from guides.contacts.pairs import DELETED
from guides.models import Contact, ContactSweep, Follower, FriendNews, Friendship, Guide, HeldEnds, SweepBatch
from scrm import db, jobs
from scrm.models import Act, Job, User, WecomPace
from scrm.wecom import corps, customers
from scrm.wecom.sandbox.records import Tag, TagGroup
from tests.factories.wecom import Wired
from tests.guides.contacts.conftest import Heard, hear, in_threads, member

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
BATCH = "externalcontact/batch/get_by_user"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(sweeps, "LONGEST_WAIT_SECONDS", 0.01)


def fill(sandbox: Wired, accounts: int, each: int) -> list[str]:
    """``accounts`` guides with ``each`` friends; every tenth of them is a friend of the next guide too."""
    world = sandbox.world
    userids = [f"g{number:03}" for number in range(accounts)]
    for userid in userids:
        world.add_member(userid)
    contacts = [(f"wm{n:05}", f"名{n}", f"oU{n}") for n in range(accounts * each)]
    follows = [(userids[n // each], f"wm{n:05}", 1_767_225_600 + n, 1, f"s{n % 3}") for n in range(accounts * each)]
    shared = [(userids[(n // each + 1) % accounts], f"wm{n:05}", 1_767_300_000) for n in range(0, accounts * each, 10)]
    shared = shared if accounts > 1 else []
    world.load_many(contacts, follows + shared)
    return userids


def sweep(sandbox: Wired, kind: str = "FULL", **values: Any) -> dict[str, Any]:
    return jobs.run(sweeps.start(corp=sandbox.corp, kind=kind, actor=None, **values).pk).summary


def on_wecom(sandbox: Wired) -> set[tuple[Any, ...]]:
    world = sandbox.world
    return {
        (userid, f.external_userid, world.contacts[f.external_userid].name, f.created_at, f.add_way, f.state, tuple(sorted(f.tag_ids)))
        for userid, staff in world.members.items() for f in staff.follows.values()
    }  # fmt: skip


def here() -> set[tuple[Any, ...]]:
    rows = Friendship.objects.filter(ended_at=None, is_confirmed=True).select_related("contact")
    return {
        (f.userid, f.contact.external_userid, f.contact.name, int(f.added_at.timestamp()), f.add_way, f.state, tuple(f.tag_ids))
        for f in rows if f.added_at
    }  # fmt: skip


def versions() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xmin, ctid::text FROM guides_contact UNION ALL SELECT xmin, ctid::text FROM guides_friendship"
        )
        return sorted(cursor.fetchall())


def staging_tables() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'contact\\_sweep\\_%'")
        return cursor.fetchone()[0]


def test_the_first_sweep_mirrors_everything_and_the_second_writes_nothing(sandbox: Wired, heard: Heard) -> None:
    fill(sandbox, 4, 60)
    user = User.objects.create(username="G1", name="林晓")
    guide = Guide.objects.create(user=user, code="G1", name="林晓", wecom_userid="G001")
    her = member(UNIONID="oU7")
    done = sweep(sandbox)
    assert here() == on_wecom(sandbox) and len(here()) == 264
    assert (
        done["pair_count"] == done["added_count"] == 264 and done["call_count"] == 1 + 3
    )  # the list, then three pages
    assert sandbox.box.counts[BATCH] == 3
    accounts = Follower.objects.all()
    assert {(a.friend_count, a.wecom_count, a.error_code) for a in accounts} == {(66, 66, "")}
    assert {f.guide for f in Friendship.objects.filter(userid="g001")} == {guide}
    assert Contact.objects.get(external_userid="wm00007").member == her
    assert FriendNews.objects.filter(kind="ADDED").count() == 264
    assert FriendNews.objects.filter(kind="LINKED").count() == 1
    assert staging_tables() == 0
    before = versions()
    again = sweep(sandbox)
    assert versions() == before
    assert (again["added_count"], again["changed_count"], again["ended_count"]) == (0, 0, 0)


def test_w11_a_sweep_finds_every_drift_that_no_event_told(sandbox: Wired) -> None:
    userids = fill(sandbox, 4, 60)
    sweep(sandbox)
    world = sandbox.world
    follows = world.members["g000"].follows
    world.add_contact("新朋友", "oNew", external_userid="wmNEW")
    world.befriend("g001", "wmNEW", state="new", add_way=3)  # added
    world.part("g000", "wm00001")  # deleted
    world.part("g000", "wm00002")  # handed over
    world.befriend("g003", "wm00002", add_way=202)
    for tag in ("et1", "et2"):
        world.tags[tag] = Tag(tag, "g", tag, 0, 0, None)
    world.tag_groups["g"] = TagGroup("g", "口味", 0, 0, None)
    follows["wm00003"].tag_ids = ("et2", "et1")  # tagged
    assert follows["wm00007"].state
    world.part("g000", "wm00007")  # deleted, and added again without a code
    world.befriend("g000", "wm00007", created_at=1_767_900_000, add_way=2)
    world.contacts["wm00004"].name = "改了名"
    world.contacts["wm00005"].unionid = "oLater"
    Friendship.objects.filter(contact__external_userid="wm00006").update(ended_at=timezone.now(), ended_by="DELETED")
    done = sweep(sandbox)
    assert here() == on_wecom(sandbox)
    assert (done["added_count"], done["changed_count"], done["ended_count"], done["held_count"]) == (3, 2, 2, 0)
    ended = Friendship.objects.exclude(ended_at=None)
    assert {(f.userid, f.ended_by) for f in ended} == {("g000", "MISSING")}
    assert Contact.objects.get(external_userid="wm00005").unionid == "oLater"
    assert len(userids) == Follower.objects.filter(is_listed=True).count()


def test_too_many_ends_wait_for_a_person_and_everything_else_is_written(sandbox: Wired, admin_user: User) -> None:
    fill(sandbox, 2, 100)
    sweep(sandbox)
    world = sandbox.world
    for n in range(compare.FEW + 1):
        world.part("g000", f"wm{n:05}")
    world.add_contact("新朋友", external_userid="wmNEW")
    world.befriend("g001", "wmNEW")
    done = sweep(sandbox)
    assert (done["ended_count"], done["held_count"], done["added_count"]) == (0, 21, 1)
    row = HeldEnds.objects.get()
    assert (row.follower.userid, row.missing_count, row.friend_count, row.status) == ("g000", 21, 110, "WAITING")
    assert Friendship.objects.filter(ended_at=None).count() == 221

    assert held.dismiss(held_ids=[row.pk], actor=admin_user, now=timezone.now()) == 1
    with pytest.raises(held.NotWaiting):
        held.confirm(held_ids=[row.pk], actor=admin_user, now=timezone.now())
    sweep(sandbox)
    row = HeldEnds.objects.get(status="WAITING")
    came_back = Friendship.objects.get(contact__external_userid="wm00000", userid="g000")
    hear_back(sandbox, came_back)
    assert held.confirm(held_ids=[row.pk], actor=admin_user, now=timezone.now()) == 20
    assert Friendship.objects.filter(ended_by="MISSING").count() == 20
    assert Friendship.objects.get(pk=came_back.pk).ended_at is None  # heard of since
    assert {act.verb for act in Act.objects.all()} >= {"contacts.confirm_ends", "contacts.dismiss_ends"}


def hear_back(sandbox: Wired, friendship: Friendship) -> None:
    hear(sandbox.corp, "add_external_contact", 10**8, userid="g000", ext="wm00000")


def test_a_newer_sweep_overtakes_what_waits(sandbox: Wired) -> None:
    fill(sandbox, 1, 100)
    sweep(sandbox)
    lost = {f"wm{n:05}": sandbox.world.members["g000"].follows[f"wm{n:05}"] for n in range(30)}
    for ext in lost:
        sandbox.world.part("g000", ext)
    sweep(sandbox)
    for ext, follow in lost.items():  # WeCom had only mislaid them
        sandbox.world.befriend("g000", ext, created_at=follow.created_at, state=follow.state)
    sweep(sandbox)
    assert [row.status for row in HeldEnds.objects.all()] == ["OVERTAKEN"]
    assert Friendship.objects.exclude(ended_at=None).count() == 0


def test_an_event_during_the_sweep_wins(sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """W4: what is heard after a page was asked for is newer than the page."""
    fill(sandbox, 1, 40)
    sweep(sandbox)
    read = customers.page_by_members

    def while_reading(*args: Any) -> Any:
        page = read(*args)
        hear(sandbox.corp, DELETED, 10**8, userid="g000", ext="wm00001")  # shown on the page
        hear(sandbox.corp, "add_external_contact", 10**8, userid="g000", ext="wmNEW")  # not shown on it
        return page

    monkeypatch.setattr(customers, "page_by_members", while_reading)
    done = sweep(sandbox)
    assert Friendship.objects.get(contact__external_userid="wm00001").ended_by == "DELETED"
    assert Friendship.objects.get(contact__external_userid="wmNEW").ended_at is None
    assert (done["added_count"], done["changed_count"], done["ended_count"]) == (0, 0, 0)


# --- killed, held up, refused -----------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def killed_after(pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after so many pages were kept."""
    keep, kept = sweeps._Batch._keep, iter(range(pages))

    def once(self: Any, page: Any, asked_at: Any) -> Any:
        if next(kept, None) is None:
            raise Killed
        return keep(self, page, asked_at)

    monkeypatch.setattr(sweeps._Batch, "_keep", once)


@pytest.mark.parametrize("pages", [0, 1, 2, 4])
def test_killed_and_run_again_nothing_is_lost_or_repeated(
    sandbox: Wired, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(customers, "MEMBERS_PER_CALL", 2)
    fill(sandbox, 4, 90)  # two batches of 198 pairs: two pages each
    job = sweeps.start(corp=sandbox.corp, kind="FULL", actor=None)
    with monkeypatch.context() as patch:
        killed_after(pages, patch)
        if pages < 4:
            with pytest.raises(Killed):
                jobs.run(job.pk)
            Job.objects.filter(pk=job.pk).update(status="RUNNING", error="")  # a killed process writes no end
        else:
            jobs.run(job.pk)
    again = sweeps.start_or_resume(corp=sandbox.corp, kind="FULL", actor=None)
    if pages < 4:
        assert again.pk == job.pk
        done = jobs.run(job.pk).summary
        assert done["added_count"] == 396 and done["call_count"] == 5  # no page was counted twice
    assert here() == on_wecom(sandbox)
    # a page that was asked for when the process died is asked for again, no other: one for each thread
    assert sandbox.box.counts[BATCH] <= 4 + 2
    assert Contact.objects.count() == 360 and staging_tables() == 0


def test_killed_before_its_comparison_a_batch_is_compared_without_reading_it_again(
    sandbox: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 1, 250)
    job = sweeps.start(corp=sandbox.corp, kind="FULL", actor=None)

    def die(self: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sweeps._Batch, "_compare", die)
        with pytest.raises(Killed):
            jobs.run(job.pk)
    Job.objects.filter(pk=job.pk).update(status="RUNNING", error="")
    asked = sandbox.box.counts[BATCH]
    assert asked == 3
    jobs.run(job.pk)
    assert sandbox.box.counts[BATCH] == asked
    assert here() == on_wecom(sandbox) and staging_tables() == 0


def test_a_staging_table_that_a_crash_emptied_is_filled_anew(sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sandbox, 1, 250)
    job = sweeps.start(corp=sandbox.corp, kind="FULL", actor=None)
    with monkeypatch.context() as patch:
        killed_after(2, patch)
        with pytest.raises(Killed):
            jobs.run(job.pk)
    Job.objects.filter(pk=job.pk).update(status="RUNNING")
    batch = SweepBatch.objects.get()
    assert batch.cursor and batch.staged_count == 200
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {compare.table_of(batch)}")
    jobs.run(job.pk)
    assert here() == on_wecom(sandbox)


def test_a_cursor_that_wecom_has_forgotten_begins_the_batch_anew(sandbox: Wired) -> None:
    fill(sandbox, 1, 250)
    sandbox.faults.add("code", BATCH, code=50100, times=2)
    sweep(sandbox)
    assert here() == on_wecom(sandbox)
    assert SweepBatch.objects.get().restart_count == 2


def test_cancelled_in_the_middle_it_ends_and_leaves_no_table(sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sandbox, 1, 250)
    job = sweeps.start(corp=sandbox.corp, kind="FULL", actor=None)
    keep = sweeps._Batch._keep

    def and_cancel(self: Any, page: Any, asked_at: Any) -> Any:
        jobs.cancel(job=job, actor=None)
        return keep(self, page, asked_at)

    monkeypatch.setattr(sweeps._Batch, "_keep", and_cancel)
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0)
    jobs.run(job.pk)
    assert ContactSweep.objects.get().status in ("CANCELLED", "DONE")  # or it was faster than the look
    assert staging_tables() == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_f5_storms_of_refusals_end_and_leave_nobody_out(
    sandbox: Wired, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """-1, 45033, 45009 and lost answers by chance; a sweep held up goes on until everything is compared."""
    monkeypatch.setattr(customers, "MEMBERS_PER_CALL", 3)
    monkeypatch.setattr(sweeps, "PATIENCE", dt.timedelta(0))
    monkeypatch.setattr(sweeps, "PAUSE", dt.timedelta(0))
    userids = fill(sandbox, 12, 70)
    sandbox.faults.random.seed(seed)
    sandbox.faults.add("code", BATCH, code=-1, share=0.3)
    sandbox.faults.add("code", BATCH, code=45033, share=0.1)
    sandbox.faults.add("code", BATCH, code=45009, share=0.05, times=3)
    sandbox.faults.add("lose", BATCH, share=0.1)
    job = sweeps.start(corp=sandbox.corp, kind="FULL", actor=None)
    jobs.run(job.pk)
    for _round in range(60):
        if ContactSweep.objects.get().status == "DONE":
            break
        WecomPace.objects.update(blocked_until=None)  # the minute is over
        for again in sweeps.go_on(now=timezone.now() + dt.timedelta(days=2)):
            jobs.run(again.pk)
    row = ContactSweep.objects.get()
    assert (row.status, row.failed_count, row.swept_count) == ("DONE", 0, len(userids))
    assert here() == on_wecom(sandbox)
    assert not Follower.objects.filter(swept_at=None).exists()


def test_f5_a_token_that_is_refused_for_ever_ends_the_job(sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sandbox, 1, 10)
    sandbox.faults.add("code", BATCH, code=40014)
    done = sweep(sandbox)
    assert done["held_up"] == "wecom_token_refused"
    row = ContactSweep.objects.get()
    assert row.status == "PAUSED" and row.not_before is not None
    sandbox.faults.clear()
    assert sweeps.go_on(now=timezone.now()) == []
    (job,) = sweeps.go_on(now=row.not_before)
    assert sweeps.go_on(now=row.not_before) == [job]  # once
    jobs.run(job.pk)
    assert here() == on_wecom(sandbox)


def test_an_account_that_cannot_be_read_is_named_and_the_others_are_compared(sandbox: Wired) -> None:
    userids = fill(sandbox, 5, 10)
    sweep(sandbox)
    sandbox.world.part("g003", "wm00031")
    done = sweep(sandbox, "CHOSEN", userids=[*userids, "nobody"])
    assert (done["failed_count"], done["swept_count"], done["ended_count"]) == (1, 5, 1)
    assert here() == on_wecom(sandbox)
    assert SweepBatch.objects.filter(status="FAILED").get().userids == ["nobody"]


def test_whoever_is_no_longer_listed_keeps_the_friends(sandbox: Wired) -> None:
    fill(sandbox, 2, 30)
    sweep(sandbox)
    sandbox.world.members["g001"].has_feature = False
    done = sweep(sandbox)
    assert done["account_count"] == 1
    gone = Follower.objects.get(userid="g001")
    assert (gone.is_listed, gone.friend_count) == (False, 33)


def test_without_an_app_the_job_says_so_and_the_sweep_waits(sandbox: Wired) -> None:
    sandbox.corp.apps.all().delete()
    with pytest.raises(corps.AppMissing):
        sweep(sandbox)
    assert ContactSweep.objects.get().error_code == "wecom_app_missing"


def test_one_sweep_of_a_corp_at_a_time(sandbox: Wired) -> None:
    fill(sandbox, 1, 10)
    done: list[Any] = []
    with db.advisory_lock(f"contact sweep {sandbox.corp.pk}"):
        in_threads(1, lambda _n: done.append(sweep(sandbox)))
    assert done[0]["held_up"] == "another_sweep"


# --- by the clock -----------------------------------------------------------------------------------------------------

SATURDAY_NIGHT = dt.datetime(2026, 1, 3, 1, 59, tzinfo=sweeps.ZONE)


def test_w10_one_sweep_a_business_day_however_often_it_is_asked(sandbox: Wired) -> None:
    assert sweeps.start_nightly(now=SATURDAY_NIGHT) == []
    at_two = SATURDAY_NIGHT + dt.timedelta(minutes=1)
    begun = in_threads(4, lambda _n: [job.pk for job in sweeps.start_nightly(now=at_two)])
    assert len({tuple(pks) for pks in begun}) == 1 and Job.objects.count() == 1
    assert Job.objects.get().params["kind"] == "ROLLING"
    late = sweeps.start_nightly(now=at_two + dt.timedelta(hours=21))  # the clock stood still until then
    assert [job.pk for job in late] == list(begun[0])
    sweeps.start_nightly(now=at_two + dt.timedelta(days=1))
    assert [job.params["kind"] for job in Job.objects.order_by("pk")] == ["ROLLING", "FULL"]


def test_a_corp_that_was_never_swept_is_swept_at_once_and_once(sandbox: Wired) -> None:
    fill(sandbox, 2, 3)
    first, again = sweeps.start_first(), sweeps.start_first()
    assert [job.pk for job in first] == [job.pk for job in again] and len(first) == 1
    jobs.run(first[0].pk)
    assert here() == on_wecom(sandbox)
    assert sweeps.start_first() == []


def test_a_seventh_each_night_reaches_everybody_in_a_week(sandbox: Wired) -> None:
    userids = fill(sandbox, 10, 3)
    for night in range(1, 6):
        sweep(sandbox, "ROLLING")
        assert Follower.objects.exclude(swept_at=None).count() == min(2 * night, len(userids))
    assert here() == on_wecom(sandbox)
