"""Pictures put to a dispute (证据图片): screenshots of chats and tickets, which show personal data.

1. A picture is decoded and written anew: at most 1,600 pixels, without the place and time a phone writes into it.
2. It is sealed in the database; who looks at it is on record before it leaves.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from attribution.models import DisputeEvidence
from scrm import audit, crypto, pictures

LARGEST = 1_500_000  # bytes as it comes; the mini-program packs pictures before it sends them
EDGE = 1_600  # pixels as it is kept
PURPOSE = "dispute picture"


class BadPicture(pictures.BadPicture):
    code = "dispute_picture"


def seal(picture: bytes) -> bytes:
    """The picture as a sealed JPEG. Raises BadPicture."""
    try:
        kept = pictures.anew(picture, largest=LARGEST, edge=EDGE, quality=80, keeps_transparency=False)
    except pictures.BadPicture as error:
        raise BadPicture(error.message) from error
    return crypto.seal_bytes(PURPOSE, kept.content)


def unreadable() -> BadPicture:
    return BadPicture(pictures.unreadable().message)


@transaction.atomic
def look_at(*, evidence: DisputeEvidence, actor: Any) -> bytes:
    """The JPEG; the caller has seen that ``actor`` may see the dispute and that there is a picture."""
    audit.record(actor=actor, verb="dispute.look", target=evidence.dispute, evidence=evidence.pk)
    return crypto.open_bytes(PURPOSE, bytes(evidence.picture_sealed or b""))
