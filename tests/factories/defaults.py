"""What a fresh database holds. A transactional test flushes it; the next one that needs it puts it back."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps

from scrm.models import Brand

MAKERS = (
    ("scrm.migrations.0003_default_brand", "create_brand"),
    ("members.migrations.0002_references_and_channels", "create_channels"),
    ("members.migrations.0012_lifecycle_defaults", "create_rules"),
    ("attribution.migrations.0003_references_and_default_rule", "create_defaults"),
)


def restore() -> None:
    if not Brand.objects.exists():
        for module, function in MAKERS:
            getattr(import_module(module), function)(apps, None)
