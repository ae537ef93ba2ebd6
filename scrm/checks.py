"""What a long-running process verifies before it serves: that its keys open the data that is there.

Values alone are judged in settings.py. Here the oldest and the newest sealed value of every table are opened, which finds
a missing or exchanged key without reading a table. By convention a BinaryField named ``mobile_sealed`` or ``sealed``
holds mobile numbers, beside their index; any other ``…_sealed`` holds secrets under SECRET_SEAL_KEYS.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import BinaryField, Model

from scrm import crypto

MOBILES = {"mobile_sealed": "mobile_index", "sealed": "value"}  # sealed column: index column


def require_keys_of_data() -> None:
    """ImproperlyConfigured when sealed data exists that the configured keys do not open. A new database passes."""
    tables = set(connection.introspection.table_names())
    try:
        for model, field in sealed_columns():
            if model._meta.db_table in tables:
                for row in _oldest_and_newest(model, field):
                    _require_key(field, row)
    finally:
        # a server forks after this; neither a connection nor a pool's threads survive that
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]


def sealed_columns() -> Iterator[tuple[type[Model], str]]:
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, BinaryField) and (field.name == "sealed" or field.name.endswith("_sealed")):
                yield model, field.name


def _oldest_and_newest(model: type[Model], field: str) -> list[dict[str, object]]:
    columns = [field, MOBILES[field]] if field in MOBILES else [field]
    filled = model._default_manager.exclude(**{field: None}).values(*columns)
    return [row for row in (filled.order_by("pk").first(), filled.order_by("-pk").first()) if row]


def _require_key(field: str, row: dict[str, object]) -> None:
    sealed = bytes(row[field])  # type: ignore[call-overload]
    setting = "MOBILE_SEAL_KEYS" if field in MOBILES else "SECRET_SEAL_KEYS"
    numbers = {int(item.partition(":")[0]) for item in getattr(settings, setting).split(",")}
    if sealed and sealed[0] not in numbers:
        raise _refusal(f"{setting} 缺少编号为 {sealed[0]} 的密钥")
    if field in MOBILES:
        try:
            number = crypto.open_mobile(sealed)
        except crypto.SealBroken:
            raise _refusal(f"{setting} 中编号为 {sealed[0]} 的密钥与数据不符") from None
        if crypto.mobile_index(number) != row[MOBILES[field]]:
            raise _refusal("MOBILE_INDEX_KEY 与数据不符")


def _refusal(what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{what}:数据库里已有用它加密的数据。请找回原来的密钥再启动,换一把新密钥会使这些数据永远读不出来。"
    )
