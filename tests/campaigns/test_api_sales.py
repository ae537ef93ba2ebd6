"""A guide claims for her customer, in her store, with her touch."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.models import Reservation, Team
from guides.models import Share, Touch
from tests.factories import sales as make
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db


def test_a_guide_claims_for_a_customer_she_sees(api: Any, shops: factory.Shops) -> None:
    row, other = make.sale(shops, {"S1": 2}), make.sale(shops, {"S2": 2})
    (item,) = api("A").get("sales").json()["items"]
    assert (item["id"], item["left"], item["seconds_to_start"]) == (row.pk, 2, 0)
    mine, hers = shops.members["安琪"].pk, shops.members["白鹭"].pk
    device, address = api("A"), f"sales/{row.pk}/claim"
    answer = device.post(address, {"member_id": mine}, Idempotency_Key="claim-for-her-1")
    again = device.post(address, {"member_id": mine}, Idempotency_Key="claim-for-her-1")
    assert (answer.status_code, answer.json()["reservation_state"]) == (200, "HELD") and again.json() == answer.json()
    reservation = Reservation.objects.get()
    assert (reservation.guide_id, reservation.member_id) == (shops.guides["A"].pk, mine)
    assert Touch.objects.filter(member=mine, guide=shops.guides["A"], object_code=row.product.sku).count() == 1
    assert device.post(address, {"member_id": hers}, Idempotency_Key="claim-for-her-2").status_code == 404
    foreign = device.post(f"sales/{other.pk}/claim", {"member_id": mine}, Idempotency_Key="claim-for-her-3")
    assert foreign.status_code == 404
    refused = device.post(address, {"member_id": mine}, Idempotency_Key="claim-for-her-4")
    assert (refused.status_code, refused.json()["code"]) == (409, "stock_member_cap")
    assert device.get(f"sales/{row.pk}").json()["reserved"] == 1 and Reservation.objects.count() == 1


def test_a_guide_opens_a_team_and_shares_it(api: Any, shops: factory.Shops) -> None:
    row = make.sale(shops, {"S1": 5}, kind="GROUP")
    shops.member("陈晨", store="S1", guide="A")
    device, address = api("A"), f"sales/{row.pk}"
    opened = device.post(
        f"{address}/claim", {"member_id": shops.members["安琪"].pk}, Idempotency_Key="open-a-team-1"
    ).json()
    (team,) = device.get(address).json()["teams"]
    assert (team["team"], team["captain"], team["joined"]) == (opened["team"], "安*", 1)
    said = {"member_id": shops.members["陈晨"].pk, "team": opened["team"]}
    assert device.post(f"{address}/claim", said, Idempotency_Key="open-a-team-2").status_code == 200
    assert Team.objects.get().seat_count == 2
    shared = device.post(f"{address}/share", {}, Idempotency_Key="share-a-team").json()
    share = Share.objects.get(object_kind="GROUP")
    assert (share.object_code, share.guide_id, bool(shared["token"])) == (f"GB{row.pk}", shops.guides["A"].pk, True)
