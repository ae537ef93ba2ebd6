"""Beneficiaries, accounts, transactions, entries and commission lines in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from attribution.models import Account, Beneficiary, Entry, Hold, Txn
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, ReadOnlyInline
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, money, state
from scrm.admin.words import reason_text

KIND_COLOURS = {
    Txn.Kind.ACCRUE: NEW,
    Txn.Kind.VEST: GOOD,
    Txn.Kind.UNHOLD: BUSY,
    Txn.Kind.CLAWBACK: BAD,
    Txn.Kind.NET: QUIET,
    Txn.Kind.PAY: GOOD,
    Txn.Kind.SETTLED: GOOD,
    Txn.Kind.RETURNED: BAD,
    Txn.Kind.WRITEOFF: BAD,
}

words.register(
    {
        "money.block": gettext_lazy("blocked money"),
        "money.release": gettext_lazy("released blocked money"),
    }
)


def owner_name(beneficiary: Beneficiary) -> str:
    """Who stands behind a code; the three are read with it."""
    for owner in (beneficiary.guide, beneficiary.store, beneficiary.entity):
        if owner is not None:
            return owner.name
    return str(beneficiary.get_kind_display())


class AccountInline(ReadOnlyInline):
    model = Account
    fields = ("code", "kind", "balance")
    readonly_fields = fields

    @display(description=gettext_lazy("balance"))
    def balance(self, account: Account) -> SafeString:
        return money(account.balance_fen)


@admin.register(Beneficiary)
class BeneficiaryAdmin(ReadOnlyAdmin):
    inlines = (AccountInline,)
    list_display = ("code", "kind_label", "name")
    list_select_related = ("guide", "store", "entity")
    list_filter = (("kind", lists.ChoicesDropdownFilter),)
    search_fields = ("code__exact", "guide__name__startswith")
    search_help_text = gettext_lazy("Beneficiary code or the beginning of the guide's name")
    ordering = ("code",)
    fields = ("code", "kind_label", "name")

    @display(description=gettext_lazy("kind"), label=dict.fromkeys(Beneficiary.Kind, QUIET))
    def kind_label(self, beneficiary: Beneficiary) -> Any:
        return state(beneficiary.kind, beneficiary.get_kind_display())

    @display(description=gettext_lazy("name"))
    def name(self, beneficiary: Beneficiary) -> str:
        return owner_name(beneficiary)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("code", "kind_label", "owner", "balance")
    list_select_related = ("beneficiary__guide", "beneficiary__store", "beneficiary__entity")
    list_filter = (("kind", lists.ChoicesDropdownFilter),)
    search_fields = ("code__exact", "beneficiary__code__exact")
    search_help_text = gettext_lazy("Account code or beneficiary code")
    ordering = ("code",)
    fields = ("code", "kind_label", "owner", "balance")

    @display(description=gettext_lazy("kind"), label=dict.fromkeys(Account.Kind, QUIET))
    def kind_label(self, account: Account) -> Any:
        return state(account.kind, account.get_kind_display())

    @display(description=gettext_lazy("beneficiary"))
    def owner(self, account: Account) -> str:
        return owner_name(account.beneficiary) if account.beneficiary else EMPTY

    @display(description=gettext_lazy("balance"), ordering="balance_fen")
    def balance(self, account: Account) -> SafeString:
        return money(account.balance_fen)


class EntryInline(ReadOnlyInline):
    model = Entry
    fields = ("account", "store", "amount")
    readonly_fields = fields
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("account", "store")

    @display(description=gettext_lazy("amount"))
    def amount(self, entry: Entry) -> SafeString:
        return money(entry.amount_fen)


@admin.register(Txn)
class TxnAdmin(BigReadOnlyAdmin):
    inlines = (EntryInline,)
    list_display = ("key", "kind_label", "effective_at", "posted_at", "reason_text", "actor")
    list_filter = (("kind", lists.ChoicesDropdownFilter), ("posted_at", lists.DayFilter))
    search_fields = ("key__exact",)
    search_help_text = gettext_lazy("Complete business key")
    fields = (
        "key", "kind_label", "effective_at", "posted_at", "actor", "reason_text", "decision_link", "reverses_link",
        "adjusts_period", "fact",
    )  # fmt: skip

    @display(description=gettext_lazy("kind"), label=KIND_COLOURS)
    def kind_label(self, txn: Txn) -> Any:
        return state(txn.kind, txn.get_kind_display())

    @display(description=gettext_lazy("reason"))
    def reason_text(self, txn: Txn) -> str:
        return reason_text(txn.reason) or EMPTY

    @display(description=gettext_lazy("decision"))
    def decision_link(self, txn: Txn) -> SafeString | str:
        return link("attribution_decision", txn.decision_id, txn.decision_id) if txn.decision_id else EMPTY

    @display(description=gettext_lazy("reverses"))
    def reverses_link(self, txn: Txn) -> SafeString | str:
        return link("attribution_txn", txn.reverses_id, txn.reverses_id) if txn.reverses_id else EMPTY


@admin.register(Entry)
class EntryAdmin(BigReadOnlyAdmin):
    list_display = ("txn", "posted_on", "account", "store", "amount")
    list_display_links = ("txn",)
    list_select_related = ("txn", "account", "store")
    list_filter = (("account", lists.ScopedFilter), ("store", lists.ScopedFilter))
    fields = ("txn", "posted_on", "account", "store", "amount")

    @display(description=gettext_lazy("amount"))
    def amount(self, entry: Entry) -> SafeString:
        return money(entry.amount_fen)


@admin.register(Hold)
class HoldAdmin(BigReadOnlyAdmin):
    list_display = ("owner", "role_text", "store", "earned_on", "amount", "vested", "taken", "open_text", "vests_at")
    list_display_links = ("owner",)
    list_select_related = ("beneficiary__guide", "beneficiary__store", "beneficiary__entity", "store", "txn")
    list_filter = (
        ("beneficiary", lists.ScopedFilter),
        ("store", lists.ScopedFilter),
        ("earned_on", lists.RangeDateFilter),
    )
    fields = (
        "owner", "role_text", "store", "earned_on", "amount", "vested", "taken", "open_text", "vests_at", "blocked_text",
        "decision_link", "fact",
    )  # fmt: skip

    @display(description=gettext_lazy("beneficiary"))
    def owner(self, hold: Hold) -> str:
        return f"{owner_name(hold.beneficiary)} {hold.beneficiary.code}"

    @display(description=gettext_lazy("role"))
    def role_text(self, hold: Hold) -> str:
        from attribution.rules.explanation import ROLES

        return {str(role): text for role, text in ROLES.items()}.get(hold.role) or words.verb_text(hold.role)

    @display(description=gettext_lazy("amount"))
    def amount(self, hold: Hold) -> SafeString:
        return money(hold.amount_fen)

    @display(description=gettext_lazy("vested"))
    def vested(self, hold: Hold) -> SafeString:
        return money(hold.vested_fen)

    @display(description=gettext_lazy("taken back"))
    def taken(self, hold: Hold) -> SafeString:
        return money(hold.reversed_fen + hold.clawed_fen)

    @display(description=gettext_lazy("still held"))
    def open_text(self, hold: Hold) -> SafeString:
        return money(hold.amount_fen - hold.vested_fen - hold.reversed_fen)

    @display(description=gettext_lazy("blocked by"))
    def blocked_text(self, hold: Hold) -> str:
        return ", ".join(words.reason_text(block.cause) for block in hold.blocks.filter(released_at=None)) or EMPTY

    @display(description=gettext_lazy("decision"))
    def decision_link(self, hold: Hold) -> SafeString | str:
        key = hold.txn.decision_id
        return link("attribution_decision", key, key) if key else EMPTY
