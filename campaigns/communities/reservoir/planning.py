"""Preparing a pool, starting, moving and ending it. What cannot be is said at its field, and nothing is written then."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from campaigns.models import Reservoir, ReservoirEntry, ReservoirPlace, ReservoirStaff, ReservoirStep
from guides import contact_ways
from guides.models import ContactWay, Employment, Guide
from members.coupons.terms import SHANGHAI
from members.models import CouponTemplate
from scrm import audit, db, org
from scrm.errors import RuleViolation
from scrm.models import Corp, Store

MOST_PLACES, MOST_STAFF, MOST_DAYS = 20, 50, 180
COUNTDOWN = (
    (7, "开业倒计时 7 天", "还有 7 天就开业了！入池礼已经放进您的卡包，开业当天到店就能用。"),
    (3, "开业倒计时 3 天", "还有 3 天开业，开业当天到店有惊喜，您想要我先给您留点什么吗？"),
    (1, "明天开业", "我们明天开业，您的入池礼别忘了用，早点来不用排队。"),
    (0, "今天开业", "我们今天开业啦！凭入池礼到店核销，等您来。"),
)
Status, Gift = Reservoir.Status, ReservoirEntry.Gift
_PLACE = re.compile(r"^(\S+)(?:\s+(-?\d{1,3}(?:\.\d+)?)[,，]\s*(-?\d{1,2}(?:\.\d+)?))?$")
_STAFF = re.compile(r"^(\S+)\s+(\d{4}-\d{1,2}-\d{1,2})$")


class BadReservoir(RuleViolation):
    """``extra["fields"]``: a sentence for each field that is wrong."""

    code = "bad_reservoir"


class WrongState(RuleViolation):
    code = "reservoir_state"


@dataclass(frozen=True, slots=True)
class Draft:
    """``places``: one a line, with longitude and latitude if known; ``staff``: one a line, code and last day."""

    store: Store
    corp: Corp
    name: str
    starts_on: dt.date
    opens_on: dt.date
    target_count: int
    gift: CouponTemplate | None
    cost_fen: int
    margin_bp: int
    places: str
    staff: str


Place = tuple[str, Decimal | None, Decimal | None]


@transaction.atomic
def draft(*, said: Draft, actor: Any, now: dt.datetime) -> Reservoir:
    """A pool that nobody collects for yet. Raises BadReservoir."""
    found: dict[str, str] = {}
    today = day_of(now)
    _check_days(said, today, found)
    if said.gift is not None and (problem := gift_problem(said.gift, said.store, said.starts_on, said.opens_on)):
        found["gift"] = problem
    places, staff = _places(said.places, found), _staff(said, actor, now, found)
    if found:
        raise BadReservoir(next(iter(found.values())), extra={"fields": found})
    try:
        with transaction.atomic():
            row = Reservoir.objects.create(
                store=said.store, corp=said.corp, name=said.name, starts_on=said.starts_on, opens_on=said.opens_on,
                target_count=said.target_count, gift=said.gift, cost_fen=said.cost_fen, margin_bp=said.margin_bp, created_by=actor,
            )  # fmt: skip
    except IntegrityError as error:
        if "one_live_reservoir" not in str(error):
            raise
        sorry = _("This store has a pool already that is prepared or collects.")
        raise BadReservoir(sorry, extra={"fields": {"store": sorry}}) from None
    ReservoirPlace.objects.bulk_create(
        ReservoirPlace(reservoir=row, name=name, longitude=lon, latitude=lat) for name, lon, lat in places
    )
    ReservoirStaff.objects.bulk_create(
        ReservoirStaff(reservoir=row, guide=guide, ends_on=last) for guide, last in staff
    )
    ReservoirStep.objects.bulk_create(
        ReservoirStep(reservoir=row, days_before=days, title=title, text=text) for days, title, text in COUNTDOWN
    )
    audit.record(actor=actor, verb="reservoir.draft", target=row)
    return row


@transaction.atomic
def begin(*, reservoir: Reservoir, actor: Any, now: dt.datetime) -> Reservoir:
    """The codes are asked for at WeCom, the store learns its opening day, and the pool fills. Raises WrongState, BadReservoir."""
    row = _locked(reservoir, Status.DRAFT)
    if row.opens_on <= day_of(now):
        raise WrongState(_("The opening day is not ahead any more; prepare the pool anew."))
    if row.gift is not None and (problem := gift_problem(row.gift, row.store, row.starts_on, row.opens_on)):
        raise WrongState(problem)
    staff = [contact_ways.Staff(guide) for guide in wanted_guides(row, now)]
    for place in row.places.order_by("pk"):
        place.way = contact_ways.draft(
            corp=row.corp, purpose=ContactWay.Purpose.STORE, name=f"{place.name} {row.name}"[:30], staff=staff, actor=actor,
            now=now, store=row.store,
        )  # fmt: skip
        place.save(update_fields=["way"])
        contact_ways.create(way=place.way, actor=actor, now=now)
    row.status, row.started_at = Status.OPEN, now
    row.save(update_fields=["status", "started_at"])
    Store.objects.filter(pk=row.store_id).update(opened_on=row.opens_on)
    audit.record(actor=actor, verb="reservoir.begin", target=row, opens_on=row.opens_on.isoformat())
    return row


@transaction.atomic
def move_opening(*, reservoir: Reservoir, opens_on: dt.date, reason: str, actor: Any, now: dt.datetime) -> Reservoir:
    """Another opening day, before the present one has come. Raises WrongState, BadReservoir."""
    row = _locked(reservoir, Status.DRAFT, Status.OPEN)
    today = day_of(now)
    if row.opens_on <= today:
        raise WrongState(_("The store has opened; the day stays."))
    if problem := _opening_problem(row.starts_on, opens_on, today):
        raise BadReservoir(problem, extra={"fields": {"opens_on": problem}})
    if row.gift is not None and (problem := gift_problem(row.gift, row.store, row.starts_on, opens_on)):
        raise BadReservoir(problem, extra={"fields": {"opens_on": problem}})
    before, row.opens_on = row.opens_on, opens_on
    row.save(update_fields=["opens_on"])
    if row.status == Status.OPEN:
        Store.objects.filter(pk=row.store_id).update(opened_on=opens_on)
    audit.record(actor=actor, verb="reservoir.move", target=row, reason=reason, before=before.isoformat(), after=opens_on.isoformat())  # fmt: skip
    return row


@transaction.atomic
def change_gift(*, reservoir: Reservoir, gift: CouponTemplate, actor: Any, now: dt.datetime) -> int:
    """Another gift from now on, also for whom the former one was not left; how many wait for it. Raises WrongState, BadReservoir."""
    row = _locked(reservoir, Status.DRAFT, Status.OPEN)
    if problem := gift_problem(gift, row.store, max(row.starts_on, day_of(now)), row.opens_on):
        raise BadReservoir(problem, extra={"fields": {"gift": problem}})
    row.gift = gift
    row.save(update_fields=["gift"])
    waiting = row.entries.filter(gift__in=[Gift.REFUSED, Gift.NONE]).update(gift=Gift.WAITS, gift_problem="")
    audit.record(actor=actor, verb="reservoir.gift", target=row, gift=gift.pk, again=waiting)
    return int(waiting)


@transaction.atomic
def make_codes_again(*, reservoir: Reservoir, actor: Any, now: dt.datetime) -> int:
    """WeCom is asked once more for the codes that failed; how many."""
    row = _locked(reservoir, Status.OPEN)
    failed = [place.way for place in row.places.select_related("way").order_by("pk") if place.way and place.way.status == ContactWay.Status.FAILED]  # fmt: skip
    for way in failed:
        contact_ways.create(way=way, actor=actor, now=now)
    return len(failed)


@transaction.atomic
def cancel(*, reservoir: Reservoir, reason: str, actor: Any, now: dt.datetime) -> None:
    """The store does not open, or not so: the codes are taken back, gifts given stay valid. Raises WrongState."""
    row = _locked(reservoir, Status.DRAFT, Status.OPEN)
    for place in row.places.select_related("way").order_by("pk"):
        if place.way is not None and place.way.status != ContactWay.Status.RETIRED:
            contact_ways.retire(way=place.way, actor=actor, now=now, reason=reason)
    row.status, row.ended_at = Status.CANCELLED, now
    row.save(update_fields=["status", "ended_at"])
    audit.record(actor=actor, verb="reservoir.cancel", target=row, reason=reason)


@transaction.atomic
def end(*, reservoir: Reservoir, actor: Any, now: dt.datetime) -> None:
    """After the opening nobody enters any more; the codes stay the store's. Raises WrongState."""
    row = _locked(reservoir, Status.OPEN)
    if day_of(now) < row.opens_on:
        raise WrongState(_("The store is not open yet; cancel the pool if it will not open."))
    row.status, row.ended_at = Status.ENDED, now
    row.save(update_fields=["status", "ended_at"])
    audit.record(actor=actor, verb="reservoir.end", target=row)


# --- what more than one asks ------------------------------------------------------------------------------------------


def day_of(at: dt.datetime) -> dt.date:
    return at.astimezone(SHANGHAI).date()


def wanted_guides(row: Reservoir, now: dt.datetime) -> list[Guide]:
    """Who stands behind the codes: borrowed ones up to their last day, and whom the store has hired, with an account at WeCom."""
    borrowed = row.staff.filter(ends_on__gte=day_of(now)).values("guide_id")
    able = Guide.objects.filter(wecom_userid__gt="")
    return list((able.filter(pk__in=borrowed) | able.filter(pk__in=hired(row, now).values("guide_id"))).order_by("pk"))


def hired(row: Reservoir, now: dt.datetime) -> Any:
    """Employments in the store now."""
    return Employment.objects.filter(store=row.store_id, started_at__lte=now).exclude(ended_at__lte=now)


def gift_problem(gift: CouponTemplate, store: Store, starts_on: dt.date, opens_on: dt.date) -> str:
    """Why this coupon cannot be the gift; empty if it can."""
    if gift.status != CouponTemplate.Status.PUBLISHED:
        return _("This coupon is not published, or given out no more.")
    if day_of(gift.claim_from) > starts_on or day_of(gift.claim_until) < opens_on:
        return _("This coupon is not given out from the start up to the opening day.")
    if gift.valid_until is not None and gift.valid_until < opens_on:
        return _("This coupon runs out before the opening day.")
    if gift.valid_days is not None and gift.valid_days <= (opens_on - starts_on).days:
        return _("Who joins on the first day could not use this coupon on the opening day: it is valid too short.")
    if gift.store_ids and store.pk not in gift.store_ids:
        return _("This coupon is not valid in the store.")
    return ""


def _check_days(said: Draft, today: dt.date, found: dict[str, str]) -> None:
    if said.store.opened_on is not None and said.store.opened_on <= today:
        found["store"] = _("This store is open already.")
    if said.store.closed_on is not None:
        found["store"] = _("This store is closed.")
    if problem := _opening_problem(said.starts_on, said.opens_on, today):
        found["opens_on"] = problem


def _opening_problem(starts_on: dt.date, opens_on: dt.date, today: dt.date) -> str:
    if opens_on <= today:
        return _("The opening day must lie ahead.")
    if opens_on <= starts_on:
        return _("The pool must start before the opening day.")
    if (opens_on - starts_on).days > MOST_DAYS:
        return _("A pool collects for %(days)s days at most.") % {"days": MOST_DAYS}
    return ""


def _places(text: str, found: dict[str, str]) -> list[Place]:
    places: dict[str, Place] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        match = _PLACE.match(line)
        if match is None or len(match[1]) > 20:
            found["places"] = _("“%(line)s” is not understood. Write for example: %(example)s") % {
                "line": line[:40], "example": "围挡东侧 121.4737,31.2304",
            }  # fmt: skip
            return []
        lon, lat = (Decimal(match[2]), Decimal(match[3])) if match[2] else (None, None)
        if lon is not None and lat is not None and (abs(lon) > 180 or abs(lat) > 90):
            found["places"] = _("“%(line)s”: first the longitude, then the latitude.") % {"line": line[:40]}
            return []
        if match[1] in places:
            found["places"] = _("The place %(place)s stands there twice.") % {"place": match[1]}
            return []
        places[match[1]] = (match[1], lon, lat)
    if not 1 <= len(places) <= MOST_PLACES:
        found["places"] = _("Between 1 and %(most)s places.") % {"most": MOST_PLACES}
    return list(places.values())


def _staff(said: Draft, actor: Any, now: dt.datetime, found: dict[str, str]) -> list[tuple[Guide, dt.date]]:
    rows: dict[int, tuple[Guide, dt.date]] = {}
    visible = org.visible(Guide.objects.all(), org.scope_of(actor)) if actor is not None else Guide.objects.all()
    for line in filter(None, (line.strip() for line in said.staff.splitlines())):
        problem, one = _one_of_staff(line, visible, said, now)
        if one is None or one[0].pk in rows:
            found["staff"] = problem or _("%(guide)s stands there twice.") % {"guide": line[:40]}
            return []
        rows[one[0].pk] = one
    if not 1 <= len(rows) <= MOST_STAFF:
        found["staff"] = _("Between 1 and %(most)s guides.") % {"most": MOST_STAFF}
    return list(rows.values())


def _one_of_staff(line: str, visible: Any, said: Draft, now: dt.datetime) -> tuple[str, tuple[Guide, dt.date] | None]:
    match = _STAFF.match(line)
    try:
        last = dt.date(*map(int, match[2].split("-"))) if match else None
    except ValueError:
        last = None
    if match is None or last is None:
        return _("“%(line)s” is not understood. Write for example: %(example)s") % {
            "line": line[:40], "example": "G00001 2026-10-07",
        }, None  # fmt: skip
    guide = visible.filter(code=match[1]).first()
    if guide is None:
        return _("There is no guide %(code)s among yours.") % {"code": match[1]}, None
    if not guide.wecom_userid:
        return _("%(guide)s has no WeCom account; customers could not add her.") % {"guide": guide}, None
    if not guide.employments.filter(started_at__lte=now).exclude(ended_at__lte=now).exists():
        return _("%(guide)s works nowhere now.") % {"guide": guide}, None
    if last < said.starts_on:
        return _("%(guide)s: her last day lies before the start of the pool.") % {"guide": guide}, None
    return "", (guide, last)


def _locked(reservoir: Reservoir, *states: str) -> Reservoir:
    rows = db.lock(Reservoir.objects.filter(pk=reservoir.pk).select_related("store", "corp", "gift"))
    if rows[0].status not in states:
        raise WrongState(_("The pool is %(state)s; this cannot be done now.") % {"state": rows[0].get_status_display()})
    row: Reservoir = rows[0]
    return row
