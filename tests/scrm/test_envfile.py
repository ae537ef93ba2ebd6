"""Development keys: written once, private, never anew over existing data."""

from __future__ import annotations

from pathlib import Path

import pytest

from scrm import envfile


def test_keys_are_written_once_and_private(tmp_path: Path) -> None:
    var = tmp_path / "var"
    assert envfile.write_development_keys(var)
    first = (var / ".env").read_text()
    assert not envfile.write_development_keys(var)
    assert (var / ".env").read_text() == first
    assert (var / ".env").stat().st_mode & 0o777 == 0o600
    assert {"SECRET_KEY", "MOBILE_SEAL_KEYS", "MOBILE_INDEX_KEY", "SECRET_SEAL_KEYS"} == {
        line.partition("=")[0] for line in first.splitlines() if not line.startswith("#")
    }


@pytest.mark.parametrize("trace", ["postgres", "postgres.path"])
def test_lost_keys_are_not_replaced_over_existing_data(tmp_path: Path, trace: str) -> None:
    (tmp_path / trace).mkdir()
    with pytest.raises(SystemExit, match="密钥文件"):
        envfile.write_development_keys(tmp_path)
    assert not (tmp_path / ".env").exists()


def test_scrm_var_may_be_absolute_or_beside_manage_py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCRM_VAR", str(tmp_path))
    assert envfile.load() == tmp_path
    monkeypatch.setenv("SCRM_VAR", "elsewhere")
    assert envfile.load() == envfile.BASE_DIR / "elsewhere"


def test_a_file_of_another_user_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET_KEY=x\n")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SystemExit, match="没有权限读取"):
        envfile.read(tmp_path / ".env")
