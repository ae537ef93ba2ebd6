"""Lists that stay fast on tables of any size, and filters that name no row outside the scope.

An unfiltered list is counted by the planner's estimate, a filtered one up to ``COUNT_CAP``; paging ends there too, since an
OFFSET of millions reads millions. What lies deeper is found by a filter or the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlencode

from django import forms
from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.views import ChangeList
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from scrm import org

COUNT_CAP = 10_000
NO_FACETS = ShowFacets.NEVER

__all__ = [
    "COUNT_CAP", "NO_FACETS", "BooleanRadioFilter", "CappedChangeList", "CappedPaginator", "ChoicesDropdownFilter", "DayFilter",
    "DropdownFilter", "FileWidget", "RangeDateFilter", "RangeDateTimeFilter", "ScopedChangeList", "ScopedDropdownFilter", "ScopedFilter",
    "estimated_rows", "styled", "visible_names", "with_query",
]  # fmt: skip


class ScopedChangeList(ChangeList):
    """Hands the page's rows to ``decorate``, so that columns never ask row by row."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        self.model_admin.decorate(request, self.result_list)
        self.full_result_count = self.result_count  # the header needs no second count


class CappedChangeList(ScopedChangeList):
    def get_results(self, request: HttpRequest) -> None:
        paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        last = COUNT_CAP // self.list_per_page
        if not 1 <= self.page_num <= last:
            raise IncorrectLookupParameters
        start = (self.page_num - 1) * self.list_per_page
        rows = list(self.queryset[start : start + self.list_per_page + 1])
        self.has_next = len(rows) > self.list_per_page and self.page_num < last
        self.result_list = rows[: self.list_per_page]
        if not self.has_next and self.result_list:
            paginator.knows(start + len(self.result_list))
        elif not org.scope_of(request.user).is_everything:
            paginator.knows(start + len(self.result_list), is_more=self.has_next)
        self.paginator, self.result_count = paginator, paginator.count
        self.full_result_count = self.result_count
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = bool(self.result_list)
        self.multi_page = self.page_num > 1 or self.has_next
        self.model_admin.decorate(request, self.result_list)


class CappedPaginator(Paginator):
    """``count`` is an estimate or is capped; ``count_text`` says which."""

    template_name = "admin/pagination_capped.html"

    def knows(self, count: int, *, is_more: bool = False) -> None:
        """What the page itself has shown. A part of the organisation is not counted beyond it: the rows of a few shops
        lie scattered over the whole table."""
        self.__dict__["_counted"] = (count, f"{count:,}+" if is_more else f"{count:,}")

    @cached_property
    def _counted(self) -> tuple[int, str]:
        rows: Any = self.object_list
        if not rows.query.where:
            estimate = estimated_rows(rows.model)
            if estimate > COUNT_CAP:
                return estimate, f"≈ {estimate:,}"
        capped = rows.order_by()[: COUNT_CAP + 1].count()
        return (COUNT_CAP, f"{COUNT_CAP:,}+") if capped > COUNT_CAP else (capped, f"{capped:,}")

    @cached_property
    def count(self) -> int:
        return self._counted[0]

    @property
    def count_text(self) -> str:
        return self._counted[1]

    @cached_property
    def num_pages(self) -> int:
        return max(1, -(-min(self.count, COUNT_CAP) // self.per_page))


def visible_names(request: HttpRequest, model: type[Model], keys: Iterable[Any]) -> dict[Any, str]:
    """``{pk: name}`` of those rows that the user may see; one query for a whole page."""
    wanted = {key for key in keys if key is not None}
    if not wanted:
        return {}
    rows = org.visible(model._default_manager.filter(pk__in=wanted), org.scope_of(request.user))
    return {row.pk: str(row) for row in rows}


def with_query(url: str, **params: str) -> str:
    return f"{url}?{urlencode(params)}"


def estimated_rows(model: type[Model]) -> int:
    """The planner's row count of a table and its partitions; 0 when it was never analysed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c WHERE c.relkind = 'r' AND"
            " (c.oid = %s::regclass OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass))",
            [model._meta.db_table] * 2,
        )
        return int(cursor.fetchone()[0])


class ScopedFilter(AutocompleteSelectFilter):
    """A foreign key as a filter: the choices come from the scoped autocomplete, and so does the name of the chosen row."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        for choice in super().choices(changelist):
            field = choice["form"].fields[self.lookup_kwarg]
            field.queryset = org.visible(field.queryset.all(), org.scope_of(self.request.user))
            yield choice


class ScopedDropdownFilter(RelatedDropdownFilter):
    """The same for a table of a few dozen rows."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        rows = org.visible(field.remote_field.model._default_manager.all(), org.scope_of(request.user))
        return [(row.pk, str(row)) for row in rows.order_by("pk")[:200]]


class DayFilter(RangeDateTimeFilter):
    """A moment by calendar days: the theme's own filter wants hours and minutes too."""

    template = "unfold/filters/filters_date_range.html"

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        from django.contrib.admin import FieldListFilter

        FieldListFilter.__init__(self, field, request, params, model, model_admin, field_path)
        self.request, self.parameter_name = request, field_path
        for name in self.expected_parameters():
            value = params.pop(name, None)
            if value:
                self.used_parameters[name] = value[-1] if isinstance(value, list) else value

    def expected_parameters(self) -> list[str]:
        return [f"{self.field_path}_from", f"{self.field_path}_to"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        from scrm.admin.shown import day_range

        return queryset.filter(**day_range(self.field_path, *map(self.used_parameters.get, self.expected_parameters())))

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        from unfold.contrib.filters.forms import RangeDateForm

        data = {name: self.used_parameters.get(name) for name in self.expected_parameters()}
        form = RangeDateForm(name=self.field_path, data=data)
        yield {"request": self.request, "parameter_name": self.field_path, "form": form}


FileWidget = UnfoldAdminFileFieldWidget

_WIDGETS: tuple[tuple[type[forms.Widget], type[forms.Widget]], ...] = (
    (forms.Textarea, UnfoldAdminTextareaWidget),
    (forms.PasswordInput, UnfoldAdminPasswordWidget),
    (forms.CheckboxInput, UnfoldBooleanWidget),
    (forms.DateInput, UnfoldAdminDateWidget),
    (forms.SplitDateTimeWidget, UnfoldAdminSplitDateTimeWidget),
    (forms.NumberInput, UnfoldAdminIntegerFieldWidget),
    (forms.TextInput, UnfoldAdminTextInputWidget),
)


AForm = TypeVar("AForm", bound=forms.BaseForm)


def styled(form: AForm) -> AForm:
    """Give a plain form the theme's widgets."""
    for field in form.fields.values():
        if isinstance(field.widget, forms.Select) and not isinstance(field.widget, UnfoldAdminSelectWidget):
            field.widget = UnfoldAdminSelectWidget(choices=field.widget.choices)
            continue
        for plain, themed in _WIDGETS:
            if isinstance(field.widget, plain) and not isinstance(field.widget, themed):
                old = field.widget
                field.widget = themed(attrs={k: v for k, v in old.attrs.items() if k != "class"})
                field.widget.is_required = old.is_required
                break
    return form
