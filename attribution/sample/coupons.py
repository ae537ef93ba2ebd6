"""Coupons of the sample company: three templates, given by guides and taken by customers, some of them used in orders of the books.

What is used is used in an order that is there, at its payment, in its store; one redemption is taken back. Loaded again, the same.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from guides.models import Guide
from members import coupons
from members.coupons.quoting import Till
from members.coupons.records import Where
from members.coupons.terms import Basket
from members.models import Coupon, CouponTemplate, Redemption
from scrm import db
from scrm.models import Brand, Store, User

DAY = dt.timedelta(days=1)
MOST = 60  # members with coupons
USED_OF_FIVE = 2  # of five members so many have used theirs
TEMPLATES: tuple[dict[str, Any], ...] = (
    {
        "code": "DEMO-C1", "name": "老客满减券", "kind": "FULL_CUT", "value_fen": 800, "threshold_fen": 4_900, "valid_days": 30,
        "member_cap": 2, "guide_month_quota": 200, "total_cap": 5_000, "budget_fen": 4_000_000, "hq_share_bp": 5_000,
        "terms": "每单限用一张，不找零。",
    },
    {
        "code": "DEMO-C2", "name": "鲜果日九折券", "kind": "DISCOUNT", "value_fen": 2_000, "off_bp": 1_000, "threshold_fen": 5_000,
        "valid_days": 14, "member_cap": 1, "is_claimable": True, "is_giftable": True, "total_cap": 2_000, "budget_fen": 4_000_000,
        "channels": ["POS", "MINI_PROGRAM"],
    },
    {
        "code": "DEMO-C3", "name": "工作日下午立减券", "kind": "CASH", "value_fen": 500, "threshold_fen": 3_000, "valid_days": 7,
        "member_cap": 1, "total_cap": 1_000, "is_stackable": True, "weekdays": [1, 2, 3, 4, 5], "hour_from": dt.time(14),
        "hour_until": dt.time(18),
    },
)  # fmt: skip

# tickets of the last weeks at a till, dear enough, the latest of each member who has a guide; and members who have one as well
TICKETS = """
    SELECT DISTINCT ON (l.member_id) l.member_id, o.order_no, o.shop, l.store_id, min(l.paid_at), sum(l.paid_fen), b.guide_id, b.store_id
    FROM members_orderline l
    JOIN members_order o ON o.id = l.order_id
    JOIN guides_binding b ON b.member_id = l.member_id AND b.ended_at IS NULL AND b.guide_id IS NOT NULL AND b.started_at < l.paid_at - interval '4 days'
    JOIN members_member m ON m.id = l.member_id AND m.status = 'ACTIVE'
    WHERE l.channel = 'POS' AND l.store_id IS NOT NULL AND l.booked_on >= %(since)s AND l.refunded_fen = 0
    GROUP BY l.member_id, o.id, o.order_no, o.shop, l.store_id, b.guide_id, b.store_id
    HAVING sum(l.paid_fen) >= 4900
    ORDER BY l.member_id, min(l.paid_at) DESC LIMIT %(most)s
"""


def load(until: dt.datetime) -> int:
    """How many coupons there are. Needs the sample's logins: one drafts the templates, another publishes them."""
    author, approver = User.objects.get(username="operator"), User.objects.get(username="hq")
    by_guides, by_herself, _by_hour = (_template(values, until, author, approver) for values in TEMPLATES)
    tickets = db.fetch(TICKETS, {"since": (until - 45 * DAY).date(), "most": MOST})
    stores = Store.objects.in_bulk({row[3] for row in tickets})
    guides = Guide.objects.select_related("user").in_bulk({row[6] for row in tickets})
    for place, (member_id, order_no, shop, store_id, paid_at, fen, guide_id, guide_store_id) in enumerate(tickets):
        where = Where(actor=guides[guide_id].user, store_id=guide_store_id)
        is_used = place % 5 < USED_OF_FIVE
        given = coupons.issuing.give(
            template_id=by_guides.pk, member_id=member_id, source=Coupon.Source.GUIDE, key=f"sample given {member_id}",
            now=paid_at - 3 * DAY if is_used else until - DAY * (1 + place % 9), where=where,
        )  # fmt: skip
        if is_used:
            till = Till(store=stores[store_id], channel="POS", shop=shop, order_no=order_no)
            coupons.redeeming.redeem(
                coupon_id=given.coupon.pk,
                till=till,
                basket=Basket(int(fen)),
                key=f"sample used {member_id}",
                now=paid_at,
            )
        else:
            coupons.issuing.give(
                template_id=by_herself.pk, member_id=member_id, source=Coupon.Source.CLAIM, key=f"sample taken {member_id}",
                now=until - DAY * (place % 6), where=Where(channel="MINI_PROGRAM"),
            )  # fmt: skip
    _take_one_back(approver)
    return Coupon.objects.count()


def _template(values: dict[str, Any], until: dt.datetime, author: User, approver: User) -> CouponTemplate:
    draft, is_new = CouponTemplate.objects.get_or_create(
        brand=Brand.objects.get(code="MAIN"), code=values["code"], number=1,
        defaults={"claim_from": until - 60 * DAY, "claim_until": until + 90 * DAY, "author": author, **values},
    )  # fmt: skip
    if not is_new and draft.status != CouponTemplate.Status.DRAFT:
        return draft
    return coupons.templates.publish(template=draft, actor=approver, now=until - 59 * DAY)


def _take_one_back(actor: User) -> None:
    row = Redemption.objects.order_by("-redeemed_at", "-pk").first()
    if row is not None:
        coupons.redeeming.reverse(
            redemption_id=row.pk, reason="顾客退单", key="sample back", actor=actor, now=row.redeemed_at + dt.timedelta(hours=1)
        )  # fmt: skip
