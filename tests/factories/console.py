"""The shops with everybody who works in the console, logged in."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.test import Client
from django.utils import timezone

from scrm.models import Grant, LegalEntity, Role, Store, User
from tests.factories import shops as factory

# whose stores each of them may see; None: everything
SEES: dict[str, set[str] | None] = {
    "hq": None,
    "operator": None,
    "auditor": None,
    "region": {"S1", "F1"},
    "franchisee": {"F1"},
    "franchisee_b": {"F2"},
    "manager": {"S1"},
}


@dataclass
class Console:
    shops: factory.Shops
    staff: dict[str, User]

    def client(self, name: str) -> Any:
        """Logged in as one of the staff; untyped, as its answers carry what the view gave them."""
        client = Client(raise_request_exception=True)
        client.force_login(self.staff[name])
        return client


def console() -> Console:
    """Members, lines and bindings in S1, S2 and F1; F2 belongs to another franchisee and has none."""
    shops = factory.shops()
    other = LegalEntity.objects.create(code="FB", name="加盟公司乙", kind="FRANCHISEE")
    south = shops.stores["S2"].region
    shops.stores["F2"] = Store.objects.create(
        code="F2", name="F2店", entity=other, region=south, ownership="FRANCHISEE"
    )
    now = timezone.now()
    hour = dt.timedelta(hours=1)
    for name, store, guide in (("安琪", "S1", "A"), ("白鹭", "S2", "B"), ("付雪", "F1", "F")):
        shops.member(name, store=store, guide=guide, tier=factory.tier(shops.brand, "金卡"))
        shops.line(store, member=name, store=store, paid_fen=10_000, at=now - hour, cashier=shops.guides[guide].code)
        factory.tag(shops.members[name], "老客")
    shops.refund("S1", 2_000, now)
    staff = {name: shops.staff[name] for name in ("hq", "region", "franchisee")}
    grants: tuple[tuple[str, dict[str, Any]], ...] = (
        ("operator", {"role": Role.HQ_OPERATOR}),
        ("auditor", {"role": Role.AUDITOR}),
        ("franchisee_b", {"role": Role.FRANCHISEE_OWNER, "entity": other}),
        ("manager", {"role": Role.STORE_MANAGER, "store": shops.stores["S1"]}),
    )
    for name, values in grants:
        staff[name] = User.objects.create_user(name, name=name)
        Grant.objects.create(user=staff[name], **values)
    return Console(shops, staff)
