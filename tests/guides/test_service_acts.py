"""Service acts: proof once per fact, and what it does for a binding."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from guides import bindings, delegations, service_acts
from guides.bindings import Claim
from guides.models import Binding, ServiceAct
from guides.snatching import Policy, Snatch, Validity
from tests.factories import shops as factory

AT = dt.datetime(2026, 5, 31, 15, 59, 59, tzinfo=dt.UTC)  # 23:59:59 in Shanghai
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)


def record(shops: factory.Shops, guide: str = "A", key: str = "call 1", at: dt.datetime = AT, **values: Any) -> Any:
    member = shops.members["安琪"].pk
    return service_acts.record(
        **{"key": key, "kind": "CALL", "guide_id": shops.guides[guide].pk, "member_id": member, "at": at,
           "note": "回访满意", **values}
    )  # fmt: skip


def test_the_same_fact_is_one_row_and_another_content_an_error(shops: factory.Shops) -> None:
    first, is_new = record(shops)
    again, is_new_again = record(shops)
    assert (is_new, is_new_again, first) == (True, False, again)
    with pytest.raises(service_acts.ActDiffers):
        record(shops, note="没有接")
    assert ServiceAct.objects.count() == 1
    assert (first.store, first.holder) == (shops.stores["S1"], shops.guides["A"])


def test_acts_lie_in_the_month_of_their_business_day_and_never_change(shops: factory.Shops, app_role: Any) -> None:
    act, _is_new = record(shops)
    record(shops, key="call 2", at=AT + SECOND)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, key FROM guides_serviceact ORDER BY key")
        assert cursor.fetchall() == [
            ("guides_serviceact_202605", "call 1"), ("guides_serviceact_202606", "call 2"),
        ]  # fmt: skip
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        ServiceAct.objects.filter(pk=act.pk).delete()
    with app_role(), pytest.raises(Exception, match="permission denied"), transaction.atomic():
        ServiceAct.objects.filter(pk=act.pk).update(note="别的")


def test_who_has_left_serves_nobody(shops: factory.Shops) -> None:
    factory.leave(shops.guides["A"], AT)
    with pytest.raises(service_acts.ActRefused):
        record(shops)
    assert record(shops, at=AT - SECOND)[1]


def test_only_the_holder_and_who_stands_in_renew(shops: factory.Shops) -> None:
    own, _ = record(shops)
    other, _ = record(shops, "M", key="call 2")
    delegations.delegate(
        guide=shops.guides["A"], to=shops.guides["M"], started_at=AT, ended_at=AT + DAY, delegate_bp=5_000, actor=None,
        reason="休假",
    )  # fmt: skip
    standing_in, _ = record(shops, "M", key="call 3", at=AT + SECOND)
    after, _ = record(shops, "M", key="call 4", at=AT + DAY)
    a = shops.guides["A"]
    assert [act.holder for act in (own, other, standing_in, after)] == [a, None, a, None]


@pytest.mark.parametrize(("shift", "answer"), [(-SECOND, "REFUSED_NEVER"), (dt.timedelta(0), "REPLACE_EXPIRED")])
def test_an_act_renews_the_bindings_validity(
    shops: factory.Shops, monkeypatch: pytest.MonkeyPatch, shift: dt.timedelta, answer: str
) -> None:
    """A10: valid for 30 days since the last act, not a second longer; the act of another guide counts nothing."""
    policy = Policy(Validity.DAYS_SINCE_ACTIVITY, 30, Snatch.NEVER)
    monkeypatch.setattr(bindings, "_policy_at", lambda brand_id, at: policy)
    member = shops.member("杜鹃", store="S1", guide="A")
    record(shops, member_id=member.pk)
    record(shops, "M", key="call 2", at=AT + 9 * DAY, member_id=member.pk)
    request, _is_new = bindings.bind(
        Claim("scan", member.pk, shops.guides["M"].pk, Binding.Source.SCAN, AT + 30 * DAY + shift)
    )
    assert request.answer == answer


# --- the guide's mini-program -------------------------------------------------------------------------------------------


def test_a_guide_records_what_she_did(api: Any, shops: factory.Shops) -> None:
    member = shops.members["安琪"].pk
    said = {"kind": "FITTING", "note": "试穿两件，留了尺码"}
    answer = api("A").post(f"members/{member}/service-acts", said, Idempotency_Key="act-0001")
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["is_renewing"], answer.json()["kind_text"]) == (True, "试穿试用")
    again = api("A").post(f"members/{member}/service-acts", said, Idempotency_Key="act-0001")
    assert again.json() == answer.json() and ServiceAct.objects.count() == 1
    listed = api("A").get("service-acts").json()["items"]
    assert [(row["id"], row["note"]) for row in listed] == [(answer.json()["id"], said["note"])]
    assert api("B").get("service-acts").json()["items"] == []


def test_a_stranger_is_not_hers_to_serve_but_a_colleagues_customer_is(api: Any, shops: factory.Shops) -> None:
    member, said = shops.members["安琪"].pk, {"kind": "CALL", "note": "代班回访"}
    assert api("B").post(f"members/{member}/service-acts", said, Idempotency_Key="act-0001").status_code == 404
    now = timezone.now()
    delegations.delegate(
        guide=shops.guides["A"], to=shops.guides["B"], started_at=now - DAY, ended_at=None, delegate_bp=5_000, actor=None,
        reason="休假",
    )  # fmt: skip
    answer = api("B").post(f"members/{member}/service-acts", said, Idempotency_Key="act-0001")
    assert (answer.status_code, answer.json()["is_renewing"]) == (200, True)


def test_nobody_serves_in_the_past(api: Any, shops: factory.Shops) -> None:
    said = {"kind": "CALL", "note": "上周打的电话", "at": (timezone.now() - 2 * DAY).isoformat()}
    answer = api("A").post(f"members/{shops.members['安琪'].pk}/service-acts", said, Idempotency_Key="act-0001")
    assert (answer.status_code, answer.json()["code"]) == (409, "service_act_time")


def test_a_guide_shares_under_her_name(api: Any, shops: factory.Shops) -> None:
    answer = api("A").post("shares", {"kind": "SHARE"}, Idempotency_Key="share-001").json()
    assert len(answer["scene"]) == 32 and answer["parameter"] == f"s={answer['scene']}"
    again = api("A").post("shares", {"kind": "SHARE"}, Idempotency_Key="share-001").json()
    assert again == answer
    refused = api("A").post("shares", {"kind": "LIVE"}, Idempotency_Key="share-002")
    assert (refused.status_code, refused.json()["code"]) == (409, "object_not_shared_so")
