"""Materials and scripts in the console: errors at their fields, nothing lost, the preview."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from campaigns import content, scripts
from campaigns.models import Content, ContentFile, LinkHost, Script, ScriptText
from scrm.models import Act
from tests.factories import content as factory
from tests.factories import shops as shop_factory
from tests.factories.console import Console, console

pytestmark = pytest.mark.django_db
TEXTS = {"level_1": "{商品}到货了", "level_2": "", "level_3": "", "level_4": "", "level_5": "", "level_6": ""}


@pytest.fixture
def company(db: None) -> Console:
    LinkHost.objects.create(host=factory.HOST)
    return console()


def inlines(prefix: str) -> dict[str, str]:
    return {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}


def link(**values: object) -> dict[str, object]:
    said = {
        "kind": "LINK",
        "name": "榴莲指南",
        "title": "榴莲怎么挑",
        "url": f"https://{factory.HOST}/a",
        "is_active": "on",
        "tags": "榴莲，新品 会员日",
    }
    return {**said, **inlines("versions"), **values}


def test_a_material_is_written_with_its_version_keywords_and_cover(company: Console) -> None:
    client = company.client("hq")
    cover = SimpleUploadedFile("cover.png", factory.picture(), "image/png")
    answer = client.post(reverse("admin:campaigns_content_add"), link(file=cover))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    row = Content.objects.get()
    version = content.current(row)
    assert version is not None and version.file is not None
    assert (row.tags, row.version_no, version.title, version.made_by) == (
        ["榴莲", "新品", "会员日"],
        1,
        "榴莲怎么挑",
        company.staff["hq"],
    )
    assert (version.file.kind, version.file.content_type) == ("image", "image/jpeg")
    shown = client.get(reverse("admin:campaigns_content_file", args=(row.pk,)))
    assert shown["Content-Type"] == "image/jpeg" and "sandbox" in shown["Content-Security-Policy"]
    page = client.get(reverse("admin:campaigns_content_change", args=(row.pk,))).content.decode()
    assert "榴莲怎么挑" in page and "content-preview" in page
    changed = link(title="挑榴莲三步")
    assert client.post(reverse("admin:campaigns_content_change", args=(row.pk,)), changed).status_code == 302
    row.refresh_from_db()
    second = content.current(row)
    assert (
        second is not None and row.version_no == 2 and second.file_id == version.file_id
    )  # no new file: the cover stays
    assert Act.objects.filter(verb="content.version").count() == 2


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"title": "榴" * 60}, "title", "共 180 字节；企业微信最多 128 字节"),
        ({"url": "https://evil.example.org/"}, "url", "主机 evil.example.org 不在允许的网址主机名单里"),
        ({"file": SimpleUploadedFile("a.png", b"<svg onload=alert(1)>")}, "file", "无法读取"),
        ({"tags": "一" * 40}, "tags", "最多 20 个关键词"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_lost(company: Console, changes, field, words) -> None:
    answer = company.client("hq").post(reverse("admin:campaigns_content_add"), link(**changes))
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    assert words in form.errors[field][0] or field == "file"
    assert form["name"].value() == "榴莲指南" and not Content.objects.exists() and not ContentFile.objects.exists()


def script(**values: object) -> dict[str, object]:
    return {"name": "榴莲到货", "is_active": "on", **TEXTS, **inlines("texts"), **values}


def test_a_script_with_an_unknown_slot_names_it_and_those_there_are(company: Console) -> None:
    client = company.client("hq")
    answer = client.post(reverse("admin:campaigns_script_add"), script(level_2="{昵称}，到货了"))
    errors = answer.context["adminform"].form.errors
    assert list(errors) == ["level_2"]
    assert errors["level_2"][0].startswith("没有槽位 {昵称}。可用的槽位：{导购} {门店} {商品}")
    assert "{昵称}，到货了" in answer.content.decode() and not Script.objects.exists()
    answer = client.post(reverse("admin:campaigns_script_add"), script(level_1=""))
    assert "至少写一级" in answer.context["adminform"].form.errors["level_1"][0]
    product = shop_factory.product("榴莲")
    assert client.post(reverse("admin:campaigns_script_add"), script(product=product.pk)).status_code == 302
    row = Script.objects.get()
    changed = script(product=product.pk, level_4="您上次买的{上次购买}又到了")
    assert client.post(reverse("admin:campaigns_script_change", args=(row.pk,)), changed).status_code == 302
    assert scripts.texts_of([Script.objects.get()])[row.pk] == {1: "{商品}到货了", 4: "您上次买的{上次购买}又到了"}
    assert ScriptText.objects.count() == 3 and Script.objects.get().version_no == 2


def test_the_preview_fills_the_typed_texts_for_a_member_of_ones_own(company: Console) -> None:
    shops = company.shops
    line = shops.lines["S2"]
    address = reverse("admin:campaigns_script_preview")
    asked = {**TEXTS, "level_4": "{称呼}，您上次买的{上次购买}又到了", "product": line.product_id, "member": "白鹭"}
    said = company.client("hq").post(address, asked).json()
    assert said["text"] == f"白鹭，您上次买的{line.product.name}又到了" and said["level"].startswith("4 ")
    assert "上次购买＝" in said["why"]
    stranger = company.client("hq").post(address, asked | {"member": ""}).json()
    assert stranger["text"] == f"{line.product.name}到货了" and stranger["skipped"][0]["lacking"] == "称呼、上次购买"
    assert "没有找到" in company.client("manager").post(address, asked).json()["error"]  # of another store
    assert "没有槽位 {坏}" in company.client("hq").post(address, asked | {"level_1": "{坏}"}).json()["error"]
    assert not Script.objects.exists()


def test_lists_and_forms_of_an_empty_house(company: Console) -> None:
    client = company.client("hq")
    for model in ("content", "script", "folder", "linkhost", "shortlink", "fileupload", "contentuse", "scriptuse"):
        assert client.get(reverse(f"admin:campaigns_{model}_changelist")).status_code == 200
    for page in (
        "campaigns_content_add",
        "campaigns_script_add",
        "members_productattribute_add",
        "members_tasteattribute_add",
    ):
        assert client.get(reverse(f"admin:{page}")).status_code == 200
    assert company.client("manager").get(reverse("admin:campaigns_script_add")).status_code == 403


def test_the_list_says_what_is_usable(company: Console) -> None:
    now = timezone.now()
    factory.material("可用", "TEXT")
    factory.material("过期", "TEXT", ends_at=now - dt.timedelta(days=1))
    page = company.client("hq").get(reverse("admin:campaigns_content_changelist"), {"q": "过"}).content.decode()
    assert "已过期" in page and "可用起" not in page.split("过期")[0][-20:]
