"""The store list (门店表): entities, regions and stores as a company hands them in.

1. A store is known by its code. A filled cell of a later file wins; an empty cell never erases; nothing is deleted.
2. ``entity_kind`` is the ownership of the store (direct or franchised). The kind of a new entity follows from it: code
   ``HQ`` is the HQ company, any other entity with a direct store a direct company, the rest are franchisees. The kind of
   an entity that exists is not touched.
3. A name that the file does not give is the code; HQ edits it in the console and an import never puts it back.
4. Of two rows with one code the first one stands; the second is a harmless repeat if it says the same, else a problem.
5. The same list again changes nothing and says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from scrm import audit, copyin, imports, jobs
from scrm.copyin import Column, Kind
from scrm.copyin.rules import Check
from scrm.models import LegalEntity, Region, Store

KIND = "import_stores"
HQ_CODE = "HQ"

OWNERSHIPS = {
    "DIRECT": "DIRECT", "直营": "DIRECT", "直营店": "DIRECT", "自营": "DIRECT",
    "FRANCHISEE": "FRANCHISEE", "FRANCHISE": "FRANCHISEE", "加盟": "FRANCHISEE", "加盟店": "FRANCHISEE",
}  # fmt: skip

COLUMNS = (
    Column("store_code", _("store code"), ("store_code", "门店编码", "门店编号", "门店代码"), True, Kind.CODE, max_length=32),
    Column("store_name", _("store name"), ("store_name", "门店名称", "门店"), max_length=64),
    Column("entity_code", _("entity code"), ("entity_code", "主体编码", "法人编码", "公司编码"), True, Kind.CODE, max_length=32),
    Column("entity_name", _("entity name"), ("entity_name", "主体名称", "法人名称", "公司名称"), max_length=128),
    Column(
        "ownership", _("ownership"), ("entity_kind", "ownership", "经营类型", "门店类型", "经营方式"), True,
        Kind.CHOICE, OWNERSHIPS, code="bad_ownership",
    ),
    Column("region_code", _("region code"), ("region_code", "大区编码", "区域编码"), True, Kind.CODE, max_length=32),
    Column("region_name", _("region name"), ("region_name", "大区", "区域", "大区名称", "区域名称"), max_length=64),
    Column("city", _("city"), ("city", "城市"), max_length=32),
    Column("address", _("address"), ("address", "地址", "详细地址"), max_length=256),
    Column("longitude", _("longitude"), ("longitude", "经度"), kind=Kind.DECIMAL, scale=15),
    Column("latitude", _("latitude"), ("latitude", "纬度"), kind=Kind.DECIMAL, scale=15),
    Column("opened_on", _("opened on"), ("opened_on", "开业日期", "开店日期"), kind=Kind.DATE),
    Column("closed_on", _("closed on"), ("closed_on", "闭店日期", "关店日期"), kind=Kind.DATE),
)  # fmt: skip
DEGREES = Decimal("0.0000001")  # a centimetre; what the database keeps

CHECKS = (
    Check("store_code", "missing_value", "t.store_code = ''"),
    Check("entity_code", "missing_value", "t.entity_code = ''"),
    Check("ownership", "missing_value", "t.ownership = ''"),
    Check("region_code", "missing_value", "t.region_code = ''"),
    Check("longitude", "bad_longitude", "t.longitude NOT BETWEEN -180 AND 180"),
    Check("latitude", "bad_latitude", "t.latitude NOT BETWEEN -90 AND 90"),
    Check("closed_on", "closed_before_opening", "t.closed_on < t.opened_on"),
)

copyin.problems.register({
    "bad_ownership": _("Write DIRECT or FRANCHISEE (直营 or 加盟)."),
    "bad_longitude": _("A longitude is a number of degrees between -180 and 180."),
    "bad_latitude": _("A latitude is a number of degrees between -90 and 90."),
    "bad_opened_on": _("This is not a date. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日."),
    "bad_closed_on": _("This is not a date. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日."),
    "closed_before_opening": _("The closing date lies before the opening date. Correct one of them."),
    "repeated_store": _("An earlier row of this file says something else about the same store. Keep one of them."),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One good row of the list; an empty cell is "" or None."""

    line: int
    store_code: str
    store_name: str
    entity_code: str
    entity_name: str
    ownership: str
    region_code: str
    region_name: str
    city: str
    address: str
    longitude: Decimal | None
    latitude: Decimal | None
    opened_on: dt.date | None
    closed_on: dt.date | None

    @property
    def content(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__ if name != "line")


# --- pure -------------------------------------------------------------------------------------------------------------


def entity_kind(code: str, ownerships: Iterable[str]) -> str:
    """The kind of a new entity from the ownership of its stores (rule 2)."""
    if code == HQ_CODE:
        return LegalEntity.Kind.HQ
    return LegalEntity.Kind.DIRECT if Store.Ownership.DIRECT in ownerships else LegalEntity.Kind.FRANCHISEE


def first_of_each(rows: Iterable[StoreRow]) -> tuple[list[StoreRow], list[StoreRow]]:
    """Rule 4: the rows that stand, and those that contradict an earlier one."""
    standing: dict[str, StoreRow] = {}
    contradicting = []
    for row in rows:
        first = standing.setdefault(row.store_code, row)
        if first.content != row.content:
            contradicting.append(row)
    return list(standing.values()), contradicting


# --- operations -------------------------------------------------------------------------------------------------------


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_stores``."""
    with imports.opened(progress, COLUMNS) as run:
        checked = run.check(CHECKS)
        rows, contradicting = first_of_each(_read(checked.table))
        run.report((row.line, "store_code", "repeated_store") for row in contradicting)
        counts: dict[str, Any] = {"stores": len(rows)}
        if not run.is_dry:
            progress.stage("write", len(rows))
            recorded, contradicting = record_stores(rows=rows, actor=run.job.requested_by)
            run.report((row.line, "closed_on", "closed_before_opening") for row in contradicting)
            counts |= recorded
            progress.done(len(rows))
        return run.summary(checked, **counts)


@transaction.atomic
def record_stores(*, rows: Sequence[StoreRow], actor: Any) -> tuple[dict[str, int], list[StoreRow]]:
    """Create and update entities, regions and stores.

    Returns counts, all zero but ``unchanged`` for a known list, and the rows that would close a store before it opened.
    """
    entities, new_entities = _entities(rows)
    regions, new_regions = _regions(rows)
    stores = {store.code: store for store in Store.objects.select_for_update().order_by("pk")}
    created: list[Store] = []
    changed: list[Store] = []
    contradicting: list[StoreRow] = []
    fields: set[str] = set()
    for row in rows:
        wanted = _wanted(row, entities[row.entity_code], regions[row.region_code])
        store = stores.get(row.store_code)
        if store is None:
            created.append(Store(code=row.store_code, **({"name": row.store_code} | wanted)))
            continue
        if _closes_too_early(store, wanted):
            contradicting.append(row)
            continue
        different = {name: value for name, value in wanted.items() if getattr(store, name) != value}
        if different:
            for name, value in different.items():
                setattr(store, name, value)
            changed.append(store)
            fields.update(different)
    Store.objects.bulk_create(created, batch_size=1_000)
    if changed:
        Store.objects.bulk_update(changed, sorted(fields), batch_size=500)
    counts: dict[str, Any] = {
        "created": len(created), "updated": len(changed), "unchanged": len(rows) - len(created) - len(changed) - len(contradicting),
        "entities_created": new_entities, "regions_created": new_regions,
    }  # fmt: skip
    if created or changed or new_entities or new_regions:
        audit.record(actor=actor, verb="org.import_stores", target_type=Store._meta.label, **counts)
    return counts, contradicting


def _closes_too_early(store: Store, wanted: dict[str, Any]) -> bool:
    opened, closed = wanted.get("opened_on", store.opened_on), wanted.get("closed_on", store.closed_on)
    return opened is not None and closed is not None and closed < opened


def _entities(rows: Sequence[StoreRow]) -> tuple[dict[str, LegalEntity], int]:
    known = {entity.code: entity for entity in LegalEntity.objects.all()}
    owned: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for row in rows:
        if row.entity_code not in known:
            owned.setdefault(row.entity_code, set()).add(row.ownership)
            names.setdefault(row.entity_code, row.entity_name)
    new = [LegalEntity(code=c, name=names[c] or c, kind=entity_kind(c, owned[c])) for c in sorted(owned)]
    known |= {entity.code: entity for entity in LegalEntity.objects.bulk_create(new)}
    return known, len(new)


def _regions(rows: Sequence[StoreRow]) -> tuple[dict[str, Region], int]:
    known = {region.code: region for region in Region.objects.all()}
    names: dict[str, str] = {}
    for row in rows:
        if row.region_code not in known and not names.get(row.region_code):
            names[row.region_code] = row.region_name
    new = [Region(code=code, name=names[code] or code) for code in sorted(names)]
    known |= {region.code: region for region in Region.objects.bulk_create(new)}
    return known, len(new)


def _wanted(row: StoreRow, entity: LegalEntity, region: Region) -> dict[str, Any]:
    """The values that the row gives; empty cells say nothing."""
    said = {
        "name": row.store_name, "entity_id": entity.pk, "region_id": region.pk, "ownership": row.ownership,
        "city": row.city, "address": row.address, "longitude": row.longitude, "latitude": row.latitude,
        "opened_on": row.opened_on, "closed_on": row.closed_on,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value not in ("", None)}


def _read(table: str) -> list[StoreRow]:
    names = ", ".join(StoreRow.__slots__[1:])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT line_no, {names} FROM {table} WHERE problem IS NULL ORDER BY line_no")
        rows = [StoreRow(*row) for row in cursor.fetchall()]
    return [replace(row, longitude=_degrees(row.longitude), latitude=_degrees(row.latitude)) for row in rows]


def _degrees(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(DEGREES)
