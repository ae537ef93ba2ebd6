"""Views that do nothing but the unavoidable; only a bench's web process serves them."""

from __future__ import annotations

import hashlib
import uuid

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

INSERT = """
    INSERT INTO attribution_channelevent (channel, event_id, body_hash, body_sealed, status, attempts, error_code, error_place)
    VALUES ('FLOOR', %s, %s, %s, 'RECEIVED', 0, '', '')
"""


@csrf_exempt
def store_only(request: HttpRequest) -> JsonResponse:
    """An event view that only stores: no signature, no seal, no look inside, no ring; the row is as large."""
    body = request.body
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [uuid.uuid4().hex, hashlib.sha256(body).hexdigest(), body])
    return JsonResponse({"result": "stored"})
