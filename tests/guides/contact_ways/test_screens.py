"""Codes, welcomes and tags as people meet them: in the console, printed, and on the guide's phone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from guides.contact_ways import bulk, pictures
from guides.models import Binding, ContactWay, Material, StrayWay, TagMapping, WayPicture, Welcome
from members.models import Tag
from scrm import jobs
from scrm.models import Act, Job
from scrm.wecom import contact_ways as endpoint
from scrm.wecom import errors
from tests.guides.conftest import Api
from tests.guides.contact_ways.conftest import Company
from tests.scrm.wecom.conftest import Wecom, wecom

__all__ = ["wecom"]


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    cache.clear()


@pytest.fixture
def hq(company: Company) -> Any:
    client = Client(raise_request_exception=True)
    client.force_login(company.shops.staff["hq"])
    return client


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:guides_{name}", args=args)


def act(client: Any, row: Any, name: str, **data: Any) -> str:
    answer = client.post(page(f"{row._meta.model_name}_act", row.pk, name), data, follow=True)
    return "".join(str(message) for message in answer.context["messages"])


def said(answer: Any) -> str:
    return str(answer.content.decode())


# --- the console ------------------------------------------------------------------------------------------------------


def test_a_store_code_from_the_form_to_the_printed_sheet(company: Company, hq: Any) -> None:
    form = {
        "corp": company.wecom.corp.pk, "purpose": "STORE", "name": "人民路店收银台", "store": "S1", "skip_verify": "on",
        "people": "G00001 周一至周五 09:00-18:00\nG00004 备用", "daily_cap": "20",
    }  # fmt: skip
    answer = hq.post(page("contactway_new"), form)
    way = ContactWay.objects.get()
    assert answer.status_code == 302 and way.is_shifting and way.is_multi
    assert "生成" in act(hq, way, "make")
    company.send()
    way.refresh_from_db()
    shown = said(hq.get(page("contactway_change", way.pk)))
    assert "<svg" in shown and "人民路店收银台" in shown and "周一、周二、周三、周四、周五 09:00-18:00" in shown
    company.scan(way)
    listed = hq.get(page("contactway_changelist"))
    assert "人民路店收银台" in said(listed)
    (row,) = listed.context["cl"].result_list
    assert row.shown_figures.today.friends == row.shown_figures.ever.friends == 1
    sheet = hq.post(
        page("contactway_changelist"), {"action": "print_chosen", "_selected_action": [way.pk], "index": "0"}
    )
    assert said(sheet).count("<svg") == 1 and "S1店" in said(sheet)
    assert Act.objects.filter(verb="way.create", actor=company.shops.staff["hq"]).exists()


def test_a_code_is_changed_where_it_stands(company: Company, hq: Any) -> None:
    way = company.store_way(*company_staff(company, "A"))
    address = page("contactway_edit", way.pk)
    assert "G00001" in said(hq.get(address))
    hq.post(address, {"name": "新名称", "people": "G00001\nG00002", "skip_verify": "on"})
    company.send()
    way.refresh_from_db()
    assert (way.name, way.live_userids) == ("新名称", ["guide_a", "guide_b"])
    assert "停用" in act(hq, way, "retire", reason="活动结束")


def company_staff(company: Company, *names: str) -> list[Any]:
    from guides.contact_ways import Staff

    return [Staff(company.shops.guides[name]) for name in names]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"people": "G404"}, "G404"),
        ({"store": "NO"}, "NO"),
        ({"people": "G00001 偶尔"}, "偶尔"),
        ({"purpose": "GUIDE", "people": "G00001\nG00002"}, "导购"),
        ({"name": "长" * 31}, "30"),
        ({"daily_cap": "0"}, "1"),
    ],
)
def test_bad_input_is_said_in_chinese_and_nothing_is_written(
    company: Company, hq: Any, change: dict[str, str], expected: str
) -> None:
    form = {"corp": company.wecom.corp.pk, "purpose": "STORE", "name": "码", "store": "S1", "people": "G00001"}
    answer = hq.post(page("contactway_new"), {**form, **change})
    assert answer.status_code == 400 and expected in said(answer)
    assert not ContactWay.objects.exists()


def test_codes_for_everybody_are_previewed_and_started_once(company: Company, hq: Any) -> None:
    company.make("A")
    query = {"corp": company.wecom.corp.pk, "skip_verify": "on"}
    answer = hq.get(page("contactway_bulk"), query)
    assert answer.context["preview"].to_make == 3
    answer = hq.post(page("contactway_bulk"), query)
    job = Job.objects.get(kind=bulk.KIND)
    assert answer.url == reverse("admin:scrm_job_change", args=(job.pk,))
    jobs.run(job.pk)
    company.send()
    assert ContactWay.objects.filter(status="LIVE").count() == 4
    assert "活码" in "".join(str(m) for m in hq.post(page("contactway_bulk"), query).context["messages"])


def test_a_region_is_a_part_of_it(company: Company, hq: Any) -> None:
    north = company.shops.stores["S1"].region
    answer = hq.get(page("contactway_bulk"), {"corp": company.wecom.corp.pk, "region": north.pk})
    assert answer.context["preview"].guides == 3  # S1 has two, F1 one


def test_a_stray_code_is_deleted_with_a_reason(company: Company, hq: Any) -> None:
    config_id = endpoint.add_single(company.wecom.app, userid="guide_a", state="old", skip_verify=True).config_id
    stray = StrayWay.objects.create(corp=company.wecom.corp, config_id=config_id, found_at=timezone.now())
    act(hq, stray, "delete_stray", reason="")
    assert StrayWay.objects.get().status == "OPEN"
    act(hq, stray, "delete_stray", reason="旧系统停用")
    company.send()
    assert StrayWay.objects.get().status == "DELETED" and not company.wecom.world.ways


def test_a_store_manager_sees_and_prints_her_codes_and_makes_none(company: Company) -> None:
    own, other = company.make("M"), company.make("B")
    client = Client()
    client.force_login(company.shops.guides["M"].user)
    assert client.get(page("contactway_change", own.pk)).status_code == 200
    assert client.get(page("contactway_picture", own.pk, "png")).status_code == 200
    for address in (page("contactway_change", other.pk), page("contactway_picture", other.pk, "svg")):
        assert client.get(address).status_code == 404
    for address in (page("contactway_new"), page("contactway_bulk"), page("contactway_edit", own.pk)):
        assert client.get(address).status_code == 403
    assert client.post(page("contactway_act", own.pk, "retire"), {"reason": "不要"}).status_code == 403


def test_the_codes_of_a_store_are_those_of_its_guides_too(company: Company, hq: Any) -> None:
    own, store, _other = company.make("A"), company.store_way(*company_staff(company, "A")), company.make("B")
    query = {"store__id__exact": company.shops.stores["S1"].pk}
    listed = hq.get(page("contactway_changelist"), query).context["cl"].result_list
    assert {row.pk for row in listed} == {own.pk, store.pk}


def test_the_pages_of_a_code_cost_the_same_for_one_guide_and_for_many(company: Company, hq: Any) -> None:
    few, many = (
        company.store_way(*company_staff(company, "A")),
        company.store_way(*company_staff(company, "A", "B", "F", "M")),
    )

    def cost(way: ContactWay) -> int:
        hq.get(page("contactway_change", way.pk))
        with CaptureQueriesContext(connection) as caught:
            assert hq.get(page("contactway_change", way.pk)).status_code == 200
        return len(caught)

    assert cost(few) == cost(many)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_code_says_its_target_and_who_stands_behind_it(company: Company, hq: Any) -> None:
    way = company.make()
    answer = hq.get(page("contactway_picture", way.pk, "png"))
    assert answer["Content-Type"] == "image/png" and answer.content.startswith(b"\x89PNG")
    drawing = said(hq.get(page("contactway_picture", way.pk, "svg")))
    assert "王芳" in drawing and "S1店" in drawing
    assert hq.get(page("contactway_picture", way.pk, "gif")).status_code == 404
    other = pictures.svg(pictures.prints([company.make("B")])[0])
    assert other != drawing


def test_without_a_font_a_picture_says_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = pictures.Print(1, "王芳", "https://work.weixin.qq.com/x", ("人民路店", "王芳"), ("S1", "G00001"))
    monkeypatch.setattr(pictures, "_font", lambda: None)
    assert pictures.png(one).startswith(b"\x89PNG")


def test_names_in_a_drawing_are_only_text() -> None:
    one = pictures.Print(1, '"><script>', "https://x", ("<script>alert(1)</script>",), ("S1",))
    assert "<script>" not in pictures.svg(one)


def test_wecoms_own_picture_is_kept_and_printed(company: Company) -> None:
    way = company.make()
    assert "<path" in pictures.svg(pictures.prints([way])[0])  # until then ours of the same address
    assert pictures.fetch_pictures(now=timezone.now()) == 1
    assert pictures.fetch_pictures(now=timezone.now()) == 0
    (one,) = pictures.prints([way])
    assert one.picture is not None and one.picture.startswith(b"\x89PNG")
    assert "data:image/png;base64," in pictures.svg(one)
    assert pictures.png(one).startswith(b"\x89PNG")


def test_an_address_without_a_picture_is_what_the_code_says(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    way = company.make()
    monkeypatch.setattr(endpoint, "picture", lambda address: None)
    assert pictures.fetch_pictures(now=timezone.now()) == 0
    assert bytes(WayPicture.objects.get().content) == b""
    assert "<path" in pictures.svg(pictures.prints([way])[0])


def picture_bytes() -> bytes:
    import io

    out = io.BytesIO()
    Image.new("RGB", (40, 40), "white").save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/x", "https://qpic.cn.evil.example/x", "file:///etc/passwd", "https://10.0.0.1/"]
)
def test_only_wecoms_hosts_are_asked_for_pictures(wecom: Wecom, address: str) -> None:
    assert endpoint.picture(address) is None
    assert not wecom.requests


def test_a_picture_that_does_not_come_is_asked_for_again(company: Company, settings: Any) -> None:
    way = company.make()
    ContactWay.objects.filter(pk=way.pk).update(qr_code=settings.WECOM_API_BASE.replace("cgi-bin", "gone"))
    way.refresh_from_db()
    with pytest.raises(errors.Unreachable):
        endpoint.picture(way.qr_code)
    assert pictures.fetch_pictures(now=timezone.now()) == 0
    assert not WayPicture.objects.exists()


# --- welcomes and tags ------------------------------------------------------------------------------------------------


def welcome_form(company: Company, **values: Any) -> dict[str, Any]:
    empty = {"parts-TOTAL_FORMS": "0", "parts-INITIAL_FORMS": "0"}
    return {
        "corp": company.wecom.corp.pk,
        "name": "通用",
        "text": "{客户昵称}您好",
        "is_active": "on",
        **empty,
        **values,
    }


def test_a_welcome_is_written_with_its_preview_and_refused_when_wecom_would(company: Company, hq: Any) -> None:
    assert "welcome-preview" in said(hq.get(page("welcome_add")))
    answer = hq.post(page("welcome_add"), welcome_form(company, text="{昵称}您好"))
    assert answer.status_code == 200 and "{昵称}" in said(answer) and not Welcome.objects.exists()
    hq.post(page("welcome_add"), welcome_form(company, text="你" * 1_400))
    assert not Welcome.objects.exists()
    part = {"parts-TOTAL_FORMS": "1", "parts-0-position": "1", "parts-0-kind": "link", "parts-0-title": "会员日"}
    answer = hq.post(page("welcome_add"), welcome_form(company, **part))
    assert "link.url" in said(answer) and not Welcome.objects.exists()
    hq.post(page("welcome_add"), welcome_form(company, **part, **{"parts-0-url": "https://shop.example"}))
    welcome = Welcome.objects.get()
    assert (welcome.text, welcome.parts.get().url) == ("{客户昵称}您好", "https://shop.example")
    assert Act.objects.filter(verb="console.add", target_type="guides.Welcome").exists()


@pytest.mark.parametrize(
    ("name", "content", "ok"),
    [("a.png", picture_bytes(), True), ("a.png", b"<svg onload=x>", False), ("a.png", b"x", False)],
)
def test_a_picture_is_a_picture(company: Company, hq: Any, name: str, content: bytes, ok: bool) -> None:
    form = {"corp": company.wecom.corp.pk, "kind": "image", "file": SimpleUploadedFile(name, content)}
    hq.post(page("material_add"), form)
    assert Material.objects.exists() is ok
    if ok:
        row = Material.objects.get()
        assert bytes(row.content) == content
        assert hq.get(page("material_change", row.pk)).status_code == 200
        act(hq, row, "upload_now")
        row.refresh_from_db()
        assert row.media_id and row.expires_at is not None and row.expires_at > timezone.now() + dt.timedelta(days=2)


def test_a_tag_is_mapped_and_switched_in_the_console(company: Company, hq: Any) -> None:
    Tag.objects.create(brand=company.shops.brand, name="少糖")
    form = {"corp": company.wecom.corp.pk, "tag": "少糖", "lead": "OURS", "group_name": "口味"}
    assert hq.post(page("tagmapping_new"), {**form, "tag": "没有的"}).status_code == 400
    assert hq.post(page("tagmapping_new"), {**form, "lead": "WECOM"}).status_code == 400
    hq.post(page("tagmapping_new"), form)
    company.send()
    mapping = TagMapping.objects.get()
    assert mapping.corp_tag is not None
    assert "少糖" in said(hq.get(page("tagmapping_changelist"))) and "少糖" in said(hq.get(page("corptag_changelist")))
    act(hq, mapping, "switch_off")
    mapping.refresh_from_db()
    assert not mapping.is_active


# --- the phone --------------------------------------------------------------------------------------------------------


def test_a_guide_shows_her_code_and_sees_whom_it_brought(company: Company) -> None:
    phone = Api(company.shops.token("A"))
    assert phone.get("code").json()["state"] == "NONE"
    way = company.make()
    member = company.shops.member("安琪", store="S1")
    member.identities.create(kind="UNIONID", namespace="MAIN", value="oU1")
    taken = company.shops.member("白鹭", store="S2", guide="B")
    taken.identities.create(kind="UNIONID", namespace="MAIN", value="oU2")
    Binding.objects.filter(member=taken).update(protected_until=None)
    company.scan(way, "晚风", "oU1")
    company.scan(way, "路人")
    code = phone.get("code").json()
    assert code["state"] == "READY" and code["svg"].startswith("<svg") and code["today"]["friends"] == 2
    assert (code["ever"]["members"], code["ever"]["bound"]) == (1, 1)
    page_one = phone.get("friends", size=1).json()
    page_two = phone.get("friends", size=1, cursor=page_one["next_cursor"]).json()
    (stranger,), (friend,) = page_one["items"], page_two["items"]
    assert (stranger["name"], stranger["member_id"], stranger["answer"]) == ("路人", None, None)
    assert (friend["member_id"], friend["answer"], friend["code_name"]) == (member.pk, "OPEN", "王芳")
    assert friend["answer_text"] and page_two["next_cursor"] is None
    assert phone.get("friends", day="2020-01-01").json()["items"] == []
    assert phone.get("friends", day="9999-12-31").status_code == 400
    assert Api(company.shops.token("B")).get("friends").json()["items"] == []


def test_the_refused_guide_reads_why_and_until_when(company: Company) -> None:
    member = company.shops.member("安琪", store="S1")
    member.identities.create(kind="UNIONID", namespace="MAIN", value="oU1")
    first, second = company.make("A"), company.make("B")
    external_userid = company.scan(first, "晚风", "oU1")
    from scrm.wecom.sandbox import people

    company.wecom.world.clock.advance(60)
    people.scan(company.wecom.world, second.config_id or "", external_userid)
    company.hear()
    people.confirm(company.wecom.world, "guide_b", external_userid)
    company.hear()
    (friend,) = Api(company.shops.token("B")).get("friends").json()["items"]
    assert friend["answer"] == "REFUSED_PROTECTED" and friend["protected_until"] is not None
    assert "王芳" not in str(friend)  # why, not who
