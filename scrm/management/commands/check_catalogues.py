"""``check_catalogues``: fail when a message is missing, untranslated, fuzzy, unused or has broken placeholders."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from scrm import catalogues


class Command(BaseCommand):
    help = "Fail when the Chinese catalogue is not complete."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        problems = catalogues.problems(settings.BASE_DIR)
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            raise CommandError(f"{len(problems)} messages to repair: manage.py extract_messages, then translate")
        self.stdout.write("catalogues complete")
