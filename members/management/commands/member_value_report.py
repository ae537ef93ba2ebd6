"""``manage.py member_value_report``: RFM by fifths, repeat rate and the share of the top tenth, as ``name,value`` lines."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from members import facts, member_value
from scrm.models import Brand


class Command(BaseCommand):
    help = "Count what has changed, cut the fifths, and print what members are worth; fen and basis points."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="count everybody's facts from scratch first")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["rebuild"]:
            facts.rebuild(now=now)
        else:
            facts.bring_up_to_date(now=now)
        member_value.cut(now=now)
        figures = member_value.figures(brand=Brand.objects.earliest("pk"))
        assert figures is not None  # just cut
        for name in (
            "members",
            "orders",
            "spend_fen",
            "repeat_members",
            "repeat_bp",
            "top_members",
            "top_fen",
            "top_bp",
        ):
            self.stdout.write(f"{name},{getattr(figures, name)}")
        self.stdout.write("measure,score,from,members,spend_fen")
        for measure, rows in figures.fifths.items():
            for one in rows:
                lowest = "" if one.lowest is None else one.lowest
                self.stdout.write(f"{measure},{one.score},{lowest},{one.members},{one.spend_fen}")
        self.stdout.write("stage,members,spend_fen")
        for stage, (members, fen) in figures.stages.items():
            self.stdout.write(f"{stage},{members},{fen}")
