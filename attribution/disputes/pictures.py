"""Pictures put to a dispute (证据图片): screenshots of chats and tickets, which show personal data.

1. A picture is decoded and written anew: at most 1,600 pixels, without the place and time a phone writes into it.
2. It is sealed in the database; who looks at it is on record before it leaves.
"""

from __future__ import annotations

import io
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from PIL import Image, UnidentifiedImageError

from attribution.models import DisputeEvidence
from scrm import audit, crypto
from scrm.errors import RuleViolation

LARGEST = 1_500_000  # bytes as it comes; the mini-program packs pictures before it sends them
EDGE = 1_600  # pixels as it is kept
PURPOSE = "dispute picture"

Image.MAX_IMAGE_PIXELS = 60_000_000  # a picture that unpacks to gigabytes is refused before it is unpacked


class BadPicture(RuleViolation):
    code = "dispute_picture"


def seal(picture: bytes) -> bytes:
    """The picture as a sealed JPEG. Raises BadPicture."""
    if len(picture) > LARGEST:
        raise BadPicture(_("The picture is larger than %(limit)d KB.") % {"limit": LARGEST // 1_000})
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as image:
            kept = image.convert("RGB")
            kept.thumbnail((EDGE, EDGE))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable() from error
    out = io.BytesIO()
    kept.save(out, "JPEG", quality=80)
    return crypto.seal_bytes(PURPOSE, out.getvalue())


def unreadable() -> BadPicture:
    return BadPicture(_("This is no picture that can be read; send JPEG, PNG or WebP."))


@transaction.atomic
def look_at(*, evidence: DisputeEvidence, actor: Any) -> bytes:
    """The JPEG; the caller has seen that ``actor`` may see the dispute and that there is a picture."""
    audit.record(actor=actor, verb="dispute.look", target=evidence.dispute, evidence=evidence.pk)
    return crypto.open_bytes(PURPOSE, bytes(evidence.picture_sealed or b""))
