"""The store list: what it creates, what a second one changes, and what is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from scrm import imports, jobs, org_import, uploads
from scrm.models import Act, Job, LegalEntity, Region, Store, User
from tests.factories import lists

pytestmark = pytest.mark.django_db

HEADER = "store_code,store_name,entity_code,entity_kind,region_code,city,address,longitude,latitude,opened_on"


def take(path: Path, *args: str) -> dict[str, Any]:
    return lists.take("import_stores", path, *args)


def write(path: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    return lists.write(path, header, *rows, encoding=encoding)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write(
        tmp_path / "stores.csv",
        "S1,艳粉店,HQ,DIRECT,R4,沈阳市,铁西区艳粉街61号,123.3619643,41.77968209,2018-06-01",
        "S2,,D1,DIRECT,R4,,,,,",
        "S3,加盟一店,D1,FRANCHISEE,R5,大连市,,,,2020/1/2",
        "S4,加盟二店,F1,加盟,R5,大连市,,121.6,38.9,2021年3月4日",
    )


def test_a_list_creates_entities_regions_and_stores(csv: Path) -> None:
    summary = take(csv)
    assert (summary["rows"], summary["created"], summary["entities_created"], summary["regions_created"]) == (
        4,
        4,
        3,
        2,
    )
    assert dict(LegalEntity.objects.values_list("code", "kind")) == {"HQ": "HQ", "D1": "DIRECT", "F1": "FRANCHISEE"}
    assert dict(Region.objects.values_list("code", "name")) == {"R4": "R4", "R5": "R5"}  # the code until HQ names it
    store = Store.objects.select_related("entity", "region").get(code="S4")
    assert (store.entity.code, store.region.code, store.ownership, str(store.longitude), str(store.opened_on)) == (
        "F1", "R5", "FRANCHISEE", "121.6000000", "2021-03-04",
    )  # fmt: skip
    assert Store.objects.get(code="S2").name == "S2"
    assert Act.objects.filter(verb="org.import_stores").count() == 1


def test_the_same_list_again_changes_nothing_and_says_so(csv: Path) -> None:
    take(csv)
    before = list(Store.objects.order_by("pk").values())
    summary = take(csv)
    assert (summary["created"], summary["updated"], summary["unchanged"]) == (0, 0, 4)
    assert list(Store.objects.order_by("pk").values()) == before
    assert Act.objects.filter(verb="org.import_stores").count() == 1


def test_a_filled_cell_wins_and_an_empty_one_never_erases(csv: Path, tmp_path: Path) -> None:
    take(csv)
    Region.objects.filter(code="R4").update(name="北区")
    LegalEntity.objects.filter(code="F1").update(name="加盟公司", kind="DIRECT")
    later = write(tmp_path / "later.csv", "S1,,HQ,DIRECT,R5,,,,,", "S4,新名,F1,FRANCHISEE,R5,,,,,2021-03-04")
    summary = take(later)
    assert (summary["updated"], summary["unchanged"], summary["created"]) == (2, 0, 0)
    moved = Store.objects.select_related("region").get(code="S1")
    assert (moved.name, moved.city, moved.region.code) == ("艳粉店", "沈阳市", "R5")
    assert Store.objects.get(code="S4").name == "新名"
    assert Region.objects.get(code="R4").name == "北区"
    assert LegalEntity.objects.get(code="F1").kind == "DIRECT"
    assert Store.objects.count() == 4


def test_broken_rows_are_reported_and_do_not_stop_the_good_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path / "stores.csv",
        "S1,好店,HQ,DIRECT,R1,,,,,",
        ",无码,HQ,DIRECT,R1,,,,,",
        "S3,名,HQ,直销,R1,,,,,",
        "S4,名,HQ,DIRECT,R1,,,223.1,41,",
        "S5,名,HQ,DIRECT,R1,,,abc,41,",
        "S6,名,HQ,DIRECT,R1,,,,,2018-02-30",
        "S7,名,,DIRECT,R1,,,,,",
        "S8,名,HQ,DIRECT",
        "S1,好店,HQ,DIRECT,R1,,,,,",
        "S1,别的店,HQ,DIRECT,R1,,,,,",
        f"S9,{'长' * 65},HQ,DIRECT,R1,,,,,",
    )
    errors = tmp_path / "errors.csv"
    summary = take(path, "--errors", str(errors))
    assert summary["problems"] == {
        "missing_value": 2, "bad_ownership": 1, "bad_longitude": 2, "bad_opened_on": 1, "wrong_cell_count": 1,
        "repeated_store": 1, "too_long": 1,
    }  # fmt: skip
    assert (summary["rows"], summary["bad"], summary["created"]) == (11, 9, 1)
    found = [line.split(",")[:3] for line in errors.read_text("utf-8-sig").splitlines()]
    assert found == [
        ["行号", "列", "错误码"], ["3", "store_code", "missing_value"], ["4", "entity_kind", "bad_ownership"],
        ["5", "longitude", "bad_longitude"], ["6", "longitude", "bad_longitude"], ["7", "opened_on", "bad_opened_on"],
        ["8", "entity_code", "missing_value"], ["9", "", "wrong_cell_count"], ["11", "store_code", "repeated_store"],
        ["12", "store_name", "too_long"],
    ]  # fmt: skip
    assert errors.stat().st_mode & 0o777 == 0o600


def test_the_error_file_can_be_corrected_and_imported_again(tmp_path: Path) -> None:
    path = write(tmp_path / "stores.csv", "S1,=cmd(),HQ,DIRECT,R1,,,-1.5,95,", "S2,店,HQ,DIRECT,R1,,,,,")
    errors = tmp_path / "errors.csv"
    take(path, "--errors", str(errors))
    text = errors.read_text("utf-8-sig")
    assert "'=cmd()" in text and ",-1.5,95," in text  # a formula is disarmed, a number is not touched
    errors.write_text(text.replace(",95,", ",45,"), "utf-8-sig")
    assert take(errors)["created"] == 1
    assert Store.objects.count() == 2


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig", "utf-16"])
def test_chinese_titles_and_other_encodings(tmp_path: Path, encoding: str) -> None:
    header = "门店编码,门店名称,主体编码,主体名称,经营类型,大区编码,大区名称,城市"
    path = write(
        tmp_path / "门店.csv", "S1,艳粉店,HQ,总部公司,直营,R1,东北大区,沈阳市", header=header, encoding=encoding
    )
    assert take(path)["created"] == 1
    store = Store.objects.select_related("region", "entity").get()
    assert (store.name, store.region.name, store.entity.name, store.city) == (
        "艳粉店",
        "东北大区",
        "总部公司",
        "沈阳市",
    )


def test_a_store_does_not_close_before_it_opened(csv: Path, tmp_path: Path) -> None:
    take(csv)
    header = "store_code,entity_code,entity_kind,region_code,closed_on"
    rows = ("S1,HQ,DIRECT,R4,2018-05-31", "S3,D1,FRANCHISEE,R5,2024-12-31")
    summary = take(write(tmp_path / "closed.csv", *rows, header=header))
    assert (summary["problems"], summary["updated"], summary["unchanged"]) == ({"closed_before_opening": 1}, 1, 0)
    assert Store.objects.get(code="S1").closed_on is None
    assert str(Store.objects.get(code="S3").closed_on) == "2024-12-31"


def test_a_dry_run_writes_nothing(csv: Path) -> None:
    summary = take(csv, "--dry-run")
    assert (summary["dry_run"], summary["good"], summary["stores"]) == (True, 4, 4)
    assert not Store.objects.exists() and not LegalEntity.objects.exists()


def test_a_file_that_is_no_list_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "stores.csv", "1,2", header="a,b")
    with pytest.raises(CommandError):
        call_command("import_stores", str(path))
    with pytest.raises(CommandError):
        call_command("import_stores", str(tmp_path / "nowhere.csv"))
    assert set(Job.objects.values_list("status", flat=True)) == {"FAILED"}
    assert not Store.objects.exists()


def test_a_mapping_names_the_columns_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "stores.csv", "S1,HQ,DIRECT,R1", header="甲,乙,丙,丁")
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"store_code": "甲", "entity_code": 2, "ownership": "丙", "region_code": "丁"}))
    assert take(path, "--mapping", str(mapping))["created"] == 1


def test_an_upload_is_imported_as_a_job(csv: Path) -> None:
    actor = User.objects.create_user("hq")
    upload = uploads.store(
        actor=actor, purpose=org_import.KIND, name="stores.csv", chunks=[csv.read_bytes()], now=timezone.now()
    )
    job = jobs.enqueue(org_import.KIND, actor=actor, upload=upload)
    assert jobs.run(job.pk).summary["created"] == 4
    assert Act.objects.get(verb="org.import_stores").actor == actor
    assert imports.columns_of(org_import.KIND) == org_import.COLUMNS


def test_company_stores(company_data: Path) -> None:
    expected = json.loads((company_data / "expected.json").read_text())
    summary = take(company_data / "stores.csv")
    assert summary["created"] == expected["stores"] == Store.objects.count()
    assert summary["problems"] == {} and summary["ignored_columns"] == []
    assert dict(LegalEntity.objects.values_list("code", "kind"))["HQ"] == "HQ"
    assert LegalEntity.objects.exclude(kind="FRANCHISEE").count() == 1
    assert take(company_data / "stores.csv")["unchanged"] == expected["stores"]
