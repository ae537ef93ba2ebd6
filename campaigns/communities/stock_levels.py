"""How much there is to sell (库存增减): put in, taken out, stopped, and proven to add up.

1. Stock put in or taken out leaves a record; only what is left can be taken out.
2. A stopped item takes no claim that commits after the stop; what is reserved can still be paid.
3. sold + reserved + left = stock in every bucket, and the counts are those of the rows (K6).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.communities.stock import MOST_STOCK, KeyDiffers, StockRefused, StockShort, never_sold_out, shift
from campaigns.models import StockBucket, StockChange, StockItem
from scrm import db


@transaction.atomic
def change(*, item_id: int, store_id: int | None, count: int, key: str, reason: str, actor: Any) -> StockChange:
    """Put ``count`` in, or take it out (negative). The same key again: the first change. Raises StockShort, StockRefused, KeyDiffers."""
    reason = reason.strip()
    if not reason:
        raise StockRefused(_("Say why the stock is changed."), code="stock_needs_reason", field="reason")
    if not count or abs(count) > MOST_STOCK:
        raise StockRefused(_("Say how many to put in or take out."), code="stock_quantity")
    db.take_turns([f"stock {item_id} {store_id}"])
    found = StockChange.objects.filter(key=key).first()
    if found is not None:
        if (found.item_id, found.store_id, found.change_count) != (item_id, store_id, count):
            raise KeyDiffers(_("This request number was used for something else; send a new one."))
        return found
    item = StockItem.objects.get(pk=item_id)
    made = StockChange.objects.create(
        item=item, store_id=store_id, key=key, change_count=count, reason=reason, actor=actor
    )
    with never_sold_out():
        _spread(_buckets(item, store_id), count)
    return made


def _buckets(item: StockItem, store_id: int | None) -> list[StockBucket]:
    rows = StockBucket.objects.filter(item=item, store=store_id)
    if not rows.exists():
        is_open = item.stopped_at is None
        StockBucket.objects.bulk_create(
            StockBucket(item=item, store_id=store_id, number=number, is_open=is_open)
            for number in range(item.bucket_count)
        )
    return db.lock(rows)


def _spread(buckets: list[StockBucket], count: int) -> None:
    """More: evenly. Fewer: from wherever there are most."""
    if count > 0:
        each, rest = divmod(count, len(buckets))
        for place, bucket in enumerate(buckets):
            if part := each + (place < rest):
                shift(bucket, part)
        return
    left = sum(bucket.left_count for bucket in buckets)
    if left < -count:
        raise StockShort(
            _("Only %(left)s are left; what is reserved or sold stays.") % {"left": left},
            code="stock_not_left", left=left,
        )  # fmt: skip
    for bucket in sorted(buckets, key=lambda row: -row.left_count):
        part = min(-count, bucket.left_count)
        if part:
            shift(bucket, -part)
            count += part


@transaction.atomic
def stop(*, item_ids: Sequence[int], now: dt.datetime) -> int:
    """From the commit on these items sell nothing more; waits for the claims that are being written. How many were on sale."""
    items = db.lock(StockItem.objects.filter(pk__in=item_ids, stopped_at=None))
    StockItem.objects.filter(pk__in=[item.pk for item in items]).update(stopped_at=now)
    with never_sold_out():
        buckets = db.lock(StockBucket.objects.filter(item__in=items))
    StockBucket.objects.filter(pk__in=[bucket.pk for bucket in buckets]).update(is_open=False)
    return len(items)


_DIFFERENCES = """
    SELECT 'bucket ' || b.id FROM campaigns_stockbucket b LEFT JOIN (
        SELECT bucket_id, sum(quantity) FILTER (WHERE status = 'HELD') AS held,
            sum(quantity - returned_count) FILTER (WHERE status = 'SOLD') AS sold
        FROM campaigns_reservation GROUP BY bucket_id) r ON r.bucket_id = b.id
    WHERE (b.reserved_count, b.sold_count) IS DISTINCT FROM (coalesce(r.held, 0), coalesce(r.sold, 0))
        OR b.total_count <> b.left_count + b.reserved_count + b.sold_count
    UNION ALL
    SELECT 'buyer ' || b.item_id || '/' || b.buyer FROM campaigns_stockbuyer b LEFT JOIN (
        SELECT item_id, buyer, sum(quantity - returned_count) AS taken
        FROM campaigns_reservation WHERE status IN ('HELD', 'SOLD') GROUP BY item_id, buyer) r USING (item_id, buyer)
    WHERE b.taken_count <> coalesce(r.taken, 0)
    UNION ALL
    SELECT 'stock ' || coalesce(b.item_id, c.item_id) || '/' || coalesce(b.store_id, c.store_id, 0)
    FROM (SELECT item_id, store_id, sum(total_count) AS total FROM campaigns_stockbucket GROUP BY item_id, store_id) b
    FULL JOIN (SELECT item_id, store_id, sum(change_count) AS total FROM campaigns_stockchange GROUP BY item_id, store_id) c
        ON c.item_id = b.item_id AND coalesce(c.store_id, 0) = coalesce(b.store_id, 0)
    WHERE b.total IS DISTINCT FROM c.total
"""


def differences() -> list[str]:
    """Where the counts and the rows they count do not agree (K6): empty, or a fault."""
    return [name for (name,) in db.read(_DIFFERENCES)]
