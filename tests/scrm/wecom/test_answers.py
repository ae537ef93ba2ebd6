"""A field that WeCom documents and leaves out is told by its place, at whatever depth, and never by its content."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from scrm.models import WecomApp
from scrm.wecom import acquisition, contact_ways, customers, errors, groups, join_ways, tags
from tests.scrm.wecom.conftest import Wecom

LINK = {"link_id": "ca1", "link_name": "开业", "url": "https://work.weixin.qq.com/ca/1", "create_time": 1767225600}
WAY = {"config_id": "c1", "type": 1, "scene": 2, "remark": "r", "skip_verify": True, "state": "s", "qr_code": "q",
       "user": ["a"], "party": []}  # fmt: skip
MEMBER = {"userid": "wm1", "type": 2, "join_time": 1767225600, "join_scene": 3, "invitor": {"userid": "a"}}
GROUP = {"chat_id": "wr1", "name": "群", "owner": "a", "create_time": 1767225600, "member_list": [MEMBER],
         "admin_list": [{"userid": "a"}], "member_version": "v"}  # fmt: skip
PERSON = {"external_userid": "wm1", "name": "晚风", "type": 1, "gender": 2, "unionid": "oU1"}
FOLLOW = {"userid": "a", "remark": "", "createtime": 1767225600, "tags": [{"tag_id": "et1", "type": 1}], "add_way": 1}
TAG = {"group_id": "g1", "group_name": "口味", "create_time": 1767225600, "order": 1,
       "tag": [{"id": "et1", "name": "少糖", "create_time": 1767225600, "order": 1}]}  # fmt: skip
READ: list[tuple[str, dict[str, Any], Any]] = [
    ("externalcontact/customer_acquisition/create_link", {"link": LINK},
     lambda app: acquisition.create(app, name="开业", userids=["a"])),
    ("externalcontact/customer_acquisition/get", {"link": LINK, "range": {"user_list": ["a"]}},
     lambda app: acquisition.get(app, "ca1")),
    ("externalcontact/customer_acquisition_quota",
     {"total": 1, "balance": 1, "quota_list": [{"expire_date": 1767225600, "balance": 1}]}, acquisition.quota),
    ("externalcontact/customer_acquisition/customer",
     {"customer_list": [{"external_userid": "wm1", "userid": "a", "chat_status": 1, "state": "s"}], "next_cursor": ""},
     lambda app: list(acquisition.customers(app, "ca1"))),
    ("externalcontact/get_contact_way", {"contact_way": WAY}, lambda app: contact_ways.get(app, "c1")),
    ("externalcontact/groupchat/get_join_way", {"join_way": {"chat_id_list": ["wr1"]}},
     lambda app: join_ways.get(app, "c1")),
    ("externalcontact/groupchat/get", {"group_chat": GROUP}, lambda app: groups.get(app, "wr1")),
    ("externalcontact/get", {"external_contact": PERSON, "follow_user": [FOLLOW], "next_cursor": ""},
     lambda app: customers.get(app, "wm1")),
    ("externalcontact/get_corp_tag_list", {"tag_group": [TAG]}, lambda app: list(tags.groups(app))),
]  # fmt: skip


def without_one(value: Any) -> Iterator[tuple[Any, str]]:
    """Each answer that lacks one field, and the name of the field."""
    if isinstance(value, list):
        for place, one in enumerate(value):
            for less, name in without_one(one):
                yield [*value[:place], less, *value[place + 1 :]], name
    if isinstance(value, dict):
        for key, one in value.items():
            yield {name: kept for name, kept in value.items() if name != key}, key
            for less, name in without_one(one):
                yield {**value, key: less}, name


@pytest.mark.parametrize(("path", "answer", "ask"), READ, ids=[path for path, *_more in READ])
def test_any_field_may_be_missing(wecom: Wecom, app: WecomApp, path: str, answer: dict[str, Any], ask: Any) -> None:
    """The value with a default, or Malformed that names the endpoint and the field; nothing else."""
    said: dict[str, Any] = {}
    wecom.on(path, lambda request: copy.deepcopy(said))
    said.update(answer)
    assert ask(app) is not None
    for less, name in without_one(answer):
        said.clear()
        said.update(less)
        error = refused(ask, app)
        if error is not None:
            assert error.endpoint == path and name in error.message
            assert "晚风" not in error.message and "ca/1" not in error.message


def refused(ask: Any, app: WecomApp) -> errors.Malformed | None:
    try:
        ask(app)
    except errors.Malformed as error:
        return error
    return None


def test_the_place_of_a_missing_field_is_told(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/customer_acquisition/create_link", {"link": {"link_id": "ca1"}})
    with pytest.raises(errors.Malformed, match=r"link\.url"):
        acquisition.create(app, name="开业", userids=["a"])
