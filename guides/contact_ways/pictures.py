"""Codes to print (二维码): WeCom's picture of a code, or one of ours of the same target, with who and where below it.

1. ``qr_code`` is the address of WeCom's own picture; it is kept here once the code is in use. An address that leads to no
   picture is itself what the code says, and is drawn here.
2. Below the code stand store and guide. Without a font for Chinese a PNG says their codes instead.
3. A sheet holds nine codes on an A4 page with marks to cut along.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import segno
import structlog
from django.db.models import Exists, OuterRef
from PIL import Image, ImageDraw, ImageFont

from guides.models import ContactWay, Employment, WayPicture
from scrm.errors import RuleViolation
from scrm.wecom import contact_ways as endpoint

FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/System/Library/Fonts/PingFang.ttc",
)  # fmt: skip
FETCHED_AT_ONCE = 200
SIZE, MARGIN, LINE = 600, 30, 48  # pixels of the picture
ERROR_LEVEL = "q"  # a quarter of a printed code may be dirty

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Print:
    """One code as it is printed. ``lines`` below it, ``plain_lines`` where no font can write Chinese."""

    way_id: int
    name: str
    target: str
    lines: tuple[str, ...]
    plain_lines: tuple[str, ...]
    picture: bytes | None = None
    picture_kind: str = ""


def fetch_pictures(*, now: dt.datetime) -> int:
    """Keep WeCom's pictures of codes in use that have none yet; how many."""
    kept = WayPicture.objects.filter(way=OuterRef("pk"))
    lacking = ContactWay.objects.filter(~Exists(kept), status=ContactWay.Status.LIVE).exclude(qr_code="")
    count = 0
    for way in lacking.order_by("pk")[:FETCHED_AT_ONCE]:
        count += fetch_picture(way, now=now)
    return count


def fetch_picture(way: ContactWay, *, now: dt.datetime) -> bool:
    """Whether WeCom has a picture of it. Where the address is the target itself, that is noted and not asked again."""
    try:
        found = endpoint.picture(way.qr_code)
    except RuleViolation as error:  # tried again by the next round
        log.warning("picture_unread", way=way.pk, code=error.code)
        return False
    content, kind = found or (b"", "")
    WayPicture.objects.update_or_create(way=way, defaults={"content": content, "content_type": kind, "fetched_at": now})
    return bool(content)


def prints(ways: Sequence[ContactWay]) -> list[Print]:
    """What is printed of each code, in their order; two queries beside the ways' own store and guide."""
    keys = [way.pk for way in ways]
    pictures = {row.way_id: row for row in WayPicture.objects.filter(way_id__in=keys)}
    guide_ids = [way.guide_id for way in ways if way.guide_id]
    jobs = {
        job.guide_id: job
        for job in Employment.objects.filter(guide_id__in=guide_ids, ended_at=None).select_related("store")
    }
    found = []
    for way in ways:
        store = way.store or (jobs[way.guide_id].store if way.guide_id in jobs else None)
        named = [(store.name, store.code)] if store else []
        named += [(way.guide.name, way.guide.code)] if way.guide else [(way.name, way.state)]
        picture = pictures.get(way.pk)
        has_picture = picture is not None and bool(picture.content)
        found.append(
            Print(
                way.pk, way.name, way.qr_code, tuple(name for name, _code in named), tuple(code for _name, code in named),
                bytes(picture.content) if picture and has_picture else None,
                picture.content_type if picture and has_picture else "",
            )
        )  # fmt: skip
    return found


# --- drawing: pure ----------------------------------------------------------------------------------------------------


def png(one: Print) -> bytes:
    """The code with its lines below, ready to be pasted into a poster."""
    code = _square(one)
    font = _font()
    lines = one.lines if font is not None else one.plain_lines
    image = Image.new("RGB", (SIZE, SIZE + MARGIN + LINE * len(lines)), "white")
    image.paste(code, (0, 0))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        place = (SIZE / 2, SIZE + LINE * (number + 0.5))
        draw.text(place, line, fill="black", anchor="mm", font=font or ImageFont.load_default(size=32))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def svg(one: Print) -> str:
    """The same as a drawing that any size keeps sharp; WeCom's own picture is put in as it is."""
    height = SIZE + MARGIN + LINE * len(one.lines)
    texts = "".join(
        f'<text x="{SIZE // 2}" y="{SIZE + LINE * (number + 1) - 12}" text-anchor="middle" font-size="34"'
        f' font-family="Noto Sans CJK SC, PingFang SC, Microsoft YaHei, sans-serif">{escape(line)}</text>'
        for number, line in enumerate(one.lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {height}" role="img" aria-label="{escape(one.name)}">'
        f'<rect width="{SIZE}" height="{height}" fill="#fff"/>{_code_svg(one)}{texts}</svg>'
    )


def _code_svg(one: Print) -> str:
    side = SIZE - 2 * MARGIN
    if one.picture is not None:
        data = base64.b64encode(one.picture).decode()
        return f'<image x="{MARGIN}" y="{MARGIN}" width="{side}" height="{side}" href="data:{one.picture_kind};base64,{data}"/>'
    matrix = _code(one.target).matrix
    count = len(matrix)
    dark = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, module in enumerate(row) if module & 1)
    return f'<path transform="translate({MARGIN} {MARGIN}) scale({side / count:.4f})" d="{dark}" shape-rendering="crispEdges"/>'


def _square(one: Print) -> Image.Image:
    """The code alone, SIZE by SIZE with a quiet margin."""
    side = SIZE - 2 * MARGIN
    if one.picture is not None:
        source = Image.open(io.BytesIO(one.picture)).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    else:
        out = io.BytesIO()
        code = _code(one.target)
        code.save(out, kind="png", scale=max(1, side // code.symbol_size(border=0)[0]), border=0)
        source = Image.open(out).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    square = Image.new("RGB", (SIZE, SIZE), "white")
    square.paste(source, (MARGIN, MARGIN))
    return square


def _code(target: str) -> segno.QRCode:
    return segno.make(target, error=ERROR_LEVEL, micro=False)


@cache
def _font() -> ImageFont.FreeTypeFont | None:
    return next((ImageFont.truetype(path, 34) for path in _existing(FONTS)), None)


def _existing(paths: Iterable[str]) -> Iterable[str]:
    return (path for path in paths if Path(path).exists())
