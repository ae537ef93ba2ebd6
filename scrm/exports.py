"""Files with rows of people (导出): up to a size taken at once, from there on only with a second person (S4).

1. A kind of file is registered with what counts its rows and what reads them; the first row read is the heading.
2. Fewer than FREE_ROWS rows are taken at once. From there on it is asked for, with what it is for; somebody else who may take
   files agrees or refuses.
3. Agreed to, it is taken once, by the one who asked, within VALID. Not one row more leaves than was agreed to: where there are
   more by then, it is asked for again.
4. Every row of such a file carries who took it and under which number.
5. What is asked, answered and taken is on the record before the first row leaves (S3).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm import approvals, audit, db
from scrm.errors import RuleViolation
from scrm.models import ExportRequest
from scrm.org import Right

FREE_ROWS = 500
VALID = dt.timedelta(days=1)

Row = list[str]
Status = ExportRequest.Status


class NotPossible(RuleViolation):
    code = "export_not_possible"


class NeedsSecond(RuleViolation):
    """Too many rows to be taken at once."""

    code = "export_needs_second"


@dataclass(frozen=True, slots=True)
class Source:
    """``count(target_id)`` rows; ``rows(target_id)`` reads them, the heading first."""

    title: Callable[[int], str]
    count: Callable[[int], int]
    rows: Callable[[int], Iterator[Row]]


_sources: dict[str, Source] = {}


def register(kind: str, source: Source) -> None:
    """Called from ``AppConfig.ready``."""
    _sources[kind] = source


def register_queue() -> None:
    approvals.register(
        "files",
        approvals.Queue(
            gettext_lazy("Files to be approved"), ExportRequest, lambda user: Q(status=Status.ASKED) & ~Q(asked_by=user), "asked_by",
            "asked_at", Right.EXPORT, text=lambda row: f"{row.title}（{row.row_count:,}）：{row.reason}",
        ),
    )  # fmt: skip


@transaction.atomic
def take_small(*, kind: str, target: Any, actor: Any, verb: str) -> list[Row]:
    """Heading and rows. Raises NeedsSecond."""
    rows = list(itertools.islice(_sources[kind].rows(target.pk), FREE_ROWS + 1))
    if len(rows) > FREE_ROWS:
        raise NeedsSecond(
            _("It has %(limit)s rows or more: somebody else has to agree. Say what it is for.") % {"limit": FREE_ROWS}
        )
    audit.record(actor=actor, verb=verb, target=target, rows=len(rows) - 1)
    return rows


@transaction.atomic
def ask(*, kind: str, target_id: int, reason: str, actor: Any, now: dt.datetime) -> ExportRequest:
    """Raises NotPossible where it may be taken at once, or is asked for already."""
    source = _sources[kind]
    count = source.count(target_id)
    if count < FREE_ROWS:
        raise NotPossible(_("It has fewer than %(limit)s rows: take it at once.") % {"limit": FREE_ROWS})
    try:
        with transaction.atomic():
            row = ExportRequest.objects.create(
                kind=kind, target_id=target_id, title=source.title(target_id)[:120], reason=reason, row_count=count, asked_by=actor,
                asked_at=now,
            )  # fmt: skip
    except IntegrityError as error:
        raise NotPossible(_("You have asked for this file already.")) from error
    audit.record(actor=actor, verb="export.ask", target=row, rows=count, reason=reason)
    return row


@transaction.atomic
def answer(*, request: ExportRequest, is_agreed: bool, actor: Any, now: dt.datetime) -> ExportRequest:
    """Raises NotPossible for the one who asked, and for what has been answered."""
    (row,) = db.lock(ExportRequest.objects.filter(pk=request.pk))
    if row.status != Status.ASKED:
        raise NotPossible(_("This has been answered already."))
    if actor is None or row.asked_by_id == actor.pk:
        raise NotPossible(_("Somebody else than the one who asked has to approve."))
    row.status = Status.AGREED if is_agreed else Status.REFUSED
    row.answered_by, row.answered_at = actor, now
    row.agreed_count = row.row_count if is_agreed else None
    row.save()
    audit.record(actor=actor, verb="export.agree" if is_agreed else "export.refuse", target=row, rows=row.row_count)
    return row


def take(*, request: ExportRequest, actor: Any, now: dt.datetime) -> Iterator[Row]:
    """The rows, read as they are sent. Raises NotPossible."""
    row = _take(request.pk, actor, now)
    if row.status != Status.TAKEN:
        raise NotPossible(
            _(
                "The approval holds no more: there are more rows by now, or a day has passed. It has been asked for again."
            )
        )
    return _marked(row)


@transaction.atomic
def _take(pk: int, actor: Any, now: dt.datetime) -> ExportRequest:
    (row,) = db.lock(ExportRequest.objects.filter(pk=pk).select_related("asked_by"))
    if row.asked_by_id != actor.pk:
        raise NotPossible(_("Only the one who asked takes the file."))
    if row.status != Status.AGREED:
        raise NotPossible(_("This file was taken before, or nobody has agreed to it."))
    assert row.answered_at is not None and row.agreed_count is not None
    count = _sources[row.kind].count(row.target_id)
    if count > row.agreed_count or now - row.answered_at > VALID:  # agreed to something else, or too long ago
        row.status, row.row_count, row.asked_at = Status.ASKED, count, now
        row.answered_by = row.answered_at = row.agreed_count = None
        row.save()
        audit.record(actor=actor, verb="export.ask", target=row, rows=count, reason=row.reason)
        return row
    row.status, row.taken_at, row.taken_count = Status.TAKEN, now, count
    row.save()
    audit.record(actor=actor, verb="export.take", target=row, rows=count)
    return row


def _marked(row: ExportRequest) -> Iterator[Row]:
    assert row.agreed_count is not None and row.taken_at is not None
    mark = f"{row.pk} {row.asked_by.get_username()} {timezone.localtime(row.taken_at):%Y-%m-%d %H:%M}"
    rows = _sources[row.kind].rows(row.target_id)
    yield [*next(rows), _("taken out as")]
    for one in itertools.islice(rows, row.agreed_count):
        yield [*one, mark]
