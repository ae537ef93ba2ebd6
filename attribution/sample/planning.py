"""The sample company's calendar (样例日历): the weekly rhythm of a fruit chain. Added once, to an empty calendar."""

from __future__ import annotations

import datetime as dt
from typing import Any

from campaigns.models import CalendarEntry, Content
from scrm.models import Brand

DAYS_BACK = 28
RHYTHM: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("周二会员日", "MEMBER_DAY", 2, {
        "task_kind": "MESSAGE", "text": "今天会员日，会员价的水果都上架了，需要的话我给您留。", "direct_quota": 10, "franchisee_quota": 6,
        "adapted_by": "STORE", "may_move": True, "least_quota_percent": 50,
    }),
    ("周四上新", "NEW", 4, {
        "task_kind": "MOMENT", "text": "本周新到的水果在店里了，欢迎来挑。", "direct_quota": 1, "franchisee_quota": 1, "minutes": 5,
        "adapted_by": "REGION", "may_move": True,
    }),
    ("周五老客回访", "CARE", 5, {"task_kind": "CALL", "direct_quota": 5, "franchisee_quota": 3, "minutes": 4}),
    ("周六试吃", "TASTING", 6, {
        "task_kind": "GROUP_POST", "text": "今天下午店里试吃，先到先尝。", "direct_quota": 1, "franchisee_quota": 1, "minutes": 5,
        "from_time": dt.time(14), "until_time": dt.time(18), "adapted_by": "STORE", "may_drop": True, "may_move": True,
    }),
)  # fmt: skip


def load(*, now: dt.datetime) -> None:
    """Part of the sample's job; run again it adds nothing to a calendar that has entries."""
    brand = Brand.objects.order_by("pk").first()
    if brand is None or CalendarEntry.objects.exists():
        return
    material = Content.objects.filter(name="本周到货").first()
    starts_on = now.date() - dt.timedelta(days=DAYS_BACK)
    for title, kind, weekday, said in RHYTHM:
        content = material if kind == "NEW" else None
        CalendarEntry.objects.create(
            brand=brand, title=title, kind=kind, weekdays=[weekday], starts_on=starts_on, content=content, **said
        )
