"""One decision on one screen (判定说明): the rule, who was considered and why not, the money and what the ledger says.

The sentences come from ``rules.explain``; this module only reads what stands and cuts it to the reader's scope.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Max, Sum

from attribution import queries, rule_texts, rulebook, rules
from attribution.models import Decision, Entry, Hold, Txn
from attribution.rules.explanation import BUDGETS, ROLES
from guides.models import Guide
from members.models import OrderLine, Refund
from scrm import org
from scrm.models import Store


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """One decision in words, with what was posted for its line. ``sentences`` stand in groups."""

    decision: Decision
    line: OrderLine
    rule_text: str
    winners: list[str]
    losers: list[str]
    money: list[str]
    state_text: str
    shares: list[dict[str, Any]]
    payables: list[dict[str, Any]]
    terms: list[rule_texts.Held]
    summary: str
    refunds: list[Refund]
    transactions: list[dict[str, Any]]
    versions: list[Decision]


def beneficiary_names(*, codes: Iterable[str], scope: org.Scope) -> dict[str, str]:
    """``{beneficiary code: name}`` of the guides and stores that ``scope`` sees; one query each."""
    wanted = set(codes)
    guides = org.visible(Guide.objects.filter(code__in=wanted), scope).values_list("code", "name")
    stores = [code.removeprefix("STORE:") for code in wanted if code.startswith("STORE:")]
    names = dict(guides)
    for code, name in org.visible(Store.objects.filter(code__in=stores), scope).values_list("code", "name"):
        names[f"STORE:{code}"] = name
    return names


def decision_page(*, decision: Decision, scope: org.Scope) -> DecisionPage:
    """Everything a decision's page shows; a fixed number of queries."""
    found = queries.decision_of(decision)
    lines = OrderLine.objects.select_related(
        "order", "product__category", "store__entity", "fulfil_store__entity", "member"
    )
    line = lines.get(pk=decision.line_id, booked_on=decision.booked_on)
    codes = {candidate.beneficiary for candidate in found.candidates}
    codes |= {share.beneficiary for pot in found.pots for share in pot.shares}
    names = beneficiary_names(codes=codes, scope=scope)
    facts = _facts_of(line)
    sentences = rules.explain(found, rule_name=str(decision.rule), line=facts, names=names)
    won, lost = len(found.winners), len(found.candidates) - len(found.winners)
    return DecisionPage(
        decision=decision,
        line=line,
        rule_text=sentences[0],
        winners=sentences[1 : 1 + won],
        losers=sentences[1 + won : 1 + won + lost],
        money=sentences[1 + won + lost : -1],
        state_text=sentences[-1],
        shares=_shares_with_holds(found, decision, scope, names),
        payables=_payables(found, names),
        terms=rule_texts.resolved(decision.rule, facts),
        summary=rules.in_one_sentence(found, viewer="", version=decision.rule.number, names=names),
        refunds=list(Refund.objects.filter(line_id=line.pk).order_by("refunded_at", "refund_no")[:50]),
        transactions=_line_transactions(decision.line_id, scope),
        versions=list(Decision.objects.filter(line_id=line.pk).order_by("sequence")[:20]),
    )


def _shares_with_holds(
    found: rules.Decision, decision: Decision, scope: org.Scope, names: dict[str, str]
) -> list[dict[str, Any]]:
    """What each share was promised and where it stands now; a share outside the scope shows no amounts."""
    ids = [decision.pk]
    if decision.pots:  # a pot may stand as an earlier decision accrued it
        since = {pot[-1] for pot in decision.pots}
        ids += Decision.objects.filter(line_id=decision.line_id, sequence__in=since).values_list("pk", flat=True)
    seen = org.visible(Hold.objects.filter(txn__decision_id__in=ids, line_id=decision.line_id), scope)
    rows = seen.values("beneficiary__code", "role").annotate(
        accrued=Sum("amount_fen"), vested=Sum("vested_fen"), taken=Sum(F("reversed_fen") + F("clawed_fen")),
        vests_at=Max("vests_at"),
    )  # fmt: skip
    holds = {(row["role"], row["beneficiary__code"]): row for row in rows.order_by("role", "beneficiary__code")}
    return [
        {
            "role": ROLES[share.role],
            "beneficiary": share.beneficiary,
            "name": names.get(share.beneficiary, share.beneficiary),
            "store": share.store,
            "bp": share.weight * 10_000 // (sum(one.weight for one in pot.shares) or 1),
            "hold": holds.get((share.role, share.beneficiary)),
        }
        for pot in found.pots
        for share in pot.shares
    ]


def _facts_of(line: OrderLine) -> rules.OrderFacts:
    store, fulfil, details = line.store, line.fulfil_store, line.details or {}
    return rules.OrderFacts(
        channel=line.channel, shop=line.order.shop, order_no=line.order.order_no, line_no=str(line.line_no),
        version=line.version_at, paid_at=line.paid_at, paid_fen=line.paid_fen, points_fen=line.points_fen,
        sku=line.product.sku, category=line.product.category.code if line.product.category else None,
        store=store.code if store else None, shop_entity=rulebook.company_of(store) if store else rules.HQ_ENTITY,
        fulfil_store=fulfil.code if fulfil else None, fulfil_entity=rulebook.company_of(fulfil) if fulfil else None,
        campaign=details.get("campaign"),
    )  # fmt: skip


def _payables(found: rules.Decision, names: dict[str, str]) -> list[dict[str, Any]]:
    """The trees of payables with names, before refunds."""
    return [
        {
            "name": names.get(row.beneficiary, row.beneficiary), "role": ROLES[row.role], "parent": row.parent,
            "paid_by": names.get(row.parent, row.parent) if row.parent else BUDGETS[row.budget],
            "gross_fen": row.gross_fen, "out_fen": row.out_fen, "net_fen": row.net_fen,
        }
        for row in rules.payables(found)
    ]  # fmt: skip


def _line_transactions(line_id: int, scope: org.Scope) -> list[dict[str, Any]]:
    """The line's postings with the legs that ``scope`` sees, oldest first."""
    txns = {txn.pk: txn for txn in Txn.objects.filter(line_id=line_id).order_by("posted_at", "pk")[:100]}
    legs: dict[int, list[Entry]] = {pk: [] for pk in txns}
    entries = org.visible(Entry.objects.filter(txn_id__in=list(txns)), scope)
    for entry in entries.select_related("account__beneficiary", "store").order_by("txn_id", "position"):
        legs[entry.txn_id].append(entry)
    return [{"txn": txn, "legs": legs[pk]} for pk, txn in txns.items() if legs[pk]]


def lines_of_order(*, order_no: str) -> list[int]:
    """Ids of the lines of an order number, whatever the channel; the caller cuts by scope."""
    return list(OrderLine.objects.filter(order__order_no=order_no).order_by("pk").values_list("pk", flat=True)[:200])


def order_numbers(*, keys: Collection[tuple[int, dt.date]]) -> dict[int, str]:
    """``{line: "order no. · line no."}`` for a page of decisions; touches only the partitions of their days."""
    days = {booked_on for _line, booked_on in keys}
    lines = OrderLine.objects.filter(pk__in=[line for line, _day in keys], booked_on__in=days)
    return {pk: f"{order_no} · {no}" for pk, order_no, no in lines.values_list("pk", "order__order_no", "line_no")}
