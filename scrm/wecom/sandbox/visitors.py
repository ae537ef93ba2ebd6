"""Logins (登录) as people do them: a code for a page or a mini-program inside WeCom, good once and for five minutes."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox.people import Impossible, contact_of, member_of
from scrm.wecom.sandbox.registry import Field, act
from scrm.wecom.sandbox.world import World

CODE_SECONDS = 300
PAGE, MINI_PROGRAM = "page", "mini"


@act(
    "login_code",
    "员工打开应用网页（得到 code）",
    Field("userid", "员工", "member"),
    Field("is_private", "同意提供敏感信息", "flag", is_optional=True),
    group="登录",
)
def of_member(world: World, userid: str, is_private: bool = False) -> str:
    with world.lock:
        member_of(world, userid)
        return _code(world, PAGE, userid=userid.lower(), is_private=is_private)


@act("login_code_customer", "客户打开应用网页（得到 code）", Field("external_userid", "客户", "contact"), group="登录")
def of_contact(world: World, external_userid: str) -> str:
    with world.lock:
        return _code(world, PAGE, external_userid=contact_of(world, external_userid).external_userid)


@act("mini_code", "员工打开小程序（得到 js_code）", Field("userid", "员工", "member"), group="登录")
def of_mini_program(world: World, userid: str) -> str:
    with world.lock:
        member_of(world, userid)
        return _code(world, MINI_PROGRAM, userid=userid.lower())


def _code(world: World, kind: str, **who: Any) -> str:
    if not who:
        raise Impossible("没有这个人")
    codes = world.more.setdefault("login_codes", {})
    now = world.clock.now()
    for old in [one for one, known in codes.items() if known["until"] < now - CODE_SECONDS]:
        del codes[old]
    code = world.new_id("CODE", 40)
    codes[code] = {"kind": kind, "until": now + CODE_SECONDS, "is_used": False, **who}
    return code
