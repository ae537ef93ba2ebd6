"""Flash sales and group buys in the console: drafted, approved by somebody else, watched while they run, stopped."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin import sale_forms as forms
from campaigns.admin.planned import PlannedAdmin, this_minute
from campaigns.communities import boards, flash_sales, payments
from campaigns.models import Reservation, Sale, SaleRefund, Team, TeamSeat
from guides.admin.staff import GuideNames, guide_link
from members.models import Member
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyInline, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, money, percent, state
from scrm.money import yuan
from scrm.org import Right

words.register(
    {
        "sale.draft": gettext_lazy("drafted a sale"),
        "sale.edit": gettext_lazy("changed the draft of a sale"),
        "sale.ask": gettext_lazy("asked for a sale"),
        "sale.send_back": gettext_lazy("sent a sale back"),
        "sale.approve": gettext_lazy("approved a sale"),
        "sale.stock": gettext_lazy("changed the stock of a sale"),
        "sale.stop": gettext_lazy("stopped a sale"),
        "sale.refund": gettext_lazy("entered a refund of a sale"),
    }
)
Status, Kind = Sale.Status, Sale.Kind
COLOURS = {
    "DRAFT": QUIET, "ASKED": NEW, "SOON": BUSY, "RUNNING": GOOD, "OVER": QUIET, "STOPPED": BAD,
}  # fmt: skip
TEAM_COLOURS = {Team.Status.FORMING: BUSY, Team.Status.SUCCEEDED: GOOD, Team.Status.FAILED: BAD}
REFUND_COLOURS = {SaleRefund.Status.DUE: BAD, SaleRefund.Status.TAKEN: BUSY, SaleRefund.Status.DONE: GOOD}
HELD_COLOURS = {
    Reservation.Status.HELD: BUSY, Reservation.Status.SOLD: GOOD, Reservation.Status.RELEASED: QUIET,
    Reservation.Status.EXPIRED: QUIET, Reservation.Status.RETURNED: BAD,
}  # fmt: skip
FOLDER = "admin/campaigns/sale/"


def phase(row: Sale) -> tuple[str, Any]:
    """Where a sale stands by now, with its words."""
    now = timezone.now()
    if row.status != Status.PUBLISHED:
        return row.status, row.get_status_display()
    if now < row.starts_at:
        return "SOON", _("begins soon")
    return ("RUNNING", _("on sale")) if now < row.ends_at else ("OVER", _("over"))


def _prices(row: Sale) -> str:
    lines = boards.board(sale=row, scope=org.EVERYTHING, limit=flash_sales.drafting.MOST_STORES)
    total = boards.totals(sale=row, lines=lines)
    return _("%(stores)s stores sell %(count)s pieces at ¥%(price)s instead of ¥%(list)s: at most ¥%(given)s are given away.") % {
        "stores": f"{total.store_count:,}", "count": f"{total.counts.total:,}", "price": yuan(row.price_fen), "list": yuan(row.list_fen),
        "given": yuan(total.most_given_fen),
    }  # fmt: skip


def _stopping(row: Sale) -> str:
    counts = boards.counts_of(sales=[row]).get(row.pk, boards.Counts())
    forming = boards.team_counts(sale=row, scope=org.EVERYTHING)[Team.Status.FORMING]
    said = _("Nothing more is sold from now on, and it cannot go on again. %(count)s reservations may still be paid.") % {
        "count": f"{counts.reserved:,}"
    }  # fmt: skip
    if forming:
        said += " " + _("%(count)s teams that form fail, and whoever has paid is refunded.") % {"count": f"{forming:,}"}
    return said


@object_act(
    gettext_lazy("Ask for approval"), right=Right.CHANGE, icon="send", offered=lambda row: row.status == Status.DRAFT,
    warning=lambda row: _prices(row) + " " + _("Nothing of it can be changed while somebody else looks at it."),
)  # fmt: skip
def ask(self: Any, request: HttpRequest, row: Sale, data: dict[str, Any]) -> str:
    flash_sales.ask(sale=row, actor=request.user, now=timezone.now())
    return _("Somebody else has to approve it now.")


@object_act(
    gettext_lazy("Approve"), right=Right.CHANGE, icon="verified", offered=lambda row: row.status == Status.ASKED,
    asker=lambda row: row.author_id, warning=lambda row: _("You agree to price and stock.") + " " + _prices(row),
)  # fmt: skip
def approve(self: Any, request: HttpRequest, row: Sale, data: dict[str, Any]) -> str:
    flash_sales.approve(sale=row, actor=request.user, now=timezone.now())
    return _("Approved: it sells in its time.")


@object_act(
    gettext_lazy("Send back"), right=Right.CHANGE, icon="undo", form=forms.ReasonForm,
    offered=lambda row: row.status == Status.ASKED, warning=gettext_lazy("It is a draft of its author again."),
)  # fmt: skip
def send_back(self: Any, request: HttpRequest, row: Sale, data: dict[str, Any]) -> str:
    flash_sales.send_back(sale=row, reason=data["reason"], actor=request.user)
    return _("It is a draft again.")


@object_act(
    gettext_lazy("Change stock"), right=Right.CHANGE, icon="inventory", form=forms.StockForm,
    offered=lambda row: row.status == Status.PUBLISHED, warning=gettext_lazy("At once, with a record of who and why."),
)  # fmt: skip
def change_stock(self: Any, request: HttpRequest, row: Sale, data: dict[str, Any]) -> str:
    flash_sales.change_stock(
        sale=row, store=data["store"], count=data["count"], reason=data["reason"], key=f"console {row.pk} {data['key']}",
        actor=request.user,
    )  # fmt: skip
    return _("The stock is changed.")


@object_act(
    gettext_lazy("Stop now"), right=Right.CHANGE, icon="stop_circle", form=forms.ReasonForm,
    offered=lambda row: row.status == Status.PUBLISHED, warning=_stopping,
)  # fmt: skip
def stop(self: Any, request: HttpRequest, row: Sale, data: dict[str, Any]) -> str:
    flash_sales.stop(sale=row, reason=data["reason"], actor=request.user, now=timezone.now())
    return _("The sale is stopped.")


@admin.register(Sale)
class SaleAdmin(PlannedAdmin):
    acts = (ask, approve, send_back, change_stock, stop)
    list_display = ("name", "kind", "phase_label", "product", "price", "progress", "starts_at", "ends_at", "author")
    list_select_related: Any = ("product", "author")
    list_filter: Any = (("kind", lists.ChoicesDropdownFilter), ("status", lists.ChoicesDropdownFilter))
    search_fields = ("name__startswith",)
    search_help_text = gettext_lazy("Beginning of the name")
    new_template = f"{FOLDER}new.html"
    change_list_template = f"{FOLDER}list.html"

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_sale_new")
        edit = path("<int:pk>/edit/", self.admin_site.admin_view(self.edit_view), name="campaigns_sale_edit")
        return [new, edit, *super().get_urls()]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        counts = boards.counts_of(sales=rows)
        for row in rows:
            row.shown_counts = counts.get(row.pk)

    @display(description=gettext_lazy("state"), label=COLOURS)
    def phase_label(self, row: Sale) -> Any:
        return state(*phase(row))

    @display(description=gettext_lazy("sale price"))
    def price(self, row: Sale) -> Any:
        return money(row.price_fen)

    @display(description=gettext_lazy("sold / stock"))
    def progress(self, row: Any) -> str:
        counts = row.shown_counts
        return EMPTY if counts is None else f"{counts.sold:,} / {counts.total:,}"

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        return columns if org.scope_of(request.user).is_everything else [c for c in columns if c != "progress"]

    def new_view(self, request: HttpRequest) -> HttpResponse:
        form = forms.SaleForm(request.POST or None, user=request.user, initial={"starts_at": this_minute()})
        return self.plan_page(
            request, form, lambda: flash_sales.draft(said=form.said(), actor=request.user, now=timezone.now()),
            title=_("New flash sale or group buy"), back=reverse("admin:campaigns_sale_changelist"),
        )  # fmt: skip

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row: Sale = self.get_object(request, str(pk))
        if row.status != Status.DRAFT or row.author_id != request.user.pk:
            raise PermissionDenied
        form = forms.SaleForm(request.POST or None, user=request.user, initial=forms.initial_of(row))
        return self.plan_page(
            request, form, lambda: flash_sales.edit(sale=row, said=form.said(), actor=request.user, now=timezone.now()),
            title=_("Change “%(name)s”") % {"name": row.name}, back=self.url_of(row),
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Sale = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        scope, now = org.scope_of(request.user), timezone.now()
        lines = boards.board(sale=row, scope=scope)
        code, words_of = phase(row)
        due, done = boards.refund_counts(sale=row, scope=scope)
        may_edit = row.status == Status.DRAFT and row.author_id == request.user.pk and self.may_plan(request)
        context = self.page_context(
            request, row, title=row.name, sale=row, buttons=self.acts_for(request, row), phase=code, phase_text=words_of,
            is_live=code == "RUNNING", lines=lines, total=boards.totals(sale=row, lines=lines), list_price=yuan(row.list_fen),
            price=yuan(row.price_fen), cut=percent((row.list_fen - row.price_fen) * 10_000 // row.list_fen),
            warnings=boards.warnings_of(sale=row), groups=[link.group for link in row.only_groups.select_related("group")[:20]],
            seconds=max(0, round(((row.starts_at if code == "SOON" else row.ends_at) - now).total_seconds())),
            teams=boards.team_counts(sale=row, scope=scope) if row.kind == Kind.GROUP else None, due=due, done=done,
            changes=row.stock_item.changes.select_related("store", "actor").order_by("-pk")[:20] if row.stock_item and scope.is_everything else (),
            edit_url=reverse("admin:campaigns_sale_edit", args=(row.pk,)) if may_edit else "",
            list_url=reverse("admin:campaigns_sale_changelist"), teams_url=reverse("admin:campaigns_team_changelist"),
            claims_url=reverse("admin:campaigns_reservation_changelist"), refunds_url=reverse("admin:campaigns_salerefund_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}page.html", context)


class OfMembers(BigReadOnlyAdmin, GuideNames):
    """Rows of members and who brought them: the names of those the user sees, the others by number or code."""

    member_field = "member_id"

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        GuideNames.decorate(self, request, rows)
        ids = [getattr(row, self.member_field) for row in rows]
        names = lists.visible_names(request, Member, (pk for pk in ids if pk))
        for row in rows:
            row.shown_member = names.get(getattr(row, self.member_field))

    @display(description=gettext_lazy("guide"))
    def leader(self, row: Any) -> Any:
        return guide_link(row, "guide") if row.guide_id else EMPTY

    @display(description=gettext_lazy("member"))
    def member_link(self, row: Any) -> Any:
        pk = getattr(row, self.member_field)
        return EMPTY if pk is None else link("members_member", pk, row.shown_member or f"#{pk}")


@admin.register(Reservation)
class ReservationAdmin(OfMembers):
    """Who holds or has bought what, the newest first."""

    list_display = (
        "item", "store", "member_link", "quantity", "price", "status_label", "leader", "order_no", "held_at", "until",
    )  # fmt: skip
    list_select_related = ("item", "store", "guide")
    list_filter = (("store", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter))
    search_fields = ("order_no__exact",)
    search_help_text = gettext_lazy("The whole order number")
    fields = (
        "item", "store", "member_link", "quantity", "returned_count", "price", "status_label", "leader", "channel", "shop", "order_no",
        "held_at", "until", "paid_at", "ended_at",
    )  # fmt: skip

    @display(description=gettext_lazy("price"))
    def price(self, row: Reservation) -> Any:
        return money(row.unit_fen)

    @display(description=gettext_lazy("state"), label=HELD_COLOURS)
    def status_label(self, row: Reservation) -> Any:
        return state(row.status, row.get_status_display())


class SeatInline(ReadOnlyInline):
    model = TeamSeat
    fields = ("status", "joined_at", "paid_at", "paid", "left_at")
    readonly_fields = fields
    ordering = ("pk",)

    @admin.display(description=gettext_lazy("paid amount"))
    def paid(self, row: TeamSeat) -> Any:
        return money(row.paid_fen) if row.paid_fen is not None else EMPTY


@admin.register(Team)
class TeamAdmin(OfMembers):
    member_field = "captain_id"
    inlines = (SeatInline,)
    list_display = (
        "code",
        "sale",
        "store",
        "member_link",
        "leader",
        "status_label",
        "progress",
        "opened_at",
        "until",
    )
    list_select_related = ("sale", "store", "guide")
    list_filter = (("store", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter))
    search_fields = ("code__exact",)
    search_help_text = gettext_lazy("The whole number of the team")
    fields = (
        "code", "sale", "store", "member_link", "leader", "status_label", "progress", "opened_at", "until", "ended_at",
    )  # fmt: skip

    @display(description=gettext_lazy("state"), label=TEAM_COLOURS)
    def status_label(self, row: Team) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("paid / joined / size"))
    def progress(self, row: Team) -> str:
        return f"{row.paid_count} / {row.seat_count} / {row.size}"


@object_act(
    gettext_lazy("Enter the refund"), right=Right.CHANGE, icon="payments", form=forms.RefundForm,
    offered=lambda row: row.status != SaleRefund.Status.DONE,
    warning=lambda row: _("You say that ¥%(amount)s of order %(order)s have gone back. This is entered once.") % {
        "amount": yuan(row.amount_fen), "order": row.order_no,
    },
)  # fmt: skip
def enter_refund(self: Any, request: HttpRequest, row: SaleRefund, data: dict[str, Any]) -> str:
    payments.refund_done(refund_id=row.pk, refund_no=data["refund_no"], now=timezone.now(), actor=request.user)
    return _("The refund is entered.")


@admin.register(SaleRefund)
class SaleRefundAdmin(BigReadOnlyAdmin):
    acts = (enter_refund,)
    list_display = (
        "order_no",
        "channel",
        "store",
        "amount",
        "reason",
        "status_label",
        "due_at",
        "refund_no",
        "done_at",
    )
    list_select_related = ("store",)
    list_filter = (("status", lists.ChoicesDropdownFilter), ("reason", lists.ChoicesDropdownFilter))
    search_fields = ("order_no__exact",)
    search_help_text = gettext_lazy("The whole order number")
    fields = (
        "order_no", "channel", "shop", "store", "amount", "reason", "status_label", "due_at", "refund_no", "done_at", "done_by",
    )  # fmt: skip

    @display(description=gettext_lazy("amount"))
    def amount(self, row: SaleRefund) -> Any:
        return money(row.amount_fen)

    @display(description=gettext_lazy("state"), label=REFUND_COLOURS)
    def status_label(self, row: SaleRefund) -> Any:
        return state(row.status, row.get_status_display())
