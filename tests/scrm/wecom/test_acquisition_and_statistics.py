"""Acquisition links and the figures of members and groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from scrm.models import WecomApp
from scrm.wecom import acquisition, errors, statistics
from tests.scrm.wecom.conftest import Raw, Wecom, refusal

PATH = "externalcontact/customer_acquisition/"
URL = "https://work.weixin.qq.com/ca/caScrm0001"
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TODAY = dt.date(2026, 1, 3)
TWO_DAYS: dict[str, Any] = {"first": dt.date(2026, 1, 1), "last": dt.date(2026, 1, 2), "today": TODAY}


def test_an_acquisition_link_from_its_making_to_its_end(wecom: Wecom, app: WecomApp) -> None:
    made = {"link_id": "caScrm0001", "link_name": "抖音开业-南山", "url": URL, "create_time": 1767225600}
    wecom.on(PATH + "create_link", {"link": made})
    read = {"link": {**made, "skip_verify": False}, "range": {"user_list": ["guide_0001"], "department_list": [17]}}
    wecom.on(PATH + "get", read)
    wecom.on(PATH + "list_link", {"link_id_list": ["ca1"], "next_cursor": "c"}, {"link_id_list": ["ca2"]})
    wecom.on(PATH + "update_link", {})
    wecom.on(PATH + "delete_link", {})
    link = acquisition.create(
        app,
        name="抖音开业-南山",
        userids=["guide_0001", "guide_0002"],
        preference=acquisition.Preference(2, ["guide_0001"]),
    )
    assert (link.id, link.url, link.created_at) == ("caScrm0001", URL, NEW_YEAR)
    assert acquisition.get(app, "caScrm0001") == acquisition.Link(
        "caScrm0001", "抖音开业-南山", URL, NEW_YEAR, skip_verify=False, userids=("guide_0001",), department_ids=(17,)
    )
    assert list(acquisition.ids(app)) == ["ca1", "ca2"]
    acquisition.update(app, link_id="caScrm0001", skip_verify=False)
    acquisition.update(app, link_id="caScrm0001", userids=["guide_0002"])
    acquisition.delete(app, "caScrm0001")
    assert wecom.bodies(PATH + "create_link") == [
        {
            "link_name": "抖音开业-南山",
            "range": {"user_list": ["guide_0001", "guide_0002"], "department_list": []},
            "skip_verify": True,
            "priority_option": {"priority_type": 2, "priority_userid_list": ["guide_0001"]},
        }
    ]
    assert wecom.bodies(PATH + "update_link") == [
        {"link_id": "caScrm0001", "skip_verify": False},
        {"link_id": "caScrm0001", "range": {"user_list": ["guide_0002"], "department_list": []}},
    ]
    assert wecom.bodies(PATH + "list_link") == [{"limit": 100, "cursor": ""}, {"limit": 100, "cursor": "c"}]


def test_a_link_with_a_lost_answer_is_not_made_twice(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(PATH + "create_link", Raw(502))
    with pytest.raises(errors.Unreachable):
        acquisition.create(app, name="抖音", userids=["g1"])
    assert len(wecom.calls(PATH + "create_link")) == 1


@pytest.mark.parametrize(("code", "kind"), [(41095, errors.QuotaExhausted), (41200, errors.NoPermission)])
def test_why_a_link_is_not_made(wecom: Wecom, app: WecomApp, code: int, kind: type[errors.WecomError]) -> None:
    wecom.on(PATH + "create_link", refusal(code))
    with pytest.raises(kind):
        acquisition.create(app, name="抖音", userids=["g1"])


def test_the_customers_the_quota_and_the_chat_of_a_link(wecom: Wecom, app: WecomApp) -> None:
    row = {"external_userid": "wmScrmA1", "userid": "guide_0001", "chat_status": 1, "state": "dy-0101"}
    wecom.on(PATH + "customer", {"customer_list": [row], "next_cursor": ""})
    expiring = [{"expire_date": 1767225600, "balance": 40}]
    wecom.on("externalcontact/customer_acquisition_quota", {"total": 100, "balance": 60, "quota_list": expiring})
    wecom.on(PATH + "statistic", {"click_link_customer_cnt": 9, "new_customer_cnt": 3})
    info = {"recv_msg_cnt": 5, "link_id": "caScrm0001", "state": "dy-0101"}
    chat = {"userid": "guide_0001", "external_userid": "wmScrmA1", "chat_info": info}
    wecom.on(PATH + "get_chat_info", chat, refusal(41201))
    assert list(acquisition.customers(app, "caScrm0001")) == [
        acquisition.Customer("wmScrmA1", "guide_0001", acquisition.HAS_WRITTEN, "dy-0101")
    ]
    assert acquisition.quota(app) == acquisition.Quota(100, 60, ((NEW_YEAR, 40),))
    assert wecom.calls("externalcontact/customer_acquisition_quota")[0].method == "GET"
    assert acquisition.statistic(app, link_id="caScrm0001", **TWO_DAYS) == acquisition.Statistic(9, 3)
    assert wecom.bodies(PATH + "statistic") == [
        {"link_id": "caScrm0001", "start_time": 1767196800, "end_time": 1767283200}
    ]
    expected = acquisition.Chat("guide_0001", "wmScrmA1", 5, "caScrm0001", "dy-0101")
    assert acquisition.chat(app, "key") == expected
    with pytest.raises(errors.NotFound):
        acquisition.chat(app, "key")


def test_the_address_of_a_channel() -> None:
    assert acquisition.address(URL, "") == URL
    assert acquisition.address(URL, "dy-01 南") == f"{URL}?customer_channel=dy-01+%E5%8D%97"
    assert acquisition.scheme(URL, "dy") == (
        "weixin://biz/ww/profile/https%3A%2F%2Fwork.weixin.qq.com%2Fca%2FcaScrm0001%3Fcustomer_channel%3Ddy"
    )
    assert acquisition.address(URL, "南" * 21 + "x").endswith("x")  # 64 bytes
    with pytest.raises(errors.BadParameter):
        acquisition.address(URL, "南" * 22)


# ---- statistics ----


def test_a_day_without_chats_has_no_share_of_replies(wecom: Wecom, app: WecomApp) -> None:
    one = {"stat_time": 1767196800, "chat_cnt": 12, "message_cnt": 40, "reply_percentage": 83.33, "avg_reply_time": 4,
           "negative_feedback_cnt": 1, "new_apply_cnt": 3, "new_contact_cnt": 5}  # fmt: skip
    two = {"stat_time": 1767283200, "chat_cnt": 0, "message_cnt": 0, "negative_feedback_cnt": 0, "new_apply_cnt": 0,
           "new_contact_cnt": 0}  # fmt: skip
    path = "externalcontact/get_user_behavior_data"
    wecom.on(path, {"behavior_data": [one, two]})
    assert statistics.behaviour(app, userid="guide_0001", **TWO_DAYS) == [
        statistics.Day(dt.date(2026, 1, 1), 3, 5, 12, 40, 83.33, 4, 1),
        statistics.Day(dt.date(2026, 1, 2), 0, 0, 0, 0, None, None, 0),
    ]
    statistics.behaviour(app, department_ids=[17], **TWO_DAYS)
    period = {"start_time": 1767196800, "end_time": 1767283200}
    assert wecom.bodies(path) == [{"userid": ["guide_0001"], **period}, {"partyid": [17], **period}]


FIGURES = {"new_chat_cnt": 1, "chat_total": 20, "chat_has_msg": 9, "new_member_cnt": 3, "member_total": 900,
           "member_has_msg": 60, "msg_total": 777}  # fmt: skip


def test_figures_of_groups_come_by_offset(wecom: Wecom, app: WecomApp) -> None:
    path = "externalcontact/groupchat/statistic"
    wecom.on(
        path,
        {"total": 2, "next_offset": 1, "items": [{"owner": "g1", "data": FIGURES}]},
        {"total": 2, "next_offset": 2, "items": [{"owner": "g2", "data": FIGURES}]},
        {"total": 0, "next_offset": 0, "items": []},
    )
    owners = [f"g{n}" for n in range(101)]
    rows = list(statistics.groups_by_owner(app, owners, **TWO_DAYS))
    figures = statistics.GroupFigures(1, 20, 9, 3, 900, 60, 777)
    assert rows == [("g1", figures), ("g2", figures)]
    first, second, third = (body or {} for body in wecom.bodies(path))
    assert first == {
        "day_begin_time": 1767196800, "day_end_time": 1767283200, "owner_filter": {"userid_list": owners[:100]},
        "offset": 0, "limit": 1000,
    }  # fmt: skip
    assert (second["offset"], third["offset"], third["owner_filter"]) == (1, 0, {"userid_list": ["g100"]})


def test_figures_of_groups_by_day(wecom: Wecom, app: WecomApp) -> None:
    path = "externalcontact/groupchat/statistic_group_by_day"
    wecom.on(path, {"items": [{"stat_time": 1767196800, "data": FIGURES}]})
    ((day, figures),) = statistics.groups_by_day(app, ["g1"], **TWO_DAYS)
    assert (day, figures.messages) == (dt.date(2026, 1, 1), 777)


# ---- limits ----


def period(first: int, last: int) -> dict[str, Any]:
    """From and to so many days ago."""
    return {"first": TODAY - dt.timedelta(days=first), "last": TODAY - dt.timedelta(days=last), "today": TODAY}


BROKEN: list[Callable[[WecomApp], Any]] = [
    lambda app: acquisition.create(app, name="", userids=["g1"]),
    lambda app: acquisition.create(app, name="名" * 31, userids=["g1"]),
    lambda app: acquisition.create(app, name="名"),
    lambda app: acquisition.create(app, name="名", userids=["g"] * 501),
    lambda app: acquisition.create(app, name="名", userids=["g"], preference=acquisition.Preference(3)),
    lambda app: acquisition.update(app, link_id="ca1"),
    lambda app: acquisition.get(app, ""),
    lambda app: acquisition.statistic(app, link_id="ca1", **period(181, 170)),
    lambda app: acquisition.statistic(app, link_id="ca1", **period(30, 0)),  # 31 days
    lambda app: statistics.behaviour(app, **TWO_DAYS),
    lambda app: statistics.behaviour(app, userid="g1", **period(31, 1)),
    lambda app: statistics.behaviour(app, userid="g1", **period(181, 180)),
    lambda app: statistics.behaviour(app, userid="g1", **period(1, 2)),
    lambda app: statistics.behaviour(app, userid="g1", **period(1, -1)),
    lambda app: statistics.behaviour(app, department_ids=list(range(101)), **TWO_DAYS),
    lambda app: list(statistics.groups_by_owner(app, ["g1"], **period(31, 1))),
    lambda app: statistics.groups_by_day(app, ["g"] * 101, **TWO_DAYS),
]


@pytest.mark.parametrize("call", BROKEN)
def test_what_breaks_a_documented_limit_is_never_sent(
    wecom: Wecom, app: WecomApp, call: Callable[[WecomApp], Any]
) -> None:
    with pytest.raises(errors.BadParameter) as caught:
        call(app)
    assert caught.value.errcode is None
    assert wecom.requests == []


def test_thirty_days_and_a_hundred_and_eighty_back_are_allowed(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/get_user_behavior_data", {"behavior_data": []})
    statistics.behaviour(app, userid="g1", **period(180, 151))
    statistics.behaviour(app, userid="g1", **period(29, 0))
    assert len(wecom.calls("externalcontact/get_user_behavior_data")) == 2
