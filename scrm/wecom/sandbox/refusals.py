"""How the sandbox says no: WeCom's number and a text that nobody should match on."""

from __future__ import annotations

import itertools
import secrets
import time

TEXTS = {
    -1: "system busy",
    40001: "invalid credential",
    40003: "invalid userid",
    40007: "invalid media_id",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40029: "invalid code",
    40031: "invalid userid list",
    40032: "invalid userid list size",
    40050: "invalid chat id",
    40056: "invalid agentid",
    40058: "invalid Request Parameter",
    40063: "some parameters are empty",
    40066: "invalid department list",
    40068: "invalid tagid",
    40071: "tag name already exists",
    40096: "invalid external userid",
    40097: "the handover user has not resigned or resigned too long ago",
    40098: "user is not real-name verified",
    40099: "takeover user reached the customer limit",
    40100: "customer is in transfer",
    40126: "corp tag number over limit",
    40128: "customer transferred too often",
    40129: "customer is in transfer",
    40130: "handover and takeover are the same user",
    40131: "handover user is not the follower",
    40144: "too many tags on the customer",
    40206: "request body too large",
    41001: "access_token missing",
    41002: "corpid missing",
    41004: "corpsecret missing",
    41009: "userid missing",
    41035: "external_userid missing",
    41041: "too many users of a contact way",
    41042: "invalid style",
    41043: "config_id missing",
    41044: "invalid config_id",
    41045: "contact way number over limit",
    41046: "msgid missing",
    41047: "invalid msgid",
    41048: "no customer to send to",
    41050: "invalid welcome code",
    41051: "externaluser has started chatting",
    41054: "user is not activated",
    41055: "group welcome template number over limit",
    41058: "template of another app",
    41060: "invalid moment_id",
    41061: "moment of another user",
    41062: "moment not published by this user",
    41063: "message is being dispatched",
    41064: "too many attachments",
    41065: "invalid attachment type",
    41067: "not a corp moment",
    41072: "media of another upload scene",
    41079: "moment is being dispatched",
    41091: "too many chats",
    41093: "message was cancelled",
    41094: "reminded too often",
    41095: "too many links",
    41096: "welcome msg is being distributed",
    41210: "moments over limit of the month",
    42001: "access_token expired",
    42003: "code expired",
    42022: "code was used",
    45009: "api freq out of limit",
    45033: "api concurrent out of limit",
    45035: "concurrent write on the same record",
    46004: "user not exist",
    48001: "api unauthorized",
    48002: "api forbidden",
    48005: "api has been retired",
    48009: "contact sync from this ip gets ids only",
    50003: "app disabled",
    50100: "invalid cursor",
    60003: "department not found",
    60011: "no privilege to access/modify contact/party/agent",
    60020: "not allow to access from your ip",
    60111: "userid not found",
    60123: "invalid party id",
    81011: "no privilege to edit the tag",
    81013: "user & party & tag all invalid",
    81017: "too many users",
    84061: "not external contact",
    84074: "no external contact privilege",
    84084: "user is not a follower",
    86003: "chat does not exist",
    90500: "the owner of the chat has not resigned",
    90501: "not an external chat",
    301002: "agentid does not belong to this token",
}

_numbers = itertools.count(1)


class Refusal(Exception):
    """Raised by an endpoint; ``extra`` goes into the answer beside the code."""

    def __init__(self, code: int, text: str = "", **extra: object) -> None:
        super().__init__(code)
        self.code, self.extra = code, extra
        self.text = text or TEXTS.get(code, "refused")


def message(code: int, text: str, ip: str) -> str:
    """The errmsg in WeCom's shape, different each time."""
    hint = f"{int(time.time())}_{next(_numbers)}_{secrets.token_hex(16)}"
    return f"{text}, hint: [{hint}], from ip: {ip}, more info at https://open.work.weixin.qq.com/devtool/query?e={code}"
