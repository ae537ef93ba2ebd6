"""The sample's new friends: ordinary ones, and the patterns that a review is to find."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from random import Random

from attribution.sample import rewards
from guides.models import IntegritySettings
from scrm.wecom.sandbox import World, new_world

NOW = int(dt.datetime(2026, 6, 18, 12, tzinfo=rewards.ZONE).timestamp())
LIMITS = IntegritySettings()


def world(guides: int = 30) -> World:
    made = new_world(7)
    userids = [f"g{number:02d}" for number in range(guides)]
    for userid in userids:
        made.add_member(userid, userid)
    rewards.add_new_friends(made, Random("7/rewards"), userids, NOW)
    return made


def friends(made: World) -> dict[str, list[tuple[int, str]]]:
    return {
        userid: [(follow.created_at, follow.external_userid) for follow in member.follows.values()]
        for userid, member in made.members.items()
        if member.follows
    }


def test_the_same_seed_makes_the_same_friends() -> None:
    assert friends(world()) == friends(world())


def test_each_pattern_is_there_once_and_the_others_are_ordinary() -> None:
    found = friends(world())
    assert len(found) == rewards.ORDINARY + 2 + rewards.POOL_GUIDES
    crowded, at_night = set(), set()
    guides_of: dict[str, set[str]] = defaultdict(set)
    for userid, rows in found.items():
        minutes = Counter(at // 60 for at, _who in rows)
        nights = sum(dt.datetime.fromtimestamp(at, rewards.ZONE).hour < LIMITS.night_until_hour for at, _who in rows)
        crowded |= {userid} if max(minutes.values()) >= LIMITS.adds_per_minute else set()
        at_night |= {userid} if nights * 10_000 >= LIMITS.night_share_bp * len(rows) else set()
        for _at, who in rows:
            guides_of[who].add(userid)
    shared = {who: guides for who, guides in guides_of.items() if len(guides) >= LIMITS.guides_per_person}
    assert (len(crowded), len(at_night), len(shared)) == (1, 1, rewards.POOL)
    assert not crowded & at_night
    assert all(NOW - 15 * 86_400 < at < NOW for rows in found.values() for at, _who in rows)


def test_a_small_company_has_nobody_to_suspect() -> None:
    assert friends(world(guides=5)) == {}
