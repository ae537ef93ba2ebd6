"""Blocks (冻结): money that stays where it is until a question about it is answered."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from attribution.models.ledger import Hold

ONLY_RELEASED = """
    IF OLD.released_at IS NOT NULL
       OR (to_jsonb(NEW) - ARRAY['released_at','released_by_id']) IS DISTINCT FROM
          (to_jsonb(OLD) - ARRAY['released_at','released_by_id']) THEN
        RAISE EXCEPTION 'a block is only ever released, once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class MoneyBlockQuerySet(models.QuerySet["MoneyBlock"]):
    def live(self) -> MoneyBlockQuerySet:
        return self.filter(released_at=None)


class MoneyBlock(models.Model):
    """One hold that one cause keeps from vesting and from being paid."""

    hold = models.ForeignKey(
        Hold, models.PROTECT, verbose_name=_("commission line"), db_index=False, related_name="blocks"
    )
    cause = models.CharField(_("cause"), max_length=96)  # the business fact: "DISPUTE 12", "RISK …"
    blocked_at = models.DateTimeField(_("blocked at"), db_default=models.functions.Now())
    blocked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        verbose_name=_("blocked by"),
        related_name="+",
        db_index=False,
    )  # null: SYSTEM
    released_at = models.DateTimeField(_("released at"), null=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        verbose_name=_("released by"),
        related_name="+",
        db_index=False,
    )

    objects = MoneyBlockQuerySet.as_manager()

    class Meta:
        verbose_name = _("block")
        verbose_name_plural = _("blocks")
        constraints = (
            models.UniqueConstraint(
                name="one_block_per_cause", fields=["hold", "cause"], condition=Q(released_at=None)
            ),
            models.CheckConstraint(name="block_names_its_cause", condition=~Q(cause="")),
        )
        indexes = (
            models.Index(fields=["hold", "-id"], name="block_hold"),
            models.Index(fields=["cause"], name="block_cause", condition=Q(released_at=None)),
        )
        triggers = (
            pgtrigger.Trigger(
                name="only_released", when=pgtrigger.Before, operation=pgtrigger.Update, func=ONLY_RELEASED
            ),
            pgtrigger.Protect(name="block_stays", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(hold__store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.hold_id} {self.cause}"
