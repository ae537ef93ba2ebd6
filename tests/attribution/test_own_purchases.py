"""A7: nobody earns by her own purchase, also when it comes out late whose it was."""

from __future__ import annotations

import pytest
from django.utils import timezone

from attribution.models import Decision, Hold
from guides.models import Guide
from members.models import Identity
from tests.attribution import invariants
from tests.factories import defaults, orders
from tests.factories.shops import shops


@pytest.mark.django_db
def test_a7_a_till_sale_that_turns_out_to_be_the_cashiers_own() -> None:
    defaults.restore()
    company = shops()
    member = company.member("周舟", store="S2", guide="B")
    number = Identity.objects.get(member=company.members["周舟"], kind="MOBILE").value
    Guide.objects.filter(pk=company.guides["A"].pk).update(mobile_index=number)
    line = company.line(
        "till", member=None, store="S1", paid_fen=10_000, at=timezone.now(), completed_at=timezone.now(),
        cashier=company.guides["A"].code,
    )  # fmt: skip
    orders.decide(line)
    first = Decision.objects.get(line_id=line.pk)
    assert (first.state, first.shares[0][1]) == ("LIVE", company.guides["A"].code), member
    orders.changed(line, member=company.members["周舟"])
    again = Decision.objects.exclude(state="SUPERSEDED").get(line_id=line.pk)
    assert (again.supersedes_id, again.reason) == (first.pk, "BUYER_RECOGNISED")
    assert company.guides["A"].code not in {share[1] for share in again.shares}
    assert not [hold for hold in Hold.objects.filter(line_id=line.pk, beneficiary__code=company.guides["A"].code)
                if hold.amount_fen > hold.reversed_fen + hold.clawed_fen]  # fmt: skip
    invariants.hold(now=timezone.now())
