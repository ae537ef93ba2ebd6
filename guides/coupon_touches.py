"""Coupons of guides that were used (券触点): a coupon handed by a guide and redeemed is a touch of that guide.

1. The touch is hers who used the coupon, also where it was given away before; its guide and store are those who handed it out, as
   they were then. Coupons of the company, of batches and those that customers take themselves are nobody's touch.
2. She is touched when she uses it, in whatever order: an order is created before it is paid, so the touch counts from as many minutes
   earlier as the coupon may be held for an order (from its hold, where it was held), but never from before it was handed out.
3. Like any touch of a link it covers all goods and expires after the window of the rule.
4. Each redemption is one touch, however often it is heard of. Taken back, the touch stays: what she opened she has opened, and
   the refund takes the commission.
5. Redemptions are heard of in their transactions (``coupons.follow``) and taken each minute; whoever decides order lines
   takes them first, so that a line finds the coupon that was used for it.
"""

from __future__ import annotations

from django.db import transaction

from guides.models import Touch
from guides.touches import SHANGHAI, TouchKind
from members import coupons
from members.models import Redemption, RedemptionNews
from scrm import db

FOLLOWER = "touches"
AT_ONCE = 500

_MOMENTS = """
    SELECT min(f.at), max(f.at) FROM ({facts}) f
"""
_FACTS = """
    SELECT r.id, r.member_id, g.id AS guide_id, e.store_id, greatest(c.issued_at,
        least(r.redeemed_at, (
            SELECT min(l.locked_at) FROM members_couponlock l
            WHERE l.coupon_id = r.coupon_id AND l.order_no = r.order_no AND l.channel = r.channel AND l.shop = r.shop
        )) - make_interval(mins => t.lock_minutes)) AS at
    FROM members_redemption r
    JOIN members_coupon c ON c.id = r.coupon_id
    JOIN members_coupontemplate t ON t.id = r.template_id
    JOIN guides_guide g ON g.user_id = c.giver_id
    LEFT JOIN members_couponevent e ON e.coupon_id = c.id AND e.kind = 'ISSUED'
        AND e.happened_on = (c.issued_at AT TIME ZONE 'Asia/Shanghai')::date
    WHERE c.source = 'GUIDE' AND r.id = ANY(%s::bigint[])
"""
_RECORD = f"""
    INSERT INTO guides_touch (touched_on, key, kind, guide_id, store_id, member_id, object_kind, object_code, at, is_signed)
    SELECT (f.at AT TIME ZONE 'Asia/Shanghai')::date, 'coupon ' || f.id, '{TouchKind.COUPON}', f.guide_id, f.store_id, f.member_id,
        'ALL', '', f.at, true
    FROM ({_FACTS}) f ORDER BY f.id
    ON CONFLICT (key, touched_on) DO NOTHING
"""


def register() -> None:
    """Called from ``AppConfig.ready``."""
    coupons.follow(FOLLOWER)


def hear() -> int:
    """What was redeemed since; how many touches are new. One look where there is nothing."""
    made = 0
    while RedemptionNews.objects.filter(follower=FOLLOWER).exists():
        news, touched = _hear()
        made += touched
        if not news:  # another worker has them
            break
    return made


@transaction.atomic
def _hear() -> tuple[int, int]:
    news = coupons.take_news(follower=FOLLOWER, limit=AT_ONCE)
    ids = [row.pk for row, status in news if status == Redemption.Status.REDEEMED]
    if not ids:
        return len(news), 0
    ((first, last),) = db.read(_MOMENTS.format(facts=_FACTS), [ids])
    if first is None:
        return len(news), 0
    db.ensure_partitions(Touch, first.astimezone(SHANGHAI).date(), last.astimezone(SHANGHAI).date())
    return len(news), db.write(_RECORD, [ids])
