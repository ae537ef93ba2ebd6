"""The directory: ids for the contact sync, names for the self-built apps and what they see."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.records import SYNC as CONTACT_SYNC
from scrm.wecom.sandbox.records import Department, Member
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import APP, SYNC, endpoint

UNKNOWN_DEPARTMENT, INVISIBLE = 60123, 60011
ANSWER_ROWS = 20_000  # 45029 above


@endpoint("POST", "user/list_id", SYNC, reads=True)
def list_id(call: Call) -> dict[str, Any]:
    limit = call.page(default=10_000, most=10_000)
    rows = [
        {"userid": member.userid, "department": department}
        for member in call.world.staff()
        for department in member.departments
    ]
    page, cursor = call.paged(rows, limit)
    return {"next_cursor": cursor, "dept_user": page}


@endpoint("GET", "user/get", APP)
def user_get(call: Call) -> dict[str, Any]:
    return _detailed(call, call.member(invisible=60111))


@endpoint("GET", "user/simplelist", APP, SYNC)
def user_simplelist(call: Call) -> dict[str, Any]:
    return {"userlist": [_simple(call, member) for member in _members(call)]}


@endpoint("GET", "user/list", APP)
def user_list(call: Call) -> dict[str, Any]:
    return {"userlist": [_detailed(call, member) for member in _members(call)]}


@endpoint("POST", "user/getuserid", APP, reads=True)
def user_getuserid(call: Call) -> dict[str, Any]:
    mobile = call.text("mobile", missing=40058)
    return {"userid": _found(call, lambda member: member.mobile.removeprefix("+86") == mobile.removeprefix("+86"))}


@endpoint("POST", "user/get_userid_by_email", APP, reads=True)
def user_by_email(call: Call) -> dict[str, Any]:
    email = call.text("email", missing=40058)
    return {"userid": _found(call, lambda member: member.email.lower() == email.lower())}


@endpoint("POST", "user/convert_to_openid", APP, reads=True)
def user_openid(call: Call) -> dict[str, Any]:
    return {"openid": f"o{call.world.corp_id}-{call.member().key}"}


@endpoint("GET", "department/simplelist", APP, SYNC)
def department_simplelist(call: Call) -> dict[str, Any]:
    rows = [{"id": one.id, "parentid": one.parent_id, "order": one.order} for one in _departments(call)]
    return {"department_id": rows}


@endpoint("GET", "department/list", APP)
def department_list(call: Call) -> dict[str, Any]:
    return {"department": [_department(one) for one in _departments(call)]}


@endpoint("GET", "department/get", APP)
def department_get(call: Call) -> dict[str, Any]:
    return {"department": _department(_one_department(call, call.number("id")))}


def _members(call: Call) -> list[Member]:
    asked = _one_department(call, call.number("department_id"))
    wanted = call.world.below(asked.id) if call.number("fetch_child", 0) else {asked.id}
    found = [one for one in call.world.staff() if wanted & set(one.departments) and _sees(call, one)]
    if len(found) > ANSWER_ROWS:
        raise Refusal(45029)
    return found


def _sees(call: Call, member: Member) -> bool:
    return call.app.kind == CONTACT_SYNC or call.world.sees(call.app, member)


def _departments(call: Call) -> list[Department]:
    """What is visible, of the department ``id`` and below when it is given."""
    world = call.world
    visible = set(world.departments) if call.app.kind == CONTACT_SYNC else world.visible_departments(call.app)
    if call.has("id"):
        visible &= world.below(_one_department(call, call.number("id")).id)
    return [one for one in world.departments.values() if one.id in visible]


def _one_department(call: Call, number: int) -> Department:
    if number not in call.world.departments:
        raise Refusal(UNKNOWN_DEPARTMENT)
    if call.app.kind != CONTACT_SYNC and number not in call.world.visible_departments(call.app):
        raise Refusal(INVISIBLE)
    return call.world.departments[number]


def _department(one: Department) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "name_en": "", "department_leader": list(one.leaders),
        "parentid": one.parent_id, "order": one.order,
    }  # fmt: skip


def _simple(call: Call, member: Member) -> dict[str, Any]:
    if call.app.kind == CONTACT_SYNC:
        return {"userid": member.userid, "department": list(member.departments)}
    return {"userid": member.userid, "name": member.name, "department": list(member.departments)}


def _detailed(call: Call, member: Member) -> dict[str, Any]:
    row = {
        "userid": member.userid,
        "name": member.name,
        "department": list(member.departments),
        "order": [0] * len(member.departments),
        "position": member.position,
        "is_leader_in_dept": [int(one in member.leads) for one in member.departments],
        "direct_leader": list(member.direct_leaders),
        "telephone": "",
        "alias": member.alias,
        "status": member.status,
        "main_department": member.departments[0] if member.departments else 0,
        "extattr": {"attrs": []},
        "external_position": member.position,
    }
    if not call.app.hides_sensitive:
        row |= {
            "mobile": member.mobile, "gender": member.gender, "email": member.email, "biz_mail": "", "address": "",
            "avatar": "", "thumb_avatar": "", "qr_code": f"{call.world.base_url}/sandbox/card/{member.userid}",
        }  # fmt: skip
    return row


def _found(call: Call, matches: Any) -> str:
    for member in call.world.staff():
        if matches(member) and call.world.sees(call.app, member):
            return member.userid
    raise Refusal(46004)
