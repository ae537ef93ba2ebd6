"""Settlement on the screen: preview, two people, files, answers, statements; and who sees what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from attribution import payouts, statements
from attribution.models import Batch, PayoutFile, Statement
from scrm import jobs
from scrm.models import Act, LegalEntity
from tests.attribution.settling import Books, answer, balance, day
from tests.factories.clock import Clock
from tests.factories.console import Console, console

ACT = "admin:attribution_batch_act"


@pytest.fixture
def company(db: None) -> Console:
    return console()


@pytest.fixture
def books(company: Console) -> Iterator[Books]:
    clock = Clock()
    books = Books(company.shops, clock)
    books.sell("a", on="05-02", paid_fen=10_000, member="安琪")
    books.sell("f", on="05-03", paid_fen=20_000, member="付雪", store="F1")
    books.vest(on="05-25")
    clock.set(day("06-10"))
    with time_machine.travel(day("06-10"), tick=True):
        yield books
    clock.stop()


def made(company: Console) -> Batch:
    """By the operator, on the screen."""
    company.client("operator").post(reverse("admin:attribution_batch_make"), {"period": "2027-05"})
    batch = Batch.objects.get()
    jobs.run(batch.job_id or 0)
    batch.refresh_from_db()
    return batch


def approved(company: Console) -> Batch:
    batch = made(company)
    data = {"count": batch.line_count, "amount": "15.00"}
    company.client("hq").post(reverse(ACT, args=(batch.pk, "approve")), data)
    batch.refresh_from_db()
    jobs.run(batch.job_id or 0)
    batch.refresh_from_db()
    return batch


def page(batch: Batch) -> str:
    return reverse("admin:attribution_batch_change", args=(batch.pk,))


def text_of(answered: Any) -> str:
    assert answered.status_code == 200
    return answered.content.decode()


def test_the_preview_then_the_batch_then_its_page(books: Books, company: Console) -> None:
    client = company.client("operator")
    assert "还没有" in text_of(client.get(reverse("admin:attribution_batch_changelist")))  # the proof
    seen = text_of(client.get(reverse("admin:attribution_batch_make")))
    assert "2027-05" in seen and "15.00" in seen and "加盟公司" in seen
    assert not Batch.objects.exists()
    batch = made(company)
    shown = text_of(client.get(page(batch)))
    for words in ("待审批", "15.00", "您生成了该批次", batch.digest, "总部", "加盟公司"):
        assert words in shown, words
    made_again = client.post(reverse("admin:attribution_batch_make"), {"period": "2027-05"})
    assert (made_again.status_code, Batch.objects.count()) == (302, 1)


def test_nobody_approves_her_own_and_a_wrong_amount_is_not_approved(books: Books, company: Console) -> None:
    batch = made(company)
    acts = Act.objects.count()
    for name, data in (("operator", {"count": 2, "amount": "15.00"}), ("hq", {"count": 2, "amount": "15.01"})):
        answered = company.client(name).post(reverse(ACT, args=(batch.pk, "approve")), data, follow=True)
        assert "不能审批自己生成的批次" in text_of(answered) or "与您看到的不一致" in text_of(answered)
    batch.refresh_from_db()
    assert (batch.status, Act.objects.count()) == ("READY", acts)


def test_from_approval_to_the_banks_answer(books: Books, company: Console) -> None:
    batch = approved(company)
    assert (batch.status, batch.approved_by) == ("POSTED", company.staff["hq"])
    entity, client = LegalEntity.objects.get(code="HQ"), company.client("hq")
    part = reverse("admin:attribution_batch_company", args=(batch.pk, entity.pk))
    shown = text_of(client.get(part))
    assert "王*" in shown and "王芳" not in shown
    produce = reverse("admin:attribution_batch_produce", args=(batch.pk, entity.pk))
    assert company.client("operator").post(produce).status_code == 403  # no right to export
    assert "已生成" in text_of(client.post(produce, follow=True))
    assert "没有第二份" in text_of(client.post(produce, follow=True))
    file = PayoutFile.objects.get()
    download = reverse("admin:attribution_batch_file", args=(batch.pk, file.pk, "csv"))
    assert client.get(download).status_code == 403
    assert client.post(download).content == bytes(file.content)
    workbook = client.post(reverse("admin:attribution_batch_file", args=(batch.pk, file.pk, "xlsx"))).content
    assert workbook[:2] == b"PK"
    assert Act.objects.filter(verb="payout.download").count() == 2
    result = reverse("admin:attribution_batch_result", args=(batch.pk, file.pk))
    sent = SimpleUploadedFile("result.csv", answer(file))
    assert "1 笔到账" in text_of(client.post(result, {"file": sent}, follow=True))
    assert balance("A:bank:HQ") == 500
    wrong = SimpleUploadedFile("result.csv", b"a,b\n")
    assert "第一行必须是" in text_of(client.post(result, {"file": wrong}, follow=True))


def test_the_workbook_holds_text_and_numbers(books: Books, company: Console) -> None:
    from io import BytesIO

    import openpyxl

    company.shops.guides["A"].name = "=HYPERLINK(1)"
    company.shops.guides["A"].save()
    batch = approved(company)
    books.maker = company.staff["operator"]
    file = books.file(batch)
    assert b",'=HYPERLINK(1)," in bytes(file.content)
    rows = list(openpyxl.load_workbook(BytesIO(payouts.as_xlsx(file))).active.iter_rows(values_only=True))
    assert rows[1][4] == "'=HYPERLINK(1)" and rows[1][6] == 5


def test_a_statement_says_every_line_and_leads_to_its_decision(books: Books, company: Console) -> None:
    batch = approved(company)
    statement = Statement.objects.get(beneficiary__code="G00001")
    client = company.client("hq")
    shown = text_of(client.get(reverse("admin:attribution_statement_change", args=(statement.pk,))))
    line = company.shops.lines["a"]
    assert line.order.order_no in shown and "/attribution/decision/" in shown and "5.00" in shown
    table = client.get(reverse("admin:attribution_statement_download", args=(statement.pk, "csv"))).content.decode(
        "utf-8-sig"
    )
    assert line.order.order_no in table and "5.00" in table
    pdf = client.get(reverse("admin:attribution_statement_download", args=(statement.pk, "pdf"))).content
    assert pdf.startswith(b"%PDF-") and b"STSong-Light" in pdf
    assert statements.as_pdf(statement) == statements.as_pdf(statement)
    assert batch.code


@pytest.mark.parametrize(
    ("name", "sees"),
    [("manager", {"G00001"}), ("franchisee", {"G00003"}), ("franchisee_b", set()), ("auditor", {"G00001", "G00003"})],
)
def test_everybody_sees_the_statements_of_her_stores(books: Books, company: Console, name: str, sees: set[str]) -> None:
    approved(company)
    shown = text_of(company.client(name).get(reverse("admin:attribution_statement_changelist")))
    for code in ("G00001", "G00003"):
        assert (code in shown) == (code in sees), code
    theirs = Statement.objects.get(beneficiary__code="G00003")
    opened = company.client(name).get(reverse("admin:attribution_statement_download", args=(theirs.pk, "csv")))
    assert opened.status_code == (200 if "G00003" in sees else 404)


@pytest.mark.parametrize("name", ["manager", "franchisee", "region"])
def test_batches_are_hqs(books: Books, company: Console, name: str) -> None:
    batch = approved(company)
    client = company.client(name)
    entity = LegalEntity.objects.get(code="FE")
    for url in (
        page(batch),
        reverse("admin:attribution_batch_make"),
        reverse("admin:attribution_batch_company", args=(batch.pk, entity.pk)),
    ):
        assert client.get(url).status_code in (403, 404)


def test_a_companys_gross_is_out_and_net(books: Books, company: Console) -> None:
    batch = approved(company)
    found = statements.of_company(batch=batch, company=LegalEntity.objects.get(code="FE"))
    assert (found.gross.paid_fen, found.out.paid_fen, found.net.paid_fen) == (1000, 1000, 0)
    assert [row["code"] for row in found.rows] == ["G00003"]


def test_the_guide_reads_her_own_statements(books: Books, company: Console) -> None:
    from django.test import Client

    client, token = Client(), {"Authorization": f"Bearer {company.shops.token('A')}"}
    assert client.get("/api/guide/statements", headers=token).json() == {"items": []}
    made(company)
    assert client.get("/api/guide/statements", headers=token).json() == {"items": []}  # not approved yet
    batch = Batch.objects.get()
    books.maker, books.approver = company.staff["operator"], company.staff["hq"]
    books.approve(batch, on="06-10")
    item = client.get("/api/guide/statements", headers=token).json()["items"][0]
    assert (item["period"], item["earned_fen"], item["paid_fen"], item["carried_fen"]) == ("2027-05", 500, 500, 0)
    one = client.get("/api/guide/statements/2027-05", headers=token).json()
    assert [line["line_id"] for line in one["lines"]] == [company.shops.lines["a"].pk]
    assert one["payments"][0]["amount_fen"] == 500 and one["next_cursor"] is None
    assert client.get("/api/guide/statements/2027-04", headers=token).status_code == 404
    assert client.get("/api/guide/statements/x", headers=token).status_code == 404
    other = {"Authorization": f"Bearer {company.shops.token('B')}"}
    assert client.get("/api/guide/statements/2027-05", headers=other).status_code == 404


def test_old_due_money_is_shown_by_age(books: Books, company: Console) -> None:
    bars = dict(statements.aging(now=day("06-10") + dt.timedelta(days=40)))
    assert sum(bars.values()) == 1500 and bars["31–60 天"] == 1500
