"""Checks of closed periods, batches, statements, payments and files."""

PERIODS = """
    SELECT c.period AS name, concat_ws('/', c.entry_count, c.debit_fen, c.digest) AS expected,
           (SELECT concat_ws('/', coalesce(sum(n), 0), coalesce(sum(debit), 0),
                             encode(sha256(coalesce(string_agg(part, ''::bytea ORDER BY no), ''::bytea)), 'hex'))
            FROM (
                SELECT e.id / 65536 AS no, count(*) AS n, sum(CASE WHEN e.amount_fen < 0 THEN -e.amount_fen ELSE 0 END) AS debit,
                       sha256(convert_to(string_agg(
                           concat_ws('|', t.key, e.position, a.code, e.store_id, e.amount_fen,
                                     to_char(t.posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')), chr(10) ORDER BY e.id),
                           'UTF8')) AS part
                FROM attribution_entry e JOIN attribution_txn t ON t.id = e.txn_id JOIN attribution_account a ON a.id = e.account_id
                WHERE e.posted_on >= (c.period || '-01')::date AND e.posted_on < (c.period || '-01')::date + interval '1 month'
                GROUP BY 1
            ) parts) AS found
    FROM attribution_closedperiod c
"""

BATCHES = """
    SELECT 'batch ' || b.period || '.' || b.number AS name,
           (SELECT concat_ws('/', coalesce(sum(n), 0), coalesce(sum(fen), 0),
                             encode(sha256(coalesce(string_agg(part, ''::bytea ORDER BY no), ''::bytea)), 'hex'))
            FROM (
                SELECT l.entry_id / 65536 AS no, count(*) AS n, sum(l.amount_fen) AS fen,
                       sha256(convert_to(string_agg(
                           concat_ws('|', l.entry_id, l.vested_on, l.beneficiary_id, l.store_id, l.company_id, l.amount_fen), chr(10)
                           ORDER BY l.entry_id), 'UTF8')) AS part
                FROM attribution_batchline l WHERE l.batch_id = b.id AND l.is_live GROUP BY 1
            ) parts) AS expected,
           concat_ws('/', b.line_count, b.earned_fen, b.digest) AS found
    FROM attribution_batch b WHERE b.status NOT IN ('MAKING', 'CANCELLED')
"""

# A line of a batch is an entry that made money due, of the same beneficiary, store, day and amount, and of its hold.
BATCH_LINES = """
    SELECT 'line of batch ' || l.batch_id || ', entry ' || l.entry_id AS name,
           concat_ws('/', a.beneficiary_id, e.store_id, e.amount_fen,
                     CASE WHEN t.kind = 'VEST' THEN nullif(substr(t.key, 6), '') ELSE 'returned' END) AS expected,
           concat_ws('/', l.beneficiary_id, l.store_id, l.amount_fen, coalesce(l.hold_id::text, 'returned')) AS found
    FROM attribution_batchline l
    LEFT JOIN attribution_entry e ON e.id = l.entry_id AND e.posted_on = l.vested_on AND e.amount_fen > 0
    LEFT JOIN attribution_account a ON a.id = e.account_id AND a.kind = 'DUE'
    LEFT JOIN attribution_txn t ON t.id = e.txn_id AND t.kind IN ('VEST', 'RETURNED')
    WHERE l.is_live
"""

# What is netted: first and whole what was above the cap of a month; of the other debt, at most the pay, at most the cap of the pay rounded down. The debt is what the entries said when
# the batch was cut.
STATEMENTS = """
    WITH taken AS (
        SELECT l.batch_id, l.beneficiary_id, count(*) AS n,
               coalesce(sum(l.amount_fen) FILTER (WHERE l.vested_on >= (b.period || '-01')::date), 0)::bigint AS earned,
               coalesce(sum(l.amount_fen) FILTER (WHERE l.vested_on < (b.period || '-01')::date), 0)::bigint AS late
        FROM attribution_batchline l JOIN attribution_batch b ON b.id = l.batch_id WHERE l.is_live GROUP BY 1, 2
    ), owed AS (
        SELECT s.id, -sum(e.amount_fen) AS debt, -sum(e.amount_fen) FILTER (WHERE t.fact LIKE 'MONTH_CAP %%' AND t.kind = 'CLAWBACK') AS above
        FROM attribution_statement s
        JOIN attribution_batch b ON b.id = s.batch_id
        JOIN attribution_account a ON a.beneficiary_id = s.beneficiary_id AND a.kind = 'RECV'
        JOIN attribution_entry e ON e.account_id = a.id
        JOIN attribution_txn t ON t.id = e.txn_id AND t.posted_at <= b.cut_at
        GROUP BY s.id
    ), stated AS (
        SELECT s.*, b.period, b.number, b.cap_bp,
               coalesce(sum(s.capped_fen) OVER (PARTITION BY s.beneficiary_id ORDER BY b.period
                                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS capped_before
        FROM attribution_statement s JOIN attribution_batch b ON b.id = s.batch_id AND b.status <> 'CANCELLED'
    )
    SELECT 'statement ' || s.period || '.' || s.number || ' ' || y.code AS name,
           concat_ws('/', f.earned, f.late, f.n,
                     w.whole + greatest(0, least(f.debt - w.whole, w.rest, CASE WHEN s.cap_bp IS NULL THEN w.rest ELSE w.rest * s.cap_bp / 10000 END)),
                     f.debt, f.earned + f.late, w.whole) AS expected,
           concat_ws('/', s.earned_fen, s.late_fen, s.line_count, s.netted_fen, s.carried_fen + s.netted_fen,
                     s.netted_fen + s.paid_fen, s.capped_fen) AS found
    FROM stated s
    JOIN attribution_beneficiary y ON y.id = s.beneficiary_id
    LEFT JOIN taken k ON k.batch_id = s.batch_id AND k.beneficiary_id = s.beneficiary_id
    LEFT JOIN owed o ON o.id = s.id
    CROSS JOIN LATERAL (
        SELECT coalesce(k.earned, 0) AS earned, coalesce(k.late, 0) AS late, coalesce(k.n, 0) AS n, greatest(0, coalesce(o.debt, 0))::bigint AS debt
    ) f
    CROSS JOIN LATERAL (
        SELECT least(f.debt, f.earned + f.late, greatest(0, coalesce(o.above, 0) - s.capped_before))::bigint AS whole
    ) v
    CROSS JOIN LATERAL (SELECT v.whole, f.earned + f.late - v.whole AS rest) w
"""

# From one statement to the next: what was carried, plus claw-backs, less write-offs and netting.
CARRIED = """
    SELECT 'debt carried into ' || b.period || '.' || b.number || ' ' || y.code AS name,
           coalesce(lag(s.carried_fen) OVER (PARTITION BY s.beneficiary_id ORDER BY b.period), 0)::text AS expected,
           s.opening_debt_fen::text AS found
    FROM attribution_statement s JOIN attribution_batch b ON b.id = s.batch_id AND b.status IN ('APPROVED', 'POSTED', 'SETTLED')
    JOIN attribution_beneficiary y ON y.id = s.beneficiary_id
"""

POSTED = """
    WITH moved AS (
        SELECT substr(t.fact, 12) AS batch, a.beneficiary_id, sum(-e.amount_fen) FILTER (WHERE t.kind = 'NET') AS netted,
               sum(-e.amount_fen) FILTER (WHERE t.kind = 'PAY') AS paid
        FROM attribution_txn t JOIN attribution_entry e ON e.txn_id = t.id JOIN attribution_account a ON a.id = e.account_id AND a.kind = 'DUE'
        WHERE t.kind IN ('NET', 'PAY') GROUP BY 1, 2
    )
    SELECT 'posting of statement ' || coalesce(m.batch, s.batch) || ' ' || y.code AS name,
           concat_ws('/', coalesce(s.netted_fen, 0), coalesce(s.paid_fen, 0)) AS expected,
           concat_ws('/', coalesce(m.netted, 0), coalesce(m.paid, 0)) AS found
    FROM (
        SELECT b.period || '.' || b.number AS batch, s.* FROM attribution_statement s JOIN attribution_batch b ON b.id = s.batch_id
        WHERE s.is_posted
    ) s
    FULL JOIN moved m ON m.batch = s.batch AND m.beneficiary_id = s.beneficiary_id
    JOIN attribution_beneficiary y ON y.id = coalesce(s.beneficiary_id, m.beneficiary_id)
"""

PAYMENTS = """
    SELECT 'payments of statement ' || b.period || '.' || b.number || ' ' || y.code AS name, s.paid_fen::text AS expected,
           coalesce(sum(p.amount_fen), 0)::text AS found
    FROM attribution_statement s JOIN attribution_batch b ON b.id = s.batch_id
    JOIN attribution_beneficiary y ON y.id = s.beneficiary_id
    LEFT JOIN attribution_payment p ON p.statement_id = s.id GROUP BY s.id, b.id, y.code
"""

ANSWERS = """
    SELECT 'payment ' || p.number AS name,
           CASE p.status WHEN 'SETTLED' THEN 'SETTLED ' || p.amount_fen WHEN 'RETURNED' THEN 'RETURNED ' || p.amount_fen ELSE '' END AS expected,
           coalesce((SELECT t.kind || ' ' || -sum(e.amount_fen) FROM attribution_txn t JOIN attribution_entry e ON e.txn_id = t.id
                     JOIN attribution_account a ON a.id = e.account_id AND a.kind = 'PAYOUT'
                     WHERE t.key IN ('SETTLED|' || p.number, 'RETURNED|' || p.number) GROUP BY t.id), '') AS found
    FROM attribution_payment p
"""

# L16: the payout account of a batch is what has no answer yet; what is due is the list of what no posted batch has paid.
PAYOUT_ACCOUNTS = """
    SELECT a.code AS name,
           coalesce((SELECT sum(p.amount_fen) FROM attribution_payment p JOIN attribution_batch b ON b.id = p.batch_id
                     JOIN attribution_statement s ON s.id = p.statement_id AND s.is_posted
                     WHERE 'A:payout:' || b.period || '.' || b.number = a.code AND p.status IN ('PENDING', 'FILED')), 0)::text AS expected,
           a.balance_fen::text AS found
    FROM attribution_account a WHERE a.kind = 'PAYOUT'
"""
DUE_LIST = """
    SELECT a.code AS name, coalesce(sum(e.amount_fen) FILTER (WHERE s.id IS NULL), 0)::text AS expected, a.balance_fen::text AS found
    FROM attribution_account a
    LEFT JOIN attribution_entry e ON e.account_id = a.id AND e.amount_fen > 0
    LEFT JOIN attribution_batchline l ON l.entry_id = e.id AND l.vested_on = e.posted_on AND l.is_live
    LEFT JOIN attribution_statement s ON s.batch_id = l.batch_id AND s.beneficiary_id = l.beneficiary_id AND s.is_posted
    WHERE a.kind = 'DUE' GROUP BY a.id
"""

FILES = """
    SELECT 'payout file ' || b.period || '.' || b.number || ' ' || c.code AS name,
           concat_ws('/', count(p.id), coalesce(sum(p.amount_fen), 0), encode(sha256(f.content), 'hex')) AS expected,
           concat_ws('/', f.payment_count, f.total_fen, f.digest) AS found
    FROM attribution_payoutfile f JOIN attribution_batch b ON b.id = f.batch_id JOIN scrm_legalentity c ON c.id = f.company_id
    LEFT JOIN attribution_payment p ON p.batch_id = f.batch_id AND p.company_id = f.company_id
    GROUP BY f.id, b.id, c.code
"""

TOTALS = """
    SELECT 'batch ' || b.period || '.' || b.number AS name,
           concat_ws('/', coalesce(sum(s.netted_fen), 0), coalesce(sum(s.paid_fen), 0), count(*) FILTER (WHERE s.line_count > 0)) AS expected,
           concat_ws('/', b.netted_fen, b.paid_fen, b.payee_count) AS found
    FROM attribution_batch b LEFT JOIN attribution_statement s ON s.batch_id = b.id
    WHERE b.status NOT IN ('MAKING', 'CANCELLED') GROUP BY b.id
"""

CHECKS = (
    ("closed_periods", PERIODS),
    ("batches", BATCHES),
    ("batch_lines", BATCH_LINES),
    ("batch_totals", TOTALS),
    ("statements", STATEMENTS),
    ("debts_carried", CARRIED),
    ("postings_of_batches", POSTED),
    ("payments", PAYMENTS),
    ("answers_of_banks", ANSWERS),
    ("payout_accounts", PAYOUT_ACCOUNTS),
    ("due_list", DUE_LIST),
    ("payout_files", FILES),
)
