"""Who is behind a code, and with what a page is signed."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scrm.models import WecomApp, WecomTicket
from scrm.wecom import corps, errors, js_sdk, logins
from tests.conftest import Role
from tests.scrm.wecom.conftest import CORP_ID, SECRET, Raw, Wecom, in_threads, refusal

VISITOR, MINI = "auth/getuserinfo", "miniprogram/jscode2session"
CORP, AGENT = "get_jsapi_ticket", "ticket/get"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
URL = "https://scrm.example.com/g/tasks?a=1#b"


# ---- logins ----


def test_a_member_and_an_outsider_come_back_with_a_code(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(
        VISITOR,
        {"userid": "guide_0001", "user_ticket": "TICKET"},
        {"openid": "oABC", "external_userid": "wmScrmA1"},
        {"openid": "oABC"},
        refusal(40029),
    )
    member = logins.visitor(app, "code1")
    assert member == logins.Member("guide_0001", "TICKET") and "TICKET" not in repr(member)
    outsider = logins.visitor(app, "code2")
    assert outsider == logins.Outsider("oABC", "wmScrmA1") and "oABC" not in repr(outsider)
    assert logins.visitor(app, "code3") == logins.Outsider("oABC")
    with pytest.raises(errors.CodeSpent):
        logins.visitor(app, "code1")
    assert [request.method for request in wecom.calls(VISITOR)] == ["GET"] * 4
    assert wecom.calls(VISITOR)[0].query["code"] == "code1"


def test_a_code_is_not_spent_twice_after_a_lost_answer(wecom: Wecom, app: WecomApp) -> None:
    for path, call in ((VISITOR, logins.visitor), (MINI, logins.mini_program)):
        wecom.on(path, Raw(502), {"userid": "g1", "corpid": CORP_ID})
        with pytest.raises(errors.Unreachable):
            call(app, "code")
        assert len(wecom.calls(path)) == 1


def test_what_a_member_lets_us_see(wecom: Wecom, app: WecomApp) -> None:
    answer = {"userid": "guide_0001", "gender": "2", "mobile": "13800000001", "email": "", "avatar": "https://a/1"}
    wecom.on("auth/getuserdetail", answer, refusal(84014))
    details = logins.details(app, "TICKET")
    assert details == logins.Details("guide_0001", "2", mobile="13800000001", avatar="https://a/1")
    assert "13800000001" not in repr(details) and "https://a/1" not in repr(details)
    assert wecom.bodies("auth/getuserdetail") == [{"user_ticket": "TICKET"}]
    with pytest.raises(errors.CodeSpent):
        logins.details(app, "TICKET")


def test_the_session_key_of_a_mini_program_goes_no_further(
    wecom: Wecom, app: WecomApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wecom.on(MINI, {"corpid": CORP_ID, "userid": "guide_0001", "session_key": "SESSION-KEY"})
    member = logins.mini_program(app, "js-code")
    assert member == logins.MiniProgramMember(CORP_ID, "guide_0001")
    assert "SESSION-KEY" not in str(vars(member)) + caplog.text
    query = wecom.calls(MINI)[0].query
    assert (query["js_code"], query["grant_type"]) == ("js-code", "authorization_code")


def test_where_a_browser_is_sent_to_log_in(app: WecomApp) -> None:
    url = logins.authorize_url(
        app, redirect_uri="https://scrm.example.com:8443/in?x=1", state="abc123", is_private=True
    )
    assert url == (
        f"https://open.weixin.qq.com/connect/oauth2/authorize?appid={CORP_ID}"
        "&redirect_uri=https%3A%2F%2Fscrm.example.com%3A8443%2Fin%3Fx%3D1&response_type=code&scope=snsapi_privateinfo"
        "&agentid=1000014&state=abc123#wechat_redirect"
    )
    assert "scope=snsapi_base&" in logins.authorize_url(app, redirect_uri="https://x", state="")


BROKEN: list[Callable[[WecomApp], Any]] = [
    lambda app: logins.visitor(app, ""),
    lambda app: logins.visitor(app, "c" * 513),
    lambda app: logins.details(app, ""),
    lambda app: logins.mini_program(app, ""),
    lambda app: logins.authorize_url(app, redirect_uri="https://x", state="a" * 129),
    lambda app: logins.authorize_url(app, redirect_uri="https://x", state="a/b"),
    lambda app: js_sdk.for_app(app, "", now=NOW),
]


@pytest.mark.parametrize("call", BROKEN)
def test_what_breaks_a_documented_limit_is_never_sent(
    wecom: Wecom, app: WecomApp, call: Callable[[WecomApp], Any]
) -> None:
    with pytest.raises(errors.BadParameter) as caught:
        call(app)
    assert caught.value.errcode is None
    assert wecom.requests == []


# ---- tickets and signatures ----

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())["jssdk"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_the_known_signatures(vector: dict[str, str]) -> None:
    values = {"nonce": vector["noncestr"], "timestamp": vector["timestamp"]}
    assert js_sdk.sign(vector["jsapi_ticket"], url=vector["url"], **values) == vector["signature"]
    assert js_sdk.sign(vector["jsapi_ticket"], url=vector["url"] + "#there", **values) == vector["signature"]


def tickets(wecom: Wecom) -> None:
    wecom.on(CORP, lambda _: {"ticket": f"corp-{len(wecom.calls(CORP))}", "expires_in": 7200})
    wecom.on(AGENT, lambda _: {"ticket": f"app-{len(wecom.calls(AGENT))}", "expires_in": 7200})


def test_corp_and_app_sign_with_their_own_tickets(wecom: Wecom, app: WecomApp) -> None:
    tickets(wecom)
    corp, agent = js_sdk.for_corp(app, URL, now=NOW), js_sdk.for_app(app, URL, now=NOW)
    assert (corp.corp_id, corp.agent_id, agent.agent_id, corp.timestamp) == (CORP_ID, None, 1000014, 1767225600)
    for signature, ticket in ((corp, "corp-1"), (agent, "app-1")):
        plain = js_sdk.sign(ticket, nonce=signature.nonce, timestamp=1767225600, url=URL.partition("#")[0])
        assert signature.signature == plain
    assert js_sdk.for_app(app, URL, now=NOW).nonce != agent.nonce
    assert len(wecom.calls(CORP)) == len(wecom.calls(AGENT)) == 1
    assert wecom.calls(AGENT)[0].query["type"] == "agent_config"


def test_apps_of_one_corp_have_their_own_tickets(wecom: Wecom, app: WecomApp) -> None:
    tickets(wecom)
    wecom.secrets["other-secret"] = CORP_ID
    other = corps.add_app(
        actor=None, corp=app.corp, kind="SELF_BUILT", name="任务", agent_id=1000015, secret="other-secret"
    )
    assert js_sdk.ticket(app, "APP") == "app-1"
    assert js_sdk.ticket(other, "APP") == "app-2"


def test_many_threads_cause_one_fetch_of_a_ticket(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    tickets(wecom)
    wecom.token_delay = 0.2  # all of them arrive while the first one asks
    assert in_threads(8, lambda _n: js_sdk.ticket(app, "APP")) == ["app-1"] * 8
    assert len(wecom.calls(AGENT)) == 1


def test_a_ticket_serves_until_a_minute_before_its_end_and_dies_with_the_secret(wecom: Wecom, app: WecomApp) -> None:
    tickets(wecom)
    js_sdk.ticket(app, "APP")
    WecomTicket.objects.update(expires_at=timezone.now() + dt.timedelta(seconds=59))
    assert js_sdk.ticket(app, "APP") == "app-2"
    corps.replace_secret(actor=None, app=app, secret=SECRET, reason="重置")
    assert js_sdk.ticket(app, "APP") == "app-3"


def test_after_a_refusal_nobody_asks_for_a_minute(wecom: Wecom, app: WecomApp) -> None:
    """A page that cannot be signed is opened again and again; an app may fetch a hundred tickets an hour."""
    wecom.on(AGENT, refusal(48002), {"ticket": "t", "expires_in": 7200})
    for _n in range(5):
        with pytest.raises(errors.NoPermission) as caught:
            js_sdk.ticket(app, "APP")
        assert caught.value.errcode == 48002
    assert len(wecom.calls(AGENT)) == 1
    WecomTicket.objects.update(paused_until=timezone.now())
    assert js_sdk.ticket(app, "APP") == "t"


def test_an_answer_without_a_ticket_is_malformed(wecom: Wecom, app: WecomApp) -> None:
    wecom.on(CORP, {"expires_in": 7200})
    with pytest.raises(errors.Malformed):
        js_sdk.ticket(app, "CORP")


def test_tickets_lie_sealed_and_the_application_role_may_write_them(
    wecom: Wecom, app: WecomApp, app_role: Role
) -> None:
    tickets(wecom)
    with app_role():
        assert js_sdk.ticket(app, "APP") == "app-1"
    with connection.cursor() as cursor:
        cursor.execute("SELECT ticket_sealed FROM scrm_wecomticket")
        ((sealed,),) = cursor.fetchall()
    assert b"app-1" not in bytes(sealed)
