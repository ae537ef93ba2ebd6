"""Integrity in the console: the queue of cases, one case with its evidence, the limits, and the published share."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides import integrity
from guides.admin.staff import GuideNames, guide_link
from guides.integrity import figures
from guides.models import Contact, Guide, IntegrityCase, IntegrityFlag, IntegritySettings
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, GOOD, NEW, SHANGHAI, display, money, percent, state
from scrm.money import yuan
from scrm.org import Right

words.register(
    {
        "integrity.open": gettext_lazy("opened a review"),
        "integrity.propose": gettext_lazy("proposed fraud"),
        "integrity.confirm": gettext_lazy("confirmed fraud"),
        "integrity.release": gettext_lazy("found nothing wrong"),
        "integrity.appeal": gettext_lazy("appealed against a review"),
        "integrity.final": gettext_lazy("a review became final"),
        "look_for_fraud": gettext_lazy("search for fraud"),
        "look for fraud": gettext_lazy("searching for fraud"),
        "summary.cases": gettext_lazy("reviews opened"),
        "summary.final": gettext_lazy("reviews become final"),
    }
)
Status = IntegrityCase.Status
STATUS_COLOURS = {
    Status.OPEN: NEW, Status.PROPOSED: BUSY, Status.CONFIRMED: BAD, Status.FINAL: BAD, Status.RELEASED: GOOD,
}  # fmt: skip
SHARES = frozenset(
    {
        IntegrityFlag.Kind.NIGHT_SHARE,
        IntegrityFlag.Kind.DELETE_RATE,
        IntegrityFlag.Kind.NO_AVATAR,
        IntegrityFlag.Kind.SILENT,
    }
)
AMOUNTS = frozenset({IntegrityFlag.Kind.SELF_DEAL, IntegrityFlag.Kind.LOOP})
DEVICES = {"device": gettext_lazy("login on a phone"), "account": gettext_lazy("WeCom account changed")}


class DecisionForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("reason"), min_length=4, max_length=500, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("The guide reads it."),
    )  # fmt: skip


@object_act(
    gettext_lazy("Nothing wrong"), icon="check_circle", form=DecisionForm, offered=lambda case: case.is_undecided,
    warning=gettext_lazy("The money goes on: rewards are judged like all others, commission is released."),
)  # fmt: skip
def release(self: Any, request: HttpRequest, case: IntegrityCase, data: dict[str, Any]) -> str:
    integrity.release(case=case, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The case is closed; its money goes on.")


@object_act(
    gettext_lazy("Fraud"), icon="gavel", form=DecisionForm, offered=lambda case: case.is_undecided,
    warning=gettext_lazy("Over the amount in the limits a second person has to confirm. The guide may appeal; then held rewards end and earned ones are taken back."),
)  # fmt: skip
def confirm(self: Any, request: HttpRequest, case: IntegrityCase, data: dict[str, Any]) -> str:
    row = integrity.confirm(case=case, actor=request.user, reason=data["reason"], now=timezone.now())
    if row.status == Status.PROPOSED:
        return _("Proposed; a colleague has to confirm it.")
    return _("The fraud is confirmed.")


@admin.register(IntegrityCase)
class IntegrityCaseAdmin(BigReadOnlyAdmin, GuideNames):
    acts = (release, confirm)
    list_display = (
        "case_text", "guide_link", "store", "subject", "flag_texts", "held", "status_label", "opened_at", "due_text", "has_appealed",
    )  # fmt: skip
    list_display_links = ("case_text",)
    list_select_related = ("guide", "store")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter), ("subject", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter),
        ("guide", lists.ScopedFilter),
    )  # fmt: skip
    search_fields = ("guide__code__exact", "guide__name__startswith")
    search_help_text = gettext_lazy("Guide code or the beginning of the name")
    fields = ("guide_link", "store", "subject", "status_label")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        flags: dict[int, list[str]] = {}
        for flag in IntegrityFlag.objects.filter(case__in=[row.pk for row in rows]).order_by("pk"):
            flags.setdefault(flag.case_id, []).append(flag.get_kind_display())
        for row in rows:
            row.shown_flags = flags.get(row.pk, [])

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.figures_view)
        return [path("figures/", view, name="guides_integritycase_figures"), *super().get_urls()]

    @display(description=gettext_lazy("case"))
    def case_text(self, case: IntegrityCase) -> str:
        return f"#{case.pk}"

    @display(description=gettext_lazy("found"))
    def flag_texts(self, case: Any) -> str:
        return "、".join(case.shown_flags)

    @display(description=gettext_lazy("held amount"))
    def held(self, case: IntegrityCase) -> SafeString:
        return money(case.held_fen)

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, case: IntegrityCase) -> Any:
        return state(case.status, case.get_status_display())

    @display(description=gettext_lazy("to be decided by"))
    def due_text(self, case: IntegrityCase) -> str:
        shown = case.due_at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")
        return _("%(at)s, overdue") % {"at": shown} if case.is_undecided and case.due_at < timezone.now() else shown

    @display(description=gettext_lazy("appealed"), boolean=True)
    def has_appealed(self, case: IntegrityCase) -> bool:
        return case.appealed_at is not None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        case = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, case):
            raise PermissionDenied
        flags = list(case.flags.order_by("pk"))
        names = _names(request, flags)
        context = self.page_context(
            request, case, title=str(case), case=case, guide_text=guide_link(case, "guide"),
            held=yuan(case.held_fen), flags=[_shown(flag, names) for flag in flags], buttons=self.acts_for(request, case),
            claims=case.claims.count(), claims_url=f"../../../rewardclaim/?case__id__exact={case.pk}",
            is_own_proposal=case.proposed_by_id == request.user.pk and case.status == Status.PROPOSED,
            is_overdue=case.is_undecided and case.due_at < timezone.now(), lines=len(case.line_ids),
        )  # fmt: skip
        return TemplateResponse(request, "admin/guides/integritycase/page.html", context)

    def figures_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        fake = figures.paid_then_fake()
        kinds = [
            (IntegrityFlag.Kind(kind).label, decided, fraud, 10_000 * fraud // decided)
            for kind, decided, fraud in figures.kinds_proven()
        ]
        context = self.page_context(
            request, None, title=_("Paid, then proven fake"), fake=fake, months=figures.paid_then_fake_by_month(),
            queue=figures.queue(now=timezone.now()), kinds=kinds,
        )  # fmt: skip
        return TemplateResponse(request, "admin/guides/integritycase/figures.html", context)


def _names(request: HttpRequest, flags: list[IntegrityFlag]) -> dict[str, dict[int, str]]:
    """What the rows of the evidence name, as far as the user may see it."""
    rows = [row for flag in flags for row in flag.evidence.get("rows", ())]
    return {
        "contact": lists.visible_names(request, Contact, (row.get("contact") for row in rows)),
        "buyer": lists.visible_names(request, Guide, (row.get("buyer") for row in rows)),
    }


def _shown(flag: IntegrityFlag, names: dict[str, dict[int, str]]) -> dict[str, Any]:
    evidence = flag.evidence
    hours = evidence.get("hours", [])
    most = max([*hours, 1])
    return {
        "text": flag.get_kind_display(),
        "value": _amount(flag.kind, flag.value),
        "threshold": _amount(flag.kind, flag.threshold),
        "friends": evidence.get("friends"),
        "about": evidence.get("about"),
        "bars": [(hour, count, 52 - 50 * count // most, 50 * count // most) for hour, count in enumerate(hours)],
        "rows": [_row(row, names) for row in evidence.get("rows", ())],
    }


def _amount(kind: str, value: int) -> str:
    if kind in SHARES:
        return percent(value)
    return f"¥{yuan(value)}" if kind in AMOUNTS else str(value)


def _row(row: dict[str, Any], names: dict[str, dict[int, str]]) -> tuple[str, str, str]:
    """When, what, how many or how much."""
    at = _time(row["at"])
    if "fen" in row:
        who = names["buyer"].get(row["buyer"]) or _("a guide elsewhere")
        return at, _("line %(line)s, bought by %(who)s") % {"line": row["line"], "who": who}, f"¥{yuan(row['fen'])}"
    if "what" in row:
        burst = _("%(count)s friends at %(at)s") % {"count": row["count"], "at": _time(row["burst_at"])}
        return at, str(DEVICES[row["what"]]), burst
    what = (names["contact"].get(row["contact"]) or f"#{row['contact']}") if "contact" in row else ""
    return at, what, str(row["count"])


def _time(text: str) -> str:
    return dt.datetime.fromisoformat(text).astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


@admin.register(IntegritySettings)
class IntegritySettingsAdmin(ScopedAdmin):
    """The limits: seen by HQ, changed by who may change, each change an act."""

    change_right: ClassVar[Right | None] = Right.CHANGE
    list_display = (
        "brand", "lookback_days", "adds_per_minute", "same_second", "guides_per_person", "review_days", "updated_at",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("brand", ("lookback_days", "least_adds"), "updated_at")}),
        (gettext_lazy("Bursts"), {"fields": (("adds_per_minute", "same_second"), "device_hours")}),
        (
            gettext_lazy("Shares"),
            {
                "fields": (
                    ("night_share_bp", "night_from_hour", "night_until_hour"), "sigma_tenths",
                    ("no_avatar_share_bp", "silent_share_bp"), "guides_per_person",
                )
            },
        ),
        (gettext_lazy("Own purchases"), {"fields": (("self_deal_fen", "loop_fen"),)}),
        (gettext_lazy("Deciding"), {"fields": (("review_days", "appeal_days"), "four_eyes_fen")}),
    )  # fmt: skip
    readonly_fields = ("brand", "updated_at")
