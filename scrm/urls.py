"""The addresses of the project; each app brings its own."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from scrm import health, metrics
from scrm.wecom import callback

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("readyz", health.ready, name="readyz"),  # /healthz is answered before the URLs are looked at
    path("metrics", metrics.metrics, name="metrics"),
    path("wecom/callback/<slug:name>", callback.receive, name="wecom-callback"),
    path("api/guide/", include("guides.urls")),
    path("", include("campaigns.urls")),
    path("api/", include("attribution.urls")),
    path("api/", include("scrm.api.urls")),  # the last below api/: it answers whatever nobody else does
]
handler400 = "scrm.api.errors.bad_request"
handler500 = "scrm.api.errors.server_error"
