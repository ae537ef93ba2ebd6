"""Checks of the ledger, the holds and the decisions. Each gives (name, expected, found) for every row it proves."""

BALANCES = """
    SELECT a.code AS name, coalesce(s.fen, 0)::text AS expected, a.balance_fen::text AS found
    FROM attribution_account a
    LEFT JOIN (SELECT account_id, sum(amount_fen) AS fen FROM attribution_entry GROUP BY account_id) s ON s.account_id = a.id
"""

# What a transaction said when it was posted is in its hash: kind, key, microseconds, [[account, beneficiary, store, fen], …].
TRANSACTIONS = """
    SELECT t.key AS name, t.content_hash::text AS expected,
           CASE WHEN count(e.id) < 2 OR sum(e.amount_fen) <> 0 OR max(e.position) + 1 <> count(*) OR bool_or(e.posted_on <> t.posted_on)
                THEN 'not balanced or not whole'
                ELSE left(encode(sha256(convert_to(
                    '[' || to_json(t.kind::text) || ',' || to_json(t.key::text) || ','
                    || (extract(epoch FROM t.effective_at) * 1000000)::bigint || ',['
                    || string_agg('[' || to_json(a.code::text) || ',' || coalesce(to_json(b.code::text)::text, 'null') || ','
                                  || coalesce(to_json(s.code::text)::text, 'null') || ',' || e.amount_fen || ']', ',' ORDER BY e.position)
                    || ']]', 'UTF8')), 'hex'), 32) END AS found
    FROM attribution_txn t
    LEFT JOIN attribution_entry e ON e.txn_id = t.id
    LEFT JOIN attribution_account a ON a.id = e.account_id
    LEFT JOIN attribution_beneficiary b ON b.id = a.beneficiary_id
    LEFT JOIN scrm_store s ON s.id = e.store_id
    GROUP BY t.id
"""

STRAY_ENTRIES = """
    SELECT 'entry ' || e.id AS name, 'a transaction' AS expected, NULL AS found
    FROM attribution_entry e WHERE NOT EXISTS (SELECT 1 FROM attribution_txn t WHERE t.id = e.txn_id)
"""

CORRECTIONS = """
    SELECT t.key AS name, 'an earlier transaction' AS expected,
           CASE WHEN o.id < t.id AND t.reason <> '' AND t.actor <> '' THEN 'an earlier transaction' END AS found
    FROM attribution_txn t LEFT JOIN attribution_txn o ON o.id = t.reverses_id
    WHERE t.kind IN ('UNHOLD', 'CLAWBACK')
"""

HOLDS = """
    SELECT coalesce(said.occasion, held.occasion) || ' ' || b.code AS name, said.sums AS expected, held.sums AS found
    FROM (
        SELECT coalesce(t.line_id::text, t.fact) AS occasion, a.beneficiary_id,
               concat_ws('/', coalesce(sum(e.amount_fen) FILTER (WHERE t.kind = 'ACCRUE'), 0),
                         coalesce(-sum(e.amount_fen) FILTER (WHERE t.kind = 'VEST'), 0),
                         coalesce(-sum(e.amount_fen) FILTER (WHERE t.kind = 'UNHOLD'), 0),
                         coalesce(-sum(e.amount_fen) FILTER (WHERE t.kind = 'CLAWBACK'), 0)) AS sums
        FROM attribution_txn t
        JOIN attribution_entry e ON e.txn_id = t.id AND e.posted_on = t.posted_on
        JOIN attribution_account a ON a.id = e.account_id
        WHERE t.kind IN ('ACCRUE', 'VEST', 'UNHOLD') AND a.kind = 'HOLD'
           OR t.kind = 'CLAWBACK' AND a.kind = 'RECV' AND t.fact NOT LIKE 'MONTH_CAP %%'
        GROUP BY 1, 2
    ) said
    FULL JOIN (
        SELECT coalesce(h.line_id::text, h.fact) AS occasion, h.beneficiary_id,
               concat_ws('/', sum(h.amount_fen), sum(h.vested_fen), sum(h.reversed_fen), sum(h.clawed_fen)) AS sums
        FROM attribution_hold h GROUP BY 1, 2
    ) held ON held.occasion = said.occasion AND held.beneficiary_id = said.beneficiary_id
    JOIN attribution_beneficiary b ON b.id = coalesce(said.beneficiary_id, held.beneficiary_id)
"""

SETTLED_LINES = "NOT EXISTS (SELECT 1 FROM members_linetodecide w WHERE w.line_id = l.id)"

DECIDED = f"""
    SELECT 'line ' || l.id AS name, '1' AS expected, count(d.id)::text AS found
    FROM members_orderline l
    LEFT JOIN attribution_decision d ON d.line_id = l.id AND d.booked_on = l.booked_on AND d.state <> 'SUPERSEDED'
    WHERE {SETTLED_LINES} GROUP BY l.id
"""

POTS = """
    SELECT 'decision ' || d.id AS name,
           least((d.base_fen::numeric * d.rate_bp + 5000)::bigint / 10000, coalesce((d.pots->0->>4)::bigint, 9223372036854775807))::text
               AS expected,
           d.pot_fen::text AS found
    FROM attribution_decision d
"""

# [kind, budget, base, rate, cap, amount, shares, keeps, basis, since]: the commission and the fees beside it; each on the
# line's base as it stands now, less the refunds unless the pot keeps what it has.
LINES = f"""
    SELECT 'line ' || l.id AS name, coalesce(p.fen, 0)::text AS expected, coalesce(h.fen, 0)::text AS found
    FROM members_orderline l
    JOIN attribution_decision d ON d.line_id = l.id AND d.booked_on = l.booked_on AND d.state <> 'SUPERSEDED'
    LEFT JOIN LATERAL (
        SELECT sum(least(
            (greatest(0, l.paid_fen - CASE WHEN q.basis = 'PAID' THEN 0 ELSE l.points_fen END
                         - CASE WHEN q.keeps THEN 0 ELSE l.refunded_fen END) * q.rate + 5000) / 10000, q.cap)) AS fen
        FROM (
            SELECT d.rate_bp::bigint AS rate, NULL::bigint AS cap, false AS keeps, 'NET' AS basis WHERE d.pots IS NULL
            UNION ALL
            SELECT (r->>3)::bigint, (r->>4)::bigint, (r->>7)::boolean, r->>8 FROM jsonb_array_elements(d.pots) r
        ) q
    ) p ON d.state IN ('LIVE', 'PROVISIONAL') AND jsonb_array_length(d.shares) > 0
    LEFT JOIN (
        SELECT line_id, sum(amount_fen - reversed_fen - clawed_fen) AS fen FROM attribution_hold WHERE line_id IS NOT NULL GROUP BY line_id
    ) h ON h.line_id = l.id
    WHERE {SETTLED_LINES} AND NOT EXISTS (
        SELECT 1 FROM members_refund f WHERE f.line_id = l.id AND f.status = 'APPLIED' AND NOT f.is_posted)
"""

REFUNDS = f"""
    SELECT 'line ' || l.id AS name, coalesce(sum(f.amount_fen), 0)::text AS expected, l.refunded_fen::text AS found
    FROM members_orderline l
    LEFT JOIN members_refund f ON f.line_id = l.id AND f.booked_on = l.booked_on AND f.status = 'APPLIED'
    WHERE {SETTLED_LINES} AND (l.refunded_fen <> 0 OR f.id IS NOT NULL) GROUP BY l.id, l.booked_on, l.refunded_fen
"""

# The first split, where a line has had one accrual of its whole pot: the whole parts, then one fen more to the largest
# remainders; equal ones in the order of the roles, then of the codes.
SPLITS = """
    SELECT 'decision ' || p.id || ' ' || p.who AS name,
           (p.whole + (p.place <= p.pot - p.wholes)::int)::text AS expected, coalesce(h.fen, 0)::text AS found
    FROM (
        SELECT q.*, sum(q.whole) OVER w AS wholes,
               row_number() OVER (PARTITION BY q.id ORDER BY q.rest DESC, q.rank, q.who COLLATE "C") AS place
        FROM (
            SELECT d.id, d.line_id, d.pot_fen AS pot, s.role, s.who, s.weight,
                   (d.pot_fen * s.weight / (sum(s.weight) OVER (PARTITION BY d.id))::bigint) AS whole,
                   mod(d.pot_fen * s.weight, (sum(s.weight) OVER (PARTITION BY d.id))::bigint) AS rest,
                   array_position(ARRAY['SELLER','SERVICE','DELEGATE','IP','HOME','ENTITY','FULFIL','HQ'], s.role) AS rank
            FROM attribution_decision d
            CROSS JOIN LATERAL (
                SELECT r->>0 AS role, r->>1 AS who, (r->>3)::bigint AS weight FROM jsonb_array_elements(d.shares) r
            ) s
            WHERE d.state IN ('LIVE', 'PROVISIONAL') AND d.pots IS NULL AND d.pot_fen > 0 AND jsonb_array_length(d.shares) > 1
        ) q WINDOW w AS (PARTITION BY q.id)
    ) p
    JOIN (
        SELECT t.decision_id, count(DISTINCT t.id) AS txns, sum(h.amount_fen) AS fen
        FROM attribution_hold h JOIN attribution_txn t ON t.id = h.txn_id GROUP BY t.decision_id
    ) one ON one.decision_id = p.id AND one.txns = 1 AND one.fen = p.pot
    LEFT JOIN (
        SELECT t.decision_id, h.role, b.code, sum(h.amount_fen) AS fen
        FROM attribution_hold h JOIN attribution_txn t ON t.id = h.txn_id JOIN attribution_beneficiary b ON b.id = h.beneficiary_id
        GROUP BY 1, 2, 3
    ) h ON h.decision_id = p.id AND h.role = p.role AND h.code = p.who
"""

# What is above the cap of a month, as it stood when it was last looked at, is what was owed back less what was given back.
MONTH_CAPS = """
    SELECT 'cap of ' || c.period || ' ' || b.code AS name, greatest(0, c.earned_fen - c.cap_fen)::text AS expected,
           coalesce(said.fen, 0)::text AS found
    FROM attribution_monthcap c
    JOIN attribution_beneficiary b ON b.id = c.beneficiary_id
    LEFT JOIN (
        SELECT substr(t.fact, 11) AS period, a.beneficiary_id, -sum(e.amount_fen) AS fen
        FROM attribution_txn t JOIN attribution_entry e ON e.txn_id = t.id AND e.posted_on = t.posted_on
        JOIN attribution_account a ON a.id = e.account_id AND a.kind IN ('RECV', 'HOLD')
        WHERE t.fact LIKE 'MONTH_CAP %%' AND t.kind IN ('CLAWBACK', 'ACCRUE') GROUP BY 1, 2
    ) said ON said.period = c.period AND said.beneficiary_id = c.beneficiary_id
"""

CHECKS = (
    ("balances", BALANCES),
    ("transactions", TRANSACTIONS),
    ("stray_entries", STRAY_ENTRIES),
    ("corrections", CORRECTIONS),
    ("holds", HOLDS),
    ("decided_once", DECIDED),
    ("pots", POTS),
    ("refunds", REFUNDS),
    ("lines", LINES),
    ("splits", SPLITS),
    ("month_caps", MONTH_CAPS),
)
