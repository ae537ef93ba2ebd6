"""Configuration as files: who may, what a cell may hold, what lies on disk in between."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from scrm.admin.exchange import neutral, plain
from scrm.models import Act, Store
from tests.factories.console import Console, console

EVIL = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    "＋1",
    "－1+1",
    "＠x",
    "==1+1",
    "  =1",
    '"=1',
    "'=1",
    "\u3000=1",
]
HARMLESS = ["水果", "12", "-3.50", "+86", "A-1", "", "a=b", "1,200.00"]


@pytest.fixture
def company(db: None) -> Console:
    return console()


@pytest.mark.parametrize("cell", EVIL)
def test_a_formula_becomes_text_and_comes_back(cell: str) -> None:
    assert neutral(cell) == "'" + cell
    assert plain(neutral(cell)) == cell


@pytest.mark.parametrize("cell", HARMLESS)
def test_what_is_no_formula_stays(cell: str) -> None:
    assert neutral(cell) == cell
    assert plain(cell) == cell


def export(company: Console, name: str) -> Any:
    return company.client(name).post(reverse("admin:scrm_store_export"), {"format": "0", "resource": ""})


def test_stores_go_out_with_chinese_titles_and_harmless_cells(company: Console) -> None:
    Store.objects.filter(code="S1").update(name="=cmd|' /C calc'!A0", city="-5")
    rows = list(csv.DictReader(io.StringIO(export(company, "hq").content.decode("utf-8-sig"))))
    assert {row["门店编码"] for row in rows} == {"S1", "S2", "F1", "F2"}
    evil = next(row for row in rows if row["门店编码"] == "S1")
    assert evil["门店名称"] == "'=cmd|' /C calc'!A0"
    assert evil["城市"] == "-5"  # a number with a sign is one
    assert (evil["法人主体编码"], evil["经营性质"]) == ("HQ", "直营店")
    assert Act.objects.filter(verb="console.export", actor=company.staff["hq"]).exists()


@pytest.mark.parametrize("name", ["operator", "auditor", "region", "manager", "franchisee"])
def test_exporting_is_a_right_of_its_own(company: Console, name: str) -> None:
    assert export(company, name).status_code == 403
    assert company.client(name).get(reverse("admin:scrm_store_export")).status_code == 403
    listed = company.client(name).get(reverse("admin:scrm_store_changelist"))
    assert reverse("admin:scrm_store_export") not in listed.content.decode()
    action = company.client(name).post(
        reverse("admin:scrm_store_changelist"),
        {"action": "export_admin_action", "_selected_action": [company.shops.stores["S1"].pk]},
    )
    assert action["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("name", ["auditor", "region", "manager", "franchisee"])
def test_importing_is_a_change(company: Console, name: str) -> None:
    for page in ("import", "process_import"):
        assert company.client(name).get(reverse(f"admin:scrm_store_{page}")).status_code in (403, 405)
        assert company.client(name).post(reverse(f"admin:scrm_store_{page}"), {}).status_code == 403


def folder() -> Path:
    return Path(settings.SCRM_VAR) / "config-imports"


def test_import_with_a_preview(company: Console) -> None:
    client = company.client("operator")
    text = "门店编码,门店名称,法人主体编码,区域编码,经营性质,城市,地址,开业日期,闭店日期\nS1,一店,HQ,N,直营店,杭州,'=文三路,2024-05-01,\n"
    sent = SimpleUploadedFile("stores.csv", text.encode("utf-8-sig"), "text/csv")
    preview = client.post(reverse("admin:scrm_store_import"), {"format": "0", "resource": "", "import_file": sent})
    assert preview.status_code == 200
    assert Store.objects.get(code="S1").name == "S1店"  # nothing is written yet
    confirm = preview.context["confirm_form"]
    kept = folder() / confirm.initial["import_file_name"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert folder().stat().st_mode & 0o777 == 0o700
    client.post(reverse("admin:scrm_store_process_import"), confirm.initial)
    store = Store.objects.get(code="S1")
    assert (store.name, store.city, store.address) == ("一店", "杭州", "=文三路")
    assert not kept.exists()
    assert Act.objects.filter(verb="console.import", actor=company.staff["operator"]).exists()


def test_a_forged_name_reads_nothing_else(company: Console, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("门店编码\nX\n")
    for name in (str(secret), "../postgres/PG_VERSION", "/etc/passwd"):
        values = {"import_file_name": name, "original_file_name": "x.csv", "format": "0", "resource": ""}
        with pytest.raises(OSError, match="No such file"):
            company.client("hq").post(reverse("admin:scrm_store_process_import"), values)
