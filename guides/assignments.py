"""Assignments (指派): from a moment on, another guide is responsible for a member.

1. The caller names the binding it believes current, or none. If another one is current by now nothing happens
   (``BindingChanged``): two people who assign at once cannot overwrite each other unseen.
2. The current binding ends at that moment and the new one begins at it; history is never rewritten. Decisions already
   taken keep their winner.
3. The binding names the store in which the guide works at that moment; who works nowhere then cannot be bound.
4. A guide is never bound to herself: no mobile number and no unionid of hers may be an identity of the member.
5. Whether a binding is protected against others is the policy in ``snatching``; HQ assigns past it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from guides import bindings
from guides.models import Binding, Guide
from members.models import Member
from scrm import audit, db
from scrm.errors import RuleViolation


class BindingChanged(RuleViolation):
    """Somebody has bound the member meanwhile."""

    code = "binding_changed"


class NotEmployed(RuleViolation):
    code = "guide_not_employed"


class SelfBinding(RuleViolation):
    code = "self_binding"


class TooEarly(RuleViolation):
    """The moment lies before the current binding or in the future."""

    code = "binding_time"


@transaction.atomic
def assign(
    *,
    member: Member,
    guide: Guide,
    expected: Binding | None,
    at: dt.datetime,
    now: dt.datetime,
    actor: Any,
    reason: str,
    source: str = Binding.Source.ASSIGNED,
) -> Binding:
    """Bind ``member`` to ``guide`` from ``at`` on; the new binding, or ``expected`` when it says so already."""
    db.lock(Member.objects.filter(pk=member.pk))
    current = Binding.objects.filter(member=member, brand=member.brand_id, ended_at=None).first()
    if (current.pk if current else None) != (expected.pk if expected else None):
        raise BindingChanged(
            _("The member's guide has changed meanwhile. Look again, then decide."),
            extra={"binding": current.pk if current else None},
        )
    if current is not None and current.guide_id == guide.pk:
        return current
    _require_moment(current, at, now)
    _require_not_herself(member, guide)
    store_id = _store_at(guide, at)
    if current is not None:
        Binding.objects.filter(pk=current.pk).update(ended_at=at)
    binding = Binding.objects.create(
        brand_id=member.brand_id, member=member, guide=guide, store_id=store_id, source=source, started_at=at
    )
    audit.record(
        actor=actor, verb="binding.assign", target=member, reason=reason, binding=binding.pk, guide=guide.pk,
        before=current.guide_id if current else None,
    )  # fmt: skip
    return binding


def _require_moment(current: Binding | None, at: dt.datetime, now: dt.datetime) -> None:
    if at > now or (current is not None and at <= current.started_at):
        raise TooEarly(_("The moment must lie after the beginning of the current binding and not in the future."))


def _require_not_herself(member: Member, guide: Guide) -> None:
    if bindings.keys_of_guide(guide) & bindings.keys_of_member(member):
        raise SelfBinding(_("A guide cannot be her own customer."))


def _store_at(guide: Guide, at: dt.datetime) -> int:
    store_id = bindings.store_id_at(guide.pk, at)
    if store_id is not None:
        return store_id
    raise NotEmployed(_("The guide does not work in any store at that moment."))
