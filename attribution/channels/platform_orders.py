"""A platform's delivery out of the inbox (平台订单): its own payload, read by its platform into lines and refunds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext_lazy as _

from attribution.channels import facts, shops
from attribution.channels.order_event import Delivery
from attribution.models import ChannelShop
from scrm import copyin

copyin.problems.register({
    "unknown_status": _("The platform gives a state that is not known. Its documents have changed: tell IT; the payload is kept."),
    "amounts_disagree": _("Lines and freight do not add up to what was paid. Look at the settings of the shop, then play it again."),
    "no_lines": _("The order has no lines."),
    "refund_without_line": _("The refund names no line, and its order is not there."),
    "refund_without_order": _("The refund names several lines, and its order is not there to spread it over."),
    "refund_of_unknown_line": _("The refund names a line that its order does not have."),
    "missing_time": _("A time that must be there is missing in the payload."),
    "bad_number": _("A number of the order, line or refund is empty or longer than 64 characters."),
    "bad_push": _("The push cannot be read as its platform documents it."),
})  # fmt: skip


def shops_of(ids: Collection[int]) -> dict[int, ChannelShop]:
    return {shop.pk: shop for shop in ChannelShop.objects.filter(pk__in=ids)} if ids else {}


def read(shop: ChannelShop, body: Any, now: dt.datetime) -> Delivery:
    """Raises Unreadable."""
    said = shops.platform_of(shop).read(body, shop.settings)
    refs = {ref for order in said.orders for ref in (order.store_ref, order.fulfil_store_ref) if ref}
    refs |= {line.fulfil_store_ref for order in said.orders for line in order.lines if line.fulfil_store_ref}
    ours = shops.facts_of(shop, refs)
    lines = [line for order in said.orders for line in facts.line_versions(ours, order, now)]
    return Delivery(tuple(lines), facts.refund_versions(ours, said, now))
