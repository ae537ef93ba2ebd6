"""What runs by the clock for coupons: each minute and once a business day.

1. Each minute locks and gifts whose time is up come back.
2. Once a business day (Shanghai), by the key of the day: what expired ends, printed codes of ended templates lapse, redemptions
   become final, and the counts are proved. A clock that jumps does not run a day twice.
3. The proof (K1) counts every coupon again by itself and compares with the stock that triggers keep; a difference fails the job.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _

from members.coupons import life, redeeming
from members.coupons.terms import business_day
from members.models import Coupon, CouponTemplate
from scrm import db, jobs
from scrm.errors import RuleViolation

KIND = "end_coupons"

DIFFERENCES = """
    WITH counted AS (
        SELECT c.template_id, c.bucket, count(*) FILTER (WHERE c.status <> 'WITHDRAWN') AS issued,
            count(*) FILTER (WHERE c.status = 'UNCLAIMED') AS unclaimed,
            count(*) FILTER (WHERE c.status IN ('HELD', 'LOCKED', 'GIVEN')) AS held,
            count(*) FILTER (WHERE c.status = 'REDEEMED') AS redeemed, count(*) FILTER (WHERE c.status = 'EXPIRED') AS expired,
            count(*) FILTER (WHERE c.status = 'VOID') AS voided,
            coalesce(sum(c.discount_fen), 0) AS spent,
            coalesce(sum(c.value_fen) FILTER (WHERE c.status IN ('UNCLAIMED', 'HELD', 'LOCKED', 'GIVEN')), 0)
                + coalesce(sum(c.value_fen - c.discount_fen) FILTER (WHERE c.status = 'REDEEMED' AND r.final_at IS NULL), 0) AS reserved
        FROM members_coupon c
        LEFT JOIN members_redemption r ON r.coupon_id = c.id AND r.status = 'REDEEMED'
        GROUP BY c.template_id, c.bucket
    )
    SELECT s.template_id, s.bucket FROM members_couponstock s
    LEFT JOIN counted n ON n.template_id = s.template_id AND n.bucket = s.bucket
    WHERE (s.issued_count, s.unclaimed_count, s.held_count, s.redeemed_count, s.expired_count, s.void_count, s.spent_fen,
           s.reserved_fen)
        IS DISTINCT FROM (coalesce(n.issued, 0), coalesce(n.unclaimed, 0), coalesce(n.held, 0), coalesce(n.redeemed, 0),
           coalesce(n.expired, 0), coalesce(n.voided, 0), coalesce(n.spent, 0), coalesce(n.reserved, 0))
    ORDER BY 1, 2
"""


class CountsDiffer(RuleViolation):
    code = "coupon_counts_differ"


def sweep(*, now: dt.datetime) -> None:
    life.lapse_locks(now=now)
    life.lapse_gifts(now=now)


def start(*, now: dt.datetime) -> None:
    """The job of the business day, once."""
    if CouponTemplate.objects.exclude(status=CouponTemplate.Status.DRAFT).exists():
        jobs.enqueue(KIND, actor=None, key=f"{KIND} {business_day(now)}")


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``end_coupons``."""
    now = db.clock()
    today = business_day(now)
    progress.stage("end coupons", Coupon.objects.filter(status=Coupon.Status.HELD, expires_on__lt=today).count())
    done = {
        "expired": life.expire(today=today, now=now),
        "withdrawn": life.withdraw(now=now),
        "final": redeeming.make_final(now=now),
    }
    wrong = differences()
    if wrong:
        raise CountsDiffer(_("The counts of coupon templates %(ids)s differ from their coupons.") % {"ids": wrong[:20]})
    return done


def differences() -> list[tuple[int, int]]:
    """(template, bucket) of stock that does not say what its coupons say."""
    return [(row[0], row[1]) for row in db.read(DIFFERENCES)]
