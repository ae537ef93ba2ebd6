"""What goes out to customers and members: mass sends, welcomes, moments, app messages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from scrm.models import WecomApp
from scrm.wecom import app_messages, errors, mass_sends, moments, welcome
from scrm.wecom import attachments as parts
from tests.scrm.wecom.conftest import Raw, Wecom, refusal

ADD, LIST, TASK = (
    f"externalcontact/{name}" for name in ("add_msg_template", "get_groupmsg_list_v2", "get_groupmsg_task")
)
RESULT, WELCOME = "externalcontact/get_groupmsg_send_result", "externalcontact/send_welcome_msg"
MOMENT = "externalcontact/add_moment_task"
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
COUPON = parts.MiniProgram("领取会员日券", "wx0000000000000001", "pages/coupon/index?c=77", "MEDIA001")


# ---- mass sends ----


def test_a_mass_send_to_chosen_customers_of_one_guide_and_what_became_of_it(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(ADD, {"fail_list": ["wmScrmA9"], "msgid": "msgScrm0001"})
    task = {"userid": "guide_0001", "status": 2, "send_time": 1767229200}
    wecom.on(TASK, refusal(41063), {"next_cursor": "", "task_list": [task, {"userid": "guide_0002", "status": 0}]})
    rows = [
        {"external_userid": "wmScrmA1", "userid": "guide_0001", "status": 1, "send_time": 1767229200},
        {"external_userid": "wmScrmA2", "userid": "guide_0001", "status": 3},
    ]
    wecom.on(RESULT, {"next_cursor": "c1", "send_list": rows[:1]}, {"next_cursor": "", "send_list": rows[1:]})
    made = mass_sends.create(
        app, text="周三会员日，南山店燕麦拿铁第二杯半价", attachments=[COUPON], sender="guide_0001",
        external_userids=["wmScrmA1", "wmScrmA9"], allow_select=True,
    )  # fmt: skip
    assert made == mass_sends.Made("msgScrm0001", ("wmScrmA9",))
    assert wecom.bodies(ADD) == [
        {
            "chat_type": "single",
            "sender": "guide_0001",
            "external_userid": ["wmScrmA1", "wmScrmA9"],
            "allow_select": True,
            "text": {"content": "周三会员日，南山店燕麦拿铁第二杯半价"},
            "attachments": [
                {
                    "msgtype": "miniprogram",
                    "miniprogram": {
                        "title": "领取会员日券",
                        "pic_media_id": "MEDIA001",
                        "appid": "wx0000000000000001",
                        "page": "pages/coupon/index?c=77",
                    },
                }
            ],
        }
    ]
    with pytest.raises(errors.NotYet):
        list(mass_sends.tasks(app, "msgScrm0001"))
    sent_at = dt.datetime.fromtimestamp(1767229200, dt.UTC)
    assert list(mass_sends.tasks(app, "msgScrm0001")) == [
        mass_sends.Task("guide_0001", mass_sends.TASK_SENT, sent_at),
        mass_sends.Task("guide_0002", mass_sends.TASK_WAITING, None),
    ]
    assert list(mass_sends.results(app, msgid="msgScrm0001", userid="guide_0001")) == [
        mass_sends.Result("guide_0001", mass_sends.SENT, "wmScrmA1", sent_at=sent_at),
        mass_sends.Result("guide_0001", mass_sends.OVER_QUOTA, "wmScrmA2"),
    ]
    asked = {"msgid": "msgScrm0001", "userid": "guide_0001", "limit": 1000}
    assert wecom.bodies(RESULT) == [{**asked, "cursor": ""}, {**asked, "cursor": "c1"}]


def test_to_groups_to_tags_and_to_all_of_a_guide(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(ADD, {"fail_list": [], "msgid": "msgScrm0002"})
    mass_sends.create_for_groups(app, sender="guide_0001", chat_ids=["wrScrm01", "wrScrm02"], text="今晚8点接龙开团")
    mass_sends.create(app, tag_groups=[["et1", "et2"], ["et3"]], text="新品")
    mass_sends.create(app, sender="guide_0001", text="新品")
    bodies = wecom.bodies(ADD)
    text = {"content": "今晚8点接龙开团"}
    to_groups = {"chat_type": "group", "sender": "guide_0001", "chat_id_list": ["wrScrm01", "wrScrm02"], "text": text}
    assert bodies[0] == to_groups
    assert bodies[1] is not None and bodies[1]["tag_filter"] == {
        "group_list": [{"tag_list": ["et1", "et2"]}, {"tag_list": ["et3"]}]
    }
    assert bodies[2] is not None and set(bodies[2]) == {"chat_type", "allow_select", "sender", "text"}


def test_the_records_of_mass_sends_with_what_wecom_leaves_out(wecom: Wecom, app: WecomApp) -> None:
    """No creator for those of the API, a time as text or number, no picture of the mini-program."""
    by_api = {
        "msgid": "m1",
        "create_time": "1767225600",
        "create_type": 0,
        "text": {"content": "周三"},
        "attachments": [
            {"msgtype": "miniprogram", "miniprogram": {"title": "券", "appid": "wx1", "page": "p"}},
            {"msgtype": "hologram", "hologram": {}},
        ],
    }
    by_member = {"msgid": "m2", "creator": "guide_0001", "create_time": 1767225600, "create_type": 1}
    wecom.on(LIST, {"group_msg_list": [by_api], "next_cursor": "c"}, {"group_msg_list": [by_member]})
    period: dict[str, Any] = {"since": NEW_YEAR, "until": NEW_YEAR + dt.timedelta(days=31)}
    one, two = mass_sends.recent(app, chat_type=mass_sends.SINGLE, **period)
    assert (one.creator, one.created_at, one.attachments) == ("", NEW_YEAR, (parts.MiniProgram("券", "wx1", "p"),))
    assert (two.creator, two.created_at, two.created_by) == ("guide_0001", NEW_YEAR, mass_sends.PERSONAL)
    assert wecom.bodies(LIST)[0] == {
        "chat_type": "single", "start_time": 1767225600, "end_time": 1767225600 + 31 * 86_400, "filter_type": 2,
        "limit": 100, "cursor": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"),
    [(41048, errors.NoRecipient), (41303, errors.TooLarge), (40201, errors.Blocked), (86214, errors.BadParameter)],
)
def test_why_a_mass_send_is_not_made(wecom: Wecom, app: WecomApp, code: int, kind: type[errors.WecomError]) -> None:
    wecom.on(ADD, refusal(code))
    with pytest.raises(kind):
        mass_sends.create(app, sender="g1", text="新品")
    assert len(wecom.calls(ADD)) == 1


def test_a_mass_send_with_a_lost_answer_is_not_sent_twice(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(ADD, Raw(502), {"msgid": "m"})
    with pytest.raises(errors.Unreachable) as caught:
        mass_sends.create(app, sender="g1", text="新品")
    assert caught.value.may_be_done
    assert len(wecom.calls(ADD)) == 1


def test_reminding_and_cancelling(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/remind_groupmsg_send", {}, refusal(41094))
    wecom.on("externalcontact/cancel_groupmsg_send", {}, refusal(41093))
    mass_sends.remind(app, "m1")
    mass_sends.cancel(app, "m1")
    with pytest.raises(errors.QuotaExhausted):
        mass_sends.remind(app, "m1")
    with pytest.raises(errors.TooLate):
        mass_sends.cancel(app, "m1")
    assert wecom.bodies("externalcontact/cancel_groupmsg_send") == [{"msgid": "m1"}] * 2


# ---- welcome ----


def test_a_welcome_message(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(WELCOME, {})
    welcome.send(
        app, code="WELCOME-CODE-FOR-TEST", text="您好，我是南山店的林晓", attachments=[parts.Image(media_id="MEDIA002")]
    )
    assert wecom.bodies(WELCOME) == [
        {
            "welcome_code": "WELCOME-CODE-FOR-TEST",
            "text": {"content": "您好，我是南山店的林晓"},
            "attachments": [{"msgtype": "image", "image": {"media_id": "MEDIA002"}}],
        }
    ]


@pytest.mark.parametrize("code", [41050, 41051, 41053])
def test_a_welcome_that_comes_too_late_is_given_up(wecom: Wecom, app: WecomApp, code: int) -> None:
    wecom.on(WELCOME, refusal(code))
    with pytest.raises(errors.WelcomeMissed):
        welcome.send(app, code="c", text="您好")
    assert len(wecom.calls(WELCOME)) == 1


def test_a_welcome_that_another_app_is_sending_is_tried_again(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(WELCOME, refusal(41096), refusal(41096), {})
    welcome.send(app, code="c", text="您好")
    assert len(wecom.calls(WELCOME)) == 3


# ---- moments ----


def test_a_moment_is_made_by_a_job(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(MOMENT, {"jobid": "jobScrm0001"})
    done = {
        "status": 3,
        "type": "add_moment_task",
        "result": {
            "errcode": 0,
            "errmsg": "ok",
            "moment_id": "momScrm0001",
            "invalid_sender_list": {"user_list": ["g9"], "department_list": [4]},
            "invalid_external_contact_list": {"tag_list": ["et9"]},
        },
    }
    wecom.on("externalcontact/get_moment_task_result", {"status": 1, "type": "add_moment_task"}, done)
    job_id = moments.create(app, text="新品上市", image_ids=["ATT001"], department_ids=[17], tag_ids=["etScrm01"])
    assert job_id == "jobScrm0001"
    assert moments.job(app, job_id) == moments.Job(moments.JOB_BEGUN)
    assert moments.job(app, job_id) == moments.Job(moments.JOB_DONE, "momScrm0001", 0, ("g9",), (4,), ("et9",))
    assert wecom.calls("externalcontact/get_moment_task_result")[0].query["jobid"] == "jobScrm0001"
    assert wecom.bodies(MOMENT) == [
        {
            "text": {"content": "新品上市"},
            "attachments": [{"msgtype": "image", "image": {"media_id": "ATT001"}}],
            "visible_range": {
                "sender_list": {"department_list": [17]},
                "external_contact_list": {"tag_list": ["etScrm01"]},
            },
        }
    ]


def test_a_moment_with_a_link_or_a_video_for_everybody(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(MOMENT, {"jobid": "j"})
    moments.create(app, link=moments.Link("新品", "https://x/1", "ATT1"))
    moments.create(app, video_id="ATT2")
    link = {"title": "新品", "url": "https://x/1", "media_id": "ATT1"}
    assert wecom.bodies(MOMENT) == [
        {"attachments": [{"msgtype": "link", "link": link}]},
        {"attachments": [{"msgtype": "video", "video": {"media_id": "ATT2"}}]},
    ]


def test_who_published_a_moment_and_who_answered(wecom: Wecom, app: WecomApp) -> None:
    row = {"moment_id": "mom1", "create_time": "1767225600", "create_type": 0, "visible_type": 0}
    wecom.on("externalcontact/get_moment_list", {"moment_list": [{**row, "text": {"content": "新品"}}]})
    wecom.on("externalcontact/get_moment_task", {"task_list": [{"userid": "g1", "publish_status": 1}]})
    chosen = {"customer_list": [{"userid": "g1", "external_userid": "wm1"}]}
    wecom.on("externalcontact/get_moment_customer_list", chosen)
    wecom.on("externalcontact/get_moment_send_result", refusal(41062), {"customer_list": [{"external_userid": "wm1"}]})
    said = {"comment_list": [{"userid": "g1", "create_time": 1767225600}]}
    liked = {"like_list": [{"external_userid": "wm1", "create_time": 1767225600}]}
    wecom.on("externalcontact/get_moment_comments", {**said, **liked})
    wecom.on("externalcontact/cancel_moment_task", {})
    (moment,) = moments.recent(app, since=NEW_YEAR, until=NEW_YEAR + dt.timedelta(days=30))
    assert moment == moments.Moment("mom1", "", NEW_YEAR, moments.CORP, is_public=False, text="新品")
    assert list(moments.tasks(app, "mom1")) == [moments.Task("g1", is_published=True)]
    one = {"moment_id": "mom1", "userid": "g1"}
    assert list(moments.chosen_audience(app, **one)) == ["wm1"]
    with pytest.raises(errors.NotYet):
        list(moments.audience(app, **one))
    assert list(moments.audience(app, **one)) == ["wm1"]
    assert moments.reactions(app, **one) == moments.Reactions(
        comments=(moments.Reaction("", "g1", NEW_YEAR),), likes=(moments.Reaction("wm1", "", NEW_YEAR),)
    )
    moments.cancel(app, "mom1")
    sent = wecom.bodies("externalcontact/get_moment_list")[0]
    assert sent is not None and sent["limit"] == 20
    published = wecom.bodies("externalcontact/get_moment_send_result")[0]
    assert published == {**one, "limit": 5000, "cursor": ""}


# ---- app messages ----


def test_a_card_to_members_of_whom_one_cannot_be_reached(wecom: Wecom, app: WecomApp) -> None:
    silent = {"invalidparty": "", "invalidtag": "", "unlicenseduser": ""}
    wecom.on("message/send", {"invaliduser": "guide_0002|guide_0003", **silent, "msgid": "appmsg0001"})
    text = '<div class="normal">会员日触达 42 人</div>'
    card = app_messages.TextCard("今日任务 3 条", text, "https://scrm.example.com/g/tasks", "去完成")
    sent = app_messages.send(app, card, userids=["guide_0001", "guide_0002"], dedupe_seconds=1800)
    assert sent == app_messages.Sent("appmsg0001", ("guide_0002", "guide_0003"))
    assert wecom.bodies("message/send") == [
        {
            "touser": "guide_0001|guide_0002",
            "msgtype": "textcard",
            "agentid": 1000014,
            "textcard": {
                "title": "今日任务 3 条",
                "description": text,
                "url": "https://scrm.example.com/g/tasks",
                "btntxt": "去完成",
            },
            "enable_duplicate_check": 1,
            "duplicate_check_interval": 1800,
        }
    ]


def test_the_other_kinds_of_app_messages(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("message/send", {"msgid": "m", "response_code": "rc1"})
    target = app_messages.Target(url="https://x/1")
    mini = app_messages.Target(appid="wx1", pagepath="p")
    messages: list[tuple[app_messages.Message, dict[str, Any]]] = [
        (app_messages.Text("您好"), {"text": {"content": "您好"}}),
        (app_messages.Markdown("**好**"), {"markdown": {"content": "**好**"}}),
        (
            app_messages.News([app_messages.Article("题", "https://x/1")]),
            {"news": {"articles": [{"title": "题", "url": "https://x/1"}]}},
        ),
        (
            app_messages.TemplateCard(
                "text_notice", "待办", facts={"门店": "南山"}, target=target, jumps=[("看", mini)]
            ),
            {
                "template_card": {
                    "card_type": "text_notice",
                    "main_title": {"title": "待办"},
                    "horizontal_content_list": [{"keyname": "门店", "value": "南山"}],
                    "jump_list": [{"title": "看", "type": 2, "appid": "wx1", "pagepath": "p"}],
                    "card_action": {"type": 1, "url": "https://x/1"},
                }
            },
        ),
        (
            app_messages.TemplateCard(
                "button_interaction", "待办", task_id="task_42", buttons=[app_messages.Button("接受", "accept")]
            ),
            {
                "template_card": {
                    "card_type": "button_interaction",
                    "main_title": {"title": "待办"},
                    "task_id": "task_42",
                    "button_list": [{"text": "接受", "style": 1, "key": "accept"}],
                }
            },
        ),
    ]
    for message, _body in messages:
        assert app_messages.send(app, message, to_everyone=True).response_code == "rc1"
    for body, (_message, expected) in zip(wecom.bodies("message/send"), messages, strict=True):
        (kind,) = expected
        assert body == {"touser": "@all", "msgtype": kind, "agentid": 1000014, **expected}


def test_a_mini_program_notice_carries_no_agent_and_goes_to_nobody_at_large(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("message/send", {"msgid": "m"})
    notice = app_messages.MiniProgramNotice(
        "wx1", "今日任务提醒", page="p", facts={"任务": "3 条"}, is_first_large=True
    )
    app_messages.send(app, notice, userids=["g1"], department_ids=[2], tag_ids=[3])
    assert wecom.bodies("message/send") == [
        {
            "touser": "g1",
            "toparty": "2",
            "totag": "3",
            "msgtype": "miniprogram_notice",
            "miniprogram_notice": {
                "appid": "wx1",
                "title": "今日任务提醒",
                "page": "p",
                "emphasis_first_item": True,
                "content_item": [{"key": "任务", "value": "3 条"}],
            },
        }
    ]
    with pytest.raises(errors.BadParameter):
        app_messages.send(app, notice, to_everyone=True)


def test_nobody_to_send_to_recall_and_the_button_of_a_card(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("message/send", refusal(81013))
    with pytest.raises(errors.NoRecipient):
        app_messages.send(app, app_messages.Text("您好"), userids=["nobody"])
    wecom.on("message/recall", {}, refusal(42052))
    app_messages.recall(app, "m1")
    with pytest.raises(errors.TooLate):
        app_messages.recall(app, "m1")
    wecom.on("message/update_template_card", {"invaliduser": ["g2"]})
    assert app_messages.replace_button(app, response_code="rc1", text="已接受", userids=["g1", "g2"]) == ("g2",)
    assert wecom.bodies("message/update_template_card") == [
        {"userids": ["g1", "g2"], "agentid": 1000014, "response_code": "rc1", "button": {"replace_name": "已接受"}}
    ]


# ---- limits ----

LINK = parts.Link("题", "https://x/1")
CARD: dict[str, Any] = {"title": "题", "description": "文", "url": "https://x/1"}
TO: dict[str, Any] = {"userids": ["g1"]}


def _send(message: app_messages.Message) -> Callable[[WecomApp], Any]:
    return lambda app: app_messages.send(app, message, userids=["g1"])


BROKEN: list[Callable[[WecomApp], Any]] = [
    lambda app: mass_sends.create(app, text="新品"),
    lambda app: mass_sends.create(app, sender="g1"),
    lambda app: mass_sends.create(app, sender="g" * 65, text="新品"),
    lambda app: mass_sends.create(app, sender="g1", text="新" * 1334),  # 4002 bytes
    lambda app: mass_sends.create(app, sender="g1", attachments=[LINK] * 10),
    lambda app: mass_sends.create(app, external_userids=["wm"] * 10_001, text="新品"),
    lambda app: mass_sends.create(app, tag_groups=[["et"] * 101], text="新品"),
    lambda app: mass_sends.create(app, sender="g1", attachments=[parts.Image()]),
    lambda app: mass_sends.create(app, sender="g1", attachments=[parts.Link("题" * 43, "https://x/1")]),  # 129 bytes
    lambda app: mass_sends.create(app, sender="g1", attachments=[parts.Link("题", "https://x/" + "1" * 2039)]),
    lambda app: mass_sends.create(app, sender="g1", attachments=[parts.Link("题", "https://x/1", desc="文" * 171)]),
    lambda app: mass_sends.create(app, sender="g1", attachments=[parts.MiniProgram("题" * 22, "wx1", "p", "M")]),
    lambda app: mass_sends.create(app, sender="g1", attachments=[parts.MiniProgram("题", "wx1", "p")]),
    lambda app: mass_sends.create_for_groups(app, sender="", text="新品"),
    lambda app: mass_sends.create_for_groups(app, sender="g1", chat_ids=["wr"] * 2001, text="新品"),
    lambda app: list(
        mass_sends.recent(app, chat_type="single", since=NEW_YEAR, until=NEW_YEAR + dt.timedelta(days=32))
    ),
    lambda app: list(mass_sends.recent(app, chat_type="single", since=NEW_YEAR, until=NEW_YEAR)),
    lambda app: list(mass_sends.tasks(app, "")),
    lambda app: list(mass_sends.results(app, msgid="m1", userid="")),
    lambda app: welcome.send(app, code="", text="您好"),
    lambda app: welcome.send(app, code="c"),
    lambda app: welcome.send(app, code="c", text="您" * 1334),
    moments.create,
    lambda app: moments.create(app, text="新" * 1334),
    lambda app: moments.create(app, text="n" * 2001),
    lambda app: moments.create(app, image_ids=["a"] * 10),
    lambda app: moments.create(app, image_ids=["a"], video_id="b"),
    lambda app: moments.create(app, link=moments.Link("题" * 43, "https://x/1", "a")),
    lambda app: moments.create(app, link=moments.Link("题", "https://x/1", "")),
    lambda app: moments.create(app, text="新品", userids=["g"] * 100_001),
    lambda app: list(moments.recent(app, since=NEW_YEAR, until=NEW_YEAR + dt.timedelta(days=31))),
    lambda app: app_messages.send(app, app_messages.Text("您好")),
    lambda app: app_messages.send(app, app_messages.Text("您好"), userids=["g"] * 1001),
    lambda app: app_messages.send(app, app_messages.Text("您好"), **TO, dedupe_seconds=14_401),
    _send(app_messages.Text("")),
    _send(app_messages.Text("您" * 683)),  # 2049 bytes
    _send(app_messages.Markdown("您" * 683)),
    _send(app_messages.TextCard(**{**CARD, "description": ""})),
    _send(app_messages.TextCard(**{**CARD, "title": "题" * 129})),
    _send(app_messages.TextCard(**{**CARD, "description": "文" * 513})),
    _send(app_messages.TextCard(**CARD, button="去去去去去")),
    _send(app_messages.News([])),
    _send(app_messages.News([app_messages.Article("题", "https://x/1")] * 9)),
    _send(app_messages.MiniProgramNotice("wx1", "题题题")),
    _send(app_messages.MiniProgramNotice("wx1", "题题题题", facts={"键" * 11: "值"})),
    _send(app_messages.TemplateCard("text_notice", "题")),
    _send(app_messages.TemplateCard("button_interaction", "题", buttons=[app_messages.Button("是", "y")])),
    _send(app_messages.TemplateCard("button_interaction", "题", task_id="t")),
    _send(app_messages.TemplateCard("news_notice", "题", target=app_messages.Target(url="https://x/1"))),
    _send(app_messages.TemplateCard("vote_interaction", "题")),
]


@pytest.mark.parametrize("call", BROKEN)
def test_what_breaks_a_documented_limit_is_never_sent(
    wecom: Wecom, app: WecomApp, call: Callable[[WecomApp], Any]
) -> None:
    with pytest.raises(errors.BadParameter) as caught:
        call(app)
    assert caught.value.errcode is None
    assert wecom.requests == []


def test_limits_count_what_wecom_counts(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(ADD, {"msgid": "m"})
    mass_sends.create(
        app, external_userids=["wm"] * 10_000, text="新" * 1333 + "n",
        attachments=[parts.Link("题" * 42 + "tt", "https://x/" + "1" * 2038, "文" * 170)] * 9,
    )  # fmt: skip
    wecom.on("message/send", {"msgid": "m"})
    app_messages.send(
        app, app_messages.TextCard("题" * 128, "文" * 512, "https://x/1", "去去去去"), userids=["g"] * 1000
    )
    assert len(wecom.requests) == 3  # one of them for the token


def test_an_answer_without_what_is_documented_is_malformed(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(ADD, {"fail_list": []})
    with pytest.raises(errors.Malformed, match="msgid"):
        mass_sends.create(app, sender="g1", text="新品")
