"""Who has left the group whose joining began her run: it ends as of her leaving, each minute and whatever step comes next.

She may join again and begins again, also within the same minute: the run has ended before the new stay began. What was found
out late (a leaving that no event told) is seen by the thorough look, or when the next step is due.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from campaigns.models import SopRun
from guides import actions
from guides.models import Action
from scrm import db

GROUP_KEY = "CASE WHEN r.anchor_key LIKE 'group %%' THEN substr(r.anchor_key, 7)::bigint END"

# from the stays that ended lately to the runs they began, by the key of the run
ENDED = """
    SELECT r.id, s.left_at FROM campaigns_groupstay s
    JOIN campaigns_soprun r ON r.member_id = s.member_id AND r.anchor_key = 'group ' || s.id AND r.status = 'ACTIVE'
    WHERE NOT s.is_staff AND s.left_at > %(since)s AND s.member_id IS NOT NULL
    ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
"""
OF_RUNS = f"""
    SELECT r.id, s.left_at FROM campaigns_soprun r JOIN campaigns_groupstay s ON s.id = {GROUP_KEY}
    WHERE r.id = ANY(%(runs)s) AND s.left_at IS NOT NULL
"""


@transaction.atomic
def end(*, since: dt.datetime, now: dt.datetime) -> int:
    """End the runs of who has left her group after ``since``; how many. What her guide has not yet done is withdrawn."""
    left = dict(db.fetch(ENDED, {"since": since}))
    runs = list(SopRun.objects.filter(pk__in=left))
    for run in runs:
        run.status, run.why, run.ended_at = SopRun.Status.STOPPED, SopRun.Why.LEFT, left[run.pk]
    SopRun.objects.bulk_update(runs, ["status", "why", "ended_at"])
    actions.withdraw(source=Action.Source.SOP, source_ids=list(left), now=now)
    return len(runs)


def of_runs(run_ids: list[int]) -> dict[int, dt.datetime]:
    """``{run: when she left}`` of those whose stay has ended."""
    return dict(db.fetch(OF_RUNS, {"runs": run_ids}))
