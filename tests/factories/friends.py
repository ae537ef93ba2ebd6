"""Friends of guides with a past: honest ones, and the patterns of people who fake them."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from random import Random
from typing import Any

from guides import rewards
from guides.models import Contact, FirstMessage, Friendship, RewardProgramme
from members.models import Identity, Member
from scrm import crypto
from scrm.models import Brand, Corp
from tests.factories import shops as factory

_numbers = itertools.count(1)
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


def corp() -> Corp:
    return Corp.objects.get_or_create(corp_id="wwFRIENDS00001", defaults={"name": "示例公司"})[0]


def programme(since: dt.datetime, **values: Any) -> RewardProgramme:
    """A programme in force; 5.00 a friend."""
    return RewardProgramme.objects.create(
        **{
            "brand": Brand.objects.get(code="MAIN"), "name": "加好友奖励", "amount_fen": 500, "starts_at": since,
            "ends_at": since + 365 * DAY, "status": "PUBLISHED", "published_at": since, **values,
        }
    )  # fmt: skip


def friend(
    guide: Any, at: dt.datetime, *, unionid: str | None = None, store_id: int | None = None, **values: Any
) -> Friendship:
    """A friend won at ``at``, claimed if a programme runs."""
    number = next(_numbers)
    known: dict[str, Any] = {name: values.pop(name) for name in ("has_picture", "member") if name in values}
    if "member" in known:
        known |= {"linked_by": "UNIONID", "linked_at": at}
    contact = Contact.objects.create(
        corp=corp(), external_userid=f"wmF{number:06d}", name=f"好友{number}",
        unionid=f"oF{number:06d}" if unionid is None else unionid, read_at=at, **known,
    )  # fmt: skip
    row = Friendship.objects.create(
        contact=contact, corp=corp(), userid=guide.code.lower(), guide=guide, added_at=at, add_way=1, **values
    )
    store = store_id or guide.employments.order_by("-started_at").values_list("store_id", flat=True).first()
    rewards.claim(friendship=row, store_id=store, at=at)
    return row


def wrote(friendship: Friendship, at: dt.datetime) -> None:
    FirstMessage.objects.create(friendship=friendship, at=at, source="test")


def registered(friendship: Friendship, at: dt.datetime) -> Member:
    """She becomes a member with a verified number."""
    number = next(_numbers)
    contact = friendship.contact
    member = Member.objects.create(
        brand=Brand.objects.get(code="MAIN"), name=contact.name, registered_on=at.astimezone(dt.UTC).date()
    )
    e164 = f"+86{factory.mobile(90_000_000 + number)}"
    Identity.objects.create(
        member=member, kind="MOBILE", namespace="MAIN", value=crypto.mobile_index(e164), sealed=crypto.seal_mobile(e164),
        is_verified=True,
    )  # fmt: skip
    Contact.objects.filter(pk=contact.pk).update(member=member, linked_by="MOBILE", linked_at=at)
    return member


@dataclass
class Seeded:
    """A company of guides of whom some are dishonest, each in her own way."""

    guides: list[Any] = field(default_factory=list)
    dishonest: dict[str, str] = field(default_factory=dict)  # code → how


# a pool of people shows only where several guides use it
DISHONEST = ("burst", "burst", "second", "second", "night", "night", "leavers", "shared", "shared", "shared", "shared")


def seed_fraud(rng: Random, store: Any, *, honest: int, now: dt.datetime) -> Seeded:
    """Honest guides with busy days and rainy ones, and dishonest ones, each in her own way. All within two weeks."""
    seeded = Seeded()
    for number in range(honest + len(DISHONEST)):
        guide = factory.hire(f"Q{next(_numbers):05d}", f"导购{number}", store)
        seeded.guides.append(guide)
        if number < honest:
            _honest(rng, guide, now)
            continue
        how = DISHONEST[number - honest]
        seeded.dishonest[guide.code] = how
        _honest(rng, guide, now, most=12)
        _FAKES[how](rng, guide, now)
    return seeded


def _shop_hours(rng: Random, now: dt.datetime) -> dt.datetime:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0) - rng.randint(1, 13) * DAY
    return day + dt.timedelta(seconds=rng.randint(2 * 3600, 14 * 3600))  # 10 to 22 in Shanghai


def _honest(rng: Random, guide: Any, now: dt.datetime, most: int = 60) -> None:
    for _ in range(rng.randint(most // 3, most)):
        at = _shop_hours(rng, now)
        left = at + dt.timedelta(hours=rng.randint(1, 160)) if rng.random() < 0.06 else None
        friend(guide, at, has_picture=rng.random() < 0.9, customer_left_at=left)
    if rng.random() < 0.3:  # a queue at the till on a Saturday: some friends within few minutes, none of them fake
        opening = _shop_hours(rng, now)
        for _ in range(rng.randint(4, 10)):
            friend(guide, opening + dt.timedelta(seconds=rng.randint(0, 600)), has_picture=True)


def _burst(rng: Random, guide: Any, now: dt.datetime) -> None:
    at = _shop_hours(rng, now).replace(second=0)
    for _ in range(rng.randint(12, 30)):
        friend(guide, at + dt.timedelta(seconds=rng.randint(0, 59)), has_picture=rng.random() < 0.7)


def _second(rng: Random, guide: Any, now: dt.datetime) -> None:
    for _ in range(3):
        at = _shop_hours(rng, now)
        for _again in range(rng.randint(4, 6)):
            friend(guide, at, has_picture=True)


def _night(rng: Random, guide: Any, now: dt.datetime) -> None:
    for _ in range(40):
        day = now.replace(hour=0, minute=0, second=0, microsecond=0) - rng.randint(1, 13) * DAY
        friend(guide, day - dt.timedelta(seconds=rng.randint(2 * 3600 + 1, 8 * 3600 - 1)), has_picture=True)  # 0 to 6


def _leavers(rng: Random, guide: Any, now: dt.datetime) -> None:
    for _ in range(45):
        at = _shop_hours(rng, now)
        friend(guide, at, has_picture=True, customer_left_at=at + dt.timedelta(hours=rng.randint(1, 100)))


def _shared(rng: Random, guide: Any, now: dt.datetime) -> None:
    """A pool of people who add one guide after the other."""
    for number in range(15):
        friend(guide, _shop_hours(rng, now), unionid=f"oPOOL{number}", has_picture=True)


_FAKES = {"burst": _burst, "second": _second, "night": _night, "leavers": _leavers, "shared": _shared}
