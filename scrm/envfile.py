"""The files that hold settings: ``.env`` beside manage.py, and the development keys of a SCRM_VAR folder.

``python -m scrm.envfile`` writes the development keys once. They live and die with the folder: without them its data
cannot be read, so they are never written anew over existing data.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent


def load() -> Path:
    """Read ``.env`` into the environment, which wins over it; return SCRM_VAR as an absolute path."""
    read(BASE_DIR / os.environ.get("ENV_FILE", ".env"))
    return BASE_DIR / os.environ.get("SCRM_VAR", "var")  # joined to an absolute path, the base vanishes


def read(file: Path) -> None:
    """Into the environment, which wins over it. The library would pass over a file it may not read."""
    if file.is_file():
        if not os.access(file, os.R_OK):
            sys.exit(f"错误:没有权限读取 {file},请换回创建它的用户运行,或用 SCRM_VAR 指定另一个文件夹。")
        environ.Env.read_env(file)


def write_development_keys(var: Path) -> bool:
    """True when they were written now."""
    file = var / ".env"
    if file.exists():
        return False
    if (var / "postgres").exists() or (var / "postgres.path").exists():
        sys.exit(f"{var} 里已有数据,但它的密钥文件 {file} 不见了:请找回该文件;数据不再需要时,删除整个 {var} 后重试。")
    if not var.exists():
        var.mkdir(parents=True)
        var.chmod(0o755)  # the service user that runs PostgreSQL for root passes through
    unfinished = var / ".env.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write("# Development keys of the data in this folder. Keep them together; never use them in production.\n")
        out.write("".join(f"{name}={value}\n" for name, value in _development_keys().items()))
    unfinished.rename(file)
    return True


def _development_keys() -> dict[str, str]:
    return {
        "SECRET_KEY": f"development-{secrets.token_urlsafe(48)}",
        "MOBILE_SEAL_KEYS": f"1:{_key()}",
        "MOBILE_INDEX_KEY": _key(),
        "SECRET_SEAL_KEYS": f"1:{_key()}",
    }


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


if __name__ == "__main__":
    folder = load()
    if os.environ.get("PRODUCTION", "") not in ("1", "true") and write_development_keys(folder):
        print(f"已生成开发密钥 {folder / '.env'}(只供本机使用,与数据一起保存)。")
