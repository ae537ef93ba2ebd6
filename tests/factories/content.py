"""Materials, scripts and tastes for tests."""

from __future__ import annotations

import io
from typing import Any

from django.utils import timezone
from PIL import Image

from campaigns import content, content_files, posters, scripts
from campaigns.models import Content, LinkHost, Poster, Script
from guides.models import ContactWay, Guide
from members.models import Product, ProductAttribute, TasteAttribute
from scrm.models import Corp

HOST = "shop.example.com"


def picture(kind: str = "PNG", size: tuple[int, int] = (600, 400), mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, (200, 30, 40)[: len(mode)] if mode == "RGB" else (200, 30, 40, 90)).save(out, kind, **options)
    return out.getvalue()


def material(
    name: str = "榴莲指南", kind: str = Content.Kind.LINK, said: dict[str, Any] | None = None, **values: Any
) -> Content:
    LinkHost.objects.get_or_create(host=HOST)
    words: dict[str, dict[str, Any]] = {
        "TEXT": {"text": "榴莲到货啦"},
        "LINK": {"title": "榴莲怎么挑", "url": f"https://{HOST}/guide?id=1", "description": "看刺、闻香"},
        "IMAGE": {"file": content_files.checked("image", "a.png", picture())},
        "MINI_PROGRAM": {
            "title": "金枕榴莲", "app_id": "wx1234567890abcdef", "page": "pages/goods/detail?id=1",
            "file": content_files.checked("image", "a.png", picture(), is_cover=True),
        },
    }  # fmt: skip
    row = Content(kind=kind, name=name, **values)
    return content.write(
        content=row, said=content.Said(**(words[kind] if said is None else said)), actor=None, now=timezone.now()
    )


def script(name: str = "榴莲到货", texts: dict[int, str] | None = None, **values: Any) -> Script:
    words = texts or {1: "{商品}到货了", 2: "{称呼}，{商品}到货了", 4: "{称呼}，您上次买的{上次购买}又到了"}
    return scripts.write(script=Script(name=name, **values), texts=words, actor=None, now=timezone.now())


def poster(**values: Any) -> Poster:
    """With the WeCom code that each guide has of her own."""
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwP", defaults={"name": "示例公司"})
    for guide in Guide.objects.order_by("pk"):
        ContactWay.objects.get_or_create(
            corp=corp, purpose="GUIDE", guide=guide,
            defaults={"name": guide.name, "state": f"p{guide.pk}", "config_id": f"p{guide.pk}", "status": "LIVE", "qr_code": f"https://work.weixin.qq.com/ca/{guide.pk}"},
        )  # fmt: skip
    row = Poster(name="海报", code=Poster.Code.WAY, **values)
    return posters.write(poster=row, picture=content_files.checked("image", "a.png", picture()))


def attribute(name: str, words: str, low_words: str = "") -> TasteAttribute:
    return TasteAttribute.objects.get_or_create(name=name, defaults={"words": words, "low_words": low_words})[0]


def values_of(product: Product, **values: int) -> Product:
    """``values_of(durian, 甜度=9)``; the attributes exist."""
    for name, value in values.items():
        ProductAttribute.objects.update_or_create(
            product=product, attribute=TasteAttribute.objects.get(name=name), defaults={"value": value}
        )
    return product
