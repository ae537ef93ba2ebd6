"""``up``: everything on one machine, from the servers to the sample company, until Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from django.urls import reverse

from scrm import catalogues
from scrm.checks import require_keys_of_data
from scrm.embedded import postgres, valkey
from scrm.embedded.server import ServerError, SharedServer, not_allowed
from scrm.embedded.supervisor import Child, Interrupted, Said, Supervisor, follow, say

FREE_BYTES = 1024**3
READY_SECONDS = 60
CELERY = [sys.executable, "-m", "celery", "-A", "scrm", "--quiet"]


class Command(BaseCommand):
    help = "Start the whole system on this machine: PostgreSQL, Valkey, web, worker and beat."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--empty", action="store_true", help="load no sample company")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise ServerError("up 只用于本机试用;生产环境请用 compose.yaml 或自己的进程管理器分别启动各进程。")
        try:
            with _only_one() as alone:
                if alone:
                    self._run_alone(sample=not options["empty"])
                else:
                    self.stdout.write(f"系统已经在运行:{_url(reverse('admin:index'))}")
        except PermissionError as error:  # somebody else ran it here before
            raise not_allowed(error.filename) from error

    def _run_alone(self, *, sample: bool) -> None:
        ended = None
        with contextlib.suppress(Interrupted), Supervisor(settings.SCRM_VAR / "up.children") as supervisor:
            ended = self._run(supervisor, sample=sample)
        _release_servers()
        say("up", "已全部停止。")
        if ended is not None:
            raise SystemExit(1)

    def _run(self, supervisor: Supervisor, *, sample: bool) -> Child | None:
        """Until the end is asked for (None) or a process ends by itself."""
        started = time.monotonic()
        _require_free(settings.WEB_HOST, settings.WEB_PORT, "WEB_PORT")
        _require_space()
        _attach_servers()
        supervisor.require_going_on()
        wecom = self._prepare(sample=sample)
        supervisor.require_going_on()
        for child in _processes(wecom):
            supervisor.start(child)
        if _wait_for_web(supervisor):
            self._welcome(time.monotonic() - started, wecom)
        ended = supervisor.watch()
        if ended is None:
            say("up", "正在停止……")
        else:
            say("up", f"{ended.name} 意外退出,其余进程随之停止;原因见上面的日志。")
        return ended

    def _prepare(self, *, sample: bool) -> str:
        """Where WeCom is: an address on this machine for the sample company, empty for the real one."""
        call_command("migrate", verbosity=0, interactive=False)
        require_keys_of_data()
        catalogues.compile_all(settings.BASE_DIR)
        _collect_static()
        if sample:
            call_command("make_sample", "--if-empty", stdout=Said("sample"))
        wecom = ""
        if settings.WECOM_BASE_IS_DEFAULT:
            wecom = call_command("wecom_sandbox", "--prepare", stdout=io.StringIO()) or ""
        if wecom:
            _require_free("127.0.0.1", settings.WECOM_SANDBOX_PORT, "WECOM_SANDBOX_PORT")
        connections.close_all()
        return wecom

    def _welcome(self, seconds: float, wecom: str) -> None:
        for line in (
            f"系统已就绪({seconds:.1f} 秒)。按 Ctrl-C 停止。",
            f"管理后台  {_url(reverse('admin:index'))}",
            f"接口文档  {_url(reverse('api-docs'))}",
            *([f"企微沙箱  {urljoin(wecom, '/sandbox/')}"] if wecom else []),
        ):
            say("up", line)
        call_command("sample_logins", stdout=Said("up"))


def _wait_for_web(supervisor: Supervisor) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers():
        supervisor.require_going_on()
        if supervisor.ended():
            return False
        if time.monotonic() > deadline:
            say("up", f"网页服务 {READY_SECONDS} 秒内没有就绪,请查看上面的日志。")
            return False
        time.sleep(0.1)
    return True


def _processes(wecom: str = "") -> list[Child]:
    python = [sys.executable, "-m"]
    metrics = settings.SCRM_VAR / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    base = {"WECOM_API_BASE": wecom} if wecom else {}
    web = base | {"SCRM_PROCESS": "web", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    sandbox = [sys.executable, str(settings.BASE_DIR / "manage.py"), "wecom_sandbox"]
    return [
        *([Child("sandbox", sandbox, base)] if wecom else []),
        Child("web", [*python, "gunicorn", "-c", "python:scrm.gunicorn", "scrm.wsgi"], web),
        *workers(base),
        Child("beat", [*CELERY, "beat", "--pidfile="], base | {"SCRM_PROCESS": "beat"}),
    ]


def workers(base: dict[str, str]) -> list[Child]:
    """The one of every day, and the one of welcomes."""
    worker, works = [*CELERY, "worker", "--without-gossip", "--without-mingle"], base | {"SCRM_PROCESS": "worker"}
    return [
        Child("worker", worker, works),
        Child("welcome", [*worker, "--queues", "welcome", "--concurrency", "2", "--hostname", "welcome@%h"], works),
    ]


# ---- servers


def _servers() -> list[SharedServer]:
    servers: list[SharedServer] = []
    if settings.EMBEDDED_DATABASE:
        servers.append(postgres.of(settings.SCRM_VAR, settings.EMBEDDED_DURABLE))
    if settings.EMBEDDED_BROKER:
        servers.append(valkey.of(settings.SCRM_VAR))
    return servers


def _attach_servers() -> None:
    for server in _servers():
        server.attach()
        say(server.name, f"已启动,数据在 {server.home}")
        follow(server.name, server.home / "server.log")


def _release_servers() -> None:
    connections.close_all()
    for server in reversed(_servers()):
        server.release()


# ---- static files


def _collect_static() -> None:
    """Only when a source file changed since the last time: hashing them all takes seconds. One process at a time."""
    root = Path(settings.STATIC_ROOT)
    root.mkdir(exist_ok=True)
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        stamp, sources = root / ".sources", _static_sources()
        if not stamp.exists() or stamp.read_text() != sources:
            call_command("collectstatic", verbosity=0, interactive=False)
            stamp.write_text(sources)
    finally:
        os.close(folder)


def _static_sources() -> str:
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = os.stat(storage.path(name))
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# ---- refusals and the address


@contextlib.contextmanager
def _only_one() -> Iterator[bool]:
    settings.SCRM_VAR.mkdir(parents=True, exist_ok=True)
    with (settings.SCRM_VAR / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _require_free(host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerError(
                f"端口 {port} 无法使用({os.strerror(error.errno or 0)}):请停止占用它的程序,或换一个端口:{setting}={port + 1} bin/up"
            ) from error


def _require_space() -> None:
    if shutil.disk_usage(settings.SCRM_VAR).free < FREE_BYTES:
        raise ServerError(f"磁盘空间不足 1 GB,请清理 {settings.SCRM_VAR} 所在的磁盘,或用 SCRM_VAR 指定别处的文件夹。")


def _url(path: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.WEB_HOST, settings.WEB_HOST)  # noqa: S104
    return f"http://{host}:{settings.WEB_PORT}{path}"


def _answers() -> bool:
    try:
        with urllib.request.urlopen(_url("/healthz"), timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
