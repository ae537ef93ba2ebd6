"""What the database itself holds of referrals: one level, no loops, and the counts of the funnel."""

from __future__ import annotations

import pgtrigger

PUBLISHED_STAYS = """
    IF OLD.status <> 'DRAFT' AND (to_jsonb(NEW) - ARRAY['status','ends_at','reserved_fen']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','ends_at','reserved_fen']) THEN
        RAISE EXCEPTION 'a published programme only ends' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# Who came is bound to who brought her under one lock, so that of two rows that would close a ring the second is refused (A15).
ONE_LEVEL = """
    IF TG_OP = 'UPDATE' AND (NEW.referrer_id, NEW.link_id, NEW.programme_id) IS DISTINCT FROM
       (OLD.referrer_id, OLD.link_id, OLD.programme_id) THEN
        RAISE EXCEPTION 'a referral keeps its referrer' USING ERRCODE = 'restrict_violation', CONSTRAINT = 'referral_one_level';
    END IF;
    IF NEW.coupon_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM members_coupon c JOIN members_member m ON m.id = NEW.referrer_id
        WHERE c.id = NEW.coupon_id AND c.member_id IN (m.id, m.merged_into_id)) THEN
        RAISE EXCEPTION 'only the referrer is rewarded' USING ERRCODE = 'check_violation', CONSTRAINT = 'referral_one_level';
    END IF;
    IF NEW.newcomer_id IS NULL OR NEW.status = 'VOID'
       OR TG_OP = 'UPDATE' AND OLD.newcomer_id IS NOT DISTINCT FROM NEW.newcomer_id AND OLD.status <> 'VOID' THEN
        RETURN NEW;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('referral rings', 0));
    IF EXISTS (
        WITH RECURSIVE up AS (
            SELECT NEW.referrer_id AS id
            UNION
            SELECT r.referrer_id FROM up JOIN campaigns_referral r ON r.newcomer_id = up.id
            WHERE r.status <> 'VOID' AND r.id <> NEW.id
        ) SELECT FROM up WHERE id = NEW.newcomer_id
    ) THEN
        RAISE EXCEPTION 'referrals make a ring' USING ERRCODE = 'check_violation', CONSTRAINT = 'referral_no_loop';
    END IF;
    RETURN NEW;
"""

_UPSERT = """
    INSERT INTO campaigns_referralcount AS c (programme_id, store_id, guide_id, {columns})
    SELECT programme_id, store_id, guide_id, {sums} FROM ({rows}) r
    GROUP BY programme_id, store_id, guide_id ORDER BY programme_id, store_id, guide_id
    ON CONFLICT (programme_id, store_id, guide_id) DO UPDATE SET {sets};
    RETURN NULL;
"""
_COUNTED = {
    "joined_count": "1",
    "registered_count": "(registered_at IS NOT NULL AND status <> 'VOID')::int",
    "bought_count": "(bought_at IS NOT NULL AND status <> 'VOID')::int",
    "vested_count": "(status = 'VESTED')::int",
    "void_count": "(status IN ('VOID', 'CLAWED_BACK'))::int",
    "review_count": "(review = 'OPEN')::int",
    "held_fen": "CASE WHEN status = 'CLAIMED' THEN coupon_fen + guide_fen ELSE 0 END",
    "spent_fen": "CASE WHEN status = 'VESTED' THEN coupon_fen + guide_fen ELSE 0 END",
    "bought_fen": "CASE WHEN status <> 'VOID' THEN bought_fen ELSE 0 END",
}


def _upsert(columns: list[str], rows: str) -> str:
    return _UPSERT.format(
        columns=", ".join(columns), sums=", ".join(f"sum({name})" for name in columns), rows=rows,
        sets=", ".join(f"{name} = c.{name} + EXCLUDED.{name}" for name in columns),
    )  # fmt: skip


def counting(name: str, column: str) -> pgtrigger.Trigger:
    """One more in ``column`` for each new row."""
    rows = f"SELECT programme_id, store_id, guide_id, 1 AS {column} FROM new_rows"
    return pgtrigger.Trigger(
        name=name, level=pgtrigger.Statement, when=pgtrigger.After, operation=pgtrigger.Insert,
        referencing=pgtrigger.Referencing(new="new_rows"), func=_upsert([column], rows),
    )  # fmt: skip


def counting_referrals() -> tuple[pgtrigger.Trigger, ...]:
    def rows(table: str, sign: str) -> str:
        values = ", ".join(f"{sign}({value}) AS {name}" for name, value in _COUNTED.items())
        return f"SELECT programme_id, store_id, guide_id, {values} FROM {table}"

    new, old = rows("new_rows", ""), rows("old_rows", "-")
    each = (
        ("count_new", pgtrigger.Insert, {"new": "new_rows"}, new),
        ("count_changed", pgtrigger.Update, {"old": "old_rows", "new": "new_rows"}, f"{new} UNION ALL {old}"),
    )
    return tuple(
        pgtrigger.Trigger(
            name=name, level=pgtrigger.Statement, when=pgtrigger.After, operation=operation,
            referencing=pgtrigger.Referencing(**tables), func=_upsert(list(_COUNTED), found),
        )
        for name, operation, tables, found in each
    )  # fmt: skip
