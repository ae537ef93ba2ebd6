"""What any client library sends, over HTTP without ours: paths, methods, classes of callers, limits and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from scrm.wecom.sandbox import MINI, SELF, SYNC, Sandbox, registry, sends, snapshot
from scrm.wecom.sandbox import groups as life
from scrm.wecom.sandbox.endpoints import media
from scrm.wecom.sandbox.world import State

DAY = 86_400
EC = "externalcontact/"
INDEX = {
    "GET": [
        "auth/getuserinfo", "miniprogram/jscode2session", "get_jsapi_ticket", "ticket/get", f"{EC}get_moment_task_result",
        f"{EC}customer_acquisition_quota", "media/get",
    ],
    "POST": [
        "auth/getuserdetail", "media/upload", "media/uploadimg", "media/upload_attachment", "message/send", "message/recall",
        "message/update_template_card",
        *(f"{EC}{name}" for name in (
            "groupchat/list groupchat/get opengid_to_chatid groupchat/add_join_way groupchat/get_join_way"
            " groupchat/update_join_way groupchat/del_join_way groupchat/transfer groupchat/onjob_transfer"
            " groupchat/statistic groupchat/statistic_group_by_day add_msg_template send_welcome_msg remind_groupmsg_send"
            " cancel_groupmsg_send get_groupmsg_list_v2 get_groupmsg_task get_groupmsg_send_result"
            " group_welcome_template/add group_welcome_template/edit group_welcome_template/get group_welcome_template/del"
            " get_unassigned_list transfer_customer transfer_result resigned/transfer_customer resigned/transfer_result"
            " add_moment_task cancel_moment_task get_moment_list get_moment_task get_moment_customer_list"
            " get_moment_send_result get_moment_comments get_user_behavior_data customer_acquisition/list_link"
            " customer_acquisition/get customer_acquisition/create_link customer_acquisition/update_link"
            " customer_acquisition/delete_link customer_acquisition/customer customer_acquisition/statistic"
            " customer_acquisition/get_chat_info contact_list close_temp_chat"
        ).split()),
    ],
}  # fmt: skip
FOR_APPS = {
    "auth/",
    "media/upload",
    "media/get",
    "message/",
    "get_jsapi_ticket",
    "ticket/",
}  # not for customer contact only


class Plain:
    """requests and nothing else."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.world = box, box.world
        self._tokens: dict[str, str] = {}

    def token(self, kind: str = SELF) -> str:
        if kind not in self._tokens:
            secret = {"corpid": self.world.corp_id, "corpsecret": self.world.app(kind).secret}
            self._tokens[kind] = requests.get(f"{self.box.api_base}gettoken", params=secret, timeout=10).json()[
                "access_token"
            ]
        return self._tokens[kind]

    def post(self, path: str, kind: str = SELF, /, **body: Any) -> dict[str, Any]:
        query = {"access_token": self.token(kind)}
        return requests.post(f"{self.box.api_base}{path}", params=query, json=body, timeout=10).json()

    def get(self, path: str, kind: str = SELF, /, **query: Any) -> dict[str, Any]:
        query["access_token"] = self.token(kind)
        return requests.get(f"{self.box.api_base}{path}", params=query, timeout=10).json()

    def sent_to(self, count: int) -> str:
        """A mass send of the guide to so many customers, dispatched."""
        self.world.add_member("guide_0001")
        for number in range(count):
            self.world.add_contact(f"客户{number}", external_userid=f"wm{number}")
            self.world.befriend("guide_0001", f"wm{number}")
        self.world.quotas.dispatch_seconds = 0
        made = self.post(f"{EC}add_msg_template", chat_type="single", sender="guide_0001", text={"content": "周三"})
        assert made["errcode"] == 0, made
        return made["msgid"]


@pytest.fixture
def plain() -> Iterator[Plain]:
    with Sandbox(seed=1, sends=False) as box:
        yield Plain(box)


def test_every_path_is_answered_by_its_method(plain: Plain) -> None:
    for method, paths in INDEX.items():
        for path in paths:
            assert registry.endpoints[path].method == method, path
    for path in INDEX["POST"]:
        assert plain.get(path)["errcode"] == 40058, path  # not an HTTP status


def test_the_contact_sync_may_call_none_of_it(plain: Plain) -> None:
    for path in INDEX["POST"]:
        assert plain.post(path, SYNC)["errcode"] == 48002, path
    for path in INDEX["GET"]:
        assert plain.get(path, SYNC)["errcode"] == 48002, path


def test_an_app_that_is_not_listed_may_not_touch_customers(plain: Plain) -> None:
    plain.world.app(SELF).is_callable = False
    for path in INDEX["POST"]:
        may_call = any(path.startswith(one) for one in FOR_APPS) and path != "media/upload_attachment"
        assert (plain.post(path)["errcode"] == 48002) != may_call, path


def test_only_the_mini_programs_app_logs_its_members_in(plain: Plain) -> None:
    assert plain.get("miniprogram/jscode2session", js_code="x", grant_type="authorization_code")["errcode"] == 48002
    answer = plain.get("miniprogram/jscode2session", MINI, js_code="x", grant_type="authorization_code")
    assert answer["errcode"] == 40029
    assert "devtool/query?e=40029" in answer["errmsg"]


def test_what_old_libraries_send_is_answered_as_retired(plain: Plain) -> None:
    for path in ("transfer", "get_transfer_result", "get_group_msg_result", "get_groupmsg_list"):
        assert plain.post(f"{EC}{path}")["errcode"] == 48005
    plain.world.add_member("guide_0001")
    old = {"text": {"content": "x"}, "image": {"media_id": "M"}, "sender": "guide_0001"}
    assert plain.post(f"{EC}add_msg_template", **old)["errcode"] == 48005


def test_a_limit_above_the_maximum_counts_as_the_default(plain: Plain) -> None:
    msgid = plain.sent_to(600)
    path, one = f"{EC}get_groupmsg_send_result", {"msgid": msgid, "userid": "guide_0001"}
    assert len(plain.post(path, **one, limit=600)["send_list"]) == 600
    first = plain.post(path, **one, limit=1001)
    assert len(first["send_list"]) == 500
    rest = plain.post(path, **one, limit=1001, cursor=first["next_cursor"])
    assert (len(rest["send_list"]), rest["next_cursor"]) == (100, "")
    for _n in range(10):
        plain.post(f"{EC}add_moment_task", text={"content": "新品"})
    now = int(plain.world.clock.now())
    plain.world.quotas.moments_per_minute = 100
    for _n in range(12):
        plain.post(f"{EC}add_moment_task", text={"content": "新品"})
    moments = plain.post(f"{EC}get_moment_list", start_time=now - DAY, end_time=now + 60, limit=21)
    assert len(moments["moment_list"]) == 20 and moments["next_cursor"]


def test_a_cursor_is_good_for_its_own_query_only(plain: Plain) -> None:
    msgid = plain.sent_to(3)
    path, one = f"{EC}get_groupmsg_send_result", {"msgid": msgid, "userid": "guide_0001", "limit": 2}
    cursor = plain.post(path, **one)["next_cursor"]
    assert plain.post(path, **one, cursor=cursor[:-2] + "AA")["errcode"] == 50100
    assert plain.post(f"{EC}get_groupmsg_task", **one, cursor=cursor)["errcode"] == 50100
    assert len(plain.post(path, **one, cursor=cursor)["send_list"]) == 1


def test_a_task_and_its_results_in_the_documented_shape(plain: Plain) -> None:
    msgid = plain.sent_to(1)
    assert plain.post(f"{EC}get_groupmsg_task", msgid=msgid)["task_list"] == [{"userid": "guide_0001", "status": 0}]
    (row,) = plain.post(f"{EC}get_groupmsg_send_result", msgid=msgid, userid="guide_0001")["send_list"]
    assert row == {"external_userid": "wm0", "userid": "guide_0001", "status": 0}
    sends.confirm(plain.world, msgid, "guide_0001")
    (task,) = plain.post(f"{EC}get_groupmsg_task", msgid=msgid)["task_list"]
    assert task["status"] == 2 and isinstance(task["send_time"], int)
    now = int(plain.world.clock.now())
    listed = plain.post(f"{EC}get_groupmsg_list_v2", chat_type="single", start_time=now - DAY, end_time=now + 60)
    (record,) = listed["group_msg_list"]
    assert "creator" not in record and isinstance(record["create_time"], str)


def test_customers_without_a_member_by_page_have_no_cursor(plain: Plain) -> None:
    plain.sent_to(3)
    plain.world.leave("guide_0001")
    by_page = plain.post(f"{EC}get_unassigned_list", page_id=0, page_size=2)
    assert len(by_page["info"]) == 2 and not by_page["is_last"] and "next_cursor" not in by_page
    by_cursor = plain.post(f"{EC}get_unassigned_list", page_size=2)
    last = plain.post(f"{EC}get_unassigned_list", page_size=2, cursor=by_cursor["next_cursor"])
    assert len(last["info"]) == 1 and last["is_last"]


@pytest.mark.parametrize(("first", "last", "code"), [(30, 0, 40058), (29, 0, 0), (181, 180, 40058), (180, 152, 0)])
def test_figures_of_thirty_days_within_a_hundred_and_eighty(plain: Plain, first: int, last: int, code: int) -> None:
    plain.world.add_member("guide_0001")
    now = int(plain.world.clock.now())
    period = {"start_time": now - first * DAY, "end_time": now - last * DAY}
    answer = plain.post(f"{EC}get_user_behavior_data", userid=["guide_0001"], **period)
    assert answer["errcode"] == code
    if not code:
        assert len(answer["behavior_data"]) == first - last + 1
        assert "reply_percentage" not in answer["behavior_data"][0]


def test_a_thousand_owners_must_be_named(plain: Plain) -> None:
    for number in range(1001):
        plain.world.add_member(f"g{number}")
    assert plain.post(f"{EC}groupchat/list", limit=10)["errcode"] == 81017
    named = {"userid_list": ["g1"]}
    assert plain.post(f"{EC}groupchat/list", limit=10, owner_filter=named)["group_chat_list"] == []
    assert plain.post(f"{EC}groupchat/list", limit=1001, owner_filter=named)["errcode"] == 40058


def test_a_longer_remark_of_a_join_way_is_cut_and_a_sixth_group_refused(plain: Plain) -> None:
    plain.world.add_member("g1")
    chat_id = life.make(plain.world, "g1", "群").chat_id
    way = {"scene": 2, "chat_id_list": [chat_id]}
    config_id = plain.post(f"{EC}groupchat/add_join_way", **way, remark="备" * 40)["config_id"]
    row = plain.post(f"{EC}groupchat/get_join_way", config_id=config_id)["join_way"]
    assert (row["remark"], row["auto_create_room"]) == ("备" * 30, 1)
    six = {**way, "chat_id_list": [chat_id] * 6}
    assert plain.post(f"{EC}groupchat/add_join_way", **six)["errcode"] == 41091


def test_ten_moments_a_minute(plain: Plain) -> None:
    codes = [plain.post(f"{EC}add_moment_task", text={"content": "新品"})["errcode"] for _n in range(11)]
    assert codes == [0] * 10 + [45009]


def test_an_upload_without_a_file_and_one_that_comes_down(plain: Plain) -> None:
    url, query = f"{plain.box.api_base}media/upload", {"access_token": plain.token(), "type": "file"}
    assert requests.post(url, params=query, data=b"x", timeout=10).json()["errcode"] == 44001
    kept = requests.post(url, params=query, files={"media": ("a.txt", b"hello you")}, timeout=10).json()
    query = {"access_token": plain.token(), "media_id": kept["media_id"]}
    answer = requests.get(f"{plain.box.api_base}media/get", params=query, timeout=10)
    assert answer.content == b"hello you" and "a.txt" in answer.headers["Content-Disposition"]
    assert plain.get("media/get", media_id="none")["errcode"] == 40007


def test_the_control_page_lists_and_does_all_of_it(plain: Plain) -> None:
    api = f"{plain.box.control_url}api/"

    def act(name: str, /, **values: Any) -> requests.Response:
        return requests.post(f"{api}acts/{name}", json=values, headers={"X-Sandbox": "1"}, timeout=10)

    def rows(panel: str) -> list[dict[str, Any]]:
        return requests.get(f"{api}panels/{panel}", timeout=10).json()["rows"]

    msgid = plain.sent_to(2)
    (task,) = rows("mass_sends")
    assert (task["msgid"], task["status"], task["count"]) == (msgid, "待确认", 2)
    assert act("confirm_send", msgid=task["msgid"], userid=task["userid"]).ok
    assert (rows("mass_sends")[0]["status"], rows("mass_sends")[0]["done"]) == ("已发送", 2)
    assert act("confirm_send", msgid=task["msgid"], userid=task["userid"]).status_code == 409
    plain.post(f"{EC}add_moment_task", text={"content": "新品"})
    (moment,) = rows("moments")
    assert act("publish_moment", moment_id=moment["moment_id"], userid=moment["userid"]).ok
    chat_id = act("new_group", userid="guide_0001", name="福利群").json()["result"]["chat_id"]
    assert act("invite", chat_id=chat_id, external_userid="wm0").ok and rows("groups")[0]["count"] == 2
    config_id = plain.post(f"{EC}groupchat/add_join_way", scene=2, chat_id_list=[chat_id])["config_id"]
    scanned = requests.get(f"{api}ways/{config_id}", timeout=10).json()
    assert (scanned["members"], scanned["act"]) == (["福利群"], "scan_join_way")
    assert act(scanned["act"], config_id=config_id, name="新客").json()["result"]["chat_id"] == chat_id
    assert act(scanned["act"], config_id=config_id).status_code == 409
    assert len(act("login_code", userid="guide_0001").json()["result"]) > 20
    for name, panel in registry.panels.items():
        assert {column for column, _title in panel.columns} <= set(
            rows(name)[0] if rows(name) else dict(panel.columns)
        ), name
        for button in panel.buttons:
            fields = {field.name for field in registry.acts[button.act].fields}
            assert set(button.values) <= fields, name


def test_uploaded_files_survive_a_restart_up_to_a_size(
    plain: Plain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are kept; what is let go also goes from the folder."""
    path = tmp_path / "world.json"
    monkeypatch.setattr(media, "KEPT_BYTES", 250)
    for number in range(3):
        media_id = f"MEDIA{number}"
        plain.world.media[media_id] = {"kind": "image", "until": 1e12, "name": "x.png", "use": 0}
        plain.world.files[media_id] = bytes([number]) * 100
        media.forget_oldest(plain.world)
        snapshot.save(plain.world, path, "owner")
    assert sorted(one.name for one in path.with_suffix(".media").iterdir()) == ["MEDIA1", "MEDIA2"]
    again = snapshot.load(path, "owner")
    assert again is not None
    assert again.files == {"MEDIA1": b"\x01" * 100, "MEDIA2": b"\x02" * 100}
    assert (path.with_suffix(".media") / "MEDIA1").stat().st_mode & 0o777 == 0o600


def test_all_of_it_survives_a_restart(plain: Plain, tmp_path: Path) -> None:
    plain.sent_to(2)
    plain.post(f"{EC}add_moment_task", text={"content": "新品"})
    chat_id = life.make(plain.world, "guide_0001", "群").chat_id
    life.invite(plain.world, chat_id, "wm0")
    life.talk(plain.world, chat_id, "wm0")
    plain.post(f"{EC}groupchat/add_join_way", scene=2, chat_id_list=[chat_id])
    plain.post(f"{EC}customer_acquisition/create_link", link_name="南山", range={"user_list": ["guide_0001"]})
    plain.world.add_member("taker")
    pair = {"handover_userid": "guide_0001", "takeover_userid": "taker"}
    plain.post(f"{EC}transfer_customer", **pair, external_userid=["wm1"])
    plain.post(
        "message/send", touser="taker", msgtype="text", agentid=plain.world.app(SELF).agent_id, text={"content": "x"}
    )
    snapshot.save(plain.world, tmp_path / "world.json", "owner")
    again = snapshot.load(tmp_path / "world.json", "owner")
    assert again is not None
    for field in dataclasses.fields(State):
        if field.name not in ("offset", "jobs"):
            assert getattr(again, field.name) == getattr(plain.world, field.name), field.name
    assert (again.mass_sends, again.groups, again.transfers) != ({}, {}, {})
