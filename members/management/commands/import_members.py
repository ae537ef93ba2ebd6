"""``import_members FILE``: a company's member list."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from members import legacy_import
from scrm.management.importing import ImportCommand
from scrm.models import Job


class Command(ImportCommand):
    help = "Import a member list (CSV, TSV, XLSX, .gz). --json prints the broken rows by code and the exact repeats."
    kind = legacy_import.KIND

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--create-tiers", action="store_true", help="create the tiers that the list names")

    def options_of_job(self, options: dict[str, Any]) -> dict[str, Any]:
        return super().options_of_job(options) | {"create_tiers": options["create_tiers"]}

    def summary_of(self, job: Job) -> dict[str, int]:
        return legacy_import.dirty_rows(job.summary)
