"""Posters (海报): HQ's picture with a guide's own code, her name and her store.

1. The code is a short link of hers (an opening is a touch of kind poster), or her WeCom code, by which a customer adds her.
2. A link code leads to an address on an allowed host. A WeCom code needs the guide's own code in use; without it there is no
   poster and the sentence says so.
3. The code stands on white with a quiet margin and may lose a seventh to dirt. Without a font for Chinese the guide's and the
   store's codes are written instead of their names.
4. A drawn poster is kept and given again until something in it changes: the picture, the places, the link, the names.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import segno
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from PIL import Image, ImageDraw, ImageFont

from campaigns import content_files, links
from campaigns.models import ContentFile, Poster, PosterPicture, ShortLink
from campaigns.models.content import usable
from campaigns.models.reach import part_q
from guides.contact_ways.pictures import FONTS
from guides.models import ContactWay, Guide, Share
from scrm import pictures
from scrm.errors import RuleViolation
from scrm.models import Store

WIDTH = 1_080  # pixels of a drawn poster at most
QUIET = 4  # modules of white around a code
ERROR_LEVEL = "m"


class BadPoster(RuleViolation):
    code = "bad_poster"


class NoCode(RuleViolation):
    """There is nothing of hers to put into it."""

    code = "poster_without_code"


@dataclass(frozen=True, slots=True)
class Place:
    """Thousandths of the picture's width (left, width) and height (top)."""

    left: int
    top: int
    width: int


# --- drawing: pure ----------------------------------------------------------------------------------------------------


def draw(picture: bytes, code: str, place: Place, lines: tuple[str, ...], plain_lines: tuple[str, ...]) -> bytes:
    """The poster as a JPEG."""
    with Image.open(io.BytesIO(picture)) as source:
        image = source.convert("RGB")
    image.thumbnail((WIDTH, WIDTH * 3))
    side = max(1, image.width * place.width // 1000)
    left, top = image.width * place.left // 1000, image.height * place.top // 1000
    size = max(12, side // 9)
    font = _font(size)
    shown = lines if font is not None else plain_lines
    height = side + (size * 3 // 2) * len(shown)
    top = max(0, min(top, image.height - height))
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, top, left + side, top + height), fill="white")
    image.paste(_square(code, side), (left, top))
    for number, line in enumerate(shown):
        at = (left + side / 2, top + side + (size * 3 // 2) * (number + 0.5))
        pen.text(
            at,
            _fitted(pen, line, font, side),
            fill="#1f2a37",
            anchor="mm",
            font=font or ImageFont.load_default(size=size),
        )
    return pictures.written(image, quality=88).content


def _square(code: str, side: int) -> Image.Image:
    drawn, out = segno.make(code, error=ERROR_LEVEL, micro=False), io.BytesIO()
    drawn.save(out, kind="png", scale=max(1, side // drawn.symbol_size(border=QUIET)[0]), border=QUIET)
    return Image.open(out).convert("RGB").resize((side, side), Image.Resampling.NEAREST)


def _fitted(pen: ImageDraw.ImageDraw, line: str, font: Any, width: int) -> str:
    """The line, its end left off where it is wider than the code."""
    while font is not None and len(line) > 1 and pen.textlength(line, font=font) > width:
        line = line[:-2] + "…"
    return line


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | None:
    return next((ImageFont.truetype(path, size) for path in FONTS if Path(path).exists()), None)


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def write(*, poster: Poster, picture: ContentFile | None) -> Poster:
    """Raises BadPoster; ``extra["fields"]`` names the field."""
    found = problems(poster, picture)
    if found:
        raise BadPoster(next(iter(found.values())), extra={"fields": found})
    if picture is not None:
        poster.picture = content_files.keep(picture)
    poster.save()
    return poster


def problems(poster: Poster, picture: ContentFile | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if picture is None and not poster.picture_id:
        found["file"] = _("Choose the picture.")
    if poster.code == Poster.Code.LINK and (refusal := links.refusal(poster.target, links.hosts())):
        found["target"] = refusal
    return found


@transaction.atomic
def drawn_for(*, poster: Poster, guide: Guide, store: Store, now: dt.datetime) -> PosterPicture:
    """Her poster, drawn where it is not kept yet. Raises NoCode, links.BadTarget."""
    link, code = _code(poster, guide, now)
    place = Place(poster.code_left, poster.code_top, poster.code_width)
    lines, plain = ((guide.name, store.name), (guide.code, store.code)) if poster.has_name else ((), ())
    said = [poster.picture_id, code, place.left, place.top, place.width, lines]
    digest = hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()
    kept = PosterPicture.objects.filter(poster=poster, guide=guide).first()
    if kept is not None and kept.digest == digest:
        return kept
    content = draw(bytes(ContentFile.objects.get(pk=poster.picture_id).content), code, place, lines, plain)
    values = {"digest": digest, "content": content, "link": link, "made_at": now}
    return PosterPicture.objects.update_or_create(poster=poster, guide=guide, defaults=values)[0]


def _code(poster: Poster, guide: Guide, now: dt.datetime) -> tuple[ShortLink | None, str]:
    if poster.code == Poster.Code.WAY:
        way = ContactWay.objects.filter(guide=guide, purpose=ContactWay.Purpose.GUIDE, status=ContactWay.Status.LIVE)
        found = way.exclude(qr_code="").order_by("pk").first()
        if found is None:
            raise NoCode(_("You have no WeCom code of your own yet. Ask HQ to make one."))
        return None, found.qr_code
    if not settings.PUBLIC_URL:
        raise NoCode(_("The address of this system (PUBLIC_URL) is not set, so that no code can lead to it."))
    link = links.make(guide_id=guide.pk, target=poster.target, kind=Share.Kind.POSTER, now=now)
    return link, f"{settings.PUBLIC_URL}/s/{link.code}"


# --- reads ------------------------------------------------------------------------------------------------------------


def usable_in(store_id: int, now: dt.datetime) -> QuerySet[Poster]:
    return Poster.objects.filter(usable(now), part_q([store_id]))


def example(poster: Poster) -> bytes:
    """What the console shows: a code of nobody."""
    picture = bytes(ContentFile.objects.get(pk=poster.picture_id).content)
    place = Place(poster.code_left, poster.code_top, poster.code_width)
    lines = (("王芳", "人民路店"), ("G00001", "S001")) if poster.has_name else ((), ())
    return draw(picture, "https://example.com/s/example", place, *lines)
