"""The bases of every admin class: whose rows, whose rights, how wide a list may reach.

1. Rows come through ``org.visible``: list, detail, history, delete page, autocomplete, act and foreign key alike. A row
   outside the scope does not exist (404).
2. Rights come from ``org.RIGHTS``; an admin class only names the right each kind of work needs. None: nobody does it here.
3. A look-up by URL is taken only when the class declares it as a filter.
4. What changes a row is recorded as an act in the same transaction; there is no second log.
5. An act on one row is a page with a form (GET asks, POST does), so it works without script and is never a link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.enums import ActionVariant

from scrm import audit, org
from scrm.admin import lists
from scrm.errors import RuleViolation
from scrm.models import Act
from scrm.org import Right

HISTORY_ROWS = 200


@dataclass(frozen=True, slots=True)
class ObjectAct:
    """A button on a detail page: the right it needs, the form it asks, when it is offered."""

    name: str
    title: Any
    right: Right
    form: type[forms.Form]
    icon: str
    warning: Any  # a sentence, or what makes one of the row
    offered: Callable[[Any], bool]
    asker: Callable[[Any], int | None]
    perform: Callable[..., str]


class NoQuestions(forms.Form):
    """An act that asks nothing but to be confirmed."""


def object_act(
    title: Any,
    *,
    right: Right = Right.ACT,
    form: type[forms.Form] = NoQuestions,
    icon: str = "play_arrow",
    warning: Any = "",
    offered: Callable[[Any], bool] = lambda obj: True,
    asker: Callable[[Any], int | None] = lambda obj: None,
) -> Callable[[Callable[..., str]], ObjectAct]:
    """``perform(admin, request, obj, data)`` calls one operation and returns the sentence to show. ``asker`` is the key of whom
    the row waits for somebody else: she is not offered it, and the operation refuses her (S4)."""

    def wrap(perform: Callable[..., str]) -> ObjectAct:
        return ObjectAct(perform.__name__, title, right, form, icon, warning, offered, asker, perform)

    return wrap


class ScopedAdmin(ModelAdmin):
    view_right: ClassVar[Right | None] = Right.VIEW
    add_right: ClassVar[Right | None] = None
    change_right: ClassVar[Right | None] = None
    delete_right: ClassVar[Right | None] = None
    acts: ClassVar[tuple[ObjectAct, ...]] = ()

    list_per_page = 30
    list_filter_submit = True
    show_full_result_count = False
    show_facets = lists.NO_FACETS
    object_history_template = "admin/history.html"
    act_template = "admin/act.html"

    # --- rows ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return org.visible(super().get_queryset(request), org.scope_of(request.user))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404
        return found

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        rows = kwargs.get("queryset")
        if rows is None:
            rows = db_field.remote_field.model._default_manager.all()
        kwargs["queryset"] = org.visible(rows, org.scope_of(request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        declared = [item[0] if isinstance(item, (list, tuple)) else item for item in self.list_filter]
        if lookup in [getattr(item, "parameter_name", None) for item in declared]:
            return True  # a filter's own word, which names no column
        fields = [item for item in declared if isinstance(item, str)]
        return any(lookup == name or lookup.startswith(name + "__") for name in fields) and super().lookup_allowed(
            lookup, value, request
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[lists.ScopedChangeList]:
        return lists.ScopedChangeList

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        """Read once for a whole page what its columns need; ``rows`` are the rows shown."""

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    # --- rights ---

    def has_right(self, request: HttpRequest, right: Right | None) -> bool:
        if right is None or not (org.is_scoped(self.model) or org.scope_of(request.user).is_everything):
            return False
        return org.may(request.user, right)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request, self.view_right)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_right(request, self.add_right)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request, self.change_right)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request, self.delete_right)

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request, Right.ACT)

    # --- acts ---

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        act = path("<path:object_id>/act/<slug:act_name>/", self.admin_site.admin_view(self.act_view), name=name)
        return [act, *super().get_urls()]

    def acts_for(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """The buttons this user is offered on this row, as the theme's templates take them."""
        url = f"admin:{self.opts.app_label}_{self.opts.model_name}_act"
        return [
            {
                "title": act.title,
                "icon": act.icon,
                "path": reverse(url, args=(quote(obj.pk), act.name)),
                "variant": ActionVariant.DEFAULT,
                "attrs": {},
                "dialog": None,
            }
            for act in self.acts
            if self.has_right(request, act.right) and act.offered(obj) and act.asker(obj) != request.user.pk
        ]

    def act_view(self, request: HttpRequest, object_id: str, act_name: str) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        act = next((a for a in self.acts if a.name == act_name), None)
        if act is None:
            raise Http404
        if not self.has_right(request, act.right):
            raise PermissionDenied
        kind = getattr(act.form, "of", lambda _row: act.form)(obj)  # a form may depend on the row it is asked for
        form = lists.styled(kind(request.POST if request.method == "POST" else None))
        back = self.url_of(obj)
        if not act.offered(obj):
            messages.error(request, _("This is not possible in the present state."))
            return HttpResponseRedirect(back)
        if request.method == "POST" and form.is_valid():
            try:
                messages.success(request, act.perform(self, request, obj, form.cleaned_data))
            except RuleViolation as error:
                messages.error(request, error.message)
            return HttpResponseRedirect(back)
        warning = act.warning(obj) if callable(act.warning) else act.warning
        context = self.page_context(request, obj, title=str(act.title), warning=warning, form=form, back=back)
        return TemplateResponse(request, self.act_template, context)

    def page_context(self, request: HttpRequest, obj: Any, **more: Any) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        if obj is None:  # a page of no single row: its own name ends the way that the header shows
            request.page_title = more.get("title", "")  # type: ignore[attr-defined]
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "media": self.media,
            "is_popup": False,
            **more,
        }

    def url_of(self, obj: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=(quote(obj.pk),))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if context.get("original") is not None:
            context["actions_detail"] = [
                *(context.get("actions_detail") or []),
                *self.acts_for(request, context["original"]),
            ]
        return cast(HttpResponse, super().render_change_form(request, context, *args, **kwargs))

    # --- history: acts instead of a log of its own ---

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return audit.record(actor=request.user, verb="console.add", target=obj)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return audit.record(actor=request.user, verb="console.change", target=obj, fields=_changed(message))

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        return [audit.record(actor=request.user, verb="console.delete", target=obj) for obj in queryset]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        acts = Act.objects.filter(target_type=obj._meta.label, target_id=str(obj.pk)).select_related("actor")
        title = _("History: %s") % obj
        context = self.page_context(request, obj, title=title, acts=acts.order_by("-pk")[:HISTORY_ROWS])
        return TemplateResponse(request, self.object_history_template, context)


class ReadOnlyAdmin(ScopedAdmin):
    """Ledgers, events, decisions: shown, never edited."""

    show_add_link = False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        if request.method not in ("GET", "HEAD"):
            if object_id is not None:
                self.get_object(request, unquote(object_id))  # a row outside the scope does not even refuse
            raise PermissionDenied
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or self.readonly_fields


class BigTableAdmin(ScopedAdmin):
    """A table of millions: no full count, no order but the key's, no page beyond the ten-thousandth row."""

    ordering = ("-pk",)
    sortable_by = ()
    paginator = lists.CappedPaginator

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[lists.ScopedChangeList]:
        return lists.CappedChangeList


class BigReadOnlyAdmin(BigTableAdmin, ReadOnlyAdmin):
    pass


class ReadOnlyInline(TabularInline):
    """Rows that hang on the row shown, capped; seen when the row itself is."""

    extra = 0
    can_delete = False
    show_change_link = False
    hide_title = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _changed(message: Any) -> list[str]:
    """Names of the changed fields out of Django's change message; never their values."""
    if not isinstance(message, list):
        return []
    return sorted({str(capfirst(name)) for part in message for name in part.get("changed", {}).get("fields", [])})
