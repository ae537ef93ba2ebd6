"""The product's web process, which dies with an answer in its hands where the request says so (``X-Die: 1``).

What it would have said is written to the file that FAULT_LAST_WORDS names.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from scrm.wsgi import application as product


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ.get("HTTP_X_DIE") != "1":
        return product(environ, start_response)
    body = b"".join(product(environ, lambda *_args: lambda _bytes: None))
    with open(os.environ["FAULT_LAST_WORDS"], "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.kill(os.getpid(), signal.SIGKILL)
    return []
