"""The schema is complete, says what the code does, and is read without a foreign host."""

from __future__ import annotations

import io
import re

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def schema():
    out = io.StringIO()
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=out)
    return yaml.safe_load(out.getvalue())


def operations(schema):
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def test_no_warnings_and_valid(schema):
    assert schema["info"]["title"] == "SCRM API"


def test_every_operation_is_described(schema):
    for path, _method, operation in operations(schema):
        assert operation["summary"] and operation["description"], path
        assert re.fullmatch(r"[a-z_]+", operation["operationId"]), path
    ids = [operation["operationId"] for _path, _method, operation in operations(schema)]
    assert len(ids) == len(set(ids))


def test_every_error_has_the_one_shape(schema):
    for path, _method, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Error"), (path, status)


def test_writes_say_that_they_want_a_key(schema):
    exempt = {"login", "logout", "search_members", "quote_coupon"}  # nobody yet, harmless to repeat, reads
    for path, method, operation in operations(schema):
        if method != "get" and operation["operationId"] not in exempt and path.startswith("/api/guide/"):
            names = {parameter["name"] for parameter in operation["parameters"]}
            assert "Idempotency-Key" in names, path
            assert "409" in operation["responses"], path


def test_money_is_integer_fen(schema):
    for name, component in schema["components"]["schemas"].items():
        for field, kind in component.get("properties", {}).items():
            if field.endswith("_fen"):
                assert kind["type"] == "integer", (name, field)


def test_served_to_readers_and_programs():
    client = Client()
    answer = client.get(reverse("api-schema"))
    assert answer.status_code == 200 and b"openapi: 3" in answer.content
    answer = client.get(reverse("api-schema"), headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.json()["openapi"].startswith("3.")


def test_the_pages_ask_nobody_else():
    """Offline, under the CSP: no foreign address, no inline script."""
    client = Client()
    page = client.get(reverse("api-docs"))
    script = client.get(reverse("api-docs"), {"script": ""})
    assert page.status_code == script.status_code == 200
    for answer in (page, script):
        text = answer.content.decode()
        assert not re.search(r"(https?:)?//(?!localhost|testserver)[a-z0-9.-]+\.[a-z]{2,}", text), text
    assert re.findall(r"<script(?![^>]*\ssrc=)", page.content.decode()) == []
    assert "default-src 'self'" in page["Content-Security-Policy"]
    for source in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.content.decode()):
        assert client.get(source).status_code == 200, source
