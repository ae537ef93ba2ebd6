"""``channel_secret CHANNEL``: a new secret for a channel's signed events, printed this once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from attribution import intake
from scrm.errors import RuleViolation


class Command(BaseCommand):
    help = (
        "Create or replace the secret with which a channel signs its events. The old one stops working within seconds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("channel", help="code of the channel, for example MINI_PROGRAM")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(intake.new_secret(channel=options["channel"], actor=None))
        except RuleViolation as error:
            raise CommandError(error.message) from error
