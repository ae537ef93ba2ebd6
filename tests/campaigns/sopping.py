"""SOPs for tests: published with their steps, and swept."""

from __future__ import annotations

import datetime as dt
from typing import Any

from campaigns import sops
from campaigns.models import Sop, SopStep, SopVersion
from tests.factories.shops import Shops


def sop(shops: Shops, *steps: dict[str, Any], at: dt.datetime, anchor: str = "BOUGHT", **values: Any) -> Sop:
    """In force since ``at``; a step is a message unless it says otherwise."""
    row = Sop.objects.create(
        brand=shops.brand, name=f"跟进{Sop.objects.count()}", anchor=anchor, anchor_days=values.pop("days", 0)
    )
    version = sops.draft_from(sop=row, actor=None)
    SopVersion.objects.filter(pk=version.pk).update(**values)
    for number, step in enumerate(steps, start=1):
        given = {"position": number, "kind": "MESSAGE", "title": f"第{number}步", **step}
        if given["kind"] == "MESSAGE":
            given.setdefault("text", "{客户称呼}您好，我是{门店名称}的{导购姓名}")
        SopStep.objects.create(version=version, **given)
    version.refresh_from_db()
    sops.publish(version=version, actor=None, now=at)
    return row


def sweep(at: dt.datetime) -> None:
    sops.enrol(now=at)
    while sops.advance(now=at):
        pass
