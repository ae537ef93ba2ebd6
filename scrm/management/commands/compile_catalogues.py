"""``compile_catalogues``: write the .mo files without GNU gettext."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from scrm import catalogues


class Command(BaseCommand):
    help = "Compile the translation catalogues that changed."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{catalogues.compile_all(settings.BASE_DIR)} catalogues compiled")
