"""Handovers in the console: the cases, the plan before it happens, where each customer stands, and who stayed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides.admin.staff import GuideNames, guide_link
from guides.handover import cases, figures, moving, plan, policy
from guides.models import Contact, Guide, HandoverCase, HandoverGroup, HandoverItem
from members.models import Member
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, money, state
from scrm.copyin import problems
from scrm.models import Job
from scrm.money import yuan
from scrm.wecom import errors

STATUS_COLOURS = {
    HandoverCase.Status.OPEN: NEW,
    HandoverCase.Status.PLANNED: NEW,
    HandoverCase.Status.RUNNING: BUSY,
    HandoverCase.Status.DONE: GOOD,
    HandoverCase.Status.CANCELLED: QUIET,
}
STATE_COLOURS = {
    **dict.fromkeys(HandoverItem.State, BAD),
    HandoverItem.State.PLANNED: QUIET,
    HandoverItem.State.KEPT: QUIET,
    HandoverItem.State.BOUND: GOOD,
    HandoverItem.State.ASKED: BUSY,
    HandoverItem.State.WAITING: BUSY,
    HandoverItem.State.DONE: GOOD,
}
BAND_TEXTS = {
    "OVER_5000": gettext_lazy("¥5,000 and more"),
    "OVER_1000": gettext_lazy("¥1,000 and more"),
    "BOUGHT": gettext_lazy("has bought"),
    "NOTHING": gettext_lazy("nothing bought"),
}

words.register(
    {
        "handover.open": gettext_lazy("opened a handover"),
        "handover.plan": gettext_lazy("planned a handover"),
        "handover.confirm": gettext_lazy("confirmed a handover"),
        "handover.cancel": gettext_lazy("cancelled a handover"),
        "handover.retry_groups": gettext_lazy("asked again for groups of a handover"),
        "handover.move": gettext_lazy("moved customers of a handover"),
        "plan_handover": gettext_lazy("plan of a handover"),
        "run_handover": gettext_lazy("handover of customers"),
        "spread": gettext_lazy("spreading the customers"),
        "summary.customers": gettext_lazy("customers"),
        "summary.groups": gettext_lazy("customer groups"),
        "handover.transfer": gettext_lazy("handover of customers"),
        "handover.groups": gettext_lazy("handover of customer groups"),
        **{f"summary.{each.value}": each.label for each in HandoverItem.State},
    }
)
REASONS: dict[str, object] = {
    "guide_not_employed": gettext_lazy("The guide who was to take over does not work in any store any more."),
    "self_binding": gettext_lazy("The customer is the guide herself."),
    "binding_time": gettext_lazy("The customer's binding began in the future; look at it and hand over again."),
    "taker_without_wecom": gettext_lazy("The guide who takes over has no WeCom account: only the binding has moved."),
    "no_answer": gettext_lazy("WeCom did not say what became of this customer. Look on WeCom, then hand over again."),
    "no_result": gettext_lazy("WeCom has shown no result for a week. Look on WeCom, then hand over again."),
    "40098": gettext_lazy("The guide who takes over has not activated WeCom, or is not verified."),
    "40130": gettext_lazy("Giver and taker are the same WeCom account."),
    "40097": gettext_lazy("WeCom hands over customers of accounts that left within a year only."),
    "40205": gettext_lazy("WeCom hands over customers of accounts that were used within a year only."),
    "40143": gettext_lazy("WeCom has banned this account from handing over customers."),
    "90500": gettext_lazy("The owner of the group has not left; hand it over on the job."),
    "90501": gettext_lazy("This is not a customer group."),
    "90502": gettext_lazy("The owner of the group has left; hand it over as of somebody who left."),
    "90503": gettext_lazy("The new owner has as many groups, or the group as many members, as WeCom allows."),
    "90504": gettext_lazy("The group has this owner already."),
    "90507": gettext_lazy("The group is being handed over already."),
    "90508": gettext_lazy("The group has been handed over already."),
}
problems.register(REASONS)


class PlanForm(forms.Form):
    policy = forms.ChoiceField(label=gettext_lazy("who takes over"), choices=HandoverCase.Policy.choices)
    codes = forms.CharField(
        label=gettext_lazy("codes of the guides"), required=False, max_length=1_000,
        help_text=gettext_lazy("For named guides: separated by commas or spaces"),
    )  # fmt: skip
    most_each = forms.IntegerField(
        label=gettext_lazy("at most per guide"), required=False, min_value=1, max_value=100_000,
        help_text=gettext_lazy("Empty: no cap"),
    )  # fmt: skip
    message = forms.CharField(
        label=gettext_lazy("message to the customer"), required=False, max_length=200,
        help_text=gettext_lazy("Shown by WeCom when a guide who still works here hands over; empty: WeCom's own words"),
    )  # fmt: skip


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


NOT_BEGUN = (cases.Status.OPEN, cases.Status.PLANNED)


@object_act(
    gettext_lazy("Plan"), icon="edit_calendar", form=PlanForm, offered=lambda case: case.status in NOT_BEGUN,
    warning=gettext_lazy("Nothing moves yet: the plan shows how many customers go to whom. A plan that stands is replaced."),
)  # fmt: skip
def plan_it(self: Any, request: HttpRequest, case: HandoverCase, data: dict[str, Any]) -> str:
    plan.request(
        case=case, chosen=data["policy"], codes=data["codes"], most_each=data["most_each"], message=data["message"],
        actor=request.user, now=timezone.now(),
    )  # fmt: skip
    return _("The plan is being made; look at this page again in a moment.")


@object_act(
    gettext_lazy("Confirm and start"), icon="check_circle",
    offered=lambda case: case.status == cases.Status.PLANNED,
    warning=gettext_lazy(
        "The bindings move at once and for good; WeCom moves the friends after 24 hours unless a customer refuses. WeCom hands the same customer over twice in 90 days at most."
    ),
)  # fmt: skip
def confirm(self: Any, request: HttpRequest, case: HandoverCase, data: dict[str, Any]) -> str:
    plan.confirm(case=case, actor=request.user, now=timezone.now())
    return _("The handover has begun.")


@object_act(
    gettext_lazy("Cancel the handover"), icon="cancel", form=ReasonForm, offered=lambda case: case.status in NOT_BEGUN
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, case: HandoverCase, data: dict[str, Any]) -> str:
    cases.cancel(case=case, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The handover is cancelled; nothing has moved.")


class RetryForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("guide who takes over"), required=False, max_length=32,
        help_text=gettext_lazy("Code of another guide of this handover; empty: the same as before"),
    )  # fmt: skip


@object_act(
    gettext_lazy("Hand failed groups over again"), icon="replay", form=RetryForm,
    offered=lambda case: case.started_at is not None
    and case.groups.filter(state=HandoverGroup.State.FAILED).exists(),
    warning=gettext_lazy("WeCom is asked once more for every customer group that has failed. What it said stands beside each."),
)  # fmt: skip
def retry_groups(self: Any, request: HttpRequest, case: HandoverCase, data: dict[str, Any]) -> str:
    count = moving.retry_groups(case=case, taker_code=data["code"], actor=request.user, now=timezone.now())
    return _("WeCom is asked for %(count)s groups; look at this page again in a moment.") % {"count": count}


@admin.register(HandoverCase)
class HandoverCaseAdmin(BigReadOnlyAdmin, GuideNames):
    acts = (confirm, plan_it, cancel, retry_groups)
    list_display = ("case_text", "guide_link", "store", "cause", "status_label", "item_count", "opened_at", "ended_at")
    list_display_links = ("case_text",)
    list_select_related = ("guide", "store")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter), ("cause", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter),
        ("opened_at", lists.DayFilter),
    )  # fmt: skip
    search_fields = ("guide__code__exact", "guide__name__startswith")
    search_help_text = gettext_lazy("Guide code or the beginning of the name")
    fields = ("guide_link", "store", "cause", "status_label")

    @display(description=gettext_lazy("handover"))
    def case_text(self, case: HandoverCase) -> str:
        return f"#{case.pk}"

    @display(description=gettext_lazy("status"), label=STATUS_COLOURS)
    def status_label(self, case: HandoverCase) -> Any:
        return state(case.status, case.get_status_display())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            self.get_object(request, unquote(object_id))
            raise PermissionDenied
        case = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, case):
            raise PermissionDenied
        now = timezone.now()
        preview = _within_scope(request, figures.preview(case=case))
        groups = [(text, _reason(code) if code else "", count) for text, code, count in figures.group_states(case=case)]
        retention = figures.retention(case=case, now=now)
        states = figures.states(case=case)
        is_planning = case.job is not None and case.job.status in (Job.Status.QUEUED, Job.Status.RUNNING)
        context = self.page_context(
            request, case, title=str(case), case=case, preview=preview, value=yuan(preview.value_fen) if org.scope_of(request.user).is_everything else None, bands=[BAND_TEXTS[name] for name, _least in policy.BANDS],
            states=[(text, count, STATE_COLOURS[HandoverItem.State(code)], _share(count, preview.customers)) for code, text, count in states],
            groups=groups, failed_groups=_failed_groups(request, case), retention=retention,
            is_busy=is_planning, failure=case.job.error if case.job and case.job.status == Job.Status.FAILED else "",
            items_url=f"../../../handoveritem/?case__id__exact={case.pk}", guide_text=guide_link(case, "guide"),
            buttons=self.acts_for(request, case),
            must_be_another=case.needs_second and case.planned_by == request.user,
        )  # fmt: skip
        return TemplateResponse(request, "admin/guides/handovercase/page.html", context)


def _within_scope(request: HttpRequest, preview: figures.Preview) -> figures.Preview:
    """A taker outside the scope is named by her code only."""
    seen = lists.visible_names(request, Guide, (taker.guide_id for taker in preview.takers))
    takers = (t if t.guide_id in seen else replace(t, name="", store="", userid="…") for t in preview.takers)
    return replace(preview, takers=tuple(takers))


def _failed_groups(request: HttpRequest, case: HandoverCase) -> list[dict[str, Any]]:
    rows = figures.failed_groups(case=case)
    names = lists.visible_names(request, Guide, (row.taker.guide_id for row in rows))
    return [
        {
            "name": row.name or row.chat_id, "chat_id": row.chat_id if row.name else "", "reason": _reason(row.code), "at": row.state_at,
            "taker": names.get(row.taker.guide_id) or row.taker.guide.code,
        }
        for row in rows
    ]  # fmt: skip


def _reason(code: str) -> str:
    """Ours, or what WeCom's number means."""
    is_wecoms = code.isdecimal() and code not in REASONS
    return errors.of(int(code), "").message if is_wecoms else words.problem_text(code)


def _share(count: int, whole: int) -> int:
    return round(100 * count / whole) if whole else 0


@admin.register(HandoverItem)
class HandoverItemAdmin(BigReadOnlyAdmin):
    list_display = (
        "customer", "case_link", "taker_text", "state_label", "problem", "value", "bound_at", "asked_at", "takeover_at",
    )  # fmt: skip
    list_display_links = ("state_label",)
    list_select_related = ("case__guide", "taker__guide")
    list_filter = (("case", lists.ScopedFilter), ("state", lists.ChoicesDropdownFilter))
    fields = (
        "customer",
        "case_link",
        "taker_text",
        "state_label",
        "problem",
        "value",
        "bound_at",
        "asked_at",
        "takeover_at",
    )

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._shown(request, super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._shown(request, super().get_fields(request, obj))

    def _shown(self, request: HttpRequest, names: Any) -> Any:
        """What she spent counts the purchases of all stores: only for who sees all of them (S1)."""
        return names if org.scope_of(request.user).is_everything else [name for name in names if name != "value"]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        members = lists.visible_names(request, Member, (row.member_id for row in rows))
        takers = {row.taker.guide_id for row in rows if row.taker is not None}
        guides = lists.visible_names(request, Guide, takers)
        contacts = dict(
            Contact.objects.filter(pk__in={row.contact_id for row in rows} - {None}).values_list("pk", "name")
        )
        for row in rows:
            row.shown_member, row.shown_contact = members.get(row.member_id), contacts.get(row.contact_id)
            row.shown_guides = guides

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("customer"))
    def customer(self, item: Any) -> SafeString | str:
        if item.shown_member:
            return link("members_member", item.member_id, item.shown_member)
        return item.shown_contact or EMPTY

    @display(description=gettext_lazy("handover"))
    def case_link(self, item: HandoverItem) -> SafeString:
        return link("guides_handovercase", item.case_id, f"#{item.case_id} {item.case.guide.name}")

    @display(description=gettext_lazy("guide who takes over"))
    def taker_text(self, item: Any) -> str:
        if item.taker is None:
            return EMPTY
        return item.shown_guides.get(item.taker.guide_id) or item.taker.guide.code

    @display(description=gettext_lazy("state"), label=STATE_COLOURS)
    def state_label(self, item: HandoverItem) -> Any:
        return state(item.state, item.get_state_display())

    @display(description=gettext_lazy("reason"))
    def problem(self, item: HandoverItem) -> str:
        return _reason(item.code) if item.state in (item.State.FAILED, item.State.BOUND) and item.code else EMPTY

    @display(description=gettext_lazy("spent in a year"))
    def value(self, item: HandoverItem) -> SafeString:
        return money(item.value_fen)
