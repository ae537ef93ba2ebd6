"""Guides (导购) and where they were employed (在职).

1. A guide is known by her code and has one user without a password, whose user name is the code. One person, one row: the
   same mobile number, WeCom account or user name for two guides is a problem, never a merge.
2. An employment is a half-open interval in one store and one role: from 00:00 of the first day up to 00:00 of the day after
   the last one. ``left_on`` is the last day (最后在职日), so she still earns on it.
3. A list that names another store or role than the open employment moves her: the old employment ends and the new one
   begins at 00:00 of ``moved_on``, or of the day of the import where the list does not say when. A move dated on the first
   day of the open employment, or before it, corrects that employment instead.
4. ``hired_on`` is the first day of her unbroken service. A list with another first day corrects it as long as it stays clear
   of an earlier service; a first day after the last employment has ended is a return (复职).
5. A list that leaves ``left_on`` empty for somebody who has left does not bring her back: that is reported, not guessed.
6. Who has left cannot log in any more; who returns can.
7. A filled cell wins, an empty one never erases, and nobody is deleted. The same list again changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from guides.models import Employment, Guide
from scrm import audit
from scrm.models import User

ZONE = ZoneInfo("Asia/Shanghai")
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class GuideRow:
    """One good row of a list of guides; an empty cell is "" or None. ``store_id`` and the mobile number are resolved."""

    line: int
    code: str
    name: str
    mobile_index: str | None
    mobile_sealed: bytes | None
    store_id: int
    role: str  # "": as before, a guide when new
    wecom_userid: str
    hired_on: dt.date
    left_on: dt.date | None
    moved_on: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """An employment as the rules see it."""

    store_id: int
    role: str
    started_at: dt.datetime
    ended_at: dt.datetime | None


class Impossible(Exception):
    """The list contradicts what stands; ``code`` and ``column`` say how."""

    def __init__(self, column: str, code: str) -> None:
        super().__init__(code)
        self.column, self.code = column, code


@dataclass
class StaffCounts:
    """What a list has changed, and the rows it could not take: (line, column, code)."""

    created: int = 0
    updated: int = 0
    moved: int = 0
    left: int = 0
    returned: int = 0
    corrected: int = 0
    unchanged: int = 0
    problems: list[tuple[int, str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "problems"}

    @property
    def is_quiet(self) -> bool:
        return not any(value for name, value in self.as_dict().items() if name != "unchanged")


# --- pure -------------------------------------------------------------------------------------------------------------


def day_start(day: dt.date) -> dt.datetime:
    """00:00 of a business day."""
    return dt.datetime.combine(day, dt.time(), ZONE)


def services_after(row: GuideRow, services: Sequence[Service], today: dt.date) -> list[Service]:
    """The employments as they should stand after ``row``; ``services`` are those that stand, by start.

    Raises Impossible. Equal to ``services`` when the row says nothing new.
    """
    hired, until = day_start(row.hired_on), day_start(row.left_on + DAY) if row.left_on else None
    if not services:
        return [Service(row.store_id, row.role or Guide.Role.GUIDE, hired, until)]
    result = list(services)
    last = result[-1]
    row = replace(row, role=row.role or last.role)
    if last.ended_at is not None and hired >= last.ended_at:
        return [*result, Service(row.store_id, row.role, hired, until)]
    if last.ended_at is not None and until is None:
        raise Impossible("left_on", "has_left")
    result = _first_day_moved(result, hired)
    last = result[-1]
    if (last.store_id, last.role) != (row.store_id, row.role):
        if last.ended_at is not None:
            raise Impossible("store_code", "has_left_elsewhere")
        result = _moved(result, row, day_start(row.moved_on or today))
        last = result[-1]
    if until != last.ended_at:
        if until is None or until <= last.started_at:
            raise Impossible("left_on", "left_before_start")
        result[-1] = Service(last.store_id, last.role, last.started_at, until)
    return result


def _first_day_moved(services: list[Service], hired: dt.datetime) -> list[Service]:
    """``services`` with the unbroken one that is current beginning at ``hired`` (rule 4)."""
    first = len(services) - 1
    while first and services[first - 1].ended_at == services[first].started_at:
        first -= 1
    begin = services[first]
    if begin.started_at == hired:
        return services
    before = services[first - 1].ended_at if first else None
    if (begin.ended_at is not None and hired >= begin.ended_at) or (before is not None and hired < before):
        raise Impossible("hired_on", "hired_on_contradicts")
    return [*services[:first], Service(begin.store_id, begin.role, hired, begin.ended_at), *services[first + 1 :]]


def _moved(services: list[Service], row: GuideRow, at: dt.datetime) -> list[Service]:
    """The open employment ends at ``at`` and one in the row's store begins (rule 3)."""
    last = services[-1]
    if at <= last.started_at:
        return [*services[:-1], Service(row.store_id, row.role, last.started_at, None)]
    ended = Service(last.store_id, last.role, last.started_at, at)
    return [*services[:-1], ended, Service(row.store_id, row.role, at, None)]


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def record_guides(*, rows: Sequence[GuideRow], actor: Any, now: dt.datetime) -> StaffCounts:
    """Create and update guides, their users and employments. A row that contradicts what stands is a problem."""
    counts = StaffCounts()
    guides = {
        guide.code: guide
        for guide in Guide.objects.select_related("user").select_for_update(of=("self",)).order_by("pk")
    }
    rows = _without_clashes(rows, guides, counts)
    services = _services(guides)
    new = _create_people([row for row in rows if row.code not in guides])
    writes = _Writes()
    today = now.astimezone(ZONE).date()
    for row in rows:
        is_new = row.code in new
        guide = new[row.code] if is_new else guides[row.code]
        standing = services.get(row.code, [])
        try:
            wanted = services_after(row, [service for _pk, service in standing], today)
        except Impossible as error:
            counts.problems.append((row.line, error.column, error.code))
            continue
        what = writes.plan(guide, standing, wanted, now)
        is_changed = not is_new and _fill(guide, row)
        if is_changed:
            writes.people.append(guide)
        _count(counts, what, is_new, is_changed)
    writes.execute()
    if not counts.is_quiet:
        audit.record(actor=actor, verb="guides.record", target_type=Guide._meta.label, **counts.as_dict())
    return counts


@transaction.atomic
def end_employment(*, guide: Guide, at: dt.datetime, actor: Any, reason: str) -> bool:
    """``at`` lies in her last day; False when she works nowhere. She cannot log in any more."""
    until = day_start(at.astimezone(ZONE).date() + DAY)
    ended = Employment.objects.filter(guide=guide, ended_at=None, started_at__lt=until).update(ended_at=until)
    if ended:
        User.objects.filter(pk=guide.user_id).update(is_active=False)
        audit.record(actor=actor, verb="guides.end_employment", target=guide, reason=reason)
    return bool(ended)


class _Writes:
    """What is to be written, collected over the whole list."""

    def __init__(self) -> None:
        self.people: list[Guide] = []
        self.new: list[Employment] = []
        self.changed: list[Employment] = []
        self.users: list[User] = []

    def plan(self, guide: Guide, standing: list[tuple[int, Service]], wanted: list[Service], now: dt.datetime) -> str:
        """Queue what turns ``standing`` into ``wanted``; says in one word what happened, "" for nothing."""
        before = [service for _pk, service in standing]
        if wanted == before:
            return ""
        for (pk, old), service in zip(standing, wanted, strict=False):
            if service != old:
                self.changed.append(_employment(guide, service, pk))
        self.new += [_employment(guide, service) for service in wanted[len(standing) :]]
        is_employed = wanted[-1].ended_at is None or wanted[-1].ended_at > now
        if guide.user.is_active != is_employed:
            guide.user.is_active = is_employed
            self.users.append(guide.user)
        return _what_happened(before, wanted)

    def execute(self) -> None:
        # an employment ends before the next one opens: only one may be open
        Employment.objects.bulk_update(self.changed, ["store", "role", "started_at", "ended_at"], batch_size=500)
        Employment.objects.bulk_create(self.new, batch_size=1_000)
        User.objects.bulk_update(self.users, ["is_active"], batch_size=500)
        Guide.objects.bulk_update(
            self.people, ["name", "mobile_index", "mobile_sealed", "wecom_userid"], batch_size=500
        )
        User.objects.bulk_update([guide.user for guide in self.people], ["name"], batch_size=500)


def _what_happened(before: list[Service], wanted: list[Service]) -> str:
    if not before:
        return "hired"
    if len(wanted) > len(before):
        return "moved" if wanted[-1].started_at == wanted[-2].ended_at and before[-1].ended_at is None else "returned"
    if wanted[-1].ended_at is not None and before[-1].ended_at is None:
        return "left"
    return "corrected"


def _count(counts: StaffCounts, what: str, is_new: bool, is_changed: bool) -> None:
    if is_new:
        counts.created += 1
        return
    if what == "hired":
        what = "corrected"
    if what:
        setattr(counts, what, getattr(counts, what) + 1)
    if is_changed:
        counts.updated += 1
    if not what and not is_changed:
        counts.unchanged += 1


def _employment(guide: Guide, service: Service, pk: int | None = None) -> Employment:
    return Employment(
        pk=pk, guide=guide, store_id=service.store_id, role=service.role,
        started_at=service.started_at, ended_at=service.ended_at,
    )  # fmt: skip


def _services(guides: dict[str, Guide]) -> dict[str, list[tuple[int, Service]]]:
    """The employments of every guide by code, oldest first."""
    codes = {guide.pk: code for code, guide in guides.items()}
    found: dict[str, list[tuple[int, Service]]] = {}
    for employment in Employment.objects.order_by("guide_id", "started_at"):
        service = Service(employment.store_id, employment.role, employment.started_at, employment.ended_at)
        found.setdefault(codes[employment.guide_id], []).append((employment.pk, service))
    return found


def _without_clashes(rows: Sequence[GuideRow], guides: dict[str, Guide], counts: StaffCounts) -> list[GuideRow]:
    """The rows that claim nobody else's user name, mobile number or WeCom account; the others become problems."""
    taken_by_staff = set(User.objects.filter(guide=None).values_list("username", flat=True))
    mobiles = {guide.mobile_index: code for code, guide in guides.items()}
    accounts = {guide.wecom_userid: code for code, guide in guides.items()}
    seen: dict[str, GuideRow] = {}
    good = []
    for row in rows:
        problem = None
        if row.code in seen:
            problem = None if _same(seen[row.code], row) else ("guide_code", "repeated_guide")
            if problem is None:
                continue
        elif row.code not in guides and row.code in taken_by_staff:
            problem = ("guide_code", "username_taken")
        elif row.mobile_index and mobiles.setdefault(row.mobile_index, row.code) != row.code:
            problem = ("mobile", "mobile_taken")
        elif row.wecom_userid and accounts.setdefault(row.wecom_userid, row.code) != row.code:
            problem = ("wecom_userid", "wecom_userid_taken")
        if problem is not None:
            counts.problems.append((row.line, *problem))
            continue
        seen[row.code] = row
        good.append(row)
    return good


def _same(one: GuideRow, other: GuideRow) -> bool:
    ignored = ("line", "mobile_sealed")  # two seals of one number differ
    return all(getattr(one, name) == getattr(other, name) for name in GuideRow.__slots__ if name not in ignored)


def _create_people(rows: Sequence[GuideRow]) -> dict[str, Guide]:
    users = []
    for row in rows:
        user = User(username=row.code, name=row.name or row.code)
        user.set_unusable_password()
        users.append(user)
    User.objects.bulk_create(users, batch_size=1_000)
    guides = [
        Guide(
            user=user, code=row.code, name=row.name or row.code, mobile_index=row.mobile_index,
            mobile_sealed=row.mobile_sealed, wecom_userid=row.wecom_userid or None,
        )
        for user, row in zip(users, rows, strict=True)
    ]  # fmt: skip
    return {guide.code: guide for guide in Guide.objects.bulk_create(guides, batch_size=1_000)}


def _fill(guide: Guide, row: GuideRow) -> bool:
    """Take over what the row says about the person; False when it says nothing new."""
    changed = False
    if row.name and row.name != guide.name:
        guide.name = guide.user.name = row.name
        changed = True
    if row.mobile_index and row.mobile_index != guide.mobile_index:
        guide.mobile_index, guide.mobile_sealed = row.mobile_index, row.mobile_sealed
        changed = True
    if row.wecom_userid and row.wecom_userid != guide.wecom_userid:
        guide.wecom_userid = row.wecom_userid
        changed = True
    return changed
