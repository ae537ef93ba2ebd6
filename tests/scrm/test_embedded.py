"""The embedded servers: who starts them, who stops them, and what a kill at any moment leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scrm.embedded.postgres import APP_ROLE, OWNER_ROLE, Postgres
from scrm.embedded.server import ServerError
from scrm.embedded.valkey import Valkey

ROOT = Path(__file__).resolve().parents[2]
ATTACH = """
import sys
from pathlib import Path
from scrm.embedded.{module} import {kind}
server = {kind}(Path(sys.argv[1]){options})
server.attach()
print("attached", flush=True)
sys.stdin.readline()
"""


def folder_for_servers() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="scrm-embedded-"))
    folder.chmod(0o755)  # the service user passes through when root runs the tests
    return folder


@pytest.fixture
def var() -> Iterator[Path]:
    folder = folder_for_servers()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def created() -> Iterator[Path]:
    """A cluster that was created and stopped, to be copied: creating one for each test would take most of their time."""
    folder = folder_for_servers()
    server = Postgres(folder / "postgres", durable=False)
    server.attach()
    server.release()
    yield server.home
    shutil.rmtree(folder)


@pytest.fixture
def server(var: Path, created: Path) -> Iterator[Postgres]:
    subprocess.run(["cp", "-a", created, var / "postgres"], check=True)
    server = Postgres(var / "postgres", durable=False)
    yield server
    server.release()
    if server.is_running():
        server.stop()


@pytest.fixture
def new_server(var: Path) -> Iterator[Postgres]:
    server = Postgres(var / "postgres", durable=False)
    yield server
    server.release()


def user_process(home: Path, module: str = "postgres", kind: str = "Postgres") -> subprocess.Popen[str]:
    """Another process that uses the server until its stdin is closed."""
    code = ATTACH.format(module=module, kind=kind, options=", durable=False" if kind == "Postgres" else "")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "attached\n"
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


def postmaster(server: Postgres) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def query(server: Postgres, sql: str, role: str = OWNER_ROLE) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(role), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def wait_until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_first_user_starts_it_and_the_last_one_stops_it(server: Postgres) -> None:
    server.attach()
    other = user_process(server.home)
    server.release()
    assert server.is_running()
    leave(other)
    assert not server.is_running()


def test_three_processes_at_once_make_one_cluster(new_server: Postgres) -> None:
    server = new_server
    code = ATTACH.format(module="postgres", kind="Postgres", options=", durable=False")
    command = [sys.executable, "-c", code, str(server.home)]
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)
    ]
    assert [process.stdout.readline() for process in others if process.stdout] == ["attached\n"] * 3
    number = postmaster(server)
    for process in others[:2]:
        leave(process)
    assert postmaster(server) == number
    leave(others[2])
    assert not server.is_running()


def test_a_server_whose_starter_was_killed_is_adopted_and_stopped(server: Postgres) -> None:
    starter = user_process(server.home)
    starter.kill()
    starter.wait()
    assert server.is_running()
    number = postmaster(server)
    server.attach()
    assert postmaster(server) == number
    server.release()
    assert not server.is_running()


def test_sigterm_to_its_only_user_stops_it(server: Postgres) -> None:
    user = user_process(server.home)
    user.terminate()
    assert user.wait(30) == 128 + signal.SIGTERM
    assert not server.is_running()


def test_a_killed_server_recovers_with_everything_committed(server: Postgres) -> None:
    server.durable = True
    server.attach()
    query(server, "CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(postmaster(server), signal.SIGKILL)
    wait_until(lambda: not server.is_running())
    server.release()
    server.attach()
    assert query(server, "SELECT n FROM kept") == [(7,)]


def test_a_pid_file_that_names_another_living_process_does_not_hinder(server: Postgres) -> None:
    server.attach()
    server.release()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    server.attach()
    assert server.is_running()
    assert postmaster(server) != os.getpid()


def test_a_creation_cut_off_half_way_starts_afresh(new_server: Postgres) -> None:
    server = new_server
    (server.home / "data.new" / "base").mkdir(parents=True)
    server.attach()
    assert not (server.home / "data.new").exists()
    assert query(server, "SELECT 1") == [(1,)]


def test_a_forked_child_does_not_stop_it(server: Postgres) -> None:
    server.attach()
    child = os.fork()
    if child == 0:
        server.release()
        os._exit(0 if not server.is_attached() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.is_running()


def test_a_deep_folder_gets_a_short_socket(var: Path) -> None:
    server = Postgres(var / ("deep" * 20) / "postgres", durable=False)
    (var / ("deep" * 20)).mkdir()
    try:
        server.attach()
        assert not server.sockets.is_relative_to(var)
        assert server.sockets.stat().st_mode & 0o777 == 0o700
        assert query(server, "SELECT 1") == [(1,)]
    finally:
        server.release()
        shutil.rmtree(server.sockets)


def test_roles_passwords_and_locale(server: Postgres) -> None:
    server.attach()
    assert query(server, "SELECT current_user", APP_ROLE) == [(APP_ROLE,)]
    rights = query(
        server, "SELECT rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname LIKE 'scrm%' ORDER BY 1"
    )
    assert rights == [(APP_ROLE, False, False), (OWNER_ROLE, False, False)]
    assert query(server, "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'scrm'") == [
        ("b", "C.UTF-8")
    ]
    assert query(server, "SHOW listen_addresses") == [("",)]
    wrong = server.url(APP_ROLE).replace(str(server.address(APP_ROLE)["PASSWORD"]), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://postgres@/postgres?host={server.sockets}")


def test_secrets_are_private(server: Postgres) -> None:
    server.attach()
    assert (server.home / "passwords.json").stat().st_mode & 0o777 == 0o600
    assert server.home.stat().st_mode & 0o777 == 0o700


def test_data_of_another_major_version_is_refused_with_a_remedy(server: Postgres) -> None:
    server.attach()
    server.release()
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerError, match="PostgreSQL 12 的数据"):
        server.attach()


def test_settings_are_written_anew_at_every_start(server: Postgres) -> None:
    server.attach()
    server.release()
    (server.home / "server.conf").write_text("port = 1\n")
    server.attach()
    assert query(server, "SHOW fsync") == [("off",)]


def manage(*args: str, var: Path) -> subprocess.CompletedProcess[str]:
    keys = {
        name: os.environ[name] for name in ("SECRET_KEY", "MOBILE_SEAL_KEYS", "MOBILE_INDEX_KEY", "SECRET_SEAL_KEYS")
    }
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SCRM_VAR": str(var), **keys}
    return subprocess.run(
        [sys.executable, "manage.py", *args], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [["help"], ["--version"], ["help", "migrate"]])
def test_help_starts_nothing(command: list[str], var: Path) -> None:
    result = manage(*command, var=var)
    assert result.returncode == 0, result.stderr
    assert not (var / "postgres").exists()


def test_a_command_starts_what_it_needs_and_stops_it(var: Path) -> None:
    script = (
        "from django.db import connection as c; k = c.cursor(); k.execute('SELECT current_user'); print(k.fetchone())"
    )
    result = manage("shell", "--no-imports", "-c", script, var=var)
    assert "('scrm_app',)" in result.stdout, result.stderr
    assert not Postgres(var / "postgres", durable=False).is_running()


def test_the_broker_keeps_its_messages_over_a_restart(var: Path) -> None:
    broker = Valkey(var / "valkey")
    broker.attach()
    broker._client.rpush("celery", "message")
    other = user_process(broker.home, "valkey", "Valkey")
    broker.release()
    assert broker.is_running()
    leave(other)
    assert not broker.is_running()
    broker.attach()
    assert broker._client.lrange("celery", 0, -1) == [b"message"]
    assert broker._client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    broker.release()
    assert not broker.socket.exists()
