"""What the fields of WeCom's answers are (字段): one table by name, for every endpoint.

1. A field that we read is text, a number, a moment, a yes or no, an object, or a list of one of these. What is something
   else does not fit: the answer is Malformed, whichever method asked for it. It is looked at when it is read: what nobody
   reads may be anything.
2. Null is a field left out. WeCom writes numbers as digits at places, and a moment that has not come as nothing or 0.
3. A name that means another thing elsewhere is told by what stands around it: the field that holds it, or the endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

LAST_MOMENT = 10**11  # seconds: what lies behind no calendar knows


class DoesNotFit(Exception):
    """The value is of another kind."""


def text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise DoesNotFit


def number(value: Any) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value)
    raise DoesNotFit


def spelled(value: Any) -> str:
    """Digits as text; WeCom writes the gender of a member so, and a number elsewhere."""
    return str(value) if isinstance(value, int) else text(value)


def moment(value: Any) -> int:
    """Seconds, since 1970 or from now."""
    seconds = number(value or 0) if isinstance(value, str | int) else number(value)
    if 0 <= seconds <= LAST_MOMENT:
        return seconds
    raise DoesNotFit


def flag(value: Any) -> bool:
    return bool(number(value))


def ratio(value: Any) -> float:
    return value if isinstance(value, float) else number(value)


def thing(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise DoesNotFit


def each(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A list of what ``kind`` takes."""

    def read(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [kind(one) for one in value]
        raise DoesNotFit

    return read


Kind = Callable[[Any], Any]
texts, numbers, things = each(text), each(number), each(thing)
_NAMES: dict[Kind, str] = {
    text: """access_token address appid avatar biz_mail chat_id chat_key config_id content corp_name corpid creator desc
        description email external_userid follow_userid group_id group_name group_nickname handover_userid id invalidparty
        invalidtag invaliduser jobid link_id link_name media_id member_version mobile moment_id msgid msgtype name
        next_cursor notice openid oper_userid owner page pic_media_id pic_url picurl position qr_code remark
        response_code room_base_name state tag_id tag_name template_id ticket title tmp_openid unionid unlicenseduser url
        user_ticket userid""",
    number: """add_way balance chat_cnt chat_has_msg chat_status chat_total click_link_customer_cnt create_type errcode
        gender join_scene main_department member_has_msg member_total message_cnt msg_total
        negative_feedback_cnt new_apply_cnt new_chat_cnt new_contact_cnt new_customer_cnt new_member_cnt next_offset order
        parentid recv_msg_cnt room_base_id scene source status total type""",
    moment: """add_time create_time created_at createtime dimission_time expire_date expires_in join_time send_time stat_time
        takeover_time""",
    ratio: "avg_reply_time reply_percentage",
    flag: "auto_create_room deleted is_customer is_last publish_status skip_verify visible_type",
    thing: """chat_info data external_contact file follow_info group_chat image invalid_external_contact_list
        invalid_sender_list invitor join_way link miniprogram range result text video wechat_channels""",
    texts: """chat_id_list department_leader direct_leader fail_list link_id_list remark_mobiles tag_list user user_list""",
    numbers: "department department_list is_leader_in_dept party",
    things: """admin_list attachments behavior_data comment_list contact_way customer customer_list dept_user
        external_contact_list failed_chat_list follow_user group_chat_list group_msg_list info info_list items like_list
        member_list moment_list quota_list send_list tag tag_group tags task_list userlist""",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_AROUND: dict[str, dict[str, Kind]] = {
    "auth/getuserdetail": {"gender": spelled},
    "department/get": {"department": thing},
    "department/simplelist": {"department_id": things},
    "externalcontact/add_corp_tag": {"tag_group": thing},
    "externalcontact/get_contact_way": {"contact_way": thing},
    "externalcontact/get_follow_user_list": {"follow_user": texts},
    "externalcontact/list": {"external_userid": texts},
    "media/upload": {"type": text},
    "media/upload_attachment": {"type": text},
    "message/update_template_card": {"invaliduser": texts},
    "department": {"id": number},
    "department_id": {"id": number},
    "dept_user": {"department": number},
    "follow_info": {"tag_id": texts},
    "follow_user": {"tag_id": texts},
}


@lru_cache(maxsize=1024)
def around(path: str, place: str) -> dict[str, Kind]:
    """The kinds by name in the object at ``place`` of an answer: "" for the answer itself, or ``link.`` for one inside."""
    holder = place.rstrip(".").rpartition(".")[2] if place else path
    return {**_KINDS, **_AROUND.get(holder, {})}
