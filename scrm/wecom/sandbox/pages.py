"""The sandbox's own pages (控制台): what there is to see, and the acts of people, as HTML and as JSON below /sandbox/api/.

1. They answer under the names of this machine only, so that no other site's name can be pointed at them.
2. An act needs the header ``X-Sandbox``, which a form of another site cannot send.
3. The address of a contact way's code is its picture for programs, and for a person the page on which she scans it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import segno

from scrm.wecom.sandbox import panels, people, registry
from scrm.wecom.sandbox.answers import Answer, Request

if TYPE_CHECKING:
    from scrm.wecom.sandbox.server import Sandbox

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_HERE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")


def answer(box: Sandbox, request: Request) -> Answer:
    if not _HERE.fullmatch(str(request.headers.get("Host") or "")):
        return _json({"error": "只能用 127.0.0.1 或 localhost 访问"}, 403)
    path = unquote(request.path)
    if path in ("/", "/sandbox"):
        return Answer(b"", "text/plain", 302, {"Location": "/sandbox/"})
    if path == "/sandbox/":
        return _file("control.html")
    if path.startswith("/sandbox/static/"):
        return _file(path.removeprefix("/sandbox/static/"))
    if path.startswith("/sandbox/scan/"):
        return _code(box, path, request)
    if path.startswith("/sandbox/api/"):
        return _api(box, path.removeprefix("/sandbox/api/"), request)
    return _json({"error": "没有这个页面"}, 404)


def _api(box: Sandbox, path: str, request: Request) -> Answer:
    kind, _slash, name = path.partition("/")
    if request.method == "POST":
        return _act(box, name, request) if kind == "acts" else _json({"error": "没有这个动作"}, 404)
    query = request.query.get("q", "").strip()
    with box.world.lock:
        if kind == "state":
            return _json(_state(box))
        if kind == "panels" and name in registry.panels:
            one = registry.panels[name]
            return _json({"rows": one.rows(box if one.of_box else box.world, query)})
        if kind == "find":
            return _json({"found": panels.find(box.world, name, query)})
        if kind == "ways" and name in box.world.join_ways:
            return _json(_join_way(box, name))
        if kind == "ways" and name in box.world.ways:
            return _json(_way(box, name))
        if kind == "sent":
            said = [one for one in box.world.sent if one.to == request.query.get("to")]
            return _json({"sent": [dataclasses.asdict(one) for one in said[-5:]]})
    return _json({"error": "没有这个数据"}, 404)


def _act(box: Sandbox, name: str, request: Request) -> Answer:
    act = registry.acts.get(name)
    if not request.headers.get("X-Sandbox"):
        return _json({"error": "缺少 X-Sandbox 请求头"}, 403)
    try:
        values = json.loads(request.content or b"{}")
    except ValueError:
        values = None
    if act is None or not isinstance(values, dict):
        return _json({"error": "没有这个动作"}, 404)
    try:
        result = act.work(box if act.of_box else box.world, **_given(act, values))
    except people.Impossible as refusal:
        return _json({"error": str(refusal)}, 409)
    return _json({"result": dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result})  # type: ignore[arg-type]


def _given(act: registry.Act, values: dict[str, Any]) -> dict[str, Any]:
    """The act's fields in their types; Impossible for one that is missing or no number."""
    given = {}
    for field in act.fields:
        value = values.get(field.name)
        if value is None or value == "":
            if not field.is_optional:
                raise people.Impossible(f"请填写「{field.label}」")
            continue
        if field.kind == "number":
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise people.Impossible(f"「{field.label}」要填数字") from None
            value = int(number) if number == int(number) else number
        elif field.kind == "flag":
            value = value in (True, "true", "1", 1)
        else:
            value = str(value)
        given[field.name] = value
    return given


def _state(box: Sandbox) -> dict[str, Any]:
    world = box.world
    return {
        "corp": {"id": world.corp_id, "name": world.corp_name},
        "now": world.clock.now(),
        "ahead": world.clock.offset,
        "confirms_after": world.confirms_after,
        "counts": {
            "members": sum(1 for _one in world.staff()),
            "contacts": len(world.contacts),
            "friends": sum(len(one.follows) for one in world.staff()),
            "ways": len(world.ways),
            "waiting": box.callbacks.waiting,
            "faults": len(box.faults.list),
        },
        "apps": [
            {
                "name": app.name, "agent_id": app.agent_id, "url": app.receiver.url if app.receiver else "",
                "is_active": bool(app.receiver and app.receiver.is_active),
                "error": app.receiver.error if app.receiver else "",
            }
            for app in world.apps
        ],
        "acts": [registry.described(one) for one in registry.acts.values()],
        "panels": [registry.described(one) for one in registry.panels.values()],
    }  # fmt: skip


def _way(box: Sandbox, config_id: str) -> dict[str, Any]:
    way = box.world.ways[config_id]
    members = people.members_of(box.world, way)
    return {"corp": box.world.corp_name, "members": [one.name for one in members[:5]], "count": len(members)}


def _join_way(box: Sandbox, config_id: str) -> dict[str, Any]:
    """A code into groups: their names stand for the members, and scanning it is another act."""
    those = [box.world.groups[one].name for one in box.world.join_ways[config_id].chat_ids if one in box.world.groups]
    return {"corp": box.world.corp_name, "members": those[:5], "count": len(those), "act": "scan_join_way"}


def _code(box: Sandbox, path: str, request: Request) -> Answer:
    if "text/html" in str(request.headers.get("Accept") or ""):
        return _file("scan.html")
    picture = io.BytesIO()
    segno.make(f"{box.base_url}{path}", error="m").save(picture, kind="png", scale=8)
    return Answer(picture.getvalue(), "image/png", headers=HEADERS)


def _file(name: str) -> Answer:
    path = STATIC / name
    if path.parent != STATIC or path.suffix not in TYPES or not path.is_file():
        return _json({"error": "没有这个文件"}, 404)
    return Answer(path.read_bytes(), TYPES[path.suffix], headers=HEADERS)


def _json(values: dict[str, Any], status: int = 200) -> Answer:
    content = json.dumps(values, ensure_ascii=False).encode()
    return Answer(content, "application/json; charset=utf-8", status, HEADERS)
