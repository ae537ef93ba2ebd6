"""What the sample's customers call themselves on WeChat."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from scrm.wecom.sandbox.records import WECOM

FIRST = "晚风 小鹿 橘子 青柠 云朵 山茶 南风 星河 豆沙 麦芽 小满 半夏 阿布 糯米 海盐 初七 木木 团子 栀子 薄荷".split()
SECOND = ("", "", "", "不加糖", "妈妈", "同学", "在杭州", "呀", "先生", "的水果摊", "2025", "🍊")
COMPANIES = ("湖畔餐饮", "绿野生鲜配送", "之江会务", "西溪酒店")


def nickname(rng: Random, name: str) -> str:
    """Some use their name, some a part of it, most neither."""
    chance = rng.random()
    if chance < 0.25 and name:
        return name
    if chance < 0.4 and len(name) > 1:
        return f"小{name[-1]}"
    return rng.choice(FIRST) + rng.choice(SECOND)


def newcomers(rng: Random, strangers: int, company_contacts: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and values of people who are nobody's members; the last ones use WeCom themselves."""
    for _ in range(strangers):
        yield nickname(rng, ""), {"gender": rng.choice((0, 1, 2))}
    for _ in range(company_contacts):
        company = rng.choice(COMPANIES)
        yield f"{rng.choice('王李张陈沈')}经理", {"type": WECOM, "corp_name": company}
