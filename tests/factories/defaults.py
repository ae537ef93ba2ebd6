"""What a fresh database holds. A transactional test flushes it; the next one that needs it puts it back."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps

from scrm.models import Brand

MAKERS = (
    ("scrm.migrations.0002_functions_and_brand", "create_brand"),
    ("members.migrations.0002_channels_and_defaults", "create_channels"),
    ("members.migrations.0002_channels_and_defaults", "create_rules"),
    ("attribution.migrations.0002_default_rule", "create_defaults"),
)


def restore() -> None:
    if not Brand.objects.exists():
        for module, function in MAKERS:
            getattr(import_module(module), function)(apps, None)
