"""Answers of attribution to screens, reports and other apps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Sum

from attribution import rules, statements
from attribution.commissions import Role, Share
from attribution.models import Account, Decision, Entry, Hold, Statement, StoreDay, Txn
from attribution.rules import explanation as explaining
from guides.models import Guide
from members.models import OrderLine, Refund
from scrm import db, org


def commission_by_beneficiary() -> dict[str, int]:
    """``{beneficiary code: fen}``: accrued less reversed, whatever the state of the money; reads the whole ledger."""
    entries = Entry.objects.filter(
        txn__kind__in=[Txn.Kind.ACCRUE, Txn.Kind.UNHOLD, Txn.Kind.CLAWBACK],
        account__kind__in=[Account.Kind.HOLD, Account.Kind.DUE, Account.Kind.RECV],
    )
    rows = entries.values_list("account__beneficiary__code").annotate(fen=Sum("amount_fen")).order_by()
    return {code: int(fen) for code, fen in rows}


# ---- the guide API: one guide's own money -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GuideFigures:
    """What is credited to a guide. GMV is net of refunds and counts a line once, however many shares she has in it."""

    today_gmv_fen: int
    yesterday_gmv_fen: int
    month_gmv_fen: int
    last_month_gmv_fen: int  # up to the same day of the month
    today_orders: int
    yesterday_orders: int
    held_fen: int  # of this month's commission: waits for completion and its term
    due_fen: int  # of this month's commission: vested and not clawed back
    last_held_fen: int
    last_due_fen: int


GUIDE_FIGURES = """
    WITH kept AS MATERIALIZED (
        SELECT h.line_id, h.booked_on, min(h.earned_on) AS earned_on,
               sum(h.amount_fen - h.vested_fen - h.reversed_fen) AS held_fen, sum(h.vested_fen - h.clawed_fen) AS due_fen
        FROM attribution_hold h
        WHERE h.beneficiary_id = (SELECT b.id FROM attribution_beneficiary b WHERE b.guide_id = %(guide_id)s)
          AND h.earned_on >= %(last_month)s AND h.earned_on <= %(today)s
        GROUP BY h.line_id, h.booked_on
        HAVING sum(h.amount_fen - h.reversed_fen - h.clawed_fen) > 0
        LIMIT 20000
    ), credited AS (
        SELECT k.*, l.order_id, coalesce(l.paid_fen - l.refunded_fen, 0) AS net_fen
        FROM kept k LEFT JOIN members_orderline l ON l.id = k.line_id AND l.booked_on = k.booked_on
    )
    SELECT sum(net_fen) FILTER (WHERE earned_on = %(today)s),
           sum(net_fen) FILTER (WHERE earned_on = %(today)s - 1),
           sum(net_fen) FILTER (WHERE earned_on >= %(month)s),
           sum(net_fen) FILTER (WHERE earned_on < %(month)s AND earned_on <= %(same_day)s),
           count(DISTINCT order_id) FILTER (WHERE earned_on = %(today)s),
           count(DISTINCT order_id) FILTER (WHERE earned_on = %(today)s - 1),
           sum(held_fen) FILTER (WHERE earned_on >= %(month)s), sum(due_fen) FILTER (WHERE earned_on >= %(month)s),
           sum(held_fen) FILTER (WHERE earned_on < %(month)s AND earned_on <= %(same_day)s),
           sum(due_fen) FILTER (WHERE earned_on < %(month)s AND earned_on <= %(same_day)s)
    FROM credited
"""


def guide_figures(*, guide_id: int, today: dt.date) -> GuideFigures:
    """One query over her holds of this month and the last."""
    month = today.replace(day=1)
    last_month = (month - dt.timedelta(days=1)).replace(day=1)
    same_day = min(last_month + (today - month), month - dt.timedelta(days=1))
    values: dict[str, Any] = {
        "guide_id": guide_id,
        "today": today,
        "month": month,
        "last_month": last_month,
        "same_day": same_day,
    }
    return GuideFigures(*(int(value or 0) for value in db.fetch(GUIDE_FIGURES, values)[0]))


# Principle 16: a line is seen at its store, an online line where its beneficiary stood. Looked up line by line: the member
# has few, the store has many.
PURCHASES = f"""
    SELECT l.id AS line_id, o.order_no, l.channel, s.name AS store_name, {db.iso("l.paid_at")} AS paid_at, p.sku,
           p.name AS product_name, l.quantity::text, l.paid_fen, l.refunded_fen
    FROM members_orderline l
    JOIN members_order o ON o.id = l.order_id
    JOIN members_product p ON p.id = l.product_id
    LEFT JOIN scrm_store s ON s.id = l.store_id
    WHERE l.member_id = %(member_id)s AND l.booked_on >= %(since)s AND l.booked_on <= %(today)s AND NOT l.is_voided AND NOT l.is_test
      AND (l.store_id = ANY(%(store_ids)s) OR l.store_id IS NULL AND (
            SELECT d.store_id = ANY(%(store_ids)s) FROM attribution_decision d
            WHERE d.line_id = l.id AND d.booked_on = l.booked_on AND d.state <> 'SUPERSEDED'))
    ORDER BY l.paid_at DESC, l.id DESC LIMIT %(limit)s
"""


def purchases_of(
    *, member_id: int, store_ids: Collection[int], since: dt.date, today: dt.date, limit: int
) -> list[dict[str, Any]]:
    """Her newest order lines that these stores see, booked from ``since`` on; voided and test lines are left out."""
    values = {"member_id": member_id, "store_ids": sorted(store_ids), "since": since, "today": today, "limit": limit}
    return db.fetch_dicts(PURCHASES, values)


COMMISSION_DAYS = """
    SELECT h.earned_on AS day, count(DISTINCT h.line_id) AS line_count,
           sum(h.amount_fen)::bigint AS accrued_fen,
           sum(h.amount_fen - h.vested_fen - h.reversed_fen)::bigint AS held_fen,
           sum(h.vested_fen - h.clawed_fen)::bigint AS due_fen,
           sum(h.reversed_fen)::bigint AS reversed_fen, sum(h.clawed_fen)::bigint AS clawed_fen
    FROM attribution_hold h
    WHERE h.beneficiary_id = (SELECT b.id FROM attribution_beneficiary b WHERE b.guide_id = %(guide_id)s)
      AND h.earned_on >= %(first)s AND h.earned_on < %(until)s
    GROUP BY h.earned_on ORDER BY h.earned_on DESC LIMIT 31
"""


def commission_days(*, guide_id: int, month: dt.date) -> list[dict[str, Any]]:
    """Her commission of a month by business day and state, the newest day first."""
    return db.fetch_dicts(COMMISSION_DAYS, {"guide_id": guide_id, "first": month, "until": _next_month(month)})


HOLD_STATES = {
    "HELD": "h.amount_fen > h.vested_fen + h.reversed_fen",
    "DUE": "h.vested_fen > h.clawed_fen",
    "REVERSED": "h.reversed_fen > 0",
    "CLAWED": "h.clawed_fen > 0",
}
# the holds of the page first: the join then touches one partition per line and nothing else
COMMISSION_LINES = f"""
    WITH page AS (
        SELECT h.* FROM attribution_hold h
        WHERE h.beneficiary_id = (SELECT b.id FROM attribution_beneficiary b WHERE b.guide_id = %(guide_id)s)
          AND h.earned_on >= %(first)s AND h.earned_on < %(until)s
          AND (h.earned_on, h.id) < (%(after_day)s, %(after_id)s) {{state}}
        ORDER BY h.earned_on DESC, h.id DESC LIMIT %(limit)s
    )
    SELECT h.id, h.line_id, h.earned_on::text AS day, h.role, coalesce(o.order_no, h.fact) AS order_no, coalesce(l.channel, '') AS channel, s.name AS store_name,
           m.name AS member_name, coalesce(p.name, h.role) AS product_name, coalesce(l.quantity, 0)::text AS quantity,
           coalesce(l.paid_fen, 0) AS paid_fen, coalesce(l.refunded_fen, 0) AS refunded_fen, h.amount_fen,
           h.amount_fen - h.vested_fen - h.reversed_fen AS held_fen, h.vested_fen - h.clawed_fen AS due_fen, h.reversed_fen,
           h.clawed_fen, {db.iso("h.vests_at")} AS vests_at
    FROM page h
    LEFT JOIN members_orderline l ON l.id = h.line_id AND l.booked_on = h.booked_on
    LEFT JOIN members_order o ON o.id = l.order_id
    LEFT JOIN members_product p ON p.id = l.product_id
    LEFT JOIN members_member m ON m.id = l.member_id
    LEFT JOIN scrm_store s ON s.id = l.store_id
    ORDER BY h.earned_on DESC, h.id DESC
"""


def commission_lines(
    *, guide_id: int, first: dt.date, until: dt.date, state: str | None, after: tuple[dt.date, int] | None, limit: int
) -> list[dict[str, Any]]:
    """Her commission lines earned from ``first`` up to but not on ``until``, the newest first, each with its purchase."""
    day, hold_id = after or (until, 0)
    values = {
        "guide_id": guide_id, "first": first, "until": until, "after_day": day, "after_id": hold_id, "limit": limit,
    }  # fmt: skip
    return db.fetch_dicts(COMMISSION_LINES.format(state=f"AND {HOLD_STATES[state]}" if state else ""), values)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a line's commission is as it is, as one guide may see it."""

    line: dict[str, Any]
    decision: Decision
    summary: str  # one sentence for the reader
    sentences: list[str]
    candidates: list[dict[str, Any]]
    postings: list[dict[str, Any]]
    refunds: list[dict[str, Any]]


def explanation(*, line_id: int, guide_code: str, managed_store_ids: Collection[int]) -> Explanation | None:
    """The live decision of a line in sentences, with what was posted; None when it is not hers to see.

    Hers are the lines on which she was considered or has a share, and those whose credit or sale is with a store she
    manages. Amounts of others are left out unless she manages the store.
    """
    line = _line_of(line_id)
    if line is None:
        return None
    live = Decision.objects.filter(line_id=line_id, booked_on=line["booked_on"]).exclude(
        state=Decision.State.SUPERSEDED
    )
    decision = live.select_related("rule").first()
    if decision is None:
        return None
    is_manager = bool({decision.store_id, line["store_id"]} & set(managed_store_ids))
    codes = {candidate[2] for candidate in decision.candidates} | {share[1] for share in decision.shares}
    if not is_manager and guide_code not in codes:
        return None
    pure, names = decision_of(decision), _names_of(codes)
    refunds = Refund.objects.filter(line_id=line_id, status=Refund.Status.APPLIED).order_by("refunded_at", "refund_no")
    return Explanation(
        line=line,
        decision=decision,
        summary=rules.in_one_sentence(pure, viewer=guide_code, version=decision.rule.number, names=names),
        sentences=rules.explain(pure, rule_name=str(decision.rule), line=_facts_of(line), names=names),
        candidates=[
            {
                **candidate._asdict(),
                "title": explaining.CANDIDATES[candidate.type],
                "name": names.get(candidate.beneficiary, ""),
                "reason_text": explaining.REASONS.get(candidate.reason, candidate.reason),
            }
            for candidate in pure.candidates
        ],
        postings=_postings_of(line_id, None if is_manager else guide_code),
        refunds=[dict(row) for row in refunds.values("refund_no", "refunded_at", "amount_fen")[:50]],
    )


def decision_of(row: Decision) -> rules.Decision:
    """A stored decision in the pure form that ``rules.explain`` takes."""
    is_provisional = row.state == Decision.State.PROVISIONAL
    pots = [rules.pot_of(stored[:-1]) for stored in row.pots or ()]
    main = {"cap_fen": pots[0].cap_fen, "budget": pots[0].budget, "basis": pots[0].basis} if pots else {"cap_fen": None}
    return rules.Decision(
        state=rules.State(row.state if row.state != Decision.State.SUPERSEDED else rules.State.LIVE),
        as_of=row.as_of,
        rule_digest=row.rule.digest,
        mode=rules.Mode(row.mode or row.rule.mode),
        candidates=tuple(rules.Candidate(*candidate) for candidate in row.candidates),
        shares=tuple(Share(Role(role), beneficiary, store, weight) for role, beneficiary, store, weight in row.shares),
        base_fen=row.base_fen,
        rate_bp=row.rate_bp,
        pot_fen=row.pot_fen,
        reason=row.reason,
        provisional_until=row.as_of + dt.timedelta(days=row.rule.late_link_days) if is_provisional else None,
        digest=row.digest,
        fees=tuple(pots[1:]),
        **main,
    )


def _line_of(line_id: int) -> dict[str, Any] | None:
    row = (
        OrderLine.objects.filter(pk=line_id)
        .values(
            "id", "booked_on", "channel", "order__shop", "order__order_no", "line_no", "version_at", "created_at", "paid_at",
            "completed_at", "store_id", "store__name", "member__name", "product__name", "quantity", "list_fen", "paid_fen",
            "points_fen", "refunded_fen",
        )
        .first()
    )  # fmt: skip
    return None if row is None else dict(row)


def _facts_of(line: dict[str, Any]) -> rules.OrderFacts:
    return rules.OrderFacts(
        channel=line["channel"], shop=line["order__shop"], order_no=line["order__order_no"], line_no=str(line["line_no"]),
        version=line["version_at"], paid_at=line["paid_at"], paid_fen=line["paid_fen"], points_fen=line["points_fen"],
    )  # fmt: skip


def _names_of(codes: Collection[str]) -> dict[str, str]:
    return dict(Guide.objects.filter(code__in=codes).values_list("code", "name"))


POSTINGS = """
    SELECT t.kind, t.effective_at, t.posted_at, t.reason, y.code AS beneficiary,
           coalesce(sum(e.amount_fen) FILTER (WHERE a.kind = 'HOLD'), 0)::bigint AS held_fen,
           coalesce(sum(e.amount_fen) FILTER (WHERE a.kind = 'DUE'), 0)::bigint AS due_fen,
           coalesce(sum(e.amount_fen) FILTER (WHERE a.kind = 'RECV'), 0)::bigint AS owed_fen
    FROM attribution_txn t
    JOIN attribution_entry e ON e.txn_id = t.id AND e.posted_on = t.posted_on
    JOIN attribution_account a ON a.id = e.account_id
    JOIN attribution_beneficiary y ON y.id = a.beneficiary_id
    WHERE t.line_id = %(line_id)s AND (%(guide_code)s::text IS NULL OR y.code = %(guide_code)s)
    GROUP BY t.id, y.code ORDER BY t.id, y.code LIMIT 200
"""


def _postings_of(line_id: int, guide_code: str | None) -> list[dict[str, Any]]:
    """What the ledger says of a line, step by step; ``guide_code`` None: for all beneficiaries."""
    rows = db.fetch_dicts(POSTINGS, {"line_id": line_id, "guide_code": guide_code})
    return [{**row, "title": str(Txn.Kind(row["kind"]).label)} for row in rows]


def _next_month(month: dt.date) -> dt.date:
    return (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


# ---- the console: decisions ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LineMoney:
    """Commission of one order line, in fen, as far as the scope sees it."""

    accrued_fen: int
    reversed_fen: int
    vested_fen: int

    @property
    def net_fen(self) -> int:
        return self.accrued_fen - self.reversed_fen


def live_decisions(*, line_ids: Sequence[int], scope: org.Scope) -> dict[int, tuple[int, str]]:
    """``{line: (decision, winner's code)}`` for a page of lines; one query."""
    rows = Decision.objects.filter(line_id__in=line_ids).exclude(state=Decision.State.SUPERSEDED)
    found = org.visible(rows, scope).values_list("line_id", "pk", "winner_code", "state")
    labels = Decision.State(Decision.State.INELIGIBLE).label
    return {line_id: (pk, winner or str(labels)) for line_id, pk, winner, _state in found}


def commission_of_lines(*, line_ids: Sequence[int], scope: org.Scope) -> dict[int, LineMoney]:
    rows = org.visible(Hold.objects.filter(line_id__in=line_ids), scope)
    sums = rows.values("line_id").annotate(
        accrued=Sum("amount_fen"), taken=Sum(F("reversed_fen") + F("clawed_fen")), vested=Sum("vested_fen")
    )
    return {row["line_id"]: LineMoney(row["accrued"], row["taken"], row["vested"]) for row in sums.order_by("line_id")}


# ---- the guide API: her statements ---------------------------------------------------------------------------------

STATEMENT_FIGURES = (
    "earned_fen", "late_fen", "opening_debt_fen", "reversed_fen", "written_off_fen", "netted_fen", "paid_fen", "carried_fen",
)  # fmt: skip


def statements_of_guide(*, guide_id: int) -> list[dict[str, Any]]:
    """Her statements of the last two years, the newest first."""
    return [_statement(row) for row in statements.of_guide(guide_id=guide_id)]


def statement_of_guide(*, guide_id: int, period: str, after: int, limit: int) -> dict[str, Any] | None:
    """One of her statements with a page of its lines, its claw-backs and its payments; None when there is none."""
    row = statements.one_of_guide(guide_id=guide_id, period=period)
    if row is None:
        return None
    rows = statements.lines(statement=row, after=after, limit=limit)
    payments = row.payments.order_by("pk").values("number", "company__name", "amount_fen", "status", "reason")
    return {
        **_statement(row),
        "lines": [{**line, "title": statements.what(line)} for line in rows],
        "debts": [{**debt, "title": statements.what(debt)} for debt in statements.debts(statement=row)],
        "payments": [dict(payment) for payment in payments],
    }


def _statement(row: Statement) -> dict[str, Any]:
    figures = {name: getattr(row, name) for name in STATEMENT_FIGURES}
    batch = row.batch
    return {
        "period": batch.period,
        "state": batch.status,
        "state_title": batch.get_status_display(),
        "line_count": row.line_count,
        **figures,
    }


def sales_by_day(*, scope: org.Scope, first: dt.date, last: dt.date) -> dict[dt.date, int]:
    """``{day: GMV in fen}`` of the stores of the scope, net of refunds, out of the figures per store and day."""
    rows = org.visible(StoreDay.objects.filter(day__gte=first, day__lte=last), scope).values("day").order_by("day")
    return {row["day"]: int(row["net"]) for row in rows.annotate(net=Sum(F("gmv_fen") - F("refunded_fen")))}
