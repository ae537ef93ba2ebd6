"""Tokens (登录令牌) of the API: one per person and device, only their hash is kept."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken


class DeviceToken(AbstractAuthToken):
    device = models.CharField(_("device"), max_length=64)  # named by the device itself

    class Meta:
        verbose_name = _("login token")
        verbose_name_plural = _("login tokens")
        constraints = (models.UniqueConstraint(name="one_token_per_device", fields=["user", "device"]),)

    def __str__(self) -> str:
        return self.device
