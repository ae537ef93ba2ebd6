"""Delegations (代管): while a guide is on leave a colleague serves her customers and shares the credit.

1. A leave names who stands in, from when, until when if that is known, and the share of the one who stands in. It moves
   no customer: the bindings stay.
2. Both are employed when it begins. Leaves of one guide do not overlap.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from guides.models import Delegation, Guide
from scrm import audit, db
from scrm.errors import RuleViolation


class BadDelegation(RuleViolation):
    code = "bad_delegation"


@transaction.atomic
def delegate(
    *,
    guide: Guide,
    to: Guide,
    started_at: dt.datetime,
    ended_at: dt.datetime | None,
    delegate_bp: int,
    actor: Any,
    reason: str,
) -> Delegation:
    """Record a leave of ``guide`` with ``to`` standing in. Raises BadDelegation."""
    db.lock(Guide.objects.filter(pk__in=[guide.pk, to.pk]))
    if guide.pk == to.pk:
        raise BadDelegation(_("Nobody stands in for herself."))
    if ended_at is not None and ended_at <= started_at:
        raise BadDelegation(_("The leave must end after it begins."))
    if not 0 <= delegate_bp <= 10_000:
        raise BadDelegation(_("The share lies between 0 and 10000 basis points."))
    for person in (guide, to):
        open_then = Q(ended_at=None) | Q(ended_at__gt=started_at)
        if not person.employments.filter(open_then, started_at__lte=started_at).exists():
            raise BadDelegation(_("%(guide)s does not work in any store when the leave begins.") % {"guide": person})
    overlaps = Delegation.objects.filter(Q(ended_at=None) | Q(ended_at__gt=started_at), guide=guide)
    if ended_at is not None:
        overlaps = overlaps.filter(started_at__lt=ended_at)
    if overlaps.exists():
        raise BadDelegation(_("Another leave of this guide overlaps it."))
    leave = Delegation.objects.create(
        guide=guide, delegate=to, started_at=started_at, ended_at=ended_at, delegate_bp=delegate_bp
    )
    audit.record(actor=actor, verb="delegation.open", target=leave, reason=reason, guide=guide.pk, delegate=to.pk)
    return leave
