"""Coupon templates in the console: written by one, published by another, given out with a look at count and money first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.admin import coupon_forms as forms
from members.coupons import batches, faces, figures, templates
from members.models import CouponTemplate
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ScopedAdmin, object_act
from scrm.admin.shown import BUSY, EMPTY, GOOD, QUIET, display, money, percent, state
from scrm.errors import RuleViolation
from scrm.money import yuan
from scrm.org import Right

words.register(
    {
        "coupon.publish": gettext_lazy("published a coupon template"),
        "coupon.end": gettext_lazy("ended a coupon template"),
        "coupon.draft": gettext_lazy("drafted a new version of a coupon template"),
        "coupon.batch": gettext_lazy("gave coupons to many"),
        "coupon.void": gettext_lazy("made coupons void"),
        "coupon.reverse": gettext_lazy("took a redemption back"),
        "coupon.close_month": gettext_lazy("closed a month of coupons"),
        "coupon.print": gettext_lazy("took codes to print"),
        "coupon.clearing_file": gettext_lazy("took the file of a clearing"),
        "give_coupons": gettext_lazy("giving coupons to many"),
        "give coupons": gettext_lazy("giving coupons out"),
        "end_coupons": gettext_lazy("coupons that end"),
        "end coupons": gettext_lazy("ending coupons"),
        "summary.given": gettext_lazy("coupons given"),
        "summary.left_out": gettext_lazy("left out: as many as they may"),
        "summary.short": gettext_lazy("went short"),
        "summary.expired": gettext_lazy("coupons expired"),
        "summary.withdrawn": gettext_lazy("codes never claimed"),
    }
)
Status = CouponTemplate.Status
COLOURS = {Status.DRAFT: BUSY, Status.PUBLISHED: GOOD, Status.ENDED: QUIET}
FOLDER = "admin/members/coupontemplate/"


def may_edit(request: HttpRequest, template: Any) -> bool:
    """A draft, by its author: whoever publishes it must find what the author wrote."""
    is_own = template.status == Status.DRAFT and template.author_id == request.user.pk
    return is_own and org.may(request.user, Right.CHANGE)


@object_act(
    gettext_lazy("Publish"), right=Right.CHANGE, icon="publish", offered=lambda row: row.status == Status.DRAFT,
    warning=gettext_lazy("A published version never changes; it can only be ended. Somebody else than its author publishes it."),
)  # fmt: skip
def publish(self: Any, request: HttpRequest, row: CouponTemplate, data: dict[str, Any]) -> str:
    templates.publish(template=row, actor=request.user, now=timezone.now())
    return _("The template is published.")


@object_act(
    gettext_lazy("End now"), right=Right.CHANGE, icon="stop_circle", form=forms.ReasonForm,
    offered=lambda row: row.status == Status.PUBLISHED,
    warning=gettext_lazy("Nothing more is given out; coupons that members have stay valid."),
)  # fmt: skip
def end(self: Any, request: HttpRequest, row: CouponTemplate, data: dict[str, Any]) -> str:
    templates.end(template=row, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The template has ended.")


@object_act(
    gettext_lazy("Draft a new version"), right=Right.CHANGE, icon="content_copy", offered=lambda row: row.status != Status.DRAFT,
    warning=gettext_lazy("A draft of yours with the same content; when it is published, this version ends."),
)  # fmt: skip
def draft_again(self: Any, request: HttpRequest, row: CouponTemplate, data: dict[str, Any]) -> str:
    again = templates.draft_again(template=row, actor=request.user)
    return _("Version %(number)s is drafted; it stands in the list.") % {"number": again.number}


@admin.register(CouponTemplate)
class CouponTemplateAdmin(ScopedAdmin):
    add_right = Right.CHANGE
    change_right = Right.CHANGE
    acts = (publish, end, draft_again)
    form = forms.TemplateForm
    change_form_before_template = f"{FOLDER}preview.html"
    list_display = (
        "name",
        "code",
        "number",
        "kind",
        "headline",
        "status_label",
        "issued",
        "redeemed",
        "spent",
        "claim_until",
    )
    list_display_links = ("name",)
    list_filter = (("status", lists.ChoicesDropdownFilter), ("kind", lists.ChoicesDropdownFilter))
    search_fields = ("code__exact", "name__startswith")
    search_help_text = gettext_lazy("Code or the beginning of the name")
    ordering = ("-pk",)
    fieldsets = (
        (None, {"fields": (("brand", "code"), ("name", "kind"), ("value_fen", "off_bp"), "threshold_fen", "terms")}),
        (gettext_lazy("When"), {"fields": ("claim_from", "claim_until", "valid_days", ("valid_from", "valid_until"))}),
        (
            gettext_lazy("Where and for what"),
            {"fields": (
                ("region_ids", "entity_ids"), "store_ids", "channels", ("category_ids", "product_ids"), "weekdays",
                ("hour_from", "hour_until"),
            )},
        ),
        (
            gettext_lazy("How many"),
            {"fields": (
                ("member_cap", "total_cap"), ("budget_fen", "bucket_count"), "guide_month_quota",
                ("is_claimable", "is_stackable", "is_giftable"),
            )},
        ),
        (gettext_lazy("Who bears it"), {"fields": (("hq_share_bp", "bearer"),)}),
        (gettext_lazy("In use"), {"fields": (("lock_minutes", "gift_hours", "reversal_hours"),)}),
    )  # fmt: skip

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"members_coupontemplate_{name}")

        return [
            page("<int:pk>/give/", self.give_view, "give"),
            page("<int:pk>/codes/", self.codes_view, "codes"),
            *super().get_urls(),
        ]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        stock = figures.stock([row.pk for row in rows])
        for row in rows:
            row.shown_stock = stock.get(row.pk)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_edit(request, obj))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.author = request.user
        super().save_model(request, obj, form, change)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A form for the author of a draft, a page for everybody else."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if may_edit(request, row):
            return super().change_view(request, object_id, form_url, {**(extra_context or {}), "face": faces.face(row)})
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        context = self.page_context(
            request, row, title=str(row), row=row, face=faces.face(row), buttons=self.acts_for(request, row), colour=COLOURS[Status(row.status)],
            stock=figures.stock([row.pk]).get(row.pk), pieces=templates.pieces(row), may_give=row.status == Status.PUBLISHED and self.has_act_permission(request),
            hq_share=percent(row.hq_share_bp), batches=row.batches.select_related("actor").order_by("-pk")[:10],
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}page.html", context)

    # --- giving out ---

    def give_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._open_row(request, pk)
        asked = request.POST if request.method == "POST" else None
        form: Any = forms.styled(forms.GiveForm(asked))
        seen = None
        if asked is not None and form.is_valid():
            source, value = form.cleaned_data["source"], form.value
            try:
                if "confirmed" in request.POST:
                    batch = batches.start(
                        template=row, source=source, value=value, key=f"console {form.cleaned_data['key']}",
                        actor=request.user, now=timezone.now(),
                    )  # fmt: skip
                    messages.success(request, _("The coupons are being given out; see how far it is below."))
                    return HttpResponseRedirect(reverse("admin:members_couponbatch_change", args=(batch.pk,)))
                seen = batches.preview(template=row, source=source, value=value)
            except RuleViolation as error:
                form.add_error(None, error.message)
        return self._give_page(request, row, form, seen, _("Give “%(template)s” to many") % {"template": row})

    def codes_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._open_row(request, pk)
        asked = request.POST if request.method == "POST" else None
        form = forms.styled(forms.CodesForm(asked))
        seen = None
        if asked is not None and form.is_valid():
            count = form.cleaned_data["count"]
            try:
                if "confirmed" in request.POST:
                    batch = batches.start_codes(
                        template=row, count=count, key=f"console {form.cleaned_data['key']}", actor=request.user,
                        now=timezone.now(),
                    )  # fmt: skip
                    return HttpResponseRedirect(reverse("admin:members_couponbatch_change", args=(batch.pk,)))
                seen = batches.preview_codes(template=row, count=count)
            except RuleViolation as error:
                form.add_error(None, error.message)
        return self._give_page(request, row, form, seen, _("Print codes of “%(template)s”") % {"template": row})

    def _open_row(self, request: HttpRequest, pk: int) -> CouponTemplate:
        row: CouponTemplate = self.get_object(request, str(pk))
        if not self.has_act_permission(request):
            raise PermissionDenied
        if row.status != Status.PUBLISHED:
            raise Http404
        return row

    def _give_page(self, request: HttpRequest, row: Any, form: Any, seen: Any, title: str) -> HttpResponse:
        fault = ""
        if seen is not None:
            try:
                batches.require(seen)
            except RuleViolation as error:
                fault = error.message
        context = self.page_context(
            request, row, title=title, form=form, seen=seen, fault=fault, face=faces.face(row), back=self.url_of(row),
            unknown=getattr(form, "unknown", [])[:10], unknown_count=len(getattr(form, "unknown", [])),
            reserved=yuan(seen.fen) if seen else "", left=yuan(seen.left_fen) if seen else "",
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}give.html", context, status=400 if form.errors else 200)

    # --- columns ---

    @display(description=gettext_lazy("offers"))
    def headline(self, row: CouponTemplate) -> str:
        return faces.headline(row)

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: CouponTemplate) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("issued"))
    def issued(self, row: Any) -> str:
        if not row.shown_stock:
            return EMPTY
        return (
            f"{row.shown_stock['issued_count']:,} / {row.total_cap:,}"
            if row.total_cap
            else f"{row.shown_stock['issued_count']:,}"
        )

    @display(description=gettext_lazy("redeemed"))
    def redeemed(self, row: Any) -> str:
        return f"{row.shown_stock['redeemed_count']:,}" if row.shown_stock else EMPTY

    @display(description=gettext_lazy("spent"))
    def spent(self, row: Any) -> SafeString | str:
        return money(row.shown_stock["spent_fen"]) if row.shown_stock else EMPTY
