"""Customer groups, the ways into them, and what is handed from one member to another."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest

from scrm.models import WecomApp
from scrm.wecom import attachments, contact_ways, customers, errors, groups, join_ways, transfers
from tests.scrm.wecom.conftest import Raw, Request, Wecom, in_threads, refusal

CHATS, CHAT = "externalcontact/groupchat/list", "externalcontact/groupchat/get"
TRANSFER, RESIGNED = "externalcontact/transfer_customer", "externalcontact/resigned/transfer_customer"
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


# ---- groups ----


def test_groups_are_listed_by_a_hundred_owners(wecom: Wecom, app: WecomApp) -> None:
    listed = [{"chat_id": f"wr{n}", "status": n} for n in range(2)]
    wecom.on(
        CHATS,
        {"group_chat_list": listed[:1], "next_cursor": "c"},
        {"group_chat_list": listed[1:], "next_cursor": ""},
        {"group_chat_list": []},
    )
    owners = [f"g{n}" for n in range(101)]
    assert list(groups.of_owners(app, owners)) == [groups.Listed("wr0", groups.NORMAL), groups.Listed("wr1", 1)]
    first, second, third = (body or {} for body in wecom.bodies(CHATS))
    assert first == {"status_filter": 0, "owner_filter": {"userid_list": owners[:100]}, "limit": 1000, "cursor": ""}
    assert (second["cursor"], third["owner_filter"]) == ("c", {"userid_list": ["g100"]})
    assert list(groups.of_owners(app, [])) == []
    assert len(wecom.calls(CHATS)) == 3


def test_a_group_with_its_members(wecom: Wecom, app: WecomApp) -> None:
    staff = {"userid": "guide_0001", "type": 1, "join_time": 1767225600, "join_scene": 1, "group_nickname": "店长小林"}
    by_code = {"userid": "wmA1", "type": 2, "unionid": "oU1", "join_time": 1767229201, "join_scene": 3, "state": "j:1",
               "name": "晚风"}  # fmt: skip
    invited = {
        "userid": "wmA2",
        "type": 2,
        "join_time": 1767229300,
        "join_scene": 1,
        "invitor": {"userid": "guide_0001"},
    }
    chat = {"chat_id": "wr1", "name": "南山店福利群10", "owner": "guide_0001", "create_time": 1767225600, "notice": "接龙",
            "member_list": [staff, by_code, invited], "admin_list": [{"userid": "guide_0002"}],
            "member_version": "71217227bbd112ecfe3a49c482195cb4"}  # fmt: skip
    wecom.on(CHAT, {"group_chat": chat}, refusal(49008))
    group = groups.get(app, "wr1", with_names=True)
    assert (group.owner, group.admins, group.created_at) == ("guide_0001", ("guide_0002",), NEW_YEAR)
    assert group.version == "71217227bbd112ecfe3a49c482195cb4"
    owner, one, two = group.members
    assert (owner.type, owner.nickname, owner.unionid) == (groups.STAFF, "店长小林", "")
    assert (one.type, one.unionid, one.state, one.join_scene) == (groups.EXTERNAL, "oU1", "j:1", groups.BY_QR_CODE)
    assert (two.inviter, two.name) == ("guide_0001", "")
    assert not {"晚风", "oU1"} & set(repr(group).replace("'", " ").split())
    with pytest.raises(errors.NotFound):
        groups.get(app, "wr1")
    assert wecom.bodies(CHAT) == [{"chat_id": "wr1", "need_name": 1}, {"chat_id": "wr1", "need_name": 0}]


def test_the_group_behind_the_id_of_a_mini_program(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/opengid_to_chatid", {"chat_id": "wr1"}, refusal(90511))
    assert groups.chat_id_of(app, "og1") == "wr1"
    with pytest.raises(errors.NotFound):
        groups.chat_id_of(app, "og2")
    assert wecom.bodies("externalcontact/opengid_to_chatid")[0] == {"opengid": "og1"}


def test_welcome_templates_of_groups(wecom: Wecom, app: WecomApp) -> None:
    path = "externalcontact/group_welcome_template/"
    wecom.on(path + "add", {"template_id": "t1"}, refusal(41055))
    wecom.on(path + "edit", {})
    wecom.on(path + "get", {"text": {"content": "欢迎 %NICKNAME%"}, "link": {"title": "题", "url": "https://x/1"}})
    wecom.on(path + "del", refusal(41058))
    template = groups.WelcomeTemplate("欢迎 %NICKNAME%", attachments.Link("题", "https://x/1"))
    assert groups.add_welcome_template(app, template, notify=False) == "t1"
    with pytest.raises(errors.QuotaExhausted):
        groups.add_welcome_template(app, template)
    groups.edit_welcome_template(app, "t1", groups.WelcomeTemplate("欢迎"))
    assert groups.welcome_template(app, "t1") == template
    with pytest.raises(errors.NoPermission):
        groups.delete_welcome_template(app, "t1")
    link = {"title": "题", "url": "https://x/1"}
    assert wecom.bodies(path + "add")[0] == {"text": {"content": "欢迎 %NICKNAME%"}, "link": link, "notify": 0}
    assert wecom.bodies(path + "edit") == [{"template_id": "t1", "text": {"content": "欢迎"}}]


# ---- join ways ----


def test_a_join_way_is_made_read_and_written_whole(wecom: Wecom, app: WecomApp) -> None:
    path = "externalcontact/groupchat/"
    wecom.on(path + "add_join_way", {"config_id": "cfg1"})
    row = {"config_id": "cfg1", "scene": 2, "remark": "南山店1群", "auto_create_room": 1, "room_base_name": "南山店福利群",
           "room_base_id": 10, "chat_id_list": ["wr1", "wr2"], "qr_code": "https://q/cfg1", "state": "j:1f3k"}  # fmt: skip
    wecom.on(path + "get_join_way", {"join_way": row}, refusal(41044))
    wecom.on(path + "update_join_way", {})
    wecom.on(path + "del_join_way", {})
    way = join_ways.JoinWay(["wr1"], remark="南山店1群", base_name="南山店福利群", base_number=10, state="j:1f3k")
    sent = {"scene": 2, "remark": "南山店1群", "auto_create_room": 1, "room_base_name": "南山店福利群", "room_base_id": 10,
            "chat_id_list": ["wr1"], "state": "j:1f3k"}  # fmt: skip
    assert join_ways.add(app, way) == "cfg1"
    read = join_ways.get(app, "cfg1")
    assert (read.chat_ids, read.qr_code, read.makes_groups) == (("wr1", "wr2"), "https://q/cfg1", True)
    with pytest.raises(errors.NotFound):
        join_ways.get(app, "cfg2")
    join_ways.update(app, "cfg1", join_ways.JoinWay(["wr1"], makes_groups=False))
    join_ways.delete(app, "cfg1")
    assert wecom.bodies(path + "add_join_way") == [sent]
    assert wecom.bodies(path + "update_join_way") == [
        {"config_id": "cfg1", "scene": 2, "remark": "", "auto_create_room": 0, "room_base_name": "", "room_base_id": 1,
         "chat_id_list": ["wr1"], "state": ""},
    ]  # fmt: skip
    assert wecom.bodies(path + "del_join_way") == [{"config_id": "cfg1"}]


# ---- transfers ----

PAIR: dict[str, Any] = {"handover": "guide_0009", "takeover": "brand_ip_01"}


def test_a_transfer_answers_for_each_customer(wecom: Wecom, app: WecomApp) -> None:
    rows = [{"external_userid": f"wmScrmA{n}", "errcode": code} for n, code in ((1, 0), (2, 40128), (3, 40096))]
    wecom.on(TRANSFER, {"customer": rows})
    wecom.on(RESIGNED, {"customer": rows[:1]})
    three = ["wmScrmA1", "wmScrmA2", "wmScrmA3"]
    codes = transfers.start(app, **PAIR, external_userids=three, is_resigned=False, message="您的专属顾问换为小禾")
    assert codes == {"wmScrmA1": transfers.BEGUN, "wmScrmA2": 40128, "wmScrmA3": 40096}
    assert isinstance(errors.of(40128, TRANSFER), errors.QuotaExhausted)
    transfers.start(app, **PAIR, external_userids=["wmScrmA1"], is_resigned=True, message="您的专属顾问换为小禾")
    pair = {"handover_userid": "guide_0009", "takeover_userid": "brand_ip_01"}
    assert wecom.bodies(TRANSFER) == [
        {**pair, "external_userid": three, "transfer_success_msg": "您的专属顾问换为小禾"}
    ]
    assert wecom.bodies(RESIGNED) == [{**pair, "external_userid": ["wmScrmA1"]}]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (40097, errors.TransferRefused), (40099, errors.QuotaExhausted), (40098, errors.NotActivated),
        (40129, errors.TransferRefused), (40131, errors.NotFriends), (60111, errors.NotFound),
    ],
)  # fmt: skip
def test_why_a_transfer_does_not_begin(wecom: Wecom, app: WecomApp, code: int, kind: type[errors.WecomError]) -> None:
    wecom.on(TRANSFER, refusal(code))
    with pytest.raises(kind):
        transfers.start(app, **PAIR, external_userids=["wm1"], is_resigned=False)


def test_a_transfer_with_a_lost_answer_is_not_begun_again(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TRANSFER, Raw(502), {"customer": []})
    with pytest.raises(errors.Unreachable):
        transfers.start(app, **PAIR, external_userids=["wm1"], is_resigned=False)
    assert len(wecom.calls(TRANSFER)) == 1


def test_transfers_of_one_member_wait_for_each_other(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    def slow(_request: Request) -> dict[str, Any]:
        time.sleep(0.05)
        return {"customer": []}

    wecom.on(TRANSFER, slow)

    def start(number: int) -> None:
        handover = "Guide_9" if number % 2 else "guide_9"
        transfers.start(app, handover=handover, takeover="t", external_userids=["wm1"], is_resigned=False)

    assert in_threads(4, start) == [None] * 4
    assert (len(wecom.calls(TRANSFER)), wecom.most_at_once[TRANSFER]) == (4, 1)


@pytest.mark.parametrize("is_resigned", [False, True])
def test_what_became_of_a_transfer(wecom: Wecom, app: WecomApp, is_resigned: bool) -> None:
    path = "externalcontact/resigned/transfer_result" if is_resigned else "externalcontact/transfer_result"
    waiting = {"external_userid": "wmScrmA1", "status": 2, "takeover_time": 1767225600}
    wecom.on(path, {"customer": [waiting], "next_cursor": "c"}, {"customer": [{"external_userid": "wm2", "status": 3}]})
    assert list(transfers.results(app, **PAIR, is_resigned=is_resigned)) == [
        transfers.Result("wmScrmA1", transfers.WAITING, NEW_YEAR),
        transfers.Result("wm2", transfers.REFUSED, None),
    ]
    pair = {"handover_userid": "guide_0009", "takeover_userid": "brand_ip_01"}
    assert wecom.bodies(path) == [{**pair, "cursor": ""}, {**pair, "cursor": "c"}]


def test_customers_without_a_member_come_by_cursor_never_by_page(wecom: Wecom, app: WecomApp) -> None:
    path = "externalcontact/get_unassigned_list"
    row = {"handover_userid": "guide_0009", "external_userid": "wm1", "dimission_time": 1767225600}
    wecom.on(
        path,
        {"info": [row], "is_last": False, "next_cursor": "c"},
        {"info": [row], "is_last": True, "next_cursor": "after-the-last"},
    )
    assert list(transfers.unassigned(app)) == [transfers.Unassigned("guide_0009", "wm1", NEW_YEAR)] * 2
    assert wecom.bodies(path) == [{"page_size": 1000, "cursor": ""}, {"page_size": 1000, "cursor": "c"}]


@pytest.mark.parametrize(("is_resigned", "name"), [(False, "onjob_transfer"), (True, "transfer")])
def test_groups_get_a_new_owner(wecom: Wecom, app: WecomApp, is_resigned: bool, name: str) -> None:
    path = f"externalcontact/groupchat/{name}"
    wecom.on(path, {"failed_chat_list": [{"chat_id": "wr2", "errcode": 90500, "errmsg": "no"}]}, {})
    moved = transfers.start_groups(app, chat_ids=["wr1", "wr2"], new_owner="guide_0002", is_resigned=is_resigned)
    assert moved == {"wr2": 90500}
    assert transfers.start_groups(app, chat_ids=["wr1"], new_owner="guide_0002", is_resigned=is_resigned) == {}
    assert wecom.bodies(path)[0] == {"chat_id_list": ["wr1", "wr2"], "new_owner": "guide_0002"}


# ---- the rest of customers and contact ways ----


def test_everybody_served_and_the_end_of_a_temporary_session(wecom: Wecom, app: WecomApp) -> None:
    customer = {"is_customer": True, "tmp_openid": "t1", "external_userid": "wm1", "name": "晚*", "follow_userid": "g1",
                "add_time": 1767225600}  # fmt: skip
    other = {"is_customer": False, "tmp_openid": "t2", "chat_id": "wr1", "chat_name": "群", "add_time": 1767225600}
    wecom.on("externalcontact/contact_list", {"info_list": [customer], "next_cursor": "c"}, {"info_list": [other]})
    one, two = customers.served(app)
    assert (one.is_customer, one.external_userid, one.userid, one.added_at) == (True, "wm1", "g1", NEW_YEAR)
    assert (two.is_customer, two.external_userid, two.chat_id) == (False, "", "wr1")
    assert wecom.bodies("externalcontact/contact_list")[1] == {"limit": 1000, "cursor": "c"}
    wecom.on("externalcontact/close_temp_chat", {})
    contact_ways.close_temporary(app, userid="g1", external_userid="wm1")
    assert wecom.bodies("externalcontact/close_temp_chat") == [{"userid": "g1", "external_userid": "wm1"}]


# ---- limits ----

BROKEN: list[Callable[[WecomApp], Any]] = [
    lambda app: list(groups.of_owners(app, [""])),
    lambda app: groups.get(app, ""),
    lambda app: groups.add_welcome_template(app, groups.WelcomeTemplate()),
    lambda app: groups.add_welcome_template(app, groups.WelcomeTemplate("欢" * 1001)),  # 3003 bytes
    lambda app: join_ways.add(app, join_ways.JoinWay([])),
    lambda app: join_ways.add(app, join_ways.JoinWay(["wr"] * 6)),
    lambda app: join_ways.add(app, join_ways.JoinWay(["wr"], remark="备" * 31)),
    lambda app: join_ways.add(app, join_ways.JoinWay(["wr"], state="码" * 31)),
    lambda app: join_ways.add(app, join_ways.JoinWay(["wr"], base_name="群" * 41)),
    lambda app: join_ways.add(app, join_ways.JoinWay(["wr"], scene=3)),
    lambda app: transfers.start(app, **PAIR, external_userids=[], is_resigned=False),
    lambda app: transfers.start(app, **PAIR, external_userids=["wm"] * 101, is_resigned=True),
    lambda app: transfers.start(app, **PAIR, external_userids=["wm"], is_resigned=False, message="话" * 201),
    lambda app: transfers.start(app, handover="", takeover="t", external_userids=["wm"], is_resigned=False),
    lambda app: list(transfers.results(app, handover="h", takeover="", is_resigned=False)),
    lambda app: transfers.start_groups(app, chat_ids=[], new_owner="g", is_resigned=False),
    lambda app: transfers.start_groups(app, chat_ids=["wr"] * 101, new_owner="g", is_resigned=False),
    lambda app: contact_ways.close_temporary(app, userid="g1", external_userid=""),
]


@pytest.mark.parametrize("call", BROKEN)
def test_what_breaks_a_documented_limit_is_never_sent(
    wecom: Wecom, app: WecomApp, call: Callable[[WecomApp], Any]
) -> None:
    with pytest.raises(errors.BadParameter) as caught:
        call(app)
    assert caught.value.errcode is None
    assert wecom.requests == []
