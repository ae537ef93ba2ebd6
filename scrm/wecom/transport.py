"""One exchange with WeCom over HTTP, on wechatpy's client (传输).

1. Every exchange has a timeout and follows no redirect: the address carries the token.
2. wechatpy neither keeps nor fetches tokens here and never repeats a call; its exceptions hold the whole request, secrets
   included, so they end in this module.
3. An answer counts only with a numeric ``errcode``; a proxy's page does not.
4. A file goes up as bytes, so that it can be sent again, and comes down in pieces up to a stated size and time. What comes
   down as JSON is a refusal.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import re
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import orjson
import requests
import sentry_sdk
from django.conf import settings
from wechatpy.exceptions import WeChatClientException
from wechatpy.work import WeChatClient

from scrm.wecom import errors

CONNECT_SECONDS = 5
ANSWER_SECONDS = 20  # between two packets of the answer; department/list is declared slow
DOWNLOAD_SECONDS = 120  # for a whole file
DOWNLOAD_BYTES = 32 << 20  # the largest file that WeCom keeps has 20 MB
CHUNK_BYTES = 1 << 16
UPLOAD_FIELD = "media"
UNTRUSTED_IP = 60020  # its text names the address we came from, which nobody here knows otherwise
WRONG_JSON = "wrong json format"  # the one text to look at: errcode may be 0 and fields dropped

_QUERY = re.compile(r"\?\S*")
_CALLER_IP = re.compile(r"from ip: ([0-9a-fA-F.:]{3,45})")
_local = threading.local()


class _WithoutQueries(logging.Filter):
    """urllib3 tells every address at DEBUG, and WeCom wants secrets and tokens in the query."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?***", record.getMessage()), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


@dataclass(frozen=True)
class File:
    """A file on its way up or down; ``name`` carries the ending by which WeCom knows the kind."""

    name: str = field(repr=False)
    content: bytes = field(repr=False)
    content_type: str = ""


def exchange(
    method: str, path: str, query: dict[str, Any], body: dict[str, Any] | None = None, file: File | None = None, *,
    seconds: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The answer to one request, ``errcode`` 0. Raises WecomError for everything else.

    ``path`` is below /cgi-bin/; ``query`` holds the token; ``body`` goes as JSON when it is not None, ``file`` as the one
    part of a form. ``seconds`` bounds the wait for the answer; ANSWER_SECONDS without.
    """
    answer = _exchange(method, path, query, body, file, ANSWER_SECONDS if seconds is None else seconds)
    if isinstance(answer, errors.WecomError):  # raised here, outside of any except: no secret hangs on its context
        raise answer
    return answer


def download(path: str, query: dict[str, Any]) -> File:
    """The file that a GET answers with. TooLarge above ``DOWNLOAD_BYTES``; otherwise as ``exchange``."""
    answer = _download(path, query)
    if isinstance(answer, errors.WecomError):  # raised here for the same reason
        raise answer
    return answer


def _exchange(
    method: str, path: str, query: dict[str, Any], body: dict[str, Any] | None, file: File | None, seconds: float
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
                files=None if file is None else {UPLOAD_FIELD: _part(file)},
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
                allow_redirects=False,
            )
    except WeChatClientException as refusal:
        if refusal.errcode is None:
            return errors.Unreachable(path, detail=f"HTTP {refusal.response.status_code}")
        error = errors.of(refusal.errcode, path)
        if refusal.errcode == UNTRUSTED_IP and (named := _CALLER_IP.search(str(refusal.errmsg))):
            error.caller_ip = named[1]
        return error
    except requests.ConnectTimeout:
        return errors.Unreachable(path, detail="ConnectTimeout", may_be_done=False)
    except requests.RequestException as failure:
        return errors.Unreachable(path, detail=type(failure).__name__)
    except (TypeError, ValueError):  # an errcode that is no number
        return errors.Malformed(path)
    return _judged(path, answer)


def _download(path: str, query: dict[str, Any]) -> File | errors.WecomError:
    try:
        with (
            sentry_sdk.isolation_scope(),
            _wire()._http.get(  # wechatpy's own get reads an answer of any size
                f"{settings.WECOM_API_BASE}{path}",
                params=query,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            if answer.status_code not in (200, 206):
                return errors.Unreachable(path, detail=f"HTTP {answer.status_code}")
            content = _pieces(path, answer)
            if isinstance(content, errors.WecomError):
                return content
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            name = _file_name(answer.headers.get("Content-Disposition", ""))
    except requests.ConnectTimeout:
        return errors.Unreachable(path, detail="ConnectTimeout", may_be_done=False)
    except requests.RequestException as failure:
        return errors.Unreachable(path, detail=type(failure).__name__)
    if refusal := _refusal(path, content):
        return refusal
    if kind == "text/html" and not name:  # a proxy's page
        return errors.Unreachable(path, detail="no file of WeCom")
    return File(name, content, kind)


def _pieces(path: str, answer: requests.Response) -> bytes | errors.WecomError:
    content, deadline = bytearray(), time.monotonic() + DOWNLOAD_SECONDS
    for piece in answer.iter_content(CHUNK_BYTES):
        content += piece
        if len(content) > DOWNLOAD_BYTES:
            return errors.TooLarge(path)
        if time.monotonic() > deadline:
            return errors.Unreachable(path, detail="ReadTimeout")
    return bytes(content)


def _refusal(path: str, content: bytes) -> errors.WecomError | None:
    """What WeCom says instead of the file; None when it is the file."""
    if not content.startswith(b"{") or len(content) > CHUNK_BYTES:
        return None
    try:
        said = json.loads(content)
        errcode = int(said["errcode"])
    except (ValueError, TypeError, KeyError):
        return None
    return errors.of(errcode, path) if errcode else errors.Malformed(path)


def _part(file: File) -> tuple[str, bytes, str]:
    return (
        file.name,
        file.content,
        file.content_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream",
    )


def _file_name(disposition: str) -> str:
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename() or ""


def _judged(path: str, answer: Any) -> dict[str, Any] | errors.WecomError:
    if not isinstance(answer, dict) or "errcode" not in answer:
        return errors.Unreachable(path, detail="no JSON of WeCom")
    if WRONG_JSON in str(answer.get("errmsg", "")):
        return errors.BadParameter(path, detail=WRONG_JSON)
    return answer


class _Wire(WeChatClient):
    """Pages of a hundred customers are read at a third of the cost."""

    def _decode_result(self, res: requests.Response) -> Any:
        try:
            return orjson.loads(res.content)
        except ValueError:  # bytes that are no UTF-8, bare control characters: wechatpy bears with them
            return super()._decode_result(res)


def _wire() -> WeChatClient:
    """One per thread: a session of requests is not made to be shared."""
    if not hasattr(_local, "wire"):
        _local.wire = _Wire("", "", auto_retry=False)
    return _local.wire
