"""Add-friend rewards in the console: programmes by two people, and the claims with what became of each."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides import rewards
from guides.admin.staff import GuideNames
from guides.models import Contact, RewardClaim, RewardProgramme
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, link, money, state
from scrm.org import Right

words.register(
    {
        "reward.publish": gettext_lazy("published a reward programme"),
        "reward.end": gettext_lazy("ended a reward programme"),
        "judge_rewards": gettext_lazy("judging of rewards"),
        "judge rewards": gettext_lazy("judging rewards"),
        "summary.vested": gettext_lazy("rewards earned"),
        "summary.void": gettext_lazy("rewards void"),
        **{f"summary.{reason.value}": reason.label for reason in RewardClaim.Reason if reason.value},
    }
)
STATUS_COLOURS = {
    RewardClaim.Status.CLAIMED: BUSY,
    RewardClaim.Status.VESTED: GOOD,
    RewardClaim.Status.VOID: QUIET,
    RewardClaim.Status.CLAWED_BACK: BAD,
}
CONTENT = (
    "brand", "name", "amount_fen", "starts_at", "ends_at", "kept_days", "expires_days", "by_registration", "by_purchase",
    "by_message", "counts_members", "guide_day_cap", "store_month_cap",
)  # fmt: skip


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


def may_edit(request: HttpRequest, programme: Any) -> bool:
    """A draft, by its author: whoever publishes it must find what the author wrote."""
    is_own = programme.status == RewardProgramme.Status.DRAFT and programme.author_id == request.user.pk
    return is_own and org.may(request.user, Right.CHANGE)


@object_act(
    gettext_lazy("Publish"), right=Right.CHANGE, icon="publish",
    offered=lambda programme: programme.status == RewardProgramme.Status.DRAFT,
    warning=gettext_lazy("A published programme is never changed again; it can only be ended. Somebody else than its author publishes it."),
)  # fmt: skip
def publish(self: Any, request: HttpRequest, programme: RewardProgramme, data: dict[str, Any]) -> str:
    rewards.publish(programme=programme, actor=request.user, now=timezone.now())
    return _("The programme is published.")


@object_act(
    gettext_lazy("End now"), right=Right.CHANGE, icon="stop_circle", form=ReasonForm,
    offered=lambda programme: programme.status == RewardProgramme.Status.PUBLISHED and programme.ends_at > timezone.now(),
    warning=gettext_lazy("New friends are not rewarded any more; what is claimed already goes on."),
)  # fmt: skip
def end(self: Any, request: HttpRequest, programme: RewardProgramme, data: dict[str, Any]) -> str:
    rewards.end(programme=programme, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The programme has ended.")


@admin.register(RewardProgramme)
class RewardProgrammeAdmin(ScopedAdmin):
    add_right = Right.CHANGE
    change_right = Right.CHANGE
    acts = (publish, end)
    list_display = ("name", "status_label", "amount", "starts_at", "ends_at", "caps", "author", "approver")
    list_select_related = ("author", "approver")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    fieldsets = (
        (None, {"fields": (("brand", "name"), ("amount_fen", "status_label"), ("author", "approver"))}),
        (gettext_lazy("In force"), {"fields": (("starts_at", "ends_at"), "published_at")}),
        (
            gettext_lazy("What earns it"),
            {
                "fields": (
                    ("by_registration", "by_purchase", "by_message"),
                    "counts_members",
                    ("kept_days", "expires_days"),
                )
            },
        ),
        (gettext_lazy("Caps"), {"fields": (("guide_day_cap", "store_month_cap"),)}),
    )
    always_readonly = ("status_label", "author", "approver", "published_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.always_readonly if obj is None or may_edit(request, obj) else (*self.always_readonly, *CONTENT)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_edit(request, obj))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.author = request.user
        super().save_model(request, obj, form, change)

    @display(
        description=gettext_lazy("state"),
        label={RewardProgramme.Status.DRAFT: BUSY, RewardProgramme.Status.PUBLISHED: GOOD},
    )
    def status_label(self, programme: RewardProgramme) -> Any:
        return state(programme.status, programme.get_status_display())

    @display(description=gettext_lazy("reward per friend"))
    def amount(self, programme: RewardProgramme) -> SafeString:
        return money(programme.amount_fen)

    @display(description=gettext_lazy("caps (guide and day / store and month)"))
    def caps(self, programme: RewardProgramme) -> str:
        caps = (programme.guide_day_cap, programme.store_month_cap)
        return " / ".join(_("none") if cap is None else str(cap) for cap in caps)


@admin.register(RewardClaim)
class RewardClaimAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = (
        "added_at", "friend", "guide_link", "store", "amount", "status_label", "why", "decided_at", "case_link",
    )  # fmt: skip
    list_select_related = ("guide", "store", "programme")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter), ("reason", lists.ChoicesDropdownFilter),
        ("store", lists.ScopedFilter), ("guide", lists.ScopedFilter), ("case", lists.ScopedFilter),
    )  # fmt: skip
    fields = (
        "added_at", "friend", "guide_link", "store", "programme", "amount", "status_label", "why", "decided_at", "vested_at",
        "expires_at", "case_link",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        contacts = lists.visible_names(request, Contact, (row.contact_id for row in rows))
        for row in rows:
            row.shown_contact = contacts.get(row.contact_id)

    @display(description=gettext_lazy("WeCom friend"))
    def friend(self, claim: Any) -> str:
        return claim.shown_contact or EMPTY

    @display(description=gettext_lazy("amount"))
    def amount(self, claim: RewardClaim) -> SafeString:
        return money(claim.amount_fen)

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, claim: RewardClaim) -> Any:
        return state(claim.status, claim.get_status_display())

    @display(description=gettext_lazy("earned by / reason"))
    def why(self, claim: RewardClaim) -> str:
        if claim.reason:
            return claim.get_reason_display()
        return claim.get_earned_by_display() if claim.earned_by else EMPTY

    @display(description=gettext_lazy("case"))
    def case_link(self, claim: RewardClaim) -> SafeString | str:
        return link("guides_integritycase", claim.case_id, f"#{claim.case_id}") if claim.case_id else EMPTY
