"""What a customer reads on a coupon (券面), and where and when it is valid, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from members.coupons import names
from members.coupons.names import Names
from members.models import Coupon, CouponTemplate
from scrm.money import BP, yuan

Kind = CouponTemplate.Kind


@dataclass(frozen=True, slots=True)
class Face:
    """``rules`` are the lines of the small print."""

    headline: str
    name: str
    validity: str
    rules: tuple[str, ...]


def face(template: CouponTemplate, coupon: Coupon | None = None) -> Face:
    """Of a template, or of one coupon with its own days."""
    return _face(template, coupon, Names([template]))


def of_templates(templates: Iterable[CouponTemplate]) -> list[Face]:
    """In their order; the number of statements does not grow with them."""
    rows = list(templates)
    known = Names(rows)
    return [_face(row, None, known) for row in rows]


def of_coupons(coupons: Iterable[Coupon]) -> list[Face]:
    """In their order, with their templates at hand; the number of statements does not grow with them."""
    rows = list(coupons)
    known = Names({row.template_id: row.template for row in rows}.values())
    return [_face(row.template, row, known) for row in rows]


def _face(template: CouponTemplate, coupon: Coupon | None, known: Names) -> Face:
    return Face(headline(template), template.name, validity(template, coupon), tuple(_rules(template, known)))


def headline(template: CouponTemplate) -> str:
    value, threshold = short(template.value_fen or 0), short(template.threshold_fen or 0)
    if template.kind == Kind.FULL_CUT:
        return _("¥%(value)s off from ¥%(threshold)s") % {"value": value, "threshold": threshold}
    if template.kind == Kind.DISCOUNT:
        # 2,000 bp off is 8折: the customer pays eight tenths
        pays = f"{(BP - template.off_bp) / 1_000:g}"
        return _("%(tenths)s tenths of the price, at most ¥%(value)s off") % {"tenths": pays, "value": value}
    if template.kind == Kind.EXCHANGE:
        return _("Exchange, worth up to ¥%(value)s") % {"value": value}
    return _("¥%(value)s off") % {"value": value}


def validity(template: CouponTemplate, coupon: Coupon | None = None) -> str:
    if coupon is not None and coupon.starts_on and coupon.expires_on:
        return _days(coupon.starts_on, coupon.expires_on)
    if template.valid_days is not None:
        return _("%(days)s days from the claim") % {"days": template.valid_days}
    return _days(template.valid_from, template.valid_until)


def _rules(template: CouponTemplate, known: Names) -> list[str]:
    found = []
    if template.threshold_fen and template.kind != Kind.FULL_CUT:
        found.append(_("From ¥%(fen)s on.") % {"fen": short(template.threshold_fen)})
    if names.is_for_goods(template):
        found.append(_("For: %(goods)s.") % {"goods": known.goods(template)})
    if places := known.places(template):
        found.append(_("In: %(places)s.") % {"places": places})
    if template.channels:
        found.append(_("Channels: %(names)s.") % {"names": known.channels(template)})
    if hours := names.hours(template):
        found.append(_("At: %(hours)s.") % {"hours": hours})
    if template.member_cap is not None:
        found.append(_("At most %(cap)s a member.") % {"cap": template.member_cap})
    found.append(
        _("Together with others that allow it.") if template.is_stackable else _("Not together with other coupons.")
    )
    if template.is_giftable:
        found.append(_("May be given away once."))
    return [*found, *filter(None, [template.terms])]


def short(fen: int) -> str:
    """Without the cents where there are none."""
    return yuan(fen).removesuffix(".00")


def _days(first: dt.date | None, last: dt.date | None) -> str:
    return f"{first or '…'} – {last or '…'}"
