"""The sample company as the five files that a company hands over."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attribution.sample.company import Company
from attribution.sample.places import ENTITIES, REGIONS

STORES, GUIDES, MEMBERS, ORDERS, REFUNDS = FILES = (
    "stores.csv",
    "guides.csv",
    "members.csv",
    "orders.csv",
    "refunds.csv",
)

STORE_COLUMNS = (
    "store_code,store_name,entity_code,entity_name,entity_kind,region_code,region_name,"
    "city,address,longitude,latitude,opened_on"
).split(",")
GUIDE_COLUMNS = "guide_code,name,mobile,store_code,role,wecom_userid,hired_on,left_on".split(",")
MEMBER_COLUMNS = "会员卡号,姓名,手机号,性别,生日,等级,积分,开卡门店,专属导购,开卡日期,标签,备注".split(",")
ORDER_COLUMNS = (
    "channel,shop,order_no,line_no,created_at,paid_at,completed_at,buyer_mobile,buyer_card_no,store_code,cashier_guide_code,"
    "sku,product_name,category,quantity,unit_price,list_amount,discount_hq,discount_store,paid_amount,points_amount,"
    "staff_price,wholesale,test,risk_mark"
).split(",")
REFUND_COLUMNS = "channel,shop,order_no,line_no,refund_no,refunded_at,quantity,amount".split(",")
FLAGS = ("staff_price", "wholesale", "test")
GENDERS = {"F": "女", "M": "男", "": ""}


def write(company: Company, folder: Path) -> list[Path]:
    """Write the five files into ``folder``; equal companies give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: tuple[tuple[str, list[str], Iterable[tuple[Any, ...]]], ...] = (
        (STORES, STORE_COLUMNS, _stores(company)),
        (GUIDES, GUIDE_COLUMNS, _guides(company)),
        (MEMBERS, MEMBER_COLUMNS, _members(company)),
        (ORDERS, ORDER_COLUMNS, _orders(company)),
        (REFUNDS, REFUND_COLUMNS, _refunds(company)),
    )
    paths = []
    for name, columns, rows in tables:
        paths.append(folder / name)
        with paths[-1].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
    return paths


def _stores(company: Company) -> Iterator[tuple[Any, ...]]:
    entities = {entity.code: entity.name for entity in ENTITIES}
    regions = {region.code: region.name for region in REGIONS}
    for s in company.stores:
        yield (
            s.code, s.name, s.entity_code, entities[s.entity_code], s.ownership, s.region_code, regions[s.region_code],
            s.city, s.address, s.longitude, s.latitude, s.opened_on,
        )  # fmt: skip


def _guides(company: Company) -> Iterator[tuple[Any, ...]]:
    for g in company.guides:
        yield g.code, g.name, g.mobile, g.store_code, g.role, g.wecom_userid, g.hired_on, g.left_on or ""


def _members(company: Company) -> Iterator[tuple[Any, ...]]:
    for m in company.members:
        yield (
            m.card_no, m.name, m.mobile, GENDERS[m.gender], m.birthday or "", m.tier, m.points, m.store_code,
            m.guide_code, m.registered_on, "|".join(m.tags), m.remark,
        )  # fmt: skip


def _orders(company: Company) -> Iterator[tuple[Any, ...]]:
    for line in company.lines:
        good, saved = line.good, line.list_fen - line.paid_fen
        by_store = line.channel == "POS"
        yield (
            line.channel, line.shop, line.order_no, line.line_no, _time(line.created_at), _time(line.paid_at),
            _time(line.completed_at), line.buyer_mobile, line.buyer_card_no, line.store_code, line.cashier_code,
            good.sku, good.name, good.category_code, _kilos(line.grams), _yuan(good.price_fen), _yuan(line.list_fen),
            _some(0 if by_store else saved), _some(saved if by_store else 0), _yuan(line.paid_fen), _some(line.points_fen),
            *("1" if line.mark == flag else "" for flag in FLAGS), "" if line.mark in FLAGS else line.mark,
        )  # fmt: skip


def _refunds(company: Company) -> Iterator[tuple[Any, ...]]:
    for r in company.refunds:
        yield (
            r.channel, r.shop, r.order_no, r.line_no, r.refund_no, _time(r.refunded_at), _kilos(r.grams),
            _yuan(r.amount_fen),
        )  # fmt: skip


def _time(at: dt.datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _some(fen: int) -> str:
    return _yuan(fen) if fen else ""


def _kilos(grams: int) -> str:
    whole, part = divmod(grams, 1000)
    return f"{whole}.{part:03d}".rstrip("0").rstrip(".") if part else str(whole)
