"""Statements (对账单): what a batch says to a guide, and to a company, line by line; on a page, as CSV, as PDF.

1. A statement balances twice: what vested in the period and what was due from before is what was netted and paid; what was
   owed from before, with what was clawed back and less what was written off and netted, is what is carried over.
2. Every line leads to the decision that explains it.
3. A company's statement: gross is what the batch owes its side, out is what goes to its guides and store pools, net is its own
   part; gross = out + net, for each of vested, netted and paid.
4. Cells that a spreadsheet would take for a formula are text.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from attribution.models import Batch, Statement
from attribution.payouts import plain, safe
from scrm import db
from scrm.models import LegalEntity

SHOWN = (Batch.Status.APPROVED, Batch.Status.POSTED, Batch.Status.SETTLED)  # before the approval nothing is said

LINES = """
    SELECT l.entry_id, l.vested_on, l.amount_fen, h.line_id, h.fact, h.role, h.earned_on, o.order_no, x.line_no, x.channel,
           p.name AS product_name, x.paid_fen, t.decision_id, t.kind
    FROM attribution_batchline l
    LEFT JOIN attribution_hold h ON h.id = l.hold_id
    LEFT JOIN attribution_txn t ON t.id = h.txn_id
    LEFT JOIN members_orderline x ON x.id = h.line_id AND x.booked_on = h.booked_on
    LEFT JOIN members_order o ON o.id = x.order_id
    LEFT JOIN members_product p ON p.id = x.product_id
    WHERE l.batch_id = %(batch)s AND l.beneficiary_id = %(who)s AND l.is_live AND l.entry_id > %(after)s
    ORDER BY l.entry_id LIMIT %(limit)s
"""
# What made her owe since the statement before: claw-backs and write-offs, oldest first.
DEBTS = """
    SELECT e.id, t.kind, t.posted_at, -e.amount_fen AS amount_fen, t.reason, t.line_id, t.fact, t.decision_id, o.order_no, t.adjusts_period
    FROM attribution_account a
    JOIN attribution_entry e ON e.account_id = a.id
    JOIN attribution_txn t ON t.id = e.txn_id AND t.kind IN ('CLAWBACK', 'WRITEOFF')
    LEFT JOIN members_orderline x ON x.id = t.line_id AND x.booked_on = t.booked_on
    LEFT JOIN members_order o ON o.id = x.order_id
    WHERE a.beneficiary_id = %(who)s AND a.kind = 'RECV' AND t.posted_at <= %(cut)s AND (%(since)s::timestamptz IS NULL OR t.posted_at > %(since)s)
    ORDER BY e.id LIMIT 500
"""
COMPANY = """
    SELECT y.code, y.kind, coalesce(g.name, s.name, c.name, y.code) AS name, f.id AS statement_id,
           sum(l.fen)::bigint AS earned_fen, coalesce(p.netted_fen, l0.netted)::bigint AS netted_fen, coalesce(p.amount_fen, 0)::bigint AS paid_fen,
           coalesce(p.status, '') AS status
    FROM attribution_statement f
    JOIN attribution_beneficiary y ON y.id = f.beneficiary_id
    LEFT JOIN guides_guide g ON g.id = y.guide_id LEFT JOIN scrm_store s ON s.id = y.store_id LEFT JOIN scrm_legalentity c ON c.id = y.entity_id
    JOIN LATERAL (
        SELECT sum(b.amount_fen) AS fen FROM attribution_batchline b
        WHERE b.batch_id = f.batch_id AND b.beneficiary_id = f.beneficiary_id AND b.is_live AND (y.entity_id = %(company)s OR b.company_id = %(company)s)
    ) l ON l.fen IS NOT NULL
    LEFT JOIN attribution_payment p ON p.statement_id = f.id AND (y.entity_id = %(company)s OR p.company_id = %(company)s)
    CROSS JOIN LATERAL (SELECT l.fen AS netted) l0
    WHERE f.batch_id = %(batch)s AND (y.entity_id = %(company)s OR y.kind <> 'ENTITY')
    GROUP BY y.code, y.kind, g.name, s.name, c.name, f.id, p.netted_fen, p.amount_fen, p.status, l0.netted
    ORDER BY (y.kind = 'ENTITY') DESC, y.code
"""


class Sums(NamedTuple):
    earned_fen: int
    netted_fen: int
    paid_fen: int


class Company(NamedTuple):
    """A company's statement of a batch."""

    gross: Sums
    out: Sums
    net: Sums
    rows: list[dict[str, Any]]


def of_guide(*, guide_id: int, limit: int = 24) -> list[Statement]:
    """Her statements, the newest first; what is not approved is not shown."""
    rows = Statement.objects.filter(beneficiary__guide_id=guide_id, batch__status__in=SHOWN)
    return list(rows.select_related("batch", "beneficiary__guide").order_by("-batch__period", "-pk")[:limit])


def one_of_guide(*, guide_id: int, period: str) -> Statement | None:
    rows = Statement.objects.filter(beneficiary__guide_id=guide_id, batch__status__in=SHOWN, batch__period=period)
    return rows.select_related("batch", "beneficiary__guide").first()


def lines(*, statement: Statement, after: int = 0, limit: int = 200) -> list[dict[str, Any]]:
    values = {"batch": statement.batch_id, "who": statement.beneficiary_id, "after": after, "limit": limit}
    return db.fetch_dicts(LINES, values)


def debts(*, statement: Statement) -> list[dict[str, Any]]:
    """What was clawed back (> 0) and written off (< 0) since the statement before."""
    earlier = Statement.objects.filter(
        beneficiary=statement.beneficiary_id, batch__status__in=SHOWN, batch__period__lt=statement.batch.period
    )
    before = earlier.order_by("-batch__period").values_list("batch__cut_at", flat=True).first()
    return db.fetch_dicts(DEBTS, {"who": statement.beneficiary_id, "cut": statement.batch.cut_at, "since": before})


def of_company(*, batch: Batch, company: LegalEntity) -> Company:
    """Gross, out and net of a company; the rows with the company's own part first."""
    rows = db.fetch_dicts(COMPANY, {"batch": batch.pk, "company": company.pk})
    net, out = (_sums([row for row in rows if (row["kind"] == "ENTITY") == is_own]) for is_own in (True, False))
    return Company(Sums(*(a + b for a, b in zip(net, out, strict=True))), out, net, rows)


def _sums(rows: Sequence[dict[str, Any]]) -> Sums:
    return Sums(*(sum(row[name] for row in rows) for name in Sums._fields))


def head(statement: Statement) -> list[tuple[str, int]]:
    """The statement's figures in the order in which they are read."""
    return [
        (_("due from before"), statement.late_fen),
        (_("vested in the period"), statement.earned_fen),
        (_("owed from before"), statement.opening_debt_fen),
        (_("clawed back"), statement.reversed_fen),
        (_("written off"), statement.written_off_fen),
        (_("netted"), statement.netted_fen),
        *([(_("of it above the cap of a month"), statement.capped_fen)] if statement.capped_fen else []),
        (_("paid"), statement.paid_fen),
        (_("carried over"), statement.carried_fen),
    ]


def what(row: dict[str, Any]) -> str:
    """What a line is for."""
    if row.get("order_no"):
        return f"{row['order_no']} {row.get('product_name') or ''}".strip()
    occasion, _space, period = (row.get("fact") or "").partition(" ")
    if occasion == "MONTH_CAP":
        return _("above the cap of %(period)s") % {"period": period}
    return row.get("fact") or _("payment that came back")


def as_csv(statement: Statement) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_("statement"), statement.batch.period, safe(name_of(statement)), statement.beneficiary.code])
    for title, fen in head(statement):
        writer.writerow([title, plain(fen)])
    writer.writerow([])
    writer.writerow([_("due since"), _("order"), _("product"), _("role"), _("amount"), _("decision")])
    after = 0
    while rows := lines(statement=statement, after=after, limit=5_000):
        for row in rows:
            order = safe(row["order_no"] or what(row))
            writer.writerow(
                [
                    row["vested_on"],
                    order,
                    safe(row["product_name"] or ""),
                    row["role"] or "",
                    plain(row["amount_fen"]),
                    row["decision_id"] or "",
                ]
            )
        after = rows[-1]["entry_id"]
    for row in debts(statement=statement):
        writer.writerow(
            [
                f"{row['posted_at']:%Y-%m-%d}",
                safe(what(row)),
                "",
                row["kind"],
                plain(-row["amount_fen"]),
                row["decision_id"] or "",
            ]
        )
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def as_pdf(statement: Statement) -> bytes:
    """A4, with the Chinese font that every reader of PDF has (STSong-Light)."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    font, title = (
        ("FONTNAME", (0, 0), (-1, -1), "STSong-Light"),
        ParagraphStyle("t", fontName="STSong-Light", fontSize=15, leading=22),
    )
    grid = TableStyle([
        font, ("FONTSIZE", (0, 0), (-1, -1), 8.5), ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
        ("ALIGN", (-1, 0), (-1, -1), "RIGHT"), ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
    ])  # fmt: skip
    table: list[list[str]] = [[_("due since"), _("order"), _("product"), _("decision"), _("amount")]]
    after = 0
    while rows := lines(statement=statement, after=after, limit=5_000):
        table += [
            [str(row["vested_on"]), (row["order_no"] or what(row))[:28], (row["product_name"] or "")[:18], str(row["decision_id"] or ""), plain(row["amount_fen"])]
            for row in rows
        ]  # fmt: skip
        after = rows[-1]["entry_id"]
    owed = [[f"{row['posted_at']:%Y-%m-%d}", what(row)[:28], _("clawed back") if row["amount_fen"] > 0 else _("written off"), str(row["decision_id"] or ""), plain(-row["amount_fen"])] for row in debts(statement=statement)]  # fmt: skip
    out = io.BytesIO()
    heading = f"{_('statement')} {statement.batch.period}  {name_of(statement)} ({statement.beneficiary.code})"
    story = [
        Paragraph(heading.replace("&", "&amp;").replace("<", "&lt;"), title), Spacer(1, 4 * mm),
        Table([[name, plain(fen)] for name, fen in head(statement)], colWidths=[60 * mm, 40 * mm], style=grid, hAlign="LEFT"),
        Spacer(1, 6 * mm), Table(table + owed, colWidths=[24 * mm, 56 * mm, 42 * mm, 24 * mm, 26 * mm], style=grid, repeatRows=1, hAlign="LEFT"),
    ]  # fmt: skip
    SimpleDocTemplate(out, pagesize=A4, title=heading, leftMargin=18 * mm, rightMargin=18 * mm, invariant=1).build(
        story
    )
    return out.getvalue()


def name_of(statement: Statement) -> str:
    who = statement.beneficiary
    for owner in (who.guide, who.store, who.entity):
        if owner is not None:
            return owner.name
    return who.code


def aging(*, now: dt.datetime) -> list[tuple[str, int]]:
    """Due money that waits, by how long: ``[(text, fen)]``."""
    rows = dict(db.fetch(AGING, {"today": now.astimezone(dt.timezone(dt.timedelta(hours=8))).date()}))
    texts = (_("up to 30 days"), _("31 to 60 days"), _("61 to 90 days"), _("more than 90 days"))
    return [(text, int(rows.get(index, 0))) for index, text in enumerate(texts)]


AGING = """
    SELECT least(3, greatest(0, (%(today)s::date - e.posted_on - 1) / 30)), sum(e.amount_fen)::bigint
    FROM attribution_account a
    JOIN attribution_beneficiary b ON b.id = a.beneficiary_id AND b.kind IN ('GUIDE', 'STORE_POOL', 'ENTITY')
    JOIN attribution_entry e ON e.account_id = a.id AND e.amount_fen > 0
    WHERE a.kind = 'DUE' AND a.balance_fen > 0 AND NOT EXISTS (
        SELECT 1 FROM attribution_batchline l JOIN attribution_statement s ON s.batch_id = l.batch_id AND s.beneficiary_id = l.beneficiary_id AND s.is_posted
        WHERE l.entry_id = e.id AND l.vested_on = e.posted_on AND l.is_live)
    GROUP BY 1
"""
