"""Nobody gives, takes or gains more than they have; every change of people is an act."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from scrm import people
from scrm.models import Act, DeviceToken, Grant, Role, User
from tests.factories import shops as factory
from tests.factories.console import Console, console


@pytest.fixture
def company(db: None) -> Console:
    return console()


def test_an_operator_makes_no_administrator(company: Console) -> None:
    new = people.create(actor=company.staff["operator"], username="new", name="新人", password="Mountain-River-9")
    with pytest.raises(people.MayNot):
        people.grant(actor=company.staff["operator"], user=new, role=Role.HQ_ADMIN)
    people.grant(actor=company.staff["hq"], user=new, role=Role.HQ_ADMIN)
    assert [act.verb for act in Act.objects.filter(target_id=str(new.pk)).order_by("pk")] == [
        "people.create",
        "people.grant",
    ]


def test_nobody_touches_whoever_may_do_more(company: Console) -> None:
    operator, boss = company.staff["operator"], company.staff["hq"]
    with pytest.raises(people.MayNot):
        people.set_password(actor=operator, user=boss, password="Mountain-River-9")
    with pytest.raises(people.MayNot):
        people.disable(actor=operator, user=boss, reason="接管")
    with pytest.raises(people.MayNot):
        people.revoke(actor=operator, grant=Grant.objects.get(user=boss), reason="接管")


def test_nobody_changes_their_own_rights(company: Console) -> None:
    boss = company.staff["hq"]
    with pytest.raises(people.MayNot):
        people.grant(actor=boss, user=boss, role=Role.AUDITOR)
    with pytest.raises(people.MayNot):
        people.disable(actor=boss, user=boss, reason="休假")


def test_a_region_manager_grants_nothing_outside_her_region(company: Console) -> None:
    manager, south = company.staff["region"], company.shops.stores["S2"]
    new = User.objects.create_user("new")
    with pytest.raises(people.MayNot):
        people.grant(actor=manager, user=new, role=Role.STORE_MANAGER, store=south)


@pytest.mark.parametrize(
    ("role", "part"),
    [
        (Role.HQ_ADMIN, "store"),
        (Role.STORE_MANAGER, None),
        (Role.REGION_MANAGER, None),
        (Role.FRANCHISEE_OWNER, "store"),
    ],
)
def test_a_role_names_its_own_kind_of_part(company: Console, role: str, part: str | None) -> None:
    parts: dict[str, Any] = {part: company.shops.stores["S1"]} if part else {}
    with pytest.raises(people.BadGrant):
        people.grant(actor=company.staff["hq"], user=User.objects.create_user("new"), role=role, **parts)


def test_the_same_role_twice_is_refused(company: Console) -> None:
    with pytest.raises(people.BadGrant):
        people.grant(actor=company.staff["hq"], user=company.staff["auditor"], role=Role.AUDITOR)


def test_a_disabled_account_is_out_at_once(company: Console) -> None:
    """S5: sessions and tokens."""
    client, user = company.client("manager"), company.staff["manager"]
    token = factory.token_of(company.shops.guides["A"].user)
    people.disable(actor=company.staff["hq"], user=user, reason="离职")
    people.disable(actor=company.staff["hq"], user=company.shops.guides["A"].user, reason="离职")
    assert client.get(reverse("admin:index")).status_code == 302
    assert not DeviceToken.objects.filter(user=company.shops.guides["A"].user).exists()
    assert Client().get("/api/guide/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    people.enable(actor=company.staff["hq"], user=user, reason="复职")
    assert User.objects.get(pk=user.pk).is_active


def test_a_password_set_by_another_ends_the_sessions(company: Console) -> None:
    client = company.client("manager")
    people.set_password(actor=company.staff["hq"], user=company.staff["manager"], password="Mountain-River-9")
    assert client.get(reverse("admin:index")).status_code == 302


def test_weak_passwords_are_refused(company: Console) -> None:
    with pytest.raises(people.BadAccount):
        people.create(actor=company.staff["hq"], username="weak", name="", password="123456")


def test_granting_through_the_console(company: Console) -> None:
    client, user = company.client("hq"), User.objects.create_user("fresh", name="小新")
    address = reverse("admin:scrm_user_act", args=(user.pk, "grant"))
    assert client.get(address).status_code == 200
    assert not Grant.objects.filter(user=user).exists()  # GET asks
    response = client.post(address, {"role": Role.STORE_MANAGER, "store_code": "S2"}, follow=True)
    assert Grant.objects.get(user=user).store == company.shops.stores["S2"]
    assert "小新" in response.content.decode()
    grant = Grant.objects.get(user=user)
    client.post(reverse("admin:scrm_grant_act", args=(grant.pk, "revoke")), {"reason": "调岗"})
    assert not Grant.objects.filter(user=user).exists()
    assert Act.objects.filter(verb="people.revoke", reason="调岗").exists()


@pytest.mark.parametrize("name", ["auditor", "region", "manager"])
def test_who_may_not_change_finds_no_button_and_no_form(company: Console, name: str) -> None:
    client, user = company.client(name), company.staff["operator"]
    address = reverse("admin:scrm_user_act", args=(user.pk, "disable"))
    assert client.post(address, {"reason": "试试"}).status_code in (403, 404)
    assert User.objects.get(pk=user.pk).is_active
    assert client.get(reverse("admin:scrm_user_add")).status_code == 403


def test_a_new_account_through_the_console(company: Console) -> None:
    client = company.client("hq")
    values = {"username": "zhao", "name": "赵敏", "password": "Mountain-River-9"}
    response = client.post(reverse("admin:scrm_user_add"), values)
    user = User.objects.get(username="zhao")
    assert response.url == reverse("admin:scrm_user_change", args=(user.pk,))
    assert user.check_password("Mountain-River-9")
    again = client.post(reverse("admin:scrm_user_add"), values)
    assert again.status_code == 200
    assert User.objects.filter(username="zhao").count() == 1


@override_settings(REQUIRE_SECOND_FACTOR=True)
def test_the_second_factor_stands_before_every_page(company: Console) -> None:
    client, user = company.client("hq"), company.staff["hq"]
    refused = client.get(reverse("admin:index"))
    assert refused.status_code == 302
    login = client.get(refused.url)
    assert login.url.startswith(reverse("admin:second_factor"))
    shown = client.get(login.url)
    assert shown.status_code == 200
    device = TOTPDevice.objects.get(user=user)
    assert not device.confirmed
    assert client.post(login.url, {"code": "000000"}).status_code == 200
    TOTPDevice.objects.filter(pk=device.pk).update(throttling_failure_count=0)
    code = f"{totp(device.bin_key, device.step, device.t0, device.digits, device.drift):06d}"
    done = client.post(login.url, {"code": code})
    assert done.url == reverse("admin:index")
    assert client.get(done.url).status_code == 200
    assert Act.objects.filter(verb="people.set_up_second_factor", actor=user).exists()
    # another session of the same person types a code, and is never shown the key again
    second = company.client("hq")
    assert "qr" not in (second.get(reverse("admin:second_factor")).context or {})
    assert second.get(reverse("admin:index")).status_code == 302


def test_a_lost_phone_is_replaced_with_a_reason(company: Console) -> None:
    device = TOTPDevice.objects.create(user=company.staff["operator"], name="TOTP", confirmed=True)
    people.remove_second_factor(actor=company.staff["hq"], user=company.staff["operator"], reason="手机丢失")
    assert not TOTPDevice.objects.filter(pk=device.pk).exists()


@override_settings(AXES_ENABLED=True, AXES_FAILURE_LIMIT=3)
def test_who_fails_too_often_is_told_so_in_chinese(company: Console) -> None:
    company.staff["hq"].set_password("Mountain-River-9")
    company.staff["hq"].save()
    client: Any = Client()
    for _attempt in range(3):
        response = client.post(reverse("admin:login"), {"username": "hq", "password": "wrong"})
    assert response.status_code == 429
    assert "登录失败次数过多" in response.content.decode()
    assert int(response["Retry-After"]) > 0
    colleague = client.post(reverse("admin:login"), {"username": "operator", "password": "wrong"})
    assert colleague.status_code == 200  # only this name from this address is locked


def test_a_guide_does_not_come_into_the_console(company: Console) -> None:
    user = company.shops.guides["B"].user
    user.set_password("Mountain-River-9")
    user.save()
    response = Client().post(reverse("admin:login"), {"username": user.username, "password": "Mountain-River-9"})
    assert response.status_code == 200
    assert "用户名或密码不正确" in response.content.decode()
