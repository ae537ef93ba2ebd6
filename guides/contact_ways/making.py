"""Drafting, making, changing and retiring codes: our rows first, WeCom through the outbox."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.utils.translation import gettext as _

from guides.contact_ways import duty, topics
from guides.contact_ways.duty import SHANGHAI, Shift
from guides.models import ContactWay, Employment, Guide, WayDay, WayStaff
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp, Store
from scrm.wecom import contact_ways as endpoint
from scrm.wecom import outbox

PREFIX = "w"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
REFRESHED_AT_ONCE = 500
LEFT_WITHIN = dt.timedelta(days=7)  # whose codes are looked at again

Purpose, Status = ContactWay.Purpose, ContactWay.Status


class BadWay(RuleViolation):
    code = "bad_contact_way"


class WayExists(RuleViolation):
    """The guide has her own code already."""

    code = "contact_way_exists"


class WrongState(RuleViolation):
    code = "contact_way_state"


@dataclass(frozen=True, slots=True)
class Staff:
    """A guide who is to stand behind a code; the fields of ``duty.Shift``."""

    guide: Guide
    is_backup: bool = False
    weekdays: tuple[int, ...] = ()
    starts_at: dt.time | None = None
    ends_at: dt.time | None = None
    is_off_on_holidays: bool = False


def state_of(number: int) -> str:
    """The short state of the row ``number``: ``w`` and the number in base 36."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return PREFIX + (text or "0")


@transaction.atomic
def draft(
    *,
    corp: Corp,
    purpose: str,
    name: str,
    staff: Sequence[Staff],
    actor: Any,
    now: dt.datetime,
    store: Store | None = None,
    guide: Guide | None = None,
    skip_verify: bool = True,
    daily_cap: int | None = None,
    expires_at: dt.datetime | None = None,
) -> ContactWay:
    """A code that WeCom does not know yet. Raises BadWay and WayExists."""
    _require(name, staff, daily_cap, expires_at, now)
    (key,) = db.next_ids(ContactWay, 1)
    is_multi = len(staff) > 1 or purpose != Purpose.GUIDE
    try:
        with transaction.atomic():
            way = ContactWay.objects.create(
                pk=key, corp=corp, purpose=purpose, name=name, store=store, guide=guide, state=state_of(key),
                is_multi=is_multi, skip_verify=skip_verify, daily_cap=daily_cap, expires_at=expires_at, created_by=actor,
                is_shifting=_is_shifting(staff, daily_cap),
            )  # fmt: skip
    except IntegrityError as error:
        if "one_way_per_guide" in str(error):
            raise WayExists(_("%(guide)s has a code of her own already.") % {"guide": guide}) from None
        raise BadWay(_("A guide's code names the guide, a store's code the store.")) from None
    _write_staff(way, staff)
    audit.record(actor=actor, verb="way.draft", target=way, purpose=purpose)
    return way


@transaction.atomic
def create(*, way: ContactWay, actor: Any, now: dt.datetime) -> None:
    """Have WeCom make it; after a failure again. Raises WrongState."""
    way = _locked(way, (Status.DRAFT, Status.FAILED))
    way.status, way.attempt = Status.CREATING, way.attempt + 1
    way.error_code, way.error_text, way.failed_at = "", "", None
    way.save()
    enqueue_create(way, actor=actor, now=now)
    audit.record(actor=actor, verb="way.create", target=way)


@transaction.atomic
def change(
    *,
    way: ContactWay,
    name: str,
    staff: Sequence[Staff],
    skip_verify: bool,
    daily_cap: int | None,
    expires_at: dt.datetime | None,
    actor: Any,
    now: dt.datetime,
) -> None:
    """Other people, hours, cap or name. WeCom's kind of code stays: one made for one person takes one. Raises BadWay."""
    way = _locked(way, (Status.DRAFT, Status.CREATING, Status.LIVE, Status.FAILED))
    _require(name, staff, daily_cap, expires_at, now)
    if not way.is_multi and len(staff) > 1:
        if way.status == Status.LIVE or way.status == Status.CREATING:
            raise BadWay(_("WeCom made this code for one person; make a store or campaign code for several."))
        way.is_multi = True
    way.name, way.skip_verify, way.daily_cap, way.expires_at = name, skip_verify, daily_cap, expires_at
    way.is_shifting, way.version = _is_shifting(staff, daily_cap), way.version + 1
    way.save()
    way.staff.all().delete()
    _write_staff(way, staff)
    if way.status == Status.LIVE:
        enqueue_update(way, actor=actor, now=now)
    audit.record(actor=actor, verb="way.change", target=way)


@transaction.atomic
def tell_again(*, way: ContactWay, actor: Any, now: dt.datetime) -> None:
    """Tell WeCom once more how a code in use is to be: after a refusal, or in doubt. Raises WrongState."""
    way = _locked(way, (Status.LIVE,))
    enqueue_update(way, actor=actor, now=now)
    audit.record(actor=actor, verb="way.change", target=way)


@transaction.atomic
def retire(*, way: ContactWay, actor: Any, now: dt.datetime, reason: str = "") -> None:
    """Nobody is added through it any more, and WeCom's quota gets it back. Printed pictures of it are dead."""
    way = _locked(way, (Status.DRAFT, Status.CREATING, Status.LIVE, Status.FAILED))
    way.status, way.retired_at = Status.RETIRED, now
    way.save()
    if way.config_id is not None:
        enqueue_delete(way, actor=actor, now=now)
    audit.record(actor=actor, verb="way.retire", target=way, reason=reason)


def refresh(*, now: dt.datetime) -> dict[str, int]:
    """Codes whose people change by the hour, by a cap or because somebody left, and codes whose time is up; called each few
    minutes. The own code of a guide who is gone is pointed at another (``leavers``).

    WeCom is told only where the people differ from those it was asked for last: what it refuses is for people to look at.
    """
    from guides.contact_ways import leavers  # which makes and retires through this module

    told = 0
    left = Employment.objects.filter(ended_at__gt=now - LEFT_WITHIN, ended_at__lte=now).values("guide_id")
    moved = WayStaff.objects.filter(way=OuterRef("pk"), guide_id__in=left)
    live = ContactWay.objects.filter(status=Status.LIVE, missing_at=None)
    shifting = live.filter(Q(is_shifting=True) | Q(Exists(moved), is_multi=True))
    for keys in _chunks(shifting.order_by("pk").values_list("pk", flat=True)):
        told += _refresh(keys, now)
    expired = list(ContactWay.objects.filter(status=Status.LIVE, expires_at__lte=now).order_by("pk"))
    for way in expired:
        retire(way=way, actor=None, now=now)
    return {"told": told, "expired": len(expired), **leavers.look_after(now=now)}


@transaction.atomic
def _refresh(keys: Sequence[int], now: dt.datetime) -> int:
    ways = db.lock(ContactWay.objects.filter(pk__in=keys, status=Status.LIVE))
    people = wanted_userids(ways, now)
    told = 0
    for way in ways:
        if people[way.pk] and way.asked_userids != list(people[way.pk]):
            enqueue_update(way, actor=None, now=now, userids=people[way.pk])
            told += 1
    return told


def wanted_userids(ways: Iterable[ContactWay], now: dt.datetime) -> dict[int, tuple[str, ...]]:
    """Who is to be added through each code at this moment, of those who work here; a few queries for all of them."""
    ways = list(ways)
    keys, day = [way.pk for way in ways], now.astimezone(SHANGHAI).date()
    shifts: dict[int, list[Shift]] = {key: [] for key in keys}
    works = Employment.objects.filter(guide=OuterRef("guide"), started_at__lte=now)
    works = works.filter(Q(ended_at=None) | Q(ended_at__gt=now))
    for row in WayStaff.objects.filter(Exists(works), way_id__in=keys).select_related("guide").order_by("pk"):
        if row.guide.wecom_userid:
            shifts[row.way_id].append(shift_of(row))
    standing = {way.pk: way.stand_in_id for way in ways if way.stand_in_id is not None}
    userids = dict(Guide.objects.filter(pk__in=standing.values()).values_list("pk", "wecom_userid"))
    for key, guide_id in standing.items():
        shifts[key] = [Shift(guide_id, userids[guide_id] or "")] if userids[guide_id] else []
    added: dict[int, dict[int, int]] = {key: {} for key in keys}
    capped = [way.pk for way in ways if way.daily_cap is not None]
    counts = (
        WayDay.objects.filter(way_id__in=capped, day=day).values("way_id", "guide_id").annotate(n=Sum("friend_count"))
    )
    for count in counts:
        added[count["way_id"]][count["guide_id"]] = count["n"]
    return {way.pk: duty.wanted(shifts[way.pk], at=now, added=added[way.pk], cap=way.daily_cap) for way in ways}


def shift_of(row: WayStaff) -> Shift:
    return Shift(
        row.guide_id, row.guide.wecom_userid or "", row.is_backup, frozenset(row.weekdays), row.starts_at, row.ends_at,
        row.is_off_on_holidays,
    )  # fmt: skip


# --- the outbox -------------------------------------------------------------------------------------------------------


def enqueue_create(way: ContactWay, *, actor: Any, now: dt.datetime, userids: Sequence[str] | None = None) -> None:
    people = list(userids if userids is not None else wanted_userids([way], now)[way.pk])
    if not people:
        raise BadWay(_("None of the guides behind this code works here now."))
    ContactWay.objects.filter(pk=way.pk).update(asked_userids=people)
    payload = _payload(way, people) | {"is_multi": way.is_multi, "version": way.version}
    outbox.enqueue(
        topic=topics.CREATE, corp=way.corp, key=f"{way.pk}/{way.attempt}", payload=payload, record=topics.record(way.pk),
        actor=actor, now=now,
    )  # fmt: skip


def enqueue_update(way: ContactWay, *, actor: Any, now: dt.datetime, userids: Sequence[str] | None = None) -> None:
    """Tell WeCom how the code now is. ``live_userids`` changes when WeCom has answered."""
    people = list(userids if userids is not None else wanted_userids([way], now)[way.pk]) or list(way.live_userids)
    way.version += 1
    ContactWay.objects.filter(pk=way.pk).update(version=way.version, asked_userids=people)
    outbox.enqueue(
        topic=topics.UPDATE, corp=way.corp, key=f"{way.pk}/{way.version}",
        payload=_payload(way, people) | {"config_id": way.config_id}, record=topics.record(way.pk), actor=actor, now=now,
    )  # fmt: skip


def enqueue_delete(way: ContactWay, *, actor: Any, now: dt.datetime) -> None:
    outbox.enqueue(
        topic=topics.DELETE, corp=way.corp, key=f"{way.pk}/{way.config_id}",
        payload={"way": way.pk, "config_id": way.config_id}, record=topics.record(way.pk), actor=actor, now=now,
    )  # fmt: skip


def _payload(way: ContactWay, userids: list[str]) -> dict[str, Any]:
    return {
        "way": way.pk, "name": way.name, "state": way.state, "skip_verify": way.skip_verify, "userids": userids,
    }  # fmt: skip


# --- small things -----------------------------------------------------------------------------------------------------


def _require(
    name: str, staff: Sequence[Staff], daily_cap: int | None, expires_at: dt.datetime | None, now: dt.datetime
) -> None:
    if not name.strip() or len(name) > endpoint.REMARK_CHARS:
        raise BadWay(_("The name has 1 to %(most)s characters.") % {"most": endpoint.REMARK_CHARS})
    if not any(not one.is_backup for one in staff):
        raise BadWay(_("A code needs at least one guide who is no backup."))
    if len(staff) > endpoint.MOST_MEMBERS:
        raise BadWay(_("WeCom allows %(most)s people behind a code.") % {"most": endpoint.MOST_MEMBERS})
    if len({one.guide.pk for one in staff}) < len(staff):
        raise BadWay(_("A guide is named twice."))
    without = [str(one.guide) for one in staff if not one.guide.wecom_userid]
    if without:
        raise BadWay(_("Without a WeCom account: %(guides)s") % {"guides": "、".join(without[:10])})
    for one in staff:
        if (one.starts_at is None) != (one.ends_at is None) or (one.starts_at and one.starts_at == one.ends_at):
            raise BadWay(_("Hours have a beginning and another end."))
        if any(day not in range(1, 8) for day in one.weekdays):
            raise BadWay(_("Days of the week are 1 to 7."))
    if daily_cap is not None and daily_cap < 1:
        raise BadWay(_("The cap is at least 1."))
    if expires_at is not None and expires_at <= now:
        raise BadWay(_("The end lies in the past."))


def _is_shifting(staff: Sequence[Staff], daily_cap: int | None) -> bool:
    if len(staff) < 2:
        return False
    hours = any(one.weekdays or one.starts_at or one.is_off_on_holidays for one in staff)
    return daily_cap is not None or hours


def _write_staff(way: ContactWay, staff: Sequence[Staff]) -> None:
    WayStaff.objects.bulk_create(
        WayStaff(
            way=way, guide=one.guide, is_backup=one.is_backup, weekdays=sorted(one.weekdays), starts_at=one.starts_at,
            ends_at=one.ends_at, is_off_on_holidays=one.is_off_on_holidays,
        )
        for one in staff
    )  # fmt: skip


def _locked(way: ContactWay, allowed: Iterable[str]) -> ContactWay:
    (row,) = db.lock(ContactWay.objects.select_related("corp").filter(pk=way.pk))
    if row.status not in allowed:
        raise WrongState(_("This is not possible in the present state."))
    return row


def _chunks(keys: Any) -> Iterable[list[int]]:
    found = list(keys)
    for start in range(0, len(found), REFRESHED_AT_ONCE):
        yield found[start : start + REFRESHED_AT_ONCE]
