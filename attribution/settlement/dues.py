"""What waits to be paid: due money that no live batch has taken, and debts. Reads, set-based."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

from django.utils.translation import gettext as _

from attribution import periods
from attribution.models import Account, Batch
from attribution.settlement.plan import Due
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import LegalEntity

# The hold of an entry stands in the key of the transaction that vested it. HQ's pool and the brand's own accounts are paid
# to nobody: their due money stays where it is.
WAITING = """
    FROM attribution_entry e
    JOIN attribution_account a ON a.id = e.account_id AND a.kind = 'DUE'
    JOIN attribution_beneficiary b ON b.id = a.beneficiary_id AND b.kind IN ('GUIDE', 'STORE_POOL', 'ENTITY')
    JOIN attribution_txn t ON t.id = e.txn_id
    CROSS JOIN LATERAL (SELECT substring(t.key from '^VEST[|]([0-9]+)$')::bigint AS hold_id) v
    LEFT JOIN scrm_store s ON s.id = e.store_id
    WHERE e.posted_on >= %(first)s AND e.posted_on < %(end)s AND e.amount_fen > 0
      AND NOT EXISTS (SELECT 1 FROM attribution_batchline l WHERE l.entry_id = e.id AND l.vested_on = e.posted_on AND l.is_live)
      AND NOT EXISTS (SELECT 1 FROM attribution_moneyblock m WHERE m.hold_id = v.hold_id AND m.released_at IS NULL)
"""
COMPANY = "CASE WHEN b.kind = 'ENTITY' THEN %(hq)s ELSE coalesce(s.entity_id, %(hq)s) END"
SUMS = f"""
    SELECT a.beneficiary_id, {COMPANY}, e.store_id, s.code,
           coalesce(sum(e.amount_fen) FILTER (WHERE e.posted_on >= %(period)s), 0)::bigint,
           coalesce(sum(e.amount_fen) FILTER (WHERE e.posted_on < %(period)s), 0)::bigint, count(*)
    {WAITING} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3
"""
TAKEN = """
    SELECT l.beneficiary_id, l.company_id, l.store_id, s.code,
           coalesce(sum(l.amount_fen) FILTER (WHERE l.vested_on >= %(period)s), 0)::bigint,
           coalesce(sum(l.amount_fen) FILTER (WHERE l.vested_on < %(period)s), 0)::bigint, count(*)
    FROM attribution_batchline l LEFT JOIN scrm_store s ON s.id = l.store_id
    WHERE l.batch_id = %(batch)s AND l.is_live AND l.vested_on >= %(first)s AND l.vested_on < %(end)s
      AND (%(who)s::bigint[] IS NULL OR l.beneficiary_id = ANY(%(who)s::bigint[]))
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3
"""
LIVE_BLOCKS_IN = """
    SELECT count(DISTINCT l.entry_id) FROM attribution_moneyblock m
    JOIN attribution_batchline l ON l.hold_id = m.hold_id AND l.is_live AND l.batch_id = %s
    WHERE m.released_at IS NULL
"""


class NoCompany(RuleViolation):
    code = "no_company"


def headquarters() -> int:
    """The company that pays what no store's company pays."""
    found = LegalEntity.objects.filter(kind=LegalEntity.Kind.HQ).order_by("pk").values_list("pk", flat=True).first()
    if found is None:
        raise NoCompany(_("No HQ company is recorded; record it under legal entities first."))
    return found


def values(period: str) -> dict[str, Any]:
    """The days a batch of this period looks at, and who pays for no store."""
    last = Batch.objects.exclude(status=Batch.Status.CANCELLED).exclude(open_from="").exclude(period=period)
    before = last.filter(period__lt=period).order_by("-period").values_list("open_from", flat=True).first()
    return {
        "first": periods.first_day(before) if before else dt.date(2000, 1, 1),
        "period": periods.first_day(period),
        "end": periods.first_day(periods.following(period)),
        "hq": headquarters(),
    }


def waiting(period: str) -> dict[int, list[Due]]:
    """``{beneficiary: dues}`` of what a batch made now would take."""
    return _grouped(db.fetch(SUMS, values(period)))


def taken(batch: Batch, *, beneficiary_ids: list[int] | None = None) -> dict[int, list[Due]]:
    """The same of what a batch has taken."""
    return _grouped(db.fetch(TAKEN, {**values(batch.period), "batch": batch.pk, "who": beneficiary_ids}))


def debts() -> dict[int, int]:
    """``{beneficiary: fen > 0}`` owed by those whom a batch pays."""
    rows = Account.objects.filter(kind=Account.Kind.RECV, balance_fen__lt=0)
    rows = rows.filter(beneficiary__kind__in=["GUIDE", "STORE_POOL", "ENTITY"])
    return {who: -fen for who, fen in rows.values_list("beneficiary_id", "balance_fen")}


def blocked_lines(batch: Batch) -> int:
    return int(db.read(LIVE_BLOCKS_IN, [batch.pk])[0][0])


def _grouped(rows: list[tuple[Any, ...]]) -> dict[int, list[Due]]:
    found: dict[int, list[Due]] = defaultdict(list)
    for who, *due in rows:
        found[who].append(Due(*due))
    return dict(found)
