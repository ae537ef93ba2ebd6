"""Bulk intake: which files are taken, how rows and lines are found, what SQL makes of the cells."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import zipfile

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from scrm import copyin, crypto
from scrm.copyin import Column, FileRefused, Kind
from scrm.copyin import rows as copyin_rows
from scrm.copyin import source as copyin_source

COLUMNS = (
    Column(
        "card",
        "会员卡号",
        ("会员卡号", "卡号", "card_no"),
        kind=Kind.CODE,
        max_length=64,
    ),
    Column("name", "姓名", ("姓名", "名字"), max_length=8),
    Column("mobile", "手机号", ("手机号", "手机", "电话"), kind=Kind.MOBILE),
    Column(
        "gender",
        "性别",
        ("性别",),
        kind=Kind.CHOICE,
        choices={"男": "M", "女": "F", "M": "M", "F": "F"},
    ),
    Column("birthday", "生日", ("生日",), kind=Kind.DATE),
    Column("points", "积分", ("积分",), kind=Kind.INTEGER),
)
HEADER = "会员卡号,姓名,手机号,性别,生日,积分"
ROW = "VIP1,王芳,13912341234,女,1999-01-18,12"


def source(content: bytes | str, name: str = "members.csv") -> copyin.Source:
    data = content.encode() if isinstance(content, str) else content
    return copyin.Source(name, lambda: io.BytesIO(data), len(data))


def read(content, name="members.csv", **options):
    """[(line, cells)] and [(line, code)] of a file."""
    table = copyin.open_table(source(content, name), COLUMNS, **options)
    good, broken = [], []
    for batch in table.batches():
        good += zip(batch.lines, batch.rows, strict=True)
        broken += batch.broken
    return table, good, broken


def workbook(rows, **formats) -> bytes:
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        date = book.add_format({"num_format": "yyyy-mm-dd"})
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                if isinstance(value, dt.date):
                    sheet.write_datetime(y, x, value, date)
                elif isinstance(value, str):
                    sheet.write_string(y, x, value)
                elif value is not None:
                    sheet.write(y, x, value)
    return stream.getvalue()


def refusal(content, name="members.csv", **options) -> str:
    with pytest.raises(FileRefused) as caught:
        read(content, name, **options)
    assert caught.value.message
    return caught.value.code


# --- encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("gb18030", "gb18030"),
        ("utf-16", "utf-16"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encoding_and_line_ends_are_recognised(codec, found, newline):
    table, good, broken = read(newline.join([HEADER, ROW, ROW]).encode(codec))
    assert table.encoding == found
    assert table.header == tuple(HEADER.split(","))
    assert good == [(2, ROW.split(",")), (3, ROW.split(","))] and not broken


def test_chinese_after_megabytes_of_ascii():
    plain = "card_no,name\n" + "A1,plain\n" * 400_000
    for codec in ("utf-8", "gb18030"):
        table, good, broken = read(plain.encode() + "A2,王芳\n".encode(codec))
        assert table.encoding == codec
        assert good[-1] == (400_002, ["A2", "王芳"]) and not broken


@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_one_bad_byte_breaks_one_row(codec):
    lines = [HEADER.encode(codec), *[ROW.encode(codec)] * 3]
    lines[2] = lines[2].replace("王芳".encode(codec), "王".encode(codec) + b"\xff")
    table, good, broken = read(b"\n".join(lines))
    assert table.encoding == codec
    assert [line for line, _ in good] == [2, 4]
    assert broken == [(3, "bad_encoding")]


def test_character_cut_at_a_block_boundary(monkeypatch):
    monkeypatch.setattr(copyin_source, "BLOCK_BYTES", 7)
    for codec in ("utf-8", "gb18030"):
        table, good, broken = read(f"{HEADER}\n{ROW}\n{ROW}".encode(codec))
        assert table.encoding == codec
        assert [cells for _, cells in good] == [ROW.split(",")] * 2 and not broken


def test_truncated_character_at_the_end():
    assert read(f"{HEADER}\n{ROW}".encode() + "芳".encode()[:2])[2] == [(2, "bad_encoding")]


def test_named_encoding_wins_and_unknown_is_refused():
    assert read(f"{HEADER}\n{ROW}".encode("gbk"), encoding="GBK")[0].encoding == "gb18030"
    assert refusal(f"{HEADER}\n{ROW}", encoding="klingon") == "unknown_encoding"
    assert refusal(f"{HEADER}\n{ROW}".encode("gb18030"), encoding="utf-8") == "bad_encoding"


# --- delimiters and headers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiter_is_recognised(delimiter):
    table, good, _ = read(f"{HEADER}\n{ROW}".replace(",", delimiter), "members.tsv")
    assert table.delimiter == delimiter and good == [(2, ROW.split(","))]


def test_pipes_inside_cells_do_not_make_a_delimiter():
    assert read("会员卡号,标签\nA,老客|宝妈|周末\n")[0].delimiter == ","


def test_title_above_the_header_and_blank_lines():
    table, good, broken = read(f"会员名单导出,,,,,\n\n{HEADER},,\n\n{ROW}\n,,,,,\n{ROW},,\n")
    assert table.header_line == 3 and len(table.header) == 6
    assert good == [(5, ROW.split(",")), (7, ROW.split(","))] and not broken


def test_header_synonyms_and_noise():
    layout = copyin.guess(["\ufeff* 卡号（必填）", "姓 名", "电话：", "Birthday", "行号", "门店"], COLUMNS)
    assert layout.positions == {"card": 0, "name": 1, "mobile": 2, "birthday": 3}
    assert layout.ignored == ["门店"]


def test_likeliest_synonym_wins():
    assert copyin.guess(["电话", "手机号"], COLUMNS).positions == {"mobile": 1}


def test_mapping_corrects_the_guess():
    header = ["手机号", "备用手机", "姓名"]
    assert copyin.guess(header, COLUMNS).mapping == {"mobile": "手机号", "name": "姓名"}
    layout = copyin.apply_mapping(header, COLUMNS, {"mobile": "备用手机", "name": None, "card": 1})
    assert layout.positions == {"mobile": 1, "card": 0}
    for bad in (
        {"mobile": "没有"},
        {"nothing": "姓名"},
        {"mobile": 9},
        {"mobile": "姓名", "name": "姓名"},
    ):
        with pytest.raises(FileRefused) as caught:
            copyin.apply_mapping(header, COLUMNS, bad)
        assert caught.value.code == "bad_mapping"


def test_required_column():
    columns = (Column("order_no", "订单号", ("订单号",), required=True),)
    with pytest.raises(FileRefused) as caught:
        copyin.guess(["姓名"], columns).require()
    assert caught.value.code == "missing_column" and caught.value.extra == {"columns": ["order_no"]}


# --- rows and lines ---------------------------------------------------------------------------------------------------


def test_lines_are_physical_lines_below_quoted_line_breaks():
    content = f'{HEADER}\n{ROW}\nA2,"两\n行,和\r\n逗号",,,,\n{ROW}\n'
    _, good, broken = read(content)
    assert [line for line, _ in good] == [2, 3, 6] and not broken
    assert good[1][1][:2] == ["A2", "两\n行,和\n逗号"]


def test_wrong_number_of_cells():
    _, good, broken = read(f"{HEADER}\n{ROW}\nA,B\n{ROW},more\n{ROW},,\n")
    assert [line for line, _ in good] == [2, 5]
    assert broken == [(3, "wrong_cell_count"), (4, "wrong_cell_count")]


@pytest.mark.parametrize("tail", ["", f"{ROW}\n" * 500, f'"{ROW}\n' * 3])
def test_a_stray_quote_does_not_swallow_the_rows_below(tail):
    _, good, broken = read(f'{HEADER}\n{ROW}\nA2,"大客户,13912341235,,,\n{ROW}\n{ROW}\n{tail}')
    assert [line for line, _ in good][:3] == [2, 4, 5]
    assert broken[0] == (3, "bad_quote")
    assert len(good) + len(broken) == 4 + tail.count("\n")


def test_quote_open_at_the_end_of_the_file():
    _, good, broken = read(f'{HEADER}\n{ROW}\nA,B,,,,"end\nC,D,,,,1\n')
    assert [line for line, _ in good] == [2, 4] and broken == [(3, "bad_quote")]


def test_unstorable_characters():
    rows = f"{ROW}\n" * 200  # a NUL near the beginning says that the file is not text at all
    _, good, broken = read(f"{HEADER}\n{rows}A\0,B,,,,\nA,B\rC,,,,\n{ROW}\n")
    assert [line for line, _ in good] == [*range(2, 202), 204]
    assert broken == [(203, "bad_character"), (202, "bad_character")]


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(copyin_rows, "MAX_LINE_CHARS", 1_000)
    monkeypatch.setattr(copyin_source, "BLOCK_BYTES", 100)
    assert refusal(f"{HEADER}\n" + "x" * 5_000) == "line_too_long"


CELLS = st.text(st.sampled_from('ab,"\n\t\\ 中　\r'), max_size=6)


@given(st.lists(st.tuples(*[CELLS] * 6), max_size=30), st.integers(5, 400))
@settings(max_examples=300, deadline=None)
def test_any_well_formed_file_comes_back_as_it_was(rows, block):
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(HEADER.split(","))
    expected = []
    for row in rows:
        line = stream.getvalue().count("\n") + 1
        writer.writerow(row)
        if any(row):
            # a lone CR ends a physical line too for some writers; the csv module quotes it, so it stays in its cell
            expected.append((line, [cell.replace("\r\n", "\n") for cell in row]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copyin_source, "BLOCK_BYTES", block)
        _, good, broken = read(stream.getvalue(), delimiter=",")
    assert good == expected and not broken


@given(st.text(st.sampled_from('ab,"\n\t中'), max_size=200), st.integers(3, 50))
@settings(max_examples=300, deadline=None)
def test_no_file_crashes_and_no_line_is_lost(body, block):
    content = f"{HEADER}\n{body}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copyin_source, "BLOCK_BYTES", block)
        _, good, broken = read(content, delimiter=",")
        _, good_whole, broken_whole = read(content, delimiter=",")
    assert (good, sorted(broken)) == (good_whole, sorted(broken_whole))
    lines = [line for line, _ in good] + [line for line, _ in broken]
    assert len(set(lines)) == len(lines)
    assert set(lines) <= set(range(2, content.count("\n") + 2))


@given(
    st.lists(
        st.tuples(*[st.text(st.sampled_from("ab 中　；.-"), max_size=4)] * 6),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=100, deadline=None)
def test_both_ways_of_parsing_agree(rows):
    plain = "\n".join(",".join(row) for row in rows)
    fast = read(f"{HEADER}\n{plain}\n", delimiter=",")
    careful = read(f'"会员卡号"{HEADER[4:]}\n{plain}\n', delimiter=",")
    assert fast[1:] == careful[1:]


# --- packing, workbooks, guards ---------------------------------------------------------------------------------------


def test_gzip_of_csv_and_of_workbook():
    assert read(gzip.compress(f"{HEADER}\n{ROW}\n".encode("gb18030"), mtime=0), "m.csv.gz")[1] == [(2, ROW.split(","))]
    packed = gzip.compress(workbook([HEADER.split(","), ROW.split(",")]))
    assert read(packed, "m.xlsx.gz")[1] == [(2, ROW.split(","))]


def test_workbook_values_become_the_text_people_see():
    rows = [
        ["名单"],
        HEADER.split(","),
        [800123, "王芳", 13912341234, "女", dt.date(1999, 1, 18), 12.0],
        [],
        ["VIP2", "李", "139 1234 1235", None, "1999年1月18日", 12.5],
        [6222021234567890123, "卡", None, None, None, None],
    ]
    table, good, broken = read(workbook(rows), "m.xlsx")
    assert table.header_line == 2
    assert good == [
        (3, ["800123", "王芳", "13912341234", "女", "1999-01-18", "12"]),
        (5, ["VIP2", "李", "139 1234 1235", "", "1999年1月18日", "12.5"]),
    ]
    assert broken == [(6, "digits_lost")]


def test_workbook_beyond_the_limits(monkeypatch):
    monkeypatch.setattr(copyin_source, "XLSX_MAX_ROWS", 100)
    head = HEADER.split(",")
    assert len(read(workbook([head] + [ROW.split(",")] * 100), "m.xlsx")[1]) == 100
    assert refusal(workbook([head] + [ROW.split(",")] * 101), "m.xlsx") == "xlsx_too_long"
    far = [head, [*ROW.split(","), *[None] * 400, "x"]]
    assert refusal(workbook(far), "m.xlsx") == "too_wide"
    monkeypatch.setattr(copyin_source, "XLSX_MAX_UNPACKED", 10_000)
    assert refusal(workbook([head]), "m.xlsx") == "zip_bomb"


def test_last_row_far_below_is_refused_before_it_is_allocated():
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "会员卡号")
        sheet.write(1_048_575, 0, "x")
    assert refusal(stream.getvalue(), "m.xlsx") == "xlsx_too_long"


def zip_of(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_zip_bomb_that_lies_about_its_size():
    bomb = zip_of(**{"xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b" " * 50_000_000})
    size = (50_000_000).to_bytes(4, "little")
    lying = bomb.replace(size, (10).to_bytes(4, "little"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copyin_source, "XLSX_MAX_UNPACKED", 10_000_000)
        assert refusal(bomb, "m.xlsx") == "zip_bomb"
        assert refusal(lying, "m.xlsx") == "zip_bomb"


def test_gzip_bomb():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copyin_source, "GZIP_FREE_BYTES", 1_000_000)
        bomb = gzip.compress(b"a,b\n" * 3_000_000, 9, mtime=0)
        assert refusal(bomb, "m.csv.gz") == "zip_bomb"


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"", "m.csv", "empty_file"),
        (b"\n\n \n", "m.csv", "empty_file"),
        (b"a,b\n1,2\n", "m.exe", "unknown_type"),
        (b"a,b\n1,2\n", "m", "unknown_type"),
        (b"a,b\n1,2\n", "m.xlsx", "wrong_extension"),
        (b"a,b\n1,2\n", "m.csv.gz", "wrong_extension"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "m.csv", "wrong_extension"),
        (workbook([["a"], ["b"]]), "m.csv", "wrong_extension"),
        (zip_of(a=b"x"), "m.xlsx", "not_a_table"),
        (workbook([["a"], ["b"]])[:-30], "m.xlsx", "damaged_file"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "m.xls", "old_excel"),
        (b"<html><table><tr><td>1</td></tr></table>", "m.csv", "not_a_table"),
        (b"%PDF-1.4\n", "m.csv", "not_a_table"),
        (b"\x7fELF\0\0\0\0", "m.csv", "not_a_table"),
        (gzip.compress(b"a,b\n" * 5_000, mtime=0)[:60], "m.csv.gz", "damaged_file"),
    ],
)
def test_what_is_refused(content, name, code):
    assert refusal(content, name) == code


def test_size_limit_of_uploads():
    assert refusal(f"{HEADER}\n{ROW}", max_bytes=10) == "too_large"


def test_sealed_upload(tmp_path):
    path = tmp_path / "upload"
    content = f"{HEADER}\n{ROW}\n".encode("gb18030")
    with crypto.sealed_writer(path) as stream:
        stream.write(content)
    table = copyin.open_table(copyin.from_sealed(path, "m.csv", len(content)), COLUMNS)
    assert [row for batch in table.batches() for row in batch.rows] == [ROW.split(",")]
    assert table.source.sha256() == copyin_source.hashlib.sha256(content).hexdigest()
