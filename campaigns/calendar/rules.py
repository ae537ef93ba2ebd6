"""What the calendar means for one store on one day. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
CONTACTS = frozenset({"MESSAGE", "CALL"})  # one task for all customers; its quota counts service acts
LONGEST = dt.timedelta(days=92)  # of an adaptation, as far as its days are looked at
MOST_POSTS = 10  # tasks of one kind for one guide on one day, where each post is one


@dataclass(frozen=True, slots=True)
class Entry:
    """``region_ids``: the region it is for with all below it; None: all. ``quotas`` by ownership."""

    pk: int
    title: str
    weekdays: frozenset[int]
    starts_on: dt.date
    ends_on: dt.date | None
    from_time: dt.time
    until_time: dt.time
    region_ids: frozenset[int] | None = None
    entity_id: int | None = None
    store_id: int | None = None
    ownership: str = ""
    task_kind: str = ""
    text: str = ""
    minutes: int = 3
    quota_per: str = "GUIDE"
    direct_quota: int = 0
    franchisee_quota: int = 0
    material: str = ""

    def quota(self, ownership: str) -> int:
        return self.direct_quota if ownership == "DIRECT" else self.franchisee_quota


@dataclass(frozen=True, slots=True)
class Place:
    """A store. ``region_ids``: its own region first, then those above it."""

    pk: int
    region_ids: tuple[int, ...]
    entity_id: int
    ownership: str
    opened_on: dt.date | None = None
    closed_on: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Adaptation:
    pk: int
    entry_id: int
    starts_on: dt.date
    ends_on: dt.date
    region_id: int | None = None
    store_id: int | None = None
    is_dropped: bool = False
    from_time: dt.time | None = None
    until_time: dt.time | None = None
    quota: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One action of one guide; ``number`` of several alike."""

    guide_id: int
    number: int
    kind: str
    title: str
    reason: str
    text: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Item:
    """What one store does for one entry on one day. ``digest``: the same wishes have the same."""

    entry_id: int
    store_id: int
    day: dt.date
    is_dropped: bool
    starts_at: dt.datetime
    ends_at: dt.datetime
    adaptation_id: int | None
    quota: int
    tasks: tuple[Task, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What HQ allows regions and stores to change of an entry."""

    adapted_by: str
    may_drop: bool
    may_move: bool
    least_quota_percent: int


# --- when and where ---------------------------------------------------------------------------------------------------


def occurs(entry: Entry, day: dt.date) -> bool:
    in_time = entry.starts_on <= day and (entry.ends_on is None or day <= entry.ends_on)
    return in_time and (not entry.weekdays or day.isoweekday() in entry.weekdays)


def is_open(place: Place, day: dt.date) -> bool:
    """From the day it opened up to and including the day it closed."""
    return (place.opened_on is None or place.opened_on <= day) and (place.closed_on is None or day <= place.closed_on)


def is_meant(entry: Entry, place: Place) -> bool:
    return (
        (entry.store_id is None or entry.store_id == place.pk)
        and (entry.entity_id is None or entry.entity_id == place.entity_id)
        and (entry.region_ids is None or place.region_ids[0] in entry.region_ids)
        and entry.ownership in ("", place.ownership)
    )


def adaptation_of(adaptations: Iterable[Adaptation], place: Place, day: dt.date) -> Adaptation | None:
    """The nearest that covers the store and the day: the store's own, then region by region upwards; the newest of each."""
    nearest: tuple[int, int] | None = None
    found = None
    for one in adaptations:
        if not one.starts_on <= day <= one.ends_on:
            continue
        if one.store_id is not None:
            if one.store_id != place.pk:
                continue
            distance = -1
        elif one.region_id in place.region_ids:
            distance = place.region_ids.index(one.region_id)
        else:
            continue
        if nearest is None or (distance, -one.pk) < nearest:
            nearest, found = (distance, -one.pk), one
    return found


def monday_of(day: dt.date) -> dt.date:
    return day - dt.timedelta(days=day.weekday())


def week_of(day: dt.date) -> list[dt.date]:
    return [monday_of(day) + dt.timedelta(days=place) for place in range(7)]


def last_years(monday: dt.date) -> dt.date:
    """The Monday of the ISO week with the same number a year before; week 53 looks at 52 where that year has none."""
    year, week, _day = monday.isocalendar()
    try:
        return dt.date.fromisocalendar(year - 1, week, 1)
    except ValueError:
        return dt.date.fromisocalendar(year - 1, 52, 1)


def at(day: dt.date, time: dt.time) -> dt.datetime:
    return dt.datetime.combine(day, time, SHANGHAI)


# --- what -------------------------------------------------------------------------------------------------------------


def shares(total: int, guides: Sequence[int]) -> dict[int, int]:
    """A store's quota cut into whole parts that differ by one at most; the first guides have the larger ones."""
    if not guides:
        return {}
    each, rest = divmod(total, len(guides))
    return {guide: each + (place < rest) for place, guide in enumerate(sorted(guides))}


def item(
    entry: Entry, place: Place, day: dt.date, adaptations: Iterable[Adaptation], guides: Sequence[int]
) -> Item | None:
    """None where the entry does not take place in that store on that day. ``guides`` work there then."""
    if not (occurs(entry, day) and is_meant(entry, place) and is_open(place, day)):
        return None
    adapted = adaptation_of(adaptations, place, day)
    is_dropped = adapted is not None and adapted.is_dropped
    asked = entry.quota(place.ownership)
    if adapted is not None and adapted.quota is not None:
        asked = min(asked, adapted.quota)
    if adapted is not None and adapted.from_time is not None and adapted.until_time is not None:
        entry = replace(entry, from_time=adapted.from_time, until_time=adapted.until_time)
    starts_at, ends_at = at(day, entry.from_time), at(day, entry.until_time)
    tasks: tuple[Task, ...] = ()
    quota = 0
    if not is_dropped and entry.task_kind:
        each = dict.fromkeys(guides, asked) if entry.quota_per == "GUIDE" else shares(asked, guides)
        quota = sum(each.values()) if entry.quota_per == "GUIDE" else asked
        tasks = tuple(task for guide in sorted(guides) for task in _tasks(entry, guide, asked, each[guide]))
    adapted_id = adapted.pk if adapted is not None else None
    said = [is_dropped, starts_at.isoformat(), ends_at.isoformat(), adapted_id, quota, [_said(task) for task in tasks]]
    digest = hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:32]
    return Item(entry.pk, place.pk, day, is_dropped, starts_at, ends_at, adapted_id, quota, tasks, digest)


def _said(task: Task) -> list[object]:
    return [task.guide_id, task.number, task.kind, task.title, task.reason, task.text, task.minutes]


def _tasks(entry: Entry, guide: int, asked: int, share: int) -> Iterator[Task]:
    """In the language of who reads it: guides read Chinese."""
    if asked and not share:
        return  # the store's quota has fewer parts than guides
    is_contact = entry.task_kind in CONTACTS
    count = 1 if is_contact or not asked else min(share, MOST_POSTS)
    for number in range(1, count + 1):
        title = entry.title
        if asked and is_contact:
            title = f"{entry.title}：联系 {share} 位顾客"
        elif count > 1:
            title = f"{entry.title}（{number}/{count}）"
        reason = f"营销日历：{entry.title}，{entry.from_time:%H:%M}—{entry.until_time:%H:%M}"
        if entry.material:
            reason += f"，素材《{entry.material}》"
        minutes = entry.minutes * share if asked and is_contact else entry.minutes
        yield Task(guide, number, entry.task_kind, title[:80], reason[:200], entry.text, min(minutes, 30_000))


def minutes_of(entry: Entry, ownership: str, guides: int) -> int:
    """The minutes that an entry takes of the guide who has most of it; none works there: 0."""
    if not entry.task_kind or not guides:
        return 0
    asked = entry.quota(ownership)
    if not asked:
        return entry.minutes
    share = asked if entry.quota_per == "GUIDE" else -(-asked // guides)
    return entry.minutes * (share if entry.task_kind in CONTACTS else min(share, MOST_POSTS))


# --- what is replaced -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """A row that is there."""

    pk: int
    status: str
    digest: str
    starts_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys are (entry, store, day)."""

    new: list[Item]
    changed: list[tuple[Item, Standing]]
    gone: list[Standing]
    kept: int
    begun: int  # differ from what is wished now and stay, because they have begun


Key = tuple[int, int, dt.date]


def changes(wanted: Mapping[Key, Item], standing: Mapping[Key, Standing], now: dt.datetime) -> Changes:
    """What to write. What has begun stays as it is; what would begin in the past is not begun any more."""
    found = Changes([], [], [], 0, 0)
    kept = begun = 0
    for key, one in wanted.items():
        row = standing.get(key)
        status = "DROPPED" if one.is_dropped else "PLANNED"
        if row is None:
            if one.ends_at > now:
                found.new.append(one)
        elif row.digest == one.digest and row.status == status:
            kept += 1
        elif row.starts_at <= now and row.status != "CANCELLED":
            begun += 1
        elif one.ends_at > now:
            found.changed.append((one, row))
    for key, row in standing.items():
        if key in wanted or row.status == "CANCELLED":
            continue
        if row.starts_at <= now:
            begun += 1
        else:
            found.gone.append(row)
    return replace(found, kept=kept, begun=begun)


# --- what may be adapted ----------------------------------------------------------------------------------------------


def refusals(entry: Entry, limits: Limits, wish: Adaptation, *, quotas: Iterable[int], level: str) -> dict[str, str]:
    """``{field: code}`` of everything that HQ does not allow, or that says nothing. ``quotas``: of the stores it is for;
    ``level``: whose wish it is, REGION or STORE."""
    allowed = {"NOBODY": (), "REGION": ("REGION",), "STORE": ("REGION", "STORE")}[limits.adapted_by]
    if level not in allowed:
        return {"entry": "regions_only" if allowed else "nobody"}
    found = _of_hours(limits, wish) | _of_quota(limits, wish, max(quotas, default=0))
    says_more = wish.from_time is not None or wish.until_time is not None or wish.quota is not None
    if wish.is_dropped and not limits.may_drop:
        found["is_dropped"] = "may_not_drop"
    elif wish.is_dropped and says_more:
        found["is_dropped"] = "dropped_and_changed"
    elif not wish.is_dropped and not says_more:
        found["is_dropped"] = "nothing"
    if wish.ends_on < wish.starts_on:
        found["ends_on"] = "days"
    elif not any(occurs(entry, day) for day in _days(wish.starts_on, min(wish.ends_on, wish.starts_on + LONGEST))):
        found["starts_on"] = "never"
    return found


def _of_hours(limits: Limits, wish: Adaptation) -> dict[str, str]:
    if wish.from_time is None and wish.until_time is None:
        return {}
    if wish.from_time is None or wish.until_time is None:
        return {"until_time" if wish.until_time is None else "from_time": "both_hours"}
    if not limits.may_move:
        return {"from_time": "may_not_move"}
    return {"until_time": "hours"} if wish.until_time <= wish.from_time else {}


def _of_quota(limits: Limits, wish: Adaptation, highest: int) -> dict[str, str]:
    if wish.quota is None:
        return {}
    if wish.quota * 100 < highest * limits.least_quota_percent:
        return {"quota": "quota_low"}
    return {"quota": "quota_high"} if wish.quota > highest else {}


def _days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for place in range((last - first).days + 1):
        yield first + dt.timedelta(days=place)
