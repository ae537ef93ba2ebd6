#!/usr/bin/env python
"""The command line of the product. ``manage.py help`` starts no server."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from scrm.embedded.server import ServerError

    try:
        execute_from_command_line(sys.argv)
    except (ServerError, ImproperlyConfigured) as error:  # the message says what to do; a traceback would hide it
        sys.exit(f"错误:{error}")


if __name__ == "__main__":
    main()
