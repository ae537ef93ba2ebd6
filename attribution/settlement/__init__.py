"""Settlement (结算): from money that is due to money that has arrived.

1. A period is a calendar month of posting (Asia/Shanghai). On the batch day of the next month a batch (结算批次) takes what
   vested until the period's end and is not paid yet: of guides, store pools and companies. What is blocked stays out.
2. Each entry that made money due is in at most one live batch; the database says so.
3. What a beneficiary owes is netted up to the cap of the period's pay, rounded down; the rest is carried over.
4. A batch is made by one person and approved by another, who approves a count and an amount: they are what is delivered, or
   the batch is made again. The approval closes the period and all before it, each under the digest of its entries.
5. Only after the approval the ledger is posted: netting, then payment. A batch that is cancelled before gives every line back.
6. A killed run goes on where it was; nothing is taken, posted or paid twice.
7. What a guide still owes when she has left and her last pay is done is written off (核销), if the terms say so.
"""

from attribution.periods import is_closed, period_of
from attribution.settlement.batches import (
    BatchChanged,
    CannotApprove,
    CannotSettle,
    Preview,
    approve,
    cancel,
    preview,
    request,
    request_due,
)
from attribution.settlement.exits import write_off_exits
from attribution.settlement.terms import Terms, terms_of

__all__ = [
    "BatchChanged", "CannotApprove", "CannotSettle", "Preview", "Terms", "approve", "cancel", "is_closed", "period_of",
    "preview", "request", "request_due", "terms_of", "write_off_exits",
]  # fmt: skip
