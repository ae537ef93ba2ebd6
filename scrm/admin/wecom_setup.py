"""Setting WeCom up in the console: corps, apps and their secrets, the addresses that WeCom calls.

Secrets and keys go in through forms and never come out again: not in a list, a page, a message or the history.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.enums import ActionVariant

from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, GOOD, QUIET, display, state
from scrm.admin.staff import NameForm, ReasonForm
from scrm.admin.words import problem_text
from scrm.errors import RuleViolation
from scrm.models import CallbackEndpoint, Corp, WecomApp
from scrm.org import Right
from scrm.wecom import corps, errors, inbox, tokens

words.register(
    {
        "wecom.add_corp": gettext_lazy("added a WeCom corp"),
        "wecom.rename_corp": gettext_lazy("renamed a WeCom corp"),
        "wecom.add_app": gettext_lazy("added a WeCom app"),
        "wecom.replace_secret": gettext_lazy("replaced the secret of a WeCom app"),
        "wecom.save_endpoint": gettext_lazy("saved the keys of a WeCom callback"),
        "wecom.switch_endpoint": gettext_lazy("switched a WeCom callback on or off"),
    }
)


class CorpForm(NameForm):
    corp_id = forms.CharField(
        label=gettext_lazy("Corp id"),
        max_length=64,
        help_text=gettext_lazy("In WeCom's console: My company, company information, corp id"),
    )
    field_order = ("corp_id", "name")


class SecretForm(forms.Form):
    secret = forms.CharField(
        label=gettext_lazy("Secret"),
        max_length=128,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy(
            "In WeCom's console: app management, the app, Secret. It is stored sealed and never shown again."
        ),
    )


class ReplaceSecretForm(SecretForm, ReasonForm):
    field_order = ("secret", "reason")


class AppForm(NameForm, SecretForm):
    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=WecomApp.Kind.choices)
    agent_id = forms.IntegerField(
        label=gettext_lazy("Agent id"), required=False, min_value=1,
        help_text=gettext_lazy("In WeCom's console: app management, the app, AgentId. Empty for the contact sync."),
    )  # fmt: skip
    field_order = ("corp", "kind", "name", "agent_id", "secret")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["corp"].queryset = Corp.objects.order_by("pk")  # type: ignore[attr-defined]


class KeysForm(forms.Form):
    """Filled with new keys; those that WeCom's console has drawn may be pasted over them."""

    token = forms.CharField(
        label="Token", max_length=32, initial=inbox.new_token,
        help_text=gettext_lazy("Copy it into WeCom's console, or paste the one drawn there."),
    )  # fmt: skip
    aes_key = forms.CharField(
        label="EncodingAESKey", min_length=43, max_length=43, initial=inbox.new_aes_key,
        help_text=gettext_lazy("Copy it now: it is stored sealed and never shown again. Save here first, then in WeCom."),
    )  # fmt: skip


class ReplaceKeysForm(KeysForm):
    pass


class EndpointForm(KeysForm):
    name = forms.CharField(
        label=gettext_lazy("Name in the address"), max_length=40, initial="customers",
        help_text=gettext_lazy("Small letters, digits and hyphens; the address is …/wecom/callback/<name>."),
    )  # fmt: skip
    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    field_order = ("corp", "name", "token", "aes_key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["corp"].queryset = Corp.objects.order_by("pk")  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if CallbackEndpoint.objects.filter(name=name).exists():
            raise forms.ValidationError(_("This address is in use; replace its keys on its page."))
        return name


class FormAdmin(ReadOnlyAdmin):
    """Added through a plain form whose values one operation takes; nothing is edited in place."""

    add_right = Right.CHANGE
    add_form: ClassVar[type[forms.Form]]
    add_title: ClassVar[Any]
    added: ClassVar[Any]
    ordering: ClassVar[tuple[str, ...]] = ("pk",)

    def add(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        raise PermissionDenied

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        sent = (request.POST, request.FILES) if request.method == "POST" else (None, None)
        form = lists.styled(self.add_form(*sent))
        if request.method == "POST" and form.is_valid():
            try:
                made = self.add(request, form.cleaned_data)
            except RuleViolation as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, str(self.added))
                return HttpResponseRedirect(self.url_of(made))
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        context = self.page_context(request, None, title=str(self.add_title), form=form, back=back, act=None)
        return TemplateResponse(request, self.act_template, context)


@object_act(gettext_lazy("Change the name"), right=Right.CHANGE, form=NameForm, icon="edit")
def rename(self: Any, request: HttpRequest, corp: Corp, data: dict[str, Any]) -> str:
    corps.rename_corp(actor=request.user, corp=corp, name=data["name"])
    return _("The name is changed.")


@admin.register(Corp)
class CorpAdmin(FormAdmin):
    acts = (rename,)
    add_form, add_title = CorpForm, gettext_lazy("New WeCom corp")
    added = gettext_lazy("The corp is there. Now add its apps.")
    list_display = fields = ("name", "corp_id")

    def acts_for(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        link = {
            "title": _("Self-check"),
            "icon": "troubleshoot",
            "path": reverse("admin:wecom_check_corp", args=(obj.pk,)),
            "variant": ActionVariant.PRIMARY,
            "attrs": {},
            "dialog": None,
        }
        return [link, *super().acts_for(request, obj)]

    def add(self, request: HttpRequest, data: dict[str, Any]) -> Corp:
        return corps.add_corp(actor=request.user, **data)


@object_act(
    gettext_lazy("Replace the secret"), right=Right.CHANGE, form=ReplaceSecretForm, icon="key",
    warning=gettext_lazy("From now on WeCom is asked with the new secret only."),
)  # fmt: skip
def replace_secret(self: Any, request: HttpRequest, app: WecomApp, data: dict[str, Any]) -> str:
    corps.replace_secret(actor=request.user, app=app, **data)
    return _("The secret is replaced.")


@admin.register(WecomApp)
class WecomAppAdmin(FormAdmin):
    acts = (replace_secret,)
    add_form, add_title = AppForm, gettext_lazy("New WeCom app")
    added = gettext_lazy("The app is there. The self-check shows whether WeCom accepts it.")
    list_display = fields = ("name", "corp", "kind", "agent_id", "token_label")
    list_select_related = ("corp", "token")

    def add(self, request: HttpRequest, data: dict[str, Any]) -> WecomApp:
        return corps.add_app(actor=request.user, **data)

    @display(description=gettext_lazy("credentials"), label={"good": GOOD, "bad": BAD, "new": QUIET})
    def token_label(self, app: WecomApp) -> Any:
        token = getattr(app, "token", None)
        if token is None or (token.token_sealed is None and token.refused_code is None):
            return state("new", _("not asked for yet"))
        if token.refused_code is None:
            return state("good", _("accepted"))
        unanswered = token.refused_code == tokens.UNANSWERED
        error = errors.Unreachable if unanswered else type(errors.of(token.refused_code, tokens.ENDPOINT))
        return state("bad", problem_text(error.code))


@object_act(
    gettext_lazy("Replace the keys"), right=Right.CHANGE, form=ReplaceKeysForm, icon="key",
    warning=gettext_lazy("The keys before them stop working within seconds. Enter the same ones in WeCom's console right after."),
)  # fmt: skip
def replace_keys(self: Any, request: HttpRequest, endpoint: CallbackEndpoint, data: dict[str, Any]) -> str:
    inbox.save_endpoint(name=endpoint.name, corp_id=endpoint.corp_id, actor=request.user, **data)
    return _("The keys are replaced.")


@object_act(
    gettext_lazy("Switch off"), right=Right.CHANGE, form=ReasonForm, icon="block",
    offered=lambda endpoint: endpoint.is_active,
    warning=gettext_lazy("What WeCom tells us meanwhile is refused; after some tries it gives up for good."),
)  # fmt: skip
def switch_off(self: Any, request: HttpRequest, endpoint: CallbackEndpoint, data: dict[str, Any]) -> str:
    inbox.switch_endpoint(endpoint=endpoint, is_active=False, actor=request.user, reason=data["reason"])
    return _("The callback is switched off.")


@object_act(
    gettext_lazy("Switch on"), right=Right.CHANGE, form=ReasonForm, icon="check",
    offered=lambda endpoint: not endpoint.is_active,
)  # fmt: skip
def switch_on(self: Any, request: HttpRequest, endpoint: CallbackEndpoint, data: dict[str, Any]) -> str:
    inbox.switch_endpoint(endpoint=endpoint, is_active=True, actor=request.user, reason=data["reason"])
    return _("The callback is switched on.")


@admin.register(CallbackEndpoint)
class CallbackEndpointAdmin(FormAdmin):
    acts = (replace_keys, switch_off, switch_on)
    add_form, add_title = EndpointForm, gettext_lazy("New WeCom callback")
    added = gettext_lazy(
        "The callback is ready. Enter its address and keys in WeCom's console: app management, the app, receiving messages."
    )
    ordering = ("name",)
    list_display = ("name", "corp_id", "is_active")
    fields = ("name", "address", "corp_id", "is_active")

    def add(self, request: HttpRequest, data: dict[str, Any]) -> CallbackEndpoint:
        corp = data.pop("corp")
        return inbox.save_endpoint(corp_id=corp.corp_id, actor=request.user, **data)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        path = reverse("wecom-callback", args=(found.name,))
        found.shown_address = settings.PUBLIC_URL + path if settings.PUBLIC_URL else request.build_absolute_uri(path)
        return found

    @display(description=gettext_lazy("address for WeCom's console"))
    def address(self, endpoint: Any) -> str:
        return endpoint.shown_address
