"""A server that several processes share: whoever needs it first starts it, whoever leaves last stops it.

Users are counted by shared file locks, which the kernel drops with the process, however it dies. A server left behind
by a killed process is found by the next user, who stops it on leaving.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

SOCKET_PATH_LIMIT = 100  # bytes; the kernel takes 107 on Linux and 103 on macOS


class ServerError(Exception):
    """An embedded server cannot do what is asked; the message says in Chinese what to do about it."""


class SharedServer(ABC):
    name: str

    def __init__(self, home: Path) -> None:
        self.home = home
        self._guard = threading.RLock()
        self._users: int | None = None  # descriptor that holds our shared lock
        self._pid = 0

    # what a server of this kind does; always called under the exclusive lock
    @abstractmethod
    def is_running(self) -> bool: ...

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    def is_attached(self) -> bool:
        """A forked child does not count as attached: it may outlive its parent."""
        return self._users is not None and self._pid == os.getpid()

    def attach(self) -> None:
        """Make sure that the server runs and stays until this process ends."""
        if self.is_attached():
            return
        with self._guard, _readable_errors(self.home):
            if self.is_attached():
                return
            self._make_home()
            with self._alone():
                users = self._open("users")
                fcntl.flock(users, fcntl.LOCK_SH)
                try:
                    if not self.is_running():
                        self.start()
                except BaseException:
                    os.close(users)
                    raise
            self._users, self._pid = users, os.getpid()
            _leave_in_order(self)

    def release(self) -> None:
        """Stop counting as a user; the last one stops the server."""
        with self._guard:
            if not self.is_attached():
                return
            users, self._users = self._users, None
            assert users is not None
            with self._alone():
                fcntl.flock(users, fcntl.LOCK_UN)  # explicit: forked children share the descriptor
                os.close(users)
                if not self.has_users() and self.is_running():
                    self.stop()

    def has_users(self) -> bool:
        users = self._open("users")
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(users)
        return False

    def _make_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _open(self, name: str) -> int:
        descriptor = os.open(self.home / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:  # root may help out in somebody's folder, and must not lock them out
            owner = self.home.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._open("lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def socket_folder(home: Path, longest_name: str) -> Path:
    """``home/run``, or a private folder with a short name where the kernel's limit would be passed."""
    inside = home / "run"
    if len(os.fsencode(inside / longest_name)) <= SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / f"scrm-{digest}"


def own_folder(path: Path, uid: int, gid: int) -> None:
    """Create ``path`` for ``uid`` alone; refuse one that somebody else put there."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, uid, gid)
    stat = path.lstat()
    if path.is_symlink() or stat.st_uid != uid:
        raise ServerError(f"文件夹 {path} 属于别的用户,请删除它后重试。")
    path.chmod(0o700)


def not_allowed(path: str | Path) -> ServerError:
    return ServerError(f"没有权限使用 {path},请换回创建它的用户运行,或用环境变量 SCRM_VAR 指定另一个文件夹。")


def disk_full(home: Path) -> ServerError:
    return ServerError(f"磁盘已满,请在 {home} 所在的磁盘上腾出至少 1 GB 空间后重试。")


@contextlib.contextmanager
def _readable_errors(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(home) from error
        if isinstance(error, PermissionError):
            raise not_allowed(error.filename or home) from error
        raise


def _leave_in_order(server: SharedServer) -> None:
    """Release at exit, also on SIGTERM and on a closed terminal, unless the process has its own handlers."""
    atexit.register(server.release)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda received, _frame: sys.exit(128 + received))
