"""Payout files (付款文件): what leaves for payroll or the bank, and what comes back.

1. Of a posted batch each company has one file, made once: a second click gets the first file, byte for byte.
2. The file carries control totals: count, sum and the digest of its payment rows. Cells that a spreadsheet would take for a
   formula are made text.
3. A batch that the system made is looked at by two people all the same: the file is made by somebody else than the approver.
4. The result file of the bank says of each payment whether it arrived or was returned. What arrived is settled (payout → bank
   of the company); what was returned is due again and goes into the next batch. One unknown number, one other amount or one
   contradiction, and nothing of the file is taken. The same file again changes nothing.
5. When the last payment has its answer, the batch has ended and its payout account is empty.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from attribution import ledger, postings
from attribution.models import Batch, Entry, Payment, PayoutFile, PayoutResult
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.money import yuan

COLUMNS = ("付款编号", "账期", "公司", "收款人编号", "收款人", "类型", "金额", "币种")
TOTAL = "合计"
ARRIVED, RETURNED = "成功", "失败"
RESULT_COLUMNS = ("付款编号", "金额", "结果", "原因")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class CannotPayOut(RuleViolation):
    code = "cannot_pay_out"


class ResultRefused(RuleViolation):
    """A result file that does not fit; nothing of it was taken."""

    code = "payout_result_refused"


class _Answer(NamedTuple):
    number: str
    amount_fen: int
    has_arrived: bool
    reason: str


@transaction.atomic
def produce(*, batch_id: int, company_id: int, actor: Any, now: dt.datetime) -> tuple[PayoutFile, bool]:
    """The file of a company and whether this call made it. Raises CannotPayOut."""
    batch = db.lock(Batch.objects.filter(pk=batch_id))[0]
    first = PayoutFile.objects.filter(batch=batch, company_id=company_id).first()
    if first is not None:
        return first, False
    if batch.status != Batch.Status.POSTED:
        raise CannotPayOut(_("The batch is not approved and posted yet, or has been paid out already."))
    if batch.requested_by_id is None and batch.approved_by_id == actor.pk:
        raise CannotPayOut(_("The system made this batch and you approved it: the file is made by somebody else."))
    payments = db.lock(_payments(batch, company_id))
    if not payments:
        raise CannotPayOut(_("This company has nothing to pay in this batch."))
    content = _content(batch, payments)
    file = PayoutFile.objects.create(
        batch=batch, company_id=company_id, payment_count=len(payments), total_fen=sum(p.amount_fen for p in payments),
        digest=hashlib.sha256(content).hexdigest(), content=content, made_by=actor, made_at=now,
    )  # fmt: skip
    Payment.objects.filter(pk__in=[payment.pk for payment in payments]).update(status=Payment.Status.FILED)
    audit.record(
        actor=actor,
        verb="payout.produce",
        target=file,
        count=file.payment_count,
        total_fen=file.total_fen,
        digest=file.digest,
    )
    return file, True


@transaction.atomic
def download(*, file: PayoutFile, actor: Any) -> bytes:
    """The content, after the act is recorded."""
    audit.record(actor=actor, verb="payout.download", target=file, digest=file.digest)
    return bytes(file.content)


@transaction.atomic
def take_results(*, file_id: int, content: bytes, actor: Any, now: dt.datetime) -> tuple[PayoutResult, bool]:
    """Book what the bank answered; the result and whether this call booked it. Raises ResultRefused."""
    file = PayoutFile.objects.select_related("batch", "company").get(pk=file_id)
    batch = db.lock(Batch.objects.filter(pk=file.batch_id))[0]
    digest = hashlib.sha256(content).hexdigest()
    first = PayoutResult.objects.filter(file=file, digest=digest).first()
    if first is not None:
        return first, False
    answers = _answers(content)
    payments = {p.number: p for p in db.lock(_payments(batch, file.company_id))}
    fresh = [answer for answer in answers if _is_fresh(payments.get(answer.number), answer)]
    arrived = [payments[answer.number] for answer in fresh if answer.has_arrived]
    returned = [(payments[answer.number], answer.reason) for answer in fresh if not answer.has_arrived]
    ledger.post(batch=[*_settled(file, arrived, actor, now), *_returned(file, returned, actor, now)])
    Payment.objects.filter(pk__in=[p.pk for p in arrived]).update(status=Payment.Status.SETTLED, ended_at=now)
    for payment, reason in returned:
        Payment.objects.filter(pk=payment.pk).update(status=Payment.Status.RETURNED, ended_at=now, reason=reason)
    result = PayoutResult.objects.create(
        file=file, digest=digest, settled_count=len(arrived), settled_fen=sum(p.amount_fen for p in arrived),
        returned_count=len(returned), returned_fen=sum(p.amount_fen for p, _reason in returned), taken_by=actor, taken_at=now,
    )  # fmt: skip
    audit.record(actor=actor, verb="payout.result", target=result, arrived=len(arrived), returned=len(returned))
    is_open = Payment.objects.filter(batch=batch, status__in=[Payment.Status.PENDING, Payment.Status.FILED]).exists()
    if batch.status == Batch.Status.POSTED and not is_open:
        batch.status, batch.settled_at = Batch.Status.SETTLED, now
        batch.save()
    return result, True


def safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" \"'").startswith(FORMULA) else text


def _payments(batch: Batch, company_id: int) -> QuerySet[Payment]:
    rows = Payment.objects.filter(batch=batch, company_id=company_id)
    return rows.select_related(
        "company", "statement__beneficiary__guide", "statement__beneficiary__store", "statement__beneficiary__entity"
    )


def payee_name(payment: Payment) -> str:
    who = payment.statement.beneficiary
    for owner in (who.guide, who.store, who.entity):
        if owner is not None:
            return owner.name
    return who.code


def _content(batch: Batch, payments: Sequence[Payment]) -> bytes:
    """CSV as Excel opens it: UTF-8 with its mark, control totals in the last row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for payment in payments:
        who = payment.statement.beneficiary
        writer.writerow(
            [
                payment.number, batch.period, safe(payment.company.name), safe(who.code), safe(payee_name(payment)),
                str(who.get_kind_display()), plain(payment.amount_fen), "CNY",
            ]
        )  # fmt: skip
    digest = hashlib.sha256(out.getvalue().encode()).hexdigest()
    total = sum(payment.amount_fen for payment in payments)
    writer.writerow([TOTAL, batch.period, str(len(payments)), "", "", f"sha256:{digest}", plain(total), "CNY"])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def plain(fen: int) -> str:
    return yuan(fen).replace(",", "")


def _answers(content: bytes) -> list[_Answer]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError:
            raise ResultRefused(_("The file is neither UTF-8 nor GBK text.")) from None
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(cell.strip() for cell in rows[0][:4]) != RESULT_COLUMNS:
        raise ResultRefused(_("The first row has to be: %(columns)s.") % {"columns": "，".join(RESULT_COLUMNS)})
    answers, seen = [], set()
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        answer = _answer(line, [cell.strip() for cell in row])
        if answer.number in seen:
            raise ResultRefused(
                _("Line %(line)d: the payment %(number)s stands in the file twice.")
                % {"line": line, "number": answer.number}
            )
        seen.add(answer.number)
        answers.append(answer)
    if not answers:
        raise ResultRefused(_("The file names no payment."))
    return answers


def _answer(line: int, row: list[str]) -> _Answer:
    if len(row) < 3 or row[2] not in (ARRIVED, RETURNED):
        raise ResultRefused(
            _("Line %(line)d: the result is %(arrived)s or %(returned)s.")
            % {"line": line, "arrived": ARRIVED, "returned": RETURNED}
        )
    whole, _dot, part = row[1].replace(",", "").partition(".")
    if not (
        whole.isascii() and whole.isdigit() and (part == "" or (part.isascii() and part.isdigit())) and len(part) <= 2
    ):
        raise ResultRefused(_("Line %(line)d: %(amount)s is no amount.") % {"line": line, "amount": row[1][:20]})
    fen = int(whole) * 100 + int(part.ljust(2, "0"))
    return _Answer(row[0], fen, row[2] == ARRIVED, row[3][:200] if len(row) > 3 else "")


def _is_fresh(payment: Payment | None, answer: _Answer) -> bool:
    """Whether the answer says something new. Raises ResultRefused when it cannot be true."""
    if payment is None:
        raise ResultRefused(_("The payment %(number)s is not of this file.") % {"number": answer.number[:40]})
    if payment.amount_fen != answer.amount_fen:
        raise ResultRefused(_("The payment %(number)s was of another amount.") % {"number": answer.number})
    said = Payment.Status.SETTLED if answer.has_arrived else Payment.Status.RETURNED
    if payment.status in (Payment.Status.SETTLED, Payment.Status.RETURNED) and payment.status != said:
        raise ResultRefused(_("The payment %(number)s has another answer already.") % {"number": answer.number})
    return payment.status == Payment.Status.FILED


def _settled(file: PayoutFile, payments: Sequence[Payment], actor: Any, now: dt.datetime) -> list[ledger.Posting]:
    result = []
    for payment in payments:
        key = postings.key(postings.Kind.SETTLED, payment.number)
        txn = postings.settled(key, file.batch.code, file.company.code, payment.amount_fen, now)
        result.append(
            ledger.Posting(txn, actor=str(actor.pk), reason="SETTLEMENT", fact=f"SETTLEMENT {file.batch.code}")
        )
    return result


def _returned(
    file: PayoutFile, payments: Sequence[tuple[Payment, str]], actor: Any, now: dt.datetime
) -> list[ledger.Posting]:
    """The legs of the payment, turned round."""
    result = []
    for payment, _reason in payments:
        who, code = payment.statement.beneficiary.code, file.batch.code
        paid = postings.key(postings.Kind.PAY, code, who, file.company_id)
        legs = (
            Entry.objects.filter(txn__key=paid, account__kind="DUE")
            .order_by("position")
            .values_list("store__code", "amount_fen")
        )
        parts = [postings.Part(who, store, -fen) for store, fen in legs]
        txn = postings.returned(postings.key(postings.Kind.RETURNED, payment.number), parts, now, code)
        result.append(
            ledger.Posting(txn, reverses_key=paid, actor=str(actor.pk), reason="RETURNED", fact=f"SETTLEMENT {code}")
        )
    return result


def as_xlsx(file: PayoutFile) -> bytes:
    """The same rows as a workbook: amounts are numbers, everything else is text."""
    import xlsxwriter

    rows = list(csv.reader(io.StringIO(bytes(file.content).decode("utf-8-sig"))))
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"created": file.made_at.replace(tzinfo=None)})
        sheet, money = book.add_worksheet(), book.add_format({"num_format": "0.00"})
        amount = COLUMNS.index("金额")
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                if x == amount and y:
                    sheet.write_number(y, x, Decimal(cell), money)
                else:
                    sheet.write_string(y, x, cell)
    return out.getvalue()


def masked(name: str) -> str:
    """How a payee is shown on a screen."""
    return name[:1] + "*" * max(1, len(name) - 1)
