"""The ledger (佣金台账): append-only, double-entry, balanced by the database.

Signs: credit is positive, debit negative, so that what we owe a beneficiary (HOLD, DUE) is a positive balance.
"""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models import Guide
from scrm import db
from scrm.db import AppendOnlyModel
from scrm.models import LegalEntity, Store
from scrm.money import FenField

# All entries of a transaction come in one statement and carry the positions 0 … n-1: with the unique (txn, position)
# no later statement can add to it, so checking each statement proves the whole ledger. A row-level deferred trigger
# would prove the same at ten times the cost. Balances are kept here, so that no writer can forget them; accounts are
# locked in id order first. The references of an entry (transaction, account, store) are proved here too, once per distinct
# value; what they name is never deleted.
APPLY_ENTRIES = """
    IF EXISTS (
        SELECT 1 FROM new_entries GROUP BY txn_id
        HAVING sum(amount_fen) <> 0 OR min(position) <> 0 OR max(position) + 1 <> count(*) OR count(*) < 2
            OR min(posted_on) <> max(posted_on)
    ) THEN
        RAISE EXCEPTION 'ledger transaction is not balanced or not whole'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    IF EXISTS (
        -- a look-up per transaction: a join would be planned without statistics and read the whole table
        SELECT 1 FROM new_entries e
        WHERE e.position = 0
          AND e.posted_on IS DISTINCT FROM (SELECT t.posted_on FROM attribution_txn t WHERE t.id = e.txn_id)
    ) THEN
        RAISE EXCEPTION 'entry is not dated as its transaction' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT store_id AS id FROM new_entries WHERE store_id IS NOT NULL) r
        WHERE NOT EXISTS (SELECT 1 FROM scrm_store s WHERE s.id = r.id)
    ) THEN
        RAISE EXCEPTION 'store_id names no row of scrm_store' USING ERRCODE = 'foreign_key_violation';
    END IF;
    PERFORM 1 FROM attribution_account WHERE id IN (SELECT account_id FROM new_entries) ORDER BY id FOR NO KEY UPDATE;
    UPDATE attribution_account a SET balance_fen = a.balance_fen + d.amount
    FROM (SELECT account_id, sum(amount_fen) AS amount FROM new_entries GROUP BY account_id) d
    WHERE a.id = d.account_id;
    GET DIAGNOSTICS updated = ROW_COUNT;
    IF updated <> (SELECT count(DISTINCT account_id) FROM new_entries) THEN
        RAISE EXCEPTION 'account_id names no row of attribution_account' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
"""

# posted_at is the clock of the posting itself: nobody back-dates the ledger.
POSTED_NOW = """
    IF EXISTS (
        SELECT 1 FROM new_txns
        WHERE posted_at < transaction_timestamp() OR posted_at > clock_timestamp()
           OR posted_on <> (posted_at AT TIME ZONE 'Asia/Shanghai')::date
    ) THEN
        RAISE EXCEPTION 'posted_at is the time of posting' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
"""

# posted_at is the clock, so only a clock that went back could reach a closed month.
NOT_IN_CLOSED_PERIOD = """
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT to_char(posted_on, 'YYYY-MM') AS period FROM new_txns) n
        WHERE EXISTS (SELECT 1 FROM attribution_closedperiod c WHERE c.period = n.period)
    ) THEN
        RAISE EXCEPTION 'the period is closed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
"""

BALANCE_FOLLOWS_ENTRIES = """
    IF pg_trigger_depth() < 2 AND NEW.balance_fen <> OLD.balance_fen THEN
        RAISE EXCEPTION 'a balance changes by entries only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

# A hold that somebody blocked waits, whatever asks for it to vest.
HOLD_ONLY_MOVES = """
    IF (to_jsonb(NEW) - ARRAY['vested_fen','reversed_fen','clawed_fen','vests_at'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['vested_fen','reversed_fen','clawed_fen','vests_at'])
       OR NEW.vested_fen < OLD.vested_fen OR NEW.reversed_fen < OLD.reversed_fen OR NEW.clawed_fen < OLD.clawed_fen THEN
        RAISE EXCEPTION 'a hold only vests or reverses' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.vested_fen > OLD.vested_fen AND EXISTS (
        SELECT 1 FROM attribution_moneyblock b WHERE b.hold_id = NEW.id AND b.released_at IS NULL
    ) THEN
        RAISE EXCEPTION 'a blocked hold does not vest' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class Beneficiary(models.Model):
    """Who may be owed money (受益方)."""

    class Kind(models.TextChoices):
        GUIDE = "GUIDE", _("guide")
        STORE_POOL = "STORE_POOL", _("store pool")
        BRAND_IP = "BRAND_IP", _("brand IP")
        ENTITY = "ENTITY", _("legal entity")
        HQ_POOL = "HQ_POOL", _("HQ pool")

    code = models.CharField(_("code"), max_length=48, unique=True)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    guide = models.OneToOneField(Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="beneficiary")
    store = models.OneToOneField(Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+")
    entity = models.OneToOneField(LegalEntity, models.PROTECT, verbose_name=_("entity"), null=True, related_name="+")

    class Meta:
        verbose_name = _("beneficiary")
        verbose_name_plural = _("beneficiaries")
        triggers = (pgtrigger.Protect(name="beneficiary_stays", operation=pgtrigger.Delete),)

    def __str__(self) -> str:
        return self.code


class Account(models.Model):
    class Kind(models.TextChoices):
        BUDGET = "BUDGET", _("budget")
        HOLD = "HOLD", _("held")
        DUE = "DUE", _("due")
        RECV = "RECV", _("owed by the beneficiary")
        PAYOUT = "PAYOUT", _("payout")
        BANK = "BANK", _("bank")
        LOSS = "LOSS", _("written off")

    code = models.CharField(_("code"), max_length=64, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    beneficiary = models.ForeignKey(
        Beneficiary, models.PROTECT, verbose_name=_("beneficiary"), null=True, related_name="accounts"
    )
    balance_fen = FenField(_("balance"), default=0)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = (
            models.CheckConstraint(
                name="hold_and_due_not_negative", condition=~Q(kind__in=["HOLD", "DUE"]) | Q(balance_fen__gte=0)
            ),
            models.CheckConstraint(
                name="owed_accounts_name_beneficiary",
                condition=~Q(kind__in=["HOLD", "DUE", "RECV"]) | Q(beneficiary__isnull=False),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="balance_follows_entries",
                when=pgtrigger.Before,
                operation=pgtrigger.UpdateOf("balance_fen"),
                func=BALANCE_FOLLOWS_ENTRIES,
            ),
            pgtrigger.Protect(name="account_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return self.code


class Txn(AppendOnlyModel):
    """One ledger transaction (记账): one business fact, posted once."""

    class Kind(models.TextChoices):
        ACCRUE = "ACCRUE", _("accrued")
        VEST = "VEST", _("vested")
        UNHOLD = "UNHOLD", _("reversed before vesting")
        CLAWBACK = "CLAWBACK", _("clawed back")
        NET = "NET", _("netted")
        PAY = "PAY", _("paid out")
        SETTLED = "SETTLED", _("settled")
        RETURNED = "RETURNED", _("returned by the bank")
        WRITEOFF = "WRITEOFF", _("written off")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    key = models.CharField(_("business key"), max_length=200, unique=True)
    content_hash = models.CharField(max_length=32)
    effective_at = models.DateTimeField(_("effective at"))
    posted_at = models.DateTimeField(_("posted at"))
    posted_on = models.DateField(_("posted on"))
    line_id = models.BigIntegerField(_("order line"), null=True)
    booked_on = models.DateField(null=True)
    fact = models.CharField(_("occasion"), max_length=128, blank=True, db_default="")  # what is no order line
    decision_id = models.BigIntegerField(_("decision"), null=True)
    refund_id = models.BigIntegerField(_("refund"), null=True)
    reverses_id = models.BigIntegerField(_("reverses"), null=True)  # Txn; no constraint: checked when posting
    actor = models.CharField(_("actor"), max_length=64, default="SYSTEM")
    reason = models.CharField(_("reason"), max_length=128, blank=True)
    adjusts_period = models.CharField(_("adjusts period"), max_length=7, blank=True)

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("ledger transaction")
        verbose_name_plural = _("ledger transactions")
        constraints = (
            models.CheckConstraint(
                name="correction_names_original",
                condition=~Q(kind__in=["UNHOLD", "CLAWBACK"])
                | Q(reverses_id__isnull=False) & ~Q(reason="") & ~Q(actor=""),
            ),
        )
        indexes = (
            models.Index(fields=["line_id"], name="txn_line", condition=Q(line_id__isnull=False)),
            models.Index(fields=["fact"], name="txn_fact", condition=~Q(fact="")),
        )
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *AppendOnlyModel.Meta.triggers,
            pgtrigger.Trigger(
                name="posted_now",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_txns"),
                func=POSTED_NOW,
            ),
            pgtrigger.Trigger(
                name="not_in_closed_period",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_txns"),
                func=NOT_IN_CLOSED_PERIOD,
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Entry(AppendOnlyModel):
    """One leg of a transaction. Partitioned by month of ``posted_on``."""

    txn = models.ForeignKey(
        Txn,
        models.PROTECT,
        verbose_name=_("transaction"),
        related_name="entries",
        db_index=False,
        db_constraint=False,
    )
    position = models.PositiveSmallIntegerField()
    posted_on = models.DateField(_("posted on"))
    account = models.ForeignKey(Account, models.PROTECT, verbose_name=_("account"), db_index=False, db_constraint=False)
    store = models.ForeignKey(  # snapshot
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, db_constraint=False
    )
    amount_fen = FenField(_("amount"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        constraints = (
            models.UniqueConstraint(name="entry_once", fields=["txn", "position", "posted_on"]),
            models.CheckConstraint(name="entry_not_zero", condition=~Q(amount_fen=0)),
        )
        indexes = (models.Index(fields=["account", "id"], name="entry_account"),)
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *AppendOnlyModel.Meta.triggers,
            pgtrigger.Trigger(
                name="apply_entries",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_entries"),
                declare=[("updated", "bigint")],
                func=APPLY_ENTRIES,
            ),
        ]

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.txn_id}/{self.position}"


class Hold(models.Model):
    """What one beneficiary was promised, and how much of it has vested, was reversed or clawed back.

    Promised on an order line, or for an occasion (`fact`) that is none: a step of a tier, a reward, a verdict.
    """

    txn = models.ForeignKey(Txn, models.PROTECT, related_name="holds", db_index=False, db_constraint=False)
    line_id = models.BigIntegerField(_("order line"), null=True)
    booked_on = models.DateField(null=True)
    fact = models.CharField(_("occasion"), max_length=128, blank=True, db_default="")
    role = models.CharField(_("role"), max_length=8)
    beneficiary = models.ForeignKey(
        Beneficiary, models.PROTECT, verbose_name=_("beneficiary"), db_index=False, db_constraint=False
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, db_constraint=False
    )
    earned_on = models.DateField(_("earned on"))  # business date of paid_at
    amount_fen = FenField(_("amount"))
    vested_fen = FenField(_("vested"), default=0)
    reversed_fen = FenField(_("reversed"), default=0)
    clawed_fen = FenField(_("clawed back"), default=0)
    vests_at = models.DateTimeField(_("vests at"), null=True)  # null: the order is not completed yet

    class Meta:
        verbose_name = _("commission line")
        verbose_name_plural = _("commission lines")
        constraints = (
            models.CheckConstraint(
                name="hold_moves_within_amount",
                condition=Q(
                    amount_fen__gt=0,
                    vested_fen__gte=0,
                    reversed_fen__gte=0,
                    clawed_fen__gte=0,
                    clawed_fen__lte=F("vested_fen"),
                    amount_fen__gte=F("vested_fen") + F("reversed_fen"),
                ),
            ),
            models.CheckConstraint(
                name="hold_of_line_or_fact",
                condition=Q(line_id__isnull=False, booked_on__isnull=False, fact="")
                | Q(line_id__isnull=True, booked_on__isnull=True) & ~Q(fact=""),
            ),
        )
        indexes = (
            models.Index(fields=["line_id"], name="hold_line"),
            models.Index(fields=["fact"], name="hold_fact", condition=~Q(fact="")),
            models.Index(fields=["beneficiary", "-earned_on"], name="hold_beneficiary"),
            models.Index(
                fields=["vests_at"],
                name="hold_to_vest",
                condition=Q(vests_at__isnull=False, amount_fen__gt=F("vested_fen") + F("reversed_fen")),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="only_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=HOLD_ONLY_MOVES
            ),
            pgtrigger.Protect(name="hold_stays", operation=pgtrigger.Delete),
            db.references_exist(
                txn_id="attribution_txn", beneficiary_id="attribution_beneficiary", store_id="scrm_store"
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.line_id or self.fact} {self.beneficiary_id}"
