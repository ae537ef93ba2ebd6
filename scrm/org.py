"""Who may see what (数据范围) and who may do what (权限).

1. A person's scope is a set of stores: the subtree of a region, the stores of an entity, the cut of both when a grant
   names both, one store; several grants add up. HQ roles and an auditor without a part see everything.
2. Every model says once, in ``scope_q``, which of its rows a set of stores may see. A model that says nothing is seen by
   HQ only.
3. What a role may do (view, change, act, reveal, export) stands in ``RIGHTS``, which the console shows.
4. A guide's own user sees what the guide API gives her, never the console.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from scrm.models import Grant, Region, Role, Store, User

HQ_ROLES = frozenset({Role.HQ_ADMIN, Role.HQ_OPERATOR})


class Right(enum.StrEnum):
    VIEW = "VIEW"
    CHANGE = "CHANGE"  # edit organisation and configuration
    ACT = "ACT"  # import, bind, run a job
    REVEAL = "REVEAL"  # see a mobile number in full, with a reason
    EXPORT = "EXPORT"


RIGHTS: dict[str, frozenset[Right]] = {
    Role.HQ_ADMIN: frozenset(Right),
    Role.HQ_OPERATOR: frozenset({Right.VIEW, Right.CHANGE, Right.ACT, Right.REVEAL}),
    Role.REGION_MANAGER: frozenset({Right.VIEW, Right.ACT, Right.REVEAL}),
    Role.FRANCHISEE_OWNER: frozenset({Right.VIEW}),
    Role.STORE_MANAGER: frozenset({Right.VIEW, Right.REVEAL}),
    Role.AUDITOR: frozenset({Right.VIEW}),
}


ScopeRule = Callable[[frozenset[int]], Q]
_more_rules: dict[type[Model], list[ScopeRule]] = {}


@dataclass(frozen=True, slots=True)
class Scope:
    """``store_ids`` is None for everything; an empty set sees nothing."""

    store_ids: frozenset[int] | None

    @property
    def is_everything(self) -> bool:
        return self.store_ids is None


EVERYTHING = Scope(None)
NOTHING = Scope(frozenset())


def scope_of(user: Any) -> Scope:
    """The stores a user may see; computed once per request and kept on the user object."""
    cached = getattr(user, "_scope", None)
    if cached is None:
        cached = user._scope = _scope_of(user)
    return cached


def rights_of(user: Any) -> frozenset[Right]:
    """Everything any of the user's roles allows; a superuser may do all."""
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset(Right)
    return frozenset().union(*(RIGHTS[grant.role] for grant in _grants(user)))


def may(user: Any, right: Right) -> bool:
    return right in rights_of(user)


def roles_of(user: Any) -> frozenset[str]:
    return frozenset(grant.role for grant in _grants(user))


def visible(queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
    """The rows of ``queryset`` inside ``scope``: the one place where rows are cut."""
    if scope.is_everything:
        return queryset
    return queryset.filter(scope_q(queryset.model, scope))


def scope_q(model: type[Model], scope: Scope) -> Q:
    """The filter of ``model``'s rows for a scope: its own rule, or any rule an upper app has added."""
    if scope.is_everything:
        return Q()
    rules = [*filter(None, [getattr(model, "scope_q", None)]), *_more_rules.get(model, [])]
    if not rules or not scope.store_ids:
        return Q(pk__in=[])
    return reduce(operator.or_, (rule(scope.store_ids) for rule in rules))


def is_scoped(model: type[Model]) -> bool:
    """Whether somebody with a part of the organisation may see any row of ``model`` at all."""
    return hasattr(model, "scope_q") or model in _more_rules


def also_visible(model: type[Model], rule: ScopeRule) -> None:
    """An upper app adds a way in which rows of a lower app's model fall into a scope; called from ``ready``."""
    _more_rules.setdefault(model, []).append(rule)


def through(path: str, model: type[Model], store_ids: frozenset[int]) -> Q:
    """Rows that hang on a row of ``model`` by the foreign key ``path`` are seen with it."""
    return Q(Exists(model._default_manager.filter(scope_q(model, Scope(store_ids)), pk=OuterRef(path))))


def _grants(user: Any) -> list[Grant]:
    cached = getattr(user, "_grants_read", None)
    if cached is None:
        cached = user._grants_read = list(Grant.objects.filter(user=user)) if user.pk else []
    return cached


def _scope_of(user: Any) -> Scope:
    if not user.is_active:
        return NOTHING
    return EVERYTHING if user.is_superuser else scope_of_grants(_grants(user))


def scope_of_grants(grants: Iterable[Grant]) -> Scope:
    """What a set of grants shows together; they need not be saved."""
    stores: set[int] = set()
    for grant in grants:
        if grant.role in HQ_ROLES or not (grant.region_id or grant.entity_id or grant.store_id):
            return EVERYTHING
        stores.update(_stores_of(grant))
    return Scope(frozenset(stores))


def _stores_of(grant: Grant) -> QuerySet[Any]:
    stores = Store.objects.all()
    if grant.store_id:
        stores = stores.filter(pk=grant.store_id)
    if grant.entity_id:
        stores = stores.filter(entity_id=grant.entity_id)
    if grant.region_id:
        subtree = Region.objects.descendants(grant.region_id, include_self=True)
        stores = stores.filter(region_id__in=[region.pk for region in subtree])
    return stores.values_list("pk", flat=True)


def staff(user: User) -> bool:
    """Whether the person works in the console at all."""
    return user.is_active and (user.is_superuser or bool(_grants(user)))
