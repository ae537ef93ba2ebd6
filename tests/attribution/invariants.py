"""L1-L16 and A1-A15 asked of the rows that a test has left: what has to be true whatever happened before."""

from __future__ import annotations

import datetime as dt

from attribution import evidence, periods, proving, queries, rulebook, rules
from attribution.models import Account, ClosedPeriod, Decision, Dispute, Hold, MoneyBlock, Override
from attribution.rules.explanation import REASONS
from members.models import OrderLine
from scrm import db

# each gives the rows that break it
BROKEN = {
    "L1": "SELECT txn_id FROM attribution_entry GROUP BY txn_id HAVING sum(amount_fen) <> 0",
    "L3": "SELECT key FROM attribution_txn GROUP BY key HAVING count(*) > 1",
    "L4": "SELECT a.code FROM attribution_account a LEFT JOIN attribution_entry e ON e.account_id = a.id"
    " GROUP BY a.id HAVING a.balance_fen <> coalesce(sum(e.amount_fen), 0)",
    "L5": "SELECT code FROM attribution_account WHERE kind IN ('HOLD', 'DUE') AND balance_fen < 0",
    "L6": "SELECT id FROM attribution_hold WHERE vested_fen + reversed_fen > amount_fen OR clawed_fen > vested_fen",
    "L7": "SELECT t.key FROM attribution_txn t JOIN attribution_entry e ON e.txn_id = t.id AND e.amount_fen < 0"
    " LEFT JOIN (SELECT txn_id, sum(amount_fen) AS fen, min(amount_fen) AS least FROM attribution_hold GROUP BY 1) h ON h.txn_id = t.id"
    " WHERE t.kind = 'ACCRUE' GROUP BY t.id, h.fen, h.least HAVING -sum(e.amount_fen) <> h.fen OR h.least < 0",
    "L8": "SELECT l.id FROM members_orderline l JOIN attribution_hold h ON h.line_id = l.id AND h.role <> 'FULFIL'"
    " WHERE l.refunded_fen = l.paid_fen GROUP BY l.id HAVING sum(h.amount_fen - h.reversed_fen - h.clawed_fen) <> 0",
    "L10": "SELECT t.key FROM attribution_txn t WHERE t.effective_at > t.posted_at + interval '5 minutes'"
    " UNION ALL SELECT x.code FROM (SELECT a.code, t.posted_at, lag(t.posted_at) OVER (PARTITION BY a.id ORDER BY e.id) AS before"
    " FROM attribution_entry e JOIN attribution_account a ON a.id = e.account_id JOIN attribution_txn t ON t.id = e.txn_id) x"
    " WHERE x.posted_at < x.before",
    "L11": "SELECT t.key FROM attribution_txn t JOIN attribution_closedperiod c ON c.period = to_char(t.posted_on, 'YYYY-MM')"
    " WHERE t.posted_at > c.closed_at",
    "L12": "SELECT entry_id::text FROM attribution_batchline WHERE is_live GROUP BY 1 HAVING count(*) > 1 UNION ALL"
    " SELECT f.digest FROM attribution_payoutfile f WHERE f.total_fen <> (SELECT sum(p.amount_fen) FROM attribution_payment p"
    " WHERE p.batch_id = f.batch_id AND p.company_id = f.company_id)",
    "L13": "SELECT key FROM attribution_txn WHERE kind IN ('UNHOLD', 'CLAWBACK') AND (reverses_id IS NULL OR reason = '' OR actor = '')",
    "L16": "SELECT a.code FROM attribution_account a JOIN attribution_batch b ON a.code = 'A:payout:' || b.period || '.' || b.number"
    " WHERE b.status = 'SETTLED' AND a.balance_fen <> 0",
    "A1": "SELECT member_id FROM guides_binding WHERE ended_at IS NULL GROUP BY brand_id, member_id HAVING count(*) > 1",
    "A2": "SELECT a.id FROM guides_binding a JOIN guides_binding b ON b.member_id = a.member_id AND b.brand_id = a.brand_id AND b.id > a.id"
    " AND tstzrange(a.started_at, a.ended_at) && tstzrange(b.started_at, b.ended_at)",
    "A5": "SELECT d.id FROM attribution_decision d CROSS JOIN LATERAL (SELECT sum((s->>3)::int) AS bp FROM jsonb_array_elements(d.shares) s) w"
    " WHERE d.state IN ('LIVE', 'PROVISIONAL') AND w.bp <> 10000",
    "A6": "SELECT l.id FROM members_orderline l WHERE (SELECT count(*) FROM attribution_decision d WHERE d.line_id = l.id"
    " AND d.state <> 'SUPERSEDED') <> 1 UNION ALL SELECT d.id FROM attribution_decision d WHERE d.sequence > 1 AND NOT EXISTS ("
    " SELECT 1 FROM attribution_decision e WHERE e.id = d.supersedes_id AND e.line_id = d.line_id AND e.state = 'SUPERSEDED')",
    # the buyer is the guide who is paid
    "A7": "SELECT h.id FROM attribution_hold h JOIN members_orderline l ON l.id = h.line_id JOIN attribution_beneficiary b ON b.id = h.beneficiary_id"
    " JOIN guides_guide g ON g.id = b.guide_id JOIN members_identity i ON i.member_id = l.member_id AND i.value IN (g.mobile_index, g.unionid)"
    " WHERE h.amount_fen > h.reversed_fen + h.clawed_fen",
    # who won by a touch: it was there before the order and not too old
    "A8": "SELECT d.id FROM attribution_decision d JOIN members_orderline l ON l.id = d.line_id CROSS JOIN LATERAL jsonb_array_elements(d.candidates) c"
    " LEFT JOIN guides_touch t ON t.id::text = c->>1 WHERE c->>0 = 'C2' AND (c->>4)::boolean"
    " AND (t.id IS NULL OR NOT t.is_signed OR t.at > l.created_at OR t.at <= l.created_at - interval '7 days')",
    "A9": "SELECT h.id FROM attribution_hold h JOIN members_orderline l ON l.id = h.line_id JOIN attribution_beneficiary b ON b.id = h.beneficiary_id"
    " WHERE b.guide_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM guides_employment m WHERE m.guide_id = b.guide_id"
    " AND m.started_at <= l.paid_at AND (m.ended_at IS NULL OR m.ended_at > l.paid_at))",
    "A10": "SELECT r.key FROM guides_bindingrequest r JOIN guides_binding b ON b.id = r.binding_id"
    " JOIN guides_binding p ON p.member_id = b.member_id AND p.guide_id = r.holder_id AND p.ended_at = b.started_at"
    " WHERE r.answer = 'SNATCH' AND p.protected_until > r.at",
    # never both: what is left of a line belongs to those whom its live decision names
    "A12": "SELECT h.line_id, b.code FROM attribution_hold h JOIN attribution_beneficiary b ON b.id = h.beneficiary_id"
    " JOIN attribution_decision d ON d.line_id = h.line_id AND d.state <> 'SUPERSEDED'"
    " WHERE h.amount_fen > h.reversed_fen + h.clawed_fen AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(d.shares) s WHERE s->>1 = b.code)",
    "A15": "SELECT 1 FROM information_schema.columns WHERE table_name IN ('guides_guide', 'attribution_beneficiary')"
    " AND column_name IN ('parent_id', 'upline_id', 'recruited_by_id')",
}  # fmt: skip


def hold(*, now: dt.datetime) -> None:
    """Asserts every invariant that rows can show, each by its id; what is proven twice is proven by two people's code."""
    proof = proving.run(now=now)
    assert proof.is_proven, proof.differences
    for name, query in BROKEN.items():
        rows = db.fetch(query, {})
        assert not rows, (name, rows[:5])
    _l11_closed_months_are_as_they_were()
    _l15_reports_agree()
    _a3_a4_every_decision_is_taken_again_alike()
    _a11_a14_every_decision_is_explained()
    _a13_verdicts_are_explained()


def _l11_closed_months_are_as_they_were() -> None:
    for closed in ClosedPeriod.objects.all():
        assert periods.frozen(closed.period) == (closed.entry_count, closed.debit_fen, closed.digest), closed.period


def _l15_reports_agree() -> None:
    standing: dict[str, int] = {}
    for row in Hold.objects.select_related("beneficiary"):
        fen = row.amount_fen - row.reversed_fen - row.clawed_fen
        standing[row.beneficiary.code] = standing.get(row.beneficiary.code, 0) + fen
    reported = queries.commission_by_beneficiary()
    assert {who: fen for who, fen in reported.items() if fen} == {who: fen for who, fen in standing.items() if fen}
    assert sum(Account.objects.values_list("balance_fen", flat=True)) == 0


def _a3_a4_every_decision_is_taken_again_alike() -> None:
    """With everything that has happened since: bindings, leaves, touches, refunds, verdicts on other lines."""
    keys = list(OrderLine.objects.values_list("pk", "booked_on"))
    live = {row.line_id: row for row in Decision.objects.exclude(state=Decision.State.SUPERSEDED)}
    for case in evidence.load(keys, rulebook.load()):
        row = live[case.line.id]
        if row.reason == "BUYER_RECOGNISED":
            case = case._replace(evidence=case.evidence._replace(linked_at=row.decided_at))
        again = rules.decide(case.facts, case.evidence, case.rule)
        if row.member_id is None and case.evidence.member is not None:  # A12: recognised too late, nothing moved
            assert not {share[0] for share in row.shares} & {"SERVICE", "DELEGATE", "HOME"}, row
            continue
        shares = [[share.role, share.beneficiary, share.store, share.weight] for share in again.shares]
        said = ([list(candidate) for candidate in again.candidates], shares)
        assert said == (row.candidates, row.shares), row
        shuffled = case.evidence._replace(touches=tuple(reversed(case.evidence.touches)))
        assert rules.decide(case.facts, shuffled, case.rule).digest == again.digest


def _a11_a14_every_decision_is_explained() -> None:
    for row in Decision.objects.select_related("rule"):
        pure = queries.decision_of(row)
        if row.state in (Decision.State.LIVE, Decision.State.PROVISIONAL):
            assert sum(credit.bp for credit in rules.credits(pure)) == 10_000, row  # A11
        text = " ".join(rules.explain(pure, rule_name=str(row.rule), line=None, names={}))
        for candidate in pure.candidates:
            assert str(REASONS[candidate.reason]) in text, (row, text)  # A14: the winner's and each loser's reason
        assert str(row.rule) in text


def _a13_verdicts_are_explained() -> None:
    for dispute in Dispute.objects.exclude(ended_at=None):
        assert not MoneyBlock.objects.live().filter(cause=f"dispute {dispute.pk}").exists()
        if dispute.status == Dispute.Status.UPHELD:
            assert dispute.override is not None and dispute.override.status == Override.Status.APPROVED
            won = Decision.objects.filter(line_id=dispute.line_id, winner_code=dispute.claimant.code)
            assert any(found[0][0] == "C0" and found[0][4] for found in won.values_list("candidates", flat=True)), (
                dispute
            )
    for dispute in Dispute.objects.filter(ended_at=None):
        blocked = set(MoneyBlock.objects.live().filter(cause=f"dispute {dispute.pk}").values_list("hold_id", flat=True))
        opened_with = Hold.objects.filter(line_id=dispute.line_id, txn__posted_at__lte=dispute.opened_at)
        assert set(opened_with.values_list("pk", flat=True)) <= blocked, dispute
