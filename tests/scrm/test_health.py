"""Liveness touches nothing; readiness says what is away; metrics are for who knows the token."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from scrm import health


def test_liveness_answers_any_host_without_the_database(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["scrm.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/healthz", headers={"host": "10.0.0.7"})  # no database mark: a query would fail the test
    assert (answer.status_code, answer.content) == (200, b"ok")


@pytest.mark.django_db
def test_readiness_asks_the_database_once(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"database": True, "broker": True})


def test_readiness_names_what_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(health.connection, "cursor", fail)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"database": False, "broker": True})


def test_metrics_need_the_token(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 404
    settings.METRICS_TOKEN = "t0ken"
    assert client.get("/metrics", headers={"authorization": "Bearer other"}).status_code == 404
    answer = client.get("/metrics", headers={"authorization": "Bearer t0ken"})
    assert answer.status_code == 200
    assert b"django_http_requests" in answer.content
