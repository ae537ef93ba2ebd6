"""Expert answers in the console."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from campaigns import knowledge
from campaigns.admin.content import KeywordsField
from campaigns.models import Answer
from scrm.admin import lists
from scrm.admin.bases import ScopedAdmin
from scrm.admin.shown import EMPTY, display
from scrm.org import Right


class AnswerForm(forms.ModelForm):
    tags = KeywordsField(
        label=gettext_lazy("keywords"), required=False, widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Separated by commas; guides search by them"),
    )  # fmt: skip

    class Meta:
        model = Answer
        fields = ("question", "answer", "expert", "products", "tags", "region", "entity", "store", "is_active")


@admin.register(Answer)
class AnswerAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    delete_right: ClassVar[Right | None] = Right.CHANGE
    form = AnswerForm
    list_display = (
        "question",
        "expert",
        "keywords",
        "for_text",
        "useful_count",
        "useless_count",
        "is_active",
        "changed_at",
    )
    list_select_related = ("region", "entity", "store")
    list_filter = (("is_active", lists.BooleanRadioFilter), ("store", lists.ScopedFilter))
    search_fields = ("question",)
    search_help_text = gettext_lazy("As a customer asks")
    ordering = ("-pk",)
    autocomplete_fields = ("products", "region", "entity", "store")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            (None, {"fields": ("question", "answer", ("expert", "tags"), "products")}),
            (_("Who may use it, and when"), {"fields": (("region", "entity", "store"), "is_active")}),
        )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        term = search_term.strip()
        return (knowledge.matching(queryset, term) if term else queryset), False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        knowledge.index(answer=form.instance)

    @display(description=gettext_lazy("keywords"))
    def keywords(self, row: Answer) -> str:
        return "、".join(row.tags) or EMPTY

    @display(description=gettext_lazy("for"))
    def for_text(self, row: Answer) -> str:
        return row.part_text
