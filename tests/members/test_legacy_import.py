"""The member import: who is recognised, what is written, what is refused."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json

import pytest
import xlsxwriter
from django.core.management import CommandError, call_command
from django.db import connection

from members import legacy_import
from members.legacy_import.persons import CONFLICT, REPEAT, Resolver
from members.models import Identity, Member, MemberTag, PointsOpening, Tier
from scrm import crypto, imports
from scrm.models import Act, Job, JobProblem
from tests.factories.member_lists import HEADER, everything, import_file, import_rows, make_store, member_of, problems

pytestmark = pytest.mark.django_db

ROW = "A1,王芳,13912341234,女,19990118,银卡,120,S1,,2024年5月1日,宝妈|老客,喜欢车厘子"


@pytest.fixture(autouse=True)
def stores():
    return {code: make_store(code) for code in ("S1", "S2")}


# --- one row ----------------------------------------------------------------------------------------------------------


def test_a_full_row(tmp_path, stores):
    job = import_rows(tmp_path, ROW)
    assert job.status == Job.Status.DONE
    member = Member.objects.get()
    assert (member.name, member.gender, member.birthday) == ("王芳", "F", dt.date(1999, 1, 18))
    assert (member.tier.name, member.home_store, member.registered_on) == ("银卡", stores["S1"], dt.date(2024, 5, 1))
    assert (member.points_brought_in, member.remark, member.status) == (120, "喜欢车厘子", "ACTIVE")
    card, mobile = Identity.objects.order_by("kind")
    assert (card.kind, card.value, card.sealed, card.is_verified) == ("CARD", "A1", None, False)
    assert (mobile.kind, mobile.value) == ("MOBILE", crypto.mobile_index("+8613912341234"))
    assert crypto.open_mobile(mobile.sealed) == "+8613912341234"
    assert card.member == mobile.member == member
    assert set(MemberTag.objects.values_list("tag__name", "source")) == {("宝妈", "IMPORT"), ("老客", "IMPORT")}
    opening = PointsOpening.objects.get()
    assert (opening.identity, opening.member, opening.points, opening.job) == (card, member, 120, job)
    assert job.summary["created"] == 1 and job.summary["good"] == 1 and not job.summary["is_unchanged"]


def test_empty_cells_are_unknown_not_zero(tmp_path):
    import_rows(tmp_path, "A1,,,,,,,,,,,")
    member = Member.objects.get()
    assert (member.name, member.gender, member.birthday, member.tier, member.home_store) == ("", "", None, None, None)
    assert (member.registered_on, member.points_brought_in) == (None, 0)
    assert not PointsOpening.objects.exists() and not MemberTag.objects.exists()


def test_card_or_mobile_alone(tmp_path):
    import_rows(tmp_path, "A1,甲,,,,,5,,,,,", ",乙,13912341234,,,,7,,,,,")
    assert member_of(card="A1").name == "甲" and member_of(mobile="13912341234").name == "乙"
    assert {(o.identity.kind, o.points) for o in PointsOpening.objects.all()} == {("CARD", 5), ("MOBILE", 7)}


@pytest.mark.parametrize(("cell", "gender"), [("男", "M"), ("女", "F"), ("M", "M"), ("f", "F"), ("", "")])
def test_genders(tmp_path, cell, gender):
    import_rows(tmp_path, f"A1,甲,,{cell},,,,,,,,")
    assert Member.objects.get().gender == gender


BROKEN = [
    ("A1,甲,1380013800,,,,,,,,,", "mobile", "bad_mobile"),
    ("A1,甲,0571-88888888,,,,,,,,,", "mobile", "bad_mobile"),
    ("A1,甲,,不详,,,,,,,,", "gender", "bad_gender"),
    ("A1,甲,,,昨天,,,,,,,", "birthday", "bad_birthday"),
    ("A1,甲,,,2023-02-29,,,,,,,", "birthday", "bad_birthday"),
    ("A1,甲,,,2999-01-01,,,,,,,", "birthday", "bad_birthday"),
    ("A1,甲,,,1899-12-31,,,,,,,", "birthday", "bad_birthday"),
    ("A1,甲,,,,黑卡,,,,,,", "tier", "unknown_tier"),
    ("A1,甲,,,,,-5,,,,,", "points", "bad_points"),
    ("A1,甲,,,,,九百,,,,,", "points", "bad_points"),
    ("A1,甲,,,,,12.5,,,,,", "points", "bad_points"),
    ("A1,甲,,,,,99999999999999999999,,,,,", "points", "bad_points"),
    ("A1,甲,,,,,,S9,,,,", "store", "unknown_store"),
    ("A1,甲,,,,,,,G9,,,", "guide", "unknown_guide"),
    ("A1,甲,,,,,,,,2999-01-01,,", "registered_on", "bad_registered_on"),
    (",甲,,,,,,,,,,", "card", "missing_card_and_mobile"),
    ("\u3000,甲, ,,,,,,,,,", "card", "missing_card_and_mobile"),
    (f"A1,甲,,,,,,,,,{'长' * 65},", "tags", "bad_tags"),
    (f"A1,{'长' * 65},,,,,,,,,,", "name", "too_long"),
    (f"A1,甲,,,,,,,,,,{'长' * 501}", "remark", "too_long"),
    ("6.22202E+15,甲,,,,,,,,,,", "card", "digits_lost"),
    ("A1,甲", "", "wrong_cell_count"),
    ("A1,甲,1380013800,,昨天,黑卡,-5,S9,G9,x,,", "mobile", "bad_mobile"),  # the first by the file's order
    (",甲,,,昨天,,,,,,,", "card", "missing_card_and_mobile"),
]


@pytest.mark.parametrize(("row", "column", "code"), BROKEN)
def test_a_broken_row_is_reported_and_stops_nobody(tmp_path, row, column, code):
    job = import_rows(tmp_path, "G1,好,13912341235,,,,,,,,,", row, "G2,好,13912341236,,,,,,,,,")
    assert problems(job) == [(3, column, code)]
    assert imports.reason(code) != code
    assert Member.objects.count() == 2 and (job.summary["good"], job.summary["bad"]) == (2, 1)


def test_tiers_are_created_only_when_asked_for(tmp_path):
    assert problems(import_rows(tmp_path, "A1,甲,,,,黑卡,,,,,,"))[0][2] == "unknown_tier"
    job = import_rows(
        tmp_path, "A1,甲,,,,黑卡,,,,,,", "A2,乙,,,,钛卡,,,,,,", "A3,丙,,,昨天,错卡,,,,,,", create_tiers=True
    )
    assert job.summary["tiers_created"] == 2
    ranks = dict(Tier.objects.values_list("name", "rank"))
    assert ranks["黑卡"] < ranks["钛卡"] and "错卡" not in ranks
    assert member_of(card="A2").tier.name == "钛卡"


def test_columns_may_be_missing_or_named_by_a_mapping(tmp_path):
    job = import_rows(
        tmp_path, "13912341234,x,甲", header="联络方式,代号,姓名", mapping={"mobile": "联络方式", "card": "代号"}
    )
    assert job.summary["created"] == 1 and member_of(card="x") == member_of(mobile="13912341234")


# --- recognising ------------------------------------------------------------------------------------------------------


def test_matched_by_card_then_by_mobile(tmp_path):
    import_rows(tmp_path, "A1,甲,13912341234,,,,,,,,,")
    job = import_rows(tmp_path, "A1,,13912341235,,,,,,,,,", "A2,,13912341234,,,,,,,,,")
    member = Member.objects.get()
    assert {(i.kind, i.value) for i in member.identities.all()} == {
        ("CARD", "A1"), ("CARD", "A2"),
        ("MOBILE", crypto.mobile_index("+8613912341234")), ("MOBILE", crypto.mobile_index("+8613912341235")),
    }  # fmt: skip
    assert job.summary["updated"] == 1 and job.summary["identities_added"] == 2


def test_card_and_mobile_of_two_members_is_a_conflict(tmp_path):
    import_rows(tmp_path, "A1,甲,13912341234,,,,,,,,,", "A2,乙,13912341235,,,,,,,,,")
    before = everything()
    job = import_rows(tmp_path, "A1,丙,13912341235,,,,,,,,,")
    assert problems(job) == [(2, "mobile", "identity_conflict")]
    assert everything() == before


def test_conflict_inside_the_file_rejects_the_later_row(tmp_path):
    rows = ["A1,甲,13912341234,,,,,,,,,", "A2,乙,13912341235,,,,,,,,,", "A1,丙,13912341235,,,,,,,,,", "A1,丁,,,,,,,,,,"]
    job = import_rows(tmp_path, *rows)
    assert problems(job) == [(4, "mobile", "identity_conflict")]
    assert Member.objects.count() == 2 and member_of(card="A1").name == "丁"
    again = import_rows(tmp_path, *rows)
    assert problems(again) == [(4, "mobile", "identity_conflict")] and again.summary["is_unchanged"]


def test_rows_chained_by_alternating_keys_are_one_person(tmp_path):
    job = import_rows(tmp_path, "A1,,13912341234,,,,,,,,,", "A2,,13912341234,,,,,,,,,", "A2,末,13912341235,,,,,,,,,")
    assert job.summary["created"] == 1 and Member.objects.get().name == "末" and Identity.objects.count() == 4


def test_two_rows_meeting_in_a_known_member_are_folded(tmp_path):
    import_rows(tmp_path, "A1,甲,13912341234,,,,,,,,,")
    job = import_rows(tmp_path, "A1,乙,,,,,,,,,,", ",丙,13912341234,,,,,,,,,")
    assert Member.objects.get().name == "丙" and job.summary["updated"] == 1


def test_another_brands_card_is_another_card(tmp_path):
    member = Member.objects.create(brand_id=Tier.objects.first().brand_id)
    Identity.objects.create(member=member, kind="CARD", namespace="OTHER", value="A1")
    import_rows(tmp_path, "A1,甲,,,,,,,,,,")
    assert Member.objects.count() == 2


# --- folding and updating ---------------------------------------------------------------------------------------------


def test_later_line_wins_per_filled_cell(tmp_path, stores):
    job = import_rows(
        tmp_path,
        "A1,甲,13912341234,男,1990-01-01,银卡,10,S1,,2024-05-01,宝妈,旧",
        "A1,乙,,,,金卡,30,S2,,2023-01-01,老客,",
        "A1,,,女,,,20,,,2025-01-01,,",
    )
    member = Member.objects.get()
    assert (member.name, member.gender, member.birthday, member.tier.name) == ("乙", "F", dt.date(1990, 1, 1), "金卡")
    assert (member.home_store, member.registered_on, member.remark) == (stores["S2"], dt.date(2023, 1, 1), "旧")
    assert member.points_brought_in == PointsOpening.objects.get().points == 20  # the last one; not added up
    assert set(MemberTag.objects.values_list("tag__name", flat=True)) == {"宝妈", "老客"}
    assert (job.summary["created"], job.summary["good"]) == (1, 3)


def test_a_later_list_updates_and_never_erases(tmp_path, stores):
    import_rows(tmp_path, ROW)
    job = import_rows(tmp_path, "A1,王芳芳,,,,金卡,999,S2,,2025-01-01,新客,", "A1,,,,,,,,,2020-02-02,,")
    member = Member.objects.get()
    assert (member.name, member.tier.name, member.home_store) == ("王芳芳", "金卡", stores["S2"])
    assert (member.gender, member.birthday, member.remark) == ("F", dt.date(1999, 1, 18), "喜欢车厘子")
    assert member.registered_on == dt.date(2020, 2, 2)
    assert member.points_brought_in == 120  # an opening entry once per card
    assert set(MemberTag.objects.values_list("tag__name", flat=True)) == {"宝妈", "老客", "新客"}
    assert (job.summary["created"], job.summary["updated"], job.summary["tags_added"]) == (0, 1, 1)


def test_points_of_a_second_card_are_another_opening(tmp_path):
    import_rows(tmp_path, "A1,甲,13912341234,,,,10,,,,,")
    import_rows(tmp_path, "A2,甲,13912341234,,,,5,,,,,")
    import_rows(tmp_path, "A2,甲,13912341234,,,,77,,,,,")
    assert Member.objects.get().points_brought_in == 15
    assert sorted(PointsOpening.objects.values_list("identity__value", "points")) == [("A1", 10), ("A2", 5)]


def test_points_brought_in_by_number_are_not_opened_again_by_card(tmp_path):
    import_rows(tmp_path, ",甲,13912341234,,,,10,,,,,")
    import_rows(tmp_path, "A1,甲,13912341234,,,,10,,,,,")
    assert Member.objects.get().points_brought_in == 10 and PointsOpening.objects.count() == 1


def test_the_same_list_twice_changes_nothing_and_says_so(tmp_path):
    rows = [ROW, "A2,乙,13912341235,,,,,S2,,,,", "A2,丙,,,,,9,,,2020-01-01,新客,", "A3,丁,13912341234,,,,,,,,,", "x"]
    first = import_rows(tmp_path, *rows)
    before = everything()
    stamps = list(Member.objects.order_by("pk").values_list("pk", "updated_at"))
    second = import_rows(tmp_path, *rows)
    assert everything() == before
    assert list(Member.objects.order_by("pk").values_list("pk", "updated_at")) == stamps
    summary = second.summary
    assert summary["is_unchanged"] and not first.summary["is_unchanged"]
    assert (summary["created"], summary["updated"], summary["unchanged"]) == (0, 0, first.summary["created"])
    assert problems(first) == problems(second)


def test_exact_repeats_are_counted_apart(tmp_path):
    other_spelling = ROW.replace("13912341234", "139 1234 1234")
    job = import_rows(tmp_path, ROW, ROW, other_spelling, ROW, "A9,甲,1390000,,,,,,,,,", "A9,甲,1390000,,,,,,,,,")
    assert job.summary[REPEAT] == 2 and problems(job) == [(6, "mobile", "bad_mobile"), (7, "mobile", "bad_mobile")]
    assert job.summary["good"] == 4 and Member.objects.count() == 1
    assert legacy_import.dirty_rows(job.summary) == {
        "bad_mobile": 2, "bad_birthday": 0, "unknown_store": 0, "missing_card_and_mobile": 0, REPEAT: 2, "bad_points": 0,
    }  # fmt: skip


def test_a_repeat_after_another_row_of_the_person_still_has_the_last_word(tmp_path):
    job = import_rows(tmp_path, "A1,甲,,,,,,,,,,", "A1,乙,,,,,,,,,,", "A1,甲,,,,,,,,,,")
    assert Member.objects.get().name == "甲" and job.summary[REPEAT] == 1


def test_repeat_of_a_conflicting_row_is_a_conflict_too(tmp_path):
    clash = "A1,丙,13912341235,,,,,,,,,"
    job = import_rows(tmp_path, "A1,甲,13912341234,,,,,,,,,", "A2,乙,13912341235,,,,,,,,,", clash, clash)
    assert [line for line, _, code in problems(job) if code == CONFLICT] == [4, 5] and job.summary[REPEAT] == 0


# --- frame ------------------------------------------------------------------------------------------------------------


def test_dry_run_counts_and_writes_nothing(tmp_path):
    import_rows(tmp_path, ROW)
    before = everything()
    tiers = Tier.objects.count()
    rows = [ROW, "A1,王芳芳,,,,,,,,,,", "A2,乙,,,,黑卡,,,,,新客,", "A3,丙,,,昨天,,,,,,,"]
    job = import_rows(tmp_path, *rows, dry_run=True, create_tiers=True)
    assert everything() == before and Tier.objects.count() == tiers
    assert (job.summary["created"], job.summary["updated"], job.summary["problems"]) == (1, 1, {"bad_birthday": 1})
    assert job.summary["dry_run"] and problems(job) == [(5, "birthday", "bad_birthday")]


def test_nothing_is_left_in_staging(tmp_path):
    import_rows(tmp_path, ROW, ROW, "x")
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace")
        assert cursor.fetchall() == []


def test_application_role_may_import(tmp_path, app_role):
    with app_role():
        assert import_rows(tmp_path, ROW, ROW.replace("A1", "A2"), create_tiers=True).status == Job.Status.DONE


def test_no_plain_number_in_the_database(tmp_path):
    import_rows(tmp_path, ROW, "A2,乙,13912341235,,,,,,,,,", "A3,丙,139123412x,,,,,,,,,", dry_run=False)
    tables = [Member, Identity, Job, JobProblem, Act, PointsOpening]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {table._meta.db_table} t")
            assert not any("1391234123" in row for (row,) in cursor.fetchall())


def test_error_file_is_corrected_and_imported_again(tmp_path):
    job = import_rows(tmp_path, ROW, "A2,=cmd(),1390000,,,,,,,,,", "A3,丙,13912341236,,昨天,,,,,,,", "A4,丁")
    errors = tmp_path / "errors.csv"
    imports.write_errors(job, errors)
    text = errors.read_text("utf-8-sig")
    assert text.splitlines()[0].startswith("行号,列,错误码,原因,会员卡号") and "'=cmd()" in text
    corrected = text.replace("1390000", "13912341235").replace("昨天", "1990-01-01")
    (tmp_path / "corrected.csv").write_text(corrected, "utf-8-sig")
    again = import_file(tmp_path / "corrected.csv")
    assert again.summary["created"] == 2 and not again.summary["ignored_columns"]
    assert member_of(mobile="13912341235").name == "'=cmd()"


def write(path, text: str, encoding: str) -> None:
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize(
    ("name", "encoding", "delimiter"),
    [
        ("m.csv", "utf-8", ","), ("m.csv", "utf-8-sig", ","), ("m.csv", "gb18030", ","), ("m.tsv", "utf-8", "\t"),
        ("m.tsv", "gb18030", "\t"), ("m.csv.gz", "gb18030", ","), ("m.tsv.gz", "utf-8-sig", "\t"), ("m.txt", "utf-16", "\t"),
    ],
)  # fmt: skip
def test_every_kind_of_text_file_gives_the_same_rows(tmp_path, name, encoding, delimiter):
    rows = [ROW, 'A2,"乙,\n二行",+86 139-1234-1235,M,2001/4/15,,,S2,,20240501,,']
    import_rows(tmp_path, *rows)
    expected = everything()
    Member.objects.all()
    lines = [HEADER.replace(",", delimiter), ROW.replace(",", delimiter)]
    lines.append(
        delimiter.join(
            ["A2", '"乙,\n二行"', "+86 139-1234-1235", "M", "2001/4/15", "", "", "S2", "", "20240501", "", ""]
        )
    )
    write(tmp_path / name, "\r\n".join(lines), encoding)
    job = import_file(tmp_path / name)
    assert job.summary["is_unchanged"] and job.summary["unchanged"] == 2 and everything() == expected


def test_workbook_gives_the_same_rows(tmp_path):
    import_rows(tmp_path, ROW)
    expected = everything()
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER.split(","))
        sheet.write_row(1, 0, ["A1", "王芳", 13912341234, "女"])
        sheet.write_datetime(1, 4, dt.date(1999, 1, 18), book.add_format({"num_format": "yyyy/m/d"}))
        sheet.write_row(1, 5, ["银卡", 120, "S1", "", "2024年5月1日", "宝妈|老客", "喜欢车厘子"])
    (tmp_path / "m.xlsx").write_bytes(stream.getvalue())
    assert import_file(tmp_path / "m.xlsx").summary["is_unchanged"] and everything() == expected


def test_refused_file_says_why_and_exits_1(tmp_path):
    (tmp_path / "m.exe").write_text(ROW)
    with pytest.raises(CommandError) as caught:
        call_command("import_members", tmp_path / "m.exe")
    assert caught.value.returncode == 1
    assert Job.objects.get().status == Job.Status.FAILED


def test_command_prints_the_codes_as_json(tmp_path, capsys):
    path = tmp_path / "m.csv"
    path.write_text(f"{HEADER}\n{ROW}\n{ROW}\nA2,甲,139,,,,,,,,,\n")
    call_command("import_members", path, "--json", "--errors", tmp_path / "errors.csv")
    printed = json.loads(capsys.readouterr().out)
    assert printed["bad_mobile"] == 1 and printed[REPEAT] == 1 and printed["bad_points"] == 0
    assert (tmp_path / "errors.csv").read_text("utf-8-sig").count("\n") == 2


# --- resolving --------------------------------------------------------------------------------------------------------


def test_resolver_table():
    rows = [
        (2, 1, None, 1, None, 2),  # new: card 1, number 1
        (3, 1, None, None, None, 3),  # her card
        (4, None, None, 1, None, 4),  # her number
        (5, 2, None, 2, None, 5),  # new: card 2, number 2
        (6, 1, None, 2, None, 6),  # two persons
        (7, 2, None, 2, None, 5),  # repeat of line 5
        (8, 3, 70, 3, None, 8),  # a known card gains a number
        (9, None, None, 3, None, 9),
        (10, 3, 70, 4, 71, 10),  # two known members
        (11, 1, None, 2, None, 6),  # repeat of a conflict
    ]
    assert list(Resolver().resolve(rows)) == [
        (2, -2, ""), (3, -2, ""), (4, -2, ""), (5, -5, ""), (6, 0, CONFLICT), (7, -5, REPEAT), (8, 70, ""), (9, 70, ""),
        (10, 0, CONFLICT), (11, 0, CONFLICT),
    ]  # fmt: skip
