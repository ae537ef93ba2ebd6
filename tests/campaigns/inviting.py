"""A group of A's store with a code, and an invitation of which she has somebody to invite: rows alone, without a WeCom."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from campaigns.models import Group, GroupInvitation, Invitee, JoinWay
from members.models import Audience, AudienceSnapshot, AudienceVersion
from scrm.models import Corp
from tests.factories.shops import Shops

DAY = dt.timedelta(days=1)


def invitation(shops: Shops, name: str, guide: Any, store: Any, member: Any, way: JoinWay) -> GroupInvitation:
    audience, _is_new = Audience.objects.get_or_create(brand=shops.brand, name="入群对象", defaults={"rule": {}})
    version, _is_new = AudienceVersion.objects.get_or_create(
        audience=audience, version_no=1, defaults={"rule": {}, "digest": "0" * 64}
    )
    snapshot, _is_new = AudienceSnapshot.objects.get_or_create(version=version, defaults={"status": "BUILDING"})
    now = timezone.now()
    row = GroupInvitation.objects.create(
        brand=shops.brand, corp=way.corp, name=name, snapshot=snapshot, text="{客户称呼}，来我们的福利群吧", status="OUT",
        starts_at=now - DAY, ends_at=now + DAY,
    )  # fmt: skip
    Invitee.objects.create(invitation=row, member=member, guide=guide, store=store, way=way)
    return row


def made(shops: Shops) -> dict[str, int]:
    """The keys of ``group``, ``way`` and ``invitee``."""
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwI", defaults={"name": "示例公司"})
    guide, store = shops.guides["A"], shops.stores["S1"]
    group, _is_new = Group.objects.get_or_create(
        corp=corp,
        chat_id="wrI",
        defaults={"name": "S1福利群", "owner": guide, "store": store, "asked_at": timezone.now()},
    )
    values = {
        "name": "S1入群码",
        "store": store,
        "status": "LIVE",
        "config_id": "cI",
        "qr_code": "https://work.weixin.qq.com/gm/I",
    }
    way, _is_new = JoinWay.objects.get_or_create(corp=corp, state="jI", defaults=values)
    asked = Invitee.objects.filter(invitation__name="入群").first()
    if asked is None:
        asked = invitation(shops, "入群", guide, store, shops.members["安琪"], way).invitees.get()
    return {"group": group.pk, "way": way.pk, "invitee": asked.pk}
