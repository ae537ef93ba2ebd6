"""Welcomes of groups (入群欢迎语): templates at WeCom, which the owner of a group puts to use in the client.

1. WeCom keeps at most 100 of a corp, and lists them nowhere. Ours is a row first; a lost answer leaves it as such (答复丢失)
   for a person, who has it made again or gives it up: it is never made twice by itself.
2. Text of at most 3,000 bytes, beside it at most one link. %NICKNAME% becomes the name of who joins.
3. WeCom has no call that puts a template to use in a group: the owners are asked to, with the words for it in their list of the
   day, once a group and template.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.models import Group, GroupWelcome
from guides import actions
from guides.actions import NewAction
from guides.models import Action
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import attachments, corps, errors, outbox
from scrm.wecom import groups as wecom
from scrm.wecom.outbox import Intent, Verdict

ADD, EDIT, DELETE = "group_welcome.add", "group_welcome.edit", "group_welcome.delete"
TEXT_CHARS = 300
ASKED_FOR = dt.timedelta(days=3)

Status = GroupWelcome.Status


class BadGroupWelcome(RuleViolation):
    """``extra["fields"]`` has a sentence for each field."""

    code = "bad_group_welcome"


@transaction.atomic
def write(
    *, welcome: GroupWelcome | None, corp: Corp, name: str, text: str, link_title: str, link_url: str, actor: Any, now: dt.datetime
) -> GroupWelcome:  # fmt: skip
    """A new one, made by WeCom at once, or another text of one. Raises BadGroupWelcome."""
    _require(name, text, link_title, link_url)
    said = {"name": name, "text": text, "link_title": link_title, "link_url": link_url}
    if welcome is None:
        welcome = GroupWelcome.objects.create(corp=corp, **said)
    (row,) = db.lock(GroupWelcome.objects.filter(pk=welcome.pk).select_related("corp"))
    if row.status == Status.DELETED:
        raise BadGroupWelcome(_("This is not possible in the present state."))
    for field, value in said.items():
        setattr(row, field, value)
    row.version += 1
    if row.status == Status.LIVE:
        _enqueue(EDIT, row, f"{row.pk}/{row.version}", actor, now)
    elif row.status in (Status.DRAFT, Status.FAILED):
        row.status, row.attempt = Status.CREATING, row.attempt + 1
        _enqueue(ADD, row, f"{row.pk}/{row.attempt}", actor, now)
    row.error_code, row.error_text = "", ""
    row.save()
    audit.record(actor=actor, verb="group_welcome.write", target=row)
    found: GroupWelcome = row
    return found


@transaction.atomic
def again(*, welcome: GroupWelcome, actor: Any, now: dt.datetime) -> None:
    """After a refusal, or an answer that was lost and of which a person is certain that nothing was made."""
    (row,) = db.lock(GroupWelcome.objects.filter(pk=welcome.pk).select_related("corp"))
    if row.status not in (Status.FAILED, Status.LOST):
        raise BadGroupWelcome(_("This is not possible in the present state."))
    row.status, row.attempt, row.error_code, row.error_text = Status.CREATING, row.attempt + 1, "", ""
    row.save()
    _enqueue(ADD, row, f"{row.pk}/{row.attempt}", actor, now)
    audit.record(actor=actor, verb="group_welcome.write", target=row)


@transaction.atomic
def delete(*, welcome: GroupWelcome, actor: Any, now: dt.datetime) -> None:
    (row,) = db.lock(GroupWelcome.objects.filter(pk=welcome.pk).select_related("corp"))
    if row.status == Status.DELETED:
        raise BadGroupWelcome(_("This is not possible in the present state."))
    if row.template_id is not None:
        _enqueue(DELETE, row, f"{row.pk}/{row.template_id}", actor, now)
    row.status = Status.DELETED
    row.save(update_fields=["status"])
    audit.record(actor=actor, verb="group_welcome.delete", target=row)


@transaction.atomic
def ask_owners(*, welcome: GroupWelcome, groups: Sequence[Group], actor: Any, now: dt.datetime) -> int:
    """Put it into the owners' lists of the day: which template to choose in which group; how many are new."""
    if welcome.status != Status.LIVE:
        raise BadGroupWelcome(_("WeCom has not made this template yet."))
    due = now + ASKED_FOR
    new = [
        NewAction(
            key=f"group welcome {welcome.pk} {group.pk}", guide_id=group.owner_id, store_id=group.store_id, member_id=None,
            kind=Action.Kind.OTHER, source=Action.Source.HQ, source_id=welcome.pk, title=f"设置入群欢迎语：{group}"[:80],
            reason="总部准备了入群欢迎语，需要群主在企业微信里启用",
            text=f"打开企业微信群「{group}」→ 右上角群管理 → 入群欢迎语 → 选择「{welcome.name}」→ 完成。",
            starts_at=now, due_at=due,
        )
        for group in groups if group.owner_id is not None and group.dissolved_at is None and group.corp_id == welcome.corp_id
    ]  # fmt: skip
    count = actions.give(new)
    audit.record(actor=actor, verb="group_welcome.ask", target=welcome, groups=count)
    return count


# --- the outbox -------------------------------------------------------------------------------------------------------


def register() -> None:
    """Called from ``AppConfig.ready``."""
    outbox.register(ADD, send=_add, settle=_added, reconcile=_is_lost, is_repeatable=False)
    outbox.register(EDIT, send=_edit, settle=_edited, is_repeatable=True)
    outbox.register(DELETE, send=_delete, settle=_deleted, is_repeatable=True)


def _enqueue(topic: str, row: GroupWelcome, key: str, actor: Any, now: dt.datetime) -> None:
    payload = {
        "welcome": row.pk, "version": row.version, "text": row.text, "link_title": row.link_title, "link_url": row.link_url,
        "template_id": row.template_id,
    }  # fmt: skip
    outbox.enqueue(
        topic=topic, corp=row.corp, key=key, payload=payload, record=f"group_welcome {row.pk}", actor=actor, now=now
    )


def _template(said: dict[str, Any]) -> wecom.WelcomeTemplate:
    link = attachments.Link(said["link_title"], said["link_url"]) if said["link_url"] else None
    return wecom.WelcomeTemplate(said["text"], link)


def _add(intent: Intent) -> dict[str, Any]:
    return {"template_id": wecom.add_welcome_template(corps.app_of(intent.corp), _template(intent.payload))}


def _is_lost(intent: Intent) -> Verdict:
    """WeCom lists its templates nowhere: the message ends, and the row waits for a person."""
    return Verdict.done({"template_id": None})


def _added(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    row = _locked(intent)
    if answer is None:
        row.status = Status.FAILED if row.status == Status.CREATING else row.status
        _note(row, error)
    elif answer["template_id"] is None:
        row.status, row.error_code = Status.LOST, errors.Unreachable.code
    else:
        is_wanted = row.status != Status.DELETED
        row.template_id, row.live_version = answer["template_id"], intent.payload["version"]
        row.status, row.error_code, row.error_text = Status.LIVE if is_wanted else row.status, "", ""
        if not is_wanted:
            _enqueue(DELETE, row, f"{row.pk}/{row.template_id}", None, db.clock())
        elif row.version != row.live_version:
            _enqueue(EDIT, row, f"{row.pk}/{row.version}", None, db.clock())
    row.save()


def _edit(intent: Intent) -> dict[str, Any]:
    said = intent.payload
    wecom.edit_welcome_template(corps.app_of(intent.corp), said["template_id"], _template(said))
    return {}


def _edited(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    row = _locked(intent)
    if answer is not None:
        row.live_version, row.error_code, row.error_text = intent.payload["version"], "", ""
    else:
        _note(row, error)
    row.save()


def _delete(intent: Intent) -> dict[str, Any]:
    try:
        wecom.delete_welcome_template(corps.app_of(intent.corp), intent.payload["template_id"])
    except errors.NotFound:  # gone already
        return {}
    return {}


def _deleted(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    row = _locked(intent)
    if answer is None:
        row.status = Status.LIVE  # it still stands at WeCom, and says why
        _note(row, error)
    row.save()


def _locked(intent: Intent) -> GroupWelcome:
    (row,) = db.lock(GroupWelcome.objects.filter(pk=intent.payload["welcome"]).select_related("corp"))
    found: GroupWelcome = row
    return found


def _note(row: GroupWelcome, error: errors.WecomError | None) -> None:
    if error is not None:
        row.error_code, row.error_text = error.code, error.message[:TEXT_CHARS]


def _require(name: str, text: str, link_title: str, link_url: str) -> None:
    found: dict[str, str] = {}
    if not name.strip() or len(name) > 32:
        found["name"] = _("The name has 1 to %(most)s characters.") % {"most": 32}
    size = len(text.encode())
    if not text.strip():
        found["text"] = _("The message has no text.")
    elif size > wecom.TEMPLATE_TEXT_BYTES:
        found["text"] = _(
            "The text has %(size)s bytes; WeCom takes at most 3,000 (about 1,000 Chinese characters)."
        ) % {"size": size}
    if bool(link_title) != bool(link_url):
        found["link_url" if link_title else "link_title"] = _("A link needs both its title and its address.")
    elif link_url and not link_url.startswith("https://"):
        found["link_url"] = _("The address of the link begins with https://.")
    if found:
        raise BadGroupWelcome(next(iter(found.values())), extra={"fields": found})
