"""The way out to WeCom (调用): pace, token, one exchange, and what may be tried again.

1. No call inside a database transaction.
2. A refused token (40014, 42001, and 40001 outside gettoken) is replaced and the call repeated, once.
3. Busy answers (-1, 45033, 45035) are tried three times more, with growing pauses. A lost answer only where sending
   twice does no harm. Nothing else is repeated here.
4. Writes on one record (a member and a customer) go one after the other over all workers: WeCom answers 45035 otherwise.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from scrm import db
from scrm.models import WecomApp
from scrm.wecom import errors, fields, pace, tokens, transport

RETRIES = 3
BACKOFF_SECONDS = 0.3  # before the first repetition, doubled each time
WAIT_SECONDS = 60  # for another write on the same record
LOOK_SECONDS = 0.05
TOKEN_CODES = frozenset({40001, 40014, 42001})
TOO_PARALLEL = 45033

log = structlog.get_logger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Endpoint:
    """``is_repeatable``: sending it twice leaves what sending it once leaves, so a lost answer is asked for again."""

    method: str
    path: str
    is_repeatable: bool


def read(path: str) -> Endpoint:
    """A GET that reads."""
    return Endpoint("GET", path, is_repeatable=True)


def query(path: str) -> Endpoint:
    """A POST that reads, or sets a state."""
    return Endpoint("POST", path, is_repeatable=True)


def create(path: str) -> Endpoint:
    """A POST that makes something new each time."""
    return Endpoint("POST", path, is_repeatable=False)


def spend(path: str) -> Endpoint:
    """A GET that uses up a code: asked again, it is answered otherwise."""
    return Endpoint("GET", path, is_repeatable=False)


class Answer(dict[str, Any]):
    """WeCom's answer to one call; a field that we read and that is missing or of another kind makes it Malformed.

    That holds at whatever depth. The error names the endpoint and the place of the field (``link.url``), never what stands
    there. A field that nobody reads may be anything.
    """

    def __init__(self, endpoint: Endpoint, values: dict[str, Any], place: str = "") -> None:
        parts = {name: _part(endpoint, value, f"{place}{name}") for name, value in values.items() if value is not None}
        super().__init__(parts)
        self._path, self._place = endpoint.path, place
        self._kinds = fields.around(endpoint.path, place)

    def __getitem__(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise errors.Malformed(self._path, detail=f"{self._place}{name}")
        return value

    def get(self, name: str, default: Any = None) -> Any:
        value = dict.get(self, name)
        if value is None:
            return default
        kind = self._kinds.get(name)
        if kind is None:
            return value
        try:
            return kind(value)
        except fields.DoesNotFit:
            raise errors.Malformed(self._path, detail=f"{self._place}{name}") from None


def _part(endpoint: Endpoint, value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return Answer(endpoint, value, f"{place}.")
    if isinstance(value, list):
        return [_part(endpoint, one, place) for one in value]
    return value


def call(
    app: WecomApp,
    endpoint: Endpoint,
    values: dict[str, Any] | None = None,
    *,
    record: str = "",
    file: transport.File | None = None,
) -> Answer:
    """WeCom's answer as a dict with ``errcode`` 0; WecomError otherwise.

    ``values`` go into the query of a GET and beside a ``file``, and as JSON into the body of any other POST. ``record``
    names what must not be written twice at a time.
    """
    given = values or {}
    query, body = (given, None) if endpoint.method == "GET" or file is not None else ({}, given)

    def exchange(token: str) -> dict[str, Any]:
        address = {"access_token": token, **query}
        return transport.exchange(endpoint.method, endpoint.path, address, body, file)

    return Answer(endpoint, _asked(app, endpoint, record, exchange))


def download(app: WecomApp, endpoint: Endpoint, values: dict[str, Any]) -> transport.File:
    """The file that WeCom answers a GET with; WecomError otherwise."""
    return _asked(app, endpoint, "", lambda token: transport.download(endpoint.path, {"access_token": token, **values}))


def pages(app: WecomApp, endpoint: Endpoint, values: dict[str, Any]) -> Iterator[Answer]:
    """The answers of a paged POST, until ``next_cursor`` is empty. Malformed when a cursor comes back a second time."""
    cursor, seen = "", set()
    while True:
        answer = call(app, endpoint, {**values, "cursor": cursor})
        yield answer
        cursor = answer.get("next_cursor") or ""
        if not cursor:
            return
        if cursor in seen:
            raise errors.Malformed(endpoint.path, detail="next_cursor")
        seen.add(cursor)


def _asked(app: WecomApp, endpoint: Endpoint, record: str, exchange: Callable[[str], _Answer]) -> _Answer:
    db.require_no_transaction()
    with _alone(app, endpoint, record):
        for attempt in range(RETRIES + 1):
            try:
                return _with_token(app, endpoint, exchange)
            except errors.Retryable as error:
                if attempt == RETRIES or not _may_repeat(error, endpoint):
                    raise
            time.sleep(BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311  spreads the repeating ones
    raise AssertionError("unreachable")


def _may_repeat(error: errors.Retryable, endpoint: Endpoint) -> bool:
    if isinstance(error, errors.Unreachable):
        return endpoint.is_repeatable or not error.may_be_done
    return isinstance(error, errors.Busy)


def _with_token(app: WecomApp, endpoint: Endpoint, exchange: Callable[[str], _Answer]) -> _Answer:
    token = tokens.current(app)
    try:
        return _in_turn(app, endpoint, exchange, token)
    except errors.WecomError as error:
        if error.errcode not in TOKEN_CODES:
            raise
    return _in_turn(app, endpoint, exchange, tokens.current(app, refused=token))


def _in_turn(app: WecomApp, endpoint: Endpoint, exchange: Callable[[str], _Answer], token: str) -> _Answer:
    with pace.turn(app.corp_id, endpoint.path):
        try:
            return exchange(token)
        except errors.RateLimited as error:
            retry_at = pace.block(app.corp_id, endpoint.path, error.errcode or 0)
            log.warning("wecom_blocked", endpoint=endpoint.path, errcode=error.errcode, until=retry_at.isoformat())
            raise errors.RateLimited(endpoint.path, error.errcode, retry_at=retry_at) from None
        except errors.Busy as error:
            if error.errcode == TOO_PARALLEL:
                pace.halve(app.corp_id, endpoint.path)
            raise


@contextmanager
def _alone(app: WecomApp, endpoint: Endpoint, record: str) -> Iterator[None]:
    if not record:
        yield
        return
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with db.advisory_lock(f"wecom record {app.corp_id} {record}") as is_ours:
            if is_ours:
                yield
                return
        time.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads the waiting ones
    raise errors.NotYet(endpoint.path)
