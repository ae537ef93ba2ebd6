"""When a share of a guide counts for an order line (触点): the pure validity of a touch.

1. A touch (触点) is a link, coupon, live room, group or poster of a guide that the buyer opened at one moment.
2. It counts when it lies at or before the creation of the order and the order was created before it expires; the
   moment of expiry itself is too late. A touch after the order is no evidence at all.
3. A touch expires when it says so; one that does not say so expires after the window of the rule, a live room
   (直播间) after its own.
4. Its token must be signed by us, its object must cover the line, and its guide must be employed when the line is
   paid.
5. Between several valid touches the latest counts; of two in the same instant the one with the smaller id, whatever
   arrived first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class TouchKind(StrEnum):
    SHARE = "SHARE"
    COUPON = "COUPON"
    LIVE = "LIVE"
    GROUP = "GROUP"
    POSTER = "POSTER"


class TouchObject(StrEnum):
    """What a touch covers; ALL needs no code."""

    ALL = "ALL"
    SKU = "SKU"
    CATEGORY = "CATEGORY"
    LIVE = "LIVE"
    GROUP = "GROUP"


class Fault(StrEnum):
    """Why a touch does not count."""

    UNSIGNED = "TOUCH_UNSIGNED"
    EXPIRED = "TOUCH_EXPIRED"
    OTHER_OBJECT = "TOUCH_OTHER_OBJECT"
    GUIDE_NOT_EMPLOYED = "GUIDE_NOT_EMPLOYED"


class TouchedLine(Protocol):
    """What a touch is held against."""

    @property
    def sku(self) -> str: ...
    @property
    def category(self) -> str | None: ...
    @property
    def live_no(self) -> str | None: ...
    @property
    def group_no(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Touch:
    id: int
    guide: str  # guide code
    kind: TouchKind
    at: datetime
    expires_at: datetime | None = None  # None: the window of the rule decides
    is_signed: bool = True
    object_kind: TouchObject = TouchObject.ALL
    object_code: str = ""


@dataclass(frozen=True, slots=True)
class Windows:
    """How long a touch counts when it does not say so itself."""

    share: timedelta = timedelta(days=7)
    live: timedelta = timedelta(hours=24)


DEFAULT_WINDOWS = Windows()


def expiry(touch: Touch, windows: Windows) -> datetime:
    """The first instant at which the touch no longer counts."""
    if touch.expires_at is not None:
        return touch.expires_at
    return touch.at + (windows.live if touch.kind == TouchKind.LIVE else windows.share)


def covers(touch: Touch, line: TouchedLine) -> bool:
    """Whether the object of the touch covers the line."""
    if touch.object_kind == TouchObject.ALL:
        return True
    ours = {
        TouchObject.SKU: line.sku,
        TouchObject.CATEGORY: line.category,
        TouchObject.LIVE: line.live_no,
        TouchObject.GROUP: line.group_no,
    }
    return touch.object_code == ours[touch.object_kind]


def fault(
    touch: Touch, line: TouchedLine, *, created_at: datetime, is_employed: bool, windows: Windows
) -> Fault | None:
    """Why the touch does not count for an order created at `created_at`, or None when it does."""
    if not touch.is_signed:
        return Fault.UNSIGNED
    if not created_at < expiry(touch, windows):
        return Fault.EXPIRED
    if not covers(touch, line):
        return Fault.OTHER_OBJECT
    if not is_employed:
        return Fault.GUIDE_NOT_EMPLOYED
    return None


def latest_first(touches: Iterable[Touch], *, created_at: datetime) -> list[Touch]:
    """The touches up to the order, in the order in which they claim it; later ones are left out."""
    known = sorted((touch for touch in touches if touch.at <= created_at), key=lambda touch: touch.id)
    return sorted(known, key=lambda touch: touch.at, reverse=True)  # stable: equal instants keep the order of ids
