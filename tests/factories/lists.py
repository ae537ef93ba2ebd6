"""Lists as a company hands them in, and what an import command says about them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from django.core.management import call_command


def write(path: Path, header: str, *rows: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


def take(command: str, path: Path, *args: str) -> dict[str, Any]:
    """Run ``command`` on the file; its summary."""
    out = io.StringIO()
    call_command(command, str(path), "--json", *args, stdout=out)
    return dict(json.loads(out.getvalue()))
