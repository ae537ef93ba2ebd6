"""The calendar of one store, for the people who work in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from campaigns.calendar import reading, rules
from campaigns.models import CalendarEntry, CalendarStoreDay
from scrm import org
from scrm.models import Store

Status = CalendarStoreDay.Status


def of_store(*, store_id: int, days: Sequence[dt.date]) -> list[dict[str, Any]]:
    """What takes place in the store on the days, by day and hour: as it is compiled, else as it is wished now."""
    parents = reading.region_parents()
    (place,) = reading.places(Store.objects.filter(pk=store_id), parents)
    rows = org.visible(CalendarEntry.objects.filter(is_active=True), org.Scope(frozenset({store_id})))
    rows = rows.filter(starts_on__lte=max(days)).exclude(ends_on__lt=min(days)).select_related("content")
    entries = {row.pk: row for row in rows.order_by("pk")}
    compiled = {
        (row.entry_id, row.day): row
        for row in CalendarStoreDay.objects.filter(store=store_id, day__in=list(days)).exclude(status=Status.CANCELLED)
    }
    found = []
    adapted = reading.adaptations(entries, days)
    for row in entries.values():
        entry = reading.entry_of(row, parents)
        for day in days:
            there = compiled.get((row.pk, day))
            wished = rules.item(entry, place, day, adapted.get(row.pk, ()), ())
            if there is not None or wished is not None:
                found.append(_shown(row, day, there, wished))
    return sorted(found, key=lambda one: (one["day"], one["starts_at"], one["entry_id"]))


def _shown(
    row: CalendarEntry, day: dt.date, there: CalendarStoreDay | None, wished: rules.Item | None
) -> dict[str, Any]:
    is_dropped = there.status == Status.DROPPED if there is not None else wished is not None and wished.is_dropped
    source: Any = there or wished
    return {
        "entry_id": row.pk, "day": day, "kind": row.kind, "kind_text": str(row.get_kind_display()), "title": row.title,
        "starts_at": source.starts_at.astimezone(rules.SHANGHAI), "ends_at": source.ends_at.astimezone(rules.SHANGHAI),
        "is_left_out": is_dropped, "is_compiled": there is not None, "text": row.text,
        "material_id": row.content_id, "quota_count": there.quota_count if there else 0,
        "reached_count": there.made_count if there else 0, "task_count": there.task_count if there else 0,
        "done_count": there.done_count if there else 0,
    }  # fmt: skip
