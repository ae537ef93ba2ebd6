"""The process that a test's workers are forked from, and what a worker does: ``python -m tests.faults.zygote``.

A line of JSON on its input starts a worker; each worker tells on the common output that it has come to the point where it is
to die (and waits there for its death), or how it ended. Points are functions of the product, wrapped in the worker only.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BEFORE, INSIDE, AFTER = "before", "inside", "after"


@dataclass(frozen=True)
class Point:
    """``moment``: before the call, after it, or after it in a transaction that is not committed yet. ``path``: only in a
    call of WeCom whose address begins so."""

    target: str
    moment: str
    path: str = ""


SENT = "urllib3.connection:HTTPConnection.getresponse"
POINTS: dict[str, Point] = {
    # the outbox
    "nothing reserved": Point("scrm.wecom.outbox.sending:_reserve", BEFORE),
    "reserved, not committed": Point("scrm.wecom.outbox.sending:_reserve", INSIDE),
    "reserved": Point("scrm.wecom.outbox.sending:_reserve", AFTER),
    "before the request": Point("scrm.wecom.transport:exchange", BEFORE, "externalcontact/"),
    "request sent": Point(SENT, BEFORE, "externalcontact/"),
    "answer on the wire": Point(SENT, "arrived", "externalcontact/"),
    "answer read": Point("scrm.wecom.transport:exchange", AFTER, "externalcontact/"),
    "before settling": Point("scrm.wecom.outbox.sending:conclude", BEFORE),
    "settling, nothing written": Point("scrm.wecom.outbox.ending:end", BEFORE),
    "settled, not committed": Point("scrm.wecom.outbox.ending:end", AFTER),
    "settled": Point("scrm.wecom.outbox.sending:conclude", AFTER),
    "about to look after": Point("scrm.wecom.outbox.upkeep:_claim_check", AFTER),
    "looked after": Point("scrm.wecom.outbox.upkeep:_check", AFTER),
    "taken up": Point("scrm.wecom.outbox.upkeep:_take_up", AFTER),
    # a sweep of contacts
    "before the plan": Point("guides.contacts.sweeps:_plan", BEFORE),
    "accounts listed, not committed": Point("guides.contacts.sweeps:_record_listed", INSIDE),
    "planned": Point("guides.contacts.sweeps:_plan", AFTER),
    "batch begun": Point("guides.contacts.sweeps:_Batch._begin", AFTER),
    "page asked for": Point(SENT, BEFORE, "externalcontact/batch/"),
    "page on the wire": Point(SENT, "arrived", "externalcontact/batch/"),
    "page read": Point("guides.contacts.sweeps:_Batch._page", AFTER),
    "page kept, not committed": Point("guides.contacts.sweeps:_Batch._keep", INSIDE),
    "page kept": Point("guides.contacts.sweeps:_Batch._keep", AFTER),
    "before comparing": Point("guides.contacts.sweeps:_Batch._compare", BEFORE),
    "compared, not committed": Point("guides.contacts.sweeps:_Batch._compare", INSIDE),
    "compared": Point("guides.contacts.sweeps:_Batch._compare", AFTER),
    "before the end": Point("guides.contacts.sweeps:_finish", BEFORE),
    "ended": Point("guides.contacts.sweeps:_finish", AFTER),
    # a handover
    "customers read": Point("guides.handover.plan:_read_wecom", AFTER),
    "items written": Point("guides.handover.plan:_write_items", AFTER),
    "chunk moved, not committed": Point("guides.handover.moving:move_some", INSIDE),
    "chunk moved": Point("guides.handover.moving:move_some", AFTER),
    "taker claimed": Point("guides.handover.results:_claimed", AFTER),
    "results on the wire": Point(SENT, "arrived", "externalcontact/"),
    "results taken, not committed": Point("guides.handover.results:_take", INSIDE),
    "results taken": Point("guides.handover.results:_take", AFTER),
    # a mass send
    "audience judged, not committed": Point("campaigns.sends.planning:plan", INSIDE),
    "send planned": Point("campaigns.sends.planning:plan", AFTER),
    "task handed over, not committed": Point("campaigns.sends.handing:ask", AFTER),
    "task handed over": Point("campaigns.sends.handing:_hand_over_next", AFTER),
    "customers looked at once more": Point("campaigns.sends.handing:_still_willing", AFTER),
    "task read": Point("campaigns.sends.results:take", BEFORE),
    "fates written, not committed": Point("campaigns.sends.results:_count", AFTER),
    "fates written": Point("campaigns.sends.results:take", AFTER),
    # a moment
    "guides judged, not committed": Point("campaigns.moments.planning:plan", INSIDE),
    "moment planned": Point("campaigns.moments.planning:plan", AFTER),
    "guides looked at again": Point("campaigns.moments.planning:look_again", AFTER),
    "moment handed over": Point("campaigns.moments.handing:_hand_over", AFTER),
    "job named it, not committed": Point("campaigns.moments.reading:made", AFTER),
    "job named it": Point("campaigns.moments.reading:_take_job", AFTER),
    "publishers marked, not committed": Point("campaigns.moments.reading:mark", AFTER),
    "publishers marked": Point("campaigns.moments.reading:_take_tasks", AFTER),
    "likes counted": Point("campaigns.moments.reading:_count", AFTER),
    "own moments kept": Point("campaigns.moments.reading:_keep_own", AFTER),
    # a chain order
    "stock claimed, line not written": Point("campaigns.communities.stock:claim", AFTER),
    "chain joined": Point("campaigns.communities.chain_orders.joining:join", AFTER),
    "chain stock sold, order not written": Point("campaigns.communities.stock:confirm", AFTER),
    "chain order written, not committed": Point("members.purchases.lines:record_lines", AFTER),
    "chain paid": Point("campaigns.communities.chain_orders.paying:pay", AFTER),
    # an import
    "file staged": Point("scrm.copyin.staging:stage", AFTER),
    "rows checked": Point("scrm.imports:Run.check", AFTER),
    "members written": Point("members.legacy_import.merge:_write_chunk", AFTER),
    # the money
    "lines claimed": Point("attribution.decisions.running:_claim", AFTER),
    "lines decided, not posted": Point("attribution.ledger:post", BEFORE),
    "lines posted, not committed": Point("attribution.decisions.running:_settle", AFTER),
    "lines posted": Point("attribution.decisions.running:_drain", AFTER),
    "file written, not committed": Point("attribution.payouts:produce", INSIDE),
    "file written": Point("attribution.payouts:produce", AFTER),
    "payments booked, not committed": Point("attribution.payouts:take_results", INSIDE),
    "payments booked": Point("attribution.payouts:take_results", AFTER),
    "batch asked for, not committed": Point("attribution.settlement.batches:request", INSIDE),
    "batch asked for": Point("attribution.settlement.batches:request", AFTER),
    "batch approved, not committed": Point("attribution.settlement.batches:approve", INSIDE),
    "batch approved": Point("attribution.settlement.batches:approve", AFTER),
    # the news of a sweep
    "news told, not committed": Point("guides.contacts.listeners:tell_news", INSIDE),
    "contact read": Point("guides.contacts.reading:_read", BEFORE),
    "event applied, not committed": Point("scrm.wecom.inbox:_apply", AFTER),
    "event applied": Point("scrm.wecom.inbox:_attempt", AFTER),
}


def say(word: str, text: str = "") -> None:
    os.write(1, f"{os.getpid()} {word} {text}\n".encode())


# --- what a worker does -----------------------------------------------------------------------------------------------


def outbox(now: dt.datetime, **_: Any) -> Any:
    from scrm.wecom import outbox

    return vars(outbox.sweep(now=now))


def send(now: dt.datetime, **_: Any) -> Any:
    from scrm.wecom import outbox

    return vars(outbox.send_due(now=now))


def look_after(now: dt.datetime, **_: Any) -> Any:
    """What a sweep of the outbox does before it sends."""
    from scrm.wecom.outbox import sending, upkeep

    run = sending.Run(now)
    upkeep._take_up(run)
    upkeep._look_after(run)
    return vars(run.sent)


def open_jobs(now: dt.datetime, **_: Any) -> Any:
    """What the sweep of jobs rings for, and sweeps that were held up."""
    from guides.contacts import sweeps
    from scrm import jobs
    from scrm.models import Job

    sweeps.go_on(now=now)
    for key in list(Job.objects.filter(status__in=["QUEUED", "RUNNING"]).order_by("pk").values_list("pk", flat=True)):
        jobs.run(key)
    return None


def results(now: dt.datetime, **_: Any) -> Any:
    from guides.handover import results

    return results.poll_due(now=now)


def mass_sends(now: dt.datetime, **_: Any) -> Any:
    from campaigns import sends

    return sends.sweep(now=now)


def moments(now: dt.datetime, **_: Any) -> Any:
    from campaigns import moments

    return moments.sweep(now=now)


def news(now: dt.datetime, **_: Any) -> Any:
    from guides import contacts

    return contacts.tell_news(now=now)


def inbox(now: dt.datetime, **_: Any) -> Any:
    from scrm.wecom import inbox

    return inbox.sweep(now=now)


def process(now: dt.datetime, **_: Any) -> Any:
    from scrm.wecom import inbox

    return vars(inbox.process(now=now))


def ask_for_ways(now: dt.datetime, **values: Any) -> Any:
    from tests.faults import ways

    return ways.ask(**values)


def call(now: dt.datetime, target: str) -> Any:
    """Whatever takes the time only."""
    module, _colon, name = target.partition(":")
    return vars(getattr(importlib.import_module(module), name)(now=now))


def read(**_: Any) -> Any:
    from guides import contacts

    return contacts.read_due()


def books(step: str, **values: Any) -> Any:
    from tests.faults import books

    return getattr(books, step)(**values)


def chain(now: dt.datetime, name: str) -> Any:
    from tests.faults import chain_buying

    return chain_buying.buy(name)


WORKS: dict[str, Callable[..., Any]] = {
    work.__name__: work
    for work in (
        outbox,
        send,
        look_after,
        open_jobs,
        results,
        mass_sends,
        moments,
        news,
        inbox,
        process,
        ask_for_ways,
        call,
        read,
        books,
        chain,
    )
}


# --- where it dies ----------------------------------------------------------------------------------------------------

_current = threading.local()
_lock = threading.Lock()


def _die_here() -> None:
    say("reached")
    signal.pause() if threading.current_thread() is threading.main_thread() else threading.Event().wait()


def arm(point: Point, nth: int) -> None:
    """Wrap the point's function: its nth call waits for the end."""
    from django.db import transaction

    count = 0

    def is_it() -> bool:
        nonlocal count
        if point.path and not getattr(_current, "path", "").startswith(point.path):
            return False
        with _lock:
            count += 1
            return count == nth

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **kwargs: Any) -> Any:
            if not is_it():
                return original(*args, **kwargs)
            if point.moment == BEFORE:
                _die_here()
            if point.moment == "arrived":
                select.select([args[0].sock], [], [], 60)
                _die_here()
            if point.moment == INSIDE:
                with transaction.atomic():
                    original(*args, **kwargs)
                    _die_here()
            original(*args, **kwargs)
            _die_here()
            raise AssertionError("a dead worker goes on")

        return dying

    _note_paths()
    _replace(point.target, wrapped)


def _note_paths() -> None:
    """Which of WeCom's endpoints this thread is calling."""

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        def exchange(method: str, path: str, *args: Any, **kwargs: Any) -> Any:
            _current.path = path
            return original(method, path, *args, **kwargs)

        return exchange

    _replace("scrm.wecom.transport:exchange", noting)


def _replace(target: str, wrapped: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """In its own module and wherever it was imported by name."""
    module, _colon, path = target.partition(":")
    holder: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for owner in owners:
        holder = getattr(holder, owner)
    original = getattr(holder, name)
    dying = wrapped(original)
    setattr(holder, name, dying)
    for other in list(sys.modules.values()):
        if (
            getattr(other, "__name__", "").startswith(("scrm", "members", "guides", "attribution"))
            and vars(other).get(name) is original
        ):
            setattr(other, name, dying)


# --- the processes ----------------------------------------------------------------------------------------------------


def _work(order: dict[str, Any]) -> None:
    from django.utils import timezone

    if point := order.get("point"):
        arm(POINTS[point], order.get("nth", 1))
    now = timezone.now() + dt.timedelta(seconds=order.get("offset", 0))
    found = WORKS[order["work"]](now=now, **order.get("values", {}))
    say("ended", json.dumps(found, default=str))


def main() -> None:
    import django

    django.setup()
    from django.db import connections
    from django.urls import get_resolver

    assert get_resolver().url_patterns  # everything that workers need is imported once, here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if pid:
            say("forked", str(pid))
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            _work(json.loads(line))
        except BaseException:  # noqa: BLE001  the test raises it
            say("failed", json.dumps(traceback.format_exc()[-3000:]))
        finally:
            connections.close_all()
            os._exit(0)


if __name__ == "__main__":
    main()
