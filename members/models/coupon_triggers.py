"""What the database itself holds about coupons: caps, budgets, counts and moves, whoever writes the rows."""

from __future__ import annotations

# A template is content; from its publication on only its end may come nearer.
PUBLISHED_STAYS = """
    IF OLD.status <> 'DRAFT' AND (to_jsonb(NEW) - ARRAY['status','claim_until','ended_at']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','claim_until','ended_at']) THEN
        RAISE EXCEPTION 'a published coupon template only ends' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status = 'ENDED' AND NEW.status <> 'ENDED' OR OLD.status = 'PUBLISHED' AND NEW.status = 'DRAFT'
       OR OLD.status <> 'DRAFT' AND NEW.claim_until > OLD.claim_until THEN
        RAISE EXCEPTION 'a published coupon template only ends' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# K1, K3, K5: each coupon made takes its place and its money from the bucket; the bucket's CHECKs say when there is no more.
TAKE_STOCK = """
    IF EXISTS (
        SELECT 1 FROM new_rows n LEFT JOIN members_coupontemplate t ON t.id = n.template_id
        WHERE t.status IS DISTINCT FROM 'PUBLISHED' OR n.value_fen <> t.value_fen OR n.status NOT IN ('UNCLAIMED', 'HELD')
           OR n.member_cap IS DISTINCT FROM t.member_cap OR n.discount_fen IS NOT NULL OR n.is_gifted
    ) THEN
        RAISE EXCEPTION 'a coupon is made of a published template' USING ERRCODE = 'check_violation';
    END IF;
    UPDATE members_couponstock s SET
        left_count = s.left_count - n.made, issued_count = s.issued_count + n.made,
        unclaimed_count = s.unclaimed_count + n.unclaimed, held_count = s.held_count + n.made - n.unclaimed,
        left_fen = s.left_fen - n.fen, reserved_fen = s.reserved_fen + n.fen
    FROM (
        SELECT template_id, bucket, count(*) AS made, count(*) FILTER (WHERE status = 'UNCLAIMED') AS unclaimed,
            sum(value_fen) AS fen
        FROM new_rows GROUP BY template_id, bucket
    ) n
    WHERE s.template_id = n.template_id AND s.bucket = n.bucket;
    IF EXISTS (
        SELECT 1 FROM new_rows n WHERE NOT EXISTS (
            SELECT 1 FROM members_couponstock s WHERE s.template_id = n.template_id AND s.bucket = n.bucket)
    ) THEN
        RAISE EXCEPTION 'no such bucket' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
"""

# K1, K5: what a coupon becomes moves the counts and the money of its bucket.
FOLLOW_MOVES = """
    UPDATE members_couponstock s SET
        left_count = s.left_count + n.withdrawn, issued_count = s.issued_count - n.withdrawn,
        unclaimed_count = s.unclaimed_count + n.unclaimed, held_count = s.held_count + n.held,
        redeemed_count = s.redeemed_count + n.redeemed, expired_count = s.expired_count + n.expired,
        void_count = s.void_count + n.voided,
        reserved_fen = s.reserved_fen - n.spent - n.freed, spent_fen = s.spent_fen + n.spent, left_fen = s.left_fen + n.freed
    FROM (
        SELECT n.template_id, n.bucket,
            sum((n.status = 'WITHDRAWN')::int) AS withdrawn,
            sum((n.status = 'UNCLAIMED')::int - (o.status = 'UNCLAIMED')::int) AS unclaimed,
            sum((n.status IN ('HELD', 'LOCKED', 'GIVEN'))::int - (o.status IN ('HELD', 'LOCKED', 'GIVEN'))::int) AS held,
            sum((n.status = 'REDEEMED')::int - (o.status = 'REDEEMED')::int) AS redeemed,
            sum((n.status = 'EXPIRED')::int) AS expired, sum((n.status = 'VOID')::int) AS voided,
            sum(coalesce(n.discount_fen, 0) - coalesce(o.discount_fen, 0)) AS spent,
            sum(CASE WHEN n.status IN ('EXPIRED', 'VOID', 'WITHDRAWN') THEN n.value_fen ELSE 0 END) AS freed
        FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE n.status <> o.status GROUP BY n.template_id, n.bucket
    ) n
    WHERE s.template_id = n.template_id AND s.bucket = n.bucket
      AND (n.unclaimed <> 0 OR n.held <> 0 OR n.redeemed <> 0);
    RETURN NULL;
"""

# Who is a member after all merges, the next one's id given; no row where merges run in a circle.
HEIR = """
    WITH RECURSIVE up AS (
        SELECT {first}::bigint AS id
        UNION SELECT m.merged_into_id FROM up JOIN members_member m ON m.id = up.id WHERE m.merged_into_id IS NOT NULL)
    SELECT m.id FROM up JOIN members_member m ON m.id = up.id WHERE m.merged_into_id IS NULL
"""

# K1, K2, K4: a coupon moves only along its ways, and only with the row that says why.
MOVES = f"""
    IF (to_jsonb(NEW) - ARRAY['status','member_id','claimed_at','starts_on','expires_on','is_gifted','discount_fen','issuer_id'])
       IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','member_id','claimed_at','starts_on','expires_on','is_gifted','discount_fen','issuer_id'])
    THEN
        RAISE EXCEPTION 'what a coupon is never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = OLD.status THEN
        IF NEW.discount_fen IS DISTINCT FROM OLD.discount_fen OR NEW.member_id IS DISTINCT FROM OLD.member_id
           AND NEW.member_id IS DISTINCT FROM ({HEIR.format(first="OLD.member_id")}) THEN
            RAISE EXCEPTION 'a coupon changes hands by a claim, a gift or a merge' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.status || '>' || NEW.status) NOT IN (
        'UNCLAIMED>HELD', 'UNCLAIMED>WITHDRAWN', 'HELD>LOCKED', 'LOCKED>HELD', 'HELD>GIVEN', 'GIVEN>HELD', 'HELD>REDEEMED',
        'LOCKED>REDEEMED', 'REDEEMED>HELD', 'HELD>EXPIRED', 'HELD>VOID'
    ) OR (NEW.member_id IS DISTINCT FROM OLD.member_id
          AND (OLD.status || '>' || NEW.status) NOT IN ('UNCLAIMED>HELD', 'GIVEN>HELD')) THEN
        RAISE EXCEPTION 'a coupon does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.status = 'LOCKED') <> EXISTS (SELECT 1 FROM members_couponlock l WHERE l.coupon_id = NEW.id AND l.ended_at IS NULL)
       OR (NEW.status = 'GIVEN') <> EXISTS (SELECT 1 FROM members_coupongift g WHERE g.coupon_id = NEW.id AND g.ended_at IS NULL)
       OR (NEW.status = 'REDEEMED') <> EXISTS (
            SELECT 1 FROM members_redemption r WHERE r.coupon_id = NEW.id AND r.status = 'REDEEMED') THEN
        RAISE EXCEPTION 'a coupon becomes % by its own row only', NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# K3: whoever gets a coupon of a template with a cap takes one of her places; places are never given back. A merge takes them along
# by itself (FOLLOW_SURVIVOR).
TAKE_PLACE = """
    DECLARE
        taken smallint;
    BEGIN
    IF NEW.member_cap IS NULL OR NEW.member_id IS NULL
       OR TG_OP = 'UPDATE' AND (NEW.member_id IS NOT DISTINCT FROM OLD.member_id OR NEW.status = OLD.status) THEN
        RETURN NULL;
    END IF;
    FOR taken IN SELECT generate_series(1, NEW.member_cap) LOOP
        INSERT INTO members_couponclaim (template_id, member_id, place, member_cap, coupon_id)
        VALUES (NEW.template_id, NEW.member_id, taken, NEW.member_cap, NEW.id)
        ON CONFLICT (template_id, member_id, place) DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the member has as many as she may' USING ERRCODE = 'check_violation', CONSTRAINT = 'coupon_member_cap';
    END;
"""

# A merged member's coupons are her survivor's, in whatever state. Both have had their coupons of a template together: her places
# count with the survivor's (K3) as far as there are any left; who then has more than the cap keeps them, and gets no more. Of
# one batch a member has one (coupon_batch_member_once): a second one counts as given away once.
FOLLOW_SURVIVOR = f"""
    DECLARE
        heir bigint := ({HEIR.format(first="NEW.merged_into_id")});
        today date := (now() AT TIME ZONE 'Asia/Shanghai')::date;
    BEGIN
    IF NEW.merged_into_id IS NULL OR heir IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO members_couponclaim (template_id, member_id, place, member_cap, coupon_id)
    SELECT hers.template_id, heir, free.place, hers.member_cap, hers.coupon_id
    FROM (
        SELECT k.*, row_number() OVER (PARTITION BY k.template_id ORDER BY k.place) AS number
        FROM members_couponclaim k WHERE k.member_id = NEW.id
    ) hers
    CROSS JOIN LATERAL (
        SELECT p AS place, row_number() OVER (ORDER BY p) AS number FROM generate_series(1, hers.member_cap) p
        WHERE NOT EXISTS (SELECT FROM members_couponclaim o
            WHERE o.template_id = hers.template_id AND o.member_id = heir AND o.place = p)
    ) free
    WHERE free.number = hers.number;
    IF EXISTS (SELECT FROM members_coupon c WHERE c.member_id = NEW.id) THEN
        PERFORM scrm_ensure_partitions('members_couponevent'::regclass, today, today);
        WITH moved AS (
            UPDATE members_coupon c SET member_id = heir, is_gifted = c.is_gifted OR c.source = 'BATCH' AND EXISTS (
                SELECT FROM members_coupon o
                WHERE o.batch_id = c.batch_id AND o.member_id = heir AND o.source = 'BATCH' AND NOT o.is_gifted)
            WHERE c.member_id = NEW.id RETURNING c.id
        )
        INSERT INTO members_couponevent (happened_on, coupon_id, kind, at, member_id, channel, order_no, note)
        SELECT today, id, 'MERGED', now(), heir, '', '', '' FROM moved;
    END IF;
    RETURN NULL;
    END;
"""

LOCK_COUPON = """
    UPDATE members_coupon SET status = 'LOCKED' WHERE id = NEW.coupon_id AND status = 'HELD';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only a coupon at hand is locked' USING ERRCODE = 'check_violation', CONSTRAINT = 'coupon_at_hand';
    END IF;
    RETURN NULL;
"""
ENDS_ONCE = """
    IF OLD.ended_at IS NOT NULL OR NEW.ended_at IS NULL OR (to_jsonb(NEW) - ARRAY['ended_at','ended_as','taker_id'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['ended_at','ended_as','taker_id']) THEN
        RAISE EXCEPTION 'it ends once and is what it was' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""
# K4: an end that gives the coupon back does so in the same statement, and there is one end.
UNLOCK_COUPON = """
    IF NEW.ended_as <> 'REDEEMED' THEN
        UPDATE members_coupon SET status = 'HELD' WHERE id = NEW.coupon_id AND status = 'LOCKED';
    END IF;
    RETURN NULL;
"""
OFFER_COUPON = """
    UPDATE members_coupon SET status = 'GIVEN' WHERE id = NEW.coupon_id AND status = 'HELD' AND NOT is_gifted
        AND member_id = NEW.giver_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only a coupon at hand is given away, once' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'coupon_at_hand';
    END IF;
    RETURN NULL;
"""
END_OFFER = """
    IF NEW.ended_as = 'TAKEN' THEN
        UPDATE members_coupon SET status = 'HELD', member_id = NEW.taker_id, is_gifted = true
        WHERE id = NEW.coupon_id AND status = 'GIVEN';
    ELSE
        UPDATE members_coupon SET status = 'HELD' WHERE id = NEW.coupon_id AND status = 'GIVEN';
    END IF;
    RETURN NULL;
"""

# K2: store, time and channel are held against the template when the redemption is written, not when the coupon was claimed.
IN_SCOPE = """
    DECLARE
        c members_coupon%ROWTYPE;
        t members_coupontemplate%ROWTYPE;
        local timestamp := NEW.redeemed_at AT TIME ZONE 'Asia/Shanghai';
    BEGIN
    SELECT * INTO c FROM members_coupon WHERE id = NEW.coupon_id;
    SELECT * INTO t FROM members_coupontemplate WHERE id = c.template_id;
    IF NEW.template_id <> c.template_id OR NEW.member_id IS DISTINCT FROM c.member_id THEN
        RAISE EXCEPTION 'a redemption names its coupon' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_of_coupon';
    END IF;
    IF local::date < c.starts_on OR local::date > c.expires_on THEN
        RAISE EXCEPTION 'not valid on that day' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_day';
    END IF;
    IF cardinality(t.weekdays) > 0 AND NOT extract(isodow FROM local)::int = ANY(t.weekdays)
       OR t.hour_from IS NOT NULL AND NOT (
            CASE WHEN t.hour_from < t.hour_until THEN local::time >= t.hour_from AND local::time < t.hour_until
                 ELSE local::time >= t.hour_from OR local::time < t.hour_until END) THEN
        RAISE EXCEPTION 'not valid at that time' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_time';
    END IF;
    IF cardinality(t.channels) > 0 AND NOT NEW.channel = ANY(t.channels) THEN
        RAISE EXCEPTION 'not valid in that channel' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_channel';
    END IF;
    IF cardinality(t.store_ids) + cardinality(t.region_ids) + cardinality(t.entity_ids) > 0 AND NOT EXISTS (
        SELECT 1 FROM scrm_store s WHERE s.id = NEW.store_id AND (
            s.id = ANY(t.store_ids) OR s.entity_id = ANY(t.entity_ids) OR s.region_id IN (
                WITH RECURSIVE below AS (
                    SELECT r.id FROM scrm_region r WHERE r.id = ANY(t.region_ids)
                    UNION SELECT r.id FROM scrm_region r JOIN below b ON r.parent_id = b.id)
                SELECT id FROM below))
    ) THEN
        RAISE EXCEPTION 'not valid in that store' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_store';
    END IF;
    IF NEW.eligible_fen < t.threshold_fen OR NEW.discount_fen > c.value_fen THEN
        RAISE EXCEPTION 'not worth that much' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_worth';
    END IF;
    RETURN NEW;
    END;
"""
REDEEM_COUPON = """
    UPDATE members_coupon SET status = 'REDEEMED', discount_fen = NEW.discount_fen
    WHERE id = NEW.coupon_id AND status IN ('HELD', 'LOCKED');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only a coupon at hand is redeemed' USING ERRCODE = 'check_violation', CONSTRAINT = 'coupon_at_hand';
    END IF;
    RETURN NULL;
"""
# K4: taken back within the hours of the template, once; what is final stays.
REVERSES_ONCE = """
    IF (to_jsonb(NEW) - ARRAY['status','reversed_at','reversed_by_id','reason','final_at']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','reversed_at','reversed_by_id','reason','final_at'])
       OR OLD.status = 'REVERSED' OR OLD.final_at IS NOT NULL
       OR NEW.status = 'REVERSED' AND NEW.final_at IS NOT NULL THEN
        RAISE EXCEPTION 'a redemption is taken back once and never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'REVERSED' AND NEW.reversed_at > OLD.redeemed_at + make_interval(hours => (
        SELECT t.reversal_hours FROM members_coupontemplate t WHERE t.id = OLD.template_id)) THEN
        RAISE EXCEPTION 'too late to take it back' USING ERRCODE = 'check_violation', CONSTRAINT = 'redemption_reversal';
    END IF;
    RETURN NEW;
"""
GRACE_DAYS = 3  # a coupon that comes back can still be used for so many days
GIVE_BACK = f"""
    IF NEW.status = 'REVERSED' AND OLD.status = 'REDEEMED' THEN
        UPDATE members_coupon SET status = 'HELD', discount_fen = NULL, expires_on =
            greatest(expires_on, (NEW.reversed_at AT TIME ZONE 'Asia/Shanghai')::date + {GRACE_DAYS})
        WHERE id = NEW.coupon_id AND status = 'REDEEMED';
    END IF;
    RETURN NULL;
"""
# K5: what a coupon did not need goes back to the budget when nobody can take the redemption back any more.
RELEASE_REST = """
    UPDATE members_couponstock s SET left_fen = s.left_fen + n.rest, reserved_fen = s.reserved_fen - n.rest
    FROM (
        SELECT c.template_id, c.bucket, sum(c.value_fen - n.discount_fen) AS rest
        FROM new_rows n JOIN old_rows o ON o.id = n.id JOIN members_coupon c ON c.id = n.coupon_id
        WHERE n.final_at IS NOT NULL AND o.final_at IS NULL GROUP BY c.template_id, c.bucket
    ) n
    WHERE s.template_id = n.template_id AND s.bucket = n.bucket AND n.rest <> 0;
    RETURN NULL;
"""

# A closed month takes no entry. Whoever closes it waits for those who write, and they for her.
MONTH_OPEN = """
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('coupon clearing ' || NEW.period, 0));
    IF EXISTS (SELECT 1 FROM members_clearingmonth m WHERE m.period = NEW.period) THEN
        RAISE EXCEPTION 'the month is closed' USING ERRCODE = 'check_violation', CONSTRAINT = 'clearing_month_open';
    END IF;
    RETURN NEW;
"""
