"""Audiences in the console: who may build, what the live count answers, what a refused rule keeps, whose members are asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from members import audiences, consent, facts, member_value
from members.models import Audience, AudienceSnapshot, Consent, LifecycleRule, MemberTag, Tag, TagRule
from scrm import org
from scrm.models import Grant, Job, Role
from tests.factories import shops as factory
from tests.factories.console import Console, console

pytestmark = pytest.mark.django_db
BOUGHT = {"op": "AND", "of": [{"field": "purchases", "is": "gte", "value": 1, "days": 365}]}


@pytest.fixture
def company() -> Console:
    found = console()
    facts.refresh_all(now=timezone.now())
    member_value.cut(now=timezone.now())
    return found


def counted(client: Any, rule: Any) -> Any:
    return client.post(
        reverse("admin:members_audience_count"), json.dumps({"rule": rule, "audience": None}), "application/json"
    )


def make(client: Any, rule: Any = BOUGHT, name: str = "买过的") -> Any:
    return client.post(reverse("admin:members_audience_new"), {"name": name, "note": "", "rule": json.dumps(rule)})


def test_the_live_count_is_cut_to_the_scope_of_whoever_builds(company: Console) -> None:
    assert counted(company.client("hq"), BOUGHT).json() == {"members": 3, "is_estimate": False}
    assert counted(company.client("region"), BOUGHT).json() == {"members": 2, "is_estimate": False}
    for name in ("manager", "auditor", "franchisee"):
        assert counted(company.client(name), BOUGHT).status_code == 403


def test_what_is_wrong_comes_back_with_its_place(company: Console) -> None:
    answer = counted(
        company.client("hq"), {"op": "AND", "of": [*BOUGHT["of"], {"field": "tags", "is": "any_of", "value": [999]}]}
    )
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert (problem["path"], problem["code"]) == ([1], "gone")
    assert "标签" in problem["message"]
    for body in ("", "[]", "{", "null", '{"rule": {"op": ["AND"], "of": {}}}'):
        found = company.client("hq").post(reverse("admin:members_audience_count"), body, "application/json")
        assert found.status_code == 422, body


def test_a_refused_rule_is_not_saved_and_not_lost(company: Console) -> None:
    client = company.client("hq")
    answer = make(client, {"op": "AND", "of": []}, name="半成品")
    assert answer.status_code == 400 and not Audience.objects.exists()
    assert "半成品" in answer.content.decode() and "请在这个条件组里添加条件" in answer.content.decode()


def test_an_audience_from_its_making_to_its_snapshot(company: Console) -> None:
    client = company.client("hq")
    assert make(client).status_code == 302
    row = Audience.objects.get()
    page = client.get(reverse("admin:members_audience_change", args=(row.pk,))).content.decode()
    assert "365" in page and "大于等于 1" in page and "S1店" in page
    answer = client.post(reverse("admin:members_audience_freeze", args=(row.pk,)))
    snapshot = AudienceSnapshot.objects.get()
    assert answer.url == reverse("admin:members_audiencesnapshot_change", args=(snapshot.pk,))
    assert "3" in client.get(answer.url).content.decode()
    state = client.get(reverse("admin:members_audiencesnapshot_state", args=(snapshot.pk,))).json()
    assert (state["is_open"], state["share"]) == (False, 100)
    for name in ("region", "manager"):  # an audience of everybody is HQ's
        assert company.client(name).get(reverse("admin:members_audience_edit", args=(row.pk,))).status_code == 404
        assert company.client(name).post(reverse("admin:members_audience_freeze", args=(row.pk,))).status_code == 404


def test_why_names_only_members_of_ones_own_stores(company: Console) -> None:
    region = company.client("region")
    make(region)
    row = Audience.objects.get()
    assert row.store_ids == sorted(company.shops.stores[code].pk for code in ("S1", "F1"))
    address = reverse("admin:members_audience_why", args=(row.pk,))
    cards = {name: company.shops.members[name].identities.get(kind="CARD").value for name in ("安琪", "白鹭")}
    assert "在人群里" in region.post(address, {"q": cards["安琪"]}).content.decode()
    assert region.post(address, {"q": cards["白鹭"]}).status_code == 302  # of the south
    assert "不在人群里" in company.client("hq").post(address, {"q": cards["白鹭"]}).content.decode()


def test_a_snapshot_shows_the_stores_of_its_reader_and_is_gone_for_who_has_fewer(company: Console) -> None:
    """蓝 is at home in S2 and served by A in S1: the region counts her, without the name of a store that is not its own."""
    shops = company.shops
    member = shops.member("蓝", store="S2")
    factory.bind(member, shops.guides["A"], shops.stores["S1"])
    shops.line("blue", member="蓝", store="S1", paid_fen=1_000, at=timezone.now())
    region = company.client("region")
    make(region)
    row = Audience.objects.get()
    page = region.post(reverse("admin:members_audience_freeze", args=(row.pk,)))["Location"]
    snapshot = AudienceSnapshot.objects.get()
    text = region.get(page).content.decode()
    assert snapshot.member_count == 3 and "S1店" in text and "其他门店的会员" in text and "S2店" not in text
    lists = reverse("admin:members_audiencesnapshot_changelist")
    state = reverse("admin:members_audiencesnapshot_state", args=(snapshot.pk,))

    def is_seen(client: Any) -> bool:
        codes = {client.get(address).status_code for address in (page, state)}
        assert codes in ({200}, {404})
        is_listed = page in client.get(lists).content.decode()
        assert is_listed == (codes == {200})
        return is_listed

    assert is_seen(region) and is_seen(company.client("hq"))
    assert not is_seen(company.client("manager")) and not is_seen(company.client("franchisee"))  # S1 alone, F1 alone
    grant = Grant.objects.get(user=company.staff["region"])
    grant.role, grant.region, grant.store = Role.STORE_MANAGER, None, company.shops.stores["S1"]
    grant.save()
    assert not is_seen(company.client("region"))  # who made it, narrowed to one store since


def test_options_are_looked_up_within_the_scope(company: Console) -> None:
    address = reverse("admin:members_audience_options")
    found = company.client("region").get(address, {"field": "home_store", "q": "店"}).json()["options"]
    assert {label for _key, label in found} == {"S1店 S1", "F1店 F1"}
    assert company.client("hq").get(address, {"field": "no_such"}).status_code == 404


def test_member_value_counts_all_stores_and_is_for_who_sees_them(company: Console) -> None:
    address = reverse("admin:members_audience_value")
    assert company.client("hq").get(address).context["figures"].members == 3
    for name in ("region", "manager", "franchisee_b"):
        assert company.client(name).get(address).status_code == 403


def test_a_part_of_the_organisation_never_asks_for_purchases_elsewhere(company: Console) -> None:
    """S1: neither by a fact that counts all stores, nor by a window of purchases."""
    brand_id, member, north = (
        company.shops.brand.pk,
        company.shops.members["安琪"],
        org.scope_of(company.staff["region"]),
    )
    company.shops.line("elsewhere", member="安琪", store="S2", paid_fen=90_000, at=timezone.now())
    facts.refresh_all(now=timezone.now())
    now, spent = timezone.now(), {"field": "spend_fen", "is": "gte", "value": 90_000}
    bought = {"field": "purchases", "is": "gte", "value": 90_000, "measure": "fen", "days": 30}
    for scope, seen in ((org.EVERYTHING, True), (north, False)):
        found = audiences.compile(bought, brand_id=brand_id, scope=scope, now=now)
        with connection.cursor() as cursor:
            cursor.execute(found.ids(), found.params)
            assert (member.pk in {row[0] for row in cursor.fetchall()}) is seen
    assert audiences.count(spent, brand_id=brand_id, scope=org.EVERYTHING, now=now).members == 1
    with pytest.raises(audiences.BadRule, match="全部门店"):
        audiences.count(spent, brand_id=brand_id, scope=north, now=now)


def test_a_day_that_no_calendar_has_is_refused(company: Console) -> None:
    rule = {"field": "purchases", "is": "gte", "value": 1, "between": ["2026-01-01", "9999-12-31"]}
    answer = counted(company.client("hq"), rule)
    assert answer.status_code == 422 and "2200" in answer.content.decode()


def test_another_rule_of_stages_starts_a_rebuild(company: Console) -> None:
    row = LifecycleRule.objects.get()
    address = reverse("admin:members_lifecyclerule_change", args=(row.pk,))
    days = {"new_days": 30, "repeat_orders": 2, "active_days": 60, "sleeping_days": 120, "lapsing_days": 240}
    refused = company.client("hq").post(address, {**days, "sleeping_days": 50})
    assert refused.status_code == 200 and "逐级变大" in refused.content.decode()
    assert company.client("hq").post(address, days).status_code == 302
    row.refresh_from_db()
    assert row.active_days == 60 and Job.objects.get(kind=facts.KIND).status == "QUEUED"


def test_a_tag_is_given_to_an_audience_to_keep(company: Console) -> None:
    client = company.client("hq")
    make(client)
    label = Tag.objects.create(brand=company.shops.brand, name="买过")
    address = reverse("admin:members_tag_act", args=(label.pk, "keep_by_audience"))
    assert client.post(address, {"audience": Audience.objects.get().pk}).status_code == 302
    assert MemberTag.objects.filter(tag=label, source="AUTO").count() == 3
    rule = TagRule.objects.get()
    assert client.post(reverse("admin:members_tagrule_act", args=(rule.pk, "switch_off"))).status_code == 302
    rule.refresh_from_db()
    assert not rule.is_active


def test_a_no_in_the_console_is_obeyed_and_shown(company: Console) -> None:
    member = company.shops.members["安琪"]
    client = company.client("hq")
    address = reverse("admin:members_member_act", args=(member.pk, "record_consent"))
    said = {"purpose": "WECOM_MARKETING", "word": "NO", "source": "CONSOLE", "wording": ""}
    assert client.post(address, said).status_code == 302
    assert Consent.objects.get().is_given is False
    assert consent.refusing(member_ids=[member.pk], purpose="WECOM_MARKETING") == {member.pk}
    page = client.get(reverse("admin:members_member_change", args=(member.pk,))).content.decode()
    assert "已撤回" in page and "老客" in page and "新客" in page
