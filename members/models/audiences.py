"""Audiences (人群): rules that say who is meant, their versions, and frozen lists of members."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models.identity import Member
from members.models.tags import Tag
from scrm.db import AppendOnlyModel
from scrm.models import Brand, Job, Store


def _within(store_ids: frozenset[int]) -> Q:
    """Made for a part of the organisation that lies wholly inside these stores. Made for everything: HQ's only."""
    return Q(store_ids__contained_by=sorted(store_ids))


class Audience(models.Model):
    """A rule with a name. ``rule`` is what its newest version says; the versions stay."""

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    name = models.CharField(_("name"), max_length=64)
    note = models.CharField(_("note"), max_length=200, blank=True)
    rule = models.JSONField(_("rule"))
    version_no = models.PositiveIntegerField(_("version"), default=1)
    # whom it may reach: the stores of whoever made it, sorted; null: everybody
    store_ids = ArrayField(models.BigIntegerField(), null=True, blank=True)
    is_archived = models.BooleanField(_("archived"), default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("made at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("audience")
        verbose_name_plural = _("audiences")
        constraints = (
            models.UniqueConstraint(
                name="audience_name_once", fields=["brand", "name"], condition=Q(is_archived=False)
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return _within(store_ids)

    def __str__(self) -> str:
        return self.name


class AudienceVersion(AppendOnlyModel):
    """What the rule of an audience said from a time on; never changed."""

    audience = models.ForeignKey(Audience, models.PROTECT, verbose_name=_("audience"), related_name="versions")
    version_no = models.PositiveIntegerField(_("version"))
    rule = models.JSONField(_("rule"))
    digest = models.CharField(max_length=64)  # SHA-256 of the rule in its canonical form
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+"
    )
    made_at = models.DateTimeField(_("made at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("version of an audience")
        verbose_name_plural = _("versions of audiences")
        constraints = (models.UniqueConstraint(name="audience_version_once", fields=["audience", "version_no"]),)

    def __str__(self) -> str:
        return f"{self.audience_id} v{self.version_no}"


class AudienceSnapshot(models.Model):
    """The members of an audience at one moment (人群快照). READY: its members stand and never change again."""

    class Status(models.TextChoices):
        BUILDING = "BUILDING", _("being made")
        READY = "READY", _("frozen")
        FAILED = "FAILED", _("not made")

    version = models.ForeignKey(AudienceVersion, models.PROTECT, verbose_name=_("version"), related_name="snapshots")
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.BUILDING)
    store_ids = ArrayField(models.BigIntegerField(), null=True, blank=True)  # whom it may hold; null: everybody
    as_of = models.DateTimeField(_("as of"), null=True)  # the moment of its members
    member_count = models.BigIntegerField(_("members"), null=True)
    job = models.ForeignKey(Job, models.SET_NULL, verbose_name=_("job"), null=True, related_name="+")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+"
    )
    made_at = models.DateTimeField(_("made at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("snapshot of an audience")
        verbose_name_plural = _("snapshots of audiences")
        constraints = (
            models.CheckConstraint(
                name="snapshot_ready_is_counted",
                condition=~Q(status="READY") | Q(as_of__isnull=False, member_count__isnull=False),
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return _within(store_ids)

    def __str__(self) -> str:
        return f"{self.version} #{self.pk}"


class SnapshotMember(models.Model):
    """A member of a snapshot, with the store she was served by: that of her home at that moment."""

    pk = models.CompositePrimaryKey("snapshot_id", "member_id")
    snapshot = models.ForeignKey(AudienceSnapshot, models.PROTECT, related_name="members", db_index=False)
    # no constraint: a million rows at a time, and members are never deleted
    member = models.ForeignKey(Member, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    store = models.ForeignKey(Store, models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False)

    class Meta:
        verbose_name = _("member of a snapshot")
        verbose_name_plural = _("members of snapshots")

    def __str__(self) -> str:
        return f"{self.snapshot_id}/{self.member_id}"


class TagRule(models.Model):
    """An audience that keeps a tag (自动标签): who is in it has the tag, who leaves it loses what the rule gave."""

    tag = models.OneToOneField(Tag, models.PROTECT, verbose_name=_("tag"), related_name="rule")
    audience = models.ForeignKey(Audience, models.PROTECT, verbose_name=_("audience"), related_name="tag_rules")
    is_active = models.BooleanField(_("switched on"), default=True)
    kept_at = models.DateTimeField(_("last kept at"), null=True)
    kept_on = models.DateField(null=True)  # the business day of it: once a night
    added_count = models.BigIntegerField(_("tagged the last time"), default=0)
    removed_count = models.BigIntegerField(_("untagged the last time"), default=0)
    error_text = models.CharField(_("error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("automatic tag")
        verbose_name_plural = _("automatic tags")

    def __str__(self) -> str:
        return str(self.tag)
