"""Shares (分享): what a guide gives out, and what happens when somebody opens it.

1. A guide who works somewhere shares a link, a poster, a coupon, a live room (直播间) or a group (群). The share names what it
   covers and until when it may be opened; its token proves all of it (``share_tokens``).
2. The shop's mini-program reports an opening with the token, the moment and what it knows of the person. One report is one
   touch (触点) however often it comes; the same report with another content is an error.
3. A token that is not ours, or was given for another object than the one opened, makes a touch that is not signed: it is kept
   as evidence and never counts. A token that names no share makes nothing.
4. An opening at or after the share's expiry is kept with that expiry, so that it is late for every order.
5. An opening in the future, of before the sharing, or reported more than three days late is refused.
6. A coupon or group counts until it closes, where it says so; everything else as long as the rule's window.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils.translation import gettext as _

from guides import bindings, share_tokens, touches, visitors
from guides.models import Share, Touch
from guides.share_tokens import Terms
from guides.visitors import Known
from members.models import Category, Product
from scrm.errors import RuleViolation

SKEW = dt.timedelta(minutes=5)  # between the mini-program's clock and ours
REPORTED_WITHIN = dt.timedelta(days=3)
LONGEST = dt.timedelta(days=90)
LASTS = {  # how long a share may be opened when it does not close by itself
    Share.Kind.SHARE: dt.timedelta(days=30),
    Share.Kind.POSTER: dt.timedelta(days=90),
    Share.Kind.COUPON: dt.timedelta(days=30),
    Share.Kind.LIVE: dt.timedelta(days=2),
    Share.Kind.GROUP: dt.timedelta(days=7),
}
GOODS = frozenset({Touch.Covers.ALL, Touch.Covers.SKU, Touch.Covers.CATEGORY})
COVERS = {
    Share.Kind.SHARE: GOODS,
    Share.Kind.POSTER: GOODS,
    Share.Kind.COUPON: GOODS,
    Share.Kind.LIVE: frozenset({Touch.Covers.LIVE}),
    Share.Kind.GROUP: frozenset({Touch.Covers.GROUP}),
}


class NotSharable(RuleViolation):
    """What is to be shared does not exist, or not so."""

    code = "not_sharable"


class UnknownShare(RuleViolation):
    """The token names nothing that was ever shared."""

    code = "unknown_share"


class OpeningRefused(RuleViolation):
    """The report cannot be true."""

    code = "opening_refused"


class OpeningDiffers(RuleViolation):
    """The same opening was reported before with another content."""

    code = "opening_differs"


@dataclass(frozen=True, slots=True)
class Opening:
    """``source`` (24 characters) and ``opening_id`` (64) name the fact. The object is what was opened, if the source says so."""

    source: str
    opening_id: str
    token: str
    at: dt.datetime
    who: Known
    object_kind: str = ""
    object_code: str = ""

    @property
    def key(self) -> str:
        return f"open {self.source} {self.opening_id}"


@dataclass(frozen=True, slots=True)
class Opened:
    """``fault`` is one of ``touches.Fault`` when the touch can never count."""

    touch: Touch
    share: Share
    is_new: bool
    fault: touches.Fault | None


@transaction.atomic
def share(
    *,
    guide_id: int,
    kind: str,
    now: dt.datetime,
    object_kind: str = Touch.Covers.ALL,
    object_code: str = "",
    reference: str = "",
    closes_at: dt.datetime | None = None,
) -> tuple[Share, str]:
    """A new share and its token. Raises NotSharable."""
    store_id = bindings.store_id_at(guide_id, now)
    if store_id is None:
        raise NotSharable(_("The guide does not work in any store at that moment."), code="guide_not_employed")
    _require_object(kind, object_kind, object_code, reference)
    expires_at = now + LASTS[Share.Kind(kind)]
    if closes_at is not None:
        if not now < closes_at <= now + LONGEST:
            raise NotSharable(_("What is shared closes in the future, within 90 days."), code="bad_closing_time")
        expires_at = closes_at
    row = Share.objects.create(
        guide_id=guide_id, store_id=store_id, kind=kind, object_kind=object_kind, object_code=object_code,
        reference=reference, expires_at=expires_at, closes_at=closes_at, created_at=now,
    )  # fmt: skip
    return row, token_of(row)


def token_of(row: Share) -> str:
    return share_tokens.mint(_terms(row))


def of_token(text: str) -> Share | None:
    """The share that a genuine token proves; None where it proves none."""
    token = share_tokens.read(text)
    row = Share.objects.filter(pk=token.share_id).first() if token else None
    return row if token is not None and row is not None and share_tokens.is_genuine(token, _terms(row)) else None


def used(*, row: Share, member_id: int, key: str, at: dt.datetime) -> Touch:
    """The touch of a member who ordered by this share, which ``of_token`` has proved; the fact ``key`` once."""
    touch, _is_new = touches.record(
        key=key, kind=row.kind, guide_id=row.guide_id, store_id=bindings.store_id_at(row.guide_id, at), member_id=member_id,
        share_id=row.pk, object_kind=row.object_kind, object_code=row.object_code, at=at, expires_at=_touch_expiry(row, at),
    )  # fmt: skip
    return touch


@transaction.atomic
def record_opening(*, opening: Opening, now: dt.datetime) -> Opened:
    """The touch of an opening. Raises UnknownShare, OpeningRefused, OpeningDiffers."""
    token = share_tokens.read(opening.token)
    row = Share.objects.filter(pk=token.share_id).first() if token else None
    if token is None or row is None:
        raise UnknownShare(_("This link was not made here."))
    is_signed = share_tokens.is_genuine(token, _terms(row)) and _is_its_object(row, opening)
    first = _reported_before(opening, now)
    if first is not None:
        if (first.share_id, first.at, first.is_signed) != (row.pk, opening.at, is_signed):
            raise OpeningDiffers(_("This opening was reported before with another content."))
        return Opened(first, row, False, _fault(first))
    _require_time(row, opening.at, now)
    if opening.who.is_nobody:
        raise OpeningRefused(_("Say who opened it: a unionid, an account or a number."), code="opened_by_nobody")
    person = visitors.find_or_add(opening.who)
    touch, is_new = touches.record(
        key=opening.key, kind=row.kind, guide_id=row.guide_id, store_id=bindings.store_id_at(row.guide_id, opening.at),
        member_id=person.member_id, contact_id=person.contact_id, visitor_id=person.visitor_id, share_id=row.pk,
        object_kind=row.object_kind, object_code=row.object_code, at=opening.at, expires_at=_touch_expiry(row, opening.at),
        is_signed=is_signed,
    )  # fmt: skip
    return Opened(touch, row, is_new, _fault(touch))


def _terms(row: Share) -> Terms:
    return Terms(
        row.pk, row.guide_id, row.kind, row.object_kind, row.object_code, row.reference, row.created_at, row.expires_at,
        row.closes_at,
    )  # fmt: skip


def _require_object(kind: str, object_kind: str, object_code: str, reference: str) -> None:
    if object_kind not in COVERS[Share.Kind(kind)]:
        raise NotSharable(_("This cannot be shared in that way."), code="object_not_shared_so")
    if bool(object_code) != (object_kind != Touch.Covers.ALL):
        raise NotSharable(_("Name what is shared."), code="object_missing")
    if (kind == Share.Kind.COUPON) != bool(reference):
        raise NotSharable(_("A coupon is shared with its number, and only a coupon is."), code="coupon_missing")
    tables = {Touch.Covers.SKU: Product.objects.filter(sku=object_code), Touch.Covers.CATEGORY: Category.objects.filter(code=object_code)}  # fmt: skip
    wanted = tables.get(Touch.Covers(object_kind))
    if wanted is not None and not wanted.exists():
        raise NotSharable(_("There is no such product or category."), code="object_unknown")


def _is_its_object(row: Share, opening: Opening) -> bool:
    """A share of everything is opened at anything; any other at its own object, if the source says at which."""
    if not opening.object_kind or row.object_kind == Touch.Covers.ALL:
        return True
    if opening.object_kind != row.object_kind:
        return row.object_kind == Touch.Covers.CATEGORY and opening.object_kind == Touch.Covers.SKU
    return opening.object_code == row.object_code


def _reported_before(opening: Opening, now: dt.datetime) -> Touch | None:
    """Also on another day: the moment may be what differs. The lock lets two reports of one opening follow each other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [opening.key])
    since = min(opening.at, now - REPORTED_WITHIN).astimezone(touches.SHANGHAI).date() - dt.timedelta(days=1)
    until = max(opening.at, now).astimezone(touches.SHANGHAI).date() + dt.timedelta(days=1)
    return Touch.objects.filter(key=opening.key, touched_on__range=(since, until)).first()


def _require_time(row: Share, at: dt.datetime, now: dt.datetime) -> None:
    if at > now + SKEW:
        raise OpeningRefused(_("Nobody opens a share in the future."), code="opened_in_future")
    if at < row.created_at - SKEW:
        raise OpeningRefused(_("It was opened before it was shared."), code="opened_before_shared")
    if at < now - REPORTED_WITHIN:
        raise OpeningRefused(_("Openings are reported within three days."), code="opened_too_long_ago")


def _touch_expiry(row: Share, at: dt.datetime) -> dt.datetime | None:
    return row.expires_at if at >= row.expires_at else row.closes_at


def _fault(touch: Touch) -> touches.Fault | None:
    if not touch.is_signed:
        return touches.Fault.UNSIGNED
    if touch.expires_at is not None and touch.at >= touch.expires_at:
        return touches.Fault.EXPIRED
    return None
