"""``experiment_report`` on tables from outside: X2's golden answers, what it recognises, what it refuses and how it says so."""

from __future__ import annotations

import csv
import gzip
import resource
from decimal import Decimal
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from scipy import stats
from statsmodels.stats import weightstats
from statsmodels.stats.proportion import confint_proportions_2indep

from campaigns.experiments import files, reading
from scrm.copyin import source

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
HEAD = ["recency", "segment", "visit", "conversion", "spend"]


def mail_table(path: Path, count: int = 9000, seed: int = 64) -> dict[str, dict[str, np.ndarray]]:
    """A mail experiment of three equal arms in the columns of Hillstrom's (MineThatData, 2008): rare, heavy-tailed spend.

    The columns by arm come back, for programs that know nothing of ours.
    """
    rng = Random(seed)
    visits = {"No E-Mail": 0.11, "Mens E-Mail": 0.18, "Womens E-Mail": 0.15}
    rows: list[list[Any]] = []
    columns: dict[str, dict[str, list[Any]]] = {arm: {"visit": [], "conversion": [], "spend": []} for arm in ARMS}
    for number in range(count):
        arm = ARMS[rng.randrange(3)]
        visit = int(rng.random() < visits[arm])
        conversion = int(visit and rng.random() < 0.07)
        spend = Decimal(round(100 * rng.lognormvariate(4.4, 0.7)) if conversion else 0) / 100
        rows.append([number % 12 + 1, arm, visit, conversion, spend])
        for name, value in (("visit", visit), ("conversion", conversion), ("spend", float(spend))):
            columns[arm][name].append(value)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])
    return {arm: {name: np.array(values) for name, values in found.items()} for arm, found in columns.items()}


def read(path: Path, **values: Any) -> files.Answer:
    question = files.Question(
        **{"arm": "segment", "control": "No E-Mail", "metrics": ("visit", "conversion", "spend"), **values}
    )
    return files.read(file=source.from_path(path), question=question, terms=reading.Terms(Decimal("4.5"), 4000))


def report(path: Path, *more: str) -> str:
    out = StringIO()
    call_command(
        "experiment_report", str(path), "--arm", "segment", "--control", "No E-Mail", "--metrics", "visit,conversion,spend", *more,
        stdout=out,
    )  # fmt: skip
    return out.getvalue()


def test_x2_golden_three_mail_arms(tmp_path: Path) -> None:
    """Every figure against scipy and statsmodels on the same rows; every row stands in exactly one arm."""
    path = tmp_path / "mail.csv"
    columns = mail_table(path)
    answer = read(path)
    assert answer.kinds == {"visit": "SHARE", "conversion": "SHARE", "spend": "FEN"}
    assert sum(arm["count"] for arm in answer.report.arms) == answer.row_count == 9000
    sizes = [len(columns[arm["name"]]["visit"]) for arm in answer.report.arms]
    assert answer.report.ratio_p == pytest.approx(stats.chisquare(sizes).pvalue)
    control, alpha = columns["No E-Mail"], 0.025
    assert len(answer.report.findings) == 6
    for found in answer.report.findings:
        treated = columns[answer.report.arms[found.arm]["name"]]
        one, other = treated[found.metric], control[found.metric]
        if found.kind == "SHARE":
            counts = (one.sum(), len(one), other.sum(), len(other))
            interval = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=alpha)
            table = [[one.sum(), len(one) - one.sum()], [other.sum(), len(other) - other.sum()]]
            p = stats.chi2_contingency(table, correction=False).pvalue
        else:
            one, other = one * 100, other * 100
            oracle = weightstats.CompareMeans(weightstats.DescrStatsW(one), weightstats.DescrStatsW(other))
            interval, p = (
                oracle.tconfint_diff(alpha=alpha, usevar="unequal"),
                stats.ttest_ind(one, other, equal_var=False).pvalue,
            )
        assert (found.low, found.high) == pytest.approx(interval, rel=1e-6, abs=1e-12)
        assert found.p == pytest.approx(p, rel=1e-6)
    for money in answer.report.money:
        name = answer.report.arms[money.arm]["name"]
        spent = np.round(columns[name]["spend"] * 100).astype(int)
        brought = (spent.mean() - 100 * control["spend"].mean()) * len(spent)
        assert money.brought_fen == round(brought)
        assert money.attributed_fen == spent.sum()
        assert money.cost_fen == int(Decimal("4.5") * len(spent) + Decimal("0.5"))
        assert money.net_fen == pytest.approx(0.4 * brought - money.cost_fen, abs=1)


def test_the_command_says_it_in_chinese(tmp_path: Path) -> None:
    path = tmp_path / "mail.csv"
    mail_table(path)
    text = report(path, "--cost-per-unit", "0.045", "--margin", "40%")
    for words in (
        "9,000 人",
        "No E-Mail (对照组)",
        "visit（转化）",
        "spend（人均）",
        "与对照组相比，visit在“Mens E-Mail”高",
        "多带来",
        "最小可检出差异",
        "扣除成本",
    ):
        assert words in text, words
    assert "没有效果" in text  # "this does not say that there is no effect"
    assert "无效果" not in text


@pytest.mark.parametrize("form", ["gb18030", "gz", "semicolon", "yes"])
def test_the_same_table_in_other_clothes(tmp_path: Path, form: str) -> None:
    path, wanted = tmp_path / "mail.csv", tmp_path / "mail.csv"
    mail_table(path, 600)
    plain = read(wanted).report
    text = path.read_text().replace("No E-Mail", "不发")
    if form == "gz":
        path = tmp_path / "mail.csv.gz"
        path.write_bytes(gzip.compress(text.encode("utf-8-sig")))
    elif form == "semicolon":
        path.write_text(text.replace(",", ";"))
    elif form == "yes":
        rows = [row.split(",") for row in text.split()[0:0] or text.strip().splitlines()]
        words = {"0": "否", "1": "是"}
        path.write_text("\n".join(",".join([*row[:2], words.get(row[2], row[2]), *row[3:]]) for row in rows))
    else:
        path.write_bytes(text.encode(form))
    found = read(path, control="不发").report
    assert [arm["count"] for arm in found.arms] == [arm["count"] for arm in plain.arms]
    assert found.findings == plain.findings


BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "没有“segmnt”列": ("segment,visit\nA,1\n", {"arm": "segmnt"}),
    "没有“B”": ("segment,visit\nA,1\nC,0\n", {"control": "B"}),
    "第 3 行“visit”列：“很多”不是数字": ("segment,visit\nA,1\nB,很多\n", {}),
    "第 4 行“visit”列：为空": ("segment,visit\nA,1\nB,0\nA,\n", {}),
    "第 2 行“segment”列：为空": ("segment,visit\n,1\nB,0\n", {}),
    "第 3 行有 3 格，表头有 2 格": ("segment,visit\nA,1\nB,0,7\n", {}),
    "没有数据行": ("segment,visit\n", {}),
    "没有可比较的组": ("segment,visit\nA,1\nA,0\n", {}),
    "两列都叫“visit”": ("segment,visit,visit\nA,1,1\nB,0,0\n", {}),
    "超过 12 个不同的组": ("segment,visit\n" + "".join(f"{n},1\n" for n in range(30)), {}),
    "“1E+999”不是数字": ("segment,visit\nA,1E+999\nB,0\n", {}),
    "“nan”不是数字": ("segment,visit\nA,nan\nB,0\n", {}),
    "引号缺失": ('segment,visit\nA,"1\nB,0\n', {}),
    "--shares 要正好写出": ("segment,visit\nA,1\nB,0\n", {"shares": {"A": 1, "C": 1}}),
    "“spend”不在 --metrics 里": ("segment,visit\nA,1\nB,0\n", {"money": "spend"}),
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_cannot_be_read_is_named_with_its_row_and_column(tmp_path: Path, words: str) -> None:
    text, values = BROKEN[words]
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(files.BadTable) as caught:
        read(path, **{"metrics": ("visit",), "control": "A", **values})
    assert words in caught.value.message


def test_a_break_in_a_line_shifts_no_row_number(tmp_path: Path) -> None:
    path = tmp_path / "breaks.csv"
    path.write_text('segment,note,visit\nA,"one\ntwo",1\nB,x,oops\n')
    with pytest.raises(files.BadTable) as caught:
        read(path, metrics=("visit",), control="A")
    assert "第 4 行" in caught.value.message


def test_sizes_off_the_plan_stop_the_report(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("segment,visit\n" + "No E-Mail,0\n" * 5300 + "B,1\n" * 4700)
    assert not read(path, metrics=("visit",)).report.is_readable
    with pytest.raises(CommandError) as caught:
        call_command(
            "experiment_report",
            str(path),
            "--arm",
            "segment",
            "--control",
            "No E-Mail",
            "--metrics",
            "visit",
            stdout=StringIO(),
        )
    assert "与计划比例不符" in str(caught.value)
    assert caught.value.returncode == 3


def test_a_customary_split_is_recognised_and_a_given_one_decides(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("segment,visit\n" + "No E-Mail,0\nNo E-Mail,1\n" * 500 + "B,1\nB,0\nB,0\n" * 3000)
    answer = read(path, metrics=("visit",))
    assert (answer.split, answer.report.is_readable) == ("10% : 90%", True)
    strict = read(path, metrics=("visit",), shares={"No E-Mail": 20, "B": 80})
    assert not strict.report.is_readable


def test_a_column_from_before_narrows_the_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    path = tmp_path / "before.csv"
    before = rng.gamma(2, 100, 4000).round(2)
    arm = rng.integers(0, 2, 4000)
    spend = (before + rng.normal(20 + 5 * arm, 10)).round(2)
    rows = "".join(f"{'AB'[a]},{s},{b}\n" for a, s, b in zip(arm, spend, before, strict=True))
    path.write_text("segment,spend,earlier\n" + rows)
    plain = read(path, metrics=("spend",), control="A").report.findings[0]
    better = read(path, metrics=("spend",), control="A", before={"spend": "earlier"}).report.findings[0]
    assert plain.verdict == "TOO_SMALL" and better.verdict == "GAIN"
    assert better.low < 500 < better.high
    assert better.reduction_bp is not None and better.reduction_bp > 9500


def test_a_big_table_streams(tmp_path: Path) -> None:
    """400,000 rows leave the memory of the process as it was."""
    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("segment,visit,spend\n")
        for number in range(400_000):
            file.write(f"{'No E-Mail' if number % 2 else 'B'},{number % 7 == 0:d},{number % 100 / 4}\n")
    read(path, metrics=("visit", "spend"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = read(path, metrics=("visit", "spend"))
    assert answer.row_count == 400_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--cost-per-unit", "abc"], "不是数字"), (["--cost-per-unit=-1"], "不能为负"), (["--margin", "1.4"], "不超过 1"),
        (["--before", "spend"], "要写成"), (["--shares", "A=0"], "必须大于 0"), (["--before", "x=visit"], "不在 --metrics 里"),
    ],
)  # fmt: skip
def test_options_without_sense(tmp_path: Path, more: list[str], words: str) -> None:
    path = tmp_path / "mail.csv"
    mail_table(path, 300)
    with pytest.raises(CommandError) as caught:
        report(path, *more)
    assert words in str(caught.value)


def test_a_missing_file_and_a_workbook(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        report(tmp_path / "none.csv")
    assert "无法读取" in str(caught.value)
