"""Whom the sample company may want to reach (样例人群): two rules to open, count and change.

They are made once; what is there already stays as HQ has changed it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from members.audiences import freezing
from members.models import Audience
from scrm import org
from scrm.models import Brand

RULES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "高价值、快要流失的老客",
        "近一年消费满 300 元，最近买得少了：请她的导购本周联系。",
        {"op": "AND", "of": [
            {"field": "spend_365_fen", "is": "gte", "value": 30_000},
            {"field": "stage", "is": "any_of", "value": ["SLEEPING", "LAPSING"]},
        ]},
    ),
    (
        "买过一次的新客",
        "只买过一次：请她来第二次。",
        {"op": "AND", "of": [
            {"field": "orders_count", "is": "gte", "value": 1},
            {"op": "NOT", "of": [{"field": "orders_count", "is": "gte", "value": 2}]},
        ]},
    ),
)  # fmt: skip


def load(*, now: dt.datetime) -> None:
    if Audience.objects.exists():
        return
    brand = Brand.objects.get(code="MAIN")
    for name, note, rule in RULES:
        freezing.save(brand=brand, name=name, note=note, rule=rule, scope=org.EVERYTHING, actor=None, now=now)
