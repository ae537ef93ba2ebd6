"""Jobs (任务): long work that shows its progress, survives a kill and reports what it could not take."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Upload(models.Model):
    """A file handed in by a person, kept sealed on disk until ``expires_at`` (上传文件)."""

    purpose = models.CharField(_("purpose"), max_length=32)
    name = models.CharField(_("file name"), max_length=255)
    path = models.CharField(max_length=512)  # below SCRM_VAR/uploads; the content is sealed
    size = models.BigIntegerField(_("size in bytes"))
    sha256 = models.CharField(max_length=64)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("uploaded by"))
    uploaded_at = models.DateTimeField(_("uploaded at"), db_default=models.functions.Now())
    expires_at = models.DateTimeField(_("deleted after"))

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    class Status(models.TextChoices):
        QUEUED = "QUEUED", _("queued")
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")
        FAILED = "FAILED", _("failed")
        CANCELLED = "CANCELLED", _("cancelled")

    kind = models.CharField(_("kind"), max_length=48)
    key = models.CharField(max_length=200, unique=True, null=True)  # one job per logical date or input
    params = models.JSONField(_("parameters"), default=dict)  # ids and options only, never personal data
    upload = models.ForeignKey(Upload, models.SET_NULL, null=True, verbose_name=_("file"), related_name="jobs")
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.QUEUED)
    stage = models.CharField(_("stage"), max_length=48, blank=True)
    total_count = models.BigIntegerField(_("total"), null=True)
    done_count = models.BigIntegerField(_("done so far"), default=0)
    summary = models.JSONField(_("summary"), default=dict)
    error = models.TextField(_("error"), blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("requested by"), related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    started_at = models.DateTimeField(_("started at"), null=True)
    heartbeat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        indexes = (
            models.Index(fields=["status", "id"], name="job_open", condition=Q(status__in=["QUEUED", "RUNNING"])),
        )

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class JobProblem(models.Model):
    """A row that a job could not take: where, which column, why. Never the cell itself."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="problems")
    line_no = models.BigIntegerField(_("line"))
    column = models.CharField(_("column"), max_length=64, blank=True)
    code = models.CharField(_("code"), max_length=48)

    class Meta:
        verbose_name = _("broken row")
        verbose_name_plural = _("broken rows")
        constraints = (models.UniqueConstraint(name="one_problem_per_row", fields=["job", "line_no"]),)

    def __str__(self) -> str:
        return f"{self.line_no} {self.column} {self.code}"
