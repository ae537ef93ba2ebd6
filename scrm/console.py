"""The console's site: who comes in, what the start page is, no page that lists by application."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite

from scrm import org


class ConsoleSite(UnfoldAdminSite):
    site_title = _("Private-domain operations")
    site_header = _("Private-domain operations")
    index_title = _("Business overview")
    index_template = "admin/dashboard.html"
    enable_nav_sidebar = True

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Only classes that know scopes and rights come onto this site; what packages bring along stays outside."""
        from scrm.admin.bases import ScopedAdmin

        if admin_class is not None and issubclass(admin_class, ScopedAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """People with a role, and in production only after their second factor."""
        user: Any = request.user
        if not org.staff(user):
            return False
        return not settings.REQUIRE_SECOND_FACTOR or bool(user.is_verified())

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from scrm.admin.login import LoginForm  # its package registers with this site, which must exist by then

        self.login_form = LoginForm
        if org.staff(cast(Any, request.user)) and not self.has_permission(request):
            return HttpResponseRedirect(
                f"{reverse('admin:second_factor')}?{urlencode({REDIRECT_FIELD_NAME: next_url(request)})}"
            )
        return super().login(request, extra_context)

    def extra_urls(self) -> list[Any]:
        from scrm.admin import pages, second_factor, wecom_check, wizard

        return [
            path("second-factor/", second_factor.enrol, name="second_factor"),
            path("waiting/", self.admin_view(pages.waiting), name="waiting"),
            path("rights/", self.admin_view(pages.rights_table), name="rights"),
            *wizard.urls(self),
            *wecom_check.urls(self),
        ]

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:index"))

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The theme's search caches its answers per term; the console has its own search per list."""
        raise Http404


def next_url(request: HttpRequest) -> str:
    """Where a login was heading, if it is a page of ours."""
    target = request.GET.get(REDIRECT_FIELD_NAME, "")
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return reverse("admin:index")
