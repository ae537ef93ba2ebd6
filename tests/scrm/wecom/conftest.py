"""A server on this machine that answers as WeCom documents, a corp with an app that speaks to it, and a callback endpoint."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from pytest_django import Settings

from scrm.models import Corp, WecomApp
from scrm.wecom import client, corps, inbox, pace, tokens
from tests.scrm.wecom import calls

CORP_ID, SECRET = "wwTEST00000001", "s3cret-of-the-app-0123456789"


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # below /cgi-bin/
    query: dict[str, str]
    body: dict[str, Any] | None
    form: bytes = b""  # a body that is no JSON, as it came


@dataclass(frozen=True)
class Raw:
    """An answer that is no JSON: a file, a proxy's page, a redirect."""

    status: int
    content: bytes = b"<html>bad gateway</html>"
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)


Answer = dict[str, Any] | Raw
Handler = Callable[[Request], Answer]


def refusal(code: int) -> dict[str, Any]:
    hint = f"hint: [1767225600_7_0f3a], from ip: 10.0.0.9, more info at https://open.work.weixin.qq.com/?e={code}"
    return {"errcode": code, "errmsg": f"refused, {hint}"}


@dataclass
class Wecom:
    """``on`` says how a path answers; ``requests`` is what came, ``most_at_once`` how many of a path were inside."""

    secrets: dict[str, str] = field(default_factory=lambda: {SECRET: CORP_ID})
    requests: list[Request] = field(default_factory=list)
    most_at_once: Counter[str] = field(default_factory=Counter)
    token_seconds: int = 7200
    token_delay: float = 0.0
    valid: set[str] = field(default_factory=set)
    _handlers: dict[str, Handler] = field(default_factory=dict)
    _inside: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, path: str, *answers: Answer | Handler) -> None:
        """The answers one after the other, the last one for ever."""
        waiting = list(answers)

        def next_answer(request: Request) -> Answer:
            with self._lock:
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            return answer(request) if callable(answer) else answer

        self._handlers[path] = next_answer

    def calls(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def bodies(self, path: str) -> list[dict[str, Any] | None]:
        return [request.body for request in self.calls(path)]

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            self._inside[request.path] += 1
            self.most_at_once[request.path] = max(self.most_at_once[request.path], self._inside[request.path])
        try:
            return self._token(request) if request.path == "gettoken" else self._business(request)
        finally:
            with self._lock:
                self._inside[request.path] -= 1

    def _token(self, request: Request) -> Answer:
        time.sleep(self.token_delay)
        if "gettoken" in self._handlers:
            return self._handlers["gettoken"](request)
        if self.secrets.get(request.query["corpsecret"]) != request.query["corpid"]:
            return refusal(40001)
        token = f"tk-{len(self.calls('gettoken')):04}-{'x' * 200}"
        self.valid.add(token)
        return {"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": self.token_seconds}

    def _business(self, request: Request) -> Answer:
        if "access_token" not in request.query:
            return refusal(41001)
        if request.query["access_token"] not in self.valid:
            return refusal(40014)
        answer = self._handlers[request.path](request)
        return answer if isinstance(answer, Raw) else {"errcode": 0, "errmsg": "ok", **answer}


@pytest.fixture
def wecom(settings: Settings) -> Iterator[Wecom]:
    fake = Wecom()

    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = parts.path.removeprefix("/cgi-bin/")
            is_form = self.headers.get("Content-Type", "").startswith("multipart/form-data")
            body = json.loads(content) if content and not is_form else None
            form = content if is_form else b""
            answer = fake.answer(Request(self.command, path, dict(parse_qsl(parts.query)), body, form))
            raw = answer if isinstance(answer, Raw) else Raw(200, json.dumps(answer, ensure_ascii=False).encode())
            self.send_response(raw.status)
            self.send_header("Content-Length", str(len(raw.content)))
            for name, value in raw.headers.items():
                self.send_header(name, value)
            if raw.location:
                self.send_header("Location", raw.location)
            self.end_headers()
            self.wfile.write(raw.content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:  # a client that gave up
            return

    server = Server(("127.0.0.1", 0), Http)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    settings.WECOM_API_BASE = f"http://127.0.0.1:{server.server_port}/cgi-bin/"
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(client, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(pace, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.005)


@pytest.fixture
def app(wecom: Wecom, db: None) -> WecomApp:  # a test with threads asks for transactional_db first
    corp = Corp.objects.create(corp_id=CORP_ID, name="示例公司")
    return corps.add_app(actor=None, corp=corp, kind="SELF_BUILT", name="私域", agent_id=1000014, secret=SECRET)


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What ``work(0)`` to ``work(count - 1)`` give or raise, begun at one moment, each on a connection of its own."""
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait()
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


# --- callback ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox._known.clear()
    monkeypatch.setattr(inbox, "_handlers", {})


@pytest.fixture
def endpoint(db: None) -> Any:
    return calls.endpoint()


@pytest.fixture
def applied() -> list[inbox.Delivery]:
    """What a handler of changes to customers was given, in that order."""
    given: list[inbox.Delivery] = []
    inbox.register("change_external_contact", "", given.append)
    return given
