"""``extract_messages``: bring scrm/locale up to date with the code and the templates."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from scrm import catalogues


class Command(BaseCommand):
    help = "Update scrm/locale/zh_Hans with the messages of code and templates; then translate the empty ones."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        catalogue = catalogues.update(settings.BASE_DIR)
        empty = [message for message in catalogue if message.id and not message.string]
        self.stdout.write(f"{len(catalogue)} messages, {len(empty)} without translation")
