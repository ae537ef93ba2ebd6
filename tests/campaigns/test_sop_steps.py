"""Steps that hand something over: a coupon once and within its budget, a script filled when it is opened, a material."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone, translation

from campaigns import sops
from campaigns.models import Content, Level, Script, ScriptText, Sop, SopRun, SopStep, SopStepDone
from guides.models import Action
from members import coupons as coupon_rules
from members.models import Coupon, CouponStock, OrderLine
from tests.campaigns import sopping
from tests.factories import content, coupons
from tests.factories import shops as factory
from tests.factories.console import console
from tests.factories.coupons import NOW
from tests.factories.shops import Shops

HOUR = dt.timedelta(hours=1)


def company(*names: str) -> Shops:
    """Each of them has bought at NOW and is served by A."""
    shops = factory.shops()
    for name in names:
        shops.member(name, store="S1", guide="A")
        shops.line(name, member=name, store="S1", paid_fen=10_000, at=NOW)
    return shops


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_give_each_coupon_once_and_no_more_than_there_are() -> None:
    """K3, K5 under real concurrency: who gets none goes on all the same, and is told why."""
    shops = company(*(f"客{number}" for number in range(8)))
    template = coupons.template(total_cap=3, budget_fen=6_000, bucket_count=2)
    step = {"kind": "COUPON", "title": "送券", "coupon": template, "text": "{客户称呼}，{优惠券}请在{有效期}前用"}
    sopping.sop(shops, step, {"wait_minutes": 60}, at=NOW - HOUR, stops_on_purchase=False)
    sops.enrol(now=NOW)

    def work(_number: int) -> int:
        try:
            with translation.override("zh-hans"):
                return sum(iter(lambda: sops.advance(now=NOW, limit=3), 0))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        taken = sum(pool.map(work, range(4)))
    assert taken + work(0) == 8  # whoever waited too long for the stock is taken by the next sweep
    assert Coupon.objects.count() == SopStepDone.objects.filter(result="COUPON", coupon__isnull=False).count() == 3
    refused = SopStepDone.objects.filter(result="REFUSED")
    assert refused.count() == 5 and {done.note for done in refused} == {
        "3 张已全部发完；总部可以发布总量更大的新版本。"
    }
    assert {stock.left_count for stock in CouponStock.objects.filter(template=template)} == {0}
    told = list(Action.objects.all())
    assert len(told) == 3 and all("满100减20（满¥100减¥20）请在7月29日前用" in action.text for action in told)
    assert all("已为她发放满100减20" in action.reason and action.kind == "MESSAGE" for action in told)
    work(0)
    assert Coupon.objects.count() == 3 and SopRun.objects.filter(position=2, status="ACTIVE").count() == 8


@pytest.mark.django_db
def test_a_coupon_is_of_the_version_in_force_and_an_ended_one_only_ends_its_step() -> None:
    shops = company("李敏", "陈红")
    first = coupons.template()
    sopping.sop(shops, {"kind": "COUPON", "title": "送券", "coupon": first}, {"title": "问候"}, at=NOW - HOUR)
    second = coupon_rules.templates.draft_again(template=first, actor=coupons.person("coupon-author"))
    coupon_rules.templates.publish(template=second, actor=coupons.person("coupon-approver"), now=NOW)
    sops.enrol(now=NOW)
    late = SopRun.objects.get(member=shops.members["陈红"])
    SopRun.objects.filter(pk=late.pk).update(due_at=NOW + HOUR)
    sopping.sweep(NOW)
    assert Coupon.objects.get().template == second
    action = Action.objects.get(title="送券")
    assert action.text == "李敏，送您一张满100减20（满¥100减¥20），有效期至7月29日"
    coupon_rules.templates.end(template=second, actor=coupons.person("hq"), reason="活动取消", now=NOW)
    sopping.sweep(NOW + HOUR)
    done = SopStepDone.objects.get(run=late, position=1)
    assert (done.result, done.coupon, bool(done.note)) == ("REFUSED", None, True) and Coupon.objects.count() == 1
    assert Action.objects.filter(member=late.member).values_list("title", flat=True).get() == "问候"


@pytest.mark.django_db
def test_a_script_is_filled_when_its_action_is_opened_and_falls_back(api: Any, shops: Shops) -> None:
    """The deepest level that what the guide may see can fill; out of use: the step's own words. Never a made-up fact."""
    now = timezone.now()
    durian, member = factory.product("榴莲"), shops.members["安琪"]
    OrderLine.objects.filter(pk=shops.lines["a"].pk).update(product=durian)
    script = content.script("到货", {1: "{商品}到货了", 4: "{称呼}，您上次买的{上次购买}又到了"}, product=durian)
    material = content.material("指南", "TEXT")
    sopping.sop(
        shops, {"text": "您好", "script": script, "content": material}, at=now - HOUR * 2, back_fill="FROM_START", back_fill_days=3,
        stops_on_purchase=False,
    )  # fmt: skip
    sops.enrol(now=now)
    SopRun.objects.update(due_at=now)  # by night it would wait until nine
    sops.advance(now=now)
    action = Action.objects.get(member=member)
    shown = api("A").get(f"actions/{action.pk}").json()
    assert shown["text"] == "安女士，您上次买的榴莲又到了"
    assert (shown["script"]["level"], shown["material"]["name"]) == (4, "指南")
    assert api("A").get("actions").json()["items"][0]["text"] == "您好"
    OrderLine.objects.filter(pk=shops.lines["a"].pk).update(store=shops.stores["S2"])  # not this guide's to know
    shown = api("A").get(f"actions/{action.pk}").json()
    assert (shown["text"], shown["script"]["level"]) == ("榴莲到货了", 1)
    Script.objects.filter(pk=script.pk).update(is_active=False)
    Content.objects.filter(pk=material.pk).update(is_active=False)
    shown = api("A").get(f"actions/{action.pk}").json()
    assert (shown["text"], shown["script"], shown["material"]) == ("您好", None, None)
    assert api("B").get(f"actions/{action.pk}").status_code == 404


def form(**values: Any) -> dict[str, Any]:
    step = {
        "position": 1, "kind": "MESSAGE", "title": "问候", "text": "您好", "wait_days": 0, "wait_minutes": 0, "valid_hours": 24,
        "minutes": 2, **values,
    }  # fmt: skip
    return {
        "back_fill": "NONE", "back_fill_days": 0, "pause_days": 3, "steps-TOTAL_FORMS": "1", "steps-INITIAL_FORMS": "0",
        **{f"steps-0-{name}": value for name, value in step.items()},
    }  # fmt: skip


@pytest.mark.django_db
def test_what_cannot_be_handed_over_is_said_at_its_field() -> None:
    staff = console()
    draft = sops.draft_from(sop=Sop.objects.create(brand=staff.shops.brand, name="关怀", anchor="BOUGHT"), actor=None)
    ended = coupons.template(now=NOW)  # given out until the end of August 2026
    unused, broken = content.script("旧", is_active=False), content.script("坏")
    ScriptText.objects.create(
        script=broken, version_no=broken.version_no, level=Level.OCCASION, text="{星座}快乐", made_at=timezone.now()
    )
    client, address = staff.client("hq"), reverse("admin:campaigns_sopversion_change", args=(draft.pk,))
    for values, field, words in (
        ({"kind": "COUPON", "coupon": ended.pk}, "coupon", "已停止发放"),
        ({"kind": "COUPON"}, "coupon", "请选择"),
        ({"kind": "COUPON", "coupon": 10**9}, "coupon", "选择"),
        ({"kind": "CALL", "coupon": ended.pk}, "coupon", "清空"),
        ({"script": unused.pk}, "script", "已停用"),
        ({"script": broken.pk}, "script", "星座"),
        ({"script": broken.pk, "text": ""}, "text", "话术"),
        ({"text": "{优惠券}"}, "text", "{优惠券}"),
    ):
        answer = client.post(address, form(**values))
        assert answer.status_code == 200, values
        (errors,) = answer.context["inline_admin_formsets"][0].formset.errors
        assert words in " ".join(errors[field]), (values, errors)
        assert not SopStep.objects.exists()
    template = coupons.template(now=timezone.now(), claim_from=timezone.now(), claim_until=timezone.now() + 9 * HOUR)
    assert client.post(address, form(kind="COUPON", coupon=template.pk)).status_code == 302
    assert SopStep.objects.get().coupon == template
    assert template.name in client.get(address).content.decode()
