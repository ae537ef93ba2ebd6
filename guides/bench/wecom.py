"""A WeCom of its own process with ``rows`` friendships, for the bench of the contact sweep.

``python -m guides.bench.wecom ROWS FRIENDS_EACH``: one line of JSON says where it is; for each line read it prints how many
calls came of each endpoint; it ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import django

SHARED_EVERY = 10  # one contact in ten is a friend of the next guide too
SINCE = 1_735_660_800


def userid_of(number: int) -> str:
    return f"guide{number:06}"


def contacts_of(rows: int) -> int:
    return rows - rows // (SHARED_EVERY + 1)


def contacts(rows: int) -> Iterator[tuple[str, str, str]]:
    for n in range(contacts_of(rows)):
        yield f"wmBench{n:025}", f"{chr(0x4E00 + n % 8191)}{chr(0x4E00 + n * 7 % 8191)}", f"oBench{n:022}"


def follows(rows: int, each: int) -> Iterator[tuple[str, str, int, int, str]]:
    guides = -(-rows // each)
    for n in range(contacts_of(rows)):
        yield userid_of(n * guides // contacts_of(rows)), f"wmBench{n:025}", SINCE + n % 10**7, 1, f"w{n % 5000}"
    for m in range(rows - contacts_of(rows)):
        n = m * SHARED_EVERY
        guide = (n * guides // contacts_of(rows) + 1) % guides
        yield userid_of(guide), f"wmBench{n:025}", SINCE + 10**7 + m, 202, ""


def serve(rows: int, each: int) -> None:
    from scrm.wecom.sandbox import SELF, Sandbox

    with Sandbox(seed=1, sends=False) as box:
        for number in range(-(-rows // each)):
            box.world.add_member(userid_of(number))
        box.world.load_many(contacts(rows), follows(rows, each))
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
