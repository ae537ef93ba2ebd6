"""A WeCom on this machine for a test, wired to the product: the fixture ``sandbox``.

The corp, its three apps and two callback endpoints are in the database. Calls go over real HTTP. Events wait until the test
says ``sandbox.deliver()``, which posts them through the front door in the test's own thread, or ``sandbox.tell()``, which has
the inbox apply them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from scrm.models import Corp, WecomApp, WecomToken
from scrm.wecom import client, corps, inbox, pace, tokens
from scrm.wecom.sandbox import MINI, SELF, SYNC, Sandbox, World
from scrm.wecom.sandbox.callbacks import Callbacks
from scrm.wecom.sandbox.faults import Faults

TOKEN = "tokenOfTheSandbox"
AES_KEY = "sandboxsandboxsandboxsandboxsandboxsandboxA"
CALLBACKS = {SELF: "customers", SYNC: "directory"}
NAMES = {SELF: "私域助手", SYNC: "通讯录同步", MINI: "导购小程序"}
KINDS = {SELF: "SELF_BUILT", SYNC: "CONTACT_SYNC", MINI: "MINI_PROGRAM"}


@dataclass
class Wired:
    box: Sandbox
    corp: Corp
    app: WecomApp
    sync_app: WecomApp
    mini_app: WecomApp

    @property
    def world(self) -> World:
        return self.box.world

    @property
    def faults(self) -> Faults:
        return self.box.faults

    @property
    def callbacks(self) -> Callbacks:
        return self.box.callbacks

    def later(self, seconds: float) -> None:
        """Let the sandbox's time pass. Its tokens grow old with it, ours by the real clock: ours are forgotten."""
        self.world.clock.advance(seconds)
        WecomToken.objects.all().delete()

    def deliver(self) -> int:
        """Post the events that are due; how many."""
        return self.callbacks.deliver()

    def tell(self) -> int:
        """Post them, and apply what came."""
        count = self.deliver()
        inbox.process(now=timezone.now())
        return count


def through_the_front_door(url: str, body: bytes | None, seconds: float) -> tuple[int, bytes]:
    """A transport that needs no server: Django's test client."""
    parts = urlsplit(url)
    address = f"{parts.path}?{parts.query}"
    answer = Client().get(address) if body is None else Client().post(address, body, content_type="text/xml")
    return answer.status_code, answer.content


def wire(box: Sandbox, *, url: str = "http://testserver") -> Wired:
    """The sandbox's corp and apps as rows, and our callback addresses in the sandbox."""
    corp = Corp.objects.create(corp_id=box.world.corp_id, name=box.world.corp_name)
    apps = {}
    for app in box.world.apps:
        apps[app.kind] = corps.add_app(
            actor=None, corp=corp, kind=KINDS[app.kind], name=NAMES[app.kind], secret=app.secret, agent_id=app.agent_id
        )
    inbox._known.clear()  # what this process remembers of another test's endpoints
    for kind, name in CALLBACKS.items():
        inbox.save_endpoint(name=name, corp_id=corp.corp_id, token=TOKEN, aes_key=AES_KEY, actor=None)
        address = f"{url}/wecom/callback/{name}"
        assert box.callbacks.set_receiver(box.world.app(kind), url=address, token=TOKEN, aes_key=AES_KEY)
    return Wired(box, corp, apps[SELF], apps[SYNC], apps[MINI])


@pytest.fixture
def sandbox(settings: Settings, monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[Wired]:
    """Ask for ``transactional_db`` first where the test's own threads look at the database."""
    for module in (client, pace, tokens):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 0.001)
    with Sandbox(seed=1, sends=False, transport=through_the_front_door) as box:
        settings.WECOM_API_BASE = box.api_base
        yield wire(box)
