"""Uploaded files (上传文件): sealed while they lie on disk, deleted after some days, never read without a trace.

1. A file is sealed while it arrives; no plain byte touches the disk. Its name on disk is random and says nothing.
2. What it is, is judged by its content when it is opened; here only its size and the end of its name are.
3. The error file of a job holds the cells of broken rows in plain: taking it out is a reveal, with a reason and on record
   before the first byte leaves.
4. After ``KEPT_DAYS`` the file is deleted; what the job did with it stays.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from scrm import audit, copyin, crypto, imports
from scrm.copyin import FileRefused
from scrm.errors import RuleViolation
from scrm.models import Job, Upload

MAX_BYTES = 50 * 2**20  # a million members as .csv.gz take 20 MB; more goes in by the command line
KEPT_DAYS = 7
SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".xlsx")
SHORTEST_REASON = 4


class NoReason(RuleViolation):
    code = "error_file_needs_reason"


class FileGone(RuleViolation):
    """The file was deleted after its days, or was never kept."""

    code = "file_gone"


def safe_name(name: str) -> str:
    """The last part of a path, without control characters, at most 120 characters; never empty."""
    last = re.split(r"[\\/]", name)[-1]
    last = re.sub(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", "", last).strip(". ")
    return last[-120:] or "file"


def check_name(name: str) -> None:
    """FileRefused for a name that no list has."""
    lower = name.lower().removesuffix(".gz")
    if not lower.endswith(SUFFIXES):
        text = _("Files of this kind cannot be read. Send CSV, TSV, TXT or XLSX, or one of them packed with gzip.")
        raise FileRefused(text, code="unknown_type")


def store(*, actor: Any, purpose: str, name: str, chunks: Iterable[bytes], now: dt.datetime) -> Upload:
    """Seal a file that arrives in chunks. FileRefused when it is too large, empty or of another kind."""
    name = safe_name(name)
    check_name(name)
    path = folder() / secrets.token_hex(16)
    digest, size = hashlib.sha256(), 0
    with crypto.sealed_writer(path) as stream:
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_BYTES:
                text = _(
                    "The file is larger than %(limit)d MB. Pack it with gzip, split it, or let IT import it on the server."
                )
                raise FileRefused(text % {"limit": MAX_BYTES // 2**20}, code="too_large")
            digest.update(chunk)
            stream.write(chunk)
        if not size:
            raise FileRefused(_("The file is empty."), code="empty_file")
    with transaction.atomic():
        upload = Upload.objects.create(
            purpose=purpose, name=name, path=path.name, size=size, sha256=digest.hexdigest(), uploaded_by=actor,
            expires_at=now + dt.timedelta(days=KEPT_DAYS),
        )  # fmt: skip
        audit.record(actor=actor, verb="upload.store", target=upload, purpose=purpose, size=size)
    return upload


def opened(upload: Upload, columns: Any, *, encoding: str | None = None) -> copyin.Table:
    """The table in an upload; FileRefused says what is wrong with the file."""
    path = folder() / upload.path
    if not path.is_file():
        raise FileGone(_("This file was deleted after %(days)d days. Upload it again.") % {"days": KEPT_DAYS})
    return copyin.open_table(copyin.from_sealed(path, upload.name, upload.size), columns, encoding=encoding)


def error_file(*, actor: Any, job: Job, reason: str) -> BinaryIO:
    """The broken rows as a CSV to correct and upload again; the record is written first. Raises NoReason, FileGone."""
    if len(reason.strip()) < SHORTEST_REASON:
        raise NoReason(_("Say in a few words what you need the file for."))
    if job.upload is not None and not (folder() / job.upload.path).is_file():
        raise FileGone(_("This file was deleted after %(days)d days. Upload it again.") % {"days": KEPT_DAYS})
    with transaction.atomic():
        audit.record(actor=actor, verb="upload.errors", target=job, reason=reason.strip()[:200], rows=_broken(job))
    handle, name = tempfile.mkstemp(dir=folder(), prefix="errors-")
    os.close(handle)
    try:
        imports.write_errors(job, Path(name))
        return open(name, "rb")
    finally:
        os.unlink(name)


def delete_expired(*, now: dt.datetime, limit: int = 1_000) -> int:
    """Delete files whose days are over; the number deleted."""
    expired = list(Upload.objects.filter(expires_at__lt=now).order_by("pk")[:limit])
    count = 0
    for upload in expired:
        path = folder() / upload.path
        if path.is_file():
            path.unlink()
            count += 1
    for leftover in folder().glob("errors-*"):  # a process died between writing and sending
        if leftover.stat().st_mtime < now.timestamp() - 3600:
            leftover.unlink(missing_ok=True)
    return count


def folder() -> Path:
    path = Path(settings.SCRM_VAR) / "uploads"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _broken(job: Job) -> int:
    return sum(imports.count_problems(job).values())
