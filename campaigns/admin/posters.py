"""Posters in the console: the picture, where the code stands, and how it comes out."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import content_files, posters
from campaigns.admin.content import STATES, state_of
from campaigns.models import ContentFile, Poster
from scrm.admin import lists
from scrm.admin.bases import ScopedAdmin
from scrm.admin.shown import display
from scrm.errors import RuleViolation
from scrm.org import Right


class PosterForm(forms.ModelForm):
    file = forms.FileField(
        label=gettext_lazy("picture"), required=False, widget=lists.FileWidget(),
        help_text=gettext_lazy("JPEG, PNG or WebP, up to 10 MB; written anew, drawn 1,080 pixels wide"),
    )  # fmt: skip

    class Meta:
        model = Poster
        fields = (
            "name", "code", "target", "code_left", "code_top", "code_width", "has_name", "region", "entity", "store", "starts_at",
            "ends_at", "is_active",
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        self.picture: ContentFile | None = None
        if data.get("file"):
            try:
                self.picture = content_files.checked(ContentFile.Kind.IMAGE, data["file"].name, data["file"].read())
            except RuleViolation as error:
                self.add_error("file", error.message)
                return data
        asked = Poster(code=data.get("code", ""), target=data.get("target", ""), picture_id=self.instance.picture_id)
        for name, sentence in posters.problems(asked, self.picture).items():
            self.add_error(name, sentence)
        return data


@admin.register(Poster)
class PosterAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    form = PosterForm
    change_form_template = "admin/campaigns/poster/form.html"
    list_display = ("name", "state_label", "code", "for_text", "changed_at")
    list_select_related = ("region", "entity", "store")
    list_filter = (("code", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter))
    search_fields = ("name__startswith",)
    ordering = ("-pk",)
    autocomplete_fields = ("region", "entity", "store")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            (
                None,
                {"fields": ("name", "file", ("code", "target"), ("code_left", "code_top", "code_width"), "has_name")},
            ),
            (
                _("Who may use it, and when"),
                {"fields": (("region", "entity", "store"), ("starts_at", "ends_at"), "is_active")},
            ),
        )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.example_view)
        return [path("<int:object_id>/example/", view, name="campaigns_poster_example"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        posters.write(poster=obj, picture=form.picture)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        obj = context.get("original")
        if obj is not None:
            address = reverse("admin:campaigns_poster_example", args=(obj.pk,))
            context["example_url"] = f"{address}?at={obj.changed_at.timestamp():.0f}"
        return super().render_change_form(request, context, *args, **kwargs)

    def example_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        row = self.get_object(request, str(object_id))
        if not self.has_view_permission(request, row):
            raise Http404
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}
        return HttpResponse(posters.example(row), content_type="image/jpeg", headers=headers)

    @display(description=gettext_lazy("state"), label=STATES)
    def state_label(self, row: Poster) -> Any:
        return state_of(row)

    @display(description=gettext_lazy("for"))
    def for_text(self, row: Poster) -> str:
        return row.part_text
