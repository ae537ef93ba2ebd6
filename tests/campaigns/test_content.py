"""Materials: what is taken in, what is refused at which field, versions, and their files at WeCom."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from django.utils import timezone
from PIL import Image

from campaigns import content, content_files, content_media
from campaigns.models import Content, ContentFile, ContentUse, ContentVersion, FileUpload
from scrm import pictures
from scrm.models import Corp
from tests.factories import content as factory

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def said_again(row: Content, **changes: object) -> Content:
    version = content.current(row)
    words = {name: getattr(version, name) for name in ("text", "title", "description", "url", "app_id", "page", "file")}
    return content.write(content=row, said=content.Said(**(words | changes)), actor=None, now=timezone.now())


def test_a_change_is_a_new_version_and_the_old_one_stays():
    row = factory.material()
    said_again(row, title="挑榴莲三步")
    row.name = "挑榴莲"
    said_again(row)  # another name says nothing new
    row.refresh_from_db()
    assert (row.version_no, row.name) == (2, "挑榴莲")
    assert list(ContentVersion.objects.order_by("number").values_list("title", flat=True)) == [
        "榴莲怎么挑",
        "挑榴莲三步",
    ]


@pytest.mark.parametrize(
    ("kind", "said", "field", "words"),
    [
        ("TEXT", {}, "text", "请填写文本"),
        ("TEXT", {"text": "啊" * 1_334}, "text", "共 4,002 字节"),
        ("LINK", {"title": "榴" * 43, "url": "https://shop.example.com/"}, "title", "共 129 字节"),
        ("LINK", {"title": "榴莲", "url": "https://evil.example.org/"}, "url", "主机 evil.example.org 不在允许"),
        (
            "LINK",
            {"title": "榴莲", "url": "https://shop.example.com/", "description": "看" * 171},
            "description",
            "共 513 字节",
        ),
        ("MINI_PROGRAM", {"title": "榴" * 22, "app_id": "wx12", "page": "p"}, "title", "共 66 字节"),
        ("MINI_PROGRAM", {"title": "榴莲", "app_id": "gh_12", "page": "p"}, "app_id", "小程序的 AppID 以 wx 开头"),
        ("MINI_PROGRAM", {"title": "榴莲", "app_id": "wx12", "page": "https://x.com"}, "page", "页面是小程序内的路径"),
        ("MINI_PROGRAM", {"title": "榴莲", "app_id": "wx12", "page": "p"}, "file", "小程序卡片需要一张封面图"),
        ("IMAGE", {}, "file", "请选择文件"),
        ("VIDEO", {"file": ContentFile(kind="image")}, "file", "文件的类型与素材的类型不符"),
    ],
)
def test_what_wecom_would_refuse_is_refused_at_its_field(kind, said, field, words):
    found = content.problems(kind, content.Said(**said), hosts=frozenset({"shop.example.com"}))
    assert found[field].startswith(words)
    with pytest.raises(content.BadContent) as refused:
        factory.material(kind=kind, said=said)
    assert field in refused.value.extra["fields"] and not Content.objects.exists()


def test_a_picture_is_written_anew_without_where_it_was_taken():
    exif = Image.Exif()
    exif[0x010E] = "taken at home, 31.2304 N 121.4737 E"
    exif[0x0112] = 6  # lying on its side
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(out, "JPEG", exif=exif)
    file = content_files.checked("image", "../../家.JPG", out.getvalue() + b"<script>alert(1)</script>")
    shown = Image.open(io.BytesIO(file.content))
    assert (file.name, file.content_type, shown.size) == ("家.jpg", "image/jpeg", (200, 300))
    assert b"taken at home" not in file.content and b"script" not in file.content and not shown.getexif()
    clear = content_files.checked("image", "logo.png", factory.picture(mode="RGBA"))
    assert clear.content_type == "image/png"
    assert content_files.checked("image", "big.png", factory.picture(size=(5_000, 100))).width == 4_096


@pytest.mark.parametrize(
    ("kind", "name", "body"),
    [
        ("image", "a.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
        ("image", "a.png", b"GIF89a" + b"\0" * 40),
        ("image", "a.jpg", factory.picture()[:60]),
        ("video", "a.mp4", b"\0\0\0\x18ftypqt  " + b"\0" * 40),
        ("video", "a.exe", b"\0\0\0\x18ftypisom" + b"\0" * 40),
        ("file", "a.pdf", b"MZ" + b"\0" * 60),
        ("file", "a.exe", b"%PDF-1.7" + b"\0" * 60),
        ("file", "a.txt", b"<html><script>alert(1)</script></html>"),
        ("file", "a.txt", b"\0\1\2\3\4\5\6\7"),
        ("file", "a.pdf", b"%PDF"),
        ("file", "a.html", b"hello there"),
    ],
)
def test_what_is_not_what_it_says_is_refused(kind, name, body):
    with pytest.raises((content_files.BadFile, pictures.BadPicture)):
        content_files.checked(kind, name, body)


@pytest.mark.parametrize(
    ("kind", "name", "body", "content_type"),
    [
        ("video", "a.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 40, "video/mp4"),
        ("file", "价目.pdf", b"%PDF-1.7 ...", "application/pdf"),
        ("file", "价目.xlsx", b"PK\x03\x04......", "application/zip"),
        ("file", "价目.csv", "品名,价格\n榴莲,59".encode("gb18030"), "text/plain; charset=utf-8"),
    ],
)
def test_files_that_are_taken(kind, name, body, content_type):
    assert content_files.checked(kind, name, body).content_type == content_type


def test_over_wecoms_size():
    with pytest.raises(content_files.BadFile) as refused:
        content_files.checked("file", "a.pdf", b"%PDF-" + b"0" * (20 * 2**20))
    assert refused.value.message == "文件有 20,971,525 字节；企业微信要求 6 字节到 20 MB。"


def test_a_guide_takes_what_is_for_her_store_and_usable_now(shops):
    later, before = NOW + dt.timedelta(days=1), NOW - dt.timedelta(days=1)
    factory.material("人人可用", "TEXT")
    factory.material("北区", "TEXT", region=shops.stores["S1"].region)
    factory.material("加盟", "TEXT", entity=shops.stores["F1"].entity)
    factory.material("北区加盟", "TEXT", region=shops.stores["F1"].region, entity=shops.stores["F1"].entity)
    factory.material("南区加盟", "TEXT", region=shops.stores["S2"].region, entity=shops.stores["F1"].entity)
    factory.material("二店", "TEXT", store=shops.stores["S2"])
    factory.material("未到", "TEXT", starts_at=later)
    factory.material("过期", "TEXT", ends_at=before)
    factory.material("停用", "TEXT", is_active=False)

    def names(code):
        return set(content.usable_in(shops.stores[code].pk, timezone.now()).values_list("name", flat=True))

    assert names("S1") == {"人人可用", "北区"}
    assert names("S2") == {"人人可用", "二店"}
    assert names("F1") == {"人人可用", "北区", "加盟", "北区加盟"}


def test_a_use_is_counted_with_its_version(shops):
    row, guide, store = factory.material(), shops.guides["A"], shops.stores["S1"]
    said_again(row, title="挑榴莲三步")
    for _ in range(2):
        content.record_use(content=row, guide_id=guide.pk, store_id=store.pk, now=timezone.now())
    row.refresh_from_db()
    assert row.use_count == 2 and set(ContentUse.objects.values_list("version_no", flat=True)) == {2}
    Content.objects.update(is_active=False)
    with pytest.raises(content.NotUsable):
        content.record_use(content=row, guide_id=guide.pk, store_id=store.pk, now=timezone.now())


# --- files at WeCom ---------------------------------------------------------------------------------------------------


@pytest.fixture
def corp(sandbox) -> Corp:
    return sandbox.corp


def test_a_file_goes_up_when_it_is_wanted_and_again_before_it_runs_out(corp, sandbox):
    row = factory.material(kind="IMAGE")
    version = content.current(row)
    now = timezone.now()
    content_media.wanted(file=version.file, corp=corp, now=now)
    assert content_media.sweep(now=now) == 1
    assert content_media.sweep(now=now) == 0
    first = FileUpload.objects.get()
    assert content_media.is_ready(first, now) and first.media_id
    soon = now + dt.timedelta(days=3) - dt.timedelta(hours=5)
    assert content_media.sweep(now=soon) == 1
    again = FileUpload.objects.get()
    assert again.media_id != first.media_id
    assert content_media.sweep(now=soon + dt.timedelta(days=20)) == 0  # nobody has asked for it


def test_what_wecom_says_stands_beside_the_file_and_it_is_tried_again(corp, sandbox):
    version = content.current(factory.material(kind="IMAGE"))
    now = timezone.now()
    content_media.wanted(file=version.file, corp=corp, now=now)
    sandbox.faults.add("code", "media/upload", code=40004, times=1)
    assert content_media.sweep(now=now) == 0
    assert FileUpload.objects.get().error_text
    assert content_media.sweep(now=now + dt.timedelta(minutes=30)) == 0
    assert content_media.sweep(now=now + dt.timedelta(minutes=61)) == 1
    assert FileUpload.objects.get().error_text == ""
