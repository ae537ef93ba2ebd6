"""What all marketing of a quarter brought (全局留白报告): everybody who may be addressed, against the universal hold-out.

1. The people are the brand's members of before the quarter, each on the side on which the quarter's draw put her, whatever then
   reached her; who came later or was erased is on neither side.
2. Outcomes are those of any experiment, from the quarter's first day on. The sample ratio is looked at first, and what is too
   small to be told is called so.
3. Attributed is what a last-touch report would claim: what a member bought within days of any mass send. The cost of the quarter's
   marketing is told by who asks; it is shared out over those who may be addressed.
4. A report is a job and stays with it: every look is kept.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from campaigns.experiments import draw, outcomes, reading
from campaigns.experiments.reading import Report, Terms
from campaigns.models import Holdout
from scrm import db, jobs
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.money import BP

KIND = "experiment.universal"
HELD, ADDRESSED = 0, 1

# ``{place}`` is the draw of the quarter
PEOPLE = f"""
    SELECT m.id AS member_id, CASE WHEN {{place}} < %(share)s THEN {HELD} ELSE {ADDRESSED} END AS arm_number,
           m.id AS buyer_id
    FROM members_member m
    WHERE m.brand_id = %(brand)s AND m.status IN ('ACTIVE', 'FROZEN')
      AND coalesce(m.registered_on < %(first)s::date, m.created_at < %(start)s)
"""
# a line counts once, however many sends came before it
ATTRIBUTED = """
    WITH people AS MATERIALIZED ({people})
    SELECT p.arm_number, coalesce(sum(l.paid_fen - l.refunded_fen), 0)::bigint FROM people p
    JOIN members_orderline l ON l.member_id = p.buyer_id AND l.paid_at >= %(start)s AND l.paid_at < %(end)s
     AND NOT l.is_test AND NOT l.is_voided
    WHERE EXISTS (
        SELECT 1 FROM campaigns_recipient r WHERE r.member_id = p.member_id
        AND r.sent_at <= l.paid_at AND r.sent_at > l.paid_at - %(days)s * interval '1 day')
    GROUP BY 1
"""


class NotBegun(RuleViolation):
    code = "holdout_not_begun"


def period_of(holdout: Holdout) -> tuple[dt.datetime, dt.datetime]:
    """From the quarter's first day until the next one's, in Shanghai."""
    first = holdout.first_day
    month = first.month + 3
    following = dt.date(first.year + month // 13, (month - 1) % 12 + 1, 1)
    return _midnight(first), _midnight(following)


def report(*, holdout: Holdout, now: dt.datetime, cost_fen: int | None = None, margin_bp: int | None = None) -> Report:
    """Of the quarter so far. Raises NotBegun."""
    start, end = period_of(holdout)
    if now <= start:
        raise NotBegun(_("This quarter has not begun."))
    until = min(now, end)
    people = PEOPLE.replace("{place}", draw.place_sql("%(salt)s::text", "m.id"))
    values: dict[str, Any] = {
        "brand": holdout.brand_id, "share": holdout.share_bp, "salt": holdout.salt, "first": holdout.first_day, "start": start,
    }  # fmt: skip
    sums = outcomes.added_up(people=people, values=values, start=start, end=until)
    with connection.cursor() as cursor:
        cursor.execute(
            ATTRIBUTED.replace("{people}", people), {**values, "end": until, "days": outcomes.LAST_TOUCH_DAYS}
        )
        claimed = dict(cursor.fetchall())
    counts = {arm: moments[outcomes.MONEY].count for arm, moments in sums.items()}
    each = None if cost_fen is None or not counts.get(ADDRESSED) else Decimal(cost_fen) / counts[ADDRESSED]
    names = {HELD: _("universal hold-out"), ADDRESSED: _("may be addressed")}
    weights = {HELD: holdout.share_bp, ADDRESSED: BP - holdout.share_bp}
    return reading.read(
        arms=[
            reading.Arm(arm, names[arm], weights[arm], counts.get(arm, 0), sums.get(arm, {}), claimed.get(arm, 0))
            for arm in (HELD, ADDRESSED)
        ],
        metrics=outcomes.METRICS, terms=Terms(each, margin_bp), money_metric=outcomes.MONEY,
    )  # fmt: skip


@transaction.atomic
def ask(*, holdout: Holdout, actor: Any, cost_fen: int | None = None, margin_bp: int | None = None) -> Job:
    """Have the quarter read by a job; the look is kept whatever it shows."""
    return jobs.enqueue(KIND, actor=actor, params={"holdout": holdout.pk, "cost_fen": cost_fen, "margin_bp": margin_bp})


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``experiment.universal``."""
    params = progress.job.params
    holdout, now = Holdout.objects.get(pk=params["holdout"]), db.clock()
    progress.stage(KIND)
    found = report(holdout=holdout, now=now, cost_fen=params["cost_fen"], margin_bp=params["margin_bp"])
    until = min(now, period_of(holdout)[1])
    return {"report": reading.as_json(found), "until": until.isoformat(), "is_final": until < now}


def looks(holdout: Holdout, limit: int) -> list[Job]:
    """The jobs of its reports, the newest first."""
    rows = Job.objects.filter(kind=KIND, params__holdout=holdout.pk).select_related("requested_by")
    return list(rows.order_by("-pk")[:limit])


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), draw.SHANGHAI)
