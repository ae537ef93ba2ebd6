"""Disputes of the sample company: lines that a guide rang up and another has by her binding; one is open, one was upheld.

The ledger knows no day but today, so a settled month of the past cannot be shown: the first batch is made by the clock, on the
batch day of the month after the sample was loaded.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from attribution.disputes import hearing
from attribution.models import Dispute
from guides.models import Guide
from members.models import OrderLine
from scrm import db
from scrm.models import User

# a line of the last weeks whose cashier, at work in the shop that took it, lost it to another guide; the dearest first
LOST_AT_THE_TILL = """
    SELECT l.id, l.booked_on, g.id
    FROM members_orderline l
    JOIN attribution_decision d ON d.line_id = l.id AND d.booked_on = l.booked_on AND d.state = 'LIVE'
    JOIN guides_guide g ON g.code = l.cashier_code AND g.code <> d.winner_code
    WHERE l.booked_on >= %(since)s AND d.pot_fen > 0 AND l.refunded_fen = 0 AND d.winner_code LIKE 'DEMO-G%%'
      AND EXISTS (SELECT 1 FROM guides_employment m WHERE m.guide_id = g.id AND m.started_at <= l.paid_at AND m.ended_at IS NULL)
    ORDER BY l.paid_fen DESC, l.id LIMIT 2
"""
STATEMENT = "顾客当天在店里由我接待试吃并推荐，绑定导购那天不在岗"


@transaction.atomic
def open_some(until: dt.datetime) -> int:
    """Two disputes, the second of them heard and upheld by two people of HQ; how many there are. Loaded again, the same."""
    if Dispute.objects.exists():
        return Dispute.objects.count()
    first, second = User.objects.get(username="operator"), User.objects.get(username="hq")
    rows = db.fetch(LOST_AT_THE_TILL, {"since": (until - dt.timedelta(days=45)).date()})
    for place, (line_id, booked_on, guide_id) in enumerate(rows):
        guide = Guide.objects.get(pk=guide_id)
        line = OrderLine.objects.get(pk=line_id, booked_on=booked_on)
        dispute = hearing.open_dispute(
            line_id=line.pk,
            guide=guide,
            ground=Dispute.Ground.MY_SALE,
            statement=STATEMENT,
            actor=guide.user,
            now=until,
        )
        hearing.add_evidence(dispute=dispute, actor=guide.user, text="小票与当天排班表", now=until)
        if place == 1:
            hearing.give_opinion(dispute=dispute, opinion="FOR", text="排班表属实，是她接待的", actor=first, now=until)
            hearing.propose(dispute=dispute, is_upheld=True, reason="小票、排班与店长意见一致", actor=first, now=until)
            hearing.confirm(dispute=dispute, actor=second, now=until)
    return len(rows)
