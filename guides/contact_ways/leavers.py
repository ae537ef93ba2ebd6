"""Who is added through the own code of a guide who is gone (离职导购的活码).

1. A guide's own code hangs printed in the shop: when her account is gone or her employment has ended, another is added
   through it and the picture goes on working. The first of these who works here and is on WeCom: who took her customers
   over in a handover, the manager of her last store, a colleague there, a brand account.
2. When nobody is found the code stays as it is and says so; it is looked at again every few minutes.
3. When she is back it is hers again.
4. WECOM_LEAVER_WAY_DAYS after she left the code is retired, 0: never. Retired, its pictures are dead and WeCom's quota gets
   it back.
5. What it brings is counted for who was added; the code stays under her name in the ledger and says who stands in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from guides.contact_ways import making
from guides.models import ContactWay, Employment, Guide, HandoverTaker, WecomMember
from scrm import audit, db

AT_ONCE = 500
Purpose, Status, By = ContactWay.Purpose, ContactWay.Status, ContactWay.StandInBy
HANDED_OVER = ("RUNNING", "DONE")


@dataclass(frozen=True, slots=True)
class StandIn:
    guide_id: int
    userid: str
    by: str


def look_after(*, now: dt.datetime, guide_ids: Iterable[int] | None = None) -> dict[str, int]:
    """Point the codes of those who are gone at others and of those who are back at themselves; counts of both.

    ``guide_ids`` None: of everybody. May be called within a transaction that says that somebody is gone.
    """
    done = {"stood_in": 0, "returned": 0, "nobody": 0, "retired": 0}
    wanted = _to_look_at(now)
    if guide_ids is not None:
        wanted = wanted.filter(guide__in=list(guide_ids))
    keys = list(wanted.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        for name, count in _look_after(keys[start : start + AT_ONCE], now).items():
            done[name] += count
    return done


def stand_ins(ways: Sequence[ContactWay], now: dt.datetime) -> dict[int, StandIn]:
    """``{guide who is gone: who stands in}`` by rule 1, a fixed number of queries for all of them."""
    gone = sorted({way.guide_id for way in ways if way.guide_id is not None})
    (corp_id,) = {way.corp_id for way in ways}
    stores = _last_stores(gone)
    takers = HandoverTaker.objects.filter(case__guide__in=gone, case__status__in=HANDED_OVER, is_chosen=True)
    by_taker: dict[int, list[int]] = {}
    for giver, taker in takers.order_by("-case__started_at", "pk").values_list("case__guide_id", "guide_id"):
        by_taker.setdefault(giver, []).append(taker)
    by_store = _colleagues(set(stores.values()), now)
    brand = list(Guide.objects.filter(wecom_userid__in=settings.WECOM_BRAND_ACCOUNTS).order_by("code"))
    named = {guide for takers_ in by_taker.values() for guide in takers_}
    named |= {guide for colleagues in by_store.values() for guide, _by in colleagues} | {guide.pk for guide in brand}
    able = dict(_able(corp_id, now).filter(pk__in=named).values_list("pk", "wecom_userid"))
    found = {}
    for guide_id in gone:
        choices: list[tuple[int, str]] = [(taker, By.TAKER) for taker in by_taker.get(guide_id, [])]
        choices += by_store.get(stores.get(guide_id, 0), []) + [(guide.pk, By.BRAND) for guide in brand]
        first = next(((pk, by) for pk, by in choices if pk in able and pk != guide_id), None)
        if first is not None:
            found[guide_id] = StandIn(first[0], (able[first[0]] or "").lower(), first[1])
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _able(corp_id: Any, now: dt.datetime) -> QuerySet[Guide]:
    """Guides who work in a store at ``now`` and whose account is there, as far as the directory knows."""
    works = Employment.objects.filter(guide=OuterRef("pk"), started_at__lte=now).filter(
        Q(ended_at=None) | Q(ended_at__gt=now)
    )
    accounts = WecomMember.objects.filter(guide=OuterRef("pk"), corp=corp_id)
    is_there = Exists(accounts.filter(left_at=None)) | ~Exists(accounts)
    return Guide.objects.filter(is_there, Exists(works)).exclude(wecom_userid=None).exclude(wecom_userid="")


def _to_look_at(now: dt.datetime) -> QuerySet[ContactWay]:
    """Own codes in use of guides who are not there, and those that another stands in for."""
    own = ContactWay.objects.filter(purpose=Purpose.GUIDE, status=Status.LIVE, missing_at=None)
    there = _able(OuterRef(OuterRef("corp")), now).filter(pk=OuterRef("guide"))
    return own.filter(~Exists(there) | ~Q(stand_in_by=""))


@transaction.atomic
def _look_after(keys: Sequence[int], now: dt.datetime) -> dict[str, int]:
    done = dict.fromkeys(("stood_in", "returned", "nobody", "retired"), 0)
    ways = db.lock(ContactWay.objects.select_related("corp", "guide").filter(pk__in=keys, status=Status.LIVE))
    for corp_id in sorted({way.corp_id for way in ways}):
        ours = [way for way in ways if way.corp_id == corp_id]
        there = set(_able(corp_id, now).filter(pk__in={way.guide_id for way in ours}).values_list("pk", flat=True))
        gone = [way for way in ours if way.guide_id not in there]
        found = stand_ins(gone, now) if gone else {}
        for way in ours:
            done[_settle(way, way.guide_id in there, found, now)] += 1
    return done


def _settle(way: ContactWay, is_there: bool, found: Mapping[int, StandIn], now: dt.datetime) -> str:
    assert way.guide is not None
    if is_there:
        if way.stand_in_by:
            _write(way, None, "", now)
            making.enqueue_update(way, actor=None, now=now, userids=[(way.guide.wecom_userid or "").lower()])
            audit.record(actor=None, verb="way.return", target=way)
        return "returned"
    if _is_over(way, now):
        making.retire(way=way, actor=None, now=now, reason=_("the guide has left"))
        return "retired"
    wanted = found.get(way.guide.pk)
    if wanted is None:
        if way.stand_in_by != By.NOBODY:
            _write(way, None, By.NOBODY, now)
        return "nobody"
    if (way.stand_in_id, way.asked_userids) != (wanted.guide_id, [wanted.userid]):
        _write(way, wanted.guide_id, wanted.by, now)
        making.enqueue_update(way, actor=None, now=now, userids=[wanted.userid])
        audit.record(actor=None, verb="way.stand_in", target=way, guide=wanted.guide_id, by=wanted.by)
    return "stood_in"


def _write(way: ContactWay, guide_id: int | None, by: str, now: dt.datetime) -> None:
    way.stand_in_since = (way.stand_in_since or now) if by else None
    way.stand_in_id, way.stand_in_by = guide_id, by
    way.save(update_fields=["stand_in", "stand_in_by", "stand_in_since"])


def _is_over(way: ContactWay, now: dt.datetime) -> bool:
    days = settings.WECOM_LEAVER_WAY_DAYS
    return bool(days and way.stand_in_since and way.stand_in_since + dt.timedelta(days=days) <= now)


def _last_stores(guide_ids: Sequence[int]) -> dict[int, int]:
    jobs = Employment.objects.filter(guide__in=guide_ids).order_by("started_at")
    return dict(jobs.values_list("guide_id", "store_id"))


COLLEAGUES = """
    SELECT e.store_id, g.id, e.role = 'STORE_MANAGER' FROM guides_employment e JOIN guides_guide g ON g.id = e.guide_id
    WHERE e.store_id = ANY(%(stores)s) AND e.started_at <= %(now)s AND (e.ended_at IS NULL OR e.ended_at > %(now)s)
      AND NOT EXISTS (SELECT FROM guides_delegation d WHERE d.guide_id = g.id AND d.started_at <= %(now)s
                      AND (d.ended_at IS NULL OR d.ended_at > %(now)s))
    ORDER BY e.store_id, e.role = 'STORE_MANAGER' DESC, g.code
"""


def _colleagues(store_ids: set[int], now: dt.datetime) -> dict[int, list[tuple[int, str]]]:
    """Who works in each store and is not on leave, its manager first."""
    found: dict[int, list[tuple[int, str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(COLLEAGUES, {"stores": sorted(store_ids), "now": now})
        for store_id, guide_id, is_manager in cursor.fetchall():
            found.setdefault(store_id, []).append((guide_id, By.MANAGER if is_manager else By.COLLEAGUE))
    return found
