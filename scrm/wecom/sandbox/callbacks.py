"""The sender of events (回调): encrypted, signed, posted; repeated only when nobody answers.

1. An address is called only after it has answered the verification with the plain text, and nothing else.
2. Five seconds for an answer; without one three more attempts. An answer of any status is an answer.
3. Events about the same thing go one after the other, different ones side by side; a repetition comes when it comes.
4. ``road`` (faults) loses, doubles, delays and shuffles them.
5. The query's timestamp is of the real clock, CreateTime inside of the sandbox's.
"""

from __future__ import annotations

import heapq
import itertools
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

import requests

from scrm.wecom.sandbox import envelopes
from scrm.wecom.sandbox.faults import Faults
from scrm.wecom.sandbox.records import App, Delivery, Event, Receiver
from scrm.wecom.sandbox.world import World

LANES = 4
ANSWER_SECONDS = 5.0
VERIFY_SECONDS = 1.0
RETRIES = 3

# url with query, body or None for a GET; status and content. Raises requests.RequestException when nobody answers.
Transport = Callable[[str, bytes | None, float], tuple[int, bytes]]
_local = threading.local()


@dataclass(order=True)
class Parcel:
    due: float
    number: int
    event: Event = field(compare=False)
    delivery: Delivery = field(compare=False)


class Callbacks:
    def __init__(
        self, world: World, faults: Faults, *, transport: Transport | None = None,
        answer_seconds: float = ANSWER_SECONDS, verify_seconds: float = VERIFY_SECONDS,
        retry_seconds: tuple[float, ...] = (1.0, 2.0, 4.0),
    ) -> None:  # fmt: skip
        self.world, self.faults = world, faults
        self.transport = transport or over_http
        self.answer_seconds, self.verify_seconds, self.retry_seconds = answer_seconds, verify_seconds, retry_seconds
        self._numbers = itertools.count()
        self._lanes: list[list[Parcel]] = [[] for _ in range(LANES)]
        self._changed = threading.Condition()
        self._busy = 0
        self._is_running = False
        self._threads: list[threading.Thread] = []
        world.listeners.append(self.take)

    # --- receivers

    def set_receiver(self, app: App, *, url: str, token: str, aes_key: str) -> bool:
        """Save where ``app`` hears of events, as one does in WeCom's console; False when the address does not answer."""
        with self.world.lock:
            before = app.receiver
            app.receiver = Receiver(url, token, aes_key)
            if before and before.is_active and (before.url, before.token, before.aes_key) == (url, token, aes_key):
                app.receiver.is_active = True
                return True
        return self.verify(app)

    def verify(self, app: App) -> bool:
        """Ask the address whether it is ours: a random number goes encrypted and must come back plain."""
        receiver = app.receiver
        if receiver is None:
            return False
        plain = str(secrets.randbelow(10**19))
        encrypted = envelopes.encrypt(receiver.aes_key, self.world.corp_id, plain.encode())
        url = _signed(receiver, encrypted, echostr=encrypted)
        try:
            status, content = self.transport(url, None, self.verify_seconds)
            receiver.error = "" if content == plain.encode() else f"校验未通过：HTTP {status}，答复不是明文"
        except requests.RequestException as error:
            receiver.error = f"连不上：{type(error).__name__}"
        receiver.is_active = not receiver.error
        self.world.touch()
        return receiver.is_active

    # --- events

    def take(self, event: Event) -> None:
        """A new event: on its way, unless chance has it otherwise."""
        road, chance = self.faults.road, self.faults.random
        for delivery in list(event.deliveries):
            app = self._app(delivery)
            if app is None or app.receiver is None or not app.receiver.is_active:
                delivery.state = "no receiver"
                continue
            if chance.random() < road.drop:
                delivery.state = "dropped"
                continue
            wait = road.delay_seconds if chance.random() < road.delay else 0.0
            lane = _lane(event.about)
            if chance.random() < road.reorder:
                wait, lane = wait + chance.random() * road.reorder_seconds, chance.randrange(LANES)
            self._put(Parcel(time.monotonic() + wait, next(self._numbers), event, delivery), lane)
            if chance.random() < road.duplicate:
                again = Delivery(delivery.agent_id)
                event.deliveries.append(again)
                self._put(Parcel(time.monotonic() + wait, next(self._numbers), event, again), lane)

    def resume(self) -> None:
        """Take up what a restart interrupted."""
        for event in list(self.world.events):
            for delivery in event.deliveries:
                if delivery.state == "waiting":
                    self._put(Parcel(time.monotonic(), next(self._numbers), event, delivery), _lane(event.about))

    def deliver(self) -> int:
        """Send what is due in the caller's thread, one after the other in the order of their being due; how many."""
        count = 0
        while True:
            with self._changed:
                due = [lane for lane in self._lanes if lane and lane[0].due <= time.monotonic()]
                if not due:
                    return count
                parcel = heapq.heappop(min(due, key=lambda lane: lane[0]))
            self._send(parcel)
            count += 1

    def wait(self, seconds: float = 30.0) -> None:
        """Until every event has been delivered or given up; TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._busy and not any(self._lanes), seconds):
                raise TimeoutError("events are still on their way")

    @property
    def waiting(self) -> int:
        with self._changed:
            return self._busy + sum(map(len, self._lanes))

    # --- threads

    def start(self) -> None:
        self._is_running = True
        for number in range(LANES):
            thread = threading.Thread(target=self._run, args=(number,), name=f"wecom callbacks {number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(1.0)  # an attempt under way is the receiver's five seconds

    def _run(self, number: int) -> None:
        while (parcel := self._next(number)) is not None:
            try:
                self._send(parcel)
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

    def _next(self, number: int) -> Parcel | None:
        lane = self._lanes[number]
        with self._changed:
            while self._is_running:
                if lane and lane[0].due <= time.monotonic():
                    self._busy += 1
                    return heapq.heappop(lane)
                self._changed.wait(lane[0].due - time.monotonic() if lane else None)
        return None

    def _put(self, parcel: Parcel, lane: int) -> None:
        with self._changed:
            heapq.heappush(self._lanes[lane], parcel)
            self._changed.notify_all()

    # --- one attempt

    def _send(self, parcel: Parcel) -> None:
        event, delivery = parcel.event, parcel.delivery
        app = self._app(delivery)
        if app is None or app.receiver is None:
            delivery.state = "no receiver"
            return
        encrypted = envelopes.encrypt(app.receiver.aes_key, self.world.corp_id, event.xml.encode())
        body = envelopes.outer(self.world.corp_id, app.agent_id, encrypted)
        delivery.attempts += 1
        try:
            status, _content = self.transport(_signed(app.receiver, encrypted), body, self.answer_seconds)
        except requests.RequestException as error:
            delivery.error = type(error).__name__
            self._again(parcel)
        else:
            delivery.state, delivery.error = ("delivered", "") if status == 200 else ("refused", f"HTTP {status}")
        self.world.touch()

    def _again(self, parcel: Parcel) -> None:
        attempts = parcel.delivery.attempts
        if attempts > RETRIES:
            parcel.delivery.state = "failed"
            return
        pause = self.retry_seconds[min(attempts, len(self.retry_seconds)) - 1]
        again = Parcel(time.monotonic() + pause, next(self._numbers), parcel.event, parcel.delivery)
        self._put(again, _lane(parcel.event.about))

    def _app(self, delivery: Delivery) -> App | None:
        return next((app for app in self.world.apps if app.agent_id == delivery.agent_id), None)


def over_http(url: str, body: bytes | None, seconds: float) -> tuple[int, bytes]:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False  # no proxy between two processes of one machine
    answer = _local.session.request(
        "GET" if body is None else "POST", url, data=body, timeout=seconds, allow_redirects=False,
        headers={"Content-Type": "text/xml"},
    )  # fmt: skip
    return answer.status_code, answer.content


def _signed(receiver: Receiver, encrypted: str, **more: str) -> str:
    timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
    signed = envelopes.sign(receiver.token, timestamp, nonce, encrypted)
    query = {"msg_signature": signed, "timestamp": timestamp, "nonce": nonce, **more}
    return f"{receiver.url}{'&' if '?' in receiver.url else '?'}{urlencode(query)}"


def _lane(about: str) -> int:
    return sum(about.encode()) % LANES
