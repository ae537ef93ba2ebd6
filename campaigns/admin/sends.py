"""Mass sends in the console: planned with their reasons, agreed to, watched live by region, store and guide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from campaigns import sends
from campaigns.admin import picking
from campaigns.admin.planned import LEVELS, OPEN, UNDER, PlannedAdmin, level_of, this_minute
from campaigns.models import ContactBudget, Content, FileUpload, Send
from campaigns.models.content import usable
from members.models import AudienceSnapshot
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, GOOD, NEW, display, state
from scrm.models import Corp
from scrm.org import Right

words.register(
    {
        "send.draft": gettext_lazy("planned a mass send"),
        "send.plan": gettext_lazy("planning a mass send"),
        "send.submit": gettext_lazy("asked for a mass send"),
        "send.approve": gettext_lazy("approved a mass send"),
        "send.cancel": gettext_lazy("cancelled a mass send"),
        "send.remind": gettext_lazy("reminded guides of a mass send"),
        "send.stop": gettext_lazy("taking tasks back from the guides"),
        "send.hand_over": gettext_lazy("handing tasks to the guides"),
        "campaigns.send": gettext_lazy("task of a mass send"),
        "campaigns.send_cancel": gettext_lazy("taking back a task of a mass send"),
        "campaigns.send_remind": gettext_lazy("reminder of a mass send"),
        "campaigns.send_renew": gettext_lazy("task made again without who has withdrawn"),
        "summary.planned": gettext_lazy("to be sent to"),
        "summary.tasks": gettext_lazy("tasks"),
    }
)
STATUS_COLOURS = {
    Send.Status.PLANNING: BUSY,
    Send.Status.PLANNED: NEW,
    Send.Status.ASKED: NEW,
    Send.Status.SENDING: BUSY,
    Send.Status.ENDED: GOOD,
    Send.Status.CANCELLED: BAD,
}


class MessageForm(forms.Form):
    """What is sent, and when; to whom says the form that builds on it."""

    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=64)
    text = forms.CharField(
        label=gettext_lazy("text"), widget=forms.Textarea, strip=False, required=False,
        help_text=gettext_lazy("At most 4,000 bytes, about 1,333 Chinese characters. Left empty, the texts of the materials are taken."),
    )  # fmt: skip
    materials = forms.ModelMultipleChoiceField(
        Content.objects.none(), label=gettext_lazy("materials"), required=False,
        help_text=gettext_lazy("Pictures, links, mini-program pages, videos and files of the content library, at most nine."),
    )  # fmt: skip
    link_title = forms.CharField(label=gettext_lazy("title of the link"), max_length=42, required=False)
    link_url = forms.CharField(label=gettext_lazy("link"), max_length=2048, required=False)
    due_at = forms.DateTimeField(label=gettext_lazy("to be sent at"))
    order: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        those = Content.objects.filter(usable(timezone.now()), version_no__gt=0)
        self.fields["materials"].queryset = those.order_by("kind", "-pk")  # type: ignore[attr-defined]
        self.fields["materials"].label_from_instance = _material_text  # type: ignore[attr-defined]
        corps = Corp.objects.order_by("pk")
        self.fields["corp"].queryset = corps  # type: ignore[attr-defined]
        self.fields["corp"].initial = corps[:1].first()
        self.choose()
        lists.styled(self)
        for field in self.fields.values():
            if isinstance(field, forms.ModelMultipleChoiceField):
                field.widget = UnfoldAdminSelect2MultipleWidget(choices=field.choices)
        self.order_fields(["corp", "name", *self.order])

    def choose(self) -> None:
        """Fill the choices of whom it goes to."""


class SendForm(MessageForm):
    snapshot = forms.ModelChoiceField(
        AudienceSnapshot.objects.none(), label=gettext_lazy("audience"),
        help_text=gettext_lazy("Frozen audiences, the newest first. Freeze one under Audiences."),
    )  # fmt: skip
    holdout = forms.DecimalField(
        label=gettext_lazy("control group (%)"), min_value=0, max_value=90, max_digits=5, decimal_places=2, initial=10,
        help_text=gettext_lazy("Drawn from the audience and left alone, so that it can be seen what the send brought; 0: none."),
    )  # fmt: skip
    window_days = forms.IntegerField(
        label=gettext_lazy("days in which outcomes count"), min_value=1, max_value=365, initial=14
    )
    cost = forms.DecimalField(
        label=gettext_lazy("cost per person contacted (yuan)"),
        required=False,
        min_value=0,
        max_digits=8,
        decimal_places=2,
    )
    margin = forms.DecimalField(
        label=gettext_lazy("margin (%)"), required=False, min_value=0, max_value=100, max_digits=5, decimal_places=2
    )

    order = ("snapshot",)

    def choose(self) -> None:
        snapshot = self.fields["snapshot"]
        ready = AudienceSnapshot.objects.filter(status=AudienceSnapshot.Status.READY).select_related(
            "version__audience"
        )
        snapshot.queryset = ready.order_by("-pk")  # type: ignore[attr-defined]
        snapshot.label_from_instance = _snapshot_text  # type: ignore[attr-defined]

    @property
    def asked(self) -> dict[str, Any]:
        data = dict(self.cleaned_data)
        holdout, cost, margin = data.pop("holdout"), data.pop("cost"), data.pop("margin")
        return {
            **data, "holdout_bp": int(holdout * 100), "cost_fen": None if cost is None else int(cost * 100),
            "margin_bp": None if margin is None else int(margin * 100),
        }  # fmt: skip


class GroupSendForm(MessageForm, picking.PickForm):
    order = picking.ORDER

    def choose(self) -> None:
        picking.PickForm.choose(self)

    @property
    def asked(self) -> dict[str, Any]:
        asked = {name: self.cleaned_data[name] for name in MessageForm.base_fields}
        return {**asked, "groups": self.wish}


def _material_text(row: Content) -> str:
    return f"{row.get_kind_display()} · {row.name}"


def _snapshot_text(row: AudienceSnapshot) -> str:
    return f"{row.version.audience} · {timezone.localtime(row.as_of):%Y-%m-%d %H:%M} · {row.member_count:,}"


def _asked(row: Send) -> str:
    if row.goes_to == Send.GoesTo.GROUPS:
        return _(
            "%(count)s groups with %(people)s customers are given to their owners as tasks. From %(limit)s customers on somebody else has to approve first."
        )
    return _(
        "%(count)s members are given to their guides as tasks. From %(limit)s members on somebody else has to approve first."
    )


@object_act(
    gettext_lazy("Send"), right=Right.CHANGE, icon="send", offered=lambda row: row.status == Send.Status.PLANNED and row.planned_count > 0,
    warning=lambda row: _asked(row) % {
        "count": f"{row.planned_count:,}", "limit": sends.FOUR_EYES_FROM, "people": f"{row.people_count:,}",
    },
)  # fmt: skip
def submit(self: Any, request: HttpRequest, row: Send, data: dict[str, Any]) -> str:
    found = sends.submit(send=row, actor=request.user, now=timezone.now())
    return (
        _("Somebody else has to approve it now.")
        if found.status == Send.Status.ASKED
        else _("The tasks go to the guides.")
    )


def _agreed(row: Send) -> str:
    if row.goes_to == Send.GoesTo.GROUPS:
        return _("You agree that “%(name)s” goes to %(count)s groups with %(people)s customers.")
    return _("You agree that “%(name)s” goes to %(count)s members.")


@object_act(
    gettext_lazy("Approve"), right=Right.CHANGE, icon="verified", offered=lambda row: row.status == Send.Status.ASKED,
    warning=lambda row: _agreed(row) % {"name": row.name, "count": f"{row.planned_count:,}", "people": f"{row.people_count:,}"},
    asker=lambda row: row.requested_by_id,
)  # fmt: skip
def approve(self: Any, request: HttpRequest, row: Send, data: dict[str, Any]) -> str:
    sends.approve(send=row, actor=request.user, now=timezone.now())
    return _("Approved: the tasks go to the guides.")


@object_act(
    gettext_lazy("Remind"), right=Right.CHANGE, icon="notifications", offered=lambda row: row.status == Send.Status.SENDING,
    warning=gettext_lazy("Every guide who has not confirmed is reminded by WeCom; at most every eight hours."),
)  # fmt: skip
def remind(self: Any, request: HttpRequest, row: Send, data: dict[str, Any]) -> str:
    return _("%(count)s guides are reminded.") % {
        "count": sends.remind(send=row, actor=request.user, now=timezone.now())
    }


@object_act(
    gettext_lazy("Cancel"), right=Right.CHANGE, icon="cancel",
    offered=lambda row: row.status not in (Send.Status.ENDED, Send.Status.CANCELLED),
    warning=gettext_lazy("What nobody has confirmed is taken back. What was sent stays sent."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, row: Send, data: dict[str, Any]) -> str:
    return _("%(count)s tasks are stopped.") % {"count": sends.cancel(send=row, actor=request.user, now=timezone.now())}


@object_act(
    gettext_lazy("Send the rest"), right=Right.CHANGE, icon="forward", offered=lambda row: row.status in (Send.Status.ENDED, Send.Status.CANCELLED),
    warning=gettext_lazy("Those whom this send was meant to reach and did not are planned anew, as a send of its own."),
)  # fmt: skip
def send_rest(self: Any, request: HttpRequest, row: Send, data: dict[str, Any]) -> str:
    rest = sends.send_rest(send=row, actor=request.user, now=timezone.now())
    return _("Planned as “%(name)s”.") % {"name": rest.name}


@admin.register(ContactBudget)
class ContactBudgetAdmin(ScopedAdmin):
    add_right = change_right = delete_right = Right.CHANGE
    list_display = ("brand", "most_count", "days")
    fields = ("brand", "most_count", "days")


@admin.register(Send)
class SendAdmin(PlannedAdmin):
    acts = (submit, approve, remind, cancel, send_rest)
    list_display = (
        "name",
        "goes_to",
        "status_label",
        "due_at",
        "audience_count",
        "planned_count",
        "requested_by",
        "created_at",
    )
    list_filter = (*PlannedAdmin.list_filter, ("goes_to", lists.ChoicesDropdownFilter))
    wide_columns = ("audience_count", "planned_count")
    new_template = "admin/campaigns/send/new.html"
    change_list_template = "admin/campaigns/send/list.html"

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_send_new")
        groups = path("new-groups/", self.admin_site.admin_view(self.new_groups_view), name="campaigns_send_new_groups")
        return [new, groups, *super().get_urls()]

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, row: Send) -> Any:
        return state(row.status, row.get_status_display())

    def new_view(self, request: HttpRequest) -> HttpResponse:
        form = SendForm(
            request.POST or None, initial={"due_at": this_minute(), "snapshot": request.GET.get("snapshot")}
        )
        return self.plan_page(
            request, form, lambda: sends.draft(actor=request.user, **form.asked), title=_("New mass send"),
            back=reverse("admin:campaigns_send_changelist"),
        )  # fmt: skip

    def new_groups_view(self, request: HttpRequest) -> HttpResponse:
        form = GroupSendForm(request.POST or None, request.FILES or None, initial={"due_at": this_minute()})
        return self.plan_page(
            request, form, lambda: sends.draft(actor=request.user, **form.asked), title=_("New mass send to groups"),
            back=reverse("admin:campaigns_send_changelist"), is_of_groups=True,
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Send = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        is_of_groups = row.goes_to == Send.GoesTo.GROUPS
        levels = (*LEVELS, "group") if is_of_groups else LEVELS
        scope, (level, within) = org.scope_of(request.user), level_of(request, levels)
        lines = [] if level == "group" else sends.execution(send=row, level=level, scope=scope, within=within)
        groups = sends.groups_of(send=row, scope=scope, guide_id=within) if level == "group" else []
        under = UNDER | ({"guide": "group"} if is_of_groups else {})
        is_busy = row.job is not None and row.job.status in OPEN
        context = self.page_context(
            request, row, title=row.name, send=row, buttons=self.acts_for(request, row), list_url=reverse("admin:campaigns_send_changelist"),
            left_out=sends.left_out(send=row) if scope.is_everything else [], total=sends.totals(send=row, scope=scope), lines=lines,
            level=level, under=under.get(level, ""), is_of_groups=is_of_groups, groups=groups, job=row.job, is_busy=is_busy, is_live=is_busy or row.status == Send.Status.SENDING,
            problems=sends.prove(send=row) if scope.is_everything and row.ended_at else [], is_everything=scope.is_everything,
            rests=list(org.visible(row.rests.order_by("pk"), scope)),
            materials=_materials_of(row), rest_of=org.visible(Send.objects.filter(rests=row), scope).first(),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/send/page.html", context)


def _materials_of(send: Send) -> list[dict[str, Any]]:
    """What goes along, with what WeCom says against its file."""
    versions = sends.versions_of(send)
    uploads = FileUpload.objects.filter(corp=send.corp, file__in=[version.file_id for version, _kind in versions])
    said = dict(uploads.exclude(error_text="").values_list("file_id", "error_text"))
    return [{"content": version.content, "problem": said.get(version.file_id or 0, "")} for version, _kind in versions]
