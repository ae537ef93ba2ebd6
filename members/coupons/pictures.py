"""The picture of a coupon (二维码): its number as a code that any scanner reads, and the numbers of a batch to print."""

from __future__ import annotations

import io
from typing import Any

import segno
from django.db import transaction

from members.models import Coupon, CouponBatch
from scrm import audit


def qr_svg(code: str) -> str:
    """A QR code of the number alone: tills scan it as they scan a price."""
    out = io.BytesIO()
    segno.make(code, error="m", micro=False).save(out, kind="svg", scale=6, border=2, xmldecl=False, svgns=True)
    return out.getvalue().decode()


@transaction.atomic
def take_codes(*, batch: CouponBatch, actor: Any, most: int) -> list[str]:
    """Numbers of a batch that nobody has claimed, recorded: who has them has money."""
    rows = Coupon.objects.filter(batch=batch, status=Coupon.Status.UNCLAIMED).order_by("pk")
    codes = list(rows.values_list("code", flat=True)[:most])
    audit.record(actor=actor, verb="coupon.print", target=batch, count=len(codes))
    return codes
