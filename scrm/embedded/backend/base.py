"""Django's PostgreSQL backend on the embedded server, which starts with the first connection and not before.

So a command that touches no table (help, --version, collectstatic) starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base, client

from scrm.embedded import postgres


class DatabaseClient(client.DatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(cls, settings_dict: dict[str, Any], parameters: Iterable[str]) -> Any:
        """``manage.py dbshell`` with the wheel's psql, since a clean machine has none."""
        server = _attached()
        settings_dict = {**settings_dict, **server.address(settings_dict["USER"]), "OPTIONS": {}}
        args, env = super().settings_to_cmd_args_env(settings_dict, parameters)
        return [str(server.executable("psql")), *args[1:]], env


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        self.settings_dict.update(_attached().address(self.settings_dict["USER"]))
        return super().get_connection_params()


def _attached() -> postgres.Postgres:
    server = postgres.of(settings.SCRM_VAR, settings.EMBEDDED_DURABLE)
    server.attach()
    return server
