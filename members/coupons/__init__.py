"""Coupons (优惠券): money the company promises to customers, given out, used and cleared.

1. A template (``templates``) says what a coupon is worth, where, when and for what, how many there are, what they may cost, and who
   bears it. One person writes it, another publishes it; a published version never changes.
2. Coupons are given to members (``issuing``), to many at once or as printed codes (``batches``, ``recipients``), within caps and
   budget that the database keeps.
3. A coupon is locked for an order, given away, expires or is made void (``life``), and is used in any store of its scope
   (``quoting``, ``redeeming``); by number, or by mobile number with the code on the customer's own screen (``passes``).
4. Every write carries a key and can be repeated; every change leaves an event, and redemptions make news for the apps above
   (``records``).
5. Companies clear what they bear for each other by the month (``clearing``).
6. The database holds the invariants: the counts of a template (K1), one use of a code and its scope (K2), the caps (K3), one
   release and one reversal within the hours (K4), the budget (K5).
"""

from __future__ import annotations

from members.coupons import (
    batches,
    clearing,
    daily,
    issuing,
    life,
    owners,
    passes,
    quoting,
    recipients,
    records,
    redeeming,
    templates,
    terms,
)
from members.coupons.refusals import CouponRefused, RequestDiffers, constraint_of
from scrm import jobs

follow, take_news = records.follow, records.take_news

__all__ = [
    "CouponRefused", "RequestDiffers", "batches", "clearing", "constraint_of", "daily", "follow", "issuing", "life", "owners", "passes", "quoting",
    "recipients", "records", "redeeming", "register", "take_news", "templates", "terms",
]  # fmt: skip


def register() -> None:
    """Called from ``AppConfig.ready``."""
    jobs.register(batches.KIND, batches.work)
    jobs.register(daily.KIND, daily.work)
