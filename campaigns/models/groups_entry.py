"""How customers come into groups (入群): join ways with the groups behind them, welcome messages, and our own tags of groups."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from scrm.models import Brand, Corp, Store


class JoinWay(models.Model):
    """One QR code (入群活码) that leads into the first of its groups with room."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        CREATING = "CREATING", _("being made")
        LIVE = "LIVE", _("in use")
        FAILED = "FAILED", _("refused by WeCom")
        RETIRED = "RETIRED", _("retired")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    name = models.CharField(_("name"), max_length=30)
    state = models.CharField(_("state of the code"), max_length=30, unique=True)
    makes_groups = models.BooleanField(_("WeCom makes the next group when all are full"), default=True)
    base_name = models.CharField(_("name of new groups"), max_length=40, blank=True)
    next_number = models.PositiveIntegerField(_("number of the next group"), default=1)
    full_at = models.PositiveSmallIntegerField(_("a group counts as full from"), default=190)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.DRAFT)
    config_id = models.CharField(_("WeCom's id"), max_length=64, null=True, unique=True)
    qr_code = models.CharField(max_length=512, blank=True)
    picture = models.BinaryField(null=True)
    picture_kind = models.CharField(max_length=32, blank=True)
    picture_at = models.DateTimeField(null=True)  # when WeCom was asked for it
    asked_chats = ArrayField(models.CharField(max_length=64), default=list)  # what WeCom was asked for last
    live_chats = ArrayField(models.CharField(max_length=64), default=list)  # what it has said yes to
    version = models.PositiveIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)
    failed_at = models.DateTimeField(_("failed at"), null=True)
    missing_at = models.DateTimeField(_("missing at WeCom since"), null=True)
    read_at = models.DateTimeField(null=True)  # when its groups were read at WeCom
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    retired_at = models.DateTimeField(_("retired at"), null=True)

    class Meta:
        verbose_name = _("join way")
        verbose_name_plural = _("join ways")
        constraints = (
            models.CheckConstraint(
                name="join_way_live_has_id", condition=~Q(status="LIVE") | Q(config_id__isnull=False)
            ),
            models.CheckConstraint(name="join_way_full_at", condition=Q(full_at__range=(2, 2000))),
        )
        indexes = (models.Index(fields=["store", "-id"], name="join_way_store"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return self.name


class JoinWayGroup(models.Model):
    """A group behind a join way, in its turn; ``is_out``: rotated away, and not filled again through it."""

    way = models.ForeignKey(JoinWay, models.PROTECT, db_index=False, related_name="slots")
    group = models.ForeignKey(Group, models.PROTECT, verbose_name=_("customer group"), related_name="slots")
    position = models.PositiveSmallIntegerField(_("turn"))
    is_out = models.BooleanField(_("rotated away"), default=False)
    is_made_by_wecom = models.BooleanField(_("made by WeCom"), default=False)

    class Meta:
        verbose_name = _("group behind a join way")
        verbose_name_plural = _("groups behind join ways")
        constraints = (models.UniqueConstraint(name="join_way_group_once", fields=["way", "group"]),)

    def __str__(self) -> str:
        return f"{self.way_id}/{self.position}"


class GroupWelcome(models.Model):
    """What WeCom says to whoever joins a group (入群欢迎语); its owner puts it to use in the client."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        CREATING = "CREATING", _("being made")
        LIVE = "LIVE", _("in use")
        FAILED = "FAILED", _("refused by WeCom")
        LOST = "LOST", _("answer lost")
        DELETED = "DELETED", _("deleted")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=32)
    text = models.TextField(
        _("text"), max_length=1000, help_text=_("%NICKNAME% becomes the name of who joins; at most 3,000 bytes.")
    )
    link_title = models.CharField(_("title of the link"), max_length=42, blank=True)
    link_url = models.CharField(_("address of the link"), max_length=512, blank=True)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.DRAFT)
    template_id = models.CharField(_("WeCom's id"), max_length=64, null=True, unique=True)
    version = models.PositiveIntegerField(default=0)
    live_version = models.PositiveIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("welcome of groups")
        verbose_name_plural = _("welcomes of groups")

    def __str__(self) -> str:
        return self.name


class GroupTag(models.Model):
    """A tag of groups (群标签). WeCom has none: they are ours."""

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=32)

    class Meta:
        verbose_name = _("tag of groups")
        verbose_name_plural = _("tags of groups")
        constraints = (models.UniqueConstraint(name="group_tag_once", fields=["brand", "name"]),)

    def __str__(self) -> str:
        return self.name


class GroupTagged(models.Model):
    group = models.ForeignKey(Group, models.PROTECT, db_index=False, related_name="tagged")
    tag = models.ForeignKey(GroupTag, models.PROTECT, related_name="tagged")

    class Meta:
        constraints = (models.UniqueConstraint(name="group_tagged_once", fields=["group", "tag"]),)

    def __str__(self) -> str:
        return f"{self.group_id} {self.tag_id}"
