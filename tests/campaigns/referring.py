"""A referral programme in force, and customers who come through it."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from campaigns import referrals
from campaigns.models import Referral, ReferralProgramme
from guides.visitors import Known
from members.models import Identity, Member
from scrm import crypto
from scrm.models import Brand
from tests.factories import coupons as make_coupons
from tests.factories import shops as factory

DAY = dt.timedelta(days=1)
_numbers = itertools.count(1)


def draft(now: dt.datetime, **values: Any) -> ReferralProgramme:
    """A coupon of 20.00 for the referrer, 5.00 for the guide, a budget of 2,500.00."""
    template = values.pop("coupon_template", None) or make_coupons.template(
        now, member_cap=None, claim_from=now - DAY, claim_until=now + 365 * DAY
    )
    return ReferralProgramme.objects.create(
        **{
            "brand": Brand.objects.get(code="MAIN"), "name": "老带新", "coupon_template": template, "guide_fen": 500,
            "starts_at": now, "ends_at": now + 180 * DAY, "budget_fen": 250_000, "author": make_coupons.person("author"), **values,
        }
    )  # fmt: skip


def programme(now: dt.datetime, **values: Any) -> ReferralProgramme:
    row = draft(now, **values)
    return referrals.programmes.publish(programme=row, actor=make_coupons.person("approver"), now=now)


def stranger() -> tuple[Known, str]:
    """Somebody nobody knows yet, and her number."""
    number = next(_numbers)
    e164 = f"+86{factory.mobile(80_000_000 + number)}"
    return Known(unionid=f"oR{number:06d}", mobile_index=crypto.mobile_index(e164)), e164


def join(member: Member, at: dt.datetime, who: Known | None = None) -> Referral:
    token = referrals.linking.invite(member_id=member.pk, now=at).token
    return referrals.joining.join(token=token, who=who or stranger()[0], at=at, now=at).referral


def register(known: tuple[Known, str], at: dt.datetime, store: Any = None) -> Member:
    """She becomes a member with a verified number."""
    who, e164 = known
    brand = Brand.objects.get(code="MAIN")
    member = Member.objects.create(
        brand=brand, name="新客", registered_on=(at + dt.timedelta(hours=8)).date(), home_store=store
    )
    Identity.objects.create(
        member=member,
        kind="MOBILE",
        namespace="MAIN",
        value=who.mobile_index,
        sealed=crypto.seal_mobile(e164),
        is_verified=True,
    )
    Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value=who.unionid)
    return member
