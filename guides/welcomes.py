"""Welcome messages (欢迎语): what a new friend reads first.

1. WeCom gives a code with a new friend. It lives for 20 seconds and works once, for whichever app comes first; at 18 seconds
   we no longer try.
2. The message of the code she came through goes before that of the guide's store, and that before the one for everybody.
   Within one of these, a message with hours that hold now goes before one without.
3. The text may name the customer, the guide and the store. WeCom tells the nickname only when the guide has accepted: it is
   waited for some seconds; what is not known then gets a neutral word. Up to nine attachments; their files have been uploaded before, because nothing can be uploaded in time. One whose upload has run
   out is left off.
4. Every new friend with a code has a row that says what became of her message.
5. WeCom keeps an upload for three days: a file that active messages use goes up again a day before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from guides import bindings, contact_ways
from guides.models import Contact, Friendship, Material, Welcome, WelcomePart, WelcomeSend
from scrm.errors import RuleViolation
from scrm.models import Corp, Store
from scrm.wecom import attachments, corps, customers, errors, inbox, media, outbox, welcome
from scrm.wecom.outbox import Intent

SHANGHAI = ZoneInfo("Asia/Shanghai")
TOPIC = "welcome.send"
TRIED_FOR = dt.timedelta(seconds=18)
NAME_WAITED_FOR = dt.timedelta(seconds=5)
REFRESH_BEFORE = dt.timedelta(days=1)
CUSTOMER, GUIDE, STORE = "{客户昵称}", "{导购姓名}", "{门店名称}"
PLACEHOLDERS = (CUSTOMER, GUIDE, STORE)
NAMELESS = {CUSTOMER: "朋友", GUIDE: "您的专属导购", STORE: "本店"}
TOO_OLD, TAKEN, NOT_AGREED = 41050, 41051, 41053

PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

_BRACES = re.compile(r"[{｛][^{}｛｝]*[}｝]")
Outcome, Kind = WelcomeSend.Outcome, WelcomePart.Kind


class BadWelcome(RuleViolation):
    code = "bad_welcome"


# --- the pure rules ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """An active message; ``way_id`` and ``store_id`` None: for everybody."""

    id: int
    way_id: int | None = None
    store_id: int | None = None
    starts_at: dt.time | None = None
    ends_at: dt.time | None = None


def choose(
    candidates: Iterable[Candidate], *, way_id: int | None, store_id: int | None, at: dt.datetime
) -> Candidate | None:
    """The message for a friend who came through ``way_id`` to a guide of ``store_id``; of two equals the newer one."""
    fitting = [one for one in candidates if _is_for(one, way_id, store_id) and _holds(one, at)]
    ranked = sorted(fitting, key=lambda one: (one.way_id is None, one.store_id is None, one.starts_at is None, -one.id))
    return ranked[0] if ranked else None


def render(text: str, *, customer: str, guide: str, store: str) -> str:
    """The text with its names in it, never longer than WeCom takes: a long nickname costs its end."""
    values = {CUSTOMER: customer, GUIDE: guide, STORE: store}
    for name, value in values.items():
        text = text.replace(name, value or NAMELESS[name])
    return text.encode()[: attachments.TEXT_BYTES].decode(errors="ignore")


def require_text(text: str, *, has_parts: bool) -> None:
    """Raises BadWelcome for what WeCom would refuse, or for a placeholder that nobody fills."""
    size = len(text.encode())
    if size > attachments.TEXT_BYTES:
        raise BadWelcome(
            _("The text has %(size)s bytes; WeCom takes %(most)s, about 1,300 Chinese characters.")
            % {"size": size, "most": attachments.TEXT_BYTES}
        )
    if not text.strip() and not has_parts:
        raise BadWelcome(_("A message needs a text or an attachment."))
    unknown = [found for found in _BRACES.findall(text) if found not in PLACEHOLDERS]
    if unknown:
        raise BadWelcome(
            _("There is no placeholder %(found)s. Possible are %(all)s.")
            % {"found": unknown[0], "all": " ".join(PLACEHOLDERS)}
        )


def require_parts(parts: Sequence[WelcomePart]) -> None:
    """Raises BadWelcome for an attachment that WeCom would refuse."""
    if len(parts) > attachments.MOST:
        raise BadWelcome(_("A message has at most %(most)s attachments.") % {"most": attachments.MOST})
    for part in parts:
        material = part.material
        if part.kind != Kind.LINK and material is None:
            raise BadWelcome(_("A picture, a file and a mini-program need a material."))
        if material is not None and (material.kind == Material.Kind.FILE) != (part.kind == Kind.FILE):
            raise BadWelcome(_("The material “%(name)s” is of another kind.") % {"name": material})
        try:
            attachments.body(TOPIC, _attachment(_described(part, "ID")))
        except errors.BadParameter as error:
            raise BadWelcome(error.message) from None


def require_file(kind: str, name: str, size: int, start: bytes) -> None:
    """Raises BadWelcome for a file that WeCom would refuse. ``start``: its first bytes."""
    most = media.MOST_BYTES[kind]
    if not media.LEAST_BYTES <= size <= most:
        raise BadWelcome(_("The file has 6 bytes to %(most)s MB.") % {"most": most // media.MEGABYTE})
    if kind == Material.Kind.IMAGE and not start.startswith(PICTURES):
        raise BadWelcome(_("A picture is a JPG or PNG file."))
    if not name.strip() or len(name) > 128:
        raise BadWelcome(_("The name has 1 to %(most)s characters.") % {"most": 128})


def _is_for(one: Candidate, way_id: int | None, store_id: int | None) -> bool:
    if one.way_id is not None:
        return one.way_id == way_id
    return one.store_id is None or one.store_id == store_id


def _holds(one: Candidate, at: dt.datetime) -> bool:
    """Hours are Shanghai's and half-open; an end before the beginning lies on the next day."""
    start, end, now = one.starts_at, one.ends_at, at.astimezone(SHANGHAI).time()
    if start is None or end is None:
        return True
    return start <= now < end if start < end else now >= start or now < end


# --- operations -------------------------------------------------------------------------------------------------------


def register() -> None:
    """Called from ``AppConfig.ready``. A code works once, so sending again can never welcome twice."""
    outbox.register(TOPIC, send=_send, settle=_settle, is_repeatable=True, lane=outbox.Lane.WELCOME)


@transaction.atomic
def greet(friendship: Friendship, code: str, delivery: inbox.Delivery) -> None:
    """Listener of the mirror: choose the message of this code and have it sent at once."""
    now, guide = timezone.now(), friendship.guide
    store_id = bindings.store_id_at(guide.pk, delivery.event_at) if guide else None
    chosen = _chosen(friendship, store_id, delivery.event_at)
    outcome = Outcome.WAITING if chosen else Outcome.NONE
    if chosen is not None and now >= delivery.event_at + TRIED_FOR:
        outcome = Outcome.LATE
    row, is_new = WelcomeSend.objects.get_or_create(
        code_hash=hashlib.sha256(code.encode()).hexdigest(),
        defaults={
            "friendship": friendship, "guide": guide, "welcome": chosen, "event_at": delivery.event_at, "outcome": outcome,
            "settled_at": None if outcome == Outcome.WAITING else now,
        },
    )  # fmt: skip
    if not is_new or chosen is None or outcome != Outcome.WAITING:
        return
    store = Store.objects.filter(pk=store_id).values_list("name", flat=True).first() if store_id else None
    payload = {
        "send": row.pk, "code": code, "text": chosen.text, "guide": guide.name if guide else "", "store": store or "",
        "contact": friendship.contact_id, "at": delivery.event_at.isoformat(), "parts": _ready_parts(chosen, now),
    }  # fmt: skip
    outbox.enqueue(
        topic=TOPIC, corp=friendship.corp, key=row.code_hash, payload=payload, now=now,
        expires_at=delivery.event_at + TRIED_FOR,
    )  # fmt: skip


def upload_materials(*, now: dt.datetime) -> int:
    """Send up the files that active messages use and whose upload is missing or runs out within a day; how many."""
    used = WelcomePart.objects.filter(welcome__is_active=True).values("material_id")
    due = Material.objects.filter(pk__in=used).filter(Q(expires_at=None) | Q(expires_at__lt=now + REFRESH_BEFORE))
    count = 0
    for material in due.select_related("corp").order_by("pk"):
        count += upload(material, now=now)
    return count


def upload(material: Material, *, now: dt.datetime) -> bool:
    """Whether WeCom took it; what it says otherwise stands on the row."""
    try:
        taken = media.upload(corps.app_of(material.corp), material.kind, material.name, bytes(material.content))
    except RuleViolation as error:
        Material.objects.filter(pk=material.pk).update(error_text=error.message[:300])
        return False
    expires_at = taken.expires_at or now + media.LIFETIME
    Material.objects.filter(pk=material.pk).update(media_id=taken.media_id, expires_at=expires_at, error_text="")
    return True


# --- sending ----------------------------------------------------------------------------------------------------------


def _chosen(friendship: Friendship, store_id: int | None, at: dt.datetime) -> Welcome | None:
    way = contact_ways.find(friendship.corp_id, friendship.state)
    active = Welcome.objects.filter(corp=friendship.corp_id, is_active=True).filter(
        Q(way=way.pk if way else None) | Q(way=None)
    )
    rows = {row.pk: row for row in active.filter(Q(store=None) | Q(store=store_id)).order_by("pk")}
    best = choose(
        [Candidate(row.pk, row.way_id, row.store_id, row.starts_at, row.ends_at) for row in rows.values()],
        way_id=way.pk if way else None,
        store_id=store_id,
        at=at,
    )
    return rows[best.id] if best else None


def _ready_parts(chosen: Welcome, now: dt.datetime) -> list[dict[str, str]]:
    ready = []
    for part in chosen.parts.select_related("material").order_by("position", "pk"):
        material = part.material
        if material is not None and (
            not material.media_id or material.expires_at is None or material.expires_at <= now
        ):
            continue
        ready.append(_described(part, material.media_id if material else ""))
    return ready


def _described(part: WelcomePart, media_id: str) -> dict[str, str]:
    return {
        "kind": part.kind, "media_id": media_id, "title": part.title, "description": part.description, "url": part.url,
        "app_id": part.app_id, "page": part.page,
    }  # fmt: skip


def _attachment(row: dict[str, str]) -> attachments.Attachment:
    if row["kind"] == Kind.LINK:
        return attachments.Link(title=row["title"], url=row["url"], desc=row["description"])
    if row["kind"] == Kind.MINIPROGRAM:
        return attachments.MiniProgram(
            title=row["title"], appid=row["app_id"], page=row["page"], pic_media_id=row["media_id"]
        )
    return (
        attachments.File(row["media_id"]) if row["kind"] == Kind.FILE else attachments.Image(media_id=row["media_id"])
    )


def _send(intent: Intent) -> dict[str, Any]:
    wish, app = intent.payload, corps.app_of(intent.corp)
    name = _name_of(intent.corp, wish["contact"]) if CUSTOMER in wish["text"] else ""
    if (
        CUSTOMER in wish["text"]
        and not name
        and timezone.now() < dt.datetime.fromisoformat(wish["at"]) + NAME_WAITED_FOR
    ):
        raise errors.Busy(TOPIC)  # tried again in seconds
    text = render(wish["text"], customer=name, guide=wish["guide"], store=wish["store"])
    welcome.send(app, code=wish["code"], text=text, attachments=[_attachment(row) for row in wish["parts"]])
    return {}


def _name_of(corp: Corp, contact_id: int) -> str:
    """Her nickname: the event tells none, so WeCom is asked unless a reading was faster. Nothing may hold the message up."""
    contact = Contact.objects.get(pk=contact_id)
    if contact.name:
        return contact.name
    try:
        return customers.get(corps.app_of(corp), contact.external_userid)[0].name
    except RuleViolation:
        return ""


def _settle(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    outcome = Outcome.SENT if answer is not None else _outcome(error)
    WelcomeSend.objects.filter(pk=intent.payload["send"]).update(
        outcome=outcome, error_code=error.code if error else "", settled_at=timezone.now()
    )
    if isinstance(error, errors.MediaExpired):  # deleted at WeCom before its time: up again, for the next friend
        ids = [row["media_id"] for row in intent.payload["parts"] if row["media_id"]]
        Material.objects.filter(media_id__in=ids).update(media_id="", expires_at=None)


def _outcome(error: errors.WecomError | None) -> str:
    by_number = {TOO_OLD: Outcome.LATE, TAKEN: Outcome.TAKEN, NOT_AGREED: Outcome.REFUSED}
    if isinstance(error, outbox.TooLate):
        return Outcome.LATE
    return by_number.get(error.errcode or 0, Outcome.FAILED) if error else Outcome.FAILED
