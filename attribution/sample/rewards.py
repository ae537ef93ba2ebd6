"""Add-friend rewards of the sample company: a programme that runs, and new friends of whom some look bought.

1. The programme has run for PROGRAMME_DAYS when the sample is loaded; members who become friends count as new.
2. In the sandbox ORDINARY guides have won friends in shop hours of the last two weeks. Beside them one guide has a crowd within a
   minute, one wins friends at night, and four have the same people: what the review finds on its first morning.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from random import Random
from zoneinfo import ZoneInfo

from attribution.sample.wecom_people import nickname
from guides.models import RewardProgramme
from scrm.models import Brand
from scrm.wecom.sandbox import World

ZONE = ZoneInfo("Asia/Shanghai")
NAME = "加好友奖励"
PROGRAMME_DAYS, AMOUNT_FEN, GUIDE_DAY_CAP, STORE_MONTH_CAP = 60, 500, 30, 600
ORDINARY, LEAST, MOST = 16, 20, 30  # guides, and new friends of each
CROWD, NIGHT_FRIENDS, POOL, POOL_GUIDES = 18, 28, 9, 4
DAYS = 13


def programme(until: dt.datetime) -> RewardProgramme:
    """In force already, as the company's own; the one that is there when it was loaded before."""
    return RewardProgramme.objects.get_or_create(
        brand=Brand.objects.get(code="MAIN"), name=NAME,
        defaults={
            "status": RewardProgramme.Status.PUBLISHED, "amount_fen": AMOUNT_FEN, "counts_members": True,
            "guide_day_cap": GUIDE_DAY_CAP, "store_month_cap": STORE_MONTH_CAP, "published_at": until,
            "starts_at": until - dt.timedelta(days=PROGRAMME_DAYS), "ends_at": until + dt.timedelta(days=365),
        },
    )[0]  # fmt: skip


def add_new_friends(world: World, rng: Random, userids: Sequence[str], now: int) -> None:
    """Into the sandbox, without events: its sweep finds them. Too few guides: nobody looks like fraud."""
    if len(userids) < ORDINARY + 2 + POOL_GUIDES:
        return
    chosen = rng.sample(sorted(userids), ORDINARY + 2 + POOL_GUIDES)
    ordinary, crowd, night, pool = chosen[:ORDINARY], chosen[ORDINARY], chosen[ORDINARY + 1], chosen[ORDINARY + 2 :]
    for userid in ordinary:
        for _ in range(rng.randint(LEAST, MOST)):
            _befriend(world, rng, [userid], _at(rng, now, 10, 21))
    minute = _at(rng, now, 11, 19) // 60 * 60
    for _ in range(CROWD):
        _befriend(world, rng, [crowd], minute + rng.randint(0, 59))
    for _ in range(NIGHT_FRIENDS):
        _befriend(world, rng, [night], _at(rng, now, 1, 4))
    for _ in range(POOL):
        _befriend(world, rng, pool, _at(rng, now, 10, 18))


def _befriend(world: World, rng: Random, userids: Sequence[str], at: int) -> None:
    """One person who adds these guides, a few minutes between each."""
    contact = world.add_contact(nickname(rng, ""), world.new_id("oDEMO-new-", 12), gender=rng.choice((0, 1, 2)))
    for place, userid in enumerate(userids):
        world.befriend(userid, contact.external_userid, created_at=at + place * rng.randint(120, 900))


def _at(rng: Random, now: int, first_hour: int, last_hour: int) -> int:
    """A moment of one of the last days, between two hours of the shop's clock."""
    day = dt.datetime.fromtimestamp(now, ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    start = day - dt.timedelta(days=rng.randint(1, DAYS))
    return int(start.timestamp()) + rng.randint(first_hour * 3600, last_hour * 3600 - 1)
