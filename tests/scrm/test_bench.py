"""The measuring pieces of the benches: percentiles, memory, and a load that counts what waits."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from scrm import bench
from scrm.bench import database
from scrm.bench.database import own_database


def test_percentiles_are_the_nearest_rank() -> None:
    seconds = [number / 1000 for number in range(100, 0, -1)]
    assert bench.percentiles(seconds) == {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0}
    assert bench.percentiles([0.007]) == {"p50_ms": 7.0, "p95_ms": 7.0, "p99_ms": 7.0}
    with pytest.raises(ValueError, match="nothing"):
        bench.percentiles([])


def test_memory_sees_the_peak_that_is_gone_again() -> None:
    with bench.Memory() as small:
        pass
    with bench.Memory() as memory:
        block = bytearray(os.urandom(1024) * 65_536)
        time.sleep(0.1)
        del block
    assert memory.peak_mb > small.peak_mb + 50


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seconds = 0.0
    turn = threading.Lock()

    def do_GET(self) -> None:
        with self.turn:  # one after the other, so that a queue forms
            time.sleep(self.seconds)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    Handler.seconds = 0.0


def test_every_request_of_a_closed_loop_is_sent_once(port: int) -> None:
    requests = [bench.Request.of("POST", f"/{number}", body=b"x" * number) for number in range(200)]
    burst = bench.throughput(port, requests, connections=4, seconds=20).require(200)
    assert (len(burst.times), burst.statuses) == (200, {200: 200})


def test_an_open_loop_counts_the_time_a_request_had_to_wait(port: int) -> None:
    """At 40 a second to a server that answers 20, the times grow although each answer takes 50 ms."""
    Handler.seconds = 0.05
    burst = bench.pace(port, [bench.Request.of("GET", "/")], per_second=40, seconds=2, connections=2).require(200)
    assert 50 < len(burst.times) < 120
    assert bench.percentiles(burst.times)["p95_ms"] > 500


def test_figures_of_errors_are_refused() -> None:
    with pytest.raises(RuntimeError, match="503"):
        bench.Burst(seconds=1, times=[0.1], statuses={503: 1}).require(200)


def benches() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'bench\_%%'")
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_a_bench_has_a_database_of_its_own_and_a_kept_one_serves_another_run() -> None:
    home = connection.settings_dict["NAME"]
    with own_database("test", keep=True) as name, connection.cursor() as cursor:
        assert connection.settings_dict["NAME"] == name
        with psycopg.connect(os.environ["DATABASE_URL"]) as other:  # a child process finds it too
            assert other.execute("SELECT current_database(), count(*) FROM members_member").fetchone() == (name, 0)
        cursor.execute("CREATE TABLE left_behind AS SELECT 1 AS n")
    try:
        assert connection.settings_dict["NAME"] == home
        assert "DATABASE_URL" not in os.environ
        with own_database("test", kept=name) as again, connection.cursor() as cursor:
            cursor.execute("SELECT n FROM left_behind")
            assert (again, cursor.fetchone()) == (name, (1,))
        assert name in benches()  # it is left again
    finally:
        database._drop(name)


def test_only_what_a_bench_has_left_is_used_again() -> None:
    with pytest.raises(ValueError, match="scrm"), own_database("test", kept="scrm"):
        raise AssertionError("it was used")
    with pytest.raises(CommandError, match="no database that --keep of simulate has left"):
        call_command("bench", "simulate", "--kept", "scrm")
    with pytest.raises(CommandError, match="attribute has no --kept"):
        call_command("bench", "attribute", "--kept", "bench_attribute_1")


@pytest.mark.django_db
def test_cpu_seconds_are_those_of_the_work_on_both_sides() -> None:
    with bench.Cpu() as cpu, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM generate_series(1, 3000000)")
        sum(range(20_000_000))
    assert 0 < cpu.python < 60
    assert cpu.server > 0


@override_settings(PRODUCTION=True)
def test_no_bench_in_production() -> None:
    with pytest.raises(CommandError, match="PRODUCTION"):
        call_command("bench", "attribute", "--rows", "10")


@pytest.mark.django_db(transaction=True)
def test_a_small_bench_says_everything_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("bench", "attribute", "--rows", "300", "--json")
    printed = capsys.readouterr().out
    for name in ("rows_per_second", "p50_ms", "p95_ms", "p99_ms", "peak_mb", "ratio", "floor_seconds"):
        assert f'"{name}"' in printed
    for name in ("statements", "cpu_ms", "slowest_statements", "floor"):  # of one order after the other
        assert f'"{name}": ' in printed
    assert logging.root.manager.disable == logging.NOTSET  # for whatever this process does next
    assert benches() == []  # nothing is left of its database
