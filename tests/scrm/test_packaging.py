"""What the container files promise: every setting reaches the containers, nobody is root, every service is watched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from scrm.management.commands import up
from tests.scrm.test_settings import documented

ROOT = Path(__file__).resolve().parents[2]
# of a developer's machine, fixed in the image, or following from PRODUCTION
NOT_PASSED = {"DEBUG", "SCRM_VAR", "WEB_HOST", "WEB_PORT", "WECOM_SANDBOX_PORT", "LOG_JSON", "REQUIRE_SECOND_FACTOR"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_every_documented_setting_reaches_the_containers(compose: dict[str, Any]) -> None:
    for name in ("migrate", "web", "worker", "welcome", "beat"):
        assert documented() - NOT_PASSED <= set(compose["services"][name]["environment"]), name


def test_all_services_are_there_and_watched(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"migrate", "web", "worker", "welcome", "beat", "postgres", "redis"}
    image = (ROOT / "Dockerfile").read_text()
    assert "HEALTHCHECK" in image  # the web service uses the image's own
    assert all("healthcheck" in services[name] for name in ("worker", "welcome", "beat", "postgres", "redis"))


def test_every_queue_has_its_worker(compose: dict[str, Any]) -> None:
    """The default queue and that of the welcomes, in containers and in ``bin/up``; no worker takes the other's."""
    queues = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    commands = [compose["services"][name]["command"] for name in ("worker", "welcome")]
    commands += [child.command for child in up._processes() if child.name in ("worker", "welcome")]
    taken = [command[command.index("--queues") + 1] if "--queues" in command else "celery" for command in commands]
    assert queues == {"welcome"}
    assert taken == ["celery", "welcome"] * 2


def test_nobody_is_root_and_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", image, re.M) == ["scrm"]
    values = compose["services"]["web"]["environment"]
    for name in ("SECRET_KEY", "MOBILE_SEAL_KEYS", "MOBILE_INDEX_KEY", "SECRET_SEAL_KEYS", "ALLOWED_HOSTS"):
        assert values[name].startswith(f"${{{name}:?"), name


def test_no_settings_file_and_no_data_go_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", "var", ".git", ".venv"} <= set(ignored)


def test_the_scripts_are_plain_sh_and_executable() -> None:
    for name in ("bin/setup", "bin/up", "bin/test", ".ci/run"):
        path = ROOT / name
        assert path.read_text().startswith("#!/bin/sh\n")
        assert path.stat().st_mode & 0o111
