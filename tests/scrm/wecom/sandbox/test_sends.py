"""Mass sends and moments: what guides confirm, what customers get, and what our client is told of it."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from scrm.wecom import attachments as parts
from scrm.wecom import errors, mass_sends, media, moments, tags
from scrm.wecom.sandbox import groups as life
from scrm.wecom.sandbox import moments as moment_life
from scrm.wecom.sandbox import people, sends
from tests.factories.wecom import Wired

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture
def box(sandbox: Wired) -> Wired:
    world = sandbox.world
    world.quotas.group_lag_seconds = 0
    for userid in ("guide_0001", "guide_0002"):
        world.add_member(userid)
    for number in range(4):
        world.add_contact(f"客户{number}", external_userid=f"wm{number}")
        world.befriend("guide_0001", f"wm{number}")
    world.befriend("guide_0002", "wm0")
    return sandbox


def made(box: Wired, **values: object) -> str:
    """The mass send, dispatched."""
    msgid = mass_sends.create(box.app, text="周三会员日", **values).msgid  # type: ignore[arg-type]
    box.later(box.world.quotas.dispatch_seconds)
    return msgid


def fates(box: Wired, msgid: str, userid: str = "guide_0001") -> dict[str, int]:
    return {one.external_userid: one.status for one in mass_sends.results(box.app, msgid=msgid, userid=userid)}


def tasks(box: Wired, msgid: str) -> dict[str, int]:
    return {one.userid: one.status for one in mass_sends.tasks(box.app, msgid)}


def test_a_task_is_confirmed_by_its_guide(box: Wired) -> None:
    made_ = mass_sends.create(box.app, text="周三", sender="guide_0001", external_userids=["wm1", "wm2", "wmGone"])
    assert made_.failed == ("wmGone",)
    with pytest.raises(errors.NotYet):
        list(mass_sends.tasks(box.app, made_.msgid))
    box.later(box.world.quotas.dispatch_seconds)
    assert tasks(box, made_.msgid) == {"guide_0001": mass_sends.TASK_WAITING}
    assert fates(box, made_.msgid) == {"wm1": mass_sends.UNSENT, "wm2": mass_sends.UNSENT}
    box.world.delete_by_customer("guide_0001", "wm2")
    sends.confirm(box.world, made_.msgid, "guide_0001")
    assert tasks(box, made_.msgid) == {"guide_0001": mass_sends.TASK_SENT}
    assert fates(box, made_.msgid) == {"wm1": mass_sends.SENT, "wm2": mass_sends.NOT_FRIENDS}
    assert [(one.kind, one.to, one.content["text"]) for one in box.world.sent] == [("mass", "wm1", "周三")]
    with pytest.raises(people.Impossible, match="已经发送"):
        sends.confirm(box.world, made_.msgid, "guide_0001")


def test_the_guide_who_chatted_last_has_the_task(box: Wired) -> None:
    people.chat(box.world, "guide_0001", "wm0")
    box.later(10)
    assert tasks(box, made(box, external_userids=["wm0"])) == {"guide_0001": 0}
    people.chat(box.world, "guide_0002", "wm0")
    assert tasks(box, made(box, external_userids=["wm0", "wm1"])) == {"guide_0002": 0, "guide_0001": 0}
    assert tasks(box, made(box, sender="guide_0001", external_userids=["wm0"])) == {"guide_0001": 0}


def test_tags_choose_customers(box: Wired) -> None:
    group = tags.add(box.app, tags=[tags.NewTag("少糖"), tags.NewTag("燕麦奶")], group_name="口味")
    less, oat = (tag.id for tag in group.tags)
    tags.mark(box.app, userid="guide_0001", external_userid="wm1", add=[less])
    tags.mark(box.app, userid="guide_0001", external_userid="wm2", add=[less, oat])
    assert set(fates(box, made(box, tag_groups=[[less, oat]]))) == {"wm1", "wm2"}
    assert set(fates(box, made(box, tag_groups=[[less], [oat]]))) == {"wm2"}
    with pytest.raises(errors.NoRecipient):
        mass_sends.create(box.app, text="x", sender="guide_0002", tag_groups=[[less]])


def test_leaving_customers_out_must_be_allowed(box: Wired) -> None:
    fixed, free = (made(box, sender="guide_0001", allow_select=allowed) for allowed in (False, True))
    with pytest.raises(people.Impossible):
        sends.confirm(box.world, fixed, "guide_0001", ("wm1",))
    sends.confirm(box.world, free, "guide_0001", ("wm1", "wm2"))
    assert fates(box, free) == {"wm0": 0, "wm1": 1, "wm2": 1, "wm3": 0}


def test_a_customer_gets_only_so_many_in_a_day(box: Wired) -> None:
    box.world.quotas.mass_window, box.world.quotas.mass_per_window = "day", 1
    first, second = (made(box, sender="guide_0001", external_userids=["wm1"]) for _n in range(2))
    sends.confirm(box.world, first, "guide_0001")
    sends.confirm(box.world, second, "guide_0001")
    assert (fates(box, first), fates(box, second)) == ({"wm1": mass_sends.SENT}, {"wm1": mass_sends.OVER_QUOTA})
    third = made(box, sender="guide_0001", external_userids=["wm1"])
    box.later(86_400)
    sends.confirm(box.world, third, "guide_0001")
    assert fates(box, third) == {"wm1": mass_sends.SENT}


def test_a_month_has_as_many_as_days(box: Wired) -> None:
    assert sends.limit(box.world) in (28, 29, 30, 31)
    box.world.mass_received["wm1"] = (int(box.world.clock.now()),) * sends.limit(box.world)
    msgid = made(box, sender="guide_0001", external_userids=["wm1"])
    sends.confirm(box.world, msgid, "guide_0001")
    assert fates(box, msgid) == {"wm1": mass_sends.OVER_QUOTA}


def test_groups_of_the_owner(box: Wired) -> None:
    ours, other = (life.make(box.world, userid, "群").chat_id for userid in ("guide_0001", "guide_0002"))
    sent = mass_sends.create_for_groups(box.app, sender="guide_0001", chat_ids=[ours, other], text="接龙")
    assert sent.failed == (other,)
    box.later(60)
    assert list(mass_sends.results(box.app, msgid=sent.msgid, userid="guide_0001")) == []  # only what was sent
    sends.confirm(box.world, sent.msgid, "guide_0001")
    (result,) = mass_sends.results(box.app, msgid=sent.msgid, userid="guide_0001")
    assert (result.chat_id, result.status, result.external_userid) == (ours, mass_sends.SENT, "")


def test_reminders_a_cancelled_one_and_the_records(box: Wired) -> None:
    picture = media.upload(box.app, media.IMAGE, "a.png", PICTURE).media_id
    card = parts.MiniProgram("券", "wx1", "p", picture)
    msgid = mass_sends.create(box.app, text="周三", attachments=[card], sender="guide_0001").msgid
    for _n in range(3):
        mass_sends.remind(box.app, msgid)
    with pytest.raises(errors.QuotaExhausted):
        mass_sends.remind(box.app, msgid)
    mass_sends.cancel(box.app, msgid)
    with pytest.raises(errors.TooLate):
        mass_sends.cancel(box.app, msgid)
    with pytest.raises(people.Impossible, match="取消"):
        sends.confirm(box.world, msgid, "guide_0001")
    now = dt.datetime.fromtimestamp(box.world.clock.now(), dt.UTC)
    period: dict[str, Any] = {"since": now - dt.timedelta(days=1), "until": now + dt.timedelta(days=1)}
    (record,) = mass_sends.recent(box.app, chat_type=mass_sends.SINGLE, **period)
    assert (record.msgid, record.creator, record.text) == (msgid, "", "周三")
    assert record.attachments == (parts.MiniProgram("券", "wx1", "p"),)
    assert list(mass_sends.recent(box.app, chat_type=mass_sends.GROUP, **period)) == []
    with pytest.raises(errors.NotFound):
        mass_sends.remind(box.app, "msgNone")


def test_guides_who_confirm_by_themselves(box: Wired) -> None:
    box.world.sends_after = 30
    msgid = made(box, sender="guide_0001")
    assert set(fates(box, msgid).values()) == {0}
    box.later(31)
    assert set(fates(box, msgid).values()) == {1}


# ---- moments ----


def job_of(box: Wired, **values: object) -> moments.Job:
    job_id = moments.create(box.app, text="新品上市", **values)  # type: ignore[arg-type]
    box.later(box.world.quotas.dispatch_seconds)
    return moments.job(box.app, job_id)


def test_a_moment_from_the_job_to_the_likes(box: Wired) -> None:
    picture = media.upload_attachment(box.app, media.IMAGE, "a.png", PICTURE, use=media.FOR_MOMENT).media_id
    job_id = moments.create(box.app, text="新品上市", image_ids=[picture], userids=["guide_0001", "nobody"])
    states = [moments.job(box.app, job_id).status]
    for seconds in (1.5, 2):
        box.later(seconds)
        states.append(moments.job(box.app, job_id).status)
    assert states == [moments.JOB_BEGUN, moments.JOB_RUNNING, moments.JOB_DONE]
    job = moments.job(box.app, job_id)
    assert job.invalid_userids == ("nobody",)
    one = {"moment_id": job.moment_id, "userid": "guide_0001"}
    assert list(moments.tasks(box.app, job.moment_id)) == [moments.Task("guide_0001", is_published=False)]
    assert set(moments.chosen_audience(box.app, **one)) == {"wm0", "wm1", "wm2", "wm3"}
    with pytest.raises(errors.NotYet):
        list(moments.audience(box.app, **one))
    with pytest.raises(errors.NotFound):
        list(moments.audience(box.app, moment_id=job.moment_id, userid="guide_0002"))
    box.world.delete_by_member("guide_0001", "wm3")
    moment_life.publish(box.world, **one)
    assert set(moments.audience(box.app, **one)) == {"wm0", "wm1", "wm2"}
    moment_life.like(box.world, **one, external_userid="wm1")
    moment_life.comment(box.world, **one, external_userid="wm2")
    with pytest.raises(people.Impossible):
        moment_life.like(box.world, **one, external_userid="wm3")
    reactions = moments.reactions(box.app, **one)
    assert [one_.external_userid for one_ in reactions.likes] == ["wm1"]
    assert [one_.external_userid for one_ in reactions.comments] == ["wm2"]
    now = dt.datetime.fromtimestamp(box.world.clock.now(), dt.UTC)
    (moment,) = moments.recent(box.app, since=now - dt.timedelta(days=1), until=now + dt.timedelta(days=1))
    assert (moment.moment_id, moment.is_public, moment.text) == (job.moment_id, True, "新品上市")


def test_who_may_see_a_moment(box: Wired) -> None:
    group = tags.add(box.app, tags=[tags.NewTag("少糖")], group_name="口味")
    tag = group.tags[0].id
    tags.mark(box.app, userid="guide_0001", external_userid="wm1", add=[tag])
    everyone, tagged, both = (
        job_of(box),
        job_of(box, tag_ids=[tag, "etNone"]),
        job_of(box, tag_ids=[tag], userids=["guide_0002"]),
    )
    assert [one.userid for one in moments.tasks(box.app, everyone.moment_id)] == ["guide_0001", "guide_0002"]
    assert tagged.invalid_tag_ids == ("etNone",)
    assert [one.userid for one in moments.tasks(box.app, tagged.moment_id)] == ["guide_0001"]
    assert list(moments.chosen_audience(box.app, moment_id=tagged.moment_id, userid="guide_0001")) == ["wm1"]
    assert list(moments.tasks(box.app, both.moment_id)) == []  # guide_0002 follows nobody with the tag


def test_media_of_messages_are_none_of_moments(box: Wired) -> None:
    picture = media.upload(box.app, media.IMAGE, "a.png", PICTURE).media_id
    with pytest.raises(errors.BadParameter) as caught:
        moments.create(box.app, image_ids=[picture])
    assert caught.value.errcode == 41072


def test_so_many_moments_a_month_and_one_that_is_stopped(box: Wired) -> None:
    job = job_of(box)
    moments.cancel(box.app, job.moment_id)
    with pytest.raises(people.Impossible, match="停止"):
        moment_life.publish(box.world, job.moment_id, "guide_0001")
    box.world.quotas.moments_per_month = 1
    with pytest.raises(errors.QuotaExhausted):
        moments.create(box.app, text="x")
    box.later(31 * 86_400)
    moments.create(box.app, text="x")
    assert box.world.clock.now() - time.time() > 30 * 86_400
