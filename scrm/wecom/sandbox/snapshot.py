"""The state as one JSON file that survives a restart: written whole beside the old one, then put in its place.

A dataclass becomes ``{"$": name, field: value}`` without the fields that hold their default; one that the class no longer has is
dropped, so that yesterday's file is read by today's code. Keys of dictionaries are text. A file of another owner (the
database whose secrets it holds) is not read.

What was uploaded lies in a folder beside the file, one file for each medium, written once: at most ``media.KEPT_BYTES``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

from scrm.wecom.sandbox import records
from scrm.wecom.sandbox.quotas import Quotas
from scrm.wecom.sandbox.world import State, World

EVERY_SECONDS = 1.0


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default  # MISSING equals nothing


_CLASSES = {
    name: one
    for name, one in vars(records).items()
    if dataclasses.is_dataclass(one) and isinstance(one, type) and one.__module__ == records.__name__
}
_FIELDS = {name: [(field.name, _default(field)) for field in dataclasses.fields(one)] for name, one in _CLASSES.items()}


def save(world: World, path: Path, owner: str) -> None:
    with world.lock:
        world.offset = world.clock.offset
        state = {field.name: _plain(getattr(world, field.name)) for field in dataclasses.fields(State)}
    text = json.dumps({"owner": owner, "seed": world.seed, "state": state}, ensure_ascii=False, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    _save_files(world, _folder(path))
    _write(path, text.encode())


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)  # it holds the apps' secrets
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _folder(path: Path) -> Path:
    return path.with_suffix(".media")


def _save_files(world: World, folder: Path) -> None:
    """What is new is written, what the world has let go is deleted."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with world.lock:
        files = dict(world.files)
    there = {one.name for one in folder.iterdir()}
    for media_id in files.keys() - there:
        _write(folder / media_id, files[media_id])
    for name in there - files.keys():
        (folder / name).unlink()


def _load_files(world: World, folder: Path) -> None:
    """In the order in which they were uploaded: the oldest go first."""
    for media_id in world.media:
        with contextlib.suppress(FileNotFoundError):
            world.files[media_id] = (folder / media_id).read_bytes()


def load(path: Path, owner: str, quotas: Quotas | None = None) -> World | None:
    """The world of the file; None when there is none, or it is another database's."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if held.get("owner") != owner:
        return None
    world = World(held["seed"], quotas)
    try:
        state = _object(held["state"])
    except (KeyError, TypeError):  # of a version that kept something else
        return None
    for field in dataclasses.fields(State):
        if field.name in state:
            value, before = state[field.name], getattr(world, field.name)
            setattr(world, field.name, deque(value, before.maxlen) if isinstance(before, deque) else value)
    heapq.heapify(world.jobs)
    world.departments = {int(number): one for number, one in world.departments.items()}
    world.clock.offset = world.offset
    _load_files(world, _folder(path))
    return world


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return {"$": "tuple", "of": [_plain(one) for one in value]}
    if isinstance(value, list | deque):
        return [_plain(one) for one in value]
    name = type(value).__name__
    held = ((field, getattr(value, field), default) for field, default in _FIELDS[name])
    return {"$": name} | {field: _plain(one) for field, one, default in held if one != default}


def _object(value: Any) -> Any:
    if isinstance(value, list):
        return [_object(one) for one in value]
    if not isinstance(value, dict):
        return value
    name = value.get("$")
    if name is None:
        return {key: _object(one) for key, one in value.items()}
    if name == "tuple":
        return tuple(_object(one) for one in value["of"])
    return _CLASSES[name](**{field: _object(value[field]) for field, _default in _FIELDS[name] if field in value})


class Keeper:
    """Writes the world to its file while it changes, and once more at the end."""

    def __init__(self, world: World, path: Path, owner: str) -> None:
        self.world, self.path, self.owner = world, path, owner
        self._saved = -1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wecom snapshot", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._save()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self._save()

    def _save(self) -> None:
        changes = self.world.changes
        if changes != self._saved:
            save(self.world, self.path, self.owner)
            self._saved = changes
