"""A process whose keys do not open the data refuses to start; a new database passes."""

from __future__ import annotations

import base64

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from guides.models import Guide
from scrm import checks, crypto
from scrm.models import User

pytestmark = pytest.mark.django_db
OTHER = base64.b64encode(b"o" * 32).decode()
NUMBER = "+8613912345678"


@pytest.fixture(autouse=True)
def keep_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.connection, "close", lambda: None)


@pytest.fixture
def guide() -> Guide:
    return Guide.objects.create(
        user=User.objects.create(username="g1"),
        code="G1",
        name="王小明",
        mobile_sealed=crypto.seal_mobile(NUMBER),
        mobile_index=crypto.mobile_index(NUMBER),
    )


def test_an_empty_database_passes(settings: Settings) -> None:
    settings.MOBILE_SEAL_KEYS = f"9:{OTHER}"
    checks.require_keys_of_data()


@pytest.mark.usefixtures("guide")
class TestWithData:
    def test_the_right_keys_pass_also_behind_a_newer_one(self, settings: Settings) -> None:
        checks.require_keys_of_data()
        settings.MOBILE_SEAL_KEYS = f"2:{OTHER},{settings.MOBILE_SEAL_KEYS}"
        checks.require_keys_of_data()

    def test_a_missing_key_is_refused(self, settings: Settings) -> None:
        settings.MOBILE_SEAL_KEYS = f"2:{OTHER}"
        with pytest.raises(ImproperlyConfigured, match="缺少编号为 1 的密钥"):
            checks.require_keys_of_data()

    def test_an_exchanged_key_is_refused(self, settings: Settings) -> None:
        settings.MOBILE_SEAL_KEYS = f"1:{OTHER}"
        with pytest.raises(ImproperlyConfigured, match="编号为 1 的密钥与数据不符"):
            checks.require_keys_of_data()

    def test_another_index_key_is_refused(self, settings: Settings) -> None:
        settings.MOBILE_INDEX_KEY = OTHER
        with pytest.raises(ImproperlyConfigured, match="MOBILE_INDEX_KEY 与数据不符"):
            checks.require_keys_of_data()


def test_every_sealed_column_is_known() -> None:
    columns = {(model.__name__, field) for model, field in checks.sealed_columns()}
    assert {("Identity", "sealed"), ("Guide", "mobile_sealed"), ("ChannelEndpoint", "secret_sealed")} <= columns
