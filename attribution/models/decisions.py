"""Decisions (归属判定): who gets the credit of a line, kept with the evidence it was taken on."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from attribution.models.rules import RuleVersion
from members.models import Member
from scrm import db
from scrm.models import Store
from scrm.money import FenField

ONLY_SUPERSEDED = """
    IF (to_jsonb(NEW) - 'state') IS DISTINCT FROM (to_jsonb(OLD) - 'state')
       OR OLD.state = 'SUPERSEDED' OR NEW.state NOT IN ('SUPERSEDED', 'LIVE')
       OR NEW.state = 'LIVE' AND OLD.state <> 'PROVISIONAL' THEN
        RAISE EXCEPTION 'a decision is only ever superseded or made final' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# A foreign key to a partitioned table is checked by a planned query a row; this asks once a statement, line by line by
# key (a join would be planned without statistics). Lines are never deleted.
LINE_EXISTS = """
    IF EXISTS (
        SELECT 1 FROM new_rows r
        WHERE (SELECT l.id FROM members_orderline l WHERE l.id = r.line_id AND l.booked_on = r.booked_on) IS NULL
    ) THEN
        RAISE EXCEPTION 'line_id names no row of members_orderline' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
"""


class Decision(models.Model):
    """Partitioned by the line's ``booked_on``, with which (line_id, booked_on) references the line."""

    class State(models.TextChoices):
        PROVISIONAL = "PROVISIONAL", _("provisional")
        LIVE = "LIVE", _("live")
        HELD = "HELD", _("held for review")
        INELIGIBLE = "INELIGIBLE", _("not eligible")
        SUPERSEDED = "SUPERSEDED", _("superseded")

    line_id = models.BigIntegerField(_("order line"))
    booked_on = models.DateField()
    sequence = models.PositiveSmallIntegerField(_("sequence"), default=1)
    rule = models.ForeignKey(
        RuleVersion, models.PROTECT, verbose_name=_("rule version"), db_index=False, db_constraint=False
    )
    as_of = models.DateTimeField(_("as of"))
    state = models.CharField(_("state"), max_length=12, choices=State)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False, db_constraint=False
    )
    mode = models.CharField(  # empty: the version's; a layer of it may say another
        _("mode"), max_length=16, choices=RuleVersion.Mode, blank=True, default="", db_default=""
    )
    winner_code = models.CharField(_("winner"), max_length=48)
    store = models.ForeignKey(  # snapshot
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, db_constraint=False
    )
    candidates = models.JSONField(_("candidates"))  # [[type, id, store, ok, reason], …] in order of precedence
    shares = models.JSONField(_("shares"))  # [[role, beneficiary, store, bp], …]
    line_version_at = models.DateTimeField(_("line version"))
    base_fen = FenField(_("base"))
    rate_bp = models.PositiveIntegerField(_("rate (bp)"))
    pot_fen = FenField(_("commission"))
    # every pot, as rules.pot_row writes it, with the sequence of the decision it was accrued for; null: the commission is
    # the only pot, of the brand's budget, without a cap
    pots = models.JSONField(_("pots"), null=True)
    digest = models.CharField(_("digest"), max_length=64)
    supersedes_id = models.BigIntegerField(null=True)
    reason = models.CharField(_("reason"), max_length=128, blank=True)  # of a second decision
    decided_at = models.DateTimeField(_("decided at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        constraints = (
            models.UniqueConstraint(name="decision_once", fields=["line_id", "sequence", "booked_on"]),
            models.UniqueConstraint(
                name="one_live_decision", fields=["line_id", "booked_on"], condition=~Q(state="SUPERSEDED")
            ),
            models.CheckConstraint(
                name="supersession_links", condition=Q(sequence=1, supersedes_id=None) | ~Q(supersedes_id=None)
            ),
        )
        indexes = (
            models.Index(fields=["store", "-id"], name="decision_store"),
            models.Index(fields=["as_of"], name="decision_provisional", condition=Q(state="PROVISIONAL")),
        )
        triggers = (
            pgtrigger.Trigger(
                name="only_superseded", when=pgtrigger.Before, operation=pgtrigger.Update, func=ONLY_SUPERSEDED
            ),
            pgtrigger.Protect(name="decision_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(
                name="line_exists",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_rows"),
                func=LINE_EXISTS,
            ),
            db.references_exist(rule_id="attribution_ruleversion", store_id="scrm_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.line_id}/{self.sequence}"
