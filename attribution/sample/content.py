"""What the sample company sends (样例内容): tastes of its fruit, a few scripts, materials and expert answers.

It is added once; what is there already stays as HQ has changed it.
"""

from __future__ import annotations

import datetime as dt

from campaigns import content, knowledge, scripts
from campaigns.models import Answer, Content, Folder, LinkHost, Script
from members import taste
from members.models import Product, ProductAttribute, TasteAttribute

HOST = "shop.example.com"
ATTRIBUTES = (
    ("甜度", "很甜", ""),
    ("酸度", "酸爽", "不酸"),
    ("脆度", "脆", "软糯"),
    ("多汁", "多汁", ""),
    ("香气", "香气浓", ""),
)
VALUES = {  # in the order of ATTRIBUTES
    "金枕榴莲": (9, 0, 1, 2, 9), "猫山王榴莲": (10, 0, 0, 2, 10), "干尧榴莲": (9, 0, 1, 2, 8), "泰国山竹": (7, 4, 3, 8, 5),
    "智利车厘子 JJ": (8, 3, 7, 8, 5), "山东大樱桃": (7, 4, 6, 8, 5), "丹东草莓": (8, 3, 2, 8, 9), "赣南脐橙": (7, 4, 3, 9, 6),
    "爱媛果冻橙": (8, 3, 1, 10, 6), "沃柑": (9, 2, 2, 9, 5), "砂糖橘": (9, 1, 2, 8, 5), "安岳黄柠檬": (1, 10, 3, 8, 8),
    "阿克苏冰糖心苹果": (8, 2, 9, 8, 5), "烟台红富士": (7, 3, 8, 7, 4), "秋月梨": (8, 1, 9, 10, 4), "库尔勒香梨": (8, 1, 8, 9, 6),
    "阳光玫瑰": (9, 1, 7, 8, 9), "巨峰葡萄": (7, 3, 2, 9, 6), "麒麟西瓜": (9, 0, 8, 10, 4), "哈密瓜": (9, 0, 7, 8, 7),
    "奉化水蜜桃": (9, 1, 1, 10, 8), "油桃": (7, 3, 8, 7, 5), "三华李": (6, 6, 7, 7, 4), "仙居杨梅": (6, 7, 1, 9, 6),
    "海南贵妃芒": (8, 2, 1, 7, 8), "佳沛金奇异果": (8, 3, 1, 7, 6), "徐香猕猴桃": (7, 5, 1, 7, 6), "越南红心火龙果": (8, 0, 2, 7, 2),
}  # fmt: skip
SCRIPTS: tuple[tuple[str, str, dict[int, str]], ...] = (
    ("榴莲到货", "金枕榴莲", {
        1: "{商品}到店了，{商品特点}，我是{门店}的{导购}，需要的话给您留一个。", 2: "{称呼}，{商品}到店了，{商品特点}，给您留一个？",
        4: "{称呼}，您{上次购买日}买的{上次购买}又到了一批，给您留一个？", 5: "{称呼}，{口味理由}，今天刚到，给您留一个？",
        6: "{称呼}，{常购日}{常购时段}您来店里吗？{商品}给您留好。",
    }),
    ("苹果推荐", "阿克苏冰糖心苹果", {1: "{商品}{商品特点}，正是好吃的时候。", 2: "{称呼}，{商品}正当季，{商品特点}。", 5: "{称呼}，{口味理由}，要不要尝尝{商品}？"}),
    ("生日问候", "", {1: "我是{门店}的{导购}，有需要随时找我。", 2: "{称呼}您好，我是{门店}的{导购}。", 3: "{称呼}，{生日}是您的生日，提前祝您生日快乐！"}),
)  # fmt: skip
ANSWERS = (
    (
        "榴莲怎么判断熟没熟",
        "闻：有明显香味。按：刺尖捏得动。摇：有轻微晃动感。三样有两样就可以开了。",
        ("金枕榴莲", "猫山王榴莲"),
    ),
    ("水蜜桃怎么保存", "没熟的常温放一两天，熟了的放冰箱冷藏，两天内吃完；吃之前半小时拿出来更香。", ("奉化水蜜桃",)),
    ("孕妇能不能吃山竹", "一般可以适量吃。有妊娠期血糖问题的，请先问医生。", ("泰国山竹",)),
)


def load(*, now: dt.datetime) -> None:
    """Part of the sample's job; run again it adds what is missing."""
    products = {product.name: product for product in Product.objects.filter(name__in=VALUES)}
    attributes = [
        TasteAttribute.objects.get_or_create(name=name, defaults={"words": high, "low_words": low, "position": place})[
            0
        ]
        for place, (name, high, low) in enumerate(ATTRIBUTES, start=1)
    ]
    ProductAttribute.objects.bulk_create(
        [
            ProductAttribute(product=products[name], attribute=attribute, value=value)
            for name, values in VALUES.items() if name in products
            for attribute, value in zip(attributes, values, strict=True)
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    taste.rebuild(now=now)
    LinkHost.objects.get_or_create(host=HOST, defaults={"note": "示例商城"})
    folder = Folder.objects.get_or_create(name="时令")[0]
    if not Content.objects.exists():
        said = {
            "TEXT": content.Said(text="本周到货：金枕榴莲、丹东草莓、赣南脐橙，欢迎来店里试吃。"),
            "LINK": content.Said(
                text="一分钟学会挑榴莲",
                title="榴莲怎么挑",
                description="看刺、闻香、听声",
                url=f"https://{HOST}/guide/durian",
            ),
        }
        for kind, one in said.items():
            row = Content(
                kind=kind, name="本周到货" if kind == "TEXT" else "榴莲挑选指南", folder=folder, tags=["时令"]
            )
            content.write(content=row, said=one, actor=None, now=now)
    if not Script.objects.exists():
        for name, product, texts in SCRIPTS:
            if not product or product in products:
                scripts.write(script=Script(name=name, product=products.get(product)), texts=texts, actor=None, now=now)
    if not Answer.objects.exists():
        for question, text, about in ANSWERS:
            answer = Answer.objects.create(question=question, answer=text, expert="采购部 老周")
            answer.products.set([products[name] for name in about if name in products])
            knowledge.index(answer=answer)
