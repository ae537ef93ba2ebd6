"""Welcome messages: within twenty seconds of the event, once, by whichever app comes first."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox import content
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.records import Sent
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import CC, endpoint

NO_CODE, BAD_CODE, CHATTING, BEING_SENT = 41049, 41050, 41051, 41096


def _code(call: Call) -> str:
    return str(call.values.get("welcome_code", ""))


@endpoint("POST", "externalcontact/send_welcome_msg", CC, record=_code, overlap=BEING_SENT)
def send_welcome_msg(call: Call) -> dict[str, Any]:
    world = call.world
    code = call.text("welcome_code", missing=NO_CODE)
    said = content.of(call)
    known = world.welcome_codes.get(code)
    if known is None or world.clock.now() > known.at + world.quotas.welcome_seconds:
        raise Refusal(BAD_CODE)
    member = world.members.get(known.userid)
    if member is None or not world.sees(call.app, member):
        raise Refusal(60011)
    follow = member.follows.get(known.external_userid)
    if known.is_used or (follow is not None and follow.chatted_at > known.at):
        raise Refusal(CHATTING)
    known.is_used = True
    world.sent.append(Sent("welcome", world.clock.epoch(), known.userid, known.external_userid, said))
    return {}
