"""Channel bills in the console: uploading one, what came of it, the differences with their age, and a person's reasons."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution.admin.channels import NamedChannel
from attribution.channels import bills
from attribution.models import ChannelBill, ChannelDifference, ChannelShop
from members import queries as member_queries
from scrm import imports
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, money, state
from scrm.admin.staff import ReasonForm
from scrm.admin.wecom_setup import FormAdmin
from scrm.org import Right

words.register(
    {
        "bill.take": gettext_lazy("handed in a channel bill"),
        "bill.accept_bad": gettext_lazy("declared the broken rows of a channel bill"),
        "bill.decide": gettext_lazy("explained or closed a difference to a bill"),
        "channel_bill": gettext_lazy("a channel bill"),
    }
)
PROBLEMS_SHOWN = 20


class BillForm(forms.Form):
    shop = forms.ChoiceField(label=gettext_lazy("Shop"))
    day = forms.DateField(label=gettext_lazy("Business day"), widget=forms.DateInput)
    file = forms.FileField(
        label=gettext_lazy("File"), widget=lists.FileWidget(attrs={"accept": ".csv,.tsv,.txt,.xlsx,.gz"}),
        help_text=gettext_lazy("The channel's own bill of that day: CSV or XLSX with an order number and an amount."),
    )  # fmt: skip
    with_freight = forms.BooleanField(label=gettext_lazy("Its amounts hold the freight"), required=False, initial=True)
    total = forms.DecimalField(
        label=gettext_lazy("Total of the bill (yuan)"), required=False, max_digits=14, decimal_places=2,
        help_text=gettext_lazy("As the channel's page shows it, if the file has no line of totals; so a file that was cut is noticed."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = member_queries.channel_names()
        fields: Any = self.fields
        fields["shop"].choices = [
            (f"{shop.channel}|{shop.shop_no}", f"{names.get(shop.channel, shop.channel)} · {shop.name}")
            for shop in ChannelShop.objects.order_by("channel", "shop_no")
        ] or [("", _("Connect a shop first."))]


class CountForm(ReasonForm):
    count = forms.IntegerField(
        label=gettext_lazy("How many rows are broken?"), min_value=1, help_text=gettext_lazy("As declared, so many rows are left out.")
    )  # fmt: skip
    field_order = ("count", "reason")


@object_act(
    gettext_lazy("Declare the broken rows"), form=CountForm, icon="playlist_remove",
    offered=lambda bill: bill.bad_count > 0 and not bill.is_current,
    warning=gettext_lazy("The bill comes into force without these rows. Better correct them and hand the file in anew."),
)  # fmt: skip
def accept_bad(self: Any, request: HttpRequest, bill: ChannelBill, data: dict[str, Any]) -> str:
    bills.accept_bad(actor=request.user, bill=bill, count=data["count"], reason=data["reason"])
    return _("The bill is being read without the broken rows.")


@object_act(gettext_lazy("Compare again"), icon="sync", offered=lambda bill: bill.is_current)
def compare(self: Any, request: HttpRequest, bill: ChannelBill, data: dict[str, Any]) -> str:
    bills.compare_again(now=timezone.now(), bill_ids=[bill.pk])
    return _("Bill and books are compared.")


@admin.register(ChannelBill)
class ChannelBillAdmin(NamedChannel, FormAdmin):
    add_right = Right.ACT
    acts = (accept_bad, compare)
    add_form, add_title = BillForm, gettext_lazy("Hand in a channel bill")
    added = gettext_lazy("The bill is being read; differences appear when it is done.")
    ordering = ("-day", "-pk")
    list_display = (
        "day",
        "channel_text",
        "shop_no",
        "state_label",
        "theirs",
        "ours",
        "gap",
        "bad_count",
        "uploaded_at",
    )
    list_select_related = ("job",)
    fields: ClassVar[Any] = (
        "day", "channel_text", "shop_no", "name", "state_label", "problems", "order_count", "bad_count", "theirs", "ours", "gap",
        "theirs_refunded", "ours_refunded", "with_freight", "uploaded_by", "uploaded_at", "compared_at",
    )  # fmt: skip

    def add(self, request: HttpRequest, data: dict[str, Any]) -> ChannelBill:
        channel, _bar, shop_no = data["shop"].partition("|")
        file, total = data["file"], data["total"]
        upload = bills.store_file(actor=request.user, name=file.name, chunks=file.chunks(), now=timezone.now())
        return bills.take(
            actor=request.user, channel=channel, shop_no=shop_no, day=data["day"], upload=upload, with_freight=data["with_freight"],
            total_fen=int(total * 100) if total is not None else None,
        )  # fmt: skip

    @display(description=gettext_lazy("state"), label={"force": GOOD, "bad": BAD, "open": BUSY, "old": QUIET})
    def state_label(self, bill: ChannelBill) -> Any:
        if bill.is_current:
            return state("force", _("in force"))
        job = bill.job
        if job is not None and job.status in ("QUEUED", "RUNNING"):
            return state("open", _("is being read"))
        if job is not None and job.status == "FAILED":
            return state("bad", job.error or _("failed"))
        return state("bad", _("broken rows to declare")) if bill.bad_count else state("old", _("replaced"))

    @display(description=gettext_lazy("broken rows"))
    def problems(self, bill: ChannelBill) -> str:
        found = imports.first_problems(bill.job, PROBLEMS_SHOWN) if bill.job is not None else []
        shown = [_("line %(line)d: %(reason)s") % {"line": p.line_no, "reason": imports.reason(p.code)} for p in found]
        return "；".join(shown) or EMPTY

    @display(description=gettext_lazy("paid by the bill"))
    def theirs(self, bill: ChannelBill) -> SafeString:
        return money(bill.paid_fen)

    @display(description=gettext_lazy("paid in our books"))
    def ours(self, bill: ChannelBill) -> SafeString:
        return money(bill.our_paid_fen)

    @display(description=gettext_lazy("difference"))
    def gap(self, bill: ChannelBill) -> SafeString:
        return money(bill.our_paid_fen - bill.paid_fen)

    @display(description=gettext_lazy("refunded by the bill"))
    def theirs_refunded(self, bill: ChannelBill) -> SafeString:
        return money(bill.refunded_fen)

    @display(description=gettext_lazy("refunded in our books"))
    def ours_refunded(self, bill: ChannelBill) -> SafeString:
        return money(bill.our_refunded_fen)


def _is_open(row: ChannelDifference) -> bool:
    return row.state in (ChannelDifference.State.OPEN, ChannelDifference.State.EXPLAINED)


@object_act(gettext_lazy("Explain"), form=ReasonForm, icon="chat", offered=_is_open)
def explain(self: Any, request: HttpRequest, row: ChannelDifference, data: dict[str, Any]) -> str:
    bills.decide(actor=request.user, difference=row, state="EXPLAINED", reason=data["reason"], now=timezone.now())
    return _("The difference is explained; it stays in sight until it is gone or closed.")


@object_act(gettext_lazy("Close"), form=ReasonForm, icon="check", offered=_is_open)
def close(self: Any, request: HttpRequest, row: ChannelDifference, data: dict[str, Any]) -> str:
    bills.decide(actor=request.user, difference=row, state="CLOSED", reason=data["reason"], now=timezone.now())
    return _("The difference is closed.")


@admin.register(ChannelDifference)
class ChannelDifferenceAdmin(NamedChannel, BigReadOnlyAdmin):
    acts = (explain, close)
    list_display = (
        "order_no",
        "day",
        "channel_text",
        "shop_no",
        "measure",
        "kind",
        "ours",
        "theirs",
        "gap",
        "age",
        "state_label",
        "reason",
    )
    list_filter = (
        ("state", lists.ChoicesDropdownFilter), ("kind", lists.ChoicesDropdownFilter), ("measure", lists.ChoicesDropdownFilter),
    )  # fmt: skip
    search_fields = ("order_no__exact",)
    search_help_text = gettext_lazy("Complete order number")
    fields = (
        "order_no", "day", "channel_text", "shop_no", "measure", "kind", "ours", "theirs", "gap", "age", "state_label", "reason", "decided_by",
        "found_at", "seen_at", "ended_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request)
        is_asked = any(name.startswith("state") for name in request.GET)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("changelist")
        return found.exclude(state=ChannelDifference.State.GONE) if is_list and not is_asked else found

    @display(description=gettext_lazy("in our books"))
    def ours(self, row: ChannelDifference) -> SafeString:
        return money(row.ours_fen)

    @display(description=gettext_lazy("in the bill"))
    def theirs(self, row: ChannelDifference) -> SafeString:
        return money(row.theirs_fen)

    @display(description=gettext_lazy("difference"))
    def gap(self, row: ChannelDifference) -> SafeString:
        return money(row.ours_fen - row.theirs_fen)

    @display(description=gettext_lazy("age"))
    def age(self, row: ChannelDifference) -> str:
        end = row.ended_at or timezone.now()
        return _("%(count)d days") % {"count": (end - row.found_at).days}

    @display(description=gettext_lazy("state"), label={"OPEN": BAD, "EXPLAINED": BUSY, "CLOSED": GOOD, "GONE": QUIET})
    def state_label(self, row: ChannelDifference) -> Any:
        return state(row.state, row.get_state_display())
