"""Tokens (登录令牌) of the API: one per person and device, only their hash is kept."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken


class DeviceToken(AbstractAuthToken):
    objects: ClassVar[models.Manager[DeviceToken]] = models.Manager()  # the base's would issue tokens for no device

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, verbose_name=_("user"), related_name="+", db_index=False
    )
    device = models.CharField(_("device"), max_length=64)  # named by the device itself

    class Meta:
        verbose_name = _("login token")
        verbose_name_plural = _("login tokens")
        constraints = (models.UniqueConstraint(name="one_token_per_device", fields=["user", "device"]),)

    def __str__(self) -> str:
        return self.device
