"""A request that came, and what goes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    content: bytes = b""
    headers: Message | dict[str, str] = field(default_factory=dict)
    ip: str = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    content: bytes
    content_type: str = "application/json; charset=UTF-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
