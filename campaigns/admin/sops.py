"""SOPs in the console: written as a draft beside its picture, published, and who is on which step."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline

from campaigns import queries, sops
from campaigns.models import GroupRun, GroupStepDone, Sop, SopRun, SopStep, SopStepDone, SopVersion
from campaigns.sops import editing, group_steps, handed, picture, rules, texts
from members.models import Member
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyInline, ScopedAdmin, object_act
from scrm.admin.shown import BUSY, EMPTY, GOOD, QUIET, display, link, state
from scrm.org import Right

words.register(
    {
        "sop.draft": gettext_lazy("drafted a version of an SOP"),
        "sop.publish": gettext_lazy("published a version of an SOP"),
        "sop.retire": gettext_lazy("took an SOP out of use"),
        "sop.stop": gettext_lazy("took a customer out of an SOP"),
    }
)
VERSION_COLOURS = {
    SopVersion.Status.DRAFT: BUSY, SopVersion.Status.PUBLISHED: GOOD, SopVersion.Status.RETIRED: QUIET,
}  # fmt: skip
WITH_COUPON, WITH_SCRIPT = (SopStep.Kind.COUPON,), (SopStep.Kind.MESSAGE,)
WITH_CONTENT = (SopStep.Kind.MESSAGE, SopStep.Kind.COUPON, SopStep.Kind.GROUP_POST, SopStep.Kind.GROUP_SEND)
RUN_COLOURS = {SopRun.Status.ACTIVE: BUSY, SopRun.Status.DONE: GOOD, SopRun.Status.STOPPED: QUIET}


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Write a new version"), icon="edit_note", right=Right.CHANGE,
    offered=lambda row: not row.versions.filter(status=SopVersion.Status.DRAFT).exists(),
)  # fmt: skip
def draft(self: Any, request: HttpRequest, row: Sop, data: dict[str, Any]) -> str:
    version = sops.draft_from(sop=row, actor=request.user)
    return _("Version %(number)s is a draft now: open it below.") % {"number": version.number}


@object_act(
    gettext_lazy("Take out of use"), icon="block", right=Right.CHANGE, form=ReasonForm, offered=lambda row: row.is_active,
    warning=gettext_lazy("Nobody enters any more. Customers who are in it go on to its end."),
)  # fmt: skip
def retire(self: Any, request: HttpRequest, row: Sop, data: dict[str, Any]) -> str:
    sops.retire(sop=row, actor=request.user, reason=data["reason"])
    return _("The SOP takes nobody in any more.")


class VersionInline(ReadOnlyInline):
    model = SopVersion
    fields = ("number_link", "status_label", "published_at", "published_by", "under_way", "through", "stopped")
    readonly_fields = fields
    ordering = ("-number",)

    @display(description=gettext_lazy("version"))
    def number_link(self, version: SopVersion) -> Any:
        return link("campaigns_sopversion", version.pk, f"V{version.number}")

    @display(description=gettext_lazy("state"))
    def status_label(self, version: SopVersion) -> str:
        return version.get_status_display()

    @display(description=gettext_lazy("under way"))
    def under_way(self, version: SopVersion) -> str:
        return self._count(version, SopRun.Status.ACTIVE)

    @display(description=gettext_lazy("gone through"))
    def through(self, version: SopVersion) -> str:
        return self._count(version, SopRun.Status.DONE)

    @display(description=gettext_lazy("stopped"))
    def stopped(self, version: SopVersion) -> str:
        return self._count(version, SopRun.Status.STOPPED)

    def _count(self, version: Any, status: str) -> str:
        sop = version.sop  # the page's own: all rows share it
        if not hasattr(sop, "run_counts"):
            sop.run_counts = queries.run_counts(sop=sop)
        return queries.at_most(sop.run_counts.get((version.pk, status), 0))


@admin.register(Sop)
class SopAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    acts = (draft, retire)
    inlines = (VersionInline,)
    list_display = ("name", "anchor_text", "is_active", "created_at")
    list_filter = (("anchor", lists.ChoicesDropdownFilter), ("is_active", lists.BooleanRadioFilter))
    ordering = ("-pk",)
    fields = ("brand", "name", ("anchor", "anchor_days"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What it begins with is settled once a version has been in force: customers have entered by it."""
        is_settled = obj is not None and obj.versions.exclude(status=SopVersion.Status.DRAFT).exists()
        return ("brand", "anchor", "anchor_days") if is_settled else ()

    @display(description=gettext_lazy("begins with"))
    def anchor_text(self, row: Sop) -> str:
        if row.anchor == Sop.Anchor.BIRTHDAY and row.anchor_days:
            return _("%(days)s days before the birthday") % {"days": row.anchor_days}
        if row.anchor == Sop.Anchor.LAPSED:
            return _("%(days)s days without a purchase") % {"days": row.anchor_days}
        return row.get_anchor_display()


class StepForm(forms.ModelForm):
    class Meta:
        model = SopStep
        fields: ClassVar[list[str]] = [*editing.WRITTEN, *editing.REFERRED, *editing.LEADS]
        labels: ClassVar[dict[str, Any]] = {"text": gettext_lazy("words of the step")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "text" in self.fields:
            self.fields["text"].widget.attrs["rows"] = 3

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        kind = data.get("kind") or ""
        for found in texts.unknown(data.get("text") or "", kind):
            self.add_error(
                "text",
                _("There is no placeholder %(found)s. Possible are %(all)s.")
                % {"found": found, "all": " ".join(texts.possible(kind))},
            )
        sop = self.instance.version.sop
        if kind and (kind in SopStep.GROUP_KINDS) != (sop.anchor in Sop.GROUP_ANCHORS):
            self.add_error(
                "kind",
                _(
                    "Customers are written to, called or given something; only in an SOP of groups the owner posts in the group."
                )
                if kind in SopStep.GROUP_KINDS
                else _("An SOP of groups is made of posts in the group."),
            )
        self._clean_branch(data, is_branch=kind == SopStep.Kind.BRANCH)
        self._clean_handed(data, kind)
        return data

    def _clean_branch(self, data: dict[str, Any], *, is_branch: bool) -> None:
        if is_branch and not data.get("question"):
            self.add_error("question", _("A branch asks something."))
        if is_branch and data.get("yes_to") is None:
            self.add_error("yes_to", _("A branch says where it leads; 0 is the end."))
        if not is_branch and (data.get("question") or data.get("yes_to") is not None):
            self.add_error("kind", _("Only a branch has a question and a way for yes."))

    def _clean_handed(self, data: dict[str, Any], kind: str) -> None:
        """What is handed over fits the kind, and can be handed over."""
        chosen = {name: data.get(name) for name in ("coupon", "script", "content")}
        if kind == SopStep.Kind.COUPON and chosen["coupon"] is None and "coupon" not in self.errors:
            self.add_error("coupon", _("Choose the coupon that the customer gets."))
        for name, kinds, sentence in (
            ("coupon", WITH_COUPON, _("Only a step that gives a coupon has one; change its kind or leave this empty.")),
            ("script", WITH_SCRIPT, _("Only a message has a script; change its kind or leave this empty.")),
            ("content", WITH_CONTENT, _("Only something that is sent has a material; leave this empty.")),
        ):
            if chosen[name] is not None and kind not in kinds:
                self.add_error(name, sentence)
        if chosen["script"] is not None and not (data.get("text") or "").strip():
            self.add_error("text", _("Write also what is said where the script cannot be filled."))
        for name, sentence in handed.faults(
            SopStep(**chosen), brand_id=self.instance.version.sop.brand_id, now=timezone.now()
        ).items():
            self.add_error(name, sentence)


class StepFormSet(BaseInlineFormSet):
    """A new step gets the next number by itself."""

    def get_queryset(self) -> Any:
        return super().get_queryset().order_by("position")


def _is_of_groups(version: SopVersion | None) -> bool:
    return version is not None and version.sop.anchor in Sop.GROUP_ANCHORS


class StepInline(StackedInline):
    model = SopStep
    form = StepForm
    formset = StepFormSet
    extra = 0
    hide_title = True
    autocomplete_fields = editing.REFERRED
    fields = (
        ("position", "kind"), ("title", "minutes"), ("wait_days", "wait_minutes"), ("at_time", "valid_hours"), "text",
        ("coupon", "script"), ("content", "tag"), "question", ("yes_to", "next_to"),
    )  # fmt: skip

    # a group neither gets a coupon nor answers: what asks for that is not there
    group_fields = (
        ("position", "kind"), ("title", "minutes"), ("wait_days", "wait_minutes"), ("at_time", "valid_hours"), "text", "content", "next_to",
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.group_fields if _is_of_groups(obj) else self.fields

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        if obj is not None and "kind" in formset.form.base_fields:
            kinds = [kind for kind in SopStep.Kind if (kind in SopStep.GROUP_KINDS) == _is_of_groups(obj)]
            formset.form.base_fields["kind"].choices = [(kind.value, kind.label) for kind in kinds]
        return formset

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        own = cast(SopVersionAdmin, self.admin_site._registry[SopVersion])
        return own.has_change_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)


@object_act(
    gettext_lazy("Publish"), icon="publish", right=Right.CHANGE,
    offered=lambda version: version.status == SopVersion.Status.DRAFT,
    warning=gettext_lazy("A published version never changes. Customers who are in an older version go on in that one."),
)  # fmt: skip
def publish(self: Any, request: HttpRequest, version: SopVersion, data: dict[str, Any]) -> str:
    sops.publish(version=version, actor=request.user, now=timezone.now())
    return _("The version is in force.")


@admin.register(SopVersion)
class SopVersionAdmin(ScopedAdmin):
    change_right: ClassVar[Right | None] = Right.CHANGE
    acts = (publish,)
    inlines = (StepInline,)
    change_form_template = "admin/campaigns/sopversion/form.html"
    list_display = ("__str__", "status_label", "author", "published_by", "published_at")
    list_select_related = ("sop", "author", "published_by")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    fields = (
        ("sop", "number", "status_label"), ("back_fill", "back_fill_days"), ("stops_on_purchase", "pause_days"),
        ("published_at", "published_by"),
    )  # fmt: skip
    always_readonly = ("sop", "number", "status_label", "published_at", "published_by")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What a purchase or a reply does has no meaning for a group."""
        personal = ("stops_on_purchase", "pause_days")
        return [line for line in self.fields if not (_is_of_groups(obj) and line == personal)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.always_readonly

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.status == SopVersion.Status.DRAFT)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        version = context.get("original")
        steps = list(version.steps.select_related(*editing.REFERRED)) if version else []
        context |= {"problems": [], "drawn": None, "timeline": []}
        if version and version.status == SopVersion.Status.DRAFT:
            context["problems"] = editing.problems(steps, sop=version.sop, now=timezone.now())
        plan = [editing.step_of(step) for step in steps]
        if plan and not any(fault.code in ("no_such_step", "circle") for fault in rules.faults(plan)):
            context["drawn"] = picture.draw(plan, {step.position: told(step) for step in steps})
            context["timeline"] = shown_timeline(plan)
        return super().render_change_form(request, context, *args, **kwargs)

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """Back to the draft: its picture has changed."""
        return HttpResponseRedirect(reverse("admin:campaigns_sopversion_change", args=(obj.pk,)))

    @display(description=gettext_lazy("state"), label=VERSION_COLOURS)
    def status_label(self, version: SopVersion) -> Any:
        return state(version.status, version.get_status_display())


def told(step: SopStep) -> str:
    """What a step hands over or asks, for the picture."""
    parts = [str(getattr(step, name)) for name in ("coupon", "script", "content", "tag") if getattr(step, name)]
    if step.question:
        parts.insert(0, str(step.get_question_display()))
    return " · ".join(parts)


def shown_timeline(plan: list[rules.Step]) -> list[tuple[str, str, str]]:
    """The day counted from the event, the time of day, and the step; of somebody whose event was today at ten."""
    start = timezone.localtime(timezone.now(), rules.SHANGHAI).replace(hour=10, minute=0, second=0, microsecond=0)
    return [
        (
            _("day %(day)s") % {"day": (at.astimezone(rules.SHANGHAI).date() - start.date()).days + 1},
            f"{at.astimezone(rules.SHANGHAI):%H:%M}",
            f"{step.position} {step.title}",
        )
        for step, at in rules.timeline(plan, start)
    ]


@object_act(
    gettext_lazy("Take out of the SOP"), icon="person_remove", right=Right.CHANGE, form=ReasonForm,
    offered=lambda run: run.status == SopRun.Status.ACTIVE,
    warning=gettext_lazy("What her guide has not yet done for it is withdrawn."),
)  # fmt: skip
def stop(self: Any, request: HttpRequest, run: SopRun, data: dict[str, Any]) -> str:
    sops.stop(run=run, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("She has left the SOP.")


@object_act(
    gettext_lazy("Take out of the SOP"), icon="person_remove", right=Right.CHANGE, form=ReasonForm,
    offered=lambda run: run.status == SopRun.Status.ACTIVE,
    warning=gettext_lazy("What the owner of the group has not yet posted for it is withdrawn."),
)  # fmt: skip
def stop_group(self: Any, request: HttpRequest, run: GroupRun, data: dict[str, Any]) -> str:
    sops.stop(run=run, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The group has left the SOP.")


class StepDoneInline(ReadOnlyInline):
    model = SopStepDone
    fields = ("position", "result", "note", "coupon_link", "at")
    readonly_fields = fields
    ordering = ("position",)

    @display(description=gettext_lazy("coupon"))
    def coupon_link(self, done: SopStepDone) -> Any:
        return link("members_coupon", done.coupon_id, f"#{done.coupon_id}") if done.coupon_id else EMPTY


@admin.register(SopRun)
class SopRunAdmin(BigReadOnlyAdmin):
    acts = (stop,)
    inlines = (StepDoneInline,)
    list_display = ("member_link", "sop", "anchored_at", "position", "due_at", "status_label", "why_text")
    list_select_related = ("sop",)
    list_filter = (("sop", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter))
    fields = (
        "member_link",
        "version",
        "anchored_at",
        "entered_at",
        "position",
        "due_at",
        "status_label",
        "why_text",
        "ended_at",
    )

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._told(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._told(request, self.fields)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if org.scope_of(request.user).is_everything else ()

    def _told(self, request: HttpRequest, columns: Any) -> list[str]:
        """When she bought, and that she did, is told to who sees every store: it may have been elsewhere (S1)."""
        hidden = () if org.scope_of(request.user).is_everything else ("anchored_at", "why_text")
        return [name for name in columns if name not in hidden]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = lists.visible_names(request, Member, (row.member_id for row in rows))
        for row in rows:
            row.shown_member = names.get(row.member_id)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("member"))
    def member_link(self, run: Any) -> Any:
        return link("members_member", run.member_id, run.shown_member or f"#{run.member_id}")

    @display(description=gettext_lazy("state"), label=RUN_COLOURS)
    def status_label(self, run: SopRun) -> Any:
        return state(run.status, run.get_status_display())

    @display(description=gettext_lazy("why"))
    def why_text(self, run: SopRun) -> str:
        return run.get_why_display() if run.why else EMPTY


class GroupStepDoneInline(ReadOnlyInline):
    model = GroupStepDone
    fields = ("position", "result", "outcome", "send_link", "at")
    readonly_fields = fields
    ordering = ("position",)

    @display(description=gettext_lazy("what became of it"))
    def outcome(self, done: GroupStepDone) -> str:
        return group_steps.outcome(done) or EMPTY

    @display(description=gettext_lazy("mass send"))
    def send_link(self, done: GroupStepDone) -> Any:
        return link("campaigns_send", done.send_id, f"#{done.send_id}") if done.send_id else EMPTY


@admin.register(GroupRun)
class GroupRunAdmin(BigReadOnlyAdmin):
    """Which group is on which step."""

    acts = (stop_group,)
    inlines = (GroupStepDoneInline,)
    list_display = ("group_link", "sop", "anchored_at", "position", "due_at", "status_label", "why_text")
    list_select_related = ("sop", "group")
    list_filter = (("sop", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter))
    fields = (
        "group_link", "version", "anchored_at", "entered_at", "position", "due_at", "status_label", "why_text", "ended_at",
    )  # fmt: skip

    @display(description=gettext_lazy("customer group"))
    def group_link(self, run: GroupRun) -> Any:
        return link("campaigns_group", run.group_id, str(run.group))

    @display(description=gettext_lazy("state"), label=RUN_COLOURS)
    def status_label(self, run: GroupRun) -> Any:
        return state(run.status, run.get_status_display())

    @display(description=gettext_lazy("why"))
    def why_text(self, run: GroupRun) -> str:
        return run.get_why_display() if run.why else EMPTY
