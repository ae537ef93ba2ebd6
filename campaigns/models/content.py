"""Materials (素材) for messages: what they are, their versions, their files, and their uploads at WeCom."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.reach import ForPart
from guides.models import Guide
from scrm.db import AppendOnlyModel
from scrm.models import Corp, Store


class Folder(models.Model):
    """Where materials lie (素材文件夹)."""

    name = models.CharField(_("name"), max_length=64, unique=True)
    position = models.PositiveSmallIntegerField(_("position"), default=1)

    class Meta:
        verbose_name = _("folder")
        verbose_name_plural = _("folders")

    def __str__(self) -> str:
        return self.name


class ContentFile(AppendOnlyModel):
    """A picture, video or file as it is sent; the same content is kept once."""

    class Kind(models.TextChoices):
        """WeCom's own words."""

        IMAGE = "image", _("picture")
        VIDEO = "video", _("video")
        FILE = "file", _("file")

    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    digest = models.CharField(max_length=64)  # SHA-256 of name and content
    name = models.CharField(_("file name"), max_length=128)
    content_type = models.CharField(max_length=100)
    content = models.BinaryField()
    size = models.PositiveIntegerField(_("size in bytes"))
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("file of a material")
        verbose_name_plural = _("files of materials")
        constraints = (models.UniqueConstraint(name="content_file_once", fields=["digest", "kind"]),)

    def __str__(self) -> str:
        return self.name


class Content(ForPart):
    """One material. What it says is its newest version; older versions stay, for messages that were sent with them."""

    class Kind(models.TextChoices):
        TEXT = "TEXT", _("text")
        IMAGE = "IMAGE", _("picture")
        LINK = "LINK", _("link")
        MINI_PROGRAM = "MINI_PROGRAM", _("mini-program page")
        VIDEO = "VIDEO", _("video")
        FILE = "FILE", _("file")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    name = models.CharField(_("name"), max_length=64)
    folder = models.ForeignKey(Folder, models.PROTECT, verbose_name=_("folder"), null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=32), verbose_name=_("keywords"), default=list, blank=True)
    starts_at = models.DateTimeField(_("usable from"), null=True, blank=True)
    ends_at = models.DateTimeField(_("usable until"), null=True, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    version_no = models.PositiveIntegerField(_("version"), default=0)
    use_count = models.PositiveIntegerField(_("times used"), default=0)
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("content material")
        verbose_name_plural = _("content materials")
        constraints = (
            models.CheckConstraint(
                name="content_lasts", condition=Q(starts_at=None) | Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
        )
        indexes = (
            GinIndex(fields=["tags"], name="content_tags"),
            models.Index(fields=["name"], name="content_name", opclasses=["text_pattern_ops"]),
        )

    def __str__(self) -> str:
        return self.name


class ContentVersion(AppendOnlyModel):
    """What a material says (素材版本)."""

    content = models.ForeignKey(Content, models.PROTECT, verbose_name=_("content material"), related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    text = models.TextField(_("text"), blank=True)
    title = models.CharField(_("title"), max_length=128, blank=True)
    description = models.CharField(_("description"), max_length=512, blank=True)
    url = models.CharField(_("address"), max_length=2048, blank=True)
    app_id = models.CharField(_("mini-program's app id"), max_length=64, blank=True)
    page = models.CharField(_("mini-program's page"), max_length=1024, blank=True)
    file = models.ForeignKey(  # the picture, video or file; of a link or mini-program its cover
        ContentFile, models.PROTECT, verbose_name=_("file"), null=True, db_index=False, related_name="+"
    )
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, db_index=False, related_name="+"
    )
    made_at = models.DateTimeField(_("made at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("version of a material")
        verbose_name_plural = _("versions of materials")
        constraints = (models.UniqueConstraint(name="content_version_once", fields=["content", "number"]),)

    def __str__(self) -> str:
        return f"{self.content_id} v{self.number}"


class FileUpload(models.Model):
    """A file at WeCom (素材上传): its id lasts three days and is renewed while it is wanted; a cover's address stays."""

    class Use(models.TextChoices):
        MESSAGE = "MESSAGE", _("for messages")
        MOMENT = "MOMENT", _("for moments")
        ADDRESS = "ADDRESS", _("cover of links")

    file = models.ForeignKey(ContentFile, models.PROTECT, verbose_name=_("file"), related_name="uploads")
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    use = models.CharField(_("use"), max_length=8, choices=Use)
    media_id = models.CharField(max_length=256, blank=True)
    url = models.CharField(max_length=2048, blank=True)
    expires_at = models.DateTimeField(_("at WeCom until"), null=True)
    wanted_at = models.DateTimeField(_("last asked for"))
    tried_at = models.DateTimeField(_("last tried"), null=True)
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("upload to WeCom")
        verbose_name_plural = _("uploads to WeCom")
        constraints = (models.UniqueConstraint(name="file_upload_once", fields=["file", "corp", "use"]),)
        indexes = (models.Index(fields=["expires_at"], name="file_upload_due"),)

    def __str__(self) -> str:
        return f"{self.file_id} {self.use}"


class ContentUse(AppendOnlyModel):
    """A guide took a material to send it (素材使用)."""

    content = models.ForeignKey(Content, models.PROTECT, verbose_name=_("content material"), db_index=False)
    version_no = models.PositiveIntegerField(_("version"))
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="+")
    used_at = models.DateTimeField(_("used at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("use of a material")
        verbose_name_plural = _("uses of materials")
        indexes = (models.Index(fields=["content", "-id"], name="content_use"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.content_id} {self.guide_id}"


def usable(now: object) -> Q:
    """Active rows whose time it is; of ``Content`` and ``Script`` alike."""
    return Q(is_active=True) & (Q(starts_at=None) | Q(starts_at__lte=now)) & (Q(ends_at=None) | Q(ends_at__gt=now))
