"""Enrolment of the second factor (两步验证): somebody who has a password and no device yet sets one up before anything else."""

from __future__ import annotations

import base64
from typing import Any

import segno
from django import forms
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from scrm import org, people
from scrm.admin import lists
from scrm.console import next_url
from scrm.errors import RuleViolation


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("6-digit code"),
        max_length=8,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}),
    )


@never_cache
@csrf_protect
@sensitive_post_parameters("code")
def enrol(request: HttpRequest) -> HttpResponse:
    """GET shows the device's key as a picture, POST proves that the app knows it."""
    user: Any = request.user
    if not org.staff(user):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if user.is_verified():
        return HttpResponseRedirect(next_url(request))
    form = lists.styled(CodeForm(request.POST if request.method == "POST" else None))
    is_new = not people.has_second_factor(user)
    if request.method == "POST" and form.is_valid():
        try:
            people.verify_second_factor(request=request, user=user, code=form.cleaned_data["code"])
            return HttpResponseRedirect(next_url(request))
        except RuleViolation as error:
            form.add_error("code", error.message)
    context = {
        **_site(request),
        "form": form,
        "title": _("Second factor"),
        "is_new": is_new,
        **(_key(people.pending_device(user)) if is_new else {}),
    }
    return TemplateResponse(request, "admin/second_factor.html", context)


def _key(device: Any) -> dict[str, Any]:
    """The device's key as a picture and as text; it is shown until the owner has confirmed it, never again."""
    return {
        "device": device,
        "qr": segno.make(device.config_url, error="m").svg_data_uri(scale=4, border=2),
        "key": base64.b32encode(device.bin_key).decode(),
    }


def _site(request: HttpRequest) -> dict[str, Any]:
    from django.contrib import admin

    return admin.site.each_context(request)
