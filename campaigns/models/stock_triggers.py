"""What the database itself holds about stock: the counts of every bucket, caps, and how a reservation moves (K6, K7)."""

from __future__ import annotations

# What reservations were counted by never changes; a stopped sale may not be on again.
ITEM_STAYS = """
    IF (NEW.member_cap, NEW.product_id) IS DISTINCT FROM (OLD.member_cap, OLD.product_id)
       AND EXISTS (SELECT 1 FROM campaigns_reservation r WHERE r.item_id = OLD.id)
       OR OLD.stopped_at IS NOT NULL AND NEW.stopped_at IS DISTINCT FROM OLD.stopped_at THEN
        RAISE EXCEPTION 'what a sale counts by never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# K6: the buyer's count first, the hot bucket last: its row is locked until the commit.
TAKE_STOCK = """
    DECLARE
        cap integer;
    BEGIN
    IF NEW.status <> 'HELD' THEN
        RAISE EXCEPTION 'a reservation begins as held' USING ERRCODE = 'check_violation';
    END IF;
    -- the member not by a foreign key: its check comes with the commit, when the hot row is locked
    SELECT i.member_cap INTO cap FROM campaigns_stockitem i
    WHERE i.id = NEW.item_id AND (NEW.member_id IS NULL OR EXISTS (SELECT FROM members_member WHERE id = NEW.member_id));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such item or member' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF cap IS NOT NULL THEN
        INSERT INTO campaigns_stockbuyer AS b (item_id, buyer, cap_count, taken_count)
        VALUES (NEW.item_id, NEW.buyer, cap, NEW.quantity)
        ON CONFLICT (item_id, buyer) DO UPDATE SET taken_count = b.taken_count + EXCLUDED.taken_count
        WHERE b.taken_count + EXCLUDED.taken_count <= b.cap_count;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'she has as many as she may' USING ERRCODE = 'check_violation', CONSTRAINT = 'stock_member_cap';
        END IF;
    END IF;
    UPDATE campaigns_stockbucket SET left_count = left_count - NEW.quantity, reserved_count = reserved_count + NEW.quantity
    WHERE id = NEW.bucket_id AND item_id = NEW.item_id AND store_id IS NOT DISTINCT FROM NEW.store_id
      AND is_open AND left_count >= NEW.quantity;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not enough left' USING ERRCODE = 'check_violation', CONSTRAINT = 'stock_left';
    END IF;
    RETURN NULL;
    END;
"""

# K7: a reservation ends once. Who pays late may still get what is left; what was paid comes back by a refund only.
MOVES = """
    IF (to_jsonb(NEW) - ARRAY['status','quantity','returned_count','until','paid_at','ended_at','channel','shop','order_no','member_id'])
       IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','quantity','returned_count','until','paid_at','ended_at','channel','shop','order_no','member_id'])
       OR OLD.order_no <> '' AND (NEW.channel, NEW.shop, NEW.order_no) IS DISTINCT FROM (OLD.channel, OLD.shop, OLD.order_no)
       OR OLD.member_id IS NOT NULL AND NEW.member_id IS NULL THEN
        RAISE EXCEPTION 'what was reserved never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) NOT IN (
        'HELD>SOLD', 'HELD>RELEASED', 'HELD>EXPIRED', 'RELEASED>SOLD', 'EXPIRED>SOLD', 'SOLD>RETURNED'
    ) THEN
        RAISE EXCEPTION 'a reservation does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.quantity <> OLD.quantity AND (OLD.status <> 'HELD' OR NEW.status <> 'HELD')
       OR NEW.returned_count < OLD.returned_count THEN
        RAISE EXCEPTION 'only what is held changes its quantity' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# K6: what a reservation becomes moves its bucket and its buyer's count, in the order in which a claim takes them.
FOLLOW_MOVES = """
    PERFORM FROM campaigns_stockbuyer b
    WHERE (b.item_id, b.buyer) IN (SELECT n.item_id, n.buyer FROM new_rows n) ORDER BY b.id FOR UPDATE;
    UPDATE campaigns_stockbuyer b SET taken_count = b.taken_count + d.taken
    FROM (
        SELECT n.item_id, n.buyer, sum(
            CASE WHEN n.status IN ('HELD', 'SOLD') THEN n.quantity - n.returned_count ELSE 0 END
            - CASE WHEN o.status IN ('HELD', 'SOLD') THEN o.quantity - o.returned_count ELSE 0 END) AS taken
        FROM new_rows n JOIN old_rows o ON o.id = n.id GROUP BY n.item_id, n.buyer
    ) d
    WHERE b.item_id = d.item_id AND b.buyer = d.buyer AND d.taken <> 0;
    PERFORM FROM campaigns_stockbucket s WHERE s.id IN (
        SELECT n.bucket_id FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE (n.status, n.quantity, n.returned_count) IS DISTINCT FROM (o.status, o.quantity, o.returned_count)
    ) ORDER BY s.id FOR UPDATE;
    UPDATE campaigns_stockbucket s SET reserved_count = s.reserved_count + d.reserved, sold_count = s.sold_count + d.sold,
        left_count = s.left_count - d.reserved - d.sold
    FROM (
        SELECT n.bucket_id,
            sum(CASE WHEN n.status = 'HELD' THEN n.quantity ELSE 0 END - CASE WHEN o.status = 'HELD' THEN o.quantity ELSE 0 END)
                AS reserved,
            sum(CASE WHEN n.status = 'SOLD' THEN n.quantity - n.returned_count ELSE 0 END
                - CASE WHEN o.status = 'SOLD' THEN o.quantity - o.returned_count ELSE 0 END) AS sold
        FROM new_rows n JOIN old_rows o ON o.id = n.id GROUP BY n.bucket_id
    ) d
    WHERE s.id = d.bucket_id AND (d.reserved <> 0 OR d.sold <> 0);
    RETURN NULL;
"""
