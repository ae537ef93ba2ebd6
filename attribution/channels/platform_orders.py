"""A platform's delivery out of the inbox (平台订单): its own payload, read by its platform into lines and refunds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from attribution.channels import facts, shops
from attribution.channels.order_event import Delivery
from attribution.models import ChannelEvent, ChannelShop


def shops_of(events: Iterable[ChannelEvent]) -> dict[int, ChannelShop]:
    ids = {event.shop_id for event in events if event.shop_id is not None}
    return {shop.pk: shop for shop in ChannelShop.objects.filter(pk__in=ids)} if ids else {}


def read(shop: ChannelShop, body: Any, now: dt.datetime) -> Delivery:
    """Raises Unreadable."""
    said = shops.platform_of(shop).read(body, shop.settings)
    refs = {ref for order in said.orders for ref in (order.store_ref, order.fulfil_store_ref) if ref}
    refs |= {line.fulfil_store_ref for order in said.orders for line in order.lines if line.fulfil_store_ref}
    ours = shops.facts_of(shop, refs)
    lines = [line for order in said.orders for line in facts.line_versions(ours, order, now)]
    return Delivery(tuple(lines), facts.refund_versions(ours, said, now))
