"""A guide's day over real HTTP: code from the command line, her phone's token, her screens, and out."""

from __future__ import annotations

import datetime as dt
import io

import pytest
import requests
from django.core.cache import cache
from django.core.management import call_command
from django.utils import timezone

from scrm.models import Act
from tests.factories import defaults
from tests.factories import shops as factory


@pytest.fixture
def company(transactional_db):
    cache.clear()
    defaults.restore()
    company = factory.shops()
    now = timezone.now()
    company.member("安琪", store="S1", guide="A")
    company.member("白鹭", store="S2", guide="B")
    company.line("first", member="安琪", store="S1", paid_fen=29_900, at=now - dt.timedelta(minutes=5))
    return company


@pytest.mark.django_db(transaction=True)
def test_a_guides_day(company, live_server):
    base = f"{live_server.url}/api/guide"
    out = io.StringIO()
    call_command("guide_login_code", "G00001", stdout=out, stderr=io.StringIO())
    phone = requests.Session()

    assert phone.get(f"{base}/me").status_code == 401
    answer = phone.post(f"{base}/login", json={"code": out.getvalue().strip(), "device": "phone-0001"})
    assert answer.status_code == 200
    phone.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    assert phone.get(f"{base}/me").json()["name"] == "王芳"

    figures = {figure["name"]: figure for figure in phone.get(f"{base}/today").json()["figures"]}
    assert figures["held_fen"]["value"] == 1_495
    waiting = phone.get(live_server.url + figures["held_fen"]["action"]["list_url"]).json()["items"]
    assert [line["held_fen"] for line in waiting] == [1_495]
    why = phone.get(f"{base}/commission/{waiting[0]['line_id']}/explain").json()
    assert any(sentence.startswith("获得者：") for sentence in why["sentences"])

    members = phone.get(f"{base}/members").json()["items"]
    assert [member["name"] for member in members] == ["安琪"]
    assert members[0]["mobile"].startswith("154****")
    her = f"{base}/members/{members[0]['id']}"
    assert phone.get(her).json()["purchases"][0]["paid_fen"] == 29_900
    assert phone.get(f"{base}/members/{company.members['白鹭'].pk}").status_code == 404
    revealed = phone.post(f"{her}/reveal", json={"reason": "到货电话通知"}, headers={"Idempotency-Key": "call-0001"})
    assert revealed.json()["mobiles"][0].startswith("154") and len(revealed.json()["mobiles"][0]) == 11
    assert Act.objects.filter(verb="member.reveal").count() == 1

    assert phone.post(f"{base}/logout").status_code == 204
    refused = phone.get(f"{base}/me")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert set(refused.json()) == {"code", "message", "extra"}


@pytest.mark.django_db(transaction=True)
def test_a_guide_who_leaves_is_out_at_once(company, live_server):
    """S5, over real HTTP."""
    phone = requests.Session()
    phone.headers["Authorization"] = f"Bearer {company.token('A')}"
    assert phone.get(f"{live_server.url}/api/guide/today").status_code == 200
    factory.leave(company.guides["A"], timezone.now())
    assert phone.get(f"{live_server.url}/api/guide/today").status_code == 401
