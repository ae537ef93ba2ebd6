"""Settlement (结算): the monthly batch, what it pays whom, the files that leave and what the bank said."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from attribution.models.ledger import Beneficiary
from scrm.db import AppendOnlyModel
from scrm.models import Job, LegalEntity, Store
from scrm.models.org import history
from scrm.money import FenField

USER = settings.AUTH_USER_MODEL

# What was approved is what is paid: figures stand still from the approval on, and a batch that ended stays as it ended.
BATCH_MOVES_ON = """
    IF OLD.status IN ('CANCELLED', 'SETTLED')
       OR OLD.status IN ('APPROVED', 'POSTED') AND (
           (to_jsonb(NEW) - ARRAY['status','job_id','posted_at','settled_at'])
           IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','job_id','posted_at','settled_at'])
           OR NEW.status NOT IN ('APPROVED', 'POSTED', 'SETTLED')) THEN
        RAISE EXCEPTION 'an approved batch does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

LINE_ONLY_GIVEN_BACK = """
    IF NOT OLD.is_live OR (to_jsonb(NEW) - 'is_live') IS DISTINCT FROM (to_jsonb(OLD) - 'is_live')
       OR EXISTS (SELECT 1 FROM attribution_batch b
                  WHERE b.id = OLD.batch_id AND b.status NOT IN ('MAKING', 'READY', 'CANCELLED')) THEN
        RAISE EXCEPTION 'a line of a batch is only ever given back, before the approval' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

STATEMENT_ONLY_POSTED = """
    IF OLD.is_posted OR (to_jsonb(NEW) - 'is_posted') IS DISTINCT FROM (to_jsonb(OLD) - 'is_posted') THEN
        RAISE EXCEPTION 'a statement does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

PAYMENT_ONLY_MOVES_ON = """
    IF OLD.status IN ('SETTLED', 'RETURNED')
       OR (to_jsonb(NEW) - ARRAY['status','reason','ended_at']) IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','reason','ended_at'])
       OR OLD.status = 'FILED' AND NEW.status = 'PENDING' THEN
        RAISE EXCEPTION 'a payment only moves on' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


@history
class SettlementTerms(models.Model):
    """How settlement is done from a period on; the newest that has begun counts."""

    applies_from = models.CharField(
        _("applies from period"), max_length=7, unique=True, help_text=_("for example 2026-05")
    )
    batch_day = models.PositiveSmallIntegerField(_("day of the batch in the next month"), default=10)
    netting_cap_bp = models.PositiveSmallIntegerField(
        _("at most kept from a period's pay (bp)"), null=True, blank=True, default=2000,
        help_text=_("2000 = 20 %; empty: no cap; 0: nothing is kept"),
    )  # fmt: skip
    exit_writes_off = models.BooleanField(_("what a guide still owes after her last pay is written off"), default=True)

    class Meta:
        verbose_name = _("settlement terms")
        verbose_name_plural = _("settlement terms")
        constraints = (
            models.CheckConstraint(
                name="terms_cap_at_most_all", condition=Q(netting_cap_bp=None) | Q(netting_cap_bp__lte=10000)
            ),
            models.CheckConstraint(name="terms_batch_day", condition=Q(batch_day__gte=1, batch_day__lte=28)),
            models.CheckConstraint(
                name="terms_from_month", condition=Q(applies_from__regex=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")
            ),
        )

    def __str__(self) -> str:
        return self.applies_from


class Batch(models.Model):
    """What vested until the end of a period, to be paid once (结算批次)."""

    class Status(models.TextChoices):
        MAKING = "MAKING", _("being made")
        READY = "READY", _("waits for approval")
        APPROVED = "APPROVED", _("approved, being posted")
        POSTED = "POSTED", _("to be paid out")
        SETTLED = "SETTLED", _("paid out")
        CANCELLED = "CANCELLED", _("cancelled")

    period = models.CharField(_("period"), max_length=7)
    number = models.PositiveSmallIntegerField(_("number"))  # within the period: cancelled ones keep theirs
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.MAKING)
    cap_bp = models.PositiveSmallIntegerField(_("netting cap (bp)"), null=True)
    cut_at = models.DateTimeField(_("debts as of"), null=True)
    line_count = models.BigIntegerField(_("lines"), default=0)
    payee_count = models.IntegerField(_("payees"), default=0)
    earned_fen = FenField(_("vested"), default=0)
    netted_fen = FenField(_("netted"), default=0)
    paid_fen = FenField(_("to be paid"), default=0)
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    frozen = models.JSONField(_("periods to close"), default=list)  # [[period, entries, debits, digest], …]
    open_from = models.CharField(max_length=7, blank=True)  # the earliest period that may still hold unpaid due money
    requested_by = models.ForeignKey(USER, models.PROTECT, null=True, verbose_name=_("made by"), related_name="+")
    requested_at = models.DateTimeField(_("made at"))
    approved_by = models.ForeignKey(USER, models.PROTECT, null=True, verbose_name=_("approved by"), related_name="+")
    approved_at = models.DateTimeField(_("approved at"), null=True)
    approved_count = models.BigIntegerField(_("lines approved"), null=True)
    approved_fen = FenField(_("amount approved"), null=True)
    posted_at = models.DateTimeField(_("posted at"), null=True)
    settled_at = models.DateTimeField(_("paid out at"), null=True)
    cancelled_by = models.ForeignKey(USER, models.PROTECT, null=True, verbose_name=_("cancelled by"), related_name="+")
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")

    class Meta:
        verbose_name = _("settlement batch")
        verbose_name_plural = _("settlement batches")
        constraints = (
            models.UniqueConstraint(name="batch_number_once", fields=["period", "number"]),
            models.UniqueConstraint(name="one_live_batch", fields=["period"], condition=~Q(status="CANCELLED")),
            models.CheckConstraint(
                name="batch_four_eyes",
                condition=Q(approved_by=None) | Q(requested_by=None) | ~Q(approved_by=F("requested_by")),
            ),
            models.CheckConstraint(
                name="batch_approved_as_delivered",
                condition=Q(status__in=["MAKING", "READY", "CANCELLED"])
                | Q(approved_by__isnull=False, approved_count=F("line_count"), approved_fen=F("paid_fen")),
            ),
            models.CheckConstraint(name="batch_sums", condition=Q(earned_fen=F("netted_fen") + F("paid_fen"))),
        )
        triggers = (
            pgtrigger.Trigger(name="moves_on", when=pgtrigger.Before, operation=pgtrigger.Update, func=BATCH_MOVES_ON),
            pgtrigger.Protect(name="batch_stays", operation=pgtrigger.Delete),
        )

    @property
    def code(self) -> str:
        return f"{self.period}.{self.number}"

    def __str__(self) -> str:
        return self.code


class BatchLine(models.Model):
    """One due fen's way into a batch: the entry that made it due. Partitioned by month of that entry's ``posted_on``."""

    batch = models.ForeignKey(Batch, models.PROTECT, db_index=False, db_constraint=False, related_name="lines")
    entry_id = models.BigIntegerField(_("ledger entry"))
    vested_on = models.DateField(_("due since"))
    hold_id = models.BigIntegerField(_("commission line"), null=True)  # null: a payment that came back
    beneficiary = models.ForeignKey(Beneficiary, models.PROTECT, db_index=False, db_constraint=False)
    store = models.ForeignKey(Store, models.PROTECT, null=True, db_index=False, db_constraint=False)
    company = models.ForeignKey(LegalEntity, models.PROTECT, db_index=False, db_constraint=False)  # who pays
    amount_fen = FenField(_("amount"))
    is_live = models.BooleanField(default=True)

    class Meta:
        verbose_name = _("line of a batch")
        verbose_name_plural = _("lines of batches")
        constraints = (
            models.UniqueConstraint(name="due_fen_once", fields=["entry_id", "vested_on"], condition=Q(is_live=True)),
            models.CheckConstraint(name="batch_line_positive", condition=Q(amount_fen__gt=0)),
        )
        indexes = (
            models.Index(fields=["batch", "beneficiary"], name="batch_line_payee"),
            models.Index(fields=["hold_id"], name="batch_line_hold", condition=Q(is_live=True)),
        )
        triggers = (
            pgtrigger.Trigger(
                name="only_given_back", when=pgtrigger.Before, operation=pgtrigger.Update, func=LINE_ONLY_GIVEN_BACK
            ),
            pgtrigger.Protect(name="batch_line_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.batch_id} {self.entry_id}"


class Statement(models.Model):
    """What a batch says to one beneficiary (对账单)."""

    batch = models.ForeignKey(Batch, models.PROTECT, verbose_name=_("batch"), related_name="statements", db_index=False)
    beneficiary = models.ForeignKey(Beneficiary, models.PROTECT, verbose_name=_("beneficiary"), db_index=False)
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+"
    )  # of the largest part
    line_count = models.IntegerField(_("lines"))
    earned_fen = FenField(_("vested in the period"))
    late_fen = FenField(_("due from before"))
    opening_debt_fen = FenField(_("owed from before"))
    reversed_fen = FenField(_("clawed back"))
    written_off_fen = FenField(_("written off"))
    netted_fen = FenField(_("netted"))
    paid_fen = FenField(_("paid"))
    carried_fen = FenField(_("carried over"))
    capped_fen = FenField(_("netted above the cap of a month"), default=0, db_default=0)  # part of what is netted
    is_posted = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("statement")
        verbose_name_plural = _("statements")
        constraints = (
            models.UniqueConstraint(name="one_statement_each", fields=["batch", "beneficiary"]),
            models.CheckConstraint(
                name="statement_pays_what_is_due",
                condition=Q(
                    earned_fen__gte=0, late_fen__gte=0, netted_fen__gte=0, paid_fen__gte=0,
                    paid_fen=F("earned_fen") + F("late_fen") - F("netted_fen"),
                ),
            ),
            models.CheckConstraint(
                name="statement_carries_what_is_owed",
                condition=Q(
                    opening_debt_fen__gte=0, carried_fen__gte=0, written_off_fen__gte=0,
                    carried_fen=F("opening_debt_fen") + F("reversed_fen") - F("written_off_fen") - F("netted_fen"),
                ),
            ),
        )  # fmt: skip
        indexes = (
            models.Index(fields=["beneficiary", "-id"], name="statement_beneficiary"),
            models.Index(fields=["batch", "id"], name="statement_to_post", condition=Q(is_posted=False)),
        )
        triggers = (
            pgtrigger.Trigger(
                name="only_posted", when=pgtrigger.Before, operation=pgtrigger.Update, func=STATEMENT_ONLY_POSTED
            ),
            pgtrigger.Protect(name="statement_stays", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """By the store; a company's own by whoever sees all of its stores."""
        others = Store.objects.filter(entity=OuterRef("beneficiary__entity")).exclude(pk__in=store_ids)
        own = Store.objects.filter(entity=OuterRef("beneficiary__entity"), pk__in=store_ids)
        return Q(store_id__in=store_ids) | Q(Exists(own), ~Exists(others), beneficiary__entity__isnull=False)

    @property
    def due_fen(self) -> int:
        return self.earned_fen + self.late_fen

    def __str__(self) -> str:
        return f"{self.batch} {self.beneficiary}"


class Payment(models.Model):
    """What one company pays one beneficiary out of a batch (付款)."""

    class Status(models.TextChoices):
        PENDING = "PENDING", _("to be paid")
        FILED = "FILED", _("in a payout file")
        SETTLED = "SETTLED", _("arrived")
        RETURNED = "RETURNED", _("returned by the bank")

    statement = models.ForeignKey(Statement, models.PROTECT, related_name="payments")
    batch = models.ForeignKey(Batch, models.PROTECT, related_name="payments", db_index=False)
    company = models.ForeignKey(
        LegalEntity, models.PROTECT, verbose_name=_("company"), related_name="+", db_index=False
    )
    number = models.CharField(_("payment number"), max_length=32, unique=True)
    amount_fen = FenField(_("amount"))
    netted_fen = FenField(_("netted"))
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.PENDING)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    ended_at = models.DateTimeField(_("answered at"), null=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = (
            models.UniqueConstraint(name="one_payment_each", fields=["statement", "company"]),
            models.CheckConstraint(name="payment_positive", condition=Q(amount_fen__gt=0, netted_fen__gte=0)),
        )
        indexes = (models.Index(fields=["batch", "company", "status"], name="payment_company"),)
        triggers = (
            pgtrigger.Trigger(
                name="only_moves_on", when=pgtrigger.Before, operation=pgtrigger.Update, func=PAYMENT_ONLY_MOVES_ON
            ),
            pgtrigger.Protect(name="payment_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return self.number


class PayoutFile(AppendOnlyModel):
    """The payroll or bank file of one company for one batch, made once (付款文件)."""

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="files")
    company = models.ForeignKey(LegalEntity, models.PROTECT, verbose_name=_("company"), related_name="+")
    payment_count = models.IntegerField(_("payments"))
    total_fen = FenField(_("total"))
    digest = models.CharField(_("digest"), max_length=64)  # SHA-256 of the content
    content = models.BinaryField()
    made_by = models.ForeignKey(USER, models.PROTECT, verbose_name=_("made by"), related_name="+")
    made_at = models.DateTimeField(_("made at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("payout file")
        verbose_name_plural = _("payout files")
        constraints = (models.UniqueConstraint(name="one_payout_file", fields=["batch", "company"]),)

    def __str__(self) -> str:
        return f"{self.batch} {self.company.code}"


class PayoutResult(AppendOnlyModel):
    """A result file of the bank, taken once."""

    file = models.ForeignKey(PayoutFile, models.PROTECT, related_name="results")
    digest = models.CharField(max_length=64)
    settled_count = models.IntegerField(_("arrived"))
    settled_fen = FenField(_("amount arrived"))
    returned_count = models.IntegerField(_("returned"))
    returned_fen = FenField(_("amount returned"))
    taken_by = models.ForeignKey(USER, models.PROTECT, verbose_name=_("taken by"), related_name="+")
    taken_at = models.DateTimeField(_("taken at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("answer of the bank")
        verbose_name_plural = _("answers of the bank")
        constraints = (models.UniqueConstraint(name="result_taken_once", fields=["file", "digest"]),)

    def __str__(self) -> str:
        return f"{self.file_id} {self.digest[:8]}"


class Proof(models.Model):
    """One run of the independent recomputation (账实核对)."""

    ran_at = models.DateTimeField(_("begun at"))
    ended_at = models.DateTimeField(_("ended at"))
    is_proven = models.BooleanField(_("proven"))
    proven = models.JSONField(_("what was proven"), default=dict)  # {check: rows}
    differences = models.JSONField(_("differences"), default=list)  # [[check, row, expected, found], …]

    class Meta:
        verbose_name = _("proof of the books")
        verbose_name_plural = _("proofs of the books")

    def __str__(self) -> str:
        return f"{self.ran_at:%Y-%m-%d %H:%M}"
