"""Media, app messages, logins and tickets."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from scrm.wecom import app_messages, errors, js_sdk, logins, media
from scrm.wecom.sandbox import messages, visitors
from tests.factories.wecom import Wired

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def box(sandbox: Wired) -> Wired:
    world = sandbox.world
    world.add_department(17, "南山店")
    world.add_member("Guide_0001", "林晓", departments=(17,), mobile="13800000001")
    world.add_member("guide_0002", "小鹿")
    return sandbox


# ---- media ----


def test_a_file_goes_up_serves_for_three_days_and_comes_down(box: Wired) -> None:
    uploaded = media.upload(box.app, media.IMAGE, "南山 店.png", PICTURE)
    assert uploaded.created_at is not None
    file = media.get(box.app, uploaded.media_id)
    assert (file.content, file.name, file.content_type) == (PICTURE, "南山 店.png", "image/png")
    box.later(3 * 86_400)
    with pytest.raises(errors.MediaExpired):
        media.get(box.app, uploaded.media_id)


def test_pictures_by_address_are_counted(box: Wired) -> None:
    box.world.quotas.images_per_day = 1
    assert media.upload_image(box.app, "a.png", PICTURE).startswith("https://")
    with pytest.raises(errors.RateLimited):
        media.upload_image(box.app, "a.png", PICTURE)


def test_an_attachment_is_none_of_messages(box: Wired) -> None:
    uploaded = media.upload_attachment(box.app, media.IMAGE, "a.png", PICTURE, use=media.FOR_ALBUM)
    with pytest.raises(errors.MediaExpired):
        media.get(box.app, uploaded.media_id)


# ---- app messages ----


def test_who_gets_a_message_and_who_cannot_be_reached(box: Wired) -> None:
    sent = app_messages.send(box.app, app_messages.Text("您好"), userids=["GUIDE_0001", "No_Body"], department_ids=[99])
    assert (sent.invalid_userids, sent.invalid_department_ids) == (("no_body",), ("99",))
    assert box.world.app_messages[sent.msgid].to == ("guide_0001",)
    sent = app_messages.send(box.app, app_messages.Text("您好"), department_ids=[17])
    assert box.world.app_messages[sent.msgid].to == ("guide_0001",)
    sent = app_messages.send(box.app, app_messages.Text("您好"), to_everyone=True)
    assert box.world.app_messages[sent.msgid].to == ("guide_0001", "guide_0002")
    with pytest.raises(errors.NoRecipient):
        app_messages.send(box.app, app_messages.Text("您好"), userids=["nobody"])
    app_messages.recall(box.app, sent.msgid)
    assert box.world.app_messages[sent.msgid].is_recalled
    box.later(86_401)
    with pytest.raises(errors.TooLate):
        app_messages.recall(box.app, sent.msgid)


def test_more_than_so_many_a_minute_vanish_without_a_word(box: Wired) -> None:
    box.world.quotas.messages_per_minute = 2
    box.later(60 - box.world.clock.now() % 60)  # to the beginning of a minute
    got = []
    for number in range(3):
        sent = app_messages.send(box.app, app_messages.Text(f"第{number}条"), userids=["guide_0002"])
        got.append(box.world.app_messages[sent.msgid].to)
    assert got == [("guide_0002",), ("guide_0002",), ()]


def test_the_same_message_again_within_its_interval_is_dropped(box: Wired) -> None:
    for seconds, count in ((0, 1), (0, 1), (1801, 2)):
        box.later(seconds)
        app_messages.send(box.app, app_messages.Text("您好"), userids=["guide_0002"], dedupe_seconds=1800)
        assert len(box.world.app_messages) == count


def test_a_click_on_a_card_comes_back_and_changes_it_once(box: Wired) -> None:
    card = app_messages.TemplateCard(
        app_messages.BUTTONS, "待办", task_id="task_42", buttons=[app_messages.Button("接受", "accept")]
    )
    sent = app_messages.send(box.app, card, userids=["Guide_0001"])
    code = messages.click(box.world, sent.msgid, "guide_0001")
    event = box.world.events[-1]
    said = dict(re.findall(r"<(\w+)><!\[CDATA\[(.*?)\]\]>", event.xml))
    assert (said["FromUserName"], said["EventKey"], said["TaskId"]) == ("Guide_0001", "accept", "task_42")
    assert (said["ResponseCode"], event.deliveries[0].agent_id) == (code, box.app.agent_id)
    assert box.deliver() == 1
    failed = app_messages.replace_button(
        box.app, response_code=code, text="已接受", userids=["guide_0001", "guide_0002"]
    )
    assert failed == ("guide_0002",)
    with pytest.raises(errors.NotFound):
        app_messages.replace_button(box.app, response_code=code, text="已接受", userids=["guide_0001"])
    with pytest.raises(errors.BadParameter):  # a task id serves once
        app_messages.send(box.app, card, userids=["guide_0001"])


def test_a_notice_speaks_for_the_mini_program(box: Wired) -> None:
    notice = app_messages.MiniProgramNotice("wx1", "今日任务提醒")
    app_messages.send(box.mini_app, notice, userids=["guide_0001"])
    with pytest.raises(errors.NoPermission):
        app_messages.send(box.app, notice, userids=["guide_0001"])


# ---- logins ----


def test_a_code_is_good_once_and_for_five_minutes(box: Wired) -> None:
    code = visitors.of_member(box.world, "guide_0001")
    assert logins.visitor(box.app, code) == logins.Member("Guide_0001")
    for spent in (code, "nonsense"):
        with pytest.raises(errors.CodeSpent):
            logins.visitor(box.app, spent)
    late = visitors.of_member(box.world, "guide_0001")
    box.later(300)
    with pytest.raises(errors.CodeSpent) as caught:
        logins.visitor(box.app, late)
    assert caught.value.errcode == 42003


def test_a_member_who_agrees_and_customers(box: Wired) -> None:
    member = logins.visitor(box.app, visitors.of_member(box.world, "guide_0001", is_private=True))
    assert isinstance(member, logins.Member)
    assert logins.details(box.app, member.user_ticket).mobile == "13800000001"
    box.later(1800)
    with pytest.raises(errors.CodeSpent):
        logins.details(box.app, member.user_ticket)
    box.world.add_contact("晚风", external_userid="wm0")
    stranger = logins.visitor(box.app, visitors.of_contact(box.world, "wm0"))
    assert isinstance(stranger, logins.Outsider) and stranger.external_userid == ""
    box.world.befriend("guide_0002", "wm0")
    customer = logins.visitor(box.app, visitors.of_contact(box.world, "wm0"))
    assert isinstance(customer, logins.Outsider) and customer.external_userid == "wm0"


def test_the_mini_program_inside_wecom(box: Wired) -> None:
    code = visitors.of_mini_program(box.world, "guide_0002")
    with pytest.raises(errors.NoPermission):
        logins.mini_program(box.app, code)
    assert logins.mini_program(box.mini_app, code) == logins.MiniProgramMember(box.world.corp_id, "guide_0002")
    with pytest.raises(errors.CodeSpent):
        logins.mini_program(box.mini_app, code)


def test_tickets_stay_until_they_expire_and_are_counted(box: Wired) -> None:
    assert js_sdk.ticket(box.app, "CORP") != js_sdk.ticket(box.app, "APP")
    assert js_sdk.for_app(box.app, "https://x/1", now=NOW).agent_id == box.app.agent_id
    assert box.box.counts["ticket/get"] == 1
