"""Coupons, redemptions and batches in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.admin.coupon_forms import ReasonForm
from members.coupons import faces, figures, issuing, life, pictures, redeeming
from members.models import Coupon, CouponBatch, Member, Redemption
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, money, state
from scrm.models import Store, User
from scrm.org import Right

Status = Coupon.Status
COLOURS = {
    Status.UNCLAIMED: NEW, Status.HELD: GOOD, Status.LOCKED: BUSY, Status.GIVEN: BUSY, Status.REDEEMED: QUIET,
    Status.EXPIRED: QUIET, Status.VOID: BAD, Status.WITHDRAWN: QUIET,
}  # fmt: skip
SHEET_MOST = 900
PER_PAGE = 9


@object_act(
    gettext_lazy("Make void"), right=Right.CHANGE, icon="block", form=ReasonForm,
    offered=lambda coupon: coupon.status in (Status.HELD, Status.UNCLAIMED),
    warning=gettext_lazy("The customer cannot use it any more; its reserved money returns to the budget."),
)  # fmt: skip
def make_void(self: Any, request: HttpRequest, coupon: Coupon, data: dict[str, Any]) -> str:
    count = life.make_void(coupon_ids=[coupon.pk], reason=data["reason"], actor=request.user, now=timezone.now())
    return _("The coupon is void.") if count else _("The coupon has changed meanwhile; it stays as it is.")


@admin.register(Coupon)
class CouponAdmin(BigReadOnlyAdmin):
    acts = (make_void,)
    list_display = (
        "number",
        "template_name",
        "member_link",
        "status_label",
        "source",
        "issued_at",
        "expires_on",
        "taken_off",
    )
    list_display_links = ("number",)
    list_select_related = ("template",)
    list_filter = (
        ("status", lists.ChoicesDropdownFilter), ("source", lists.ChoicesDropdownFilter), ("template", lists.ScopedFilter),
        ("batch", lists.ScopedFilter), ("issued_at", lists.DayFilter),
    )  # fmt: skip
    search_fields = ("code__exact",)
    search_help_text = gettext_lazy("Complete coupon number")

    def get_search_results(self, request: HttpRequest, queryset: Any, term: str) -> tuple[Any, bool]:
        return super().get_search_results(request, queryset, issuing.typed_code(term))

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = lists.visible_names(request, Member, (row.member_id for row in rows))
        for row in rows:
            row.shown_member = names.get(row.member_id)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        coupon = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, coupon):
            raise PermissionDenied
        self.decorate(request, [coupon])
        events = figures.events(coupon.pk)
        scope = org.scope_of(request.user)
        stores = {
            row.pk: row for row in Store.objects.filter(pk__in=[each.store_id for each in events if each.store_id])
        }
        actors = {
            row.pk: str(row) for row in User.objects.filter(pk__in=[each.actor_id for each in events if each.actor_id])
        }
        context = self.page_context(
            request, coupon, title=str(coupon), coupon=coupon, face=faces.face(coupon.template, coupon), member_link=self.member_link(coupon),
            template_name=self.template_name(coupon), buttons=self.acts_for(request, coupon), is_everything=scope.is_everything,
            events=[(each, stores.get(each.store_id or 0), actors.get(each.actor_id or 0, "")) for each in events],
        )  # fmt: skip
        return TemplateResponse(request, "admin/members/coupon/page.html", context)

    @display(description=gettext_lazy("coupon no."))
    def number(self, coupon: Coupon) -> str:
        return str(coupon)

    @display(description=gettext_lazy("coupon template"))
    def template_name(self, coupon: Coupon) -> str:
        return str(coupon.template)

    @display(description=gettext_lazy("member"))
    def member_link(self, coupon: Any) -> SafeString | str:
        return link("members_member", coupon.member_id, coupon.shown_member) if coupon.shown_member else EMPTY

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, coupon: Coupon) -> Any:
        return state(coupon.status, coupon.get_status_display())

    @display(description=gettext_lazy("taken off"))
    def taken_off(self, coupon: Coupon) -> SafeString | str:
        return money(coupon.discount_fen) if coupon.discount_fen else EMPTY


@object_act(
    gettext_lazy("Take back"), icon="undo", form=ReasonForm, offered=lambda row: row.status == "REDEEMED" and row.final_at is None,
    warning=gettext_lazy("The coupon is the customer's again, and the clearing is reversed. Only within the hours of the template."),
)  # fmt: skip
def take_back(self: Any, request: HttpRequest, row: Redemption, data: dict[str, Any]) -> str:
    redeeming.reverse(
        redemption_id=row.pk,
        reason=data["reason"],
        key=f"console reverse {row.pk}",
        actor=request.user,
        now=timezone.now(),
    )
    return _("The redemption is taken back.")


@admin.register(Redemption)
class RedemptionAdmin(BigReadOnlyAdmin):
    acts = (take_back,)
    list_display = (
        "redeemed_at",
        "store",
        "template",
        "member_link",
        "order_no",
        "basket",
        "taken_off",
        "status_label",
    )
    list_select_related = ("store", "template")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter), ("template", lists.ScopedFilter),
        ("redeemed_at", lists.DayFilter),
    )  # fmt: skip
    search_fields = ("order_no__exact",)
    search_help_text = gettext_lazy("Complete order number")
    fields = (
        "redeemed_at", "store", "entity", "template", "member_link", "channel", "order_no", "basket", "eligible", "taken_off",
        "by_hq", "by_others", "bearer", "clerk", "cashier_code", "status_label", "reversed_at", "reversed_by", "reason",
        "final_at",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = lists.visible_names(request, Member, (row.member_id for row in rows))
        for row in rows:
            row.shown_member = names.get(row.member_id)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("member"))
    def member_link(self, row: Any) -> SafeString | str:
        return link("members_member", row.member_id, row.shown_member) if row.shown_member else EMPTY

    @display(description=gettext_lazy("state"), label={"REDEEMED": GOOD, "REVERSED": BAD})
    def status_label(self, row: Redemption) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("order amount"))
    def basket(self, row: Redemption) -> SafeString:
        return money(row.basket_fen)

    @display(description=gettext_lazy("amount it counts for"))
    def eligible(self, row: Redemption) -> SafeString:
        return money(row.eligible_fen)

    @display(description=gettext_lazy("taken off"))
    def taken_off(self, row: Redemption) -> SafeString:
        return money(row.discount_fen)

    @display(description=gettext_lazy("borne by HQ"))
    def by_hq(self, row: Redemption) -> SafeString:
        return money(row.hq_fen)

    @display(description=gettext_lazy("borne by others"))
    def by_others(self, row: Redemption) -> SafeString:
        return money(row.rest_fen)


@admin.register(CouponBatch)
class CouponBatchAdmin(BigReadOnlyAdmin):
    list_display = ("number", "template", "kind", "progress", "actor", "created_at", "ended_at")
    list_select_related = ("template", "actor")
    list_filter = (("kind", lists.ChoicesDropdownFilter), ("template", lists.ScopedFilter))
    search_fields = ("template__name__startswith",)

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"members_couponbatch_{name}")

        return [
            page("<int:pk>/state/", self.state_view, "state"), page("<int:pk>/sheet/", self.sheet_view, "sheet"),
            *super().get_urls(),
        ]  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        batch = self._seen(request, unquote(object_id))
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        context = self.page_context(
            request, batch, title=_("Coupon batch %(batch)s") % {"batch": batch}, batch=batch, progress=progress_of(batch),
            may_print=self._may_print(request, batch), sheet_most=SHEET_MOST,
        )  # fmt: skip
        return TemplateResponse(request, "admin/members/couponbatch/page.html", context)

    def state_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(progress_of(self._seen(request, pk)))

    def sheet_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The codes to print: whoever takes them takes money, so it is an act."""
        batch = self._seen(request, pk)
        if request.method != "POST":
            raise Http404
        if not self._may_print(request, batch):
            raise PermissionDenied
        codes = pictures.take_codes(batch=batch, actor=request.user, most=SHEET_MOST)
        cells = [(code, mark_safe(pictures.qr_svg(code))) for code in codes]  # noqa: S308  drawn by us of our own signs
        context = {
            "sheets": [cells[i : i + PER_PAGE] for i in range(0, len(cells), PER_PAGE)], "count": len(cells),
            "face": faces.face(batch.template),
        }  # fmt: skip
        return TemplateResponse(request, "admin/members/couponbatch/sheet.html", context)

    def _may_print(self, request: HttpRequest, batch: CouponBatch) -> bool:
        return batch.kind == CouponBatch.Kind.CODES and self.has_right(request, Right.EXPORT)

    def _seen(self, request: HttpRequest, pk: Any) -> CouponBatch:
        batch: CouponBatch = self.get_object(request, str(pk))
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        return batch

    @display(description="#")
    def number(self, batch: CouponBatch) -> str:
        return str(batch)

    @display(description=gettext_lazy("given / planned"))
    def progress(self, batch: CouponBatch) -> str:
        return f"{batch.given_count:,} / {batch.planned_count:,}"


def progress_of(batch: CouponBatch) -> dict[str, Any]:
    """What scrm/progress.js asks for."""
    job = batch.job
    is_open = batch.ended_at is None and (job is None or job.status in ("QUEUED", "RUNNING"))
    share = round(100 * batch.given_count / batch.planned_count) if batch.planned_count else 100
    return {
        "is_open": is_open, "share": min(100, share), "stage": f"{batch.given_count:,} / {batch.planned_count:,}",
        "status": job.status if job else "", "status_text": job.get_status_display() if job else "",
        "error": job.error if job else "",
    }  # fmt: skip
