"""Plans over many groups in the console: chosen in the list, previewed group by group, applied with progress."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin.groups import chosen_groups
from campaigns.communities import fleet
from campaigns.models import Group, GroupPlan, GroupPlanItem, JoinWay
from guides.models import Guide
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import BUSY, GOOD, NEW, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.org import Right

words.register(
    {
        fleet.KIND: gettext_lazy("plan for groups"),
        fleet.TOPIC: gettext_lazy("hand groups over"),
        "group_plan.draft": gettext_lazy("planned for groups"),
        "group_plan.apply": gettext_lazy("applied a plan for groups"),
        "group_plan.cancel": gettext_lazy("cancelled a plan for groups"),
        "summary.left_out": gettext_lazy("left out"),
    }
)
Status, Kind, State = GroupPlan.Status, GroupPlan.Kind, GroupPlanItem.State
COLOURS = {Status.DRAFT: NEW, Status.RUNNING: BUSY, Status.ENDED: GOOD, Status.CANCELLED: QUIET}
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)
SHOWN = 500


class PlanForm(forms.Form):
    kind = forms.ChoiceField(label=gettext_lazy("what is done"), choices=Kind.choices)
    new_owner = forms.CharField(
        label=gettext_lazy("new owner"), required=False, max_length=32,
        help_text=gettext_lazy("Handing over: the code of the guide. WeCom: 300 groups of one owner a day, a group twice in 90 days."),
    )  # fmt: skip
    target = forms.CharField(
        label=gettext_lazy("merged into"), required=False, max_length=128,
        help_text=gettext_lazy("Merging: the whole name or the id at WeCom of the group that stays."),
    )  # fmt: skip
    way = forms.CharField(
        label=gettext_lazy("join way of the target"), required=False, max_length=30,
        help_text=gettext_lazy("Merging: the name of the code that the owners post; may stay empty."),
    )  # fmt: skip
    reason = forms.CharField(label=gettext_lazy("reason"), max_length=200, min_length=2)


@object_act(
    gettext_lazy("Apply"), icon="play_arrow", offered=lambda plan: plan.status == Status.DRAFT,
    warning=lambda plan: _WARNINGS[plan.kind],
)  # fmt: skip
def apply(self: Any, request: HttpRequest, plan: GroupPlan, data: dict[str, Any]) -> str:
    fleet.apply(plan=plan, actor=request.user, now=timezone.now())
    return _("It is being done; this page shows how far it is.")


@object_act(
    gettext_lazy("Cancel"), icon="cancel", offered=lambda plan: plan.status in (Status.DRAFT, Status.RUNNING),
    warning=gettext_lazy("What is done stays. What WeCom was not asked for and what owners have not done is not done any more."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, plan: GroupPlan, data: dict[str, Any]) -> str:
    fleet.cancel(plan=plan, actor=request.user, now=timezone.now())
    return _("The plan is cancelled.")


_WARNINGS: dict[str, Any] = {
    Kind.HAND_OVER: gettext_lazy("WeCom gives these groups to the new owner at once. This cannot be undone for 90 days after the second time."),
    Kind.ROTATE: gettext_lazy("The codes fill the next group in turn from now on. Who is in these groups stays there."),
    Kind.MERGE: gettext_lazy("WeCom cannot move people: the owners are asked to, with the words ready, and the groups leave the codes."),
    Kind.CLOSE: gettext_lazy("WeCom cannot dissolve a group: the owners are asked to, with the words ready, and the groups leave the codes."),
}  # fmt: skip


@admin.register(GroupPlan)
class GroupPlanAdmin(ReadOnlyAdmin):
    acts = (apply, cancel)
    list_display = ("plan_text", "status_label", "reason", "made_by", "created_at", "ended_at")
    list_select_related = ("made_by",)
    list_filter = (("kind", lists.ChoicesDropdownFilter), ("status", lists.ChoicesDropdownFilter))
    ordering = ("-pk",)
    fields = ("plan_text",)

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_groupplan_new")
        return [new, *super().get_urls()]

    @display(description=gettext_lazy("plan for groups"))
    def plan_text(self, plan: GroupPlan) -> str:
        return str(plan)

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, plan: GroupPlan) -> Any:
        return state(plan.status, plan.get_status_display())

    def has_act_on(self, request: HttpRequest, plan: GroupPlan) -> bool:
        """Whoever sees all groups of the plan; a part of them is not enough to apply it to all."""
        scope = org.scope_of(request.user)
        if scope.is_everything:
            return True
        seen = plan.items.filter(org.scope_q(GroupPlanItem, scope)).count()
        return bool(seen == plan.items.count())

    def acts_for(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        return super().acts_for(request, obj) if self.has_act_on(request, obj) else []

    def act_view(self, request: HttpRequest, object_id: str, act_name: str) -> HttpResponse:
        plan = self.get_object(request, unquote(object_id))
        if not self.has_act_on(request, plan):
            raise PermissionDenied
        return super().act_view(request, object_id, act_name)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        plan = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, plan):
            raise PermissionDenied
        mine = org.scope_q(GroupPlanItem, org.scope_of(request.user))
        counts = fleet.outcome(plan=plan, scope_q=mine)
        items = plan.items.filter(mine).select_related("group__store", "group__owner").order_by("state", "pk")
        is_busy = plan.job is not None and plan.job.status in OPEN
        waits = counts.get(State.ASKED, 0) > 0
        context = self.page_context(
            request, plan, title=str(plan), plan=plan, job=plan.job, is_busy=is_busy, is_live=is_busy or waits,
            buttons=[] if is_busy else self.acts_for(request, plan), items=list(items[:SHOWN]), most=SHOWN,
            counts=[(label, counts.get(code, 0)) for code, label in State.choices if counts.get(code)],
            done=counts.get(State.DONE, 0), whole=sum(counts.values()) - counts.get(State.LEFT_OUT, 0),
            list_url=reverse("admin:campaigns_groupplan_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/groupplan/page.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """For the groups that the address names, of those that the user may see."""
        if not self.has_right(request, Right.ACT):
            raise PermissionDenied
        chosen = chosen_groups(request)
        form = lists.styled(PlanForm(request.POST or None, initial={"kind": request.GET.get("kind", Kind.HAND_OVER)}))
        if request.method == "POST" and form.is_valid():
            try:
                plan = _draft(request, chosen, form.cleaned_data)
                return HttpResponseRedirect(self.url_of(plan))
            except RuleViolation as error:
                for name, sentence in error.extra.get("fields", {None: error.message}).items():
                    form.add_error(name if name in form.fields else None, sentence)
        context = self.page_context(
            request, None, title=_("Plan for %(count)s groups") % {"count": len(chosen)}, form=form, chosen=chosen,
            back=reverse("admin:campaigns_group_changelist"),
        )  # fmt: skip
        return TemplateResponse(
            request, "admin/campaigns/groupplan/new.html", context, status=400 if form.errors else 200
        )


def _draft(request: HttpRequest, chosen: list[Group], data: dict[str, Any]) -> GroupPlan:
    """Names become rows that the user may see; what cannot be found is said at its field."""
    scope, found = org.scope_of(request.user), dict[str, str]()
    owner = target = way = None
    if data["kind"] == Kind.HAND_OVER and data["new_owner"]:
        owner = org.visible(Guide.objects.filter(code=data["new_owner"].strip()), scope).first()
        if owner is None:
            found["new_owner"] = _("There is no guide %(code)s among yours.") % {"code": data["new_owner"]}
    if data["kind"] == Kind.MERGE and data["target"]:
        rows, word = org.visible(Group.objects.filter(dissolved_at=None), scope), data["target"].strip()
        named = list(rows.filter(chat_id=word)[:2] or rows.filter(name=word)[:2])
        target = named[0] if len(named) == 1 else None
        if target is None:
            found["target"] = _("No group, or several, are called “%(line)s”.") % {"line": word[:40]}
    if data["kind"] == Kind.MERGE and data["way"]:
        ways = org.visible(JoinWay.objects.filter(status=JoinWay.Status.LIVE), scope)
        way = ways.filter(name=data["way"].strip()).first()
        if way is None:
            found["way"] = _("There is no code in use of this name among yours.")
    if found:
        raise fleet.BadPlan(next(iter(found.values())), extra={"fields": found})
    return fleet.draft(
        kind=data["kind"], groups_chosen=chosen, new_owner=owner, target=target, way=way, reason=data["reason"],
        actor=request.user, now=timezone.now(),
    )  # fmt: skip
