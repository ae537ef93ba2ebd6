"""Codes of a store that wait to be made: WeCom makes a second one for a second call, so that repetitions show."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from guides import contact_ways, contacts
from guides.models import Guide
from scrm.models import Corp, Store
from tests.factories import shops as factory
from tests.factories.wecom import Wired


class Ways:
    def __init__(self, box: Wired) -> None:
        shops = factory.shops()
        Guide.objects.filter(pk=shops.guides["A"].pk).update(wecom_userid="wangfang")
        box.world.add_member("wangfang", "王芳")
        contacts.match_guides()
        self.names = {"corp": box.corp.pk, "guide": shops.guides["A"].pk, "store": shops.stores["S1"].pk}

    def ask(self, count: int) -> None:
        with transaction.atomic():
            ask(count=count, **self.names)


def ask(*, count: int, corp: int, guide: int, store: int) -> None:
    """Each in a transaction of its own, unless the caller has one."""
    its_corp, its_store = Corp.objects.get(pk=corp), Store.objects.get(pk=store)
    staff = [contact_ways.Staff(Guide.objects.get(pk=guide))]
    for _number in range(count):
        now = timezone.now()
        with transaction.atomic():
            way = contact_ways.draft(
                corp=its_corp, purpose="STORE", name="门店码", staff=staff, store=its_store, actor=None, now=now
            )
            contact_ways.create(way=way, actor=None, now=now)
