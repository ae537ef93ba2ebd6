"""WeCom's documented answers to every endpoint whose answer we read, each with the method that reads it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import (
    acquisition,
    app_messages,
    contact_ways,
    customers,
    directory,
    groups,
    join_ways,
    js_sdk,
    logins,
    mass_sends,
    media,
    moments,
    statistics,
    tags,
    transfers,
)

AT = 1_767_225_600
DAY = dt.date(2026, 1, 1)
SINCE, UNTIL = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
PNG = b"\x89PNG\r\n\x1a\n"
LINK = {"link_id": "ca1", "link_name": "开业", "url": "https://work.weixin.qq.com/ca/1", "create_time": AT,
        "skip_verify": True}  # fmt: skip
RANGE = {"user_list": ["a"], "department_list": [2]}
WAY = {"config_id": "c1", "type": 1, "scene": 2, "remark": "r", "skip_verify": True, "state": "s", "qr_code": "q",
       "user": ["a"], "party": [2]}  # fmt: skip
JOIN_WAY = {"config_id": "c1", "scene": 2, "remark": "r", "auto_create_room": 1, "room_base_name": "福利群",
            "room_base_id": 10, "chat_id_list": ["wr1"], "qr_code": "q", "state": "s"}  # fmt: skip
GROUP_MEMBER = {"userid": "wm1", "type": 2, "join_time": AT, "join_scene": 3, "unionid": "oU1", "name": "晚风",
                "group_nickname": "风", "state": "s", "invitor": {"userid": "a"}}  # fmt: skip
GROUP = {"chat_id": "wr1", "name": "群", "owner": "a", "create_time": AT, "notice": "公告",
         "member_list": [GROUP_MEMBER], "admin_list": [{"userid": "a"}], "member_version": "v"}  # fmt: skip
PERSON = {"external_userid": "wm1", "name": "晚风", "type": 1, "gender": 2, "unionid": "oU1", "avatar": "x",
          "corp_name": "腾讯", "position": "经理"}  # fmt: skip
FOLLOW = {"userid": "a", "remark": "备注", "description": "描述", "createtime": AT, "add_way": 10, "oper_userid": "a",
          "state": "s", "remark_mobiles": ["13800000000"],
          "tags": [{"group_name": "口味", "tag_name": "少糖", "tag_id": "et1", "type": 1}, {"tag_name": "她", "type": 2}],
          "wechat_channels": {"nickname": "视频号", "source": 1}}  # fmt: skip
FOLLOW_INFO = {**{name: value for name, value in FOLLOW.items() if name != "tags"}, "tag_id": ["et1"]}
TAG = {"group_id": "g1", "group_name": "口味", "create_time": AT, "order": 1, "deleted": False,
       "tag": [{"id": "et1", "name": "少糖", "create_time": AT, "order": 1, "deleted": False}]}  # fmt: skip
STAFF = {"userid": "a", "name": "林晓", "department": [1, 2], "order": [1, 2], "position": "店长", "gender": "1",
         "is_leader_in_dept": [0, 1], "direct_leader": ["b"], "main_department": 1, "status": 1}  # fmt: skip
DEPARTMENT = {"id": 2, "name": "南山店", "name_en": "", "department_leader": ["a"], "parentid": 1, "order": 10}
ATTACHED = [
    {"msgtype": "image", "image": {"media_id": "m1", "pic_url": "u"}},
    {"msgtype": "link", "link": {"title": "t", "picurl": "p", "desc": "d", "url": "u"}},
    {"msgtype": "miniprogram", "miniprogram": {"title": "t", "appid": "wx1", "page": "p"}},
    {"msgtype": "video", "video": {"media_id": "m1"}},
    {"msgtype": "file", "file": {"media_id": "m1"}},
]
FIGURES = {"new_chat_cnt": 2, "chat_total": 2, "chat_has_msg": 0, "new_member_cnt": 0, "member_total": 6,
           "member_has_msg": 0, "msg_total": 0, "migrate_trainee_chat_cnt": 3}  # fmt: skip
BEHAVIOUR = {"stat_time": AT, "chat_cnt": 100, "message_cnt": 80, "reply_percentage": 60.25, "avg_reply_time": 1,
             "negative_feedback_cnt": 0, "new_apply_cnt": 6, "new_contact_cnt": 5}  # fmt: skip
UPLOADED = {"type": "image", "media_id": "m1", "created_at": str(AT)}
MESSAGE = app_messages.Text("您好")
NOT_READ = {  # WeCom says ok, and we read nothing more of it
    "acquisition._UPDATE", "acquisition._DELETE", "app_messages._RECALL", "contact_ways._UPDATE", "contact_ways._DELETE",
    "contact_ways._CLOSE", "customers._REMARK", "groups._EDIT_TEMPLATE", "groups._DELETE_TEMPLATE", "join_ways._UPDATE",
    "join_ways._DELETE", "mass_sends._REMIND", "mass_sends._CANCEL", "media._GET", "moments._CANCEL", "tags._EDIT",
    "tags._DELETE", "tags._MARK", "welcome._SEND",
}  # fmt: skip

Ask = Callable[[WecomApp], Any]
EXTERNAL = "externalcontact/"
READ: list[tuple[str, dict[str, Any], Ask]] = [
    (f"{EXTERNAL}customer_acquisition/create_link", {"link": LINK},
     lambda app: acquisition.create(app, name="开业", userids=["a"])),
    (f"{EXTERNAL}customer_acquisition/get", {"link": LINK, "range": RANGE}, lambda app: acquisition.get(app, "ca1")),
    (f"{EXTERNAL}customer_acquisition/list_link", {"link_id_list": ["ca1"], "next_cursor": ""},
     lambda app: list(acquisition.ids(app))),
    (f"{EXTERNAL}customer_acquisition_quota",
     {"total": 1, "balance": 1, "quota_list": [{"expire_date": AT, "balance": 1}]}, acquisition.quota),
    (f"{EXTERNAL}customer_acquisition/customer",
     {"customer_list": [{"external_userid": "wm1", "userid": "a", "chat_status": 1, "state": "s"}], "next_cursor": ""},
     lambda app: list(acquisition.customers(app, "ca1"))),
    (f"{EXTERNAL}customer_acquisition/statistic", {"click_link_customer_cnt": 10, "new_customer_cnt": 4},
     lambda app: acquisition.statistic(app, link_id="ca1", first=DAY, last=DAY, today=DAY)),
    (f"{EXTERNAL}customer_acquisition/get_chat_info",
     {"userid": "a", "external_userid": "wm1", "chat_info": {"recv_msg_cnt": 3, "link_id": "ca1", "state": "s"}},
     lambda app: acquisition.chat(app, "k1")),
    ("message/send",
     {"invaliduser": "a|b", "invalidparty": "1", "invalidtag": "2", "unlicenseduser": "c", "msgid": "m", "response_code": "r"},
     lambda app: app_messages.send(app, MESSAGE, userids=["a"])),
    ("message/update_template_card", {"invaliduser": ["a"]},
     lambda app: app_messages.replace_button(app, response_code="r", text="已处理", userids=["a"])),
    (f"{EXTERNAL}add_contact_way", {"config_id": "c1", "qr_code": "q"},
     lambda app: contact_ways.add_single(app, userid="a", state="s", skip_verify=True)),
    (f"{EXTERNAL}get_contact_way", {"contact_way": WAY}, lambda app: contact_ways.get(app, "c1")),
    (f"{EXTERNAL}list_contact_way", {"contact_way": [{"config_id": "c1"}], "next_cursor": ""},
     lambda app: list(contact_ways.ids(app, since=SINCE, until=UNTIL))),
    (f"{EXTERNAL}get_follow_user_list", {"follow_user": ["a", "b"]}, customers.followers),
    (f"{EXTERNAL}list", {"external_userid": ["wm1"]}, lambda app: customers.ids_of(app, "a")),
    (f"{EXTERNAL}get", {"external_contact": PERSON, "follow_user": [FOLLOW], "next_cursor": ""},
     lambda app: customers.get(app, "wm1")),
    (f"{EXTERNAL}batch/get_by_user",
     {"external_contact_list": [{"external_contact": PERSON, "follow_info": FOLLOW_INFO}], "next_cursor": ""},
     lambda app: list(customers.by_members(app, ["a"]))),
    (f"{EXTERNAL}contact_list",
     {"info_list": [{"is_customer": True, "tmp_openid": "t", "external_userid": "wm1", "name": "晚风", "follow_userid": "a",
                     "chat_id": "wr1", "add_time": AT}], "next_cursor": ""},
     lambda app: list(customers.served(app))),
    ("user/list_id", {"dept_user": [{"userid": "a", "department": 1}], "next_cursor": ""},
     lambda app: list(directory.places(app))),
    ("user/get", STAFF, lambda app: directory.member(app, "a")),
    ("user/simplelist", {"userlist": [STAFF]}, lambda app: directory.members(app, 1)),
    ("user/list", {"userlist": [STAFF]}, lambda app: directory.detailed(app, 1)),
    ("department/simplelist", {"department_id": [{"id": 2, "parentid": 1, "order": 10}]}, directory.department_tree),
    ("department/get", {"department": DEPARTMENT}, lambda app: directory.department(app, 2)),
    (f"{EXTERNAL}groupchat/list", {"group_chat_list": [{"chat_id": "wr1", "status": 0}], "next_cursor": ""},
     lambda app: list(groups.of_owners(app, ["a"]))),
    (f"{EXTERNAL}groupchat/get", {"group_chat": GROUP}, lambda app: groups.get(app, "wr1")),
    (f"{EXTERNAL}opengid_to_chatid", {"chat_id": "wr1"}, lambda app: groups.chat_id_of(app, "o1")),
    (f"{EXTERNAL}group_welcome_template/add", {"template_id": "t1"},
     lambda app: groups.add_welcome_template(app, groups.WelcomeTemplate("您好", None))),
    (f"{EXTERNAL}group_welcome_template/get", {"text": {"content": "您好"}, "link": ATTACHED[1]["link"]},
     lambda app: groups.welcome_template(app, "t1")),
    (f"{EXTERNAL}groupchat/add_join_way", {"config_id": "c1"},
     lambda app: join_ways.add(app, join_ways.JoinWay(["wr1"]))),
    (f"{EXTERNAL}groupchat/get_join_way", {"join_way": JOIN_WAY}, lambda app: join_ways.get(app, "c1")),
    ("get_jsapi_ticket", {"ticket": "t", "expires_in": 7200}, lambda app: js_sdk._fetch(app, "CORP")),
    ("ticket/get", {"ticket": "t", "expires_in": 7200}, lambda app: js_sdk._fetch(app, "APP")),
    ("auth/getuserinfo", {"userid": "a", "user_ticket": "u"}, lambda app: logins.visitor(app, "c")),
    ("auth/getuserinfo", {"openid": "o1", "external_userid": "wm1"}, lambda app: logins.visitor(app, "c")),
    ("auth/getuserdetail",
     {"userid": "a", "gender": "1", "avatar": "x", "qr_code": "q", "mobile": "13800000000", "email": "a@b.cn",
      "biz_mail": "a@c.cn", "address": "广州"}, lambda app: logins.details(app, "u")),
    ("miniprogram/jscode2session", {"corpid": "ww1", "userid": "a", "session_key": "k"},
     lambda app: logins.mini_program(app, "c")),
    (f"{EXTERNAL}add_msg_template", {"fail_list": ["wm2"], "msgid": "m1"},
     lambda app: mass_sends.create(app, sender="a", external_userids=["wm1"], text="您好")),
    (f"{EXTERNAL}get_groupmsg_list_v2",
     {"group_msg_list": [{"msgid": "m1", "creator": "a", "create_time": str(AT), "create_type": 1,
                          "text": {"content": "您好"}, "attachments": ATTACHED}], "next_cursor": ""},
     lambda app: list(mass_sends.recent(app, chat_type="single", since=SINCE, until=UNTIL))),
    (f"{EXTERNAL}get_groupmsg_task", {"task_list": [{"userid": "a", "status": 1, "send_time": AT}], "next_cursor": ""},
     lambda app: list(mass_sends.tasks(app, "m1"))),
    (f"{EXTERNAL}get_groupmsg_send_result",
     {"send_list": [{"external_userid": "wm1", "chat_id": "wr1", "userid": "a", "status": 1, "send_time": AT}],
      "next_cursor": ""}, lambda app: list(mass_sends.results(app, msgid="m1", userid="a"))),
    ("media/upload", UPLOADED, lambda app: media.upload(app, media.IMAGE, "a.png", PNG)),
    ("media/uploadimg", {"url": "u"}, lambda app: media.upload_image(app, "a.png", PNG)),
    ("media/upload_attachment", UPLOADED, lambda app: media.upload_attachment(app, media.IMAGE, "a.png", PNG, use=1)),
    (f"{EXTERNAL}add_moment_task", {"jobid": "j1"}, lambda app: moments.create(app, text="您好")),
    (f"{EXTERNAL}get_moment_task_result",
     {"status": 3, "type": "add_moment_task",
      "result": {"errcode": 0, "errmsg": "ok", "moment_id": "mom1", "invalid_sender_list": RANGE,
                 "invalid_external_contact_list": {"tag_list": ["et1"]}}}, lambda app: moments.job(app, "j1")),
    (f"{EXTERNAL}get_moment_list",
     {"moment_list": [{"moment_id": "mom1", "creator": "a", "create_time": str(AT), "create_type": 1, "visible_type": 1,
                       "text": {"content": "您好"}, "image": [{"media_id": "m1"}]}], "next_cursor": ""},
     lambda app: list(moments.recent(app, since=SINCE, until=UNTIL))),
    (f"{EXTERNAL}get_moment_task", {"task_list": [{"userid": "a", "publish_status": 1}], "next_cursor": ""},
     lambda app: list(moments.tasks(app, "mom1"))),
    (f"{EXTERNAL}get_moment_customer_list",
     {"customer_list": [{"userid": "a", "external_userid": "wm1"}], "next_cursor": ""},
     lambda app: list(moments.chosen_audience(app, moment_id="mom1", userid="a"))),
    (f"{EXTERNAL}get_moment_send_result", {"customer_list": [{"external_userid": "wm1"}], "next_cursor": ""},
     lambda app: list(moments.audience(app, moment_id="mom1", userid="a"))),
    (f"{EXTERNAL}get_moment_comments",
     {"comment_list": [{"external_userid": "wm1", "create_time": AT}], "like_list": [{"userid": "a", "create_time": AT}]},
     lambda app: moments.reactions(app, moment_id="mom1", userid="a")),
    (f"{EXTERNAL}get_user_behavior_data", {"behavior_data": [BEHAVIOUR]},
     lambda app: statistics.behaviour(app, userid="a", first=DAY, last=DAY, today=DAY + dt.timedelta(1))),
    (f"{EXTERNAL}groupchat/statistic",
     {"total": 1, "next_offset": 1, "items": [{"owner": "a", "data": FIGURES}]},
     lambda app: list(statistics.groups_by_owner(app, owners=["a"], first=DAY, last=DAY, today=DAY + dt.timedelta(1)))),
    (f"{EXTERNAL}groupchat/statistic_group_by_day", {"items": [{"stat_time": AT, "data": FIGURES}]},
     lambda app: statistics.groups_by_day(app, owners=["a"], first=DAY, last=DAY, today=DAY + dt.timedelta(1))),
    (f"{EXTERNAL}get_corp_tag_list", {"tag_group": [TAG]}, tags.groups),
    (f"{EXTERNAL}add_corp_tag", {"tag_group": TAG},
     lambda app: tags.add(app, tags=[tags.NewTag("少糖", 1)], group_name="口味")),
    *((f"{EXTERNAL}{kind}transfer_customer", {"customer": [{"external_userid": "wm1", "errcode": 40096}]},
       lambda app, kind=kind: transfers.start(app, handover="a", takeover="b", external_userids=["wm1"], is_resigned=bool(kind)))
      for kind in ("", "resigned/")),
    *((f"{EXTERNAL}{kind}transfer_result",
       {"customer": [{"external_userid": "wm1", "status": 1, "takeover_time": AT}], "next_cursor": ""},
       lambda app, kind=kind: list(transfers.results(app, handover="a", takeover="b", is_resigned=bool(kind))))
      for kind in ("", "resigned/")),
    *((f"{EXTERNAL}groupchat/{name}", {"failed_chat_list": [{"chat_id": "wr1", "errcode": 90500, "errmsg": "x"}]},
       lambda app, name=name: transfers.start_groups(app, chat_ids=["wr1"], new_owner="b", is_resigned=name == "transfer"))
      for name in ("onjob_transfer", "transfer")),
    (f"{EXTERNAL}get_unassigned_list",
     {"info": [{"handover_userid": "a", "external_userid": "wm1", "dimission_time": AT}], "is_last": False, "next_cursor": ""},
     lambda app: list(transfers.unassigned(app))),
]  # fmt: skip
