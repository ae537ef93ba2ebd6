"""``prove_books``: compute every number of the books again, in plain SQL, and name what differs; the digest of what stands."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from attribution import proving
from attribution.proving import standing


class Command(BaseCommand):
    help = "Prove balances, holds, decisions, batches, statements and files against entries, decisions and order lines; print the digest of what stands."

    def handle(self, *args: Any, **options: Any) -> None:
        proof = proving.run(now=timezone.now(), show=self._show)
        for check, *row in proof.differences:
            name, expected, found = row
            self.stderr.write(f"{check}: {name}: expected {expected}, found {found}")
        if not proof.is_proven:
            raise CommandError("the books are not proven")
        rows, seconds = sum(proof.proven.values()), (proof.ended_at - proof.ran_at).total_seconds()
        self.stdout.write(f"what stands: {standing.digest()}")
        self.stdout.write(f"proven: {rows:,} rows in {len(proof.proven)} checks, {seconds:.0f} s")

    def _show(self, finding: proving.Finding) -> None:
        state = "ok" if not finding.wrong else f"{finding.wrong:,} WRONG"
        self.stdout.write(f"{finding.check:22} {finding.rows:>12,} rows  {finding.seconds:>4} s  {state}")
