"""Which part of the company something is for (适用范围): a region, an entity, both, one store, or everybody."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scrm.models import LegalEntity, Region, Store


class ForPart(models.Model):
    """Rows that HQ makes for a part of the company; who sees a store of that part sees them."""

    region = models.ForeignKey(
        Region, models.PROTECT, verbose_name=_("for region"), null=True, blank=True, db_index=False, related_name="+"
    )
    entity = models.ForeignKey(
        LegalEntity, models.PROTECT, verbose_name=_("for legal entity"), null=True, blank=True, db_index=False, related_name="+",
    )  # fmt: skip
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("for store"), null=True, blank=True, db_index=False, related_name="+"
    )

    class Meta:
        abstract = True

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return part_q(store_ids)

    @property
    def part_text(self) -> str:
        parts = [str(part) for part in (self.region, self.entity, self.store) if part is not None]
        return " · ".join(parts) or str(_("everybody"))


def part_q(store_ids: Iterable[int], prefix: str = "") -> Q:
    """Rows for everybody, and for a part to which one of the stores belongs. Two small queries."""
    parents = dict(Region.objects.values_list("pk", "parent_id"))
    above: dict[int, set[int]] = {}  # of each entity, the regions of its stores with all above them
    for region_id, entity_id in Store.objects.filter(pk__in=list(store_ids)).values_list("region_id", "entity_id"):
        found: set[int] = above.setdefault(entity_id, set())
        at: int | None = region_id
        while at is not None and at not in found:
            found.add(at)
            at = parents.get(at)
    wanted = _q(prefix, region=None, entity=None, store=None) | Q(**{f"{prefix}store__in": list(store_ids)})
    for entity_id, regions in above.items():
        for_region = _q(prefix, region=None) | Q(**{f"{prefix}region__in": sorted(regions)})
        for_entity = _q(prefix, entity=None) | _q(prefix, entity=entity_id)
        wanted |= _q(prefix, store=None) & for_region & for_entity
    return wanted


def _q(prefix: str, **values: int | None) -> Q:
    return Q(**{f"{prefix}{name}": value for name, value in values.items()})
