"""The typed calls: what they send, what they make of the documented answers, and what they refuse to send."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from scrm.models import WecomApp
from scrm.wecom import contact_ways, customers, directory, errors, tags
from tests.scrm.wecom.conftest import Wecom, refusal

PERSON = {"external_userid": "wmScrmA1", "name": "晚风", "type": 1, "gender": 2, "unionid": "oScrmUnion1"}


# ---- directory ----


def test_the_ids_of_the_whole_corp_come_page_by_page(wecom: Wecom, app: WecomApp) -> None:
    one, two, three = ({"userid": f"guide_000{n}", "department": 17} for n in (1, 2, 3))
    wecom.on("user/list_id", {"next_cursor": "c1", "dept_user": [one, two]}, {"next_cursor": "", "dept_user": [three]})
    assert list(directory.places(app)) == [directory.Place(f"guide_000{n}", 17) for n in (1, 2, 3)]
    assert wecom.bodies("user/list_id") == [{"limit": 10_000, "cursor": ""}, {"limit": 10_000, "cursor": "c1"}]


def test_a_member_without_the_silent_fields(wecom: Wecom, app: WecomApp) -> None:
    answer = {"userid": "guide_0001", "name": "林晓", "department": [3, 17], "position": "店长", "is_leader_in_dept": [0, 1],
              "direct_leader": ["area_sz"], "status": 1, "main_department": 17}  # fmt: skip
    wecom.on("user/get", answer)
    assert directory.member(app, "guide_0001") == directory.Member(
        "guide_0001", "林晓", (3, 17), "店长", (17,), ("area_sz",), 17, 1
    )
    assert wecom.calls("user/get")[0].query["userid"] == "guide_0001"
    assert wecom.calls("user/get")[0].method == "GET"


def test_members_and_departments(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("user/simplelist", {"userlist": [{"userid": "a", "name": "甲", "department": [17]}]})
    wecom.on("department/simplelist", {"department_id": [{"id": 2, "parentid": 1, "order": 10}]})
    named = {"id": 2, "name": "华东大区", "department_leader": ["a"], "parentid": 1, "order": 10}
    wecom.on("department/get", {"department": named})
    assert directory.members(app, 17) == [directory.Member("a", "甲", (17,))]
    assert directory.department_tree(app, 2) == [directory.Department(2, 1, 10)]
    assert directory.department(app, 2) == directory.Department(2, 1, 10, "华东大区", ("a",))
    assert wecom.calls("department/simplelist")[0].query["id"] == "2"


# ---- customers ----


def test_a_customer_with_more_follows_than_a_page(wecom: Wecom, app: WecomApp) -> None:
    named = [{"group_name": "口味", "tag_name": "少糖", "tag_id": "et1", "type": 1}, {"tag_name": "老客", "type": 2}]
    first = {"userid": "guide_0001", "remark": "晚风-南山店", "createtime": 1767225600, "tags": named, "add_way": 1,
             "remark_mobiles": ["13800000001"], "oper_userid": "wmScrmA1", "state": "a1f3k"}  # fmt: skip
    second = {"userid": "guide_0077", "createtime": 1767300000, "tags": [], "oper_userid": "admin_a", "add_way": 202}
    path = "externalcontact/get"
    wecom.on(
        path,
        {"external_contact": PERSON, "follow_user": [first], "next_cursor": "c1"},
        {"external_contact": PERSON, "follow_user": [second], "next_cursor": ""},
    )
    customer, (one, two) = customers.get(app, "wmScrmA1")
    assert customer == customers.Customer("wmScrmA1", "晚风", 1, 2, "", "oScrmUnion1")
    assert one.created_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert (one.tag_ids, one.personal_tags, one.state) == (("et1",), ("老客",), "a1f3k")
    assert (two.userid, two.add_way, two.state) == ("guide_0077", 202, "")
    assert [call.query.get("cursor", "") for call in wecom.calls(path)] == ["", "c1"]
    assert "13800000001" not in repr(one) and "晚风" not in repr((one, customer))


def test_pairs_in_bulk_carry_ids_of_tags_only(wecom: Wecom, app: WecomApp) -> None:
    follow = {"userid": "guide_0001", "createtime": 1767225600, "tag_id": ["et1", "st2"], "add_way": 16, "state": "x"}
    path = "externalcontact/batch/get_by_user"
    pages = [
        {"external_contact_list": [{"external_contact": PERSON, "follow_info": follow}], "next_cursor": c}
        for c in ("c1", "")
    ]
    wecom.on(path, *pages)
    pairs = list(customers.by_members(app, ["guide_0001", "guide_0002"]))
    assert [pair.follow.tag_ids for pair in pairs] == [("et1", "st2")] * 2
    assert pairs[0].customer.unionid == "oScrmUnion1"
    sent = {"userid_list": ["guide_0001", "guide_0002"], "limit": 100}
    assert wecom.bodies(path) == [{**sent, "cursor": ""}, {**sent, "cursor": "c1"}]


@pytest.mark.parametrize("answer", [{"external_userid": []}, refusal(84061)])
def test_a_member_without_customers(wecom: Wecom, app: WecomApp, answer: dict[str, Any]) -> None:
    wecom.on("externalcontact/list", answer)
    assert customers.ids_of(app, "guide_0001") == []


# ---- tags ----


def test_the_catalogue_of_tags(wecom: Wecom, app: WecomApp) -> None:
    tag = {"id": "et1", "name": "少糖", "create_time": 1767225600, "order": 2}
    group = {
        "group_id": "eg1",
        "group_name": "口味偏好",
        "order": 50,
        "tag": [tag, {"id": "et2", "name": "旧", "deleted": True}],
    }
    wecom.on("externalcontact/get_corp_tag_list", {"tag_group": [group]})
    assert tags.groups(app, group_ids=["eg1"]) == [
        tags.Group("eg1", "口味偏好", 50, (tags.Tag("et1", "少糖", 2), tags.Tag("et2", "旧", 0, is_deleted=True)))
    ]
    assert wecom.bodies("externalcontact/get_corp_tag_list") == [{"group_id": ["eg1"], "tag_id": []}]


def test_tags_are_made_edited_and_deleted(wecom: Wecom, app: WecomApp) -> None:
    made = {
        "group_id": "eg1",
        "group_name": "口味偏好",
        "order": 50,
        "tag": [{"id": "et1", "name": "少糖", "order": 2}],
    }
    wecom.on("externalcontact/add_corp_tag", {"tag_group": made})
    wecom.on("externalcontact/edit_corp_tag", {})
    wecom.on("externalcontact/del_corp_tag", {})
    group = tags.add(app, group_name="口味偏好", group_order=50, tags=[tags.NewTag("少糖", 2)])
    assert group.tags == (tags.Tag("et1", "少糖", 2),)
    tags.add(app, group_id="eg1", tags=[tags.NewTag("半糖")])
    tags.edit(app, id="et1", order=0)
    tags.delete(app, tag_ids=["et1"])
    assert wecom.bodies("externalcontact/add_corp_tag") == [
        {"group_name": "口味偏好", "order": 50, "tag": [{"name": "少糖", "order": 2}]},
        {"group_id": "eg1", "tag": [{"name": "半糖", "order": 0}]},
    ]
    assert wecom.bodies("externalcontact/edit_corp_tag") == [{"id": "et1", "order": 0}]
    assert wecom.bodies("externalcontact/del_corp_tag") == [{"tag_id": ["et1"], "group_id": []}]


# ---- contact ways ----


def test_contact_ways_are_made_read_and_listed(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/add_contact_way", {"config_id": "c1", "qr_code": "https://q/c1"}, {"config_id": "c2"})
    assert (
        contact_ways.add_single(app, userid="g1", state="a1", skip_verify=False, remark="南山店-林晓").config_id == "c1"
    )
    made = contact_ways.add_multi(app, department_ids=[17], state="a2", skip_verify=True, scene=contact_ways.BUTTON)
    assert made == contact_ways.Made("c2", "")
    assert wecom.bodies("externalcontact/add_contact_way") == [
        {"type": 1, "user": ["g1"], "scene": 2, "skip_verify": False, "remark": "南山店-林晓", "state": "a1"},
        {"type": 2, "party": [17], "scene": 1, "skip_verify": True, "state": "a2"},
    ]
    way = {"config_id": "c1", "type": 1, "scene": 2, "remark": "r", "skip_verify": False, "state": "a1", "user": ["g1"]}
    wecom.on("externalcontact/get_contact_way", {"contact_way": way})
    assert contact_ways.get(app, "c1") == contact_ways.ContactWay("c1", 1, 2, "r", False, "a1", "", ("g1",), ())
    listed: list[dict[str, Any]] = [
        {"contact_way": [{"config_id": "c1"}], "next_cursor": "n"},
        {"contact_way": [{"config_id": "c2"}]},
    ]
    wecom.on("externalcontact/list_contact_way", *listed)
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert list(contact_ways.ids(app, since=day, until=day + dt.timedelta(days=1))) == ["c1", "c2"]
    assert wecom.bodies("externalcontact/list_contact_way")[1] == {
        "start_time": 1767225600, "end_time": 1767312000, "limit": 1000, "cursor": "n",
    }  # fmt: skip


def test_an_update_says_only_what_it_changes_and_always_the_verification(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/update_contact_way", {})
    wecom.on("externalcontact/del_contact_way", {})
    contact_ways.update(app, config_id="c1", skip_verify=False, userids=["g2"])
    contact_ways.delete(app, "c1")
    body = {"config_id": "c1", "skip_verify": False, "user": ["g2"]}
    assert wecom.bodies("externalcontact/update_contact_way") == [body]
    assert wecom.bodies("externalcontact/del_contact_way") == [{"config_id": "c1"}]


# ---- limits ----

PAIR = {"userid": "g1", "external_userid": "wm1"}
WAY: dict[str, Any] = {"state": "s", "skip_verify": True}
BROKEN: list[Callable[[WecomApp], Any]] = [
    lambda app: directory.member(app, ""),
    lambda app: directory.member(app, "店" * 22),  # 66 bytes
    lambda app: customers.get(app, ""),
    lambda app: list(customers.by_members(app, [])),
    lambda app: list(customers.by_members(app, ["g"] * 101)),
    lambda app: customers.remark(app, **PAIR),
    lambda app: customers.remark(app, **PAIR, remark="备" * 21),
    lambda app: customers.remark(app, **PAIR, description="备" * 151),
    lambda app: customers.remark(app, **PAIR, company="备" * 21),
    lambda app: tags.add(app, group_name="组", tags=[]),
    lambda app: tags.add(app, tags=[tags.NewTag("甲")]),
    lambda app: tags.add(app, group_name="组" * 31, tags=[tags.NewTag("甲")]),
    lambda app: tags.add(app, group_name="组", tags=[tags.NewTag("签" * 31)]),
    lambda app: tags.add(app, group_name="组", tags=[tags.NewTag("甲", 2**32)]),
    lambda app: tags.edit(app, id="et1", name=""),
    lambda app: tags.edit(app, id="et1", order=-1),
    tags.delete,
    lambda app: tags.mark(app, **PAIR),
    lambda app: contact_ways.add_single(app, userid="g1", skip_verify=True, state="码" * 31),
    lambda app: contact_ways.add_single(app, userid="g1", **WAY, remark="备" * 31),
    lambda app: contact_ways.add_single(app, userid="g1", **WAY, scene=3),
    lambda app: contact_ways.add_multi(app, **WAY),
    lambda app: contact_ways.add_multi(app, **WAY, userids=["g"] * 101),
    lambda app: contact_ways.update(app, config_id="", skip_verify=True),
    lambda app: contact_ways.update(app, config_id="c1", skip_verify=True, state="码" * 31),
]


@pytest.mark.parametrize("call", BROKEN)
def test_what_breaks_a_documented_limit_is_never_sent(
    wecom: Wecom, app: WecomApp, call: Callable[[WecomApp], Any]
) -> None:
    with pytest.raises(errors.BadParameter) as caught:
        call(app)
    assert caught.value.errcode is None
    assert wecom.requests == []


def test_limits_in_characters_count_characters(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/remark", {})
    customers.remark(app, **PAIR, remark="备" * 20, description="注" * 150)
    wecom.on("externalcontact/add_contact_way", {"config_id": "c1", "qr_code": ""})
    contact_ways.add_single(app, userid="g" * 64, state="码" * 30, skip_verify=True, remark="备" * 30)
    assert [request.path for request in wecom.requests if request.path != "gettoken"] == [
        "externalcontact/remark", "externalcontact/add_contact_way",
    ]  # fmt: skip
