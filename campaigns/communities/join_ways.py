"""Join ways of groups (入群活码): QR codes of stores that lead into the first of their groups with room, and never run out.

1. Our row comes first, its ``state`` is a short key of ours and never used again: WeCom gives it back with whoever came in by
   it (进群渠道). WeCom makes, changes and deletes through the outbox. A lost answer is looked for among the rows that the
   kernel keeps of each code (``scrm.wecom.join_ways``); making one is never repeated blindly.
2. Behind a code stand groups in their turn. WeCom knows up to five of them: those with room, in turn. One that is full,
   dissolved or rotated away (``is_out``) makes room for the next; every few minutes WeCom is told where that differs.
3. When all are full and the code may, WeCom makes the next group, of the same owner, under the next number; what it made is
   read at WeCom and stands behind the code from then on. A code that may not, and has no group with room, says so.
4. A group of which WeCom says that it is gone is read again, and the next telling goes without it.
5. WeCom's quota is shared with the codes of guides. When it is used up a code waits for room and says so; nothing is lost.
6. WeCom tells who came in, not who only looked at the code: its figures are joinings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from campaigns.communities import groups
from campaigns.models import Group, JoinWay, JoinWayGroup
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp, GroupWay, Store
from scrm.wecom import contact_ways as pictures
from scrm.wecom import corps, errors, outbox
from scrm.wecom import join_ways as endpoint
from scrm.wecom.outbox import Intent, Verdict

CREATE, UPDATE, DELETE = "join_way.create", "join_way.update", "join_way.delete"
QUOTA_PAUSE = dt.timedelta(hours=1)  # after WeCom has said that the corp has no more codes
READ_EVERY = dt.timedelta(minutes=10)  # a code whose groups are all full: whether WeCom has made another one
READ_AT_LEAST = dt.timedelta(days=1)
AT_ONCE = 200
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
TEXT_CHARS = 300
UNKNOWN_CONFIG = 41044
NO_ROOM, NO_GROUP, OWNER_LEFT = "join_way_no_room", "join_way_no_group", "join_way_owner_left"
OURS = (NO_ROOM, NO_GROUP, OWNER_LEFT)  # problems that we see ourselves, and that end by themselves

Status = JoinWay.Status


class BadJoinWay(RuleViolation):
    """``extra["fields"]`` has a sentence for each field."""

    code = "bad_join_way"


class WrongState(RuleViolation):
    code = "join_way_state"


@dataclass(frozen=True, slots=True)
class Slot:
    """A group behind a code. ``people``: how many are in it."""

    chat_id: str
    people: int
    is_gone: bool = False
    is_out: bool = False


# --- pure -------------------------------------------------------------------------------------------------------------


def state_of(number: int) -> str:
    """The short state of the row ``number``: ``j`` and the number in base 36."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return f"j{text or '0'}"


def wanted(slots: Sequence[Slot], *, full_at: int) -> tuple[str, ...]:
    """Of the groups in their turn, whom WeCom is to fill: up to five with room; with none, the last one that stands."""
    standing = [slot for slot in slots if not slot.is_gone and not slot.is_out]
    with_room = [slot.chat_id for slot in standing if slot.people < full_at]
    return tuple(with_room[: endpoint.MOST_GROUPS] or [slot.chat_id for slot in standing[-1:]])


def has_room(slots: Sequence[Slot], *, full_at: int) -> bool:
    return any(not slot.is_gone and not slot.is_out and slot.people < full_at for slot in slots)


# --- acts of people ---------------------------------------------------------------------------------------------------


@transaction.atomic
def draft(
    *, corp: Corp, store: Store | None, name: str, of: Sequence[Group], full_at: int, makes_groups: bool, actor: Any,
    base_name: str = "", next_number: int = 1,
) -> JoinWay:  # fmt: skip
    """A code that WeCom does not know yet. Raises BadJoinWay with a sentence for each field."""
    _require(corp, name, of, full_at, base_name)
    (key,) = db.next_ids(JoinWay, 1)
    way = JoinWay.objects.create(
        pk=key, corp=corp, store=store, name=name, state=state_of(key), full_at=full_at, makes_groups=makes_groups,
        base_name=base_name, next_number=next_number, created_by=actor,
    )  # fmt: skip
    _add(way, of, first=1)
    audit.record(actor=actor, verb="join_way.draft", target=way)
    return way


@transaction.atomic
def create(*, way: JoinWay, actor: Any, now: dt.datetime) -> None:
    """Have WeCom make it; after a failure again. Raises WrongState and BadJoinWay."""
    way = _locked(way, (Status.DRAFT, Status.FAILED))
    chats = wanted(slots_of([way.pk])[way.pk], full_at=way.full_at)
    if not chats:
        raise BadJoinWay(_("None of the groups behind this code stands any more: name another one."))
    way.status, way.attempt, way.asked_chats = Status.CREATING, way.attempt + 1, list(chats)
    way.error_code, way.error_text, way.failed_at = "", "", None
    way.save()
    outbox.enqueue(
        topic=CREATE, corp=way.corp, key=f"{way.pk}/{way.attempt}", payload=_payload(way, chats), record=record(way.pk),
        actor=actor, now=now,
    )  # fmt: skip
    audit.record(actor=actor, verb="join_way.create", target=way)


@transaction.atomic
def change(
    *, way: JoinWay, name: str, of: Sequence[Group], full_at: int, makes_groups: bool, actor: Any, now: dt.datetime,
    base_name: str = "", next_number: int = 1,
) -> None:  # fmt: skip
    """Other groups, another turn, another limit. Those that are not named any more leave. Raises BadJoinWay, WrongState."""
    way = _locked(way, (Status.DRAFT, Status.CREATING, Status.LIVE, Status.FAILED))
    _require(way.corp, name, of, full_at, base_name)
    way.name, way.full_at, way.makes_groups = name, full_at, makes_groups
    way.base_name, way.next_number = base_name, max(next_number, way.next_number)
    way.save()
    JoinWayGroup.objects.filter(way=way).exclude(group__in=[group.pk for group in of]).delete()
    for place, group in enumerate(of, start=1):
        JoinWayGroup.objects.update_or_create(way=way, group=group, defaults={"position": place, "is_out": False})
    if way.status == Status.LIVE:
        tell(way, slots_of([way.pk])[way.pk], actor=actor, now=now)
    audit.record(actor=actor, verb="join_way.change", target=way)


@transaction.atomic
def rotate(*, group_ids: Sequence[int], actor: Any, now: dt.datetime) -> int:
    """These groups are filled through no code any more, the next in turn is; how many codes that changes."""
    moving = JoinWayGroup.objects.filter(group__in=group_ids, is_out=False, way__status=Status.LIVE)
    ways = db.lock(JoinWay.objects.filter(pk__in=moving.values("way")).select_related("corp"))
    JoinWayGroup.objects.filter(group__in=group_ids, way__in=ways).update(is_out=True)
    slots = slots_of([way.pk for way in ways])
    for way in ways:
        tell(way, slots[way.pk], actor=actor, now=now)
    return len(ways)


@transaction.atomic
def retire(*, way: JoinWay, actor: Any, now: dt.datetime, reason: str = "") -> None:
    """Nobody comes in by it any more; WeCom's quota gets it back. Printed pictures of it are dead."""
    way = _locked(way, (Status.DRAFT, Status.CREATING, Status.LIVE, Status.FAILED))
    way.status, way.retired_at = Status.RETIRED, now
    way.save()
    if way.config_id is not None:
        _delete_later(way, actor, now)
    audit.record(actor=actor, verb="join_way.retire", target=way, reason=reason)


# --- by the clock -----------------------------------------------------------------------------------------------------


def refresh(*, now: dt.datetime) -> dict[str, int]:
    """Each few minutes: what WeCom has made is read, and it is told what has changed. How many codes of each."""
    adopted = _adopt(now)
    count = _read_due(now)
    told = 0
    keys = list(JoinWay.objects.filter(status=Status.LIVE, missing_at=None).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        told += _refresh(keys[start : start + AT_ONCE], now)
    _fetch_pictures(now)
    return {"read": count, "told": told, "adopted": adopted}


@transaction.atomic
def _refresh(keys: Sequence[int], now: dt.datetime) -> int:
    ways = db.lock(JoinWay.objects.filter(pk__in=keys, status=Status.LIVE).select_related("corp"))
    slots, told = slots_of([way.pk for way in ways]), 0
    for way in ways:
        told += tell(way, slots[way.pk], actor=None, now=now)
    return told


def tell(way: JoinWay, slots: Sequence[Slot], *, actor: Any, now: dt.datetime) -> bool:
    """The locked code's groups, as they now are, to WeCom where it was asked for others; whether it is. Notes what is wrong."""
    chats = wanted(slots, full_at=way.full_at)
    problem = _problem(way, slots, chats)
    if problem != way.error_code and (problem or way.error_code in OURS):
        way.error_code, way.error_text, way.failed_at = problem, "", now if problem else None
        way.save(update_fields=["error_code", "error_text", "failed_at"])
    if not chats or list(chats) == list(way.asked_chats) or _is_left_to_wecom(way, slots):
        return False
    way.version, way.asked_chats = way.version + 1, list(chats)
    way.save(update_fields=["version", "asked_chats"])
    outbox.enqueue(
        topic=UPDATE, corp=way.corp, key=f"{way.pk}/{way.version}",
        payload=_payload(way, chats) | {"config_id": way.config_id}, record=record(way.pk), actor=actor, now=now,
    )  # fmt: skip
    return True


def _is_left_to_wecom(way: JoinWay, slots: Sequence[Slot]) -> bool:
    """All are full and WeCom makes the next group: told a list now, it would forget one that it has just made."""
    standing = {slot.chat_id for slot in slots if not slot.is_gone and not slot.is_out}
    is_full = way.makes_groups and not has_room(slots, full_at=way.full_at)
    return is_full and bool(way.asked_chats) and standing.issuperset(way.asked_chats)


def _problem(way: JoinWay, slots: Sequence[Slot], chats: Sequence[str]) -> str:
    if not chats:
        return NO_GROUP
    if has_room(slots, full_at=way.full_at):
        return ""
    if not way.makes_groups:
        return NO_ROOM
    owner_left = Group.objects.filter(corp=way.corp_id, chat_id__in=chats, status=Group.Status.OWNER_LEFT)
    return OWNER_LEFT if owner_left.exists() else ""


def _read_due(now: dt.datetime) -> int:
    """Ask WeCom for the groups behind codes that are full, and once a day for all; how many it was asked for."""
    due = JoinWay.objects.filter(status=Status.LIVE, missing_at=None).select_related("corp")
    rows = list(due.order_by(F("read_at").asc(nulls_first=True), "pk")[: AT_ONCE * 5])
    slots, count = slots_of([way.pk for way in rows]), 0
    for way in rows:
        is_full = way.makes_groups and not has_room(slots[way.pk], full_at=way.full_at)
        pause = READ_EVERY if is_full else READ_AT_LEAST
        if way.read_at is not None and way.read_at > now - pause:
            continue
        try:
            shown = endpoint.get(corps.app_of(way.corp), way.config_id or "")
        except errors.NotFound:
            JoinWay.objects.filter(pk=way.pk).update(missing_at=now, read_at=now)
            continue
        except RuleViolation:  # WeCom is busy, or no app yet: the next round
            break
        read(way_id=way.pk, shown=shown, now=now)
        count += 1
    return count


@transaction.atomic
def read(*, way_id: int, shown: endpoint.JoinWay, now: dt.datetime) -> int:
    """What WeCom shows of a code: groups that it has made stand behind it from now on; how many are new."""
    (way,) = db.lock(JoinWay.objects.filter(pk=way_id).select_related("corp"))
    known = set(JoinWayGroup.objects.filter(way=way).values_list("group__chat_id", flat=True))
    new = [chat_id for chat_id in shown.chat_ids if chat_id not in known]
    _add(way, [groups.known(way.corp, chat_id) for chat_id in new], first=len(known) + 1, is_made=True)
    way.next_number, way.read_at = way.next_number + len(new), now
    way.qr_code = shown.qr_code or way.qr_code
    way.save(update_fields=["next_number", "read_at", "qr_code"])
    if new:
        groups.ask(list(Group.objects.filter(corp=way.corp, chat_id__in=new).values_list("pk", flat=True)))
    return len(new)


def _adopt(now: dt.datetime) -> int:
    """Codes of which a person has found the lost answer (``scrm.wecom.group_ways``) are in use; how many."""
    waiting = JoinWay.objects.filter(status__in=(Status.CREATING, Status.FAILED), config_id=None).select_related("corp")
    done = 0
    for way in waiting.order_by("pk")[:AT_ONCE]:
        row = _row_of(way.corp, way.state)
        if row is None or row.status != GroupWay.Status.LIVE or row.config_id is None:
            continue
        try:
            shown = endpoint.get(corps.app_of(way.corp), row.config_id)
        except RuleViolation:
            continue
        with transaction.atomic():
            (locked,) = db.lock(JoinWay.objects.filter(pk=way.pk))
            if locked.config_id is None and locked.status in (Status.CREATING, Status.FAILED):
                _live(locked, {"config_id": row.config_id, "qr_code": shown.qr_code}, locked.asked_chats)
                done += 1
    return done


def _fetch_pictures(now: dt.datetime) -> None:
    lacking = JoinWay.objects.filter(status=Status.LIVE, picture_at=None).exclude(qr_code="")
    for way in lacking.order_by("pk")[:AT_ONCE]:
        try:
            found = pictures.picture(way.qr_code)
        except RuleViolation:  # tried again by the next round
            continue
        content, kind = found or (None, "")
        JoinWay.objects.filter(pk=way.pk).update(picture=content, picture_kind=kind, picture_at=now)


# --- the outbox -------------------------------------------------------------------------------------------------------


def register() -> None:
    """Called from ``AppConfig.ready``."""
    outbox.register(CREATE, send=_create, settle=_created, reconcile=_find, is_repeatable=False)
    outbox.register(UPDATE, send=_update, settle=_updated, is_repeatable=True)
    outbox.register(DELETE, send=_delete, settle=_deleted, is_repeatable=True)


def record(way_id: int) -> str:
    """Messages about one code go one after the other."""
    return f"join_way {way_id}"


def _create(intent: Intent) -> dict[str, Any]:
    """Where the kernel's row says that WeCom has made it already, only its picture is asked for."""
    app, wish = corps.app_of(intent.corp), intent.payload
    now = db.clock()
    _wait_for_quota(intent.corp, now)
    row = _row_of(intent.corp, wish["state"])
    config_id = row.config_id if row is not None and row.status == GroupWay.Status.LIVE else None
    if config_id is None:
        try:
            config_id = endpoint.add(app, _way(wish))
        except errors.QuotaExhausted as error:
            # this one and all behind it wait until a code is deleted; nothing fails
            JoinWay.objects.filter(pk=wish["way"]).update(
                error_code=error.code, error_text=error.message[:TEXT_CHARS], failed_at=now
            )
            raise errors.RateLimited(error.endpoint, error.errcode, retry_at=now + QUOTA_PAUSE) from None
    return {"config_id": config_id, "qr_code": endpoint.get(app, config_id).qr_code}


def _wait_for_quota(corp: Corp, now: dt.datetime) -> None:
    full = JoinWay.objects.filter(
        corp=corp, status=Status.CREATING, error_code=errors.QuotaExhausted.code, failed_at__gt=now - QUOTA_PAUSE
    )
    failed_at = full.order_by("-failed_at").values_list("failed_at", flat=True).first()
    if failed_at is not None:
        raise errors.RateLimited(CREATE, retry_at=failed_at + QUOTA_PAUSE)


def _find(intent: Intent) -> Verdict:
    """Nothing to read at WeCom says whether it was made; the kernel's row does, when the answer came or a person has found it."""
    row = _row_of(intent.corp, intent.payload["state"])
    if row is None:
        return Verdict.NOT_DONE
    if row.status != GroupWay.Status.LIVE or row.config_id is None:
        return Verdict.NOT_DONE if row.status == GroupWay.Status.UNMADE else Verdict.CANNOT_TELL
    shown = endpoint.get(corps.app_of(intent.corp), row.config_id)
    return Verdict.done({"config_id": row.config_id, "qr_code": shown.qr_code})


def _created(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    (way,) = db.lock(JoinWay.objects.filter(pk=intent.payload["way"]).select_related("corp"))
    now = db.clock()
    if answer is None:
        if way.status == Status.CREATING:
            _fail(way, error, now)
            way.status = Status.FAILED
            way.save()
        return
    if way.config_id is None:
        is_wanted = way.status != Status.RETIRED
        _live(way, answer, intent.payload["chats"])
        if not is_wanted:
            way.status = Status.RETIRED
            way.save(update_fields=["status"])
            _delete_later(way, None, now)


def _live(way: JoinWay, answer: dict[str, Any], chats: Sequence[str]) -> None:
    way.config_id, way.qr_code, way.live_chats = answer["config_id"], answer["qr_code"], list(chats)
    way.status, way.error_code, way.error_text, way.failed_at = Status.LIVE, "", "", None
    way.save()


def _update(intent: Intent) -> dict[str, Any]:
    endpoint.update(corps.app_of(intent.corp), intent.payload["config_id"], _way(intent.payload))
    return {}


def _updated(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    (way,) = db.lock(JoinWay.objects.filter(pk=intent.payload["way"]))
    now, chats = db.clock(), intent.payload["chats"]
    if answer is not None:
        way.live_chats = list(chats)
        if way.error_code not in OURS:
            way.error_code, way.error_text, way.failed_at = "", "", None
    elif error is not None:
        _fail(way, error, now)
        way.asked_chats = list(way.live_chats)  # what WeCom refused is not what it has: the next round tells it anew
        if isinstance(error, errors.NotFound) and error.errcode == UNKNOWN_CONFIG:
            way.missing_at = way.missing_at or now
        elif isinstance(error, errors.NotFound):  # one of the groups is gone: reading it says which
            groups.ask(list(Group.objects.filter(corp=intent.corp, chat_id__in=chats).values_list("pk", flat=True)))
    way.save()


def _delete(intent: Intent) -> dict[str, Any]:
    try:
        endpoint.delete(corps.app_of(intent.corp), intent.payload["config_id"])
    except errors.NotFound:  # gone already
        return {}
    return {}


def _deleted(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    (way,) = db.lock(JoinWay.objects.filter(pk=intent.payload["way"]))
    if answer is not None:
        way.missing_at, way.error_code, way.error_text = db.clock(), "", ""
        waiting = JoinWay.objects.filter(corp=intent.corp, status=Status.CREATING)
        waiting.filter(error_code=errors.QuotaExhausted.code).update(failed_at=None)  # there is room again
    elif error is not None:
        way.error_code, way.error_text = error.code, error.message[:TEXT_CHARS]
    way.save()


def _delete_later(way: JoinWay, actor: Any, now: dt.datetime) -> None:
    outbox.enqueue(
        topic=DELETE, corp=way.corp, key=f"{way.pk}/{way.config_id}", payload={"way": way.pk, "config_id": way.config_id},
        record=record(way.pk), actor=actor, now=now,
    )  # fmt: skip


# --- small things -----------------------------------------------------------------------------------------------------


def slots_of(way_ids: Iterable[int]) -> dict[int, list[Slot]]:
    """The groups behind each of the codes, in their turn; one query."""
    keys = list(way_ids)
    found: dict[int, list[Slot]] = {key: [] for key in keys}
    rows = JoinWayGroup.objects.filter(way__in=keys).order_by("way", "position", "pk")
    for way_id, chat_id, people, gone_at, is_out in rows.values_list(
        "way_id", "group__chat_id", "group__member_count", "group__dissolved_at", "is_out"
    ):
        found[way_id].append(Slot(chat_id, people, gone_at is not None, is_out))
    return found


def _row_of(corp: Corp, state: str) -> GroupWay | None:
    rows = GroupWay.objects.filter(corp=corp, state=state).exclude(status=GroupWay.Status.GONE)
    return rows.order_by("-pk").first()


def _payload(way: JoinWay, chats: Sequence[str]) -> dict[str, Any]:
    return {
        "way": way.pk, "name": way.name, "state": way.state, "chats": list(chats), "makes_groups": way.makes_groups,
        "base_name": way.base_name, "base_number": way.next_number,
    }  # fmt: skip


def _way(wish: dict[str, Any]) -> endpoint.JoinWay:
    return endpoint.JoinWay(
        chat_ids=wish["chats"], remark=wish["name"], makes_groups=wish["makes_groups"], base_name=wish["base_name"],
        base_number=wish["base_number"], state=wish["state"],
    )  # fmt: skip


def _add(way: JoinWay, of: Sequence[Group], *, first: int, is_made: bool = False) -> None:
    JoinWayGroup.objects.bulk_create(
        JoinWayGroup(way=way, group=group, position=place, is_made_by_wecom=is_made)
        for place, group in enumerate(of, start=first)
    )


def _fail(way: JoinWay, error: errors.WecomError | None, now: dt.datetime) -> None:
    way.failed_at = now
    way.error_code, way.error_text = (error.code, error.message[:TEXT_CHARS]) if error else ("", "")


def _require(corp: Corp, name: str, of: Sequence[Group], full_at: int, base_name: str) -> None:
    found: dict[str, str] = {}
    if not name.strip() or len(name) > endpoint.REMARK_CHARS:
        found["name"] = _("The name has 1 to %(most)s characters.") % {"most": endpoint.REMARK_CHARS}
    if len(base_name) > endpoint.BASE_NAME_CHARS:
        found["base_name"] = _("At most %(most)s characters.") % {"most": endpoint.BASE_NAME_CHARS}
    if not 2 <= full_at <= 2000:
        found["full_at"] = _("A group counts as full from 2 to 2,000 people.")
    gone = [str(group) for group in of if group.dissolved_at is not None]
    if not of:
        found["groups"] = _("Name at least one group.")
    elif gone:
        found["groups"] = _("Dissolved at WeCom: %(groups)s") % {"groups": "、".join(gone[:5])}
    elif any(group.corp_id != corp.pk for group in of):
        found["groups"] = _("All groups belong to the corp of the code.")
    if found:
        raise BadJoinWay(next(iter(found.values())), extra={"fields": found})


def _locked(way: JoinWay, allowed: Iterable[str]) -> JoinWay:
    (row,) = db.lock(JoinWay.objects.select_related("corp").filter(pk=way.pk))
    if row.status not in allowed:
        raise WrongState(_("This is not possible in the present state."))
    found: JoinWay = row
    return found
