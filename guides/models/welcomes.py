"""Welcome messages (欢迎语), the files they carry, and what became of each one sent."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.contacts import Friendship
from guides.models.staff import Guide
from guides.models.ways import ContactWay
from scrm import org
from scrm.models import Corp, Store


class Material(models.Model):
    """A file for messages (素材). WeCom keeps an upload for three days, so the file stays here and goes up again."""

    class Kind(models.TextChoices):
        IMAGE = "image", _("picture")
        FILE = "file", _("file")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    name = models.CharField(_("file name"), max_length=128)
    content = models.BinaryField()
    size = models.PositiveIntegerField(_("size in bytes"))
    media_id = models.CharField(max_length=256, blank=True)
    expires_at = models.DateTimeField(_("at WeCom until"), null=True)
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("material")
        verbose_name_plural = _("materials")

    def __str__(self) -> str:
        return self.name


class Welcome(models.Model):
    """One message, for a code, a store or everybody, perhaps only at some hours."""

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=64)
    way = models.ForeignKey(
        ContactWay, models.CASCADE, verbose_name=_("contact way"), null=True, blank=True, related_name="welcomes"
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, blank=True, db_index=False, related_name="+"
    )
    starts_at = models.TimeField(_("from"), null=True, blank=True)
    ends_at = models.TimeField(_("until"), null=True, blank=True)  # before starts_at: over midnight
    text = models.TextField(_("text"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("welcome message")
        verbose_name_plural = _("welcome messages")
        constraints = (
            models.CheckConstraint(name="welcome_for_one", condition=Q(way=None) | Q(store=None)),
            models.CheckConstraint(
                name="welcome_hours_have_two_ends",
                condition=Q(starts_at=None, ends_at=None) | Q(starts_at__isnull=False, ends_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.name


class WelcomePart(models.Model):
    """An attachment of a welcome message (附件), in the order of ``position``."""

    class Kind(models.TextChoices):
        IMAGE = "image", _("picture")
        LINK = "link", _("link")
        MINIPROGRAM = "miniprogram", _("mini-program")
        FILE = "file", _("file")

    welcome = models.ForeignKey(Welcome, models.CASCADE, related_name="parts")
    position = models.PositiveSmallIntegerField(_("position"), default=1)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    material = models.ForeignKey(Material, models.PROTECT, verbose_name=_("material"), null=True, blank=True)
    title = models.CharField(_("title"), max_length=64, blank=True)
    description = models.CharField(_("description"), max_length=256, blank=True)
    url = models.CharField(_("address"), max_length=1024, blank=True)
    app_id = models.CharField(_("mini-program's app id"), max_length=64, blank=True)
    page = models.CharField(_("mini-program's page"), max_length=512, blank=True)

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")

    def __str__(self) -> Any:
        return self.get_kind_display()


class WelcomeSend(models.Model):
    """One new friend and the welcome she got or missed (欢迎语发送)."""

    class Outcome(models.TextChoices):
        WAITING = "WAITING", _("being sent")
        SENT = "SENT", _("sent")
        NONE = "NONE", _("no message is set up")
        LATE = "LATE", _("too late: WeCom gives 20 seconds")
        TAKEN = "TAKEN", _("another app, or the customer, was first")
        REFUSED = "REFUSED", _("the customer has not agreed to the archive notice")
        FAILED = "FAILED", _("failed")

    friendship = models.ForeignKey(Friendship, models.PROTECT, verbose_name=_("WeCom friend"), related_name="welcomes")
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, db_index=False, related_name="+"
    )
    welcome = models.ForeignKey(
        Welcome, models.SET_NULL, verbose_name=_("welcome message"), null=True, db_index=False, related_name="+"
    )
    code_hash = models.CharField(max_length=64, unique=True)  # one code, one message
    event_at = models.DateTimeField(_("added at"))
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome, default=Outcome.WAITING)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    settled_at = models.DateTimeField(_("settled at"), null=True)

    class Meta:
        verbose_name = _("welcome sent")
        verbose_name_plural = _("welcomes sent")
        indexes = (models.Index(fields=["guide", "-id"], name="welcome_send_guide"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(guide__isnull=False) & org.through("guide", Guide, store_ids)

    def __str__(self) -> str:
        return f"{self.friendship_id} {self.outcome}"
