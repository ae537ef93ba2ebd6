"""Whom a send goes to (群发对象): customers of a frozen audience, or customer groups. All else of a send is one path."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from campaigns.models import Group, GroupRecipient, Recipient, Send, SendBatch
from guides.models import Contact
from members import consent
from members.models import Purpose
from scrm.models import WecomApp
from scrm.wecom import mass_sends
from scrm.wecom.mass_sends import Made, Result


@dataclass(frozen=True, slots=True)
class Targets:
    """``who``: whom a row is of; ``key``: the column by which WeCom's answers find it, the key of ``outside``, where
    ``external`` is its id at WeCom. ``unwilling``: of those asked for who may not be sent to after all, for ``no``."""

    model: type[Any]
    who: str
    key: str
    outside: type[Model]
    external: str
    chat_type: str
    create: Callable[..., Made]
    told: Callable[[Result], str]
    unwilling: Callable[[Sequence[int]], set[int]]
    no: str

    def rows(self, batch: SendBatch) -> QuerySet[Any]:
        found: QuerySet[Any] = self.model.objects.filter(batch=batch)
        return found

    def planned(self, batch: SendBatch) -> QuerySet[Any]:
        return self.rows(batch).filter(state=Recipient.State.PLANNED)

    def at_wecom(self, keys: Collection[int]) -> list[str]:
        """Their ids at WeCom."""
        rows = self.outside._default_manager.filter(pk__in=keys).order_by("pk")
        return list(rows.values_list(self.external, flat=True))

    def known(self, corp_id: int, ids: Collection[str]) -> dict[str, int]:
        """``{id at WeCom: key}`` of those that are known here."""
        rows = self.outside._default_manager.filter(**{f"{self.external}__in": list(ids), "corp": corp_id})
        return dict(rows.values_list(self.external, "pk"))

    @property
    def size(self) -> int:
        """Of one task, at most."""
        return mass_sends.GROUPS if self.chat_type == mass_sends.GROUP else mass_sends.CUSTOMERS


def of(send: Send) -> Targets:
    return GROUPS if send.goes_to == Send.GoesTo.GROUPS else CUSTOMERS


def _refusing(member_ids: Sequence[int]) -> set[int]:
    return set(consent.refusing(member_ids=list(member_ids), purpose=Purpose.WECOM_MARKETING))


def _dissolved(group_ids: Sequence[int]) -> set[int]:
    gone = Group.objects.filter(pk__in=group_ids, dissolved_at__isnull=False)
    return set(gone.values_list("pk", flat=True))


def _to_customers(app: WecomApp, ids: Sequence[str], **values: Any) -> Made:
    return mass_sends.create(app, external_userids=ids, **values)


def _to_groups(app: WecomApp, ids: Sequence[str], **values: Any) -> Made:
    return mass_sends.create_for_groups(app, chat_ids=ids, **values)


CUSTOMERS = Targets(
    Recipient, "member_id", "contact_id", Contact, "external_userid", mass_sends.SINGLE, _to_customers,
    operator.attrgetter("external_userid"), _refusing, Recipient.Reason.NO_CONSENT,
)  # fmt: skip
GROUPS = Targets(
    GroupRecipient, "group_id", "group_id", Group, "chat_id", mass_sends.GROUP, _to_groups,
    operator.attrgetter("chat_id"), _dissolved, GroupRecipient.Reason.DISSOLVED,
)  # fmt: skip
