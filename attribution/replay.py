"""Replay (重算): what the same orders pay under another mode, by the same evidence and the same decision; posts nothing.

1. Every line is decided as of its payment, with the facts as they are recorded now, and its refunds are applied in their
   order; the result per beneficiary is what the posted ledger would say.
2. The whole book is replayed under the mode; a line that is not paid for (held, not eligible) counts for nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from django.db import connection

from attribution import commissions, evidence, rulebook, rules
from members.models import OrderLine, Refund

CHUNK = 20_000
POSTED = (rules.State.LIVE, rules.State.PROVISIONAL)


def commission(*, book: rulebook.Book, progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Fen per beneficiary over all lines."""
    total: Counter[str] = Counter()
    done = 0
    for keys in _all_keys():
        refunds = _refunds([key[0] for key in keys])
        for case in evidence.load(keys, book):
            _add(total, case, refunds.get(case.line.id, ()))
        done += len(keys)
        if progress:
            progress(done)
    return total


def _add(total: Counter[str], case: evidence.Case, refunds: Sequence[int]) -> None:
    found = rules.decide(case.facts, case.evidence, case.rule)
    if found.state not in POSTED or not found.shares:
        return
    state = commissions.opening(found.shares, found.rate_bp, found.cap_fen)
    _, state = commissions.reprice(state, found.base_fen)
    refunded = 0
    for amount_fen in refunds:
        refunded += amount_fen
        _, state = commissions.reprice(state, commissions.net_base(found.base_fen, refunded))
    for share, held in zip(state.shares, state.outstanding, strict=True):
        total[share.beneficiary] += held


def _refunds(line_ids: Sequence[int]) -> dict[int, list[int]]:
    rows = Refund.objects.filter(line_id__in=line_ids, status=Refund.Status.APPLIED)
    found: dict[int, list[int]] = defaultdict(list)
    ordered = rows.order_by("line_id", "refunded_at", "refund_no")
    for line_id, amount_fen in ordered.values_list("line_id", "amount_fen"):
        assert line_id is not None  # the filter's own
        found[line_id].append(amount_fen)
    return found


def _all_keys() -> Iterator[list[evidence.LineKey]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, booked_on FROM {OrderLine._meta.db_table} WHERE id > %s ORDER BY id LIMIT %s",
                [last, CHUNK],
            )
            keys = cursor.fetchall()
        if not keys:
            return
        yield keys
        last = keys[-1][0]
