"""Order lines, refunds and parked versions in the console."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import queries as attribution_queries
from members import purchases, queries
from members.models import Member, OrderLine, ParkedVersion, Refund
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, display, link, money, number, state

FLAGS = {
    "is_test": gettext_lazy("test order"),
    "is_gift_card": gettext_lazy("gift card sale"),
    "is_wholesale": gettext_lazy("wholesale"),
    "is_staff_price": gettext_lazy("staff price"),
    "is_voided": gettext_lazy("voided"),
}


class ChannelFilter(lists.DropdownFilter):
    title = gettext_lazy("channel")
    parameter_name = "channel"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return list(queries.channel_names().items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


words.register(
    {
        "line.mark": gettext_lazy("marked order lines as a risk"),
        "line.clear": gettext_lazy("cleared the risk mark of order lines"),
    }
)


class MarkForm(forms.Form):
    mark = forms.RegexField(
        r"^[A-Za-z0-9_-]{2,32}$", label=gettext_lazy("risk mark"), initial="HQ_REVIEW",
        help_text=gettext_lazy("Letters, digits, - and _; the commission of the line waits while it is marked"),
    )  # fmt: skip
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


class ClearForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Mark as a risk"), icon="report", form=MarkForm, offered=lambda line: not line.risk_mark,
    warning=gettext_lazy("The line is decided again: its commission is taken back and waits until the mark is cleared."),
)  # fmt: skip
def mark(self: Any, request: HttpRequest, line: OrderLine, data: dict[str, Any]) -> str:
    purchases.mark_lines(line_ids=[line.pk], mark=data["mark"], reason=data["reason"], actor=request.user)
    return _("The line is marked and will be decided again.")


@object_act(
    gettext_lazy("Clear the risk mark"), icon="check_circle", form=ClearForm, offered=lambda line: bool(line.risk_mark),
    warning=gettext_lazy("The line is decided again as of its payment, and stays cleared whatever its channel says later."),
)  # fmt: skip
def clear(self: Any, request: HttpRequest, line: OrderLine, data: dict[str, Any]) -> str:
    purchases.mark_lines(line_ids=[line.pk], mark="", reason=data["reason"], actor=request.user)
    return _("The mark is cleared; the line will be decided again.")


@admin.register(OrderLine)
class OrderLineAdmin(BigReadOnlyAdmin):
    acts = (mark, clear)
    list_display = (
        "order_text", "paid_at", "channel_text", "store", "member_link", "product_text", "paid", "refunded", "decision_link",
    )  # fmt: skip
    list_display_links = ("order_text",)
    list_select_related = ("order", "store", "product")
    list_filter = (("store", lists.ScopedFilter), ChannelFilter, ("paid_at", lists.DayFilter))
    search_fields = ("order__order_no__exact",)
    search_help_text = gettext_lazy("Complete order number")
    fieldsets = (
        (
            None,
            {"fields": (("order_text", "line_no"), ("channel_text", "shop"), ("store", "cashier_code"), "member_link")},
        ),
        (gettext_lazy("What was bought"), {"fields": (("product_text", "quantity_text"), ("list_text", "price_text"))}),
        (
            gettext_lazy("Money"),
            {"fields": (("paid", "points"), ("freight", "refunded"), "discount_text", "decision_link")},
        ),
        (gettext_lazy("When"), {"fields": (("created_at", "paid_at"), ("completed_at", "version_at"))}),
        (gettext_lazy("Marks"), {"fields": ("flags", "risk_mark")}),
    )
    readonly_fields = (
        "order_text", "line_no", "channel_text", "shop", "store", "cashier_code", "member_link", "product_text", "quantity",
        "list_text", "unit_price", "paid", "points", "freight", "refunded", "discount_text", "decision_link", "created_at",
        "paid_at", "completed_at", "version_at", "flags", "risk_mark",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        members = lists.visible_names(request, Member, (row.member_id for row in rows))
        scope = org.scope_of(request.user)
        decisions = attribution_queries.live_decisions(line_ids=[row.pk for row in rows], scope=scope)
        channels = queries.channel_names()
        for row in rows:
            row.shown_member, row.shown_decision = members.get(row.member_id), decisions.get(row.pk)
            row.shown_channel = channels.get(row.channel, row.channel)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("order no."))
    def order_text(self, line: OrderLine) -> str:
        return f"{line.order.order_no} · {line.line_no}"

    @display(description=gettext_lazy("shop"))
    def shop(self, line: OrderLine) -> str:
        return line.order.shop or EMPTY

    @display(description=gettext_lazy("channel"))
    def channel_text(self, line: Any) -> str:
        return line.shown_channel

    @display(description=gettext_lazy("member"))
    def member_link(self, line: Any) -> SafeString | str:
        return link("members_member", line.member_id, line.shown_member) if line.shown_member else EMPTY

    @display(description=gettext_lazy("product"))
    def product_text(self, line: OrderLine) -> str:
        return line.product.name

    @display(description=gettext_lazy("quantity"))
    def quantity_text(self, line: OrderLine) -> str:
        return number(line.quantity)

    @display(description=gettext_lazy("unit price"))
    def price_text(self, line: OrderLine) -> str:
        return number(line.unit_price)

    @display(description=gettext_lazy("list amount"))
    def list_text(self, line: OrderLine) -> SafeString:
        return money(line.list_fen)

    @display(description=gettext_lazy("paid amount"))
    def paid(self, line: OrderLine) -> SafeString:
        return money(line.paid_fen)

    @display(description=gettext_lazy("refunded amount"))
    def refunded(self, line: OrderLine) -> SafeString | str:
        return money(line.refunded_fen) if line.refunded_fen else EMPTY

    @display(description=gettext_lazy("paid with points or gift card"))
    def points(self, line: OrderLine) -> SafeString:
        return money(line.points_fen)

    @display(description=gettext_lazy("freight"))
    def freight(self, line: OrderLine) -> SafeString:
        return money(line.freight_fen)

    @display(description=gettext_lazy("discounts by sponsor"))
    def discount_text(self, line: OrderLine) -> SafeString | str:
        parts = ((name, money(fen)) for name, fen in sorted(line.discounts.items()))
        return format_html_join("、", "{} {}", parts) or EMPTY

    @display(description=gettext_lazy("marks"))
    def flags(self, line: OrderLine) -> str:
        return "、".join(str(text) for name, text in FLAGS.items() if getattr(line, name)) or EMPTY

    @display(description=gettext_lazy("decision"))
    def decision_link(self, line: Any) -> SafeString | str:
        if line.shown_decision is None:
            return _("waiting")
        decision_id, text = line.shown_decision
        return link("attribution_decision", decision_id, text)


@admin.register(Refund)
class RefundAdmin(BigReadOnlyAdmin):
    list_display = ("refund_no", "order_no", "channel", "amount", "refunded_at", "status_label", "posted")
    list_filter = (("status", lists.ChoicesDropdownFilter), ChannelFilter)
    search_fields = ("refund_no__exact",)
    search_help_text = gettext_lazy("Complete refund number")
    fields = (
        "refund_no", "channel", "shop", "order_no", "line_no", "line_link", "amount", "quantity", "refunded_at",
        "version_at", "status_label", "posted",
    )  # fmt: skip

    @display(description=gettext_lazy("amount"))
    def amount(self, refund: Refund) -> SafeString:
        return money(refund.amount_fen)

    @display(description=gettext_lazy("status"), label={Refund.Status.APPLIED: GOOD, Refund.Status.WAITING: BUSY})
    def status_label(self, refund: Refund) -> Any:
        return state(refund.status, refund.get_status_display())

    @display(description=gettext_lazy("posted"), boolean=True)
    def posted(self, refund: Refund) -> bool:
        return refund.is_posted

    @display(description=gettext_lazy("order line"))
    def line_link(self, refund: Refund) -> SafeString | str:
        return link("members_orderline", refund.line_id, refund.order_no) if refund.line_id else EMPTY


@admin.register(ParkedVersion)
class ParkedVersionAdmin(BigReadOnlyAdmin):
    list_display = ("key", "kind", "version_at", "code_label", "parked_at")
    list_filter = (("kind", lists.ChoicesDropdownFilter), ("parked_at", lists.DayFilter))
    search_fields = ("key__startswith",)
    fields = ("key", "kind", "version_at", "code_label", "parked_at", "content_text")

    @display(description=gettext_lazy("reason"), label=BAD)
    def code_label(self, parked: ParkedVersion) -> str:
        from scrm.admin.words import problem_text

        return problem_text(parked.code)

    @display(description=gettext_lazy("content"))
    def content_text(self, parked: ParkedVersion) -> SafeString:
        return format_html('<pre class="scrm-pre">{}</pre>', json.dumps(parked.content, ensure_ascii=False, indent=1))
