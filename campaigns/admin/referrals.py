"""Referral in the console: programmes by two people, their funnel, and each referral with what became of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import referrals
from campaigns.admin.planned import UNDER, level_of
from campaigns.models import Referral, ReferralProgramme
from guides.admin.staff import GuideNames
from members.models import Member
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, money, state
from scrm.money import yuan
from scrm.org import Right

words.register(
    {
        "referral.publish": gettext_lazy("published a referral programme"),
        "referral.end": gettext_lazy("ended a referral programme"),
        "referral.clear": gettext_lazy("cleared a referral"),
        "referral.confirm": gettext_lazy("confirmed a referral as fake"),
        "judge_referrals": gettext_lazy("judging of referrals"),
        "judge referrals": gettext_lazy("judging referrals"),
        "summary.coupons": gettext_lazy("coupons given"),
        **{f"summary.{reason.value}": reason.label for reason in Referral.Reason if reason.value},
    }
)
Status = ReferralProgramme.Status
COLOURS = {
    Referral.Status.CLAIMED: BUSY, Referral.Status.VESTED: GOOD, Referral.Status.VOID: QUIET, Referral.Status.CLAWED_BACK: BAD,
}  # fmt: skip
CONTENT = (
    "brand", "name", "coupon_template", "guide_fen", "target", "starts_at", "ends_at", "link_days", "min_fen", "cooling_days",
    "expires_days", "member_month_cap", "guide_day_cap", "store_month_cap", "budget_fen", "burst_count", "chain_days",
)  # fmt: skip


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


def may_edit(request: HttpRequest, programme: Any) -> bool:
    """A draft, by its author: whoever publishes it must find what the author wrote."""
    is_own = programme.status == Status.DRAFT and programme.author_id == request.user.pk
    return is_own and org.may(request.user, Right.CHANGE)


def _preview(row: ReferralProgramme) -> str:
    return _(
        "The budget of %(budget)s pays for at most %(count)s new customers, %(each)s each (coupon at most %(coupon)s, guide %(guide)s)."
        " A published programme is never changed again; it can only be ended."
    ) % {
        "budget": yuan(row.budget_fen), "count": f"{referrals.programmes.most_referrals(row):,}",
        "each": yuan(row.coupon_template.value_fen + row.guide_fen), "coupon": yuan(row.coupon_template.value_fen),
        "guide": yuan(row.guide_fen),
    }  # fmt: skip


@object_act(
    gettext_lazy("Publish"), right=Right.CHANGE, icon="publish", offered=lambda row: row.status == Status.DRAFT,
    asker=lambda row: row.author_id, warning=_preview,
)  # fmt: skip
def publish(self: Any, request: HttpRequest, programme: ReferralProgramme, data: dict[str, Any]) -> str:
    referrals.programmes.publish(programme=programme, actor=request.user, now=timezone.now())
    return _("The programme is published.")


@object_act(
    gettext_lazy("End now"), right=Right.CHANGE, icon="stop_circle", form=ReasonForm,
    offered=lambda row: row.status == Status.PUBLISHED and row.starts_at < timezone.now() < row.ends_at,
    warning=gettext_lazy("Nobody joins through its links any more; who has joined goes on."),
)  # fmt: skip
def end(self: Any, request: HttpRequest, programme: ReferralProgramme, data: dict[str, Any]) -> str:
    referrals.programmes.end(programme=programme, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The programme has ended.")


@admin.register(ReferralProgramme)
class ReferralProgrammeAdmin(ScopedAdmin):
    add_right = Right.CHANGE
    change_right = Right.CHANGE
    acts = (publish, end)
    list_display = (
        "name",
        "status_label",
        "starts_at",
        "ends_at",
        "coupon_template",
        "guide_reward",
        "budget",
        "reserved",
        "author",
        "approver",
    )
    list_select_related = ("author", "approver", "coupon_template")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    change_form_template = "admin/campaigns/referralprogramme/form.html"
    fieldsets = (
        (None, {"fields": (("brand", "name"), ("status_label", "target"), ("author", "approver"))}),
        (gettext_lazy("What it pays"), {"fields": (("coupon_template", "guide_fen"), ("budget_fen", "reserved"))}),
        (gettext_lazy("In force"), {"fields": (("starts_at", "ends_at"), ("link_days", "published_at"))}),
        (gettext_lazy("What earns it"), {"fields": (("min_fen", "cooling_days", "expires_days"),)}),
        (gettext_lazy("Caps"), {"fields": (("member_month_cap", "guide_day_cap", "store_month_cap"),)}),
        (gettext_lazy("What orders a review"), {"fields": (("burst_count", "chain_days"),)}),
    )
    always_readonly = ("status_label", "author", "approver", "published_at", "reserved")

    def get_list_display(self, request: HttpRequest) -> Any:
        """What all stores together have used is for whoever sees all stores."""
        columns = super().get_list_display(request)
        if org.scope_of(request.user).is_everything:
            return columns
        return [name for name in columns if name not in ("budget", "reserved", "author", "approver")]

    def get_urls(self) -> list[Any]:
        figures = path(
            "<path:object_id>/figures/",
            self.admin_site.admin_view(self.figures_view),
            name="campaigns_referralprogramme_figures",
        )
        return [figures, *super().get_urls()]

    def figures_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: ReferralProgramme = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        scope, (level, within) = org.scope_of(request.user), level_of(request)
        found = referrals.figures
        context = self.page_context(
            request, row, title=row.name, programme=row, level=level, within=within, under=UNDER.get(level, ""),
            total=found.total(programme=row, scope=scope), is_everything=scope.is_everything,
            lines=found.lines(programme=row, level=level, scope=scope, within=within), back=self.url_of(row),
            rows_url=f"{reverse('admin:campaigns_referral_changelist')}?programme__id__exact={row.pk}",
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/referralprogramme/figures.html", context)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.always_readonly if obj is None or may_edit(request, obj) else (*self.always_readonly, *CONTENT)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_edit(request, obj))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.author = request.user
        super().save_model(request, obj, form, change)

    @display(description=gettext_lazy("state"), label={Status.DRAFT: BUSY, Status.PUBLISHED: GOOD})
    def status_label(self, row: ReferralProgramme) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("reward for the guide"))
    def guide_reward(self, row: ReferralProgramme) -> SafeString:
        return money(row.guide_fen)

    @display(description=gettext_lazy("budget"))
    def budget(self, row: ReferralProgramme) -> SafeString:
        return money(row.budget_fen)

    @display(description=gettext_lazy("of it reserved and spent"))
    def reserved(self, row: ReferralProgramme) -> SafeString:
        return money(row.reserved_fen)


@object_act(
    gettext_lazy("Clear"), icon="verified", form=ReasonForm, offered=lambda row: row.review == Referral.Review.OPEN,
    warning=gettext_lazy("The flags are explained: the referral is judged like any other."),
)  # fmt: skip
def clear(self: Any, request: HttpRequest, row: Referral, data: dict[str, Any]) -> str:
    referrals.reviewing.clear(referral=row, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("Cleared.")


def _what_goes(row: Referral) -> str:
    if row.status == Referral.Status.CLAIMED:
        return _("Nobody gets anything for it, and what it reserved goes back into the budget.")
    return _("The coupon is made void if it is unused, and the guide's reward of %(fen)s is taken back.") % {
        "fen": yuan(row.guide_fen)
    }


@object_act(
    gettext_lazy("Confirm as fake"), icon="gpp_bad", form=ReasonForm, warning=_what_goes,
    offered=lambda row: row.status in (Referral.Status.CLAIMED, Referral.Status.VESTED),
)  # fmt: skip
def confirm(self: Any, request: HttpRequest, row: Referral, data: dict[str, Any]) -> str:
    referrals.reviewing.confirm(referral=row, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("Confirmed; what was earned is taken back.")


@admin.register(Referral)
class ReferralAdmin(BigReadOnlyAdmin, GuideNames):
    acts = (clear, confirm)
    list_display = (
        "joined_at", "referrer_name", "newcomer_name", "guide_link", "store", "status_label", "why", "shown_flags", "bought",
    )  # fmt: skip
    list_select_related = ("guide", "store", "programme")
    list_filter = (
        ("programme", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter), ("reason", lists.ChoicesDropdownFilter),
        ("review", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter), ("guide", lists.ScopedFilter),
    )  # fmt: skip
    fields = (
        "programme", "joined_at", "referrer_name", "newcomer_name", "guide_link", "store", "registered_at", "bought_at", "bought",
        "status_label", "why", "shown_flags", "review", "reviewed_by", "review_note", "vested_at", "decided_at", "expires_at",
        "coupon", "coupon_problem", "guide_reward",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        ids = {pk for row in rows for pk in (row.referrer_id, row.newcomer_id) if pk}
        names = lists.visible_names(request, Member, ids)
        for row in rows:
            row.shown_referrer, row.shown_newcomer = names.get(row.referrer_id), names.get(row.newcomer_id)

    @display(description=gettext_lazy("referrer"))
    def referrer_name(self, row: Any) -> str:
        return row.shown_referrer or EMPTY

    @display(description=gettext_lazy("new customer"))
    def newcomer_name(self, row: Any) -> str:
        return row.shown_newcomer or (EMPTY if row.newcomer_id else _("not registered yet"))

    @display(description=gettext_lazy("bought for"))
    def bought(self, row: Referral) -> SafeString:
        return money(row.bought_fen)

    @display(description=gettext_lazy("reward for the guide"))
    def guide_reward(self, row: Referral) -> SafeString:
        return money(row.guide_fen)

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: Referral) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("reason"))
    def why(self, row: Referral) -> str:
        return row.get_reason_display() if row.reason else EMPTY

    @display(description=gettext_lazy("flags"))
    def shown_flags(self, row: Referral) -> str:
        return "；".join(str(Referral.Flag(flag).label) for flag in row.flags) or EMPTY
