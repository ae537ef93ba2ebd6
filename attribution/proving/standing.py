"""What the books say, in one digest (账面摘要): for comparing a restored database with the one that was lost.

1. It covers the balance of every account, what every beneficiary was promised on every order line or occasion and what became
   of it, and every batch. Numbers of rows, the clock and the order of writing do not count: books that say the same have the
   same digest, in whichever database they stand and however they came about.
2. It finds differences between two databases of one company; it is no seal against somebody who writes into one of them (that is
   what ``prove_books`` and the digests of closed periods are for).
"""

from __future__ import annotations

from scrm import db

ROWS = """
    SELECT concat_ws('|', 'account', code, balance_fen) AS said FROM attribution_account WHERE balance_fen <> 0
    UNION ALL
    SELECT concat_ws('|', 'line', o.channel, o.shop, o.order_no, l.line_no, h.role, b.code, s.code, sum(h.amount_fen - h.reversed_fen - h.clawed_fen),
                     sum(h.vested_fen - h.clawed_fen))
    FROM attribution_hold h JOIN members_orderline l ON l.id = h.line_id AND l.booked_on = h.booked_on JOIN members_order o ON o.id = l.order_id
    JOIN attribution_beneficiary b ON b.id = h.beneficiary_id LEFT JOIN scrm_store s ON s.id = h.store_id
    GROUP BY o.channel, o.shop, o.order_no, l.line_no, h.role, b.code, s.code
    HAVING sum(h.amount_fen - h.reversed_fen - h.clawed_fen) <> 0
    UNION ALL
    SELECT concat_ws('|', 'occasion', h.fact, h.role, b.code, s.code, sum(h.amount_fen - h.reversed_fen - h.clawed_fen), sum(h.vested_fen - h.clawed_fen))
    FROM attribution_hold h JOIN attribution_beneficiary b ON b.id = h.beneficiary_id LEFT JOIN scrm_store s ON s.id = h.store_id
    WHERE h.line_id IS NULL GROUP BY h.fact, h.role, b.code, s.code HAVING sum(h.amount_fen - h.reversed_fen - h.clawed_fen) <> 0
    UNION ALL
    SELECT concat_ws('|', 'batch', period, status, line_count, earned_fen, netted_fen, paid_fen) FROM attribution_batch WHERE status <> 'CANCELLED'
"""
# two sums over hashes, so that no order and no memory is needed; a row of the same words twice counts twice
DIGEST = f"""
    SELECT encode(sha256(convert_to(concat_ws('|', count(*), sum(('x' || left(md5(said), 15))::bit(60)::bigint::numeric),
                                              sum(('x' || right(md5(said), 15))::bit(60)::bigint::numeric)), 'UTF8')), 'hex')
    FROM ({ROWS}) rows
"""


def digest() -> str:
    """64 hex digits; reads all holds and accounts: seconds for a million."""
    return str(db.fetch(DIGEST, {})[0][0])


def rows() -> list[str]:
    """What the digest is of, for finding where two databases differ."""
    return [row[0] for row in db.fetch(f"SELECT said FROM ({ROWS}) rows ORDER BY 1", {})]
