"""``migrate`` as the owner role, then triggers without an off switch and the application role's rights.

Two at once wait for each other.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from scrm.owner import as_owner, grant_rights, keep_triggers_on

LOCK = "SELECT pg_advisory_lock(hashtextextended('migrate', 0))"
UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('migrate', 0))"


class Command(migrate.Command):
    help = migrate.Command.help + " Connects with DATABASE_OWNER_URL and grants the application role its rights."

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        with as_owner(connection):
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 0; " + LOCK + "; RESET lock_timeout")
            try:
                super().handle(*args, **options)
                if not (options["plan"] or options["check_unapplied"]):
                    keep_triggers_on(options["database"])
                    grant_rights(options["database"])
            finally:
                with connection.cursor() as cursor:
                    cursor.execute(UNLOCK)
