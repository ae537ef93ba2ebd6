"""What is repeated, what is not, and that every scripted reply ends in an answer or a typed error."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.utils import translation

from scrm.errors import RuleViolation
from scrm.models import WecomApp
from scrm.wecom import client, contact_ways, customers, directory, errors, tags, transport
from tests.scrm.wecom.conftest import Raw, Request, Wecom, in_threads, refusal

TREE = "department/simplelist"
ADD_WAY = "externalcontact/add_contact_way"
MADE = {"config_id": "c1", "qr_code": "https://sandbox.local/qr/c1.png"}


def make_way(app: WecomApp) -> contact_ways.Made:
    return contact_ways.add_single(app, userid="guide_0001", state="a1f3k", skip_verify=True)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(code, kind) for kind, codes in errors.CODES.items() for code in codes if code not in client.TOKEN_CODES],
)
def test_every_number_has_its_class(wecom: Wecom, app: WecomApp, code: int, kind: type[errors.WecomError]) -> None:
    wecom.on(TREE, refusal(code))
    with pytest.raises(errors.WecomError) as caught:
        directory.department_tree(app)
    assert type(caught.value) is kind
    assert (caught.value.errcode, caught.value.endpoint) == (code, TREE)
    assert len(wecom.calls(TREE)) == (1 + client.RETRIES if kind is errors.Busy else 1)


def test_no_number_stands_twice_and_an_unknown_one_is_an_error_too() -> None:
    numbers = [code for codes in errors.CODES.values() for code in codes]
    assert len(numbers) == len(set(numbers))
    assert type(errors.of(99999, TREE)) is errors.WecomError


@pytest.mark.parametrize("kind", [errors.WecomError, *errors.CODES, errors.Unreachable, errors.Malformed])
def test_staff_read_chinese_and_never_wecoms_own_words(kind: type[errors.WecomError]) -> None:
    with translation.override("zh-hans"):
        error = kind(TREE, 60011)
    assert isinstance(error, RuleViolation)
    assert error.message.isprintable() and "企业微信" in error.message and "60011" in error.message
    assert error.extra["endpoint"] == TREE and error.code.startswith("wecom_")


def test_a_busy_answer_is_tried_again(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(ADD_WAY, refusal(-1), refusal(45035), MADE)
    assert make_way(app) == contact_ways.Made("c1", "https://sandbox.local/qr/c1.png")
    assert len(wecom.calls(ADD_WAY)) == 3


@pytest.mark.parametrize("answer", [Raw(500), Raw(502), Raw(200), Raw(200, b"[]"), Raw(200, b'{"ok": true}'), Raw(302)])
def test_a_lost_answer_is_asked_for_again_only_where_twice_is_once(wecom: Wecom, app: WecomApp, answer: Raw) -> None:
    wecom.on(TREE, answer, {"department_id": []})
    assert directory.department_tree(app) == []
    wecom.on(ADD_WAY, answer, MADE)
    with pytest.raises(errors.Unreachable) as caught:
        make_way(app)
    assert caught.value.may_be_done
    assert len(wecom.calls(ADD_WAY)) == 1


def test_a_redirect_is_not_followed(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(TREE, Raw(302, location="/cgi-bin/elsewhere"))
    with pytest.raises(errors.Unreachable):
        directory.department_tree(app)
    assert wecom.calls("elsewhere") == []


def test_a_silent_server_costs_the_timeout(wecom: Wecom, app: WecomApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_request: Request) -> dict[str, Any]:
        time.sleep(1.5)
        return MADE

    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.2)
    wecom.on(ADD_WAY, slow)
    started = time.monotonic()
    with pytest.raises(errors.Unreachable, match="ReadTimeout") as caught:
        make_way(app)
    assert time.monotonic() - started < 1.2
    assert caught.value.may_be_done


def test_nobody_at_the_address(wecom: Wecom, app: WecomApp, settings: Any) -> None:
    settings.WECOM_API_BASE = "http://127.0.0.1:9/cgi-bin/"
    with pytest.raises(errors.Unreachable) as caught:
        make_way(app)
    assert not caught.value.may_be_done  # not even a token


def test_a_body_that_wecom_read_in_part_is_an_error(wecom: Wecom, app: WecomApp) -> None:
    """errcode 0, and fields dropped."""
    wecom.on(TREE, {"errmsg": "ok. Warning: wrong json format. ", "department_id": []})
    with pytest.raises(errors.BadParameter):
        directory.department_tree(app)


def test_chinese_and_the_token_travel_as_documented(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/remark", {})
    customers.remark(app, userid="g1", external_userid="wm1", remark="晚风-南山店")
    (request,) = wecom.calls("externalcontact/remark")
    assert request.method == "POST"
    assert set(request.query) == {"access_token"}
    assert request.body == {"userid": "g1", "external_userid": "wm1", "remark": "晚风-南山店"}


def test_a_cursor_that_comes_back_ends_the_pages(wecom: Wecom, app: WecomApp) -> None:
    rows = [{"next_cursor": cursor, "dept_user": [{"userid": "a", "department": 1}]} for cursor in ("x", "y", "x", "y")]
    wecom.on("user/list_id", *rows)
    with pytest.raises(errors.Malformed):
        list(directory.places(app))
    assert len(wecom.calls("user/list_id")) == 3


def test_writes_on_one_pair_go_one_after_the_other(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    def slow(_request: Request) -> dict[str, Any]:
        time.sleep(0.05)
        return {}

    path = "externalcontact/mark_tag"
    wecom.on(path, slow)

    def mark(userid: str) -> None:
        tags.mark(app, userid=userid, external_userid="wm1", add=["et1"])

    assert in_threads(6, lambda n: mark("Guide_1" if n % 2 else "guide_1")) == [None] * 6  # ids are case-insensitive
    assert (len(wecom.calls(path)), wecom.most_at_once[path]) == (6, 1)
    in_threads(4, lambda n: mark(f"guide_{n}"))
    assert wecom.most_at_once[path] > 1
