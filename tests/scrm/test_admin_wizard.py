"""The import wizard without a browser: what is taken, what stands between the steps, who may, and what leaves a record."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from members.models import Member
from scrm import jobs, uploads
from scrm.models import Act, Job, Upload
from tests.factories.console import SEES, Console, console

MOBILE = "15411112222"
LIST = (
    f"会员卡号,姓名,手机号,开卡门店,开卡日期\nVIP700001,林夏,{MOBILE},S1,2024-05-01\nVIP700002,无效,999,S1,2024-05-01\n"
)


@pytest.fixture
def company(db: None) -> Console:
    return console()


def send(client: Any, content: bytes = LIST.encode(), name: str = "members.csv", kind: str = "import_members") -> Any:
    return client.post(reverse("admin:import_start"), {"kind": kind, "file": SimpleUploadedFile(name, content)})


def trial(client: Any) -> Job:
    """Upload, columns as guessed, and the dry run done."""
    columns = send(client).url
    shown = client.get(columns)
    mapping = {f"column_{row['name']}": row["title"] for row in shown.context["rows"]}
    page = client.post(columns, mapping).url
    job = Job.objects.latest("pk")
    assert page == reverse("admin:import_job", args=(job.pk,))
    return jobs.run(job.pk)


def test_from_upload_to_result(company: Console) -> None:
    client = company.client("operator")
    job = trial(client)
    assert (job.summary["good"], job.summary["bad"]) == (1, 1)
    assert not Member.objects.filter(name="林夏").exists()
    preview = client.get(reverse("admin:import_job", args=(job.pk,))).content.decode()
    assert "这不是中国大陆手机号" in preview
    first = client.post(reverse("admin:import_run", args=(job.pk,)))
    again = client.post(reverse("admin:import_run", args=(job.pk,)))
    assert first.url == again.url  # two clicks are one import
    real = jobs.run(Job.objects.latest("pk").pk)
    assert real.params["dry_run"] is False
    assert Member.objects.get(name="林夏").home_store.code == "S1"  # type: ignore[union-attr]
    state = client.get(reverse("admin:import_state", args=(real.pk,))).json()
    assert (state["status"], state["share"], state["is_open"]) == ("DONE", 100, False)


def test_no_plain_byte_on_disk_and_none_in_the_rows(company: Console) -> None:
    client = company.client("hq")
    job = trial(client)
    upload = Upload.objects.get()
    content = (uploads.folder() / upload.path).read_bytes()
    assert MOBILE.encode() not in content
    assert "林夏".encode() not in content
    assert uploads.folder().stat().st_mode & 0o777 == 0o700
    assert MOBILE not in json.dumps([job.params, job.summary], ensure_ascii=False)


@pytest.mark.parametrize("name", [name for name in SEES if name not in ("hq", "operator")])
def test_only_who_sees_everything_and_may_act_imports(company: Console, name: str) -> None:
    job = trial(company.client("hq"))
    client, upload = company.client(name), Upload.objects.get()
    for page, arguments in (
        ("imports", ()), ("import_start", ()), ("import_columns", (upload.pk,)), ("import_job", (job.pk,)),
        ("import_state", (job.pk,)), ("import_errors", (job.pk,)), ("import_run", (job.pk,)), ("import_cancel", (job.pk,)),
    ):  # fmt: skip
        address = reverse(f"admin:{page}", args=arguments)
        assert client.get(address).status_code == 403, page
        assert client.post(address).status_code == 403, page
    assert Job.objects.count() == 1


def test_reading_changes_nothing(company: Console) -> None:
    job = trial(company.client("hq"))
    for page in ("import_run", "import_cancel"):
        assert company.client("hq").get(reverse(f"admin:{page}", args=(job.pk,))).status_code == 405


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("members.csv", b"", "文件"),
        ("members.pdf", b"%PDF-1.7", "无法读取此类文件"),
        ("members.exe", b"MZ", "无法读取此类文件"),
        ("members.csv", b"<html><body>x</body></html>", "网页或文档"),
        ("members.xlsx", b"PK\x03\x04 nonsense", "工作簿已损坏"),
        ("members.csv.gz", b"no gzip", "不是 gzip 文件"),
        ("members.csv", b"PK\x03\x04", "扩展名不符"),
    ],
)
def test_what_is_no_list_is_refused_with_the_remedy(company: Console, name: str, content: bytes, words: str) -> None:
    response = send(company.client("hq"), content, name)
    assert response.status_code == 400
    assert words in response.content.decode()
    assert not Job.objects.exists()


def test_a_file_beyond_the_limit_leaves_nothing_behind(company: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 1_000)
    before = set(uploads.folder().iterdir())
    response = send(company.client("hq"), LIST.encode() * 50)
    assert response.status_code == 400
    assert set(uploads.folder().iterdir()) == before
    assert not Upload.objects.exists()


def test_a_bomb_is_refused(company: Console) -> None:
    bomb = gzip.compress(b"a," * 60_000_000, compresslevel=9)
    response = send(company.client("hq"), bomb, "members.csv.gz")
    assert response.status_code == 400


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.csv", "..\\..\\x.csv", "a\x00b.csv", "\u202evsc.exe.csv", "." * 300 + "m.csv"]
)
def test_a_name_is_only_a_name(name: str) -> None:
    safe = uploads.safe_name(name)
    assert "/" not in safe
    assert "\\" not in safe
    assert not any(ch in safe for ch in "\x00\u202e")
    assert 0 < len(safe) <= 120


def test_a_needed_column_that_is_missing(company: Console) -> None:
    client = company.client("hq")
    columns = send(client, "门店编码,城市\nS9,杭州\n".encode(), "stores.csv", "import_stores").url
    response = client.post(columns, {"column_store_code": "门店编码"})
    assert response.status_code == 200
    assert "文件缺少这些列" in response.content.decode()
    assert not Job.objects.exists()


def test_broken_rows_go_out_for_a_reason_and_on_record(company: Console) -> None:
    client, address = company.client("operator"), reverse("admin:import_errors", args=(trial(company.client("hq")).pk,))
    assert "无效" not in client.get(address).content.decode()
    assert client.post(address, {"reason": ""}).status_code == 400
    assert not Act.objects.filter(verb="upload.errors").exists()
    response = client.post(address, {"reason": "更正后重新导入"})
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    assert "bad_mobile" in text
    assert "无效" in text
    assert "attachment" in response["Content-Disposition"]
    assert Act.objects.get(verb="upload.errors").actor == company.staff["operator"]
    assert not list(Path(settings.SCRM_VAR, "uploads").glob("errors-*"))


def test_a_job_can_be_cancelled(company: Console) -> None:
    client = company.client("hq")
    columns = send(client).url
    client.post(columns, {"column_mobile": "手机号", "column_card_no": "会员卡号"})
    job = Job.objects.latest("pk")
    client.post(reverse("admin:import_cancel", args=(job.pk,)))
    job.refresh_from_db()
    assert job.status == "CANCELLED"
    refused = client.post(reverse("admin:import_run", args=(job.pk,)), follow=True)
    assert "只有完成试运行的文件才能正式导入" in refused.content.decode()


def test_files_are_deleted_after_their_days(company: Console) -> None:
    client = company.client("hq")
    job = trial(client)
    upload, now = Upload.objects.get(), timezone.now()
    assert uploads.delete_expired(now=now) == 0
    assert uploads.delete_expired(now=now + dt.timedelta(days=8)) == 1
    assert not (uploads.folder() / upload.path).exists()
    gone = client.get(reverse("admin:import_columns", args=(upload.pk,)), follow=True)
    assert "请重新上传" in gone.content.decode()
    refused = client.post(reverse("admin:import_errors", args=(job.pk,)), {"reason": "再看一次"})
    assert refused.status_code == 400


def test_english_when_asked_for(company: Console) -> None:
    client = company.client("hq")
    assert "新建导入" in client.get(reverse("admin:import_start")).content.decode()
    client.post(reverse("set_language"), {"language": "en", "next": "/admin/"})
    text = client.get(reverse("admin:import_start")).content.decode()
    assert "New import" in text
    assert "新建导入" not in text
