"""Chain orders of the small shops: durians by the piece and by number, open for two hours, picked up tomorrow."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from django.utils import timezone

from campaigns.communities import chain_orders
from campaigns.models import ChainItem, ChainLine, ChainOrder, ChainPerson
from tests.factories.shops import Shops

HOUR = dt.timedelta(hours=1)
_numbers = itertools.count(1)

DURIAN = chain_orders.DraftItem("猫山王榴莲", 26_800, 5, aliases=("猫山王",))
PIECES = (
    chain_orders.DraftItem("D24榴莲", 25_900, 1, piece_no=1, weight_grams=1_820),
    chain_orders.DraftItem("D24榴莲", 30_400, 1, piece_no=2, weight_grams=2_140),
)
BERRIES = chain_orders.DraftItem("丹东草莓", 3_990, 10, unit="盒", aliases=("草莓",))


def draft(shops: Shops, leader: str = "A", pickup: str = "S1", **values: Any) -> chain_orders.Draft:
    now = timezone.now()
    said = {
        "title": "周末榴莲团", "pickup_from": now + 24 * HOUR, "pickup_until": now + 30 * HOUR, "opens_at": now - HOUR,
        "closes_at": now + 2 * HOUR, "items": (DURIAN, *PIECES, BERRIES), **values,
    }  # fmt: skip
    return chain_orders.Draft(leader=shops.guides[leader], pickup_store=shops.stores[pickup], **said)


def chain(shops: Shops, leader: str = "A", pickup: str = "S1", **values: Any) -> ChainOrder:
    now = timezone.now()
    made = draft(shops, leader, pickup, **values)
    return chain_orders.publish(draft=made, key=f"test {next(_numbers)}", actor=None, now=now - HOUR)


def item(row: ChainOrder, name: str, piece_no: int | None = None) -> ChainItem:
    return ChainItem.objects.get(chain=row, name__startswith=name, piece_no=piece_no)


def join(row: ChainOrder, name: str, wishes: dict[str, int], **values: Any) -> ChainPerson:
    """By the leader, who knows her people; ``wishes`` by the beginning of the item's name."""
    who = chain_orders.Who(name=name, is_trusted=True, **values)
    said = [chain_orders.Wish(item(row, name).pk, count) for name, count in wishes.items()]
    return chain_orders.join(
        chain_id=row.pk, who=who, wishes=said, source=ChainLine.Source.LEADER, actor=None, now=timezone.now()
    )
