"""Risk marks (风险标记) by hand: HQ holds the commission of a line, or lets it go, whatever its channel says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from members.models import Order, OrderLine, RiskMark
from scrm import audit, db
from scrm.errors import RuleViolation

MOST_LINES = 1_000  # in one act


class CannotMark(RuleViolation):
    code = "risk_mark_refused"


# A queue row that a decider holds is waited for, before the line is touched: it then decides what we have written.
_QUEUE = """
    INSERT INTO members_linetodecide (line_id, booked_on) SELECT * FROM unnest(%s::bigint[], %s::date[]) ORDER BY 1
    ON CONFLICT (line_id) DO UPDATE SET booked_on = EXCLUDED.booked_on
"""


@transaction.atomic
def mark_lines(*, line_ids: Iterable[int], mark: str, reason: str, actor: Any) -> int:
    """Mark these lines, or clear their marks with an empty ``mark``; how many change. They are queued to be decided again."""
    wanted = sorted(set(line_ids))
    if len(wanted) > MOST_LINES:
        raise CannotMark(_("At most %(most)s lines at a time.") % {"most": f"{MOST_LINES:,}"})
    if not reason.strip():
        raise CannotMark(_("Say why."))
    lines = OrderLine.objects.filter(pk__in=wanted)
    db.lock(Order.objects.filter(pk__in=lines.values("order_id")))  # as whoever records a version does
    changed = [(line.pk, line.booked_on) for line in lines.order_by("pk") if line.risk_mark != mark]
    if not changed:
        return 0
    ids, days = [line_id for line_id, _day in changed], [day for _line_id, day in changed]
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, [ids, days])
    RiskMark.objects.bulk_create(
        [RiskMark(line_id=pk, booked_on=day, mark=mark, reason=reason, set_by=actor) for pk, day in changed]
    )
    OrderLine.objects.filter(pk__in=ids, booked_on__in=set(days)).update(risk_mark=mark)
    audit.record(
        actor=actor, verb="line.mark" if mark else "line.clear", target_type="members.OrderLine", target_id=str(ids[0]),
        reason=reason, mark=mark, count=len(ids), line_ids=ids,
    )  # fmt: skip
    return len(ids)
