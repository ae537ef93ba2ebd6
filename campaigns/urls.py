"""A customer's short links, and what guides send."""

from django.urls import path

from campaigns.api import content, links, scripts

urlpatterns = [
    path("s/<slug:code>", links.open_link, name="short-link"),
    path("api/guide/materials", content.MaterialsView.as_view(), name="guide-materials"),
    path("api/guide/materials/<id:content_id>/file", content.FileView.as_view(), name="guide-material-file"),
    path("api/guide/materials/<id:content_id>/use", content.UseView.as_view(), name="guide-material-use"),
    path("api/guide/members/<id:member_id>/scripts", scripts.ScriptsView.as_view(), name="guide-scripts"),
    path(
        "api/guide/members/<id:member_id>/scripts/<id:script_id>/use",
        scripts.UseView.as_view(),
        name="guide-script-use",
    ),
]
