"""The sandbox over HTTP: the API below /cgi-bin/, its own pages below /sandbox/, on the loopback address only."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from scrm.wecom.sandbox import auth, faults, multipart, pages, refusals, registry
from scrm.wecom.sandbox.answers import Answer, Request
from scrm.wecom.sandbox.callbacks import Callbacks, Transport
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.faults import Fault, Faults
from scrm.wecom.sandbox.quotas import Quotas
from scrm.wecom.sandbox.records import MINI, SELF, SYNC
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import Endpoint
from scrm.wecom.sandbox.world import World

CORP_ID, AGENT_ID, MINI_AGENT_ID = "wwSANDBOX0000001", 1000014, 1000015
MAX_BODY_BYTES = 32 * 2**20
TICK_SECONDS = 0.05
API = "/cgi-bin/"
HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
RETIRED = frozenset({  # in old libraries; the interface was taken away
    "externalcontact/transfer", "externalcontact/get_transfer_result", "externalcontact/get_group_msg_result",
    "externalcontact/get_groupmsg_list",
})  # fmt: skip


class Lost(Exception):
    """The connection breaks instead of an answer."""


class Sandbox:
    """A WeCom of its own: ``with Sandbox(seed=1) as box: box.api_base, box.world, box.faults, box.callbacks``.

    A new one has a corp and three apps (``box.world.app(SELF)``, SYNC, MINI) and nobody in it. ``sends`` False: events wait for
    ``box.callbacks.deliver()``.
    """

    def __init__(
        self, seed: int = 1, port: int = 0, *, quotas: Quotas | None = None, world: World | None = None,
        sends: bool = True, transport: Transport | None = None, **sending: Any,
    ) -> None:  # fmt: skip
        if settings.PRODUCTION:
            raise ImproperlyConfigured("沙箱只用于本机试用,PRODUCTION=1 时不能启动。")
        self.world = world or new_world(seed, quotas)
        self.faults = Faults(seed, self.world.clock)
        self.callbacks = Callbacks(self.world, self.faults, transport=transport, **sending)
        self.tokens = auth.Tokens(self.world)
        self.pace = auth.Pace(self.world)
        self.counts: Counter[str] = Counter()  # calls that came, per path
        self.calls: deque[dict[str, Any]] = deque(maxlen=300)
        self._sends = sends
        self._writing: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port = self._server.server_port
        self.base_url = self.world.base_url = f"http://127.0.0.1:{self.port}"

    @property
    def api_base(self) -> str:
        """For WECOM_API_BASE."""
        return f"{self.base_url}{API}"

    @property
    def control_url(self) -> str:
        return f"{self.base_url}/sandbox/"

    def __enter__(self) -> Sandbox:
        serve = {"target": self._server.serve_forever, "kwargs": {"poll_interval": 0.02}}
        threading.Thread(**serve, name="wecom sandbox", daemon=True).start()  # type: ignore[arg-type]
        threading.Thread(target=self._tick, name="wecom clock", daemon=True).start()
        if self._sends:
            self.callbacks.start()
        self.callbacks.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self.callbacks.stop()

    def _tick(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            self.world.clock.advance(0)

    # --- the API

    def answer(self, request: Request) -> Answer:
        """Raises Lost when the connection is to break."""
        if not request.path.startswith(API):
            return pages.answer(self, request)
        path = request.path.removeprefix(API).strip("/")
        endpoint = registry.endpoints.get(path)
        if endpoint is None and not _is_retired(path):
            return Answer(b"<html><head><title>404 Not Found</title></head></html>", "text/html", 404)
        self.counts[path] += 1
        struck = self.faults.striking(path)
        if any(fault.kind == faults.PAGE for fault in struck):
            return Answer(HTML_PAGE, "text/html", 502)
        call = None
        try:
            with self.faults.inside(path, struck):
                self._strike(struck, before=True)
                call, said = self._answered(path, endpoint, request, struck)
            answer = {"errcode": 0, "errmsg": "ok"} | said if isinstance(said, dict) else said
        except Refusal as refusal:
            text = refusals.message(refusal.code, refusal.text, request.ip)
            answer = {"errcode": refusal.code, "errmsg": text} | refusal.extra
        if isinstance(answer, Answer):
            return answer
        if (call and call.is_garbled) or any(fault.kind == faults.WARN for fault in struck):
            answer["errmsg"] = f"{answer['errmsg']}. Warning: wrong json format. "
        self.calls.append({"at": self.world.clock.now(), "path": path, "errcode": answer["errcode"]})
        self._strike(struck, before=False)
        return Answer(json.dumps(answer, ensure_ascii=False).encode())

    def _answered(
        self, path: str, endpoint: Endpoint | None, request: Request, struck: list[Fault]
    ) -> tuple[Call | None, Any]:
        if path == "gettoken":
            return None, self.tokens.give(request.query, request.ip)
        app = self.tokens.app_of(request.query.get("access_token"))
        if endpoint is None:
            raise Refusal(48005)
        auth.require(endpoint, app, request.ip)
        self.pace.take(path)
        call = self._call(endpoint, app, request)
        with self._alone(endpoint, call, struck), self.world.lock:
            try:
                said = endpoint.answer(call)
            except Refusal as refusal:
                if call.is_garbled:
                    refusal.text += ". Warning: wrong json format. "
                raise
            if not endpoint.is_read:
                self.world.touch()
        return call, said

    def _call(self, endpoint: Endpoint, app: Any, request: Request) -> Call:
        call = Call(endpoint.path, self.world, app, request.query, {}, request.ip, is_post=endpoint.method == "POST")
        if call.is_post and request.method == "GET":
            raise Refusal(40058)
        kind = str(request.headers.get("Content-Type") or "")
        if call.is_post and kind.startswith("multipart/form-data"):
            call.files = multipart.files(request.content, kind)
        elif call.is_post and request.method == "POST":
            try:
                body = json.loads(request.content or b"{}")
            except ValueError:
                body = None
            call.body, call.is_garbled = (body, False) if isinstance(body, dict) else ({}, True)
        return call

    @contextlib.contextmanager
    def _alone(self, endpoint: Endpoint, call: Call, struck: list[Fault]) -> Any:
        """Writes on one record must not overlap; they do when a fault makes them slow."""
        record = f"{endpoint.overlap} {endpoint.record(call)}" if endpoint.record else ""
        if not record:
            yield
            return
        with self._lock:
            if record in self._writing:
                raise Refusal(endpoint.overlap)
            self._writing.add(record)
        try:
            for fault in struck:
                if fault.kind == faults.SLOW:
                    time.sleep(fault.seconds)
            yield
        finally:
            with self._lock:
                self._writing.discard(record)

    def _strike(self, struck: list[Fault], *, before: bool) -> None:
        for fault in struck:
            if before and fault.kind == faults.CODE:
                raise Refusal(fault.code)
            if before and fault.kind == faults.WINDOW:
                raise Refusal(45009)
            if not before and fault.kind == faults.HANG:
                self._ended.wait(fault.seconds)
            if not before and fault.kind == faults.LOSE:
                raise Lost


def new_world(seed: int = 1, quotas: Quotas | None = None) -> World:
    """A corp with a self-built app, the contact sync and a mini-program's app, and nobody in it yet."""
    world = World(seed, quotas)
    world.corp_id = CORP_ID
    world.add_app(SELF, agent_id=AGENT_ID, name="私域助手")
    world.add_app(SYNC, name="通讯录同步")
    world.add_app(MINI, agent_id=MINI_AGENT_ID, name="导购小程序")
    return world


def _is_retired(path: str) -> bool:
    return path in RETIRED or path.startswith("crm/")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def handle_error(self, *_: Any) -> None:  # a client that gave up
        return


def _handler(box: Sandbox) -> type[BaseHTTPRequestHandler]:
    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "nginx", ""
        wbufsize = -1  # head and body in one packet
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY_BYTES:
                self.close_connection = True
                self._send(Answer(b"", status=413))
                return
            content = self.rfile.read(length)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            try:
                request = Request(self.command, parts.path, query, content, self.headers, self.client_address[0])
                answer = box.answer(request)
            except Lost:
                self.close_connection = True
                return
            self._send(answer)

        do_POST = do_GET  # noqa: N815

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.content)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            return

    return Http
