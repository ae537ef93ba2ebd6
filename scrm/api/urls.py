"""The documentation of the API, and the end of its addresses."""

from django.urls import path, re_path
from django.urls.converters import IntConverter

from scrm.api import docs, errors


class RowId(IntConverter):
    """A primary key: what no bigint holds is not found, instead of an error of the database."""

    regex = "[1-9][0-9]{0,17}"


urlpatterns = [
    path("schema", docs.SchemaView.as_view(), name="api-schema"),
    path("docs", docs.DocsView.as_view(), name="api-docs"),
    re_path(r"", errors.NothingHere.as_view(), name="api-nothing"),
]
