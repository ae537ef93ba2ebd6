"""Staff accounts and their grants in the console."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm import people
from scrm.admin import lists
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, EMPTY, GOOD, NEW, display, link, state
from scrm.errors import RuleViolation
from scrm.models import Grant, LegalEntity, Region, Role, Store, User
from scrm.org import Right


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=256, min_length=2)


class PasswordForm(forms.Form):
    password = forms.CharField(
        label=gettext_lazy("New password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("At least 10 characters. Tell it in person; it is changed at the first login."),
    )


class NameForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=64)


class NewUserForm(NameForm, PasswordForm):
    username = forms.CharField(label=gettext_lazy("User name"), max_length=150)
    field_order = ("username", "name", "password")


class GrantForm(forms.Form):
    """Which role over which part; a part that the role does not take stays empty."""

    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Role.choices)
    region = forms.ModelChoiceField(Region.objects.none(), label=gettext_lazy("Region"), required=False)
    entity = forms.ModelChoiceField(LegalEntity.objects.none(), label=gettext_lazy("Legal entity"), required=False)
    store_code = forms.CharField(label=gettext_lazy("Store code"), required=False, max_length=32)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["region"].queryset = Region.objects.order_by("code")  # type: ignore[attr-defined]
        self.fields["entity"].queryset = LegalEntity.objects.order_by("code")  # type: ignore[attr-defined]

    def clean_store_code(self) -> Store | None:
        code = self.cleaned_data["store_code"].strip()
        store = Store.objects.filter(code=code).first() if code else None
        if code and store is None:
            raise forms.ValidationError(_("There is no store with this code."))
        return store


@object_act(gettext_lazy("Give a role"), right=Right.CHANGE, form=GrantForm, icon="key")
def grant(self: Any, request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    given = people.grant(
        actor=request.user, user=user, role=data["role"], region=data["region"], entity=data["entity"],
        store=data["store_code"],
    )  # fmt: skip
    return _("%(person)s now has the role %(role)s.") % {"person": user, "role": given}


@object_act(gettext_lazy("Set a password"), right=Right.CHANGE, form=PasswordForm, icon="password")
def set_password(self: Any, request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    people.set_password(actor=request.user, user=user, password=data["password"])
    return _("The password is set; running sessions of this account have ended.")


@object_act(gettext_lazy("Change the name"), right=Right.CHANGE, form=NameForm, icon="edit")
def rename(self: Any, request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    people.rename(actor=request.user, user=user, name=data["name"])
    return _("The name is changed.")


@object_act(
    gettext_lazy("Disable"), right=Right.CHANGE, form=ReasonForm, icon="block", offered=lambda user: user.is_active,
    warning=gettext_lazy("The person is logged out everywhere at once."),
)  # fmt: skip
def disable(self: Any, request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    people.disable(actor=request.user, user=user, reason=data["reason"])
    return _("The account is disabled.")


@object_act(
    gettext_lazy("Enable"), right=Right.CHANGE, form=ReasonForm, icon="check", offered=lambda user: not user.is_active
)
def enable(self: Any, request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    people.enable(actor=request.user, user=user, reason=data["reason"])
    return _("The account is enabled.")


@object_act(
    gettext_lazy("Remove the second factor"), right=Right.CHANGE, form=ReasonForm, icon="phonelink_erase",
    offered=people.has_second_factor,
)  # fmt: skip
def remove_second_factor(self: Any, request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    people.remove_second_factor(actor=request.user, user=user, reason=data["reason"])
    return _("The person sets up a new second factor at the next login.")


@object_act(gettext_lazy("Take the role away"), right=Right.CHANGE, form=ReasonForm, icon="key_off")
def revoke(self: Any, request: HttpRequest, given: Grant, data: dict[str, Any]) -> str:
    people.revoke(actor=request.user, grant=given, reason=data["reason"])
    return _("The role is taken away.")


class AccountFilter(lists.DropdownFilter):
    """Guides log in through the mini-program; some of them work in the console too."""

    title = gettext_lazy("account")
    parameter_name = "account"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("staff", gettext_lazy("with a role in the console")), ("guide", gettext_lazy("guides"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "staff":
            return queryset.filter(pk__in=Grant.objects.values("user_id"))
        return queryset.filter(guide__isnull=False) if self.value() == "guide" else queryset


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    add_right = Right.CHANGE
    acts = (grant, rename, set_password, disable, enable, remove_second_factor)
    list_display = ("username", "full_name", "roles", "active_label", "last_login")
    list_display_links = ("username", "full_name")
    list_filter = (AccountFilter, ("is_active", lists.BooleanRadioFilter))
    search_fields = ("username__startswith", "name__startswith")
    search_help_text = gettext_lazy("Beginning of the user name or name")
    ordering = ("-pk",)
    fields = ("login_name", "full_name", "active_label", "roles", "last_login", "date_joined")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        grants: dict[int, list[str]] = {}
        found = Grant.objects.filter(user__in=[row.pk for row in rows]).select_related("region", "entity", "store")
        for given in found:
            grants.setdefault(given.user_id, []).append(str(given))
        for row in rows:
            row.shown_roles = "、".join(grants.get(row.pk, []))

    @display(description=gettext_lazy("User name"))
    def login_name(self, user: User) -> str:
        return user.username

    @display(description=gettext_lazy("Name"))
    def full_name(self, user: User) -> str:
        return user.name or EMPTY

    @display(description=gettext_lazy("roles"))
    def roles(self, user: Any) -> str:
        if not hasattr(user, "shown_roles"):
            self.decorate(None, [user])  # type: ignore[arg-type]
        return user.shown_roles or EMPTY

    @display(description=gettext_lazy("state"), label={True: GOOD, False: BAD})
    def active_label(self, user: User) -> Any:
        return state(user.is_active, _("active") if user.is_active else _("disabled"))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = lists.styled(NewUserForm(request.POST if request.method == "POST" else None))
        if request.method == "POST" and form.is_valid():
            try:
                user = people.create(actor=request.user, **form.cleaned_data)
            except RuleViolation as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, _("The account exists. Now give it a role."))
                return HttpResponseRedirect(self.url_of(user))
        back = reverse("admin:scrm_user_changelist")
        context = self.page_context(request, None, title=_("New account"), form=form, back=back, act=None)
        return TemplateResponse(request, self.act_template, context)


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin):
    acts = (revoke,)
    list_display = ("person", "role_label", "region", "entity", "store")
    list_select_related = ("user", "region", "entity", "store")
    list_filter = (("role", lists.ChoicesDropdownFilter), ("user", lists.ScopedFilter))
    search_fields = ("user__username__startswith", "user__name__startswith")
    search_help_text = gettext_lazy("Beginning of the user name or name")
    ordering = ("-pk",)
    fields = ("user", "role_label", "region", "entity", "store")

    @display(description=gettext_lazy("user"))
    def person(self, given: Grant) -> SafeString:
        return link("scrm_user", given.user_id, given.user)

    @display(description=gettext_lazy("role"), label=dict.fromkeys(Role, NEW))
    def role_label(self, given: Grant) -> Any:
        return state(given.role, given.get_role_display())

    def url_of(self, obj: Any) -> str:
        """After a grant is taken away there is nothing left but its owner."""
        return reverse("admin:scrm_user_change", args=(obj.user_id,))
