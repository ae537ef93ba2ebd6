"""Staff and what they may (员工与授权): accounts, grants, passwords, second factors.

1. Nobody gives a role whose rights exceed their own, nor a part of the organisation outside their own.
2. Nobody changes the account of somebody who may do more than they may, and nobody changes their own rights.
3. A grant names its part: HQ roles none, a region manager a region, a franchisee owner an entity, a store manager a store.
4. A disabled account works nowhere from that moment on: its sessions are refused and its tokens deleted.
5. A second factor (两步验证) is set up by its owner; somebody else can only remove it, with a reason.
6. Each of these is an act.
"""

from __future__ import annotations

from typing import Any

import django_otp
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django_otp.plugins.otp_totp.models import TOTPDevice
from knox.models import get_token_model

from scrm import audit, db, org
from scrm.errors import RuleViolation
from scrm.models import Grant, LegalEntity, Region, Role, Store, User

PART_OF_ROLE = {
    Role.HQ_ADMIN: (),
    Role.HQ_OPERATOR: (),
    Role.AUDITOR: (),
    Role.REGION_MANAGER: ("region",),
    Role.FRANCHISEE_OWNER: ("entity",),
    Role.STORE_MANAGER: ("store",),
}
MAY_NAME = {Role.AUDITOR: {"region", "entity"}, Role.REGION_MANAGER: {"entity"}, Role.FRANCHISEE_OWNER: {"region"}}


class MayNot(RuleViolation):
    """The person may not do this to that account."""

    code = "may_not"


class BadGrant(RuleViolation):
    code = "bad_grant"


class BadAccount(RuleViolation):
    code = "bad_account"


class BadCode(RuleViolation):
    code = "bad_code"


# --- pure ---


def part_fault(role: str, region: Any, entity: Any, store: Any) -> str | None:
    """Why a role cannot be given over this part, or None."""
    named = {name for name, part in (("region", region), ("entity", entity), ("store", store)) if part is not None}
    missing = set(PART_OF_ROLE[Role(role)]) - named
    if missing:
        return str(
            {
                "region": _("Choose the region this role is for."),
                "entity": _("Choose the legal entity this role is for."),
                "store": _("Choose the store this role is for."),
            }[missing.pop()]
        )
    if named - set(PART_OF_ROLE[Role(role)]) - MAY_NAME.get(Role(role), set()):
        return _("This role does not name such a part of the organisation.")
    return None


# --- operations ---


@transaction.atomic
def create(*, actor: Any, username: str, name: str, password: str) -> User:
    """An account without any role yet."""
    if User.objects.filter(username=username).exists():
        raise BadAccount(_("This user name is taken."))
    user = User(username=username, name=name)
    _set_password(user, password)
    user.save()
    audit.record(actor=actor, verb="people.create", target=user)
    return user


@transaction.atomic
def grant(
    *,
    actor: Any,
    user: User,
    role: str,
    region: Region | None = None,
    entity: LegalEntity | None = None,
    store: Store | None = None,
) -> Grant:
    """Give a role over a part. Raises BadGrant, MayNot."""
    _require_other(actor, user)
    fault = part_fault(role, region, entity, store)
    if fault:
        raise BadGrant(fault)
    wanted = Grant(user=user, role=role, region=region, entity=entity, store=store)
    _require_covers(actor, org.RIGHTS[role], org.scope_of_grants([wanted]))
    if Grant.objects.filter(user=user, role=role, region=region, entity=entity, store=store).exists():
        raise BadGrant(_("The person has this role already."))
    wanted.save()
    audit.record(actor=actor, verb="people.grant", target=user, grant=wanted.pk, role=role)
    return wanted


@transaction.atomic
def revoke(*, actor: Any, grant: Grant, reason: str) -> None:
    """Take a role away."""
    _require_above(actor, grant.user)
    audit.record(
        actor=actor, verb="people.revoke", target=grant.user, reason=reason, role=grant.role, region=grant.region_id,
        entity=grant.entity_id, store=grant.store_id,
    )  # fmt: skip
    grant.delete()


@transaction.atomic
def disable(*, actor: Any, user: User, reason: str) -> None:
    """End an account at once; running sessions fail at their next request."""
    _require_above(actor, user)
    row = db.lock(User.objects.filter(pk=user.pk))[0]
    row.is_active = False
    row.save(update_fields=["is_active"])
    get_token_model().objects.filter(user=row).delete()
    audit.record(actor=actor, verb="people.disable", target=row, reason=reason)


@transaction.atomic
def enable(*, actor: Any, user: User, reason: str) -> None:
    _require_above(actor, user)
    row = db.lock(User.objects.filter(pk=user.pk))[0]
    row.is_active = True
    row.save(update_fields=["is_active"])
    audit.record(actor=actor, verb="people.enable", target=row, reason=reason)


@transaction.atomic
def rename(*, actor: Any, user: User, name: str) -> None:
    row = db.lock(User.objects.filter(pk=user.pk))[0]
    row.name = name
    row.save(update_fields=["name"])
    audit.record(actor=actor, verb="people.rename", target=row)


@transaction.atomic
def set_password(*, actor: Any, user: User, password: str) -> None:
    """A new password for somebody else; her sessions end with the old one."""
    _require_above(actor, user)
    row = db.lock(User.objects.filter(pk=user.pk))[0]
    _set_password(row, password)
    row.save(update_fields=["password"])
    audit.record(actor=actor, verb="people.set_password", target=row)


@transaction.atomic
def remove_second_factor(*, actor: Any, user: User, reason: str) -> None:
    """The phone is lost: the owner sets up another one at the next login."""
    _require_above(actor, user)
    TOTPDevice.objects.filter(user=user).delete()
    audit.record(actor=actor, verb="people.remove_second_factor", target=user, reason=reason)


def has_second_factor(user: Any) -> bool:
    return TOTPDevice.objects.filter(user=user, confirmed=True).exists()


@transaction.atomic
def pending_device(user: Any) -> TOTPDevice:
    """The device the owner is about to confirm; the same one until she does."""
    db.lock(User.objects.filter(pk=user.pk))
    device = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk").first()
    return device or TOTPDevice.objects.create(user=user, name="TOTP", confirmed=False)


def verify_second_factor(*, request: HttpRequest, user: Any, code: str) -> None:
    """Check a code against the owner's devices; the first right one confirms a new device. Raises BadCode."""
    device = _matching_device(user, "".join(ch for ch in code if ch.isdecimal()))
    if device is None:  # raised here, after the attempt was counted and committed
        raise BadCode(_("The code is not right, or it was tried too often. Wait for the next one."))
    django_otp.login(request, device)


# --- helpers ---


@transaction.atomic
def _matching_device(user: Any, code: str) -> TOTPDevice | None:
    confirmed = has_second_factor(user)
    devices = TOTPDevice.objects.filter(user=user, confirmed=confirmed).order_by("pk").select_for_update()
    device = next((d for d in devices if d.verify_is_allowed()[0] and d.verify_token(code)), None)
    if device is not None and not confirmed:
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        audit.record(actor=user, verb="people.set_up_second_factor", target=user)
    return device


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise BadAccount(" ".join(error.messages)) from error
    user.set_password(password)


def _require_other(actor: Any, user: User) -> None:
    if actor is not None and actor.pk == user.pk:
        raise MayNot(_("Nobody changes their own rights; ask a colleague."))


def _require_above(actor: Any, user: User) -> None:
    """``actor`` may do all that ``user`` may, and sees all she sees."""
    _require_other(actor, user)
    if user.is_superuser and actor is not None and not actor.is_superuser:
        raise MayNot(_("This account may do more than yours."))
    grants = list(Grant.objects.filter(user=user))
    rights = frozenset().union(*(org.RIGHTS[g.role] for g in grants))
    _require_covers(actor, rights, org.scope_of_grants(grants))


def _require_covers(actor: Any, rights: frozenset[org.Right], scope: org.Scope) -> None:
    if actor is None:
        return
    if not rights <= org.rights_of(actor):
        raise MayNot(_("This role may do more than yours; ask an HQ administrator."))
    own = org.scope_of(actor)
    if own.store_ids is not None and (scope.store_ids is None or not scope.store_ids <= own.store_ids):
        raise MayNot(_("This part of the organisation lies outside yours."))
