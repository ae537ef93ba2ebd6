"""Clearing of coupons between companies (券结算).

1. The company whose store takes a coupon has given the customer the discount. HQ owes it HQ's share; the rest is owed by the company
   that gave the coupon out, or is the redeeming company's own, as the template says. What a company bears of its own shows too.
2. Each redemption posts its entries in the month of its business day (Shanghai); taken back, the same amounts again, negative, in the
   month in which that happens.
3. Months are closed in order, when they are over. A closed month takes no entry and keeps the digest of those it has: what comes
   later is posted in the first open month and names the month it corrects.
4. A franchisee sees the entries in which her company pays or is paid, and no others.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Min, QuerySet, Sum
from django.utils.translation import gettext as _

from members.coupons import terms
from members.coupons.refusals import CouponRefused
from members.models import ClearingEntry, ClearingMonth, Redemption
from scrm import audit, db, org
from scrm.models import LegalEntity
from scrm.money import yuan
from scrm.org import Scope


def hq() -> LegalEntity:
    found = LegalEntity.objects.filter(kind=LegalEntity.Kind.HQ).order_by("pk").first()
    if found is None:
        raise CouponRefused(
            _("No legal entity is the HQ company; enter it under legal entities."), code="no_hq_company", field="entity"
        )
    return found


@dataclass(frozen=True, slots=True)
class Books:
    """Where entries go: the HQ company, and the last closed month, empty before the first."""

    hq_id: int | None
    closed: str | None

    @property
    def hq(self) -> int:
        return self.hq_id or hq().pk


BOOKS = """
    SELECT (SELECT min(id) FROM scrm_legalentity WHERE kind = 'HQ'), (SELECT max(period) FROM members_clearingmonth)
"""


def owed(redemption: Redemption, books: Books) -> dict[int, int]:
    """``{company: what it bears}``, by the company's id."""
    found: dict[int, int] = {}
    if redemption.hq_fen:
        found[books.hq] = redemption.hq_fen
    if redemption.rest_fen:
        found[redemption.bearer_id] = found.get(redemption.bearer_id, 0) + redemption.rest_fen
    return dict(sorted(found.items()))


def period_of(redemption: Redemption, now: dt.datetime, books: Books) -> tuple[str, str]:
    """The month in which it is posted, and the month it corrects."""
    of = terms.month(redemption.redeemed_at)
    period = max(terms.month(now), next_month(books.closed) if books.closed else "")
    return period, "" if of == period else of


def post_reversal(*, redemption: Redemption, now: dt.datetime) -> None:
    """The entries of a redemption again, negative. Needs the transaction in which it is taken back."""
    books = Books(*db.read(BOOKS)[0])
    period, adjusts = period_of(redemption, now, books)
    ClearingEntry.objects.bulk_create(
        ClearingEntry(
            redemption=redemption, is_reversal=True, payer_id=payer, payee_id=redemption.entity_id, amount_fen=-fen,
            period=period, adjusts_period=adjusts, posted_at=now,
        )
        for payer, fen in owed(redemption, books).items()
    )  # fmt: skip


def first_open() -> str:
    """The month after the last closed one; empty before the first close."""
    last = ClearingMonth.objects.order_by("-period").values_list("period", flat=True).first()
    return next_month(last) if last else ""


def next_month(period: str) -> str:
    year, number = map(int, period.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def is_period(text: str) -> bool:
    try:
        dt.date.fromisoformat(f"{text}-01")
    except ValueError:
        return False
    return len(text) == 7


@transaction.atomic
def close(*, period: str, actor: Any, now: dt.datetime) -> ClearingMonth:
    """Freeze a month that is over. Raises CouponRefused."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"coupon clearing {period}"])
    if not is_period(period) or period >= terms.month(now):
        raise _refused(_("Only a month that is over can be closed."), "clearing_month_not_over")
    if ClearingMonth.objects.filter(period=period).exists():
        raise _refused(_("This month is closed already."), "clearing_month_closed")
    expected = first_open() or ClearingEntry.objects.aggregate(first=Min("period"))["first"]
    if period != expected:
        message = _("Months are closed in order; the next one is %(period)s.") % {"period": expected or "—"}
        raise _refused(message, "clearing_month_not_next")
    entries = ClearingEntry.objects.filter(period=period)
    row = ClearingMonth.objects.create(
        period=period, digest=digest(period), entry_count=entries.count(),
        amount_fen=entries.aggregate(fen=Sum("amount_fen"))["fen"] or 0, closed_at=now, closed_by=actor,
    )  # fmt: skip
    audit.record(actor=actor, verb="coupon.close_month", target=row, amount_fen=row.amount_fen)
    return row


def digest(period: str) -> str:
    """Of the month's entries in their order."""
    made = hashlib.sha256()
    rows = ClearingEntry.objects.filter(period=period).order_by("pk")
    for row in rows.values_list(
        "pk", "redemption_id", "payer_id", "payee_id", "amount_fen", "adjusts_period"
    ).iterator():
        made.update(repr(row).encode())
    return made.hexdigest()


# --- statements -------------------------------------------------------------------------------------------------------


def entries(*, period: str, scope: Scope) -> QuerySet[ClearingEntry]:
    return org.visible(ClearingEntry.objects.filter(period=period), scope)


def statement(*, period: str, scope: Scope) -> list[dict[str, Any]]:
    """``{payee, payer, count, reversed, fen, corrected_fen}`` of who took whose coupons, the largest first."""
    rows = entries(period=period, scope=scope).order_by()
    sums = rows.values("payee_id", "payee__name", "payer_id", "payer__name", "is_reversal", "adjusts_period").annotate(
        count=Count("pk"), fen=Sum("amount_fen")
    )
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for row in sums:
        into = found.setdefault(
            (row["payee_id"], row["payer_id"]),
            {
                "payee_id": row["payee_id"], "payer_id": row["payer_id"], "payee": row["payee__name"], "payer": row["payer__name"],
                "is_own": row["payee_id"] == row["payer_id"], "count": 0, "reversed": 0, "fen": 0, "corrected_fen": 0,
            },
        )  # fmt: skip
        into["reversed" if row["is_reversal"] else "count"] += row["count"]
        into["fen"] += row["fen"]
        into["corrected_fen"] += row["fen"] if row["adjusts_period"] else 0
    return sorted(found.values(), key=lambda row: (-row["fen"], row["payee_id"], row["payer_id"]))


def balances(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``{name, receives, pays, net}`` of each company; what it bears of its own is neither."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        for side in ("payee", "payer"):
            found.setdefault(row[f"{side}_id"], {"name": row[side], "receives": 0, "pays": 0, "own": 0})
        if row["is_own"]:
            found[row["payee_id"]]["own"] += row["fen"]
        else:
            found[row["payee_id"]]["receives"] += row["fen"]
            found[row["payer_id"]]["pays"] += row["fen"]
    for each in found.values():
        each["net"] = each["receives"] - each["pays"]
    return sorted(found.values(), key=lambda each: (-each["net"], each["name"]))


@transaction.atomic
def take_file(*, period: str, scope: Scope, actor: Any) -> list[list[str]]:
    """The month's entries with a heading, one a row, recorded."""
    rows = entries(period=period, scope=scope).order_by("pk").select_related(
        "payee", "payer", "redemption__store", "redemption__template", "redemption__coupon"
    )  # fmt: skip
    titles = [
        _("month"), _("redeemed at"), _("store"), _("redeemed by"), _("borne by"), _("coupon template"), _("coupon no."), _("order no."),
        _("amount (yuan)"), _("corrects month"),
    ]  # fmt: skip
    found = [titles]
    for row in rows.iterator(chunk_size=2_000):
        used = row.redemption
        found.append(
            [
                row.period, f"{used.redeemed_at.astimezone(terms.SHANGHAI):%Y-%m-%d %H:%M:%S}", used.store.name, row.payee.name,
                row.payer.name, used.template.name, str(used.coupon), used.order_no, yuan(row.amount_fen).replace(",", ""), row.adjusts_period,
            ]
        )  # fmt: skip
    audit.record(
        actor=actor,
        verb="coupon.clearing_file",
        target_type=ClearingEntry._meta.label,
        target_id=period,
        rows=len(found) - 1,
    )
    return found


def periods(scope: Scope) -> list[str]:
    """Months with entries, the newest first."""
    rows = org.visible(ClearingEntry.objects.all(), scope)
    return list(rows.order_by("-period").values_list("period", flat=True).distinct()[:36])


def _refused(message: str, code: str) -> CouponRefused:
    return CouponRefused(message, code=code, field="period")
