"""App messages: to members, departments and tags in the app's visible range; who cannot be reached is named.

More than 30 a minute or 1,000 an hour to one member vanish, and so does the same message again within its interval.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from scrm.wecom.sandbox import messages
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.records import ACTIVE, MINI, AppMessage
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import APP, endpoint
from scrm.wecom.sandbox.world import World

DAY = 86_400
USERS, PARTIES, TAGS = 1000, 100, 100
TEXT_BYTES, URL_BYTES, TITLE_CHARS, DESCRIPTION_CHARS, BUTTON_CHARS = 2048, 2048, 128, 512, 4
ARTICLES, FACTS, JUMPS, BUTTONS = 8, 6, 3, 6
NOTICE_CHARS, NOTICE_ITEMS, NOTICE_KEY, NOTICE_VALUE = (4, 12), 10, 10, 30
INTERACTIVE = ("button_interaction", "vote_interaction", "multiple_interaction")
CARDS = ("text_notice", "news_notice", *INTERACTIVE)
KINDS = (
    "text", "image", "voice", "video", "file", "textcard", "news", "mpnews", "markdown", "miniprogram_notice",
    "template_card",
)  # fmt: skip
KEPT_MESSAGES = 5_000
NOT_OURS, NOBODY, BAD_KIND, NO_TEXT, NO_TITLE, NO_DESCRIPTION, NO_URL = 301002, 81013, 40008, 44004, 41016, 41033, 41010
BAD_ARTICLES, BAD_CARD, NO_CALLBACK, BAD_TASK, NO_ACTION, NO_BUTTON = 45008, 42031, 43012, 42014, 42045, 42038
BAD_NOTICE, TOO_LATE, BAD_CODE = 90203, 42052, 42016


@endpoint("POST", "message/send", APP)
def send(call: Call) -> dict[str, Any]:
    world = call.world
    said = _content(call)
    kind = said["msgtype"]
    _require_app(call, kind)
    found, invalid = _recipients(call, is_notice=kind == "miniprogram_notice")
    if not found:
        raise Refusal(NOBODY)
    message = AppMessage(world.new_id("appmsg", 40), call.app.agent_id, world.clock.now(), tuple(found), said)
    if not _is_repeated(call, message):
        message.to = tuple(key for key in found if _has_room(world, call.app.agent_id, key))
        world.app_messages[message.msgid] = message
        while len(world.app_messages) > KEPT_MESSAGES:
            del world.app_messages[next(iter(world.app_messages))]
        messages.deliver(world, message)
    answer = {**{name: "|".join(values).lower() for name, values in invalid.items()}, "unlicenseduser": ""}
    answer["msgid"] = message.msgid
    if kind == "template_card" and said["template_card"]["card_type"] in INTERACTIVE:
        answer["response_code"] = world.new_id("RC", 40)
        until = world.clock.now() + messages.CODE_SECONDS
        world.more.setdefault("response_codes", {})[answer["response_code"]] = {"msgid": message.msgid, "until": until}
    return answer


@endpoint("GET", "agent/get", APP)
def agent(call: Call) -> dict[str, Any]:
    """What the console says of the app: who sees it, whether it is switched off."""
    app = call.app
    if call.number("agentid") != app.agent_id:
        raise Refusal(NOT_OURS)
    departments = [1] if app.visible_departments is None else list(app.visible_departments)
    return {
        "agentid": app.agent_id,
        "name": app.name,
        "close": int(app.is_disabled),
        "allow_userinfos": {"user": [{"userid": userid} for userid in app.visible_userids]},
        "allow_partys": {"partyid": departments},
        "allow_tags": {"tagid": []},
    }


@endpoint("POST", "message/recall", APP)
def recall(call: Call) -> dict[str, Any]:
    message = call.world.app_messages.get(call.text("msgid", missing=40058))
    if message is None or message.agent_id != call.app.agent_id:
        raise Refusal(40058)
    if message.at < call.world.clock.now() - DAY:
        raise Refusal(TOO_LATE)
    message.is_recalled = True
    return {}


@endpoint("POST", "message/update_template_card", APP)
def update_template_card(call: Call) -> dict[str, Any]:
    """A response code serves once, within 72 hours."""
    world, code = call.world, call.text("response_code", missing=BAD_CODE)
    if call.number("agentid") != call.app.agent_id:
        raise Refusal(NOT_OURS)
    if not call.text("replace_name", of=call.object("button")) and not call.has("template_card"):
        raise Refusal(NO_BUTTON)
    known = world.more.get("response_codes", {}).pop(code, None)
    message = world.app_messages.get(known["msgid"]) if known and known["until"] > world.clock.now() else None
    if message is None:
        raise Refusal(BAD_CODE)
    message.is_changed = True
    named = call.texts("userids")
    return {"invaliduser": [one for one in named if one.lower() not in message.to]}


def _require_app(call: Call, kind: str) -> None:
    """A mini-program's notice names no agent and needs the mini-program's app; any other names its own."""
    if kind == "miniprogram_notice":
        if call.app.kind != MINI:
            raise Refusal(48002)
    elif call.number("agentid") != call.app.agent_id:
        raise Refusal(NOT_OURS)


def _recipients(call: Call, *, is_notice: bool) -> tuple[list[str], dict[str, list[str]]]:
    world = call.world
    users, parties, tags = (
        [one for one in call.text(name).split("|") if one] for name in ("touser", "toparty", "totag")
    )  # fmt: skip
    if len(users) > USERS or len(parties) > PARTIES or len(tags) > TAGS:
        raise Refusal(40058)
    seen = {one.key: one for one in world.staff() if world.sees(call.app, one) and one.status == ACTIVE}
    if users == ["@all"] and not is_notice:
        return list(seen), {"invaliduser": [], "invalidparty": [], "invalidtag": []}
    visible = world.visible_departments(call.app)
    good = [int(one) for one in parties if one.isdecimal() and int(one) in visible]
    below = set().union(*(world.below(one) for one in good))
    found = [one.lower() for one in users if one.lower() in seen]
    found += [key for key, one in seen.items() if below & set(one.departments)]
    invalid = {
        "invaliduser": [one for one in users if one.lower() not in seen],
        "invalidparty": [one for one in parties if not one.isdecimal() or int(one) not in visible],
        "invalidtag": tags,  # there are no tags of members here
    }
    return list(dict.fromkeys(found)), invalid


def _is_repeated(call: Call, message: AppMessage) -> bool:
    if not call.number("enable_duplicate_check", 0):
        return False
    seconds = call.number("duplicate_check_interval", 1800, low=0, high=14_400)
    same = json.dumps([message.agent_id, sorted(message.to), message.content], sort_keys=True)
    digest = hashlib.sha256(same.encode()).hexdigest()
    known = call.world.more.setdefault("same_messages", {})
    is_again = known.get(digest, 0) > call.world.clock.now() - seconds
    if not is_again:
        known[digest] = call.world.clock.now()
    return is_again


def _has_room(world: World, agent_id: int | None, key: str) -> bool:
    """Whether the member still gets messages of the app; counted by minutes and hours of the clock."""
    quotas, now = world.quotas, world.clock.epoch()
    counts = world.more.setdefault("messages", {})
    windows = {
        f"{agent_id} {key} m {now // 60}": quotas.messages_per_minute,
        f"{agent_id} {key} h {now // 3600}": quotas.messages_per_hour,
    }
    if any(counts.get(window, 0) >= most for window, most in windows.items()):
        return False
    if len(counts) > 20_000:
        counts.clear()
    for window in windows:
        counts[window] = counts.get(window, 0) + 1
    return True


def _content(call: Call) -> dict[str, Any]:
    kind = call.text("msgtype")
    if kind not in KINDS:
        raise Refusal(BAD_KIND)
    part = call.object(kind)
    if kind in ("text", "markdown"):
        text = call.text("content", of=part, missing=NO_TEXT)
        return {"msgtype": kind, kind: {"content": text.encode()[:TEXT_BYTES].decode(errors="ignore")}}
    checks = {"textcard": _check_textcard, "news": _check_news, "miniprogram_notice": _check_notice,
              "template_card": _check_card}  # fmt: skip
    if kind in checks:
        checks[kind](call, part)
    return {"msgtype": kind, kind: part}


def _check_textcard(call: Call, part: dict[str, Any]) -> None:
    call.text("title", of=part, missing=NO_TITLE, chars=TITLE_CHARS)
    call.text("description", of=part, missing=NO_DESCRIPTION, chars=DESCRIPTION_CHARS)
    call.text("url", of=part, missing=NO_URL, size=URL_BYTES)
    call.text("btntxt", of=part, chars=BUTTON_CHARS)


def _check_news(call: Call, part: dict[str, Any]) -> None:
    articles = call.objects("articles", of=part)
    if not 1 <= len(articles) <= ARTICLES:
        raise Refusal(BAD_ARTICLES)
    for one in articles:
        call.text("title", of=one, missing=NO_TITLE)


def _check_notice(call: Call, part: dict[str, Any]) -> None:
    call.text("appid", of=part, missing=90200)
    low, high = NOTICE_CHARS
    for name in ("title", "description"):
        text = call.text(name, of=part)
        if (text or name == "title") and not low <= len(text) <= high:
            raise Refusal(BAD_NOTICE)
    items = call.objects("content_item", of=part, most=NOTICE_ITEMS, code=BAD_NOTICE)
    for one in items:
        call.text("key", of=one, chars=NOTICE_KEY, code=BAD_NOTICE)
        call.text("value", of=one, chars=NOTICE_VALUE, code=BAD_NOTICE)


def _check_card(call: Call, part: dict[str, Any]) -> None:
    kind, task_id = call.text("card_type", of=part), call.text("task_id", of=part, size=128, code=BAD_TASK)
    if kind not in CARDS:
        raise Refusal(BAD_CARD)
    call.objects("horizontal_content_list", of=part, most=FACTS, code=42035)
    call.objects("jump_list", of=part, most=JUMPS, code=42042)
    if kind not in INTERACTIVE:
        if not call.object("card_action", of=part):
            raise Refusal(NO_ACTION)
        return
    if call.app.receiver is None:
        raise Refusal(NO_CALLBACK)
    used = call.world.more.setdefault("card_tasks", {})
    key = f"{call.app.agent_id} {task_id}"
    if not task_id or key in used:
        raise Refusal(BAD_TASK)
    if kind == "button_interaction":
        buttons = call.objects("button_list", of=part, most=BUTTONS, code=NO_BUTTON)
        if not buttons or not all(one.get("text") and one.get("key") for one in buttons):
            raise Refusal(NO_BUTTON)
    used[key] = call.world.clock.epoch()
