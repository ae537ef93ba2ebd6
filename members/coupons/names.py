"""What templates name, in words: places, channels, products; asked once for many templates, when the first one needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from django.utils.translation import gettext as _

from members.models import CouponTemplate
from scrm import db

SHOWN = 4  # of a long list
WEEKDAYS = {1: "周一", 2: "周二", 3: "周三", 4: "周四", 5: "周五", 6: "周六", 7: "周日"}
_NAMES = """
    SELECT 'region_ids', id, name FROM scrm_region WHERE id = ANY(%s::bigint[])
    UNION ALL SELECT 'entity_ids', id, name FROM scrm_legalentity WHERE id = ANY(%s::bigint[])
    UNION ALL SELECT 'store_ids', id, name FROM scrm_store WHERE id = ANY(%s::bigint[])
    UNION ALL SELECT 'category_ids', id, name FROM members_category WHERE id = ANY(%s::bigint[])
    UNION ALL SELECT 'product_ids', id, name FROM members_product WHERE id = ANY(%s::bigint[])
"""
PLACES, GOODS = ("region_ids", "entity_ids", "store_ids"), ("category_ids", "product_ids")


class Names:
    """Of these templates; at most two statements, whatever their number."""

    def __init__(self, templates: Iterable[CouponTemplate]) -> None:
        self.templates = tuple(templates)

    def places(self, template: CouponTemplate) -> str:
        """Where it is valid; empty: everywhere."""
        return self._listed(template, PLACES)

    def goods(self, template: CouponTemplate) -> str:
        return self._listed(template, GOODS)

    def channels(self, template: CouponTemplate) -> str:
        return "、".join(self._channels.get(code, code) for code in template.channels)

    def _listed(self, template: CouponTemplate, lists: Sequence[str]) -> str:
        if not any(getattr(template, name) for name in lists):
            return ""
        named = [
            self._found[name, key] for name in lists for key in _first(template, name) if (name, key) in self._found
        ]
        text = "、".join(named[:SHOWN])
        count = sum(len(getattr(template, name)) for name in lists)
        return text if count <= SHOWN else _("%(names)s and others") % {"names": text}

    @cached_property
    def _found(self) -> dict[tuple[str, int], str]:
        wanted = [{key for each in self.templates for key in _first(each, name)} for name in (*PLACES, *GOODS)]
        return {(kind, key): name for kind, key, name in db.read(_NAMES, [db.array(sorted(keys)) for keys in wanted])}

    @cached_property
    def _channels(self) -> dict[str, str]:
        codes = sorted({code for each in self.templates for code in each.channels})
        return dict(db.read("SELECT code, name FROM members_channel WHERE code = ANY(%s::text[])", [codes]))


def is_for_goods(template: CouponTemplate) -> bool:
    return bool(template.product_ids or template.category_ids)


def hours(template: CouponTemplate) -> str:
    days = "、".join(WEEKDAYS[day] for day in template.weekdays)
    times = ""
    if template.hour_from and template.hour_until:
        times = f"{template.hour_from:%H:%M}–{template.hour_until:%H:%M}"
    return " ".join(filter(None, [days, times]))


def _first(template: CouponTemplate, name: str) -> list[int]:
    return sorted(getattr(template, name))[:SHOWN]
