"""Where the WeCom API is: the real one unless somebody says otherwise, and never in clear text in production."""

from __future__ import annotations

import pytest

from tests.scrm.test_settings import DEVELOPMENT, PRODUCTION, clean_environment, refusal, settings

__all__ = ["clean_environment"]


@pytest.mark.parametrize("empty", [{}, {"WECOM_API_BASE": ""}])
def test_the_real_address_is_the_default(monkeypatch: pytest.MonkeyPatch, empty: dict[str, str]) -> None:
    assert settings(monkeypatch, PRODUCTION, **empty)["WECOM_API_BASE"] == "https://qyapi.weixin.qq.com/cgi-bin/"


def test_a_sandbox_may_stand_in_on_a_developers_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = {"WECOM_API_BASE": "http://127.0.0.1:9100/cgi-bin"}
    assert settings(monkeypatch, DEVELOPMENT, **sandbox)["WECOM_API_BASE"] == "http://127.0.0.1:9100/cgi-bin/"
    assert "WECOM_API_BASE" in refusal(monkeypatch, PRODUCTION, **sandbox)
