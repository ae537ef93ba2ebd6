"""``wecom_sandbox``: a WeCom on this machine, for the sample company or for trying things out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from attribution.sample import wecom
from scrm.wecom.sandbox import Sandbox, World, new_world, snapshot

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
VERIFY_EVERY_SECONDS = 1.0


class Command(BaseCommand):
    help = "Run a WeCom on this machine (企业微信沙箱) with a control page, until Ctrl-C. Not in production."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=settings.WECOM_SANDBOX_PORT)
        parser.add_argument("--seed", type=int, default=1, help="another seed is another company of friends")
        parser.add_argument("--fresh", action="store_true", help="forget what happened in it before")
        parser.add_argument("--prepare", action="store_true", help="only enter the sample's corp and apps")

    def handle(self, *args: Any, **options: Any) -> str | None:
        if settings.PRODUCTION:
            raise CommandError("沙箱只用于本机试用,PRODUCTION=1 时不能启动。")
        host = urlsplit(settings.WECOM_API_BASE).hostname
        if not settings.WECOM_BASE_IS_DEFAULT and host not in LOOPBACK:
            raise CommandError(f"WECOM_API_BASE 指向 {host}，不是本机：系统不会用到沙箱，所以没有启动。")
        is_sample = wecom.is_here()
        if options["prepare"]:
            return self._prepare(options["port"]) if is_sample else None
        wired = wecom.wire() if is_sample else None
        path = Path(settings.SCRM_VAR) / "wecom_sandbox" / "world.json"
        owner = wired.owner if wired else "nobody's"
        world = None if options["fresh"] else snapshot.load(path, owner)
        if world is None:
            world = _made(wired, options["seed"])
        self._serve(world, wired, options["port"], path, owner)
        return None

    def _prepare(self, port: int) -> str:
        """The address for WECOM_API_BASE."""
        wecom.wire()
        return f"http://127.0.0.1:{port}/cgi-bin/"

    def _serve(self, world: World, wired: wecom.Wired | None, port: int, path: Path, owner: str) -> None:
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        connections.close_all()  # from here on the database is only spoken to over HTTP, by the product
        try:
            box = Sandbox(world=world, port=port)
        except OSError as error:
            raise CommandError(
                f"端口 {port} 无法使用：请停止占用它的程序，或用 WECOM_SANDBOX_PORT 换一个端口。"
            ) from error
        with snapshot.Keeper(world, path, owner), box, _known(box.api_base if wired else "", path.with_name("address")):
            self._tell(box, wired)
            for kind, (name, token, aes_key) in (wired.callbacks if wired else {}).items():
                url = f"{_web()}/wecom/callback/{name}"
                box.callbacks.set_receiver(world.app(kind), url=url, token=token, aes_key=aes_key)
            while not ended.wait(VERIFY_EVERY_SECONDS):
                for app in world.apps:  # the web process may come up later than this one
                    if app.receiver is not None and not app.receiver.is_active:
                        box.callbacks.verify(app)

    def _tell(self, box: Sandbox, wired: wecom.Wired | None) -> None:
        world = box.world
        friends = sum(len(member.follows) for member in world.members.values())
        self.stdout.write(f"企业微信沙箱 {box.control_url} · {len(world.members)} 位员工，{friends} 个好友")
        if wired is not None:
            return
        self.stdout.write(f"WECOM_API_BASE={box.api_base}")
        self.stdout.write(f"企业 ID {world.corp_id}")
        for app in world.apps:
            self.stdout.write(f"{app.name}  AgentId {app.agent_id or '-'}  Secret {app.secret}")


@contextmanager
def _known(address: str, path: Path) -> Iterator[None]:
    """Commands typed beside the sample company find its WeCom where the settings look (``settings.WECOM_API_BASE``)."""
    if address:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(address, encoding="ascii")
    try:
        yield
    finally:
        if address:
            path.unlink(missing_ok=True)


def _made(wired: wecom.Wired | None, seed: int) -> World:
    if wired is not None:
        return wecom.make_world(wired, seed=seed, now=timezone.now())
    world = new_world(seed)
    for number in range(1, 6):
        world.add_member(f"guide_{number:04}", f"导购{number}")
    for number in range(1, 31):
        contact = world.add_contact(f"客户{number}", unionid=world.new_id("oSANDBOX", 20))
        if number <= 20:
            world.befriend(f"guide_{number % 5 + 1:04}", contact.external_userid)
    return world


def _web() -> str:
    """Where our own web process is, as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.WEB_HOST, settings.WEB_HOST)  # noqa: S104
    return f"http://{host}:{settings.WEB_PORT}"
