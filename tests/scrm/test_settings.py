"""A bad value stops the process with a Chinese sentence that names it; production accepts no defaults."""

from __future__ import annotations

import base64
import os
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parents[2]
KEY = base64.b64encode(b"k" * 32).decode()
DEVELOPMENT = {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": "development-only",
    "MOBILE_SEAL_KEYS": f"1:{KEY}",
    "MOBILE_INDEX_KEY": KEY,
    "SECRET_SEAL_KEYS": f"1:{KEY}",
}
PRODUCTION = DEVELOPMENT | {
    "PRODUCTION": "1",
    "SECRET_KEY": "s3cret" * 10,
    "ALLOWED_HOSTS": "scrm.example.com",
    "DATABASE_URL": "postgresql://scrm_app:a@db:5432/scrm",
    "DATABASE_OWNER_URL": "postgresql://scrm_owner:b@db:5432/scrm",
    "BROKER_URL": "redis://redis:6379/0",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in documented():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCRM_VAR", str(tmp_path))
    monkeypatch.setattr("structlog.configure", lambda **_: None)


def documented() -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))


def settings(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], **changes: str) -> dict[str, Any]:
    for name, value in (values | changes).items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "scrm" / "settings.py"))


def refusal(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], **changes: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        settings(monkeypatch, values, **changes)
    return str(caught.value)


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    source = (ROOT / "scrm" / "settings.py").read_text() + (ROOT / "scrm" / "envfile.py").read_text()
    reader = r"_(?:text|flag|number|list|choice|index_key|key_ring|database)\(\"([A-Z_]+)\"|environ\.get\(\"([A-Z_]+)\""
    read = {first or second for first, second in re.findall(reader, source)}
    assert read - {"ENV_FILE", "SCRM_PROCESS"} == documented()


def test_development_needs_only_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    values = settings(monkeypatch, DEVELOPMENT)
    assert values["DATABASES"]["default"]["ENGINE"] == "scrm.embedded.backend"
    assert values["DATABASES"]["default"]["USER"] == "scrm_app"
    assert values["DATABASE_OWNER"]["USER"] == "scrm_owner"
    assert values["CELERY_BROKER_URL"].startswith("redis+socket:///")
    assert values["CACHES"]["default"]["LOCATION"].startswith("unix:///")


def test_commands_beside_the_sample_company_find_its_wecom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    official = "https://qyapi.weixin.qq.com/cgi-bin/"
    assert settings(monkeypatch, DEVELOPMENT)["WECOM_API_BASE"] == official
    address = tmp_path / "wecom_sandbox" / "address"
    address.parent.mkdir()
    address.write_text("http://127.0.0.1:8001/cgi-bin/")
    found = settings(monkeypatch, DEVELOPMENT)
    assert found["WECOM_API_BASE"] == "http://127.0.0.1:8001/cgi-bin/" and found["WECOM_BASE_IS_DEFAULT"]
    live = settings(monkeypatch, PRODUCTION)
    assert live["WECOM_API_BASE"] == official  # production never speaks to a sandbox
    own = settings(monkeypatch, PRODUCTION, WECOM_API_BASE="https://proxy.example.com/cgi-bin")
    assert own["WECOM_API_BASE"] == "https://proxy.example.com/cgi-bin/"


def test_production_starts_with_everything_given(monkeypatch: pytest.MonkeyPatch) -> None:
    values = settings(monkeypatch, PRODUCTION)
    assert values["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert values["SESSION_COOKIE_SECURE"]
    assert values["SECURE_SSL_REDIRECT"]
    assert values["SECURE_HSTS_SECONDS"] > 0
    assert values["REQUIRE_SECOND_FACTOR"]
    assert values["LOG_JSON"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SECRET_KEY": "development-" + "x" * 60}, "SECRET_KEY 是默认值或太短"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY 是默认值或太短"),
        ({"SECRET_KEY": ""}, "缺少 SECRET_KEY"),
        ({"DEBUG": "1"}, "生产环境不能打开 DEBUG"),
        ({"MOBILE_SEAL_KEYS": ""}, "缺少加密密钥 MOBILE_SEAL_KEYS"),
        ({"MOBILE_INDEX_KEY": ""}, "缺少加密密钥 MOBILE_INDEX_KEY"),
        ({"SECRET_SEAL_KEYS": ""}, "缺少加密密钥 SECRET_SEAL_KEYS"),
        ({"ALLOWED_HOSTS": "*"}, "不能用 *"),
        ({"DATABASE_URL": ""}, "必须用 DATABASE_URL"),
        ({"DATABASE_OWNER_URL": ""}, "还需要用 DATABASE_OWNER_URL"),
        ({"BROKER_URL": ""}, "必须用 BROKER_URL"),
        ({"REQUIRE_SECOND_FACTOR": "0"}, "不能关闭 REQUIRE_SECOND_FACTOR"),
    ],
)
def test_production_refuses(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(monkeypatch, PRODUCTION, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"DEBUG": "maybe"}, "DEBUG='maybe' 不是开关"),
        ({"WEB_PORT": "80 80"}, "WEB_PORT='80 80' 应为 1 到 65535"),
        ({"WEB_PORT": "70000"}, "WEB_PORT='70000' 应为 1 到 65535"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL='LOUD' 应为"),
        ({"DATABASE_URL": "mysql://a:b@c/d", "DATABASE_OWNER_URL": "mysql://e:b@c/d"}, "只支持 PostgreSQL"),
        ({"DATABASE_URL": PRODUCTION["DATABASE_URL"], "DATABASE_OWNER_URL": "postgresql://o:b@db/other"}, "同一个库"),
        ({"DATABASE_URL": PRODUCTION["DATABASE_URL"], "DATABASE_OWNER_URL": PRODUCTION["DATABASE_URL"]}, "不同的角色"),
        ({"BROKER_URL": "amqp://rabbit"}, "BROKER_URL 应写作"),
        ({"MOBILE_SEAL_KEYS": "1:short"}, "应为 32 字节的 base64"),
        ({"MOBILE_SEAL_KEYS": KEY}, "编号:密钥"),
        ({"MOBILE_SEAL_KEYS": f"300:{KEY}"}, "编号为 1 到 255"),
        ({"MOBILE_SEAL_KEYS": f"1:{KEY},1:{KEY}"}, "重复的密钥编号"),
        ({"MOBILE_INDEX_KEY": "no base64!"}, "应为 32 字节的 base64"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(monkeypatch, DEVELOPMENT, **changes)


def test_all_problems_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = refusal(monkeypatch, PRODUCTION, SECRET_KEY="", DEBUG="1", MOBILE_INDEX_KEY="")
    assert sentences.count("\n  - ") == 4  # an empty key is missing and too short


def test_the_web_process_has_a_pool_and_short_timeouts_and_a_job_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    web = settings(monkeypatch, DEVELOPMENT, SCRM_PROCESS="web")["DATABASES"]["default"]["OPTIONS"]
    worker = settings(monkeypatch, DEVELOPMENT, SCRM_PROCESS="worker")["DATABASES"]["default"]["OPTIONS"]
    assert "statement_timeout=15s" in web["options"]
    assert web["pool"]["max_size"] > 4
    assert "statement_timeout=3600s" in worker["options"]
    assert "pool" not in worker


def test_production_does_not_read_development_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"SECRET_SEAL_KEYS=1:{KEY}\n")
    assert "缺少加密密钥 SECRET_SEAL_KEYS" in refusal(monkeypatch, PRODUCTION, SECRET_SEAL_KEYS="")
