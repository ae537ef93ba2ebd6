"""The sample's logins: one per role, with passwords that everybody knows. Never in production."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from scrm import people
from scrm.models import Grant, LegalEntity, Region, Role, Store, User


class Login(NamedTuple):
    username: str
    password: str
    name: str
    role: Role
    sees: Any  # what the person is shown, in words
    region: str = ""
    entity: str = ""
    store: str = ""


LOGINS = (
    Login("hq", "demo-hq-2025", "林总部", Role.HQ_ADMIN, _("everything")),
    Login("operator", "demo-operator-2025", "周运营", Role.HQ_OPERATOR, _("everything")),
    Login("region", "demo-region-2025", "沈大区", Role.REGION_MANAGER, _("region Hangzhou"), region="DEMO-R1"),
    Login(
        "owner", "demo-owner-2025", "俞加盟", Role.FRANCHISEE_OWNER, _("the stores of a franchisee"), entity="DEMO-F02"
    ),
    Login("DEMO-G0001", "demo-manager-2025", "", Role.STORE_MANAGER, _("the store Wensan Road"), store="DEMO-S001"),
    Login("auditor", "demo-auditor-2025", "金审计", Role.AUDITOR, _("everything, changes nothing")),
)
GUIDE = "DEMO-G0002"  # logs in to the mini-program with a one-time code


def create() -> list[User]:
    """Make the logins that do not exist yet. The store manager is the person who is a guide already."""
    require_not_production()
    return [_create(login) for login in LOGINS]


def existing() -> list[Login]:
    """The logins of a loaded sample; none in production."""
    if settings.PRODUCTION or not Store.objects.filter(code="DEMO-S001").exists():
        return []
    known = set(
        User.objects.filter(username__in=[login.username for login in LOGINS]).values_list("username", flat=True)
    )
    return [login for login in LOGINS if login.username in known]


def require_not_production() -> None:
    if settings.PRODUCTION:
        raise ImproperlyConfigured("published passwords do not exist in production")


@transaction.atomic
def _create(login: Login) -> User:
    user = User.objects.filter(username=login.username).first()
    if user is None:
        user = people.create(actor=None, username=login.username, name=login.name, password=login.password)
    elif not user.has_usable_password():
        people.set_password(actor=None, user=user, password=login.password)
    if not Grant.objects.filter(user=user, role=login.role).exists():
        people.grant(
            actor=None,
            user=user,
            role=login.role,
            region=Region.objects.get(code=login.region) if login.region else None,
            entity=LegalEntity.objects.get(code=login.entity) if login.entity else None,
            store=Store.objects.get(code=login.store) if login.store else None,
        )
    return user
