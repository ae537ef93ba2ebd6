"""Two direct shops and a franchised one, their people, members and purchases: enough to see who may see what."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from attribution import decisions
from attribution.models import Decision
from guides.models import Binding, Employment, Guide
from members.models import (
    Category,
    Identity,
    LineToDecide,
    Member,
    MemberTag,
    Order,
    OrderLine,
    Product,
    Refund,
    Tag,
    Tier,
)
from scrm import crypto, db
from scrm.api import authentication
from scrm.models import Brand, DeviceToken, Grant, LegalEntity, Region, Role, Store, User

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def mobile(number: int) -> str:
    """A number of a block that no operator has."""
    return f"154{number:08d}"


@dataclass
class Shops:
    brand: Brand
    stores: dict[str, Store]
    guides: dict[str, Guide]
    staff: dict[str, User]
    members: dict[str, Member] = field(default_factory=dict)
    lines: dict[str, OrderLine] = field(default_factory=dict)

    def token(self, name: str, device: str = "test-device") -> str:
        """A token for a guide or for somebody of the staff, without the detour over a code."""
        user = self.guides[name].user if name in self.guides else self.staff[name]
        return token_of(user, device)

    def member(self, name: str, *, store: str, guide: str | None = None, **values: Any) -> Member:
        number = next(_numbers)
        member = Member.objects.create(
            brand=self.brand, name=name, home_store=self.stores[store], registered_on=dt.date(2024, 1, 1), **values
        )
        e164 = f"+86{mobile(number)}"
        Identity.objects.create(
            member=member,
            kind="MOBILE",
            namespace="MAIN",
            value=crypto.mobile_index(e164),
            sealed=crypto.seal_mobile(e164),
        )
        Identity.objects.create(member=member, kind="CARD", namespace="MAIN", value=f"VIP{number:06d}")
        if guide:
            bind(member, self.guides[guide], self.stores[store])
        self.members[name] = member
        return member

    def line(
        self,
        name: str,
        *,
        member: str | None,
        store: str | None,
        paid_fen: int,
        at: dt.datetime,
        cashier: str = "",
        **values: Any,
    ) -> OrderLine:
        """A decided and posted order line; ``at`` is the payment."""
        number = next(_numbers)
        day = timezone.localtime(at).date()
        db.ensure_partitions(OrderLine, day, day)
        channel = "POS" if store else "MINI_PROGRAM"
        order = Order.objects.create(channel=channel, shop=store or "main", order_no=f"P{number:06d}", booked_on=day)
        line = OrderLine.objects.create(
            order=order, booked_on=day, line_no=1, channel=channel, version_at=at, content_hash=f"{number:032x}", created_at=at,
            paid_at=at, store=self.stores[store] if store else None, cashier_code=cashier,
            member=self.members[member] if member else None, product=product(f"水果{number % 3}"), quantity=1,
            list_fen=paid_fen, paid_fen=paid_fen, **values,
        )  # fmt: skip
        LineToDecide.objects.create(line_id=line.pk, booked_on=day)
        decisions.decide_lines(line_ids=[line.pk])
        self.lines[name] = line
        return line

    def refund(self, name: str, amount_fen: int, at: dt.datetime) -> Refund:
        line = self.lines[name]
        OrderLine.objects.filter(pk=line.pk, booked_on=line.booked_on).update(
            refunded_fen=line.refunded_fen + amount_fen
        )
        refund = Refund.objects.create(
            channel=line.channel, shop=line.order.shop, refund_no=f"R{next(_numbers)}", order_no=line.order.order_no, line_no=1,
            line_id=line.pk, booked_on=line.booked_on, version_at=at, content_hash="0" * 32, refunded_at=at, quantity=1,
            amount_fen=amount_fen, status="APPLIED",
        )  # fmt: skip
        LineToDecide.objects.create(line_id=line.pk, booked_on=line.booked_on)
        decisions.decide_lines(line_ids=[line.pk])
        return refund


def shops() -> Shops:
    """S1 in the north and S2 in the south are direct, F1 in the north is franchised. Guides A (S1), B (S2), F (F1) and the
    manager M of S1; a region manager of the north, a franchisee owner and an HQ administrator."""
    hq = LegalEntity.objects.create(code="HQ", name="总部", kind="HQ")
    franchisee = LegalEntity.objects.create(code="FE", name="加盟公司", kind="FRANCHISEE")
    north = Region.objects.create(code="N", name="北区")
    south = Region.objects.create(code="S", name="南区")
    stores = {
        code: Store.objects.create(code=code, name=f"{code}店", entity=entity, region=region, ownership=ownership)
        for code, entity, region, ownership in (
            ("S1", hq, north, "DIRECT"), ("S2", hq, south, "DIRECT"), ("F1", franchisee, north, "FRANCHISEE"),
        )
    }  # fmt: skip
    guides = {
        "A": hire("G00001", "王芳", stores["S1"]),
        "B": hire("G00002", "李娜", stores["S2"]),
        "F": hire("G00003", "陈静", stores["F1"]),
        "M": hire("G00004", "张敏", stores["S1"], role="STORE_MANAGER"),
    }
    staff = {name: User.objects.create_user(name) for name in ("region", "franchisee", "hq")}
    Grant.objects.create(user=guides["M"].user, role=Role.STORE_MANAGER, store=stores["S1"])
    Grant.objects.create(user=staff["region"], role=Role.REGION_MANAGER, region=north)
    Grant.objects.create(user=staff["franchisee"], role=Role.FRANCHISEE_OWNER, entity=franchisee)
    Grant.objects.create(user=staff["hq"], role=Role.HQ_ADMIN)
    brand = Brand.objects.get(code="MAIN")
    return Shops(brand, stores, guides, staff)


def hire(code: str, name: str, store: Store, role: str = "GUIDE") -> Guide:
    user = User.objects.create(username=code, name=name)
    user.set_unusable_password()
    user.save()
    guide = Guide.objects.create(user=user, code=code, name=name)
    Employment.objects.create(guide=guide, store=store, role=role, started_at=LONG_AGO)
    return guide


def leave(guide: Guide, at: dt.datetime) -> None:
    Employment.objects.filter(guide=guide, ended_at=None).update(ended_at=at)


def bind(member: Member, guide: Guide, store: Store, started_at: dt.datetime = LONG_AGO) -> Binding:
    return Binding.objects.create(
        brand=member.brand, member=member, guide=guide, store=store, source="IMPORT", started_at=started_at
    )


def product(name: str) -> Product:
    category, _is_new = Category.objects.get_or_create(code="FRUIT", defaults={"name": "水果"})
    return Product.objects.get_or_create(sku=f"SKU-{name}", defaults={"name": name, "category": category})[0]


def tag(member: Member, name: str) -> None:
    row, _is_new = Tag.objects.get_or_create(brand=member.brand, name=name)
    MemberTag.objects.create(member=member, tag=row, source="MANUAL")


def tier(brand: Brand, name: str) -> Tier:
    return Tier.objects.get_or_create(brand=brand, name=name)[0]


def token_of(user: User, device: str = "test-device") -> str:
    DeviceToken.objects.filter(user=user, device=device).delete()
    now = timezone.now()
    from django.db import transaction

    with transaction.atomic():
        return authentication.issue(user=user, device=device, now=now)[1]


def live_decision(line: OrderLine) -> Decision:
    return Decision.objects.exclude(state="SUPERSEDED").get(line_id=line.pk)
