"""Three shops whose guides have accounts at the sandbox's WeCom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from guides import contact_ways, contacts
from guides.models import ContactWay
from scrm.wecom import outbox
from scrm.wecom.sandbox import people
from tests.factories import shops as factory
from tests.factories.wecom import Wired


@dataclass
class Company:
    shops: factory.Shops
    wecom: Wired

    def draft(self, who: str = "A", **values: Any) -> ContactWay:
        """The guide's own code, unless ``values`` say otherwise."""
        person = self.shops.guides[who]
        wanted = {
            "purpose": "GUIDE",
            "guide": person,
            "name": person.name,
            "staff": [contact_ways.Staff(person)],
            **values,
        }
        return contact_ways.draft(corp=self.wecom.corp, actor=None, now=timezone.now(), **wanted)

    def make(self, who: str = "A", **values: Any) -> ContactWay:
        """A code that WeCom has made."""
        way = self.draft(who, **values)
        contact_ways.create(way=way, actor=None, now=timezone.now())
        self.send()
        way.refresh_from_db()
        return way

    def store_way(self, *staff: contact_ways.Staff, store: str = "S1", **values: Any) -> ContactWay:
        wanted = {
            "purpose": "STORE",
            "guide": None,
            "store": self.shops.stores[store],
            "name": "门店码",
            "staff": staff,
        }
        return self.make(**{**wanted, **values})

    def send(self) -> Any:
        return outbox.send_due(now=timezone.now())

    def scan(self, way: ContactWay, name: str = "晚风", unionid: str = "") -> str:
        """A customer scans it, the guide accepts, and we have heard and read everything; her external_userid."""
        assert way.config_id is not None
        world = self.wecom.world
        contact = world.add_contact(name, unionid=unionid)
        asked = people.scan(world, way.config_id, contact.external_userid)
        self.hear()
        people.confirm(world, asked.userid, contact.external_userid)
        self.hear()
        return contact.external_userid

    def hear(self) -> None:
        self.wecom.tell()
        outbox.send_due(now=timezone.now())
        contacts.read_due()


@pytest.fixture
def company(sandbox: Wired) -> Company:
    shops = factory.shops()
    for name, guide in shops.guides.items():
        guide.wecom_userid = f"guide_{name.lower()}"
        guide.save()
        sandbox.world.add_member(f"Guide_{name}", guide.name)
    contacts.match_guides()
    return Company(shops, sandbox)
