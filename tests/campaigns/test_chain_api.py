"""Chain orders in the mini-program, on a customer's phone, and in the console: whose they are, and what each refuses."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from campaigns.communities import chain_orders
from campaigns.communities.chain_orders import public
from campaigns.models import ChainLine, ChainOrder, ChainPerson, GroupStay
from members.models import OrderLine
from scrm.models import Corp
from tests.factories import chains
from tests.factories.shops import Shops, mobile

KEY = {"Idempotency_Key": "chain-test-1"}


def picture() -> str:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "green").save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_a_leader_works_in_the_mini_program(shops: Shops, api: Any) -> None:
    mine, other, manager = api("A"), api("B"), api("M")
    now = timezone.now()
    body: dict[str, Any] = {
        "title": "周末榴莲团", "opens_at": now.isoformat(), "closes_at": (now + chains.HOUR).isoformat(),
        "pickup_from": (now + 5 * chains.HOUR).isoformat(), "pickup_until": (now + 9 * chains.HOUR).isoformat(),
        "items": [
            {"name": "猫山王榴莲", "unit_fen": 26_800, "count": 3, "aliases": ["猫山王"]},
            {"name": "D24榴莲", "unit_fen": 25_900, "piece_no": 1, "weight_grams": 1_820, "photo_base64": picture()},
        ],
    }  # fmt: skip
    bad = mine.post("chain-orders/publish", {**body, "items": [{**body["items"][1], "photo_base64": "AAAA"}]}, **KEY)
    assert bad.status_code == 400, bad.content
    made = mine.post("chain-orders/publish", body, **KEY)
    assert made.status_code == 201, made.content.decode()
    assert mine.post("chain-orders/publish", body, **KEY).json() == made.json() and ChainOrder.objects.count() == 1
    path = f"chain-orders/{made.json()['id']}"
    assert other.get(path).status_code == 404 and manager.get(path).status_code == 200
    assert other.post(f"{path}/close", {}, **KEY).status_code == 404
    read = mine.post(
        f"{path}/read",
        {"text": "1. 王姐 猫山王2个 自提\n2. 李姐 D24 1号\n3. 老周 西瓜1个"},
        Idempotency_Key="chain-read-1",
    ).json()
    assert [row["what"] for row in read["rows"]] == ["NEW", "NEW"] and read["unread"] == ["老周 西瓜1个"]
    assert not ChainPerson.objects.exists()
    saved = mine.post(f"{path}/lines", {"rows": read["rows"]}, Idempotency_Key="chain-save-1").json()
    assert saved["saved"] == 2 and [one["left"] for one in saved["chain"]["items"]] == [1, 0]
    wang = saved["chain"]["people"][0]
    person = f"{path}/people/{wang['id']}/pay"
    assert other.post(person, {"kind": "CASH", "amount_fen": 53_600}, Idempotency_Key="chain-pay-00").status_code == 404
    assert (
        mine.post(person, {"kind": "CASH", "amount_fen": 1}, Idempotency_Key="chain-pay-01").json()["code"]
        == "chain_amount_changed"
    )
    assert (
        mine.post(person, {"kind": "CASH", "amount_fen": 53_600}, Idempotency_Key="chain-pay-02").json()["state"]
        == "PAID"
    )
    wrong = other.post("chain-orders/redeem", {"code": wang["pickup_code"]}, Idempotency_Key="chain-take-0")
    assert (wrong.status_code, wrong.json()["code"]) == (409, "chain_wrong_store") and "S1店" in wrong.json()["message"]
    assert (
        mine.post("chain-orders/redeem", {"code": wang["pickup_code"]}, Idempotency_Key="chain-take-1").json()["state"]
        == "PICKED_UP"
    )
    line = ChainLine.objects.get(person=wang["id"])
    refund = f"{path}/lines/{line.pk}/refund"
    assert other.post(refund, {"reason": "坏果"}, Idempotency_Key="chain-back-0").status_code == 404
    assert mine.post(refund, {"reason": "坏果"}, Idempotency_Key="chain-back-1").status_code == 200
    assert mine.get(path).json()["items"][0]["left"] == 3
    assert mine.post(f"{path}/close", {}, Idempotency_Key="chain-shut-1").json()["status"] == "CLOSED"
    assert mine.get("chain-orders").json()["items"][0]["status"] == "CLOSED"


def test_a_customer_joins_on_her_phone(shops: Shops, client: Client) -> None:
    """By name and number; by her WeCom identity where the link gives it; a changed token is nobody's."""
    chain = chains.chain(shops)
    token, item = public.token_of(chain), chains.item(chain, "猫山王")
    page = reverse("chain-order", args=[token])
    shown = client.get(page)
    assert (
        shown.status_code == 200
        and "周末榴莲团" in shown.content.decode()
        and shown.headers["Cache-Control"] == "no-store"
    )
    field = f"item_{item.pk}"
    short = client.post(page, {"name": "王小姐", "mobile": "12", field: "2"})
    assert (
        short.status_code == 409
        and "这不是手机号" in short.content.decode()
        and 'value="王小姐"' in short.content.decode()
    )
    gone = client.post(page, {"name": "王小姐", "mobile": mobile(90_011), field: "9"})
    assert (
        "只剩 5" in gone.content.decode()
        and "丹东草莓 10盒" in gone.content.decode()
        and not ChainPerson.objects.exists()
    )
    joined = client.post(page, {"name": "王小姐", "mobile": mobile(90_011), field: "2", "note": "<script>"})
    wang = ChainPerson.objects.get()
    assert joined.status_code == 302 and joined.headers["Location"].endswith(wang.secret)
    mine = client.get(joined.headers["Location"]).content.decode()
    assert wang.pickup_code in mine and "王小姐" in mine and "<script>" not in mine
    others = client.get(page).content.decode()
    assert "王**" in others and "王小姐" not in others and wang.pickup_code not in others
    again = client.post(page, {"name": "王小姐", "mobile": mobile(90_011), field: "1"})
    assert again.status_code == 409 and "已经接龙" in again.content.decode()
    client.post(joined.headers["Location"], {field: "0", f"was_{item.pk}": "2"})
    assert ChainLine.objects.get().status == "CANCELLED"
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "x" * 32):
        assert client.get(reverse("chain-order", args=[wrong])).status_code == 404
    assert client.get(reverse("chain-person", args=[token, "nobody"])).status_code == 404
    assert client.get(reverse("chain-photo", args=[token, 1])).status_code == 404


def test_a_member_of_the_group_is_known_by_her_wecom_identity(shops: Shops, client: Client) -> None:
    from campaigns.models import Group

    now, corp = timezone.now(), Corp.objects.create(corp_id="ww9", name="示例")
    group = Group.objects.create(corp=corp, chat_id="wr9", name="一店福利群", store=shops.stores["S1"], asked_at=now)
    GroupStay.objects.create(group=group, userid="wm9", unionid="ou9", joined_at=now)
    chain = chains.chain(shops, group=group)
    own, item = public.member_address(chain, "wm9"), chains.item(chain, "丹东")
    path = own.partition("/jl/")[2]
    made = client.post(f"/jl/{path}", {"name": "王姐", f"item_{item.pk}": "1"})
    person = ChainPerson.objects.get()
    assert made.status_code == 302 and (person.external_userid, person.unionid) == ("wm9", "ou9")
    assert (
        client.get(f"/jl/{path}").headers["Location"].endswith(person.secret)
    )  # her own page again, wherever she opens it
    forged = path[:-1] + ("0" if path[-1] != "0" else "1")
    assert client.get(f"/jl/{forged}").status_code == 200  # a stranger


def test_the_console_sells_and_hands_over(shops: Shops, client: Client) -> None:
    cache.clear()
    client.force_login(shops.staff["hq"])
    chain = chains.chain(shops)
    evil = chains.join(chain, "=HYPERLINK(1)", {"猫山王": 1})
    chains.join(chain, "王姐", {"丹东": 2}, mobile=mobile(90_021))
    base = f"/admin/campaigns/chainorder/{chain.pk}/"
    assert "王姐" in client.get(f"{base}change/").content.decode()
    plan = client.post(
        f"{base}paste/", {"text": "1. 老周 D24 2号 自提\n2. 钱姐 西瓜1个\n王姐：草莓改成3盒"}
    ).content.decode()
    assert "老周" in plan and "钱姐 西瓜1个" in plan and ChainPerson.objects.count() == 2
    piece, berry = chains.item(chain, "D24", 2), chains.item(chain, "丹东")
    wang = ChainPerson.objects.get(name="王姐")
    done = client.post(f"{base}paste/", {
        "save": "1", "row": ["0", "1", "2"], "name0": "老周", f"q0_{piece.pk}": "1", f"w0_{piece.pk}": "0", "note0": "自提",
        "name1": "王姐", "person1": str(wang.pk), f"q1_{berry.pk}": "3", f"w1_{berry.pk}": "2",
        "name2": "钱姐", "add2": str(piece.pk), "count2": "1",
    }).content.decode()  # fmt: skip
    assert "已保存 2 行" in done and "已售罄" in done
    person = f"{base}people/{wang.pk}/"
    client.post(person, {"pay": "1", "kind": "TRANSFER", "amount_fen": str(3 * 3_990)})
    assert OrderLine.objects.get(channel="CHAIN_ORDER").paid_fen == 3 * 3_990
    table = client.get(f"{base}people.csv").content.decode("utf-8-sig")
    assert "'=HYPERLINK(1)" in table and mobile(90_021) not in table and "\n=" not in table
    assert wang.pickup_code in client.get(f"{base}people/").content.decode()
    bad = client.post("/admin/campaigns/chainorder/redeem/", {"code": evil.pickup_code})
    assert bad.status_code == 400 and "还有 268.00 元没付" in bad.content.decode()
    assert "已提货" in client.post("/admin/campaigns/chainorder/redeem/", {"code": wang.pickup_code}).content.decode()
    assert (
        "不能再次核销"
        in client.post("/admin/campaigns/chainorder/redeem/", {"code": wang.pickup_code}).content.decode()
    )
    client.force_login(shops.guides["M"].user)
    assert client.get(f"{base}change/").status_code == 200  # the manager of the store of pick-up
    client.force_login(shops.staff["franchisee"])
    assert [
        client.get(f"{base}{name}").status_code
        for name in ("change/", "paste/", "people/", "people.csv", f"people/{wang.pk}/")
    ] == [404] * 5


@pytest.mark.parametrize("wrong", ["closes_at", "i0-price"])
def test_a_draft_says_what_is_wrong_at_the_field(shops: Shops, client: Client, wrong: str) -> None:
    client.force_login(shops.staff["hq"])
    now = timezone.localtime()
    body = {
        "title": "榴莲团", "leader": shops.guides["A"].pk, "pickup_store": shops.stores["S1"].pk, "opens_at": f"{now:%Y-%m-%d %H:%M}",
        "closes_at": f"{now + chains.HOUR:%Y-%m-%d %H:%M}", "pickup_from": f"{now + 5 * chains.HOUR:%Y-%m-%d %H:%M}",
        "pickup_until": f"{now + 8 * chains.HOUR:%Y-%m-%d %H:%M}", "nonce": "n1", "rows": "2", "i0-name": "猫山王", "i0-price": "268", "i0-count": "3", "i0-unit": "个", "i1-unit": "个",
    }  # fmt: skip
    bad = client.post(
        "/admin/campaigns/chainorder/new/",
        {**body, wrong: {"closes_at": f"{now - chains.HOUR:%Y-%m-%d %H:%M}", "i0-price": ""}[wrong]},
    )
    assert bad.status_code == 400 and not ChainOrder.objects.exists()
    assert client.post("/admin/campaigns/chainorder/new/", body).status_code == 302
    assert client.post("/admin/campaigns/chainorder/new/", body).status_code == 302 and ChainOrder.objects.count() == 1
    assert chain_orders.close(chain_id=ChainOrder.objects.get().pk, actor=None, now=timezone.now())
