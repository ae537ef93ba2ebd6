"""Rows of the control page's tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scrm.wecom.sandbox.world import World

MOST = 100


def first(rows: Iterable[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    """The first hundred that hold what is searched for."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if not query or any(query in str(value) for value in row.values()):
            found.append(row)
        if len(found) == MOST:
            break
    return found


def member_name(world: World, userid: str) -> str:
    member = world.members.get(userid.lower())
    return f"{member.name} {member.userid}" if member else userid


def contact_name(world: World, external_userid: str) -> str:
    contact = world.contacts.get(external_userid)
    return contact.name if contact else external_userid
