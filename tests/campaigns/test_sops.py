"""SOPs: the plan, who enters, what each step does, and that nothing is done twice."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from campaigns import sops
from campaigns.models import Sop, SopRun, SopStep, SopStepDone, SopVersion
from campaigns.sops import picture, rules
from guides import actions, touches
from guides.models import Action, Contact, ServiceAct, Touch
from members import consent
from members.models import MemberTag, Tag
from scrm.models import Corp
from tests.campaigns import sopping
from tests.campaigns.sopping import sweep
from tests.factories import shops as factory
from tests.factories.shops import Shops

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=rules.SHANGHAI)
Step = rules.Step


# --- the plan -----------------------------------------------------------------------------------------------------------


def test_a_step_comes_days_after_the_one_before_at_its_time() -> None:
    assert rules.planned(NOON, Step(1, "MESSAGE", wait_days=3, at_time=dt.time(10))) == dt.datetime(
        2026, 3, 5, 10, tzinfo=rules.SHANGHAI
    )


def test_a_time_of_day_that_is_over_means_tomorrow() -> None:
    assert rules.planned(NOON, Step(1, "MESSAGE", at_time=dt.time(10))).astimezone(rules.SHANGHAI).day == 3


@pytest.mark.parametrize(("minutes", "expected"), [(60, (2, 13, 0)), (9 * 60, (3, 9, 0)), (20 * 60, (3, 9, 0))])
def test_nobody_is_reached_at_night(minutes: int, expected: tuple[int, int, int]) -> None:
    at = rules.planned(NOON, Step(1, "MESSAGE", wait_minutes=minutes)).astimezone(rules.SHANGHAI)
    assert (at.day, at.hour, at.minute) == expected


@given(
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(rules.SHANGHAI)),  # noqa: DTZ001 - hypothesis adds the zone
    st.integers(0, 40), st.integers(0, 3000), st.none() | st.times(dt.time(9), dt.time(20, 59)),
    st.sampled_from(["MESSAGE", "CALL", "TAG", "BRANCH"]),
)  # fmt: skip
def test_a_plan_never_goes_back(after: dt.datetime, days: int, minutes: int, at: dt.time | None, kind: str) -> None:
    step = Step(1, kind, wait_days=days, wait_minutes=minutes, at_time=at)
    planned = rules.planned(after, step)
    assert planned >= after
    if kind in ("MESSAGE", "CALL"):
        assert rules.OPENS <= planned.astimezone(rules.SHANGHAI).time() < rules.CLOSES


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([], "no_steps"),
        ([Step(1, "MESSAGE")], "no_text"),
        ([Step(1, "TAG")], "no_tag"),
        ([Step(1, "BRANCH", question="TAGGED", yes_to=0)], "no_tag"),
        ([Step(1, "CALL", next_to=7)], "no_such_step"),
        ([Step(1, "CALL"), Step(2, "CALL", next_to=1)], "circle"),
        ([Step(1, "CALL", next_to=0), Step(2, "CALL")], "never_reached"),
    ],
)
def test_what_is_wrong_with_a_plan(steps: list[Step], code: str) -> None:
    assert code in [fault.code for fault in rules.faults(steps)]


BRANCHED = [
    Step(1, "MESSAGE", text="欢迎"),
    Step(2, "BRANCH", question="BOUGHT", yes_to=4),
    Step(3, "CALL", next_to=0),
    Step(4, "MESSAGE", text="谢谢"),
]


def test_a_branch_leads_two_ways() -> None:
    steps = {step.position: step for step in BRANCHED}
    assert not rules.faults(BRANCHED)
    assert rules.ways(steps, steps[2]) == (4, 3) and rules.ways(steps, steps[3]) == (0,)


def test_the_picture_shows_every_step_and_every_way() -> None:
    drawn = picture.draw(BRANCHED)
    # below the branch, where yes leads stands to the left
    assert [box.step.position for box in drawn.boxes if box.step] == [1, 2, 4, 3] and len(drawn.arrows) == 5
    places = [(box.x, box.y) for box in drawn.boxes]
    assert len(set(places)) == len(places) == 5
    assert all(box.x + picture.WIDTH <= drawn.width and box.y + picture.HEIGHT <= drawn.height for box in drawn.boxes)


# --- with rows ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shops(db: None) -> Shops:
    return factory.shops()


def sop(shops: Shops, *steps: dict[str, Any], at: dt.datetime | None = None, **values: Any) -> Sop:
    return sopping.sop(shops, *steps, at=at or NOON - dt.timedelta(hours=3), **values)


def bought(shops: Shops, name: str = "李敏", at: dt.datetime = NOON) -> None:
    if name not in shops.members:
        shops.member(name, store="S1", guide="A")
    shops.line(f"{name} {at}", member=name, store="S1", paid_fen=10_000, at=at)


def given_to(name: str = "A") -> list[str]:
    return list(Action.objects.filter(guide__name={"A": "王芳"}[name]).order_by("pk").values_list("title", flat=True))


def test_a_purchase_leads_to_an_action_with_its_reason_and_text(shops: Shops) -> None:
    sop(shops, {"wait_minutes": 30})
    bought(shops)
    sweep(NOON + dt.timedelta(minutes=10))
    assert not Action.objects.exists()
    sweep(NOON + dt.timedelta(minutes=31))
    action = Action.objects.get()
    assert action.text == "李敏您好，我是S1店的王芳" and action.reason == "到了该跟进的时候（跟进0）"
    assert SopRun.objects.get().why == "THROUGH"


def test_sweeping_again_changes_nothing(shops: Shops) -> None:
    sop(shops, {}, {"wait_days": 1})
    bought(shops)
    for minute in range(4):
        sweep(NOON + dt.timedelta(minutes=minute))
    assert given_to() == ["第1步"] and SopRun.objects.count() == 1
    sweep(NOON + dt.timedelta(days=1, minutes=1))
    sweep(NOON + dt.timedelta(days=1, minutes=2))
    assert given_to() == ["第1步", "第2步"] and SopStepDone.objects.count() == 2
    sweep(NOON + dt.timedelta(days=2))
    assert SopRun.objects.count() == 1


def test_a_purchase_ends_it_and_begins_the_next(shops: Shops) -> None:
    sop(shops, {}, {"wait_days": 2})
    bought(shops)
    sweep(NOON)
    again = NOON + dt.timedelta(days=1)
    bought(shops, at=again)
    sweep(again)
    assert list(SopRun.objects.order_by("pk").values_list("status", "why")) == [
        ("ACTIVE", "")
    ]  # it ends when its step is due
    sweep(NOON + dt.timedelta(days=2, minutes=1))
    sweep(NOON + dt.timedelta(days=2, hours=1, minutes=2))  # late bookings are looked for each hour
    assert sorted(SopRun.objects.values_list("status", "why")) == [("ACTIVE", ""), ("STOPPED", "BOUGHT")]
    assert Action.objects.filter(status="CANCELLED").count() == 1  # the first message was never sent


def test_a_reply_lets_it_rest_and_moves_the_rest_along(shops: Shops) -> None:
    sop(shops, {}, {"wait_days": 1}, {"wait_days": 1}, pause_days=3)
    bought(shops)
    sweep(NOON)
    guide, action = shops.guides["A"], Action.objects.get()
    replied_at = NOON + dt.timedelta(hours=1)
    actions.done(action_id=action.pk, guide_id=guide.pk, user=guide.user, outcome="REPLIED", note="", now=replied_at)
    sweep(NOON + dt.timedelta(days=1, minutes=1))
    assert given_to() == ["第1步"]
    run = SopRun.objects.get()
    assert run.due_at == replied_at + dt.timedelta(days=3) and run.rested_for == replied_at
    sweep(run.due_at)
    sweep(run.due_at + dt.timedelta(hours=23))
    assert given_to() == ["第1步", "第2步"]
    sweep(run.due_at + dt.timedelta(hours=24))
    assert given_to() == ["第1步", "第2步", "第3步"]


def test_a_branch_asks_and_goes_its_way(shops: Shops) -> None:
    tag = Tag.objects.create(brand=shops.brand, name="已回访")
    plan: list[dict[str, Any]] = [
        {"title": "回访"},
        {"kind": "BRANCH", "title": "回了吗", "question": "REPLIED", "yes_to": 4, "wait_days": 1},
        {"title": "再问", "next_to": 0},
        {"kind": "TAG", "title": "标记", "tag": tag},
    ]
    sop(shops, *plan, pause_days=0)
    bought(shops)
    bought(shops, "陈红")
    sweep(NOON)
    action, guide = Action.objects.get(member=shops.members["陈红"]), shops.guides["A"]
    actions.done(
        action_id=action.pk,
        guide_id=guide.pk,
        user=guide.user,
        outcome="REPLIED",
        note="",
        now=NOON + dt.timedelta(minutes=1),
    )
    sweep(NOON + dt.timedelta(days=1, minutes=1))
    asked = Action.objects.filter(title="再问").values_list("member__name", flat=True)
    assert list(asked) == ["李敏"] and MemberTag.objects.get(tag=tag).member == shops.members["陈红"]
    results = {(done.run.member.name, done.position): done.result for done in SopStepDone.objects.all()}
    assert results[("李敏", 2)] == "NO" and results[("陈红", 2)] == "YES"


def test_who_wants_no_messages_leaves(shops: Shops) -> None:
    sop(shops, {}, {"wait_days": 1})
    bought(shops)
    sweep(NOON)
    guide, action = shops.guides["A"], Action.objects.get()
    actions.done(action_id=action.pk, guide_id=guide.pk, user=guide.user, outcome="REFUSED", note="", now=NOON)
    assert action.member is not None
    assert consent.refusing(member_ids=[action.member.pk], purpose="WECOM_MARKETING")
    sweep(NOON + dt.timedelta(days=1, minutes=1))
    assert SopRun.objects.get().why == "REFUSED" and given_to() == ["第1步"]
    bought(shops, at=NOON + dt.timedelta(days=2))
    sweep(NOON + dt.timedelta(days=2))
    assert SopRun.objects.count() == 1


def test_who_says_no_elsewhere_is_off_the_list_at_once(shops: Shops) -> None:
    """S7: also what was given to the guide before."""
    sop(shops, {"valid_hours": 72})
    bought(shops)
    sweep(NOON)
    guide_id, later = shops.guides["A"].pk, NOON + dt.timedelta(minutes=5)
    assert len(actions.of_guide(guide_id=guide_id, now=later)) == 1
    consent.say(
        member=shops.members["李敏"],
        purpose="WECOM_MARKETING",
        is_given=False,
        source="IN_STORE",
        said_at=later,
        now=later,
    )
    assert actions.of_guide(guide_id=guide_id, now=later) == []


def test_after_an_outage_nobody_gets_everything_at_once(shops: Shops) -> None:
    sop(shops, {}, {"wait_days": 1}, {"wait_days": 1}, {"wait_days": 1})
    bought(shops)
    sops.enrol(now=NOON)
    sweep(NOON + dt.timedelta(days=2, hours=1))
    assert given_to() == ["第3步"]  # planned an hour ago; the two before it were more than a day behind
    assert list(SopStepDone.objects.order_by("position").values_list("result", flat=True)) == [
        "PASSED",
        "PASSED",
        "GIVEN",
    ]


@pytest.mark.parametrize(
    ("back_fill", "days", "titles"), [("NONE", 0, []), ("IN_TIME", 3, ["第3步"]), ("FROM_START", 3, ["第1步"])]
)
def test_earlier_events_count_as_the_version_says(shops: Shops, back_fill: str, days: int, titles: list[str]) -> None:
    bought(shops, at=NOON - dt.timedelta(days=2))
    sop(shops, {}, {"wait_days": 1}, {"wait_days": 1}, back_fill=back_fill, back_fill_days=days, at=NOON)
    sweep(NOON + dt.timedelta(minutes=1))
    assert given_to() == titles


def test_a_new_version_is_for_those_who_come(shops: Shops) -> None:
    row = sop(shops, {}, {"wait_days": 1})
    bought(shops)
    sweep(NOON)
    draft = sops.draft_from(sop=row, actor=None)
    SopStep.objects.filter(version=draft, position=2).update(title="新的第2步")
    sops.publish(version=draft, actor=None, now=NOON + dt.timedelta(minutes=1))
    bought(shops, "陈红", at=NOON + dt.timedelta(minutes=2))
    for minutes in (3, 24 * 60 + 5):
        sweep(NOON + dt.timedelta(minutes=minutes))
    seen = Action.objects.filter(title__contains="第2步").values_list("member__name", "title")
    assert dict(seen) == {"李敏": "第2步", "陈红": "新的第2步"}


def test_a_published_version_never_changes(shops: Shops) -> None:
    version = sop(shops, {}).versions.get()
    step = version.steps.get()
    for change in (
        lambda: SopStep.objects.filter(pk=step.pk).update(text="改"),
        step.delete,
        lambda: SopStep.objects.create(version=version, position=9, kind="CALL", title="加"),
        lambda: SopVersion.objects.filter(pk=version.pk).update(pause_days=9),
    ):
        with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
            change()


def test_a_draft_with_a_fault_is_refused_and_stays(shops: Shops) -> None:
    row = Sop.objects.create(brand=shops.brand, name="坏", anchor="BOUGHT")
    draft = sops.draft_from(sop=row, actor=None)
    SopStep.objects.create(version=draft, position=1, kind="MESSAGE", title="问候", text="{客户姓}好", next_to=3)
    with pytest.raises(sops.BadSop) as refused:
        sops.publish(version=draft, actor=None, now=NOON)
    assert "1" in refused.value.message and "{客户姓}" in refused.value.message
    draft.refresh_from_db()
    assert draft.status == "DRAFT"


def test_a_new_friend_enters_once_she_is_known(shops: Shops) -> None:
    sop(shops, {"wait_minutes": 1}, anchor="FRIEND_ADDED")
    corp = Corp.objects.create(corp_id="wwTEST", name="测试企业")
    contact = Contact.objects.create(corp=corp, external_userid="wm1", name="阿敏")
    touches.record(
        key="friend 1 1", kind=Touch.Kind.QR, guide_id=shops.guides["A"].pk, store_id=shops.stores["S1"].pk,
        contact_id=contact.pk, at=NOON,
    )  # fmt: skip
    sweep(NOON + dt.timedelta(minutes=2))
    assert not SopRun.objects.exists()
    member = shops.member("李敏", store="S1", guide="A")
    Contact.objects.filter(pk=contact.pk).update(member=member, linked_by="UNIONID", linked_at=NOON)
    sweep(NOON + dt.timedelta(minutes=10))
    assert given_to() == ["第1步"]


@pytest.mark.parametrize(("birthday", "enters"), [("1990-03-09", True), ("1988-03-10", False), ("2001-03-02", False)])
def test_a_birthday_is_met_days_before(shops: Shops, birthday: str, enters: bool) -> None:
    shops.member("李敏", store="S1", guide="A", birthday=dt.date.fromisoformat(birthday))
    sop(shops, {}, anchor="BIRTHDAY", days=7, at=NOON - dt.timedelta(days=1))
    sweep(NOON)
    assert SopRun.objects.exists() is enters
    sweep(NOON + dt.timedelta(hours=1))
    assert SopRun.objects.count() == int(enters)


def test_born_on_the_29th_of_february(shops: Shops) -> None:
    shops.member("李敏", store="S1", guide="A", birthday=dt.date(2000, 2, 29))
    sop(shops, {}, anchor="BIRTHDAY", at=dt.datetime(2026, 2, 27, 9, tzinfo=rules.SHANGHAI))
    sweep(dt.datetime(2026, 2, 28, 9, 30, tzinfo=rules.SHANGHAI))
    assert SopRun.objects.get().anchor_key == "birthday 2026"


def test_done_messages_are_service_acts(shops: Shops) -> None:
    sop(shops, {})
    bought(shops)
    sweep(NOON)
    guide, action = shops.guides["A"], Action.objects.get()
    actions.done(action_id=action.pk, guide_id=guide.pk, user=guide.user, outcome="", note="", now=NOON)
    act = ServiceAct.objects.get()
    assert (act.kind, act.holder_id) == ("CHAT", guide.pk)
    with pytest.raises(actions.ActionRefused):
        actions.done(action_id=action.pk, guide_id=guide.pk, user=guide.user, outcome="", note="", now=NOON)
    assert ServiceAct.objects.count() == 1


def test_what_is_not_done_in_time_expires(shops: Shops) -> None:
    sop(shops, {"valid_hours": 2})
    bought(shops)
    sweep(NOON)
    assert actions.expire(now=NOON + dt.timedelta(hours=1)) == 0
    assert actions.expire(now=NOON + dt.timedelta(hours=2)) == 1
    assert Action.objects.get().status == "EXPIRED"


def test_stopping_one_run_withdraws_what_is_open(shops: Shops) -> None:
    sop(shops, {}, {"wait_days": 1})
    bought(shops)
    sweep(NOON)
    run = SopRun.objects.get()
    sops.stop(run=run, actor=None, reason="客户投诉", now=NOON)
    assert Action.objects.get().status == "CANCELLED"
    with pytest.raises(sops.BadSop):
        sops.stop(run=run, actor=None, reason="再来", now=NOON)


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_share_the_work() -> None:
    """Both at once, with rows committed: each step is taken by one of them."""
    shops = factory.shops()
    sop(shops, {}, {"wait_days": 1})
    for number in range(12):
        bought(shops, f"客{number}")
    sops.enrol(now=NOON)

    def work(_number: int) -> int:
        try:
            return sum(iter(lambda: sops.advance(now=NOON, limit=2), 0))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 12
    assert Action.objects.count() == SopStepDone.objects.count() == 12
    assert SopRun.objects.filter(position=2).count() == 12


def test_the_work_of_a_piece_is_all_or_nothing(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    sop(shops, {})
    bought(shops)
    sops.enrol(now=NOON)

    def dies(*args: Any, **values: Any) -> int:
        raise RuntimeError("the worker dies here")

    with monkeypatch.context() as patch:
        patch.setattr(actions, "withdraw", dies)
        with pytest.raises(RuntimeError):
            sops.advance(now=NOON)
    assert not Action.objects.exists() and not SopStepDone.objects.exists()
    assert sops.advance(now=NOON) == 1 and given_to() == ["第1步"]


def test_one_statement_count_for_one_and_for_many(shops: Shops) -> None:
    sop(shops, {})
    counts = []
    for names in (["甲"], ["乙", "丙", "丁"]):
        for name in names:
            bought(shops, name)
        sops.enrol(now=NOON)
        with CaptureQueriesContext(connection) as seen:
            sops.advance(now=NOON)
        counts.append(len(seen))
    assert counts[0] == counts[1]


# --- the guide's list -----------------------------------------------------------------------------------------------------


def test_the_guide_sees_and_ends_her_actions(shops: Shops, client: Any) -> None:
    sop(shops, {"wait_minutes": 0}, at=timezone.now() - dt.timedelta(minutes=5))
    bought(shops, at=timezone.now() - dt.timedelta(minutes=1))
    sops.enrol(now=timezone.now())
    SopRun.objects.update(due_at=timezone.now())  # by night it would wait until nine
    sops.advance(now=timezone.now())
    headers = {"Authorization": f"Bearer {shops.token('A')}"}
    seen = client.get("/api/guide/actions", headers=headers).json()
    (item,) = seen["items"]
    assert (item["title"], item["member_name"], seen["minutes"]) == ("第1步", "李敏", 2)
    address = f"/api/guide/actions/{item['id']}/done"
    for _twice in range(2):  # the same key: the same answer
        answer = client.post(
            address,
            {"outcome": "REPLIED"},
            content_type="application/json",
            headers=headers | {"Idempotency-Key": "once-and-only-once"},
        )
        assert (answer.status_code, answer.json()["action_state"]) == (200, "DONE")
    again = client.post(
        address, {}, content_type="application/json", headers=headers | {"Idempotency-Key": "another-key-of-hers"}
    )
    assert (again.status_code, again.json()["code"]) == (409, "action_ended")
    assert client.get("/api/guide/actions", headers=headers).json()["items"] == []
    other = {"Authorization": f"Bearer {shops.token('B')}", "Idempotency-Key": "not-hers-at-all"}
    assert client.post(address, {}, content_type="application/json", headers=other).status_code == 404
