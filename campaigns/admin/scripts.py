"""Scripts in the console: a text per level, and beside it what a chosen member would read and why."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from campaigns import scripts, slots
from campaigns.admin.content import STATES, KeywordsField, state_of
from campaigns.models import Level, Script, ScriptText, ScriptUse
from guides.admin.staff import GuideNames
from guides.api.base import business_day
from members import queries as members
from members.models import Category, Member, Product
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyInline, ScopedAdmin
from scrm.admin.shown import EMPTY, display, link
from scrm.org import Right

LINES_READ = 100
HINTS = {
    Level.PRODUCT: gettext_lazy("What anybody may hear: the product, what it is like, since when it is there."),
    Level.SMALL_TALK: gettext_lazy("With her name."),
    Level.OCCASION: gettext_lazy("A festival or her birthday."),
    Level.LAST_BOUGHT: gettext_lazy("What she bought last, for a script about what is back in stock."),
    Level.TASTE: gettext_lazy("Why this product is hers, by what she buys."),
    Level.RHYTHM: gettext_lazy("On the day and at the hour at which she comes."),
}


def field_of(level: int) -> str:
    return f"level_{level}"


class ScriptForm(forms.ModelForm):
    tags = KeywordsField(
        label=gettext_lazy("keywords"), required=False, widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Separated by commas; guides search by them"),
    )  # fmt: skip

    class Meta:
        model = Script
        fields = (
            "name", "product", "category", "occasion", "arrived_on", "tags", "region", "entity", "store", "starts_at", "ends_at",
            "is_active",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        texts = scripts.texts_of([self.instance]).get(self.instance.pk, {}) if self.instance.pk else {}
        for level in Level:
            own = " ".join(f"{{{slot.name}}}" for slot in slots.REGISTRY.values() if slot.level == level)
            self.fields[field_of(level)].initial = texts.get(level, "")
            self.fields[field_of(level)].help_text = f"{HINTS[level]} {own}"

    def texts(self) -> dict[int, str]:
        return {int(level): self.cleaned_data.get(field_of(level)) or "" for level in Level}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for level, sentence in scripts.problems(
            {int(level): data.get(field_of(level)) or "" for level in Level}
        ).items():
            self.add_error(field_of(level), sentence)
        if data.get("product") and data.get("category"):
            self.add_error("category", _("A script is about a product or about a category."))
        return data


for _level in Level:  # declared as the class's own, so that the console takes them for fields of the form
    ScriptForm.base_fields[field_of(_level)] = ScriptForm.declared_fields[field_of(_level)] = forms.CharField(
        required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class TextInline(ReadOnlyInline):
    model = ScriptText
    verbose_name_plural = gettext_lazy("versions")
    fields = ("version_no", "level", "text", "made_by", "made_at")
    readonly_fields = fields
    ordering = ("-version_no", "level")
    max_num = 30


class PreviewForm(forms.Form):
    """What the page asks a preview of: texts that are not saved yet, for somebody or for nobody."""

    member = forms.CharField(required=False, max_length=64)
    product = forms.ModelChoiceField(Product.objects.all(), required=False)
    category = forms.ModelChoiceField(Category.objects.all(), required=False)
    occasion = forms.CharField(required=False, max_length=32)
    arrived_on = forms.DateField(required=False)

    def draft(self) -> Script:
        said = self.cleaned_data
        return Script(
            pk=0, product=said["product"], category=None if said["product"] else said["category"], occasion=said["occasion"],
            arrived_on=said["arrived_on"],
        )  # fmt: skip


@admin.register(Script)
class ScriptAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    form = ScriptForm
    change_form_template = "admin/campaigns/script/form.html"
    inlines = (TextInline,)
    list_display = ("name", "state_label", "about", "levels", "for_text", "version_no", "use_count", "changed_at")
    list_select_related = ("product", "category", "region", "entity", "store")
    list_filter = (
        ("is_active", lists.BooleanRadioFilter),
        ("product", lists.ScopedFilter),
        ("store", lists.ScopedFilter),
    )
    search_fields = ("name__startswith",)
    search_help_text = gettext_lazy("Beginning of the name")
    ordering = ("-pk",)
    autocomplete_fields = ("product", "category", "region", "entity", "store")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            # one to a row: the preview beside them leaves no room for two
            (None, {"fields": ("name", "product", "category", "occasion", "arrived_on")}),
            (_("Texts, from generic to personal"), {"fields": tuple(field_of(level) for level in Level)}),
            (
                _("Who may use it, and when"),
                {"fields": ("region", "entity", "store", "starts_at", "ends_at", "tags", "is_active")},
            ),
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        for level in Level:
            if field_of(level) in form.base_fields:
                form.base_fields[field_of(level)].label = f"{level.value} {level.label}"
        return form

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.preview_view))
        return [path("preview/", view, name="campaigns_script_preview"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        scripts.write(script=obj, texts=form.texts(), actor=request.user, now=timezone.now())

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["slots"] = list(slots.REGISTRY.values())
        context["preview_url"] = reverse("admin:campaigns_script_preview")
        return super().render_change_form(request, context, *args, **kwargs)

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        texts = scripts.texts_of(rows)
        for row in rows:
            row.shown_levels = sorted(texts.get(row.pk, {}))

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """The texts as typed, for the member named; nothing is written."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = PreviewForm(request.POST)
        if not form.is_valid():
            return JsonResponse({"error": _("Something in the form cannot be read yet.")}, status=400)
        texts = {int(level): request.POST.get(field_of(level), "")[:4_000] for level in Level}
        if not any(text.strip() for text in texts.values()):
            return JsonResponse({"empty": _("Write a text, and its preview appears here.")})
        found = scripts.problems(texts)
        if found:
            level, sentence = min(found.items())
            return JsonResponse({"error": f"{level} {Level(level).label}：{sentence}"})
        return JsonResponse(_preview(request, form, texts))

    @display(description=gettext_lazy("state"), label=STATES)
    def state_label(self, row: Script) -> Any:
        return state_of(row)

    @display(description=gettext_lazy("about"))
    def about(self, row: Script) -> str:
        return str(row.product or row.category or row.occasion or EMPTY)

    @display(description=gettext_lazy("levels"))
    def levels(self, row: Any) -> str:
        return "·".join(str(level) for level in row.shown_levels) or EMPTY

    @display(description=gettext_lazy("for"))
    def for_text(self, row: Script) -> str:
        return row.part_text


def _preview(request: HttpRequest, form: PreviewForm, texts: dict[int, str]) -> dict[str, Any]:
    term = form.cleaned_data["member"].strip()
    scope = org.scope_of(request.user)
    member = None
    if term:
        rows = org.visible(Member.objects.filter(members.search_q(term)), scope).select_related("tier")
        member = rows.order_by("-pk").first()
        if member is None:
            return {
                "error": _(
                    "There is no such member among those you see. Type a whole card number or the beginning of a name."
                )
            }
    lines = members.purchases(member_id=member.pk, scope=scope, limit=LINES_READ) if member else []
    bought = scripts.kept_lines(
        {"sku": line.product.sku, "product_name": line.product.name, "paid_at": line.paid_at, "order_no": line.order_id,
         "paid_fen": line.paid_fen, "refunded_fen": line.refunded_fen}
        for line in lines if not (line.is_test or line.is_voided)
    )  # fmt: skip
    draft = form.draft()
    facts = scripts.facts_for(
        member=member,
        scripts=[draft],
        bought=bought,
        guide="王芳",
        store="人民路店",
        today=business_day(timezone.now()),
    )[draft.pk]
    said = scripts.say(texts, facts)
    shown: dict[str, Any] = {"member": str(member) if member else _("nobody: only what the product says")}
    if said is None:
        return shown | {"error": _("Nothing could be said: not even the most generic text is filled.")}
    return shown | {
        "text": said.text, "level": f"{said.level.value} {said.level.label}", "why": said.why,
        "skipped": [
            {"level": f"{one.level.value} {one.level.label}", "lacking": "、".join(one.lacking)} for one in said.skipped
        ],
    }  # fmt: skip


@admin.register(ScriptUse)
class ScriptUseAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = ("used_at", "script", "level", "member_link", "guide_link", "store")
    list_select_related = ("guide", "store", "script")
    list_filter = (
        ("script", lists.ScopedFilter),
        ("level", lists.ChoicesDropdownFilter),
        ("store", lists.ScopedFilter),
    )
    fields = ("used_at", "script", "version_no", "level", "member_link", "guide_link", "store")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        names = lists.visible_names(request, Member, (row.member_id for row in rows))
        for row in rows:
            row.shown_member = names.get(row.member_id)

    @display(description=gettext_lazy("member"))
    def member_link(self, row: Any) -> Any:
        return link("members_member", row.member_id, row.shown_member) if row.shown_member else EMPTY
