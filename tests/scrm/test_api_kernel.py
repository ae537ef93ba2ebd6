"""Errors, pages, limits and repeated writes, on views of this file."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import time_machine
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone
from psycopg.errors import LockNotAvailable
from redis.exceptions import ConnectionError as RedisDown
from rest_framework import serializers
from rest_framework.response import Response

from scrm.api import errors, idempotency, pagination, throttles
from scrm.api.urls import urlpatterns as api_urls
from scrm.api.views import ApiView
from scrm.embedded import valkey
from scrm.errors import RuleViolation
from scrm.models import IdempotentAnswer, User

SHAPE = {"code", "message", "extra"}


class Open(ApiView):
    authentication_classes = ()
    permission_classes = ()


class Faulty(Open):
    class Input(serializers.Serializer):
        class Line(serializers.Serializer):
            quantity = serializers.IntegerField(min_value=1)

        name = serializers.CharField()
        lines = Line(many=True)

    def get(self, request, kind):
        if kind == "rule":
            raise RuleViolation("还没有到时候。", code="too_early", extra={"from": "2026-12-01"})
        if kind == "wait":
            raise RuleViolation("明天再来。", code="spent", extra={"retry_after_seconds": 60})
        if kind == "busy":
            raise OperationalError("canceling statement due to lock timeout") from LockNotAvailable()
        if kind == "bug":
            raise ZeroDivisionError("13912345678")
        return Response({"ok": True})

    def post(self, request, kind):
        return Response(self.read(self.Input, request.data))


class Counted(Open):
    class Throttle(throttles.WindowThrottle):
        scope, limit, seconds = "test", 3, 60

        def owner(self, request, view):
            return self.get_ident(request)

    throttle_classes = (Throttle,)

    def get(self, request):
        return Response({})


class Writing(ApiView):
    authentication_classes = ()
    permission_classes = ()
    count = 0

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        request.user = User.objects.get(username="writer")

    @idempotency.idempotent
    def post(self, request):
        Writing.count += 1
        return Response({"count": Writing.count}, status=201)


urlpatterns = [
    path("api/faulty/<str:kind>", Faulty.as_view()),
    path("api/counted", Counted.as_view()),
    path("api/writing", Writing.as_view()),
    *[path("api/", __import__("django.urls", fromlist=["include"]).include(api_urls))],
]
handler400 = errors.bad_request
handler500 = errors.server_error


@pytest.fixture(autouse=True)
def own_urls(settings):
    settings.ROOT_URLCONF = __name__
    cache.clear()


def get(path, **headers):
    return Client(raise_request_exception=False).get(path, headers=headers)


def test_a_rule_that_says_no():
    answer = get("/api/faulty/rule")
    assert answer.status_code == 409
    assert answer.json() == {"code": "too_early", "message": "还没有到时候。", "extra": {"from": "2026-12-01"}}


def test_a_rule_that_says_not_yet():
    answer = get("/api/faulty/wait")
    assert (answer.status_code, answer["Retry-After"], answer.json()["code"]) == (429, "60", "spent")


def test_busy():
    answer = get("/api/faulty/busy")
    assert (answer.status_code, answer["Retry-After"], answer.json()["code"]) == (503, "2", "busy")


def test_a_fault_of_ours_says_nothing_about_itself():
    answer = get("/api/faulty/bug")
    assert answer.status_code == 500 and set(answer.json()) == SHAPE
    assert "ZeroDivision" not in answer.content.decode() and "139" not in answer.content.decode()


def test_a_fault_is_still_seen_by_tests_and_reports():
    with pytest.raises(ZeroDivisionError):
        Client().get("/api/faulty/bug")


def test_fields_are_named_by_their_place():
    answer = Client().post("/api/faulty/x", {"lines": [{"quantity": 0}, {}]}, content_type="application/json")
    fields = answer.json()["extra"]["fields"]
    assert answer.status_code == 400 and answer.json()["code"] == "invalid"
    assert {place: problems[0]["code"] for place, problems in fields.items()} == {
        "name": "required", "lines.0.quantity": "min_value", "lines.1.quantity": "required",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("post", "/api/faulty/x", {"data": "{", "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/faulty/x", {"data": "a=1", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("put", "/api/faulty/x", {}, 405, "method_not_allowed"),
        ("options", "/api/faulty/x", {}, 405, "method_not_allowed"),
        ("get", "/api/nowhere", {}, 404, "not_found"),
        ("post", "/api/nowhere/", {}, 404, "not_found"),
        ("get", "/api/guide/members/0", {}, 404, "not_found"),
    ],
)
def test_everything_else_has_the_same_shape(method, path, options, status, code):
    answer = getattr(Client(), method)(path, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == SHAPE and answer.json()["message"]


def test_what_fails_before_a_view_is_found(settings):
    settings.ALLOWED_HOSTS = ["shop.example"]
    answer = get("/api/faulty/x", Host="evil.example")
    assert answer.status_code == 400 and set(answer.json()) == SHAPE
    request = RequestFactory().get("/api/x")
    assert set(__import__("json").loads(errors.server_error(request).content)) == SHAPE
    assert b"<" in errors.server_error(RequestFactory().get("/")).content


def test_answers_are_kept_by_nobody():
    assert get("/api/faulty/x")["Cache-Control"] == "no-store"
    assert get("/api/faulty/bug")["Cache-Control"] == "no-store"


def test_messages_are_translatable():
    for message in errors.MESSAGES.values():
        assert str(message)


def test_a_limit_holds_for_an_address_and_ignores_what_it_says_of_itself(settings):
    statuses = [get("/api/counted", **{"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert Client(REMOTE_ADDR="203.0.113.7").get("/api/counted").status_code == 200


def test_a_limit_passes_with_its_window():
    for _n in range(4):
        answer = get("/api/counted")
    wait = int(answer["Retry-After"])
    assert answer.status_code == 429 and 0 < wait <= 60
    with time_machine.travel(timezone.now() + timezone.timedelta(seconds=wait), tick=False):
        assert get("/api/counted").status_code == 200


def test_a_limit_counts_in_one_step():
    """Twenty threads see twenty different counts: nobody slips through between reading and writing."""
    counts, start = [], threading.Barrier(20)

    def count():
        start.wait()
        counts.append(Counted.Throttle().count("somebody"))

    threads = [threading.Thread(target=count) for _n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == list(range(1, 21))


def test_a_cache_that_is_away_stops_nobody(monkeypatch):
    def away(*args, **kwargs):
        raise RedisDown

    monkeypatch.setattr(throttles.cache, "add", away)
    monkeypatch.setattr(throttles.cache, "get", away)
    assert [get("/api/counted").status_code for _n in range(5)] == [200] * 5
    assert Counted.Throttle().counted("somebody") == 0


def test_pages():
    rows = [{"id": number} for number in (9, 7, 5)]
    first = pagination.page(rows, size=2, of="list", key=lambda row: [row["id"]])
    assert first.items == rows[:2]
    assert pagination.read_cursor(first.next_cursor, of="list") == [7]
    assert pagination.page(rows, size=3, of="list", key=lambda row: [row["id"]]).next_cursor is None
    assert pagination.read_cursor("", of="list") is None
    with pytest.raises(serializers.ValidationError):
        pagination.read_cursor(first.next_cursor, of="another")


@pytest.mark.django_db
def test_a_write_is_done_once():
    User.objects.create(username="writer")
    Writing.count = 0
    client = Client()
    first = client.post(
        "/api/writing", {"a": 1, "b": 2}, content_type="application/json", headers={"Idempotency-Key": "k" * 8}
    )
    again = client.post(
        "/api/writing", {"b": 2, "a": 1}, content_type="application/json", headers={"Idempotency-Key": "k" * 8}
    )
    assert (first.status_code, again.status_code, Writing.count) == (201, 201, 1)
    assert first.json() == again.json() == {"count": 1}
    other = client.post("/api/writing", {"a": 2}, content_type="application/json", headers={"Idempotency-Key": "k" * 8})
    assert (other.status_code, other.json()["code"], Writing.count) == (409, "idempotency_key_reused", 1)
    assert IdempotentAnswer.objects.count() == 1


@pytest.mark.django_db
def test_who_comes_while_it_runs_is_told_to_wait():
    user = User.objects.create(username="writer")
    ready, done = threading.Event(), threading.Event()

    def first_request():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"answer {user.pk} {'k' * 8}"])
            ready.set()
            done.wait()
            cursor.execute("SELECT pg_advisory_unlock_all()")
        connection.close()

    thread = threading.Thread(target=first_request)
    thread.start()
    ready.wait()
    try:
        answer = Client().post(
            "/api/writing", {}, content_type="application/json", headers={"Idempotency-Key": "k" * 8}
        )
    finally:
        done.set()
        thread.join()
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (409, "still_running", "1")
    assert not IdempotentAnswer.objects.exists()


COUNT_IN_A_PROCESS = """
import sys
from django.conf import settings
settings.configure(USE_I18N=False, CACHES={"default": {
    "BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": sys.argv[1]}})
from scrm.api.throttles import WindowThrottle
class Shared(WindowThrottle):
    scope, limit, seconds = "shared", 3, 3600
print(*[Shared().count("somebody") for _n in range(10)])
"""


def test_a_limit_holds_over_processes(tmp_path):
    """§8 row 20: two processes on one cache count on where the other one stands."""
    server = valkey.Valkey(tmp_path / "valkey")
    server.attach()
    try:
        command = [sys.executable, "-c", COUNT_IN_A_PROCESS, server.url.replace("redis+socket", "unix")]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _n in range(2)]
        counts = [int(count) for process in processes for count in process.communicate()[0].split()]
    finally:
        server.release()
    assert sorted(counts) == list(range(1, 21))
