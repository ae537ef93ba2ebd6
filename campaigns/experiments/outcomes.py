"""What the people of an experiment did, added up by arm in the database.

1. A purchase counts when it was paid in the window, by whoever the member now is; test and voided lines are left out, and
   what was given back since is taken off. An order of which nothing stayed is no order.
2. Conversion (转化) is one such order at least; orders (订单数) and GMV (成交额) are per member, nobody left out.
3. What is known of before is the same of the DAYS_BEFORE days before the window, for CUPED.
4. Guard-rails (护栏): deleted a guide, had something refunded, said no to marketing.
5. Attributed (归因) is what a last-touch report would claim: what a member of the arm bought within LAST_TOUCH_DAYS after a
   mass send of this experiment had reached her.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection

from campaigns.experiments.intervals import Moments
from campaigns.experiments.reading import Kind, Metric
from campaigns.models import Experiment

DAYS_BEFORE = 90
LAST_TOUCH_DAYS = 7
MONEY = "gmv"
METRICS = (
    Metric("conversion", Kind.SHARE),
    Metric("orders", Kind.NUMBER),
    Metric(MONEY, Kind.FEN),
    Metric("left", Kind.SHARE, is_guard=True),
    Metric("refunded", Kind.SHARE, is_guard=True),
    Metric("opted_out", Kind.SHARE, is_guard=True),
)

ASSIGNED = """
    SELECT a.member_id, a.arm_number,
           CASE WHEN m.merged_into_id IS NULL OR EXISTS (
                    SELECT 1 FROM campaigns_assignment s WHERE s.experiment_id = a.experiment_id AND s.member_id = m.merged_into_id)
                THEN m.id ELSE m.merged_into_id END AS buyer_id
    FROM campaigns_assignment a JOIN members_member m ON m.id = a.member_id
    WHERE a.experiment_id = %(experiment)s
"""

# by order first, since an order of several lines is one order
ADDED_UP = """
    WITH people AS MATERIALIZED ({people}), orders AS (
        SELECT l.member_id, l.order_id, l.paid_at >= %(start)s AS is_inside, sum(l.paid_fen - l.refunded_fen) AS net_fen,
               bool_or(l.refunded_fen > 0) AS is_refunded
        FROM members_orderline l
        WHERE l.member_id IN (SELECT buyer_id FROM people) AND l.paid_at >= %(before)s AND l.paid_at < %(end)s
          AND NOT l.is_test AND NOT l.is_voided
        GROUP BY 1, 2, 3
    ), bought AS (
        SELECT member_id, count(*) FILTER (WHERE is_inside AND net_fen > 0) AS orders,
               coalesce(sum(net_fen) FILTER (WHERE is_inside), 0) AS gmv,
               count(*) FILTER (WHERE NOT is_inside AND net_fen > 0) AS orders_before,
               coalesce(sum(net_fen) FILTER (WHERE NOT is_inside), 0) AS gmv_before,
               coalesce(bool_or(is_refunded) FILTER (WHERE is_inside), false) AS refunded
        FROM orders GROUP BY 1
    ), gone AS (
        SELECT DISTINCT c.member_id FROM guides_friendship f JOIN guides_contact c ON c.id = f.contact_id
        WHERE f.customer_left_at >= %(start)s AND f.customer_left_at < %(end)s AND c.member_id IS NOT NULL
    ), refusing AS (
        SELECT DISTINCT w.member_id FROM members_consentword w
        WHERE w.said_at >= %(start)s AND w.said_at < %(end)s AND NOT w.is_given
    ), each AS (
        SELECT p.arm_number, coalesce(b.orders, 0)::numeric AS orders, coalesce(b.gmv, 0)::numeric AS gmv,
               coalesce(b.orders_before, 0)::numeric AS orders_before, coalesce(b.gmv_before, 0)::numeric AS gmv_before,
               coalesce(b.refunded, false) AS refunded, g.member_id IS NOT NULL AS has_left,
               r.member_id IS NOT NULL AS opted_out
        FROM people p
        LEFT JOIN bought b ON b.member_id = p.buyer_id
        LEFT JOIN gone g ON g.member_id = p.buyer_id
        LEFT JOIN refusing r ON r.member_id = p.buyer_id
    )
    SELECT arm_number, count(*), count(*) FILTER (WHERE orders > 0), count(*) FILTER (WHERE has_left),
           count(*) FILTER (WHERE refunded), count(*) FILTER (WHERE opted_out),
           sum(orders), sum(orders * orders), sum(orders_before), sum(orders_before * orders_before), sum(orders * orders_before),
           sum(gmv), sum(gmv * gmv), sum(gmv_before), sum(gmv_before * gmv_before), sum(gmv * gmv_before)
    FROM each GROUP BY 1 ORDER BY 1
"""


# a line counts once, however many sends came before it
ATTRIBUTED = """
    SELECT a.arm_number, sum(l.paid_fen - l.refunded_fen) FROM campaigns_assignment a
    JOIN members_orderline l ON l.member_id = a.member_id AND l.paid_at >= %(start)s AND l.paid_at < %(end)s
     AND NOT l.is_test AND NOT l.is_voided
    WHERE a.experiment_id = %(experiment)s AND EXISTS (
        SELECT 1 FROM campaigns_send s JOIN campaigns_recipient r ON r.send_id = s.id AND r.member_id = a.member_id
        WHERE s.experiment_id = a.experiment_id AND r.sent_at <= l.paid_at AND r.sent_at > l.paid_at - %(days)s * interval '1 day')
    GROUP BY 1
"""


def attributed(*, experiment: Experiment, until: dt.datetime) -> dict[int, int]:
    """Fen by arm; nothing for an experiment without sends, of which nobody knows whom it reached."""
    if not experiment.sends.exists():
        return {}
    values = {"experiment": experiment.pk, "start": experiment.starts_at, "end": until, "days": LAST_TOUCH_DAYS}
    with connection.cursor() as cursor:
        cursor.execute(ATTRIBUTED, values)
        return dict.fromkeys(experiment.arms.values_list("number", flat=True), 0) | dict(cursor.fetchall())


def of_experiment(*, experiment: Experiment, until: dt.datetime) -> dict[int, dict[str, Moments]]:
    """The sums of every arm that has people, from the start of the window until ``until``."""
    assert experiment.starts_at is not None
    return added_up(people=ASSIGNED, values={"experiment": experiment.pk}, start=experiment.starts_at, end=until)


def added_up(
    *, people: str, values: dict[str, Any], start: dt.datetime, end: dt.datetime
) -> dict[int, dict[str, Moments]]:
    """``people`` is a query of member_id, arm_number and buyer_id; a constant of ours, with ``values`` for its places."""
    times = {"before": start - dt.timedelta(days=DAYS_BEFORE), "start": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(ADDED_UP.replace("{people}", people), {**values, **times})
        return {row[0]: _moments(row[1:]) for row in cursor.fetchall()}


def _moments(row: Any) -> dict[str, Moments]:
    count, bought, left, refunded, opted_out, *sums = (int(value) for value in row)
    return {
        "conversion": Moments(count, bought, bought),
        "orders": Moments(count, *sums[:5]),
        MONEY: Moments(count, *sums[5:]),
        "left": Moments(count, left, left),
        "refunded": Moments(count, refunded, refunded),
        "opted_out": Moments(count, opted_out, opted_out),
    }
