"""Who stands behind a code (``visitors``), and the tickets with which pages are signed."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import visitors
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import APP, MP, endpoint

TICKET_SECONDS = 1800
HOUR = 3600
SIGNING_SECONDS = 7200
CORP_TICKETS = 4  # a corp may fetch so many times as many as an app
BAD_CODE, OLD_CODE, USED_CODE, OLD_TICKET, BAD_TICKET, BAD_TYPE = 40029, 42003, 42022, 84014, 84015, 91040


@endpoint("GET", "auth/getuserinfo", APP)
def visitor(call: Call) -> dict[str, Any]:
    """A member is named even when the app does not see her."""
    world, known = call.world, _spent(call, "code", visitors.PAGE)
    if "userid" in known:
        member = world.member(known["userid"])
        if member is None:
            raise Refusal(BAD_CODE)
        answer = {"userid": member.userid}
        if known.get("is_private") and world.sees(call.app, member):
            answer["user_ticket"] = world.new_id("TICKET", 60)
            until = world.clock.now() + TICKET_SECONDS
            tickets = world.more.setdefault("user_tickets", {})
            tickets[answer["user_ticket"]] = {"userid": member.key, "until": until}
        return answer
    contact = world.contacts[known["external_userid"]]
    seen = any((one := world.member(key)) is not None and world.sees(call.app, one) for key in contact.followers)
    return {"openid": f"o-{contact.external_userid}"} | ({"external_userid": contact.external_userid} if seen else {})


@endpoint("POST", "auth/getuserdetail", APP, reads=True)
def details(call: Call) -> dict[str, Any]:
    known = call.world.more.get("user_tickets", {}).get(call.text("user_ticket", missing=BAD_TICKET))
    member = call.world.member(known["userid"]) if known else None
    if known is None or member is None:
        raise Refusal(BAD_TICKET)
    if known["until"] <= call.world.clock.now():
        raise Refusal(OLD_TICKET)
    return {
        "userid": member.userid, "gender": member.gender, "avatar": "", "qr_code": "", "mobile": member.mobile,
        "email": member.email, "biz_mail": "", "address": "",
    }  # fmt: skip


@endpoint("GET", "miniprogram/jscode2session", MP)
def jscode2session(call: Call) -> dict[str, Any]:
    if call.text("grant_type") != "authorization_code":
        raise Refusal(40058)
    member = call.world.member(_spent(call, "js_code", visitors.MINI_PROGRAM)["userid"])
    if member is None:
        raise Refusal(BAD_CODE)
    return {"corpid": call.world.corp_id, "userid": member.userid, "session_key": call.world.new_id("", 24)}


@endpoint("GET", "get_jsapi_ticket", APP)
def corp_ticket(call: Call) -> dict[str, Any]:
    return _ticket(call, "corp", call.world.quotas.tickets_per_hour * CORP_TICKETS)


@endpoint("GET", "ticket/get", APP)
def app_ticket(call: Call) -> dict[str, Any]:
    if call.text("type") != "agent_config":
        raise Refusal(BAD_TYPE)
    return _ticket(call, f"app {call.app.agent_id}", call.world.quotas.tickets_per_hour)


def _ticket(call: Call, owner: str, most: int) -> dict[str, Any]:
    """The same until it expires; every fetch counts."""
    world, now = call.world, call.world.clock.now()
    counts = world.more.setdefault("ticket_fetches", {})
    window = f"{owner} {int(now // HOUR)}"
    if counts.get(window, 0) >= most:
        raise Refusal(45009)
    world.more["ticket_fetches"] = {one: count for one, count in counts.items() if not one.startswith(f"{owner} ")}
    world.more["ticket_fetches"][window] = counts.get(window, 0) + 1
    known = world.more.setdefault("tickets", {}).get(owner)
    if known is None or known["until"] <= now:
        known = {"ticket": world.new_id("jsapi", 80), "until": now + SIGNING_SECONDS}
        world.more["tickets"][owner] = known
    return {"ticket": known["ticket"], "expires_in": max(1, int(known["until"] - now))}


def _spent(call: Call, name: str, kind: str) -> dict[str, Any]:
    known = call.world.more.get("login_codes", {}).get(call.text(name, missing=BAD_CODE))
    if known is None or known["kind"] != kind:
        raise Refusal(BAD_CODE)
    if known["is_used"]:
        raise Refusal(USED_CODE)
    if known["until"] <= call.world.clock.now():
        raise Refusal(OLD_CODE)
    known["is_used"] = True
    return dict(known)
