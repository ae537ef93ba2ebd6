"""What a company's processes do with its money, for a worker of a test: each tells on a file what was promised to somebody."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import InterfaceError, OperationalError
from django.test import Client
from django.utils import timezone

from attribution import decisions, intake, ledger, payouts, proving, settlement
from attribution.channels import polling
from attribution.models import Batch, Payment, PayoutFile
from scrm import jobs
from scrm.models import LegalEntity, User
from tests.attribution.settling import answer

URL = "/api/channels/MINI_PROGRAM/events"


def event(number: int, paid_at: str, *, member: str = "", fen: int = 10_000, version: str = "") -> dict[str, Any]:
    """An order of two lines that was received the day after."""
    lines = [{"line_no": place, "sku": "K1", "quantity": "1", "list_fen": fen + number * place} for place in (1, 2)]
    order = {
        "paid_at": paid_at,
        "completed_at": paid_at,
        "lines": lines,
        "buyer": {"card_no": member} if member else {},
    }
    return {
        "schema": "order-event/1", "event_id": f"e{number}{version}", "version": version or paid_at, "shop": "main",
        "order_no": f"W{number}", "order": order,
    }  # fmt: skip


def told(path: str, *words: object) -> None:
    """Said to somebody outside: what is on the file must be in the books."""
    with open(path, "a") as file:
        file.write(json.dumps(words, default=str) + "\n")
        file.flush()
        os.fsync(file.fileno())


def until_cut(step: Callable[..., Any]) -> Callable[..., Any]:
    """Whether the step came to its end; a database that goes away is no error, everything else is one."""

    def run(**values: Any) -> Any:
        try:
            step(**values)
        except (OperationalError, InterfaceError, psycopg.OperationalError):
            return False
        return True

    return run


@until_cut
def post(*, secret: str, bodies: list[dict[str, Any]], file: str, **_: Any) -> None:
    for body in bodies:
        raw, timestamp = json.dumps(body).encode(), str(int(timezone.now().timestamp()))
        signed = {"X-Timestamp": timestamp, "X-Signature": intake.signature(secret.encode(), timestamp, raw)}
        answered = Client(headers=signed).post(URL, raw, content_type="application/json")
        assert answered.status_code == 200, answered.content
        told(file, "event", body["event_id"])


@until_cut
def poll(*, at: str, **_: Any) -> None:
    """The shops on platforms are read up to a moment."""
    while polling.run_due(now=dt.datetime.fromisoformat(at)).pages:
        pass


@until_cut
def decide(*, now: dt.datetime, **_: Any) -> None:
    """The commission run."""
    intake.process(now=now)
    intake.process(now=now, again=True)
    decisions.decide_open(chunk=7)


@until_cut
def vest(*, now: dt.datetime, **_: Any) -> None:
    while ledger.vest(now=now, limit=11):
        pass


@until_cut
def settle(*, now: dt.datetime, period: str, file: str, **_: Any) -> None:
    """From the batch to the bank's answer: each click may be the second one."""
    maker, approver = (User.objects.get(username=name) for name in ("maker", "approver"))
    batch = Batch.objects.filter(period=period).first()
    if batch is None or batch.status == Batch.Status.MAKING:
        batch = settlement.request(period=period, actor=maker, now=now)
        told(file, "batch", batch.code)
        jobs.run(batch.job_id or 0)
        batch.refresh_from_db()
    if batch.status == Batch.Status.READY:
        settlement.approve(
            batch_id=batch.pk, actor=approver, now=now, count=batch.line_count, amount_fen=batch.paid_fen
        )
        told(file, "approved", batch.code, batch.line_count, batch.paid_fen, batch.digest)
        batch.refresh_from_db()
    if batch.status == Batch.Status.APPROVED:
        jobs.run(batch.job_id or 0)
        batch.refresh_from_db()
    if batch.status == Batch.Status.POSTED:
        for company in LegalEntity.objects.filter(pk__in=Payment.objects.filter(batch=batch).values("company")):
            made = payouts.produce(batch_id=batch.pk, company_id=company.pk, actor=maker, now=now)[0]
            told(file, "file", company.code, made.digest)
            payouts.take_results(file_id=made.pk, content=answer(made), actor=maker, now=now)
            told(file, "paid", company.code, made.total_fen)


def state(*, now: dt.datetime, **_: Any) -> dict[str, Any]:
    """What stands, for the test to compare."""
    from attribution.models import BatchLine, ChannelEvent, Decision, Txn
    from attribution.proving import standing
    from members.models import LineToDecide, OrderLine

    proof = proving.run(now=now)
    batch = Batch.objects.order_by("pk").last()
    return {
        "events": list(ChannelEvent.objects.values_list("event_id", flat=True)), "lines": OrderLine.objects.count(),
        "waiting": LineToDecide.objects.count() + ChannelEvent.objects.filter(status="RECEIVED").count(),
        "parked": ChannelEvent.objects.filter(status="PARKED").count(),
        "decided": Decision.objects.exclude(state="SUPERSEDED").count(), "differences": proof.differences,
        "kinds": {kind: Txn.objects.filter(kind=kind).count() for kind in ("ACCRUE", "VEST", "PAY", "SETTLED")},
        "batches": Batch.objects.count(), "batch_lines": BatchLine.objects.filter(is_live=True).count(),
        "batch": [batch.code, batch.line_count, batch.paid_fen, batch.digest, batch.status] if batch else None,
        "files": {f.company.code: [f.digest, f.total_fen] for f in PayoutFile.objects.select_related("company")},
        "digest": standing.digest(), "standing": standing.rows(),
    }  # fmt: skip
