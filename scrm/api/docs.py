"""Where the schema and its pages are served."""

from __future__ import annotations

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView


class SchemaView(SpectacularAPIView):
    """``/api/schema``: YAML, or JSON with ``Accept: application/vnd.oai.openapi+json``."""

    authentication_classes = ()


class DocsView(SpectacularSwaggerSplitView):
    """``/api/docs``: Swagger UI from our own files; its script is a request of its own, as the CSP asks."""

    authentication_classes = ()
    url_name = "api-schema"
