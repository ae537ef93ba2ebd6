"""``manage.py taste_report``: how good the ranking by taste is, against best-sellers and mean rating, on held-out orders."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from members import taste_report
from members.taste_report import Measured


class Command(BaseCommand):
    help = "Measure the ranking by taste on the last order of each member, which it has not seen. Changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--members", type=int, default=taste_report.MOST_MEMBERS, help="how many, drawn by a hash of their ids"
        )
        parser.add_argument(
            "--from-names", action="store_true", help="attributes out of the products' names instead of those entered"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["from_names"] and not taste_report.has_attributes():
            raise CommandError(
                _("No product has attributes yet. Enter them in the console, or measure with --from-names.")
            )
        report = taste_report.measure(
            now=timezone.now(), most=max(2, options["members"]), from_names=options["from_names"], says=self._says
        )
        sys.stderr.write("\n")
        self.stdout.write(
            _("%(members)s members, %(products)s products with %(attributes)s attributes") % {
                "members": f"{report.member_count:,}", "products": f"{report.product_count:,}", "attributes": report.attribute_count,
            }
        )  # fmt: skip
        self._table(_("all products"), report.all_products)
        self._table(
            _("products she had never bought (%(count)s members)") % {"count": f"{report.new_member_count:,}"},
            report.new_products,
        )

    def _says(self, stage: str) -> None:
        sys.stderr.write(f"\r{stage:<20}")
        sys.stderr.flush()

    def _table(self, title: str, rows: list[Measured]) -> None:
        self.stdout.write(f"\n{title}")
        self.stdout.write(
            f"{'':<14}{'HR@10':<20}{'NDCG@10':<20}{_('gain of taste, HR@10'):<24}{_('gain of taste, NDCG@10')}"
        )
        for row in rows:
            more = f"{row.more_hits.text:<24}{row.more_gain.text}" if row.more_hits and row.more_gain else ""
            self.stdout.write(f"{row.ranking:<14}{row.hits.text:<20}{row.gain.text:<20}{more}")
