"""``sample_logins``: who can log in to the sample company, outside production."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from attribution.sample import logins


class Command(BaseCommand):
    help = "Print the sample's logins; nothing when there are none."

    def handle(self, *args: Any, **options: Any) -> None:
        known = logins.existing()
        if not known:
            return
        rows = [(_("user name"), _("password"), _("role"), _("sees"))]
        rows += [(login.username, login.password, str(login.role.label), str(login.sees)) for login in known]
        widths = [max(_width(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            self.stdout.write(
                "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
            )
        self.stdout.write(
            _("A guide logs in with a one-time code: manage.py guide_login_code %(code)s") % {"code": logins.GUIDE}
        )


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)
