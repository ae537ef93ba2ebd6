"""Writes that are safe to repeat (幂等): the same key and content gets the first answer again.

1. Every write carries ``Idempotency-Key``, chosen by the caller, kept for a day per person.
2. The answer is stored in the transaction of the write: there is no write without its answer and no answer without its
   write, however a process dies.
3. The same key with other content is refused; while the first request still runs, the second is told to wait.
4. A request that was refused stores nothing: the same key may try again.
5. An answer may hold a mobile number, so answers are stored sealed.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from scrm import crypto
from scrm.api.errors import Retry
from scrm.errors import RuleViolation
from scrm.models import IdempotentAnswer

HEADER = "Idempotency-Key"
KEY_LENGTH = (8, 128)
KEPT = dt.timedelta(days=1)
REPLAYED = "Idempotency-Replayed"  # header of an answer that was given before
SEAL = "idempotent answer"

Handler = Callable[..., Response]


class KeyReused(RuleViolation):
    """The key came before with another request."""

    code = "idempotency_key_reused"


def idempotent(handler: Handler) -> Handler:
    """For ``post``, ``put``, ``patch`` and ``delete`` of a view behind authentication."""

    @wraps(handler)
    def answer_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key, user_id = _key_of(request), int(request.user.pk or 0)
        request_hash = _hash_of(request)
        with transaction.atomic():
            _claim(user_id, key)
            stored = IdempotentAnswer.objects.filter(user_id=user_id, key=key).first()
            if stored is not None:
                return _again(stored, request_hash)
            response = handler(view, request, *args, **kwargs)
            IdempotentAnswer.objects.create(
                user_id=user_id,
                key=key,
                request_hash=request_hash,
                status=response.status_code,
                body=_sealed(response.data),
            )
        return response

    answer_once.is_idempotent = True  # type: ignore[attr-defined]  # the schema reads it
    return answer_once


def forget_old(now: dt.datetime) -> int:
    """Delete answers that are no longer replayed; a daily task."""
    return IdempotentAnswer.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _key_of(request: Request) -> str:
    key = request.headers.get(HEADER, "")
    if not (KEY_LENGTH[0] <= len(key) <= KEY_LENGTH[1] and key.isascii() and key.isprintable()):
        message = _("Send the header %(header)s: 8 to 128 characters, new for every act.") % {"header": HEADER}
        raise ValidationError({HEADER: [message]}, code="idempotency_key_missing")
    return key


def _hash_of(request: Request) -> str:
    content = json.dumps([request.method, request.get_full_path(), request.data], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def _claim(user_id: int, key: str) -> None:
    """One request of a key at a time. The lock ends with the transaction; the loser does not wait."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"answer {user_id} {key}"])
        row = cursor.fetchone()
    if not (row and row[0]):
        raise Retry(_("The same request is still running."))


def _again(stored: IdempotentAnswer, request_hash: str) -> Response:
    if stored.request_hash != request_hash:
        raise KeyReused(_("This key was used for another request; take a new one."))
    body = json.loads(crypto.open_text(SEAL, base64.b64decode(stored.body or "")))
    return Response(body, status=stored.status, headers={REPLAYED: "true"})


def _sealed(data: Any) -> str:
    return base64.b64encode(crypto.seal_text(SEAL, JSONRenderer().render(data).decode() or "null")).decode()
