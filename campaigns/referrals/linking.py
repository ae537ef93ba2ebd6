"""Referral links (邀请链接): 32 characters that prove which member invites, and until when.

1. A token is the number of a key, the link's id and a proof over what the link says, as a share's is (``guides.share_tokens``), under
   a key of its own purpose: a share's token is no invitation and the other way round.
2. A member has one link for a programme while it lasts three days more; then she gets a new one. The link keeps the guide and the
   store that served her when it was made.
3. ``/r/<token>`` leads on to the programme's page with the token in it; an opening is counted, a robot's is not.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac
import json
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from campaigns import links
from campaigns.models import ReferralCount, ReferralLink, ReferralProgramme
from campaigns.referrals import programmes
from campaigns.referrals.refusals import ReferralRefused
from guides.models import Binding, Guide
from members.models import Identity, Member
from scrm import crypto

PURPOSE, PARAMETER = "referral token", "r"
LENGTH, ID_BYTES = 32, 7
LASTS_STILL = dt.timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Invitation:
    link: ReferralLink
    token: str

    @property
    def address(self) -> str:
        return f"{settings.PUBLIC_URL}/r/{self.token}" if self.link.programme.target else ""


def token_of(link: ReferralLink) -> str:
    key_id, proof = crypto.proof(PURPOSE, _message(link))
    return base64.urlsafe_b64encode(bytes([key_id]) + link.pk.to_bytes(ID_BYTES, "big") + proof).decode()


def of_token(text: str) -> ReferralLink | None:
    """The link that a genuine token proves."""
    if len(text) != LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    key_id, link_id, proof = raw[0], int.from_bytes(raw[1 : 1 + ID_BYTES], "big"), raw[1 + ID_BYTES :]
    link = ReferralLink.objects.select_related("programme__coupon_template").filter(pk=link_id).first()
    if link is None:
        return None
    try:
        _key, expected = crypto.proof(PURPOSE, _message(link), key_id)
    except LookupError:
        return None
    return link if hmac.compare_digest(expected, proof) else None


@transaction.atomic
def invite(*, member_id: int, now: dt.datetime) -> Invitation:
    """The member's link to the programme that runs: the one she has, or a new one. Raises ReferralRefused."""
    member = Member.objects.filter(pk=member_id, status=Member.Status.ACTIVE).first()
    if member is None:
        raise ReferralRefused(_("Only an active member invites others."), code="referral_not_member")
    programme = programmes.running(member.brand_id, now)
    if programme is None:
        raise ReferralRefused(_("No referral programme runs now."), code="referral_none_runs")
    if is_staff(member_id):
        raise ReferralRefused(
            _("Who works here invites by her guide's code, not by a member's link."), code="referral_staff"
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"referral link {member_id}"])
    own = ReferralLink.objects.select_related("programme").filter(referrer=member_id, programme=programme)
    found = own.filter(expires_at__gt=now + LASTS_STILL).order_by("-pk").first()
    if found is None:
        guide_id, store_id = _served_by(member, now)
        until = min(now + dt.timedelta(days=programme.link_days), programme.ends_at)
        found = own.order_by("-pk").first() if until <= now + LASTS_STILL else None
        if found is None or found.expires_at < until:
            found = ReferralLink.objects.create(
                programme=programme,
                referrer=member,
                guide_id=guide_id,
                store_id=store_id,
                created_at=now,
                expires_at=until,
            )
    return Invitation(found, token_of(found))


def is_staff(member_id: int) -> bool:
    """Whether the member's number or WeChat account is of somebody who works here."""
    keys = Identity.objects.filter(member=member_id)
    mobiles = keys.filter(kind=Identity.Kind.MOBILE).values("value")
    unionids = keys.filter(kind=Identity.Kind.UNIONID).values("value")
    return (
        Guide.objects.filter(mobile_index__in=mobiles).exists() or Guide.objects.filter(unionid__in=unionids).exists()
    )


def lead_on(*, link: ReferralLink, token: str, request: links.Request) -> str:
    """Where a browser goes; what is no robot is counted."""
    if not links.is_robot(request):
        with transaction.atomic():
            ReferralLink.objects.filter(pk=link.pk).update(open_count=F("open_count") + 1)
            of = ReferralCount.objects.filter(programme=link.programme_id, store=link.store_id, guide=link.guide_id)
            of.update(open_count=F("open_count") + 1)  # its row came with the link
    parts = urlsplit(link.programme.target)
    values = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != PARAMETER]
    return urlunsplit(parts._replace(query=urlencode([*values, (PARAMETER, token)])))


def is_over(link: ReferralLink, now: dt.datetime) -> bool:
    programme: ReferralProgramme = link.programme
    return now >= min(link.expires_at, programme.ends_at) or bool(links.refusal(programme.target, links.hosts()))


def _served_by(member: Member, now: dt.datetime) -> tuple[int | None, int]:
    """Her guide and store now; without a guide the store she belongs to."""
    binding = Binding.objects.filter(member=member, brand=member.brand_id, ended_at=None, started_at__lte=now).first()
    if binding is not None:
        return binding.guide_id, binding.store_id
    if member.home_store_id is None:
        raise ReferralRefused(
            _("This member belongs to no store yet; bind her to a guide first."), code="referral_no_store"
        )
    return None, member.home_store_id


def _message(link: ReferralLink) -> bytes:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    times = [(at - epoch) // dt.timedelta(microseconds=1) for at in (link.created_at, link.expires_at)]
    return json.dumps([link.pk, link.programme_id, link.referrer_id, link.guide_id, link.store_id, *times]).encode()
