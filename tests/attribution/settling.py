"""Months of a small company: orders, receipt, vesting, settlement, payout, with the database's clock set."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from attribution import ledger, payouts, settlement
from attribution.models import Account, Batch, Payment, PayoutFile
from members.models import OrderLine
from scrm import jobs
from scrm.models import LegalEntity, User
from tests.factories.clock import Clock
from tests.factories.shops import Shops

SHANGHAI = ZoneInfo("Asia/Shanghai")


def day(text: str, hour: int = 12) -> dt.datetime:
    """``05-02`` of 2027, in Shanghai."""
    month, number = text.split("-")
    return dt.datetime(2027, int(month), int(number), hour, tzinfo=SHANGHAI)


class Books:
    """A company, its clock and the people who settle."""

    def __init__(self, shops: Shops, clock: Clock) -> None:
        self.shops, self.clock = shops, clock
        self.maker, self.approver = (User.objects.create_user(name) for name in ("maker", "approver"))

    def sell(
        self, name: str, *, on: str, paid_fen: int, member: str, store: str | None = "S1", **values: Any
    ) -> OrderLine:
        """Paid on a day and received the next; posted then, or now if that day has passed."""
        at = day(on)
        self.clock.forward(at)
        return self.shops.line(
            name, member=member, store=store, paid_fen=paid_fen, at=at, completed_at=at + dt.timedelta(days=1), **values
        )

    def refund(self, name: str, amount_fen: int, *, on: str) -> None:
        line = self.shops.lines[name]
        line.refresh_from_db()
        self.shops.lines[name] = line
        self.shops.refund(name, amount_fen, self.clock.forward(day(on)))

    def vest(self, *, on: str) -> int:
        now, total = self.clock.forward(day(on)), 0
        while count := ledger.vest(now=now):
            total += count
        return total

    def make(self, period: str, *, on: str, actor: Any = None) -> Batch:
        batch = settlement.request(period=period, actor=actor or self.maker, now=self.clock.forward(day(on)))
        jobs.run(batch.job_id or 0)
        batch.refresh_from_db()
        return batch

    def approve(self, batch: Batch, *, on: str) -> Batch:
        now = self.clock.forward(day(on))
        settlement.approve(
            batch_id=batch.pk, actor=self.approver, now=now, count=batch.line_count, amount_fen=batch.paid_fen
        )
        batch.refresh_from_db()
        jobs.run(batch.job_id or 0)
        batch.refresh_from_db()
        return batch

    def file(self, batch: Batch, company: str = "HQ") -> PayoutFile:
        entity = LegalEntity.objects.get(code=company)
        return payouts.produce(batch_id=batch.pk, company_id=entity.pk, actor=self.maker, now=batch.requested_at)[0]

    def pay(self, batch: Batch, *, on: str, returned: frozenset[str] = frozenset()) -> Batch:
        """Every company's file, answered by the bank; ``returned`` names beneficiaries whose payment came back."""
        now = self.clock.forward(day(on))
        for company in LegalEntity.objects.filter(
            pk__in=Payment.objects.filter(batch=batch).values("company")
        ).order_by("pk"):
            file = self.file(batch, company.code)
            payouts.take_results(file_id=file.pk, content=answer(file, returned), actor=self.maker, now=now)
        batch.refresh_from_db()
        return batch

    def settle(self, period: str, *, on: str) -> Batch:
        """From the batch to the bank's answer."""
        return self.pay(self.approve(self.make(period, on=on), on=on), on=on)


def answer(file: PayoutFile, returned: frozenset[str] = frozenset()) -> bytes:
    """What a bank says to a file."""
    rows = [",".join(payouts.RESULT_COLUMNS)]
    for payment in Payment.objects.filter(batch=file.batch, company=file.company).order_by("pk"):
        code = payment.statement.beneficiary.code
        said = "失败,账号不存在" if code in returned else "成功,"
        rows.append(f"{payment.number},{payouts.plain(payment.amount_fen)},{said}")
    return ("﻿" + "\r\n".join(rows) + "\r\n").encode()


def balance(code: str) -> int:
    found = Account.objects.filter(code=code).values_list("balance_fen", flat=True).first()
    return found or 0
