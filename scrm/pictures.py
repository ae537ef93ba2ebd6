"""Pictures from outside (图片): decoded and written anew, so that nothing but the picture gets in.

1. What it is, is judged by its content. JPEG, PNG and WebP are read; an SVG, a page that looks like a picture, a picture
   that unpacks to gigabytes are refused.
2. It is turned upright, made smaller where it is larger than asked, and written anew: what a phone or a forger has put beside
   the pixels (place, time, scripts, other files) is gone.
3. Transparency is kept as PNG, everything else becomes JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from django.utils.translation import gettext as _
from PIL import Image, ImageOps, UnidentifiedImageError

from scrm.errors import RuleViolation

FORMATS = ("JPEG", "PNG", "WEBP")

Image.MAX_IMAGE_PIXELS = 60_000_000  # a picture that unpacks to gigabytes is refused before it is unpacked


class BadPicture(RuleViolation):
    """Too large, or nothing that can be read as a picture."""

    code = "bad_picture"


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    content_type: str
    width: int
    height: int

    @property
    def suffix(self) -> str:
        return "png" if self.content_type == "image/png" else "jpg"


def anew(content: bytes, *, largest: int, edge: int, quality: int = 85, keeps_transparency: bool = True) -> Picture:
    """The picture written anew; ``largest`` bytes as it comes, ``edge`` pixels as it is kept. Raises BadPicture."""
    if len(content) > largest:
        raise BadPicture(_("The picture is larger than %(limit)d KB.") % {"limit": largest // 1_000})
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as source:
            image = ImageOps.exif_transpose(source)
            is_clear = keeps_transparency and (image.mode in ("RGBA", "LA") or "transparency" in image.info)
            kept = image.convert("RGBA" if is_clear else "RGB")
            kept.thumbnail((edge, edge))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise unreadable() from error
    return written(kept, quality=quality)


def written(image: Image.Image, *, quality: int = 85) -> Picture:
    """A picture of ours as bytes."""
    out = io.BytesIO()
    if image.mode == "RGBA":
        image.save(out, "PNG", optimize=True)
        return Picture(out.getvalue(), "image/png", *image.size)
    image.save(out, "JPEG", quality=quality, optimize=True)
    return Picture(out.getvalue(), "image/jpeg", *image.size)


def unreadable() -> BadPicture:
    return BadPicture(_("This is no picture that can be read; send JPEG, PNG or WebP."))
