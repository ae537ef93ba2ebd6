"""Corp tags (企业标签): WeCom's catalogue mirrored, which of our tags stand there, and what is still to be marked."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.contacts import Friendship
from members.models import Tag
from scrm.models import Corp


class TagGroup(models.Model):
    """A group of WeCom's corp tags (标签组)."""

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    group_id = models.CharField(_("WeCom's id"), max_length=64)
    name = models.CharField(_("name"), max_length=64)
    order = models.BigIntegerField(_("order"), default=0)  # larger first
    deleted_at = models.DateTimeField(_("deleted at"), null=True)

    class Meta:
        verbose_name = _("corp tag group")
        verbose_name_plural = _("corp tag groups")
        constraints = (models.UniqueConstraint(name="tag_group_once", fields=["group_id", "corp"]),)

    def __str__(self) -> str:
        return self.name


class CorpTag(models.Model):
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    group = models.ForeignKey(TagGroup, models.PROTECT, verbose_name=_("corp tag group"), related_name="tags")
    tag_id = models.CharField(_("WeCom's id"), max_length=64)
    name = models.CharField(_("name"), max_length=64)
    order = models.BigIntegerField(_("order"), default=0)
    is_ours = models.BooleanField(_("made by this app"), default=False)  # an app edits and deletes only its own
    deleted_at = models.DateTimeField(_("deleted at"), null=True)

    class Meta:
        verbose_name = _("corp tag")
        verbose_name_plural = _("corp tags")
        constraints = (models.UniqueConstraint(name="corp_tag_once", fields=["tag_id", "corp"]),)

    def __str__(self) -> str:
        return self.name


class TagMapping(models.Model):
    """One of our tags that stands in WeCom too, and which side leads (标签对应)."""

    class Lead(models.TextChoices):
        OURS = "OURS", _("we lead: WeCom shows what our members have")
        WECOM = "WECOM", _("guides lead: our members get what guides mark in WeCom")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    tag = models.ForeignKey(Tag, models.PROTECT, verbose_name=_("tag"), related_name="+")
    lead = models.CharField(_("who leads"), max_length=8, choices=Lead, default=Lead.OURS)
    group_name = models.CharField(_("corp tag group"), max_length=30)
    corp_tag = models.ForeignKey(
        CorpTag, models.PROTECT, verbose_name=_("corp tag"), null=True, blank=True, related_name="+"
    )  # null: not made yet
    is_active = models.BooleanField(_("active"), default=True)
    attempt = models.PositiveSmallIntegerField(default=0)  # of making the corp tag; part of the outbox's key
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("tag mapping")
        verbose_name_plural = _("tag mappings")
        constraints = (
            models.UniqueConstraint(name="tag_mapped_once", fields=["tag", "corp"]),
            models.UniqueConstraint(
                name="corp_tag_mapped_once", fields=["corp_tag"], condition=Q(corp_tag__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return str(self.tag)


class TagPush(models.Model):
    """What one friendship's corp tags still lack (待打标签): at most one call per pair is under way."""

    friendship = models.OneToOneField(Friendship, models.CASCADE, primary_key=True, related_name="tag_push")
    generation = models.PositiveIntegerField(default=0)  # part of the outbox's key
    add_ids = ArrayField(models.CharField(max_length=64), verbose_name=_("to add"), default=list)
    remove_ids = ArrayField(models.CharField(max_length=64), verbose_name=_("to remove"), default=list)
    is_pending = models.BooleanField(_("under way"), default=False)
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)
    refused_hash = models.CharField(max_length=64, blank=True)  # of the call refused: not asked again until it differs
    changed_at = models.DateTimeField(_("changed at"))

    class Meta:
        verbose_name = _("tags to push")
        verbose_name_plural = _("tags to push")
        indexes = (models.Index(fields=["changed_at"], name="tag_push_pending", condition=Q(is_pending=True)),)

    def __str__(self) -> str:
        return f"{self.friendship_id}"


class TagSweep(models.Model):
    """How far the rolling comparison of expected and marked tags has come in a corp."""

    corp = models.OneToOneField(Corp, models.CASCADE, primary_key=True, related_name="+")
    pull_asked_at = models.DateTimeField(null=True)  # WeCom has told of a change of the catalogue
    pulled_at = models.DateTimeField(_("catalogue read at"), null=True)  # our clock, before WeCom was asked
    after_id = models.BigIntegerField(default=0)  # of the last friendship looked at
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(_("last complete round"), null=True)
    differing_count = models.PositiveIntegerField(default=0)  # found in the round under way
    last_differing_count = models.PositiveIntegerField(_("differences of the last round"), default=0)

    class Meta:
        verbose_name = _("tag sweep")
        verbose_name_plural = _("tag sweeps")

    def __str__(self) -> str:
        return f"{self.corp_id}"
