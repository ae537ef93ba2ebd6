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
6. A touch is recorded once per fact: the fact's key with the same content gives back the first row, with other content
   it is an error. It never changes and never vanishes.
7. The touches of a member are those that name her and those of the contacts and visitors who are she, whenever that was
   found out. Those of a buyer nobody knows are the touches of the visitor and the contact who share an identity with her.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from guides.models import Touch as Row
from scrm import db
from scrm.errors import RuleViolation

SHANGHAI = ZoneInfo("Asia/Shanghai")


class TouchDiffers(RuleViolation):
    """The same fact was recorded before with another content."""

    code = "touch_differs"


class TouchKind(StrEnum):
    SHARE = "SHARE"
    COUPON = "COUPON"
    LIVE = "LIVE"
    GROUP = "GROUP"
    POSTER = "POSTER"
    QR = "QR"  # a code of WeCom scanned
    FRIEND = "FRIEND"  # a WeCom friend added without one


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
    known_at: datetime | None = field(default=None, compare=False)  # recorded at, where that was asked for


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


def record(
    *,
    key: str,
    kind: str,
    guide_id: int,
    at: datetime,
    store_id: int | None = None,
    contact_id: int | None = None,
    member_id: int | None = None,
    visitor_id: int | None = None,
    way_id: int | None = None,
    share_id: int | None = None,
    object_kind: str = TouchObject.ALL,
    object_code: str = "",
    expires_at: datetime | None = None,
    is_signed: bool = True,
) -> tuple[Row, bool]:
    """The touch of the fact ``key``, and whether it is new. Raises TouchDiffers.

    ``key`` (96 characters) and ``at`` come from the fact, so that its repetition finds the first row.
    """
    day = at.astimezone(SHANGHAI).date()
    values: dict[str, Any] = {
        "kind": kind, "guide_id": guide_id, "store_id": store_id, "contact_id": contact_id, "visitor_id": visitor_id,
        "way_id": way_id, "share_id": share_id, "object_kind": object_kind, "object_code": object_code, "at": at, "expires_at": expires_at, "is_signed": is_signed,
    }  # fmt: skip
    db.ensure_partitions(Row, day, day)
    try:
        with transaction.atomic():
            return Row.objects.create(key=key, touched_on=day, member_id=member_id, **values), True
    except IntegrityError:
        first = Row.objects.filter(key=key, touched_on=day).first()
        if first is None:
            raise
    # who she was known to be then is no part of the fact
    if any(getattr(first, name) != value for name, value in values.items()):
        raise TouchDiffers(_("This touch was recorded before with another content."))
    return first, False


OF_MEMBERS = """
    SELECT w.member_id, t.id, g.code, t.kind, t.at, t.expires_at, t.is_signed, t.object_kind, t.object_code
    FROM unnest(%s::bigint[]) w(member_id)
    CROSS JOIN LATERAL (
        SELECT * FROM guides_touch d WHERE d.member_id = w.member_id AND d.touched_on BETWEEN %s AND %s AND d.at BETWEEN %s AND %s
        UNION
        SELECT k.* FROM guides_contact c JOIN guides_touch k ON k.contact_id = c.id
        WHERE c.member_id = w.member_id AND k.touched_on BETWEEN %s AND %s AND k.at BETWEEN %s AND %s
        UNION
        SELECT o.* FROM guides_visitor v JOIN guides_touch o ON o.visitor_id = v.id
        WHERE v.member_id = w.member_id AND o.touched_on BETWEEN %s AND %s AND o.at BETWEEN %s AND %s
    ) t
    JOIN guides_guide g ON g.id = t.guide_id
    ORDER BY w.member_id, t.at, t.id
"""


def of_members(member_ids: Sequence[int], *, since: datetime, until: datetime) -> dict[int, list[Touch]]:
    """The touches of each member from ``since`` to ``until``, both inclusive, the oldest first; one query."""
    period = [since.astimezone(SHANGHAI).date(), until.astimezone(SHANGHAI).date(), since, until]
    found: dict[int, list[Touch]] = {}
    for member_id, pk, guide, kind, at, expires_at, is_signed, object_kind, object_code in db.read(
        OF_MEMBERS, [db.array(member_ids), *period, *period, *period]
    ):
        touch = Touch(pk, guide, TouchKind(kind), at, expires_at, is_signed, TouchObject(object_kind), object_code)
        found.setdefault(member_id, []).append(touch)
    return found


# Buyers without a member: by the identities that their orders carry. ``w.place`` tells the buyers apart.
OF_BUYERS = """
    SELECT w.place, t.id, g.code, t.kind, t.at, t.expires_at, t.is_signed, t.object_kind, t.object_code, t.recorded_at
    FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::text[]) w(place, unionid, namespace, account, mobile_index)
    CROSS JOIN LATERAL (
        SELECT o.* FROM guides_visitor v JOIN guides_touch o ON o.visitor_id = v.id
        WHERE v.id = ANY(ARRAY(
            SELECT id FROM guides_visitor a WHERE a.unionid = w.unionid AND a.unionid <> ''
            UNION SELECT id FROM guides_visitor a
                WHERE a.account = w.account AND a.namespace = w.namespace AND a.account <> ''
            UNION SELECT id FROM guides_visitor a WHERE a.mobile_index = w.mobile_index AND a.mobile_index <> ''
        )) AND o.touched_on BETWEEN %s AND %s AND o.at BETWEEN %s AND %s
        UNION
        SELECT k.* FROM guides_contact c JOIN guides_touch k ON k.contact_id = c.id
        WHERE c.id = ANY(ARRAY(
            SELECT id FROM guides_contact a WHERE a.unionid = w.unionid AND a.unionid <> ''
            UNION SELECT id FROM guides_contact a WHERE a.mobile_index = w.mobile_index AND a.mobile_index <> ''
        )) AND k.touched_on BETWEEN %s AND %s AND k.at BETWEEN %s AND %s
    ) t
    JOIN guides_guide g ON g.id = t.guide_id
    ORDER BY w.place, t.at, t.id
"""


@dataclass(frozen=True, slots=True)
class Buyer:
    """What an order says of a buyer who is no member; ``namespace``: channel/shop of the account."""

    unionid: str = ""
    namespace: str = ""
    account: str = ""
    mobile_index: str = ""


def of_buyers(buyers: Sequence[Buyer], *, since: datetime, until: datetime) -> dict[Buyer, list[Touch]]:
    """The touches of buyers nobody knows from ``since`` to ``until``, both inclusive, the oldest first; one query."""
    period = [since.astimezone(SHANGHAI).date(), until.astimezone(SHANGHAI).date(), since, until]
    texts = [[getattr(buyer, name) for buyer in buyers] for name in Buyer.__slots__]
    found: dict[Buyer, list[Touch]] = {}
    for place, pk, guide, kind, at, expires_at, is_signed, object_kind, object_code, known_at in db.read(
        OF_BUYERS, [list(range(len(buyers))), *texts, *period, *period]
    ):
        touch = Touch(
            pk, guide, TouchKind(kind), at, expires_at, is_signed, TouchObject(object_kind), object_code, known_at
        )
        found.setdefault(buyers[place], []).append(touch)
    return found
