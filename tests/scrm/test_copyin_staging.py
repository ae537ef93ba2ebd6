"""Bulk intake: what arrives in the staging table, and what SQL makes of the cells."""

from __future__ import annotations

import datetime as dt
import gzip
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from scrm import copyin, crypto
from scrm.copyin import Column, Kind, rules
from scrm.copyin import source as copyin_source
from tests.scrm.test_copyin import COLUMNS, HEADER, ROW, source

# --- staging ----------------------------------------------------------------------------------------------------------


def staged(content, name="members.csv", columns=COLUMNS, **options):
    table = copyin.open_table(source(content, name), columns)
    return copyin.stage(table, copyin.guess(table.header, columns), name="test", **options)


def query(sql: str, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


@pytest.mark.django_db
def test_staging_holds_raw_text_and_sealed_numbers():
    seen = []
    result = staged(
        f'{HEADER},门店\n{ROW},x\n"A\t1\\N","两\n行",+86 139-1234-1235,F,,,y\nshort\nA3,李,abc,,,,\n',
        progress=lambda rows, share: seen.append((rows, share)),
    )
    assert (result.row_count, result.broken_count) == (4, 1) and seen == [(4, 1.0)]
    names = [
        name
        for (name,) in query(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'staging.test'::regclass AND attnum > 0"
        )
    ]
    assert names == [
        "line_no", "broken", "row_hash", "mobile_index", "mobile_sealed", "mobile_verdict",
        "card", "name", "gender", "birthday", "points",
    ]  # fmt: skip
    rows = query(
        f"SELECT line_no, broken, card, name, mobile_index, mobile_sealed, mobile_verdict FROM {result.table} ORDER BY 1"
    )
    assert rows[0][:4] == (2, None, "VIP1", "王芳")
    assert rows[0][4] == crypto.mobile_index("+8613912341234")
    assert crypto.open_mobile(rows[0][5]) == "+8613912341234"
    assert rows[1][:4] == (3, None, "A\t1\\N", "两\n行")
    assert crypto.open_mobile(rows[1][5]) == "+8613912341235"
    assert rows[2] == (5, "wrong_cell_count", None, None, None, None, None)
    assert rows[3] == (6, None, "A3", "李", None, None, "bad_mobile")


@pytest.mark.django_db
def test_no_plain_number_in_staging():
    numbers = [f"139{n:08d}" for n in range(200)]
    body = "\n".join(f"A{n},王,{number},,," for n, number in enumerate(numbers))
    # a row with too many cells may have its number anywhere: none of its cells is staged
    result = staged(f"{HEADER}\n{body}\nA,王,x,13900000001,,,,y\nB,13900000002\n")
    dump = "\n".join(str(row) for (row,) in query(f"SELECT t::text FROM {result.table} t"))
    assert not any(number in dump for number in numbers)


@pytest.mark.django_db
def test_rows_in_the_same_words_have_equal_hashes():
    # the third row is read with the quoted one, the others may be split at their delimiters
    result = staged(f'{HEADER}\n{ROW}\n{ROW}\n"VIP1"{ROW[4:]}\n{ROW}\n{ROW}0\n')
    rows = query(f"SELECT row_hash FROM {result.table} ORDER BY line_no")
    first, second, quoted, fourth, other = [digest for (digest,) in rows]
    assert first == second == fourth and len({first, quoted, other}) == 3
    plain = query(f"SELECT DISTINCT row_hash FROM {staged(f'{HEADER}{chr(10)}{ROW}{chr(10)}').table}")
    assert plain == [(first,)]


@pytest.mark.django_db
def test_staging_again_replaces_and_drop_removes():
    staged(f"{HEADER}\n{ROW}\n{ROW}\n")
    result = staged(f"{HEADER}\n{ROW}\n")
    assert query(f"SELECT count(*) FROM {result.table}") == [(1,)]
    copyin.drop("test")
    assert query("SELECT to_regclass('staging.test')") == [(None,)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS[:1],
        COLUMNS[2:3],
        COLUMNS[1:3],
        (Column("mobile", "", ("手机号",), kind=Kind.MOBILE_INDEX),),
    ],
)
def test_staging_few_columns(columns):
    result = staged(f"{HEADER}\n{ROW}\nA\\,王,1390000,,,\n", columns=columns)
    assert query(f"SELECT count(*) FROM {result.table}") == [(2,)]


@pytest.mark.django_db
def test_application_role_may_stage(app_role):
    with app_role():
        result = staged(f"{HEADER}\n{ROW}\n")
        assert query(f"SELECT count(*) FROM {result.table}") == [(1,)]
        copyin.drop("test")


@pytest.mark.django_db
def test_many_copies_report_progress(monkeypatch):
    monkeypatch.setattr("scrm.copyin.staging.COPY_ROWS", 10)
    monkeypatch.setattr(copyin_source, "BLOCK_BYTES", 200)
    seen = []
    packed = gzip.compress(f"{HEADER}\n{f'{ROW}{chr(10)}' * 100}".encode())
    result = staged(packed, "m.csv.gz", progress=lambda rows, share: seen.append((rows, share)))
    assert result.row_count == 100 and len(seen) >= 5
    assert seen == sorted(seen) and seen[-1] == (100, 1.0)


# --- SQL rules --------------------------------------------------------------------------------------------------------

SHANGHAI = ZoneInfo("Asia/Shanghai")
BAD = object()


def value_of(column: Column, cell: str, shown: str = ""):
    """What one cell becomes. The verdict is asked for first: the driver cannot load '-infinity'."""
    value, bad = rules.value(column, "cell"), rules.is_bad(column, "value")
    [(value, bad)] = query(
        f"SELECT CASE WHEN {bad} THEN NULL ELSE value{shown} END, {bad} FROM (SELECT {value} AS value FROM"
        " (SELECT %s::text AS cell) c) v",
        cell,
    )
    return BAD if bad else value


DATES = {
    "19990118": dt.date(1999, 1, 18),
    "2001/4/15": dt.date(2001, 4, 15),
    "2024-05-01": dt.date(2024, 5, 1),
    "2024-5-1": dt.date(2024, 5, 1),
    "2024年10月28日": dt.date(2024, 10, 28),
    "2024年1月2日": dt.date(2024, 1, 2),
    "2024/02/29": dt.date(2024, 2, 29),
    " 2024-05-01\u3000": dt.date(2024, 5, 1),
    "２０２４－０５－０１": dt.date(2024, 5, 1),
    "2024-05-01 00:00:00": dt.date(2024, 5, 1),
    "2024/5/1 0:00": dt.date(2024, 5, 1),
    "2024-05-01T00:00:00": dt.date(2024, 5, 1),
    "19990118 00:00": dt.date(1999, 1, 18),
    "": None,
    " \u3000": None,
}
BAD_DATES = [
    "2023-02-29", "20230229", "2023/2/30", "2023年13月1日", "2024-00-10", "2024-05-00", "99-01-18", "0000-01-01", "1999011", "199901181",
    "today", "yesterday", "now", "infinity", "-infinity", "epoch", "2024-05-06 BC", "2024-05-01 12:00", "May 1 2024", "01/05/2024",
    "2024.05.01", "2024-05/01", "2024年5月1", "昨天", "2024-05-01-", "-2024-05-01", "45413", "2024-123-1", "2024-05-01x", "J2451187",
]  # fmt: skip


@pytest.mark.django_db
def test_dates():
    column = Column("c", "", kind=Kind.DATE)
    assert {cell: value_of(column, cell) for cell in DATES} == DATES
    assert {cell: value_of(column, cell) for cell in BAD_DATES} == dict.fromkeys(BAD_DATES, BAD)


@pytest.mark.django_db
@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_every_date_reads_back(date, spelling):
    y, m, d = date.year, date.month, date.day
    cell = [
        f"{y}{m:02}{d:02}", f"{y}-{m}-{d}", f"{y}-{m:02}-{d:02}", f"{y}/{m}/{d:02}", f"{y}年{m}月{d}日", f"{y}年{m:02}月{d:02}日",
        f" {y}/{m:02}/{d} 00:00:00",
    ][spelling]  # fmt: skip
    assert value_of(Column("c", "", kind=Kind.DATE), cell) == date


TIMES = {
    "2024-12-01 07:45:00": dt.datetime(2024, 12, 1, 7, 45, tzinfo=SHANGHAI),
    "2024/12/1 7:45": dt.datetime(2024, 12, 1, 7, 45, tzinfo=SHANGHAI),
    "20241201 074500": BAD,
    "20241201 07:45:00": dt.datetime(2024, 12, 1, 7, 45, tzinfo=SHANGHAI),
    "2024年12月1日 07:45:30": dt.datetime(2024, 12, 1, 7, 45, 30, tzinfo=SHANGHAI),
    "2024年12月1日07:45": dt.datetime(2024, 12, 1, 7, 45, tzinfo=SHANGHAI),
    "2024-12-01T07:45:00": dt.datetime(2024, 12, 1, 7, 45, tzinfo=SHANGHAI),
    "2024-12-01T07:45:00Z": dt.datetime(2024, 12, 1, 7, 45, tzinfo=dt.UTC),
    "2024-12-01T07:45:00+08:00": dt.datetime(2024, 12, 1, 7, 45, tzinfo=SHANGHAI),
    "2024-12-01 07:45:00 +0100": dt.datetime(2024, 12, 1, 6, 45, tzinfo=dt.UTC),
    "2024-12-01 07:45:00.123456": dt.datetime(2024, 12, 1, 7, 45, 0, 123456, tzinfo=SHANGHAI),
    "1988-04-17 12:00:00": dt.datetime(1988, 4, 17, 12, 0, tzinfo=SHANGHAI),  # summer time of those years
    "2024-12-01": dt.datetime(2024, 12, 1, tzinfo=SHANGHAI),
    "": None,
    "2024-12-01 24:00:00": BAD,
    "2024-12-01 07:60:00": BAD,
    "2024-12-01 07:45:60": BAD,
    "2024-02-30 07:45:00": BAD,
    "2024-12-01 7": BAD,
    "2024-12-01 07:45:00 PST": BAD,
    "2024-12-01 07:45:00+99": BAD,
    "now": BAD,
    "2024-12-0107:45:00": BAD,
}


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
def test_times(zone):
    query(f"SELECT set_config('TimeZone', '{zone}', true)")  # of the session; the file's clock does not care
    column = Column("c", "", kind=Kind.DATETIME)
    expected = {
        cell: time.astimezone(dt.UTC).replace(tzinfo=None) if isinstance(time, dt.datetime) else time
        for cell, time in TIMES.items()
    }
    assert {cell: value_of(column, cell, " AT TIME ZONE 'UTC'") for cell in TIMES} == expected


@pytest.mark.django_db
def test_integers():
    column = Column("c", "", kind=Kind.INTEGER)
    good = {
        "0": 0, "12": 12, "-5": -5, "+7": 7, "1,234": 1234, "12,345,678": 12345678, "100.00": 100, " 9 ": 9, "１２": 12,
        "007": 7, "999999999999999999": 10**18 - 1, "": None, "\u3000": None,
    }  # fmt: skip
    assert {cell: value_of(column, cell) for cell in good} == good
    bad = [
        "九百",
        "1e5x",
        "1e5",
        "--",
        "12.5",
        "99999999999999999999",
        "1,23",
        ",1",
        "0x1F",
        "1_000",
        "1 000",
        "NaN",
        "½",
        "٣",
        "-",
    ]
    assert {cell: value_of(column, cell) for cell in bad} == dict.fromkeys(bad, BAD)


@pytest.mark.django_db
def test_money_is_exact():
    column = Column("c", "", kind=Kind.MONEY)
    good = {
        "0": 0, "0.00": 0, "83.40": 8340, "83.4": 8340, "83": 8300, "-12.75": -1275, "¥1,299.00": 129900, "￥15": 1500,
        "1299.00元": 129900, "0.29": 29, "1.15": 115, "4.35": 435, "9999999999999.99": 999999999999999, "１２.５０": 1250,
        "999999999999.99": 99999999999999, " 1.10 ": 110, "": None, "+1": 100,
    }  # fmt: skip
    assert {cell: value_of(column, cell) for cell in good} == good
    bad = [
        "12.345",
        "12.340",
        "1.",
        ".5",
        "1e3",
        "12.5.1",
        "abc",
        "1,2.00",
        "--1",
        "99999999999999",
        "NaN",
        "Infinity",
        "12 元 3",
        ".",
    ]
    assert {cell: value_of(column, cell) for cell in bad} == dict.fromkeys(bad, BAD)


@pytest.mark.django_db
@given(st.integers(0, 10**15 - 1))
@settings(max_examples=100, deadline=None)
def test_money_reads_back_to_the_fen(fen):
    assert value_of(Column("c", "", kind=Kind.MONEY), f"{fen // 100}.{fen % 100:02}") == fen


@pytest.mark.django_db
def test_decimals():
    column = Column("c", "", kind=Kind.DECIMAL, scale=3)
    assert str(value_of(column, "1.250")) == "1.250" and value_of(column, "12") == 12 and value_of(column, "") is None
    assert value_of(column, "-3") == -3 and value_of(column, "1,000.5") == 1000.5
    for cell in ("1.2345", "1.", ".5", "x", "NaN", "inf", "1e2", "1234567890123"):
        assert value_of(column, cell) is BAD, cell


@pytest.mark.django_db
def test_text_codes_and_choices():
    text, code = Column("c", ""), Column("c", "", kind=Kind.CODE)
    assert value_of(text, "\u3000 王　芳\u00a0\t") == "王　芳"
    assert value_of(text, "１２") == "１２"
    assert value_of(code, "\u3000ＶＩＰ－００１ ") == "VIP-001"
    assert value_of(code, "陈-1") == "陈-1"
    gender = COLUMNS[3]
    words = {
        "男": "M",
        "女": "F",
        "f": "F",
        "Ｍ": "M",
        " 女 ": "F",
        "": "",
        " ": "",
        "x": BAD,
        "男女": BAD,
        "未知": BAD,
    }
    assert {cell: value_of(gender, cell) for cell in words} == words


@pytest.mark.django_db
def test_one_problem_per_row_the_first_by_the_files_order():
    header = "生日,手机号,姓名,积分,会员卡号"
    body = "昨天,abc,王,x,1\n1999-01-18,abc,王,x,1\n1999-01-18,,一二三四五六七八九,x,1\n,,王,x,1\n,,王,1,1E+10\n,,王,,ok\nno\n"
    result = staged(f"{header}\n{body}")
    layout = result.layout
    found = query(
        f"SELECT line_no, coalesce(broken, {rules.first_problem(layout, rules.checks(layout))}) FROM"
        f" (SELECT line_no, broken, {rules.select_list(layout, 's')} FROM {result.table} s) t ORDER BY 1"
    )
    assert found == [
        (2, "birthday:bad_birthday"), (3, "mobile:bad_mobile"), (4, "name:too_long"), (5, "points:bad_points"),
        (6, "card:digits_lost"), (7, None), (8, "wrong_cell_count"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_columns_the_file_does_not_have_are_blank():
    result = staged("会员卡号\nA\n")
    [row] = query(f"SELECT {rules.select_list(result.layout, 's')} FROM {result.table} s")
    assert row == ("A", "", None, None, "", "", None, None)


def test_every_code_has_a_sentence():
    for code in copyin.problems.known_codes():
        assert copyin.Problem(1, "", code).message not in ("", code)
