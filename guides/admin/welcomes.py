"""Welcome messages in the console: written with a preview, their files, and what became of each."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline

from guides import welcomes
from guides.admin.staff import GuideNames
from guides.models import Contact, Material, Welcome, WelcomePart, WelcomeSend
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.org import Right
from scrm.wecom import media

Outcome = WelcomeSend.Outcome
OUTCOME_COLOURS = {
    Outcome.SENT: GOOD, Outcome.WAITING: BUSY, Outcome.NONE: QUIET, Outcome.TAKEN: QUIET, Outcome.LATE: BAD,
    Outcome.REFUSED: BAD, Outcome.FAILED: BAD,
}  # fmt: skip
EXAMPLE = {welcomes.CUSTOMER: "晚风", welcomes.GUIDE: "王芳", welcomes.STORE: "人民路店"}

words.register({"welcome.send": gettext_lazy("send a welcome message")})


class PartsFormSet(BaseInlineFormSet):
    """The message as a whole is judged where all of it is known."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form for form in self.forms if form.has_changed() or form.instance.pk]
        parts = [form.instance for form in kept if not form.cleaned_data.get("DELETE")]
        try:
            welcomes.require_parts(parts)
            welcomes.require_text(self.instance.text or "", has_parts=bool(parts))
        except RuleViolation as error:
            raise forms.ValidationError(error.message) from None


class PartInline(StackedInline):
    model = WelcomePart
    formset = PartsFormSet
    extra = 0
    fields = (("position", "kind", "material"), ("title", "url"), "description", ("app_id", "page"))

    def _may(self, request: HttpRequest) -> bool:
        return cast(bool, self.admin_site._registry[Welcome].has_change_permission(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)


@admin.register(Welcome)
class WelcomeAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    delete_right: ClassVar[Right | None] = Right.CHANGE
    change_form_template = "admin/guides/welcome/form.html"
    inlines = (PartInline,)
    list_display = ("name", "for_text", "hours_text", "text_start", "is_active")
    list_select_related = ("way", "store")
    list_filter = (("is_active", lists.BooleanRadioFilter), ("store", lists.ScopedFilter))
    search_fields = ("name__startswith",)
    ordering = ("-pk",)
    autocomplete_fields = ("way", "store")
    fields = ("corp", "name", ("way", "store"), ("starts_at", "ends_at"), "text", "is_active")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if "text" in form.base_fields:
            form.base_fields["text"].help_text = _("Placeholders: %(all)s. The preview shows an example.") % {
                "all": " ".join(welcomes.PLACEHOLDERS)
            }
        return form

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context["example"] = EXAMPLE
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description=gettext_lazy("for"))
    def for_text(self, welcome: Welcome) -> str:
        return str(welcome.way or welcome.store or _("everybody"))

    @display(description=gettext_lazy("hours"))
    def hours_text(self, welcome: Welcome) -> str:
        if welcome.starts_at is None or welcome.ends_at is None:
            return _("always")
        return f"{welcome.starts_at:%H:%M}-{welcome.ends_at:%H:%M}"

    @display(description=gettext_lazy("text"))
    def text_start(self, welcome: Welcome) -> str:
        return welcome.text[:30] + ("…" if len(welcome.text) > 30 else "") or EMPTY


class MaterialForm(forms.ModelForm):
    file = forms.FileField(label=gettext_lazy("File"), widget=lists.FileWidget())

    class Meta:
        model = Material
        fields = ("corp", "kind")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        file, kind = data.get("file"), data.get("kind")
        if file is not None and kind:
            try:
                welcomes.require_file(kind, file.name, file.size, file.read(16))
            except RuleViolation as error:
                self.add_error("file", error.message)
            file.seek(0)
        return data


@object_act(gettext_lazy("Upload to WeCom now"), icon="upload", right=Right.ACT)
def upload_now(self: Any, request: HttpRequest, material: Material, data: dict[str, Any]) -> str:
    if not welcomes.upload(material, now=timezone.now()):
        material.refresh_from_db()
        raise welcomes.BadWelcome(material.error_text)
    return _("WeCom has the file.")


@admin.register(Material)
class MaterialAdmin(ScopedAdmin):
    """A file is never replaced: a message that used it would change unseen. Add another one."""

    acts = (upload_now,)
    add_right: ClassVar[Right | None] = Right.CHANGE
    delete_right: ClassVar[Right | None] = Right.CHANGE
    form = MaterialForm
    list_display = ("name", "kind", "size_text", "expires_at", "error_text", "created_at")
    list_filter = (("kind", lists.ChoicesDropdownFilter),)
    search_fields = ("name__startswith",)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("content")  # up to 20 MB each

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("corp", "kind", "file")
        return ("corp", "kind", "name", "size_text", "expires_at", "error_text", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        file = form.cleaned_data["file"]
        obj.name, obj.content, obj.size = file.name[:128], file.read(), file.size
        super().save_model(request, obj, form, change)

    @display(description=gettext_lazy("size"))
    def size_text(self, material: Material) -> str:
        return f"{material.size / media.MEGABYTE:.2f} MB"


@admin.register(WelcomeSend)
class WelcomeSendAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = ("event_at", "customer", "guide_link", "welcome", "outcome_label", "problem", "seconds")
    list_select_related = ("guide", "welcome", "friendship")
    list_filter = (("guide", lists.ScopedFilter), ("outcome", lists.ChoicesDropdownFilter))
    fields = ("event_at", "customer", "guide_link", "welcome", "outcome_label", "problem", "settled_at")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        names = lists.visible_names(request, Contact, (row.friendship.contact_id for row in rows))
        for row in rows:
            row.shown_contact = names.get(row.friendship.contact_id)

    @display(description=gettext_lazy("guide"))
    def guide_link(self, row: Any) -> Any:
        return super().guide_link(row) if row.guide_id else row.friendship.userid

    @display(description=gettext_lazy("customer"))
    def customer(self, row: Any) -> str:
        return row.shown_contact or EMPTY

    @display(description=gettext_lazy("outcome"), label=OUTCOME_COLOURS)
    def outcome_label(self, row: WelcomeSend) -> Any:
        return state(row.outcome, row.get_outcome_display())

    @display(description=gettext_lazy("problem"))
    def problem(self, row: WelcomeSend) -> str:
        return words.problem_text(row.error_code) if row.error_code else EMPTY

    @display(description=gettext_lazy("seconds"))
    def seconds(self, row: WelcomeSend) -> str:
        is_sent = row.outcome == Outcome.SENT and row.settled_at is not None
        return f"{(row.settled_at - row.event_at).total_seconds():.1f}" if is_sent and row.settled_at else EMPTY
