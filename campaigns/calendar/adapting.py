"""Adaptations (调整): what a region or a store does otherwise, inside what HQ allows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.calendar import reading, rules
from campaigns.models import CalendarAdaptation, CalendarEntry
from scrm import audit, db, org
from scrm.errors import RuleViolation
from scrm.models import Store

REFUSALS = {
    "nobody": gettext_lazy("HQ does not let anybody adapt this entry. Ask HQ, or choose another one."),
    "regions_only": gettext_lazy("HQ lets only regions adapt this entry. Ask your region manager."),
    "may_not_drop": gettext_lazy("HQ does not let this entry be left out."),
    "may_not_move": gettext_lazy("HQ does not let the hours of this entry be changed."),
    "both_hours": gettext_lazy("Name both hours, or neither."),
    "hours": gettext_lazy("It ends after it begins."),
    "quota_low": gettext_lazy("HQ lets the quota be lowered to %(least)s at least."),
    "quota_high": gettext_lazy("The quota is %(most)s already: it can only be lowered."),
    "days": gettext_lazy("The last day is not before the first."),
    "never": gettext_lazy("The entry does not take place in these days."),
    "dropped_and_changed": gettext_lazy("Either leave it out, or change its hours or quota."),
    "nothing": gettext_lazy("Say what is to be done otherwise: leave it out, other hours, or another quota."),
}


class BadAdaptation(RuleViolation):
    """``extra["fields"]`` names each field with its sentence."""

    code = "bad_adaptation"


def problems(wish: CalendarAdaptation, *, scope: org.Scope, level: str) -> dict[str, str]:
    """``{field: sentence}``; empty when HQ allows it and it is for stores of the scope that the entry is for. ``level``: who
    wishes it, REGION (in the console) or STORE (a store manager)."""
    parents = reading.region_parents()
    entry = reading.entry_of(wish.entry, parents)
    for_whom = "region" if wish.region_id else "store"
    if bool(wish.region_id) == bool(wish.store_id):
        return {for_whom: _("Choose either a region or a store.")}
    stores = Store.objects.filter(pk=wish.store_id or 0)
    if wish.region_id:
        stores = Store.objects.filter(region_id__in=reading.below(wish.region_id, parents))
    places = reading.places(stores, parents)
    if not _covers(scope, [place.pk for place in places]):
        return {for_whom: _("It has stores that are not yours.")}
    meant = [place for place in places if rules.is_meant(entry, place)]
    if not meant:
        return {for_whom: _("The entry is not for this part of the company.")}
    row = wish.entry
    limits = rules.Limits(row.adapted_by, row.may_drop, row.may_move, row.least_quota_percent)
    quotas = [entry.quota(place.ownership) for place in meant]
    least = -(-max(quotas) * row.least_quota_percent // 100)
    found = rules.refusals(entry, limits, reading.adaptation_of(wish), quotas=quotas, level=level)
    said = {"least": least, "most": max(quotas)}
    return {field: str(REFUSALS[code]) % said for field, code in found.items()}


@transaction.atomic
def adapt(
    *, wish: CalendarAdaptation, scope: org.Scope, level: str, actor: Any, now: dt.datetime
) -> CalendarAdaptation:
    """Keep it; the coming days are compiled anew. Raises BadAdaptation."""
    db.lock(CalendarEntry.objects.filter(pk=wish.entry_id))
    found = problems(wish, scope=scope, level=level)
    if len(wish.reason.strip()) < 2:
        found["reason"] = _("Say why.")
    if wish.ends_on < now.astimezone(rules.SHANGHAI).date():
        found["ends_on"] = _("These days are over.")
    if found:
        raise BadAdaptation(next(iter(found.values())), extra={"fields": found})
    wish.made_by = actor
    wish.save()
    audit.record(actor=actor, verb="calendar.adapt", target=wish, entry=wish.entry_id, reason=wish.reason)
    return wish


def _covers(scope: org.Scope, store_ids: Iterable[int]) -> bool:
    return scope.is_everything or set(store_ids) <= (scope.store_ids or frozenset())


@transaction.atomic
def withdraw(*, adaptation: CalendarAdaptation, scope: org.Scope, actor: Any, reason: str) -> None:
    """The entry takes place as HQ wrote it again, where it has not begun. Raises BadAdaptation for stores beyond the scope."""
    (row,) = db.lock(CalendarAdaptation.objects.filter(pk=adaptation.pk))
    regions = reading.below(row.region_id, reading.region_parents()) if row.region_id else ()
    stores = (
        Store.objects.filter(region_id__in=regions) if row.region_id else Store.objects.filter(pk=row.store_id or 0)
    )
    if not _covers(scope, stores.values_list("pk", flat=True)):
        raise BadAdaptation(_("It has stores that are not yours."))
    if not row.is_active:
        raise BadAdaptation(_("This adaptation is withdrawn already."))
    row.is_active = False
    row.save(update_fields=["is_active", "changed_at"])
    audit.record(actor=actor, verb="calendar.withdraw", target=row, reason=reason)
