"""App messages (应用消息): from our app to members, never to customers.

1. Who cannot be reached is named in the answer, in lower case; only when nobody can it is NoRecipient.
2. More than 30 a minute or 1,000 an hour to one member vanish without a word: one message goes to up to 1,000 members.
3. Sending is never repeated after a lost answer; ``dedupe_seconds`` lets WeCom itself drop the same message sent again.
4. A card with buttons needs a callback address; the response code of a click changes the card once, within 72 hours.
5. A mini-program notice speaks for the mini-program's app and cannot go to everyone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client
from scrm.wecom.errors import BadParameter

MOST_MEMBERS, MOST_DEPARTMENTS, MOST_TAGS = 1000, 100, 100
TEXT_BYTES, URL_BYTES = 2048, 2048
CARD_TITLE_CHARS, CARD_DESCRIPTION_CHARS, CARD_BUTTON_CHARS = 128, 512, 4
MOST_ARTICLES, ARTICLE_TITLE_BYTES, ARTICLE_DESCRIPTION_BYTES = 8, 128, 512
NOTICE_LEAST_CHARS, NOTICE_MOST_CHARS, NOTICE_ITEMS, NOTICE_KEY_CHARS, NOTICE_VALUE_CHARS = 4, 12, 10, 10, 30
PAGE_BYTES = 1024
CARD_FACTS, CARD_JUMPS, CARD_BUTTONS, TASK_ID_BYTES = 6, 3, 6, 128
DEDUPE_SECONDS = 14_400
EVERYONE = "@all"
TEXT_NOTICE, NEWS_NOTICE, BUTTONS = "text_notice", "news_notice", "button_interaction"

_SEND = client.create("message/send")
_RECALL = client.query("message/recall")
_UPDATE = client.create("message/update_template_card")
_PATH = _SEND.path


@dataclass(frozen=True)
class Text:
    content: str = field(repr=False)

    def body(self) -> dict[str, Any]:
        bounds.present(_PATH, "content", self.content)
        bounds.utf8_bytes(_PATH, "content", self.content, TEXT_BYTES)
        return {"msgtype": "text", "text": {"content": self.content}}


@dataclass(frozen=True)
class Markdown:
    content: str = field(repr=False)

    def body(self) -> dict[str, Any]:
        bounds.present(_PATH, "content", self.content)
        bounds.utf8_bytes(_PATH, "content", self.content, TEXT_BYTES)
        return {"msgtype": "markdown", "markdown": {"content": self.content}}


@dataclass(frozen=True)
class TextCard:
    """``description`` may hold ``<br>`` and ``<div class="gray|normal|highlight">``."""

    title: str
    description: str = field(repr=False)
    url: str
    button: str = ""

    def body(self) -> dict[str, Any]:
        for name in ("title", "description", "url"):
            bounds.present(_PATH, name, getattr(self, name))
        bounds.chars(_PATH, "title", self.title, CARD_TITLE_CHARS)
        bounds.chars(_PATH, "description", self.description, CARD_DESCRIPTION_CHARS)
        bounds.utf8_bytes(_PATH, "url", self.url, URL_BYTES)
        bounds.chars(_PATH, "btntxt", self.button, CARD_BUTTON_CHARS)
        card = {"title": self.title, "description": self.description, "url": self.url}
        return {"msgtype": "textcard", "textcard": {**card, "btntxt": self.button} if self.button else card}


@dataclass(frozen=True)
class Article:
    title: str
    url: str
    description: str = ""
    picurl: str = ""


@dataclass(frozen=True)
class News:
    articles: Sequence[Article]

    def body(self) -> dict[str, Any]:
        bounds.items(_PATH, "articles", self.articles, MOST_ARTICLES, least=1)
        for article in self.articles:
            bounds.present(_PATH, "title", article.title)
            bounds.present(_PATH, "url", article.url)
            bounds.utf8_bytes(_PATH, "title", article.title, ARTICLE_TITLE_BYTES)
            bounds.utf8_bytes(_PATH, "description", article.description, ARTICLE_DESCRIPTION_BYTES)
            bounds.utf8_bytes(_PATH, "url", article.url, URL_BYTES)
        rows = [_filled(vars(article)) for article in self.articles]
        return {"msgtype": "news", "news": {"articles": rows}}


@dataclass(frozen=True)
class MiniProgramNotice:
    """``title`` and ``description`` of 4 to 12 characters; ``facts``: up to 10 keys of 10 with values of 30 characters."""

    appid: str
    title: str
    page: str = ""
    description: str = ""
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_first_large: bool = False

    def body(self) -> dict[str, Any]:
        bounds.present(_PATH, "appid", self.appid)
        bounds.utf8_bytes(_PATH, "page", self.page, PAGE_BYTES)
        bounds.between(_PATH, "title", len(self.title), NOTICE_LEAST_CHARS, NOTICE_MOST_CHARS)
        if self.description:
            bounds.between(_PATH, "description", len(self.description), NOTICE_LEAST_CHARS, NOTICE_MOST_CHARS)
        bounds.items(_PATH, "content_item", list(self.facts), NOTICE_ITEMS)
        for key, value in self.facts.items():
            bounds.chars(_PATH, "key", key, NOTICE_KEY_CHARS)
            bounds.chars(_PATH, "value", value, NOTICE_VALUE_CHARS)
        texts = _filled({"page": self.page, "description": self.description})
        notice: dict[str, Any] = {"appid": self.appid, "title": self.title, **texts}
        if self.facts:
            notice["emphasis_first_item"] = self.is_first_large
            notice["content_item"] = [{"key": key, "value": value} for key, value in self.facts.items()]
        return {"msgtype": "miniprogram_notice", "miniprogram_notice": notice}


@dataclass(frozen=True)
class Target:
    """What opens on a tap: an address, or a page of a mini-program."""

    url: str = ""
    appid: str = ""
    pagepath: str = ""

    def values(self) -> dict[str, Any]:
        bounds.present(_PATH, "url", self.url or self.appid)
        if self.appid:
            return {"type": 2, "appid": self.appid, "pagepath": self.pagepath}
        bounds.utf8_bytes(_PATH, "url", self.url, URL_BYTES)
        return {"type": 1, "url": self.url}


@dataclass(frozen=True)
class Button:
    """``key`` comes back as EventKey. ``style``: 1 to 4."""

    text: str
    key: str
    style: int = 1


@dataclass(frozen=True)
class TemplateCard:
    """A card (模板卡片) of the types TEXT_NOTICE, NEWS_NOTICE (with ``image_url``) and BUTTONS (with ``task_id``).

    ``target`` is what the whole card opens, which the notices must have; ``jumps`` are lines below with a target each.
    """

    type: str
    title: str
    description: str = field(default="", repr=False)
    subtitle: str = field(default="", repr=False)
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    target: Target | None = None
    jumps: Sequence[tuple[str, Target]] = ()
    image_url: str = ""
    task_id: str = ""
    buttons: Sequence[Button] = ()

    def body(self) -> dict[str, Any]:
        self._check()
        card: dict[str, Any] = {
            "card_type": self.type,
            "main_title": _filled({"title": self.title, "desc": self.description}),
        }
        if self.subtitle:
            card["sub_title_text"] = self.subtitle
        if self.image_url:
            card["card_image"] = {"url": self.image_url}
        if self.facts:
            card["horizontal_content_list"] = [{"keyname": key, "value": value} for key, value in self.facts.items()]
        if self.jumps:
            card["jump_list"] = [{"title": title, **target.values()} for title, target in self.jumps]
        if self.target is not None:
            card["card_action"] = self.target.values()
        if self.task_id:
            card["task_id"] = self.task_id
        if self.buttons:
            card["button_list"] = [{"text": one.text, "style": one.style, "key": one.key} for one in self.buttons]
        return {"msgtype": "template_card", "template_card": card}

    def _check(self) -> None:
        bounds.one_of(_PATH, "card_type", self.type, (TEXT_NOTICE, NEWS_NOTICE, BUTTONS))
        bounds.present(_PATH, "main_title", self.title)
        bounds.items(_PATH, "horizontal_content_list", list(self.facts), CARD_FACTS)
        bounds.items(_PATH, "jump_list", self.jumps, CARD_JUMPS)
        bounds.utf8_bytes(_PATH, "task_id", self.task_id, TASK_ID_BYTES)
        if self.type == BUTTONS:
            bounds.present(_PATH, "task_id", self.task_id)
            bounds.items(_PATH, "button_list", self.buttons, CARD_BUTTONS, least=1)
        else:
            bounds.present(_PATH, "card_action", self.target)
            bounds.items(_PATH, "button_list", self.buttons, 0)
        if self.type == NEWS_NOTICE:
            bounds.present(_PATH, "card_image", self.image_url)


Message = Text | Markdown | TextCard | News | MiniProgramNotice | TemplateCard


@dataclass(frozen=True)
class Sent:
    """Who was not reached; ``userids`` as WeCom writes them, in lower case."""

    msgid: str
    invalid_userids: tuple[str, ...] = ()
    invalid_department_ids: tuple[str, ...] = ()
    invalid_tag_ids: tuple[str, ...] = ()
    unlicensed_userids: tuple[str, ...] = ()
    response_code: str = field(default="", repr=False)


def send(
    app: WecomApp, message: Message, *, userids: Sequence[str] = (), department_ids: Sequence[int] = (),
    tag_ids: Sequence[int] = (), to_everyone: bool = False, dedupe_seconds: int = 0,
) -> Sent:  # fmt: skip
    """Send to up to 1,000 members, 100 departments and 100 tags, or to everyone in the app's visible range."""
    body = message.body()
    is_notice = isinstance(message, MiniProgramNotice)
    bounds.present(_PATH, "touser", to_everyone or [*userids, *department_ids, *tag_ids])
    if is_notice and to_everyone:
        raise BadParameter(_PATH, detail=EVERYONE)
    bounds.items(_PATH, "touser", userids, MOST_MEMBERS)
    bounds.items(_PATH, "toparty", department_ids, MOST_DEPARTMENTS)
    bounds.items(_PATH, "totag", tag_ids, MOST_TAGS)
    bounds.between(_PATH, "duplicate_check_interval", dedupe_seconds, 0, DEDUPE_SECONDS)
    to = {
        "touser": EVERYONE if to_everyone else "|".join(userids),
        "toparty": "" if to_everyone else "|".join(map(str, department_ids)),
        "totag": "" if to_everyone else "|".join(map(str, tag_ids)),
    }
    values = {**_filled(to), **body} if is_notice else {**_filled(to), **body, "agentid": app.agent_id}
    if dedupe_seconds:
        values |= {"enable_duplicate_check": 1, "duplicate_check_interval": dedupe_seconds}
    return _sent(client.call(app, _SEND, values))


def recall(app: WecomApp, msgid: str) -> None:
    """Take a message back. TooLate after 24 hours."""
    bounds.present(_RECALL.path, "msgid", msgid)
    client.call(app, _RECALL, {"msgid": msgid})


def replace_button(
    app: WecomApp, *, response_code: str, text: str, userids: Sequence[str] = (), to_everyone: bool = False
) -> tuple[str, ...]:
    """Put ``text`` in the place of a card's buttons; the members for whom it failed. The code works once."""
    bounds.present(_UPDATE.path, "response_code", response_code)
    bounds.present(_UPDATE.path, "replace_name", text)
    bounds.items(_UPDATE.path, "userids", userids, MOST_MEMBERS)
    who: dict[str, Any] = {"atall": 1} if to_everyone else {"userids": list(userids)}
    values = {**who, "agentid": app.agent_id, "response_code": response_code, "button": {"replace_name": text}}
    return tuple(client.call(app, _UPDATE, values).get("invaliduser") or ())


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _sent(answer: dict[str, Any]) -> Sent:
    return Sent(
        msgid=answer.get("msgid", ""),
        invalid_userids=answers.piped(answer.get("invaliduser")),
        invalid_department_ids=answers.piped(answer.get("invalidparty")),
        invalid_tag_ids=answers.piped(answer.get("invalidtag")),
        unlicensed_userids=answers.piped(answer.get("unlicenseduser")),
        response_code=answer.get("response_code", ""),
    )
