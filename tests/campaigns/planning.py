"""Calendar entries for tests: 2 March 2026 is a Monday."""

from __future__ import annotations

import datetime as dt
from typing import Any

from campaigns import calendar
from campaigns.calendar import rules
from campaigns.models import CalendarEntry, CalendarStoreDay
from guides.models import Action
from members.models import Audience, AudienceVersion
from scrm.models import Brand

MONDAY = dt.date(2026, 3, 2)
TUESDAY = dt.date(2026, 3, 3)
EVERYBODY = {"field": "registered_on", "is": "known"}


def at(hour: int, day: dt.date = MONDAY) -> dt.datetime:
    return rules.at(day, dt.time(hour))


def entry(**values: Any) -> CalendarEntry:
    """Member day, each Tuesday: ten customers a guide in direct stores, four in franchised ones."""
    return CalendarEntry.objects.create(
        **{
            "brand": Brand.objects.get(code="MAIN"), "kind": "MEMBER_DAY", "title": "会员日", "weekdays": [2],
            "starts_on": dt.date(2026, 1, 1), "from_time": dt.time(9), "until_time": dt.time(21), "task_kind": "MESSAGE",
            "text": "今天会员日，全场八折", "direct_quota": 10, "franchisee_quota": 4, **values,
        }
    )  # fmt: skip


def audience(name: str, rule: Any = None) -> Audience:
    brand = Brand.objects.get(code="MAIN")
    row = Audience.objects.create(brand=brand, name=name, rule=rule or EVERYBODY)
    AudienceVersion.objects.create(audience=row, version_no=1, rule=row.rule, digest=f"{row.pk:064d}")
    return row


def compiled(now: dt.datetime, *days: dt.date) -> calendar.Counts:
    brand = Brand.objects.get(code="MAIN")
    return calendar.compile_days(brand_id=brand.pk, days=days or (TUESDAY,), now=now)


def rows(**wanted: Any) -> dict[str, str]:
    return dict(CalendarStoreDay.objects.filter(**wanted).values_list("store__code", "status"))


def tasks(status: str = "OPEN") -> list[tuple[str, str]]:
    found = Action.objects.filter(source="CALENDAR", status=status).order_by("guide__code", "pk")
    return list(found.values_list("guide__code", "title"))
