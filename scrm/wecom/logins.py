"""Logins (登录): who stands behind a code that a browser or the mini-program inside WeCom hands us.

1. A code holds for five minutes and works once, so an exchange whose answer is lost is not repeated: log in again.
2. A member outside the app's visible range still gets a member id: look into our own guides before letting anybody in.
3. Mobile number, e-mail and picture come only with the member's own consent, by a ticket of half an hour.
4. The session key of a mini-program login opens what WeChat encrypts for that session. Nothing here needs it: it is dropped
   with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlencode

from scrm.models import WecomApp
from scrm.wecom import bounds, client
from scrm.wecom.errors import BadParameter

AUTHORIZE = "https://open.weixin.qq.com/connect/oauth2/authorize"
CODE_BYTES, STATE_BYTES, TICKET_BYTES = 512, 128, 512

_VISITOR = client.spend("auth/getuserinfo")
_DETAILS = client.query("auth/getuserdetail")
_MINI_PROGRAM = client.spend("miniprogram/jscode2session")


@dataclass(frozen=True)
class Member:
    """``user_ticket`` only with private scope, for half an hour."""

    userid: str
    user_ticket: str = field(default="", repr=False)


@dataclass(frozen=True)
class Outsider:
    """Somebody who is no member; ``external_userid`` only for a customer of a member in the app's visible range."""

    openid: str = field(repr=False)
    external_userid: str = ""


@dataclass(frozen=True)
class Details:
    """What the member let us see; the rest is empty."""

    userid: str
    gender: str = ""
    mobile: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    biz_mail: str = field(default="", repr=False)
    avatar: str = field(default="", repr=False)
    qr_code: str = field(default="", repr=False)
    address: str = field(default="", repr=False)


@dataclass(frozen=True)
class MiniProgramMember:
    corp_id: str
    userid: str


def authorize_url(app: WecomApp, *, redirect_uri: str, state: str, is_private: bool = False) -> str:
    """Where a browser inside WeCom is sent; it comes back to ``redirect_uri`` with ``code`` and ``state``.

    The host must be the trusted domain of the app, port included. ``state``: up to 128 letters and digits.
    """
    path = _VISITOR.path
    bounds.utf8_bytes(path, "state", state, STATE_BYTES)
    if state and not (state.isascii() and state.isalnum()):
        raise BadParameter(path, detail="state")
    scope = "snsapi_privateinfo" if is_private else "snsapi_base"
    query = {
        "appid": app.corp.corp_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": scope,
        "agentid": app.agent_id,
        "state": state,
    }
    return f"{AUTHORIZE}?{urlencode(query)}#wechat_redirect"


def visitor(app: WecomApp, code: str) -> Member | Outsider:
    """Who came back with ``code``. CodeSpent when it is used or too old."""
    bounds.present(_VISITOR.path, "code", code)
    bounds.utf8_bytes(_VISITOR.path, "code", code, CODE_BYTES)
    answer = client.call(app, _VISITOR, {"code": code})
    if answer.get("userid"):
        return Member(answer["userid"], answer.get("user_ticket", ""))
    return Outsider(answer["openid"], answer.get("external_userid", ""))


def details(app: WecomApp, user_ticket: str) -> Details:
    """What the member behind a ticket lets us see. CodeSpent after half an hour."""
    bounds.present(_DETAILS.path, "user_ticket", user_ticket)
    bounds.utf8_bytes(_DETAILS.path, "user_ticket", user_ticket, TICKET_BYTES)
    answer = client.call(app, _DETAILS, {"user_ticket": user_ticket})
    given = {name: answer.get(name, "") for name in Details.__dataclass_fields__ if name != "userid"}
    return Details(answer["userid"], **given)


def mini_program(app: WecomApp, js_code: str) -> MiniProgramMember:
    """The member behind a code of ``wx.qy.login``; ``app`` is the one the mini-program is bound to.

    A code of ``wx.login``, inside WeChat, belongs to WeChat's own endpoint instead.
    """
    bounds.present(_MINI_PROGRAM.path, "js_code", js_code)
    bounds.utf8_bytes(_MINI_PROGRAM.path, "js_code", js_code, CODE_BYTES)
    answer = client.call(app, _MINI_PROGRAM, {"js_code": js_code, "grant_type": "authorization_code"})
    return MiniProgramMember(answer["corpid"], answer["userid"])
