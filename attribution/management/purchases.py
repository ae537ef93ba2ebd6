"""What the commands for orders and refunds share."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scrm.management.importing import ImportCommand


class PurchaseCommand(ImportCommand):
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--exported-at", help="time of the export: the version of rows without updated_at")
        parser.add_argument(
            "--no-attribute", action="store_true", help="record only; `attribute` decides and posts later"
        )
        parser.add_argument("--workers", type=int, default=1, help="processes that decide and post")

    def options_of_job(self, options: dict[str, Any]) -> dict[str, Any]:
        return {
            **super().options_of_job(options),
            "exported_at": options["exported_at"],
            "attribute": not options["no_attribute"],
            "workers": options["workers"],
        }
