"""The page of the self-check: who may see and run it, what stands first, the red mark, and a run from the button."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from scrm import jobs
from scrm.models import Act, Corp, Job, WecomCheck
from scrm.wecom import diagnosis
from scrm.wecom.sandbox import SELF
from tests.factories.console import SEES, Console, console
from tests.factories.wecom import Wired

pytestmark = pytest.mark.django_db


@pytest.fixture
def company(db: None) -> Console:
    return console()


def url(corp: Corp, page: str = "corp") -> str:
    return reverse(f"admin:wecom_check_{page}", args=(corp.pk,))


def shown(client: Any, corp: Corp) -> str:
    answer = client.get(url(corp))
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize("name", SEES)
def test_who_sees_and_runs_it(sandbox: Wired, company: Console, name: str) -> None:
    client, is_hq = company.client(name), SEES[name] is None
    may_run = name in ("hq", "operator")
    assert client.get(reverse("admin:wecom_check")).status_code == (302 if is_hq else 403)
    for page in ("corp", "state"):
        assert client.get(url(sandbox.corp, page)).status_code == (200 if is_hq else 403)
    assert client.post(url(sandbox.corp, "run")).status_code == (302 if may_run else 403)
    assert client.get(url(sandbox.corp, "run")).status_code == (405 if may_run else 403)
    assert Job.objects.filter(kind=diagnosis.KIND).count() == int(may_run)
    assert (reverse("admin:wecom_check") in client.get(reverse("admin:index")).content.decode()) is is_hq
    if is_hq:
        button = url(sandbox.corp, "run")
        assert (button in shown(client, sandbox.corp)) is False  # under way, or not hers


def test_before_the_first_run_and_without_a_corp(company: Console) -> None:
    client = company.client("hq")
    assert "还没有接入企业微信" in client.get(reverse("admin:wecom_check")).content.decode()
    corp = Corp.objects.create(corp_id="wwTEST00000001", name="示例公司")
    page = shown(client, corp)
    assert "还没有检查过" in page and "立即检查" in page
    assert client.get(reverse("admin:wecom_check_corp", args=(corp.pk + 1,))).status_code == 404


def test_a_run_from_the_button(sandbox: Wired, company: Console) -> None:
    client = company.client("operator")
    client.post(url(sandbox.corp, "run"))
    client.post(url(sandbox.corp, "run"))  # pressed twice
    job = Job.objects.get(kind=diagnosis.KIND)
    assert job.requested_by == company.staff["operator"]
    assert Act.objects.filter(verb="job.enqueue", actor=company.staff["operator"]).count() == 1
    page = shown(client, sandbox.corp)
    assert 'id="job"' in page and url(sandbox.corp, "state") in page
    assert client.get(url(sandbox.corp, "state")).json()["is_open"] is True
    jobs.run(job.pk)
    assert client.get(url(sandbox.corp, "state")).json()["is_open"] is False
    page = shown(client, sandbox.corp)
    assert 'id="job"' not in page and "重新检查" in page and "秒前检查过" in page


def test_errors_stand_first_with_their_remedy_and_no_secret(sandbox: Wired, company: Console) -> None:
    sandbox.world.app(SELF).is_callable = False
    diagnosis.run(sandbox.corp)
    page = shown(company.client("hq"), sandbox.corp)
    places = [page.index(f'id="check-{level}"') for level in ("error", "warning", "ok")]
    assert places == sorted(places)
    assert "客户联系 → 客户 → API → 可调用接口的应用" in page and "企业标签" in page
    for app in sandbox.world.apps:
        assert app.secret not in page
    client = company.client("hq")
    client.cookies["django_language"] = "en"
    assert "tick this app under Apps that may call" in shown(client, sandbox.corp)


def test_the_red_mark_goes_when_somebody_who_may_act_has_looked(sandbox: Wired, company: Console) -> None:
    sandbox.world.app(SELF).is_callable = False
    diagnosis.run(sandbox.corp)
    assert WecomCheck.objects.get().is_news

    def marked(name: str) -> bool:
        page = company.client(name).get(reverse("admin:index")).content.decode()
        place = page.find(f'href="{reverse("admin:wecom_check")}"')
        return place >= 0 and "bg-red-500" in page[place : page.index("</a>", place)]

    assert marked("hq") and marked("auditor") and not marked("region")
    shown(company.client("auditor"), sandbox.corp)  # who may not act does not take the mark away from those who may
    assert marked("hq")
    shown(company.client("operator"), sandbox.corp)
    assert not marked("hq")


def test_a_run_that_broke_off_and_the_earlier_ones(sandbox: Wired, company: Console) -> None:
    for _ in range(2):
        diagnosis.run(sandbox.corp)
    Job.objects.create(kind=diagnosis.KIND, params={"corp": sandbox.corp.pk}, status="FAILED", error="OperationalError")
    page = shown(company.client("hq"), sandbox.corp)
    assert "上一次检查中断" in page and "OperationalError" in page and "历次检查" in page


def test_it_is_linked_from_the_corp_and_other_corps_have_their_own(sandbox: Wired, company: Console) -> None:
    other = Corp.objects.create(corp_id="wwOTHER", name="另一家")
    client = company.client("hq")
    page = client.get(reverse("admin:scrm_corp_change", args=(sandbox.corp.pk,))).content.decode()
    assert url(sandbox.corp) in page
    diagnosis.run(sandbox.corp)
    page = shown(client, other)
    assert "还没有检查过" in page and url(sandbox.corp) in page
