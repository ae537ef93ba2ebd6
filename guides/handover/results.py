"""What became of a transfer on WeCom: read when it is due, and heard in events.

1. The results of a giver and a taker are read once WeCom should have moved the friends, and daily while somebody waits. A
   worker holds a taker's reading for LEASE; who finds it taken leaves it.
2. A friend who was handed over is written into the mirror as the events would say it: ended for the giver, added for the
   taker. WeCom sends no event when the taker knew the customer already.
3. Of two words about one customer the later one counts. Who is handed over stays so, whatever is said of before.
4. Who has no result GIVEN_UP after the moment is FAILED, for a person to look at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from itertools import islice

import structlog
from django.db import transaction

from guides import contacts
from guides.contacts import pairs
from guides.handover import moving, transfers
from guides.models import Friendship, HandoverItem, HandoverTaker
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import corps
from scrm.wecom import transfers as wecom

LEASE = dt.timedelta(hours=1)
DAILY = dt.timedelta(hours=20)
GIVEN_UP = dt.timedelta(days=7)
ASSIGNED = 202  # WeCom's way of adding, see customers.Follow
PAGE = 100  # each is some writes; the accounts of both are locked meanwhile
TAKERS_AT_ONCE = 200
REASONS = {"customer_refused": HandoverItem.State.REFUSED, "customer_limit_exceed": HandoverItem.State.AT_LIMIT}

State = HandoverItem.State
STATE_OF = {wecom.DONE: State.DONE, wecom.REFUSED: State.REFUSED, wecom.AT_LIMIT: State.AT_LIMIT}
UNDECIDED = (State.ASKED, State.WAITING)
log = structlog.get_logger(__name__)


# --- reading ----------------------------------------------------------------------------------------------------------


def poll_due(*, now: dt.datetime) -> int:
    """Read the results that are due; the number of items that were decided."""
    decided = 0
    for _time in range(TAKERS_AT_ONCE):
        taker = _claimed(now)
        if taker is None:
            break
        try:
            decided += read_results(taker=taker, now=now)
        except RuleViolation as error:  # the lease ends by itself, and it is read again
            log.warning("handover_results_unread", taker=taker.pk, code=error.code)
    return decided


@transaction.atomic
def _claimed(now: dt.datetime) -> HandoverTaker | None:
    due = HandoverTaker.objects.filter(next_poll_at__lte=now).select_related("case__corp", "guide")
    taker = due.order_by("next_poll_at", "pk").select_for_update(skip_locked=True, of=("self",)).first()
    if taker is not None:
        taker.next_poll_at = now + LEASE
        taker.save(update_fields=["next_poll_at"])
    return taker


def read_results(*, taker: HandoverTaker, now: dt.datetime) -> int:
    """Ask WeCom for the results of one taker; a page of them is a transaction. Raises AppMissing, WecomError."""
    case = taker.case
    assert case.corp is not None
    found = wecom.results(
        corps.app_of(case.corp), handover=case.userid, takeover=taker.userid, is_resigned=case.is_resigned
    )
    decided = 0
    while page := list(islice(found, PAGE)):
        decided += _take(taker, page, now)
    _wait_on(taker, now)
    moving.finish(case_id=case.pk, now=now)
    return decided


@transaction.atomic
def _take(taker: HandoverTaker, page: Iterable[wecom.Result], now: dt.datetime) -> int:
    results: dict[str, wecom.Result] = {}
    for result in sorted(page, key=lambda result: result.takeover_at or now):
        results[result.external_userid] = result  # of two transfers of one pair the later one
    contacts.locked(_corp(taker), [taker.case.userid, taker.userid])  # before any row that events lock after them
    waiting = HandoverItem.objects.filter(taker=taker, state=State.WAITING, contact__external_userid__in=results)
    decided = 0
    for item in db.lock(waiting.select_related("contact")):
        assert item.contact is not None
        result = results[item.contact.external_userid]
        if result.takeover_at is not None and item.asked_at is not None and result.takeover_at < item.asked_at:
            continue  # of an earlier transfer of the same pair
        if result.status in STATE_OF:
            at = result.takeover_at or now
            _decide(item, STATE_OF[result.status], "", at)
            if result.status == wecom.DONE:
                _tell_mirror(taker, item.contact.external_userid, at)
            decided += 1
        elif result.takeover_at is not None:
            item.takeover_at = result.takeover_at
            item.save(update_fields=["takeover_at"])
    return decided


@transaction.atomic
def _wait_on(taker: HandoverTaker, now: dt.datetime) -> None:
    """When the results are read next; who waited in vain is given up."""
    waiting = HandoverItem.objects.filter(taker=taker, state=State.WAITING)
    for item in db.lock(waiting.filter(takeover_at__lt=now - GIVEN_UP)):
        _decide(item, State.FAILED, "no_result", now)
    next_at = waiting.order_by("takeover_at").values_list("takeover_at", flat=True).first()
    taker.polled_at = now
    taker.next_poll_at = None
    if next_at is not None:
        taker.next_poll_at = next_at + transfers.POLL_AFTER if next_at > now else now + DAILY
    taker.save(update_fields=["polled_at", "next_poll_at"])


def _tell_mirror(taker: HandoverTaker, external_userid: str, at: dt.datetime) -> None:
    corp = _corp(taker)
    gone = pairs.Change(pairs.DELETED, at, is_transfer=True)
    came = pairs.Change(pairs.ADDED, at)
    contacts.hear(corp=corp, userid=taker.case.userid, external_userid=external_userid, change=gone)
    known = Friendship.objects.filter(contact__external_userid=external_userid, corp=corp, userid=taker.userid)
    if not known.filter(ended_at=None, is_confirmed=True).exists():
        _assigned(contacts.hear(corp=corp, userid=taker.userid, external_userid=external_userid, change=came))


# --- events -----------------------------------------------------------------------------------------------------------


def hear_friend(friendship: Friendship) -> None:
    """Listener of the mirror: a new friend whom WeCom was asked to hand over to this account has been handed over."""
    items = HandoverItem.objects.filter(
        contact=friendship.contact_id, taker__userid=friendship.userid, case__corp=friendship.corp_id,
        state__in=[*UNDECIDED, State.REFUSED, State.AT_LIMIT, State.FAILED], asked_at__isnull=False,
    )  # fmt: skip
    at = friendship.added_at
    for item in db.lock(items):
        if at is not None and (item.state in UNDECIDED or at >= item.state_at):
            if item.state in UNDECIDED:
                _assigned(friendship)
            _decide(item, State.DONE, "", at)
            moving.finish(case_id=item.case_id, now=at)


def hear_failure(corp: Corp, userid: str, external_userid: str, reason: str, at: dt.datetime) -> None:
    """Listener of the mirror: the customer refused, or the taker (``userid``) is full."""
    items = HandoverItem.objects.filter(
        contact__external_userid=external_userid, contact__corp=corp, taker__userid=userid, state__in=UNDECIDED
    )
    for item in db.lock(items):
        if item.asked_at is not None and at >= item.asked_at.replace(microsecond=0):
            state = REASONS.get(reason, State.FAILED)
            _decide(item, state, "" if reason in REASONS else reason[:48], at)
            moving.finish(case_id=item.case_id, now=at)


def _assigned(friendship: Friendship) -> None:
    """She came by the handover and chose nobody, unless a code or a reading of WeCom says otherwise."""
    if not friendship.add_way and not friendship.state:
        friendship.add_way = ASSIGNED
        friendship.save(update_fields=["add_way"])


def _decide(item: HandoverItem, state: str, code: str, at: dt.datetime) -> None:
    item.state, item.code, item.state_at = state, code, at
    if state == State.DONE:
        item.takeover_at = at
    item.save(update_fields=["state", "code", "state_at", "takeover_at"])


def _corp(taker: HandoverTaker) -> Corp:
    assert taker.case.corp is not None
    return taker.case.corp
