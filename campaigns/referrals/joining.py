"""Joining through a referral link (老带新入会): every check that can be made at once, and a sentence for each.

1. The token is ours, the link and its programme are not over, and the moment is not in the future.
2. Who joins is known by unionid or number, is not the referrer, does not work here and was not known before the day of joining.
3. She joins once. Reported again with the same link it is the same referral; through another link the first one stays.
4. The budget pays for coupon and reward, or nobody joins: nothing is promised that cannot be kept.
5. Many through one link within an hour, and a referrer who was referred herself shortly before, order a review.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from campaigns.models import Referral, ReferralLink, ReferralProgramme
from campaigns.referrals import linking
from campaigns.referrals.refusals import ReferralRefused
from guides import visitors
from guides.models import Guide
from guides.touches import SHANGHAI
from guides.visitors import Known
from members.coupons import constraint_of
from members.models import Identity, Member, OrderLine

SKEW = dt.timedelta(minutes=5)
HOUR = dt.timedelta(hours=1)
Status, Flag, Review = Referral.Status, Referral.Flag, Referral.Review


@dataclass(frozen=True, slots=True)
class Joined:
    referral: Referral
    is_new: bool


@transaction.atomic
def join(*, token: str, who: Known, at: dt.datetime, now: dt.datetime) -> Joined:
    """The new customer's referral. Raises ReferralRefused."""
    link = linking.of_token(token)
    if link is None:
        raise ReferralRefused(_("This invitation was not made here."), code="referral_unknown")
    if not (who.unionid or who.mobile_index):
        raise ReferralRefused(_("Say who joins: a unionid or a mobile number."), code="referral_of_nobody")
    if at > now + SKEW or at < link.created_at - SKEW:
        raise ReferralRefused(_("Nobody joins in the future or before the invitation."), code="referral_bad_time")
    first = _before(link, who)
    if first is not None:
        return Joined(first, False)
    _require_open(link, at)
    person = visitors.find_or_add(who)
    _require_new(link, who, person.member_id, at)
    _reserve(link)
    return Joined(_write(link, who, person.member_id, at), True)


def _before(link: ReferralLink, who: Known) -> Referral | None:
    """Her referral by this link; through another one she is refused."""
    same = (Q(unionid=who.unionid) if who.unionid else Q(pk=None)) | (
        Q(mobile_index=who.mobile_index) if who.mobile_index else Q(pk=None)
    )
    found = (
        Referral.objects.filter(same, brand=link.programme.brand_id).exclude(status=Status.VOID).order_by("pk").first()
    )
    if found is not None and found.link_id != link.pk:
        raise _second()
    return found


def _second() -> ReferralRefused:
    return ReferralRefused(_("Another member has referred this customer already."), code="referral_duplicate")


def _require_open(link: ReferralLink, at: dt.datetime) -> None:
    if at >= link.expires_at:
        raise ReferralRefused(_("This invitation has expired; ask your friend for a new one."), code="referral_expired")
    if at >= link.programme.ends_at:
        raise ReferralRefused(_("This referral programme has ended."), code="referral_programme_over")


def _require_new(link: ReferralLink, who: Known, member_id: int | None, at: dt.datetime) -> None:
    keys = Identity.objects.filter(member=link.referrer_id)
    of_referrer = Q(kind=Identity.Kind.UNIONID, value=who.unionid) | Q(
        kind=Identity.Kind.MOBILE, value=who.mobile_index
    )
    if member_id == link.referrer_id or keys.filter(of_referrer).exclude(value="").exists():
        raise ReferralRefused(_("Nobody refers herself."), code="referral_self")
    staff = (Q(unionid=who.unionid) if who.unionid else Q(pk=None)) | (
        Q(mobile_index=who.mobile_index) if who.mobile_index else Q(pk=None)
    )
    if Guide.objects.filter(staff).exists() or (member_id is not None and linking.is_staff(member_id)):
        raise ReferralRefused(_("Who works here cannot be referred as a new customer."), code="referral_staff")
    if member_id is not None:
        _require_not_known(member_id, at)


def _require_not_known(member_id: int, at: dt.datetime) -> None:
    """Registered on the day of joining she is new: the mini-program registers her a moment before it reports."""
    midnight = at.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    member = Member.objects.get(pk=member_id)
    is_old = member.registered_on < midnight.date() if member.registered_on else member.created_at < midnight
    if is_old or OrderLine.objects.filter(member=member_id, paid_at__lt=midnight).exists():
        raise ReferralRefused(
            _("This customer is a member already; only new customers are referred."), code="referral_not_new"
        )


def _reserve(link: ReferralLink) -> None:
    """One conditional update: of two who want the last of the budget one gets it (K5)."""
    programme = link.programme
    cost = programme.coupon_template.value_fen + (programme.guide_fen if link.guide_id else 0)
    rows = ReferralProgramme.objects.filter(pk=programme.pk, reserved_fen__lte=F("budget_fen") - cost)
    if not rows.update(reserved_fen=F("reserved_fen") + cost):
        raise ReferralRefused(_("The budget of this referral programme is used up."), code="referral_budget")


def _write(link: ReferralLink, who: Known, member_id: int | None, at: dt.datetime) -> Referral:
    programme = link.programme
    flags = _flags(link, programme, at)
    row = Referral(
        brand_id=programme.brand_id, programme=programme, link=link, referrer_id=link.referrer_id, newcomer_id=member_id,
        unionid=who.unionid, mobile_index=who.mobile_index, guide_id=link.guide_id, store_id=link.store_id, joined_at=at,
        coupon_fen=programme.coupon_template.value_fen, guide_fen=programme.guide_fen if link.guide_id else 0,
        flags=flags, review=Review.OPEN if flags else Review.NONE, expires_at=at + dt.timedelta(days=programme.expires_days),
    )  # fmt: skip
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        name = constraint_of(error)
        if name == "referral_no_loop":
            raise ReferralRefused(
                _("The referrer came through this customer, by one step or several; nobody refers in a ring."),
                code="referral_loop",
            ) from None
        if name in ("one_referral_per_unionid", "one_referral_per_mobile", "one_referral_per_newcomer"):
            raise _second() from None
        raise
    return row


def _flags(link: ReferralLink, programme: ReferralProgramme, at: dt.datetime) -> list[str]:
    flags = []
    recent = Referral.objects.filter(link=link, joined_at__gt=at - HOUR, joined_at__lte=at)
    if (
        len(recent.order_by("-joined_at").values_list("pk", flat=True)[: programme.burst_count - 1])
        >= programme.burst_count - 1
    ):
        flags.append(Flag.BURST)
    since = at - dt.timedelta(days=programme.chain_days)
    came = Referral.objects.filter(newcomer=link.referrer_id, joined_at__gt=since).exclude(status=Status.VOID)
    if programme.chain_days and came.exists():
        flags.append(Flag.CHAIN)
    return [flag.value for flag in flags]
