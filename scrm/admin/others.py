"""Tables of other packages that people need to see; HQ only. The site takes no admin class but ours."""

from __future__ import annotations

from django.contrib import admin
from django_celery_beat.models import PeriodicTask
from django_otp.plugins.otp_totp.models import TOTPDevice
from knox.models import get_token_model

from scrm.admin import lists
from scrm.admin.bases import ReadOnlyAdmin, ScopedAdmin
from scrm.org import Right


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ScopedAdmin):
    """What runs by the clock; the times come from the code, here a task is only switched off and on."""

    change_right = Right.CHANGE
    list_display = ("name", "task", "enabled", "last_run_at", "total_run_count")
    list_filter = (("enabled", lists.BooleanRadioFilter),)
    ordering = ("name",)
    fields = ("name", "task", "enabled", "last_run_at", "total_run_count", "description")
    readonly_fields = ("name", "task", "last_run_at", "total_run_count", "description")


@admin.register(TOTPDevice)
class DeviceAdmin(ReadOnlyAdmin):
    list_display = ("user", "confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    ordering = ("-pk",)
    fields = ("user", "confirmed", "created_at", "last_used_at")


@admin.register(get_token_model())
class TokenAdmin(ReadOnlyAdmin):
    """Where guides are logged in; ending a login is deleting its token."""

    delete_right = Right.CHANGE
    list_display = ("user", "device", "created", "expiry")
    list_select_related = ("user",)
    ordering = ("-created",)
    fields = ("user", "device", "created", "expiry")
