"""Migration of old customers (老客迁移): a drive, the guides in it, and the people on their lists."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models import Contact, ContactWay, Guide
from members.models import Member
from scrm.models import Brand, Corp, Store
from scrm.money import BP

_COUNTED = {
    "listed_count": "(listed_at IS NOT NULL)::int",
    "known_count": "was_friend::int",
    "double_count": "is_double::int",
    "invited_count": "(invited_at IS NOT NULL)::int",
    "added_count": "(added_at IS NOT NULL AND NOT was_friend)::int",
    "registered_count": "(registered_at IS NOT NULL AND added_at IS NOT NULL AND NOT was_friend)::int",
    "bought_count": "(bought_at IS NOT NULL AND added_at IS NOT NULL AND NOT was_friend)::int",
}
_COUNT = """
    UPDATE campaigns_friendmigrationguide g SET {sets}
    FROM (SELECT entry_id, {sums} FROM ({rows}) r GROUP BY entry_id ORDER BY entry_id) s WHERE g.id = s.entry_id;
    RETURN NULL;
"""


def _counts() -> tuple[pgtrigger.Trigger, ...]:
    """A page over millions of people counts guides, never people."""

    def rows(table: str, sign: str) -> str:
        return f"SELECT entry_id, {', '.join(f'{sign}({value}) AS {name}' for name, value in _COUNTED.items())} FROM {table}"

    new, old = rows("new_rows", ""), rows("old_rows", "-")
    sums = ", ".join(f"sum({name}) AS {name}" for name in _COUNTED)
    sets = ", ".join(f"{name} = g.{name} + s.{name}" for name in _COUNTED)
    each = (
        ("count_new", pgtrigger.Insert, {"new": "new_rows"}, new),
        ("count_changed", pgtrigger.Update, {"old": "old_rows", "new": "new_rows"}, f"{new} UNION ALL {old}"),
        ("count_deleted", pgtrigger.Delete, {"old": "old_rows"}, old),
    )
    return tuple(
        pgtrigger.Trigger(
            name=name, level=pgtrigger.Statement, when=pgtrigger.After, operation=operation,
            referencing=pgtrigger.Referencing(**tables), func=_COUNT.format(sets=sets, sums=sums, rows=found),
        )
        for name, operation, tables, found in each
    )  # fmt: skip


class FriendMigration(models.Model):
    """A drive (迁移活动): until when, what to say, how long lists are kept. One runs at a time."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        RUNNING = "RUNNING", _("running")
        ENDED = "ENDED", _("ended")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), related_name="+")
    name = models.CharField(_("name"), max_length=64)
    invite_text = models.TextField(
        _("text of the invitation"), max_length=300,
        help_text=_("The guide sends it from her own WeChat together with her code; the customer decides by adding her"),
    )  # fmt: skip
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("until"))
    kept_days = models.PositiveSmallIntegerField(
        _("lists are erased after days"), default=60, validators=[MinValueValidator(1), MaxValueValidator(180)]
    )
    remind_days = models.PositiveSmallIntegerField(
        _("follow up after days"), default=3, validators=[MinValueValidator(1), MaxValueValidator(30)],
        help_text=_("Who was invited so long ago and has not added the guide becomes an action of the guide"),
    )  # fmt: skip
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.DRAFT)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("author"), null=True, related_name="+"
    )
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("migration of customers")
        verbose_name_plural = _("migrations of customers")
        constraints = (
            models.CheckConstraint(name="migration_interval", condition=Q(ends_on__gte=F("starts_on"))),
            models.UniqueConstraint(name="one_running_migration", fields=["brand"], condition=Q(status="RUNNING")),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """What runs or ran is seen by every store; its funnel is cut."""
        return ~Q(status="DRAFT")

    def __str__(self) -> str:
        return self.name


class FriendMigrationTarget(models.Model):
    """How much of the lists is to have been added by a day."""

    migration = models.ForeignKey(FriendMigration, models.CASCADE, related_name="targets")
    due_on = models.DateField(_("by"))
    added_bp = models.PositiveIntegerField(
        _("added of listed"),
        validators=[MinValueValidator(1), MaxValueValidator(BP)],
        help_text=_("In basis points: 3000 is 30 %"),
    )

    class Meta:
        verbose_name = _("target of a migration")
        verbose_name_plural = _("targets of a migration")
        constraints = (models.UniqueConstraint(name="migration_target_once", fields=["migration", "due_on"]),)

    def __str__(self) -> str:
        return f"{self.due_on}"


class FriendMigrationGuide(models.Model):
    """A guide in a drive, with a code of its own for it and her funnel; triggers count along."""

    migration = models.ForeignKey(
        FriendMigration,
        models.PROTECT,
        verbose_name=_("migration of customers"),
        related_name="entries",
        db_index=False,
    )
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), related_name="+")
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+")
    way = models.OneToOneField(ContactWay, models.PROTECT, verbose_name=_("contact way"), null=True, related_name="+")
    said_count = models.PositiveIntegerField(_("counted by herself"), default=0)  # without a list: how many there are
    listed_count = models.IntegerField(_("listed"), default=0, db_default=0)
    known_count = models.IntegerField(_("on WeCom before"), default=0, db_default=0)
    double_count = models.IntegerField(_("on several lists"), default=0, db_default=0)
    invited_count = models.IntegerField(_("invited"), default=0, db_default=0)
    added_count = models.IntegerField(_("added"), default=0, db_default=0)
    registered_count = models.IntegerField(_("registered"), default=0, db_default=0)
    bought_count = models.IntegerField(_("bought"), default=0, db_default=0)

    class Meta:
        verbose_name = _("guide in a migration")
        verbose_name_plural = _("guides in a migration")
        constraints = (models.UniqueConstraint(name="migration_guide_once", fields=["migration", "guide"]),)
        indexes = (models.Index(fields=["migration", "store"], name="migration_store"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.guide}"


class MigratingFriend(models.Model):
    """One person on a guide's list, or one who came through her code without being listed. What identifies her is erased in time."""

    entry = models.ForeignKey(FriendMigrationGuide, models.PROTECT, related_name="people", db_index=False)
    name_masked = models.CharField(_("name"), max_length=8, blank=True)
    mobile_sealed = models.BinaryField(null=True)
    mobile_index = models.CharField(max_length=32, blank=True, default="")
    listed_at = models.DateTimeField(_("listed at"), null=True)  # null: she came without being listed
    invited_at = models.DateTimeField(_("invited at"), null=True)
    contact = models.ForeignKey(Contact, models.PROTECT, null=True, related_name="+", db_index=False)
    added_at = models.DateTimeField(_("added at"), null=True)
    was_friend = models.BooleanField(_("on WeCom before"), default=False, db_default=False)
    is_double = models.BooleanField(_("on another guide's list too"), default=False, db_default=False)
    member = models.ForeignKey(Member, models.PROTECT, null=True, related_name="+", db_index=False)
    registered_at = models.DateTimeField(_("registered at"), null=True)
    bought_at = models.DateTimeField(_("first bought at"), null=True)
    erased_at = models.DateTimeField(_("erased at"), null=True)

    class Meta:
        verbose_name = _("customer to migrate")
        verbose_name_plural = _("customers to migrate")
        constraints = (
            models.UniqueConstraint(
                name="migrating_listed_once", fields=["entry", "mobile_index"], condition=~Q(mobile_index="")
            ),
            models.UniqueConstraint(
                name="migrating_added_once", fields=["entry", "contact"], condition=Q(contact__isnull=False)
            ),
            models.CheckConstraint(
                name="migrating_erased",
                condition=Q(erased_at=None) | Q(name_masked="", mobile_sealed=None, mobile_index=""),
            ),
        )
        indexes = (
            models.Index(fields=["entry", "-id"], name="migrating_entry"),
            models.Index(fields=["mobile_index"], name="migrating_mobile", condition=~Q(mobile_index="")),
            models.Index(
                fields=["listed_at"], name="migrating_to_erase", condition=Q(erased_at=None, listed_at__isnull=False)
            ),
        )
        triggers = _counts()

    def __str__(self) -> str:
        return self.name_masked or f"#{self.pk}"
