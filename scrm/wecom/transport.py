"""One exchange with WeCom over HTTP, on wechatpy's client (传输).

1. Every exchange has a timeout and follows no redirect: the address carries the token.
2. wechatpy neither keeps nor fetches tokens here and never repeats a call; its exceptions hold the whole request, secrets
   included, so they end in this module.
3. An answer counts only with a numeric ``errcode``; a proxy's page does not.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any

import requests
import sentry_sdk
from django.conf import settings
from wechatpy.exceptions import WeChatClientException
from wechatpy.work import WeChatClient

from scrm.wecom import errors

CONNECT_SECONDS = 5
ANSWER_SECONDS = 20  # between two packets of the answer; department/list is declared slow
WRONG_JSON = "wrong json format"  # the one text to look at: errcode may be 0 and fields dropped

_QUERY = re.compile(r"\?\S*")
_local = threading.local()


class _WithoutQueries(logging.Filter):
    """urllib3 tells every address at DEBUG, and WeCom wants secrets and tokens in the query."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?***", record.getMessage()), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


def exchange(method: str, path: str, query: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer to one request, ``errcode`` 0. Raises WecomError for everything else.

    ``path`` is below /cgi-bin/; ``query`` holds the token; ``body`` goes as JSON when it is not None.
    """
    answer = _exchange(method, path, query, body)
    if isinstance(answer, errors.WecomError):  # raised here, outside of any except: no secret hangs on its context
        raise answer
    return answer


def _exchange(
    method: str, path: str, query: dict[str, Any], body: dict[str, Any] | None
) -> dict[str, Any] | errors.WecomError:
    data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    try:
        # Sentry keeps a breadcrumb with the query of every request: it is forgotten with this scope
        with sentry_sdk.isolation_scope():
            answer = (_wire().post if method == "POST" else _wire().get)(
                path,
                api_base_url=settings.WECOM_API_BASE,
                params=list(query.items()),  # a dict would make wechatpy put in a token of its own
                data=data,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
            )
    except WeChatClientException as refusal:
        if refusal.errcode is None:
            return errors.Unreachable(path, detail=f"HTTP {refusal.response.status_code}")
        return errors.of(refusal.errcode, path)
    except requests.ConnectTimeout:
        return errors.Unreachable(path, detail="ConnectTimeout", may_be_done=False)
    except requests.RequestException as failure:
        return errors.Unreachable(path, detail=type(failure).__name__)
    except (TypeError, ValueError):  # an errcode that is no number
        return errors.Malformed(path)
    return _judged(path, answer)


def _judged(path: str, answer: Any) -> dict[str, Any] | errors.WecomError:
    if not isinstance(answer, dict) or "errcode" not in answer:
        return errors.Unreachable(path, detail="no JSON of WeCom")
    if WRONG_JSON in str(answer.get("errmsg", "")):
        return errors.BadParameter(path, detail=WRONG_JSON)
    return answer


def _wire() -> WeChatClient:
    """One per thread: a session of requests is not made to be shared."""
    if not hasattr(_local, "wire"):
        _local.wire = WeChatClient("", "", auto_retry=False)
    return _local.wire
