"""A WeCom of its own process with ``rows`` group members, for the bench of groups.

``python -m campaigns.bench_wecom ROWS EACH``: one line of JSON says where it is; for each line read it prints how many
calls came of each endpoint; it ends with its input. Who is in a group follows from its number and is made when it is asked for, so
that four million people need no memory here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import django

GROUPS_EACH = 3  # of an owner
TWICE_EVERY = 10  # one person in ten is in the next group too
SINCE = 1_748_736_000  # 2025-06-01, and the joinings of the 390 days from then on
SPAN = 390 * 86_400


def userid_of(number: int) -> str:
    return f"guide{number:06}"


def chat_of(number: int) -> str:
    return f"wrBench{number:025}"


def person_of(group: int, place: int, each: int, count: int) -> int:
    """The number of who is at ``place`` of a group; the last tenth of it are people of the next group."""
    own = each - each // TWICE_EVERY
    return group * own + place if place < own else (group + 1) % count * own + place - own


class People(Mapping[str, Any]):
    """The members of one group, made anew whenever they are looked at."""

    def __init__(self, group: int, each: int, count: int) -> None:
        self.group, self.each, self.count = group, each, count

    def __len__(self) -> int:
        return self.each

    def __iter__(self) -> Iterator[str]:
        return (f"wmBench{person_of(self.group, place, self.each, self.count):025}" for place in range(self.each))

    def __getitem__(self, key: str) -> Any:
        return next(one for one in self.values() if one.userid == key)

    def values(self) -> Any:
        from scrm.wecom.sandbox.records import GroupMember

        for place, userid in enumerate(self):
            joined = SINCE + (self.group * 7919 + place * 104_729) % SPAN
            yield GroupMember(userid, False, joined, 3, "", f"j{self.group % 5000}" if place % 2 else "")


class Outside(dict[str, Any]):
    """Everybody outside, known by her number."""

    def get(self, key: str, default: Any = None) -> Any:
        from scrm.wecom.sandbox.records import Contact

        if not key.startswith("wmBench"):
            return super().get(key, default)
        return Contact(key, "客户", f"oBench{key[7:]}")


def serve(rows: int, each: int) -> None:
    from scrm.wecom.sandbox import SELF, Sandbox
    from scrm.wecom.sandbox.records import Group

    count = rows // each
    with Sandbox(seed=1, sends=False) as box:
        box.world.is_developer_bound = True
        box.world.quotas.calls_per_minute = box.world.quotas.calls_per_hour = None
        box.world.contacts = Outside()
        for number in range(-(-count // GROUPS_EACH)):
            box.world.add_member(userid_of(number))
        for number in range(count):
            people: Any = People(number, each, count)
            group = Group(chat_of(number), f"福利群{number}", userid_of(number // GROUPS_EACH), SINCE, members=people)
            box.world.groups[group.chat_id] = group
        app = box.world.app(SELF)
        where = {
            "api_base": box.api_base, "corp_id": box.world.corp_id, "secret": app.secret, "agent_id": app.agent_id,
        }  # fmt: skip
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        for _line in sys.stdin:
            sys.stdout.write(json.dumps(box.counts) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
    django.setup()
    serve(int(sys.argv[1]), int(sys.argv[2]))
