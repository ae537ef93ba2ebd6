"""Shops on platforms in the console: connecting, testing, settings, how far each has been read, pushes for nobody.

Secrets and tokens go in through forms and never come out again.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution.channels import client, polling, registry, shops
from attribution.models import ChannelCursor, ChannelNotice, ChannelShop, StrangePush
from members import queries as member_queries
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, state, until
from scrm.admin.staff import ReasonForm
from scrm.admin.wecom_setup import FormAdmin
from scrm.errors import RuleViolation
from scrm.models import Store
from scrm.org import Right

LATE = dt.timedelta(minutes=30)  # a reading behind by more is shown in red

words.register(
    {
        "channel.connect": gettext_lazy("connected a shop on a platform"),
        "channel.replace_keys": gettext_lazy("replaced the keys of a shop on a platform"),
        "channel.switch": gettext_lazy("paused or resumed a shop on a platform"),
        "channel.configure": gettext_lazy("changed the settings of a shop on a platform"),
        "channel.read_again": gettext_lazy("had a period of a shop read again"),
        "channel.take_strange": gettext_lazy("took a push of an unknown shop"),
    }
)
KINDS = {
    "TOKEN": gettext_lazy("The platform refuses our token. Grant it anew and enter it with “Replace the keys”."),
    "PACE": gettext_lazy("The platform says we ask too often. It is read again later."),
    "PASSING": gettext_lazy("The platform did not answer. It is read again later."),
    "WRONG": gettext_lazy("The platform refuses the call. Check the shop number, the permissions and the settings."),
}


def explained(code: str) -> str:
    """What a code of the client means, and what helps."""
    kind, _colon, detail = code.partition(":")
    return f"{KINDS[kind]}（{detail}）" if kind in KINDS else code


class ConnectForm(forms.Form):
    channel = forms.ChoiceField(label=gettext_lazy("Platform"))
    shop_no = forms.CharField(
        label=gettext_lazy("Shop no."), max_length=64, help_text=gettext_lazy("As the platform names it: kdt_id, venderId, shop_id, sellerId, appid.")
    )  # fmt: skip
    name = forms.CharField(label=gettext_lazy("Name"), max_length=64)
    app_key = forms.CharField(
        label=gettext_lazy("App key"),
        max_length=128,
        help_text=gettext_lazy("client_id, app_key or appid of our application"),
    )
    secret = forms.CharField(
        label=gettext_lazy("Secret"), max_length=200, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("It is stored sealed and never shown again."),
    )  # fmt: skip
    more = forms.CharField(
        label=gettext_lazy("Further secrets"), required=False, widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=gettext_lazy("One a line, name=value: sign_secret and message_secret for Kuaishou, push_token and push_aes_key for the WeChat shop."),
    )  # fmt: skip
    token = forms.CharField(
        label=gettext_lazy("Access token"), required=False, max_length=1_000, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Not needed for Youzan, the WeChat shop and an application of your own on Douyin, where it is fetched."),
    )  # fmt: skip
    refresh_token = forms.CharField(
        label=gettext_lazy("Refresh token"), required=False, max_length=1_000, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("With it the access token is renewed before it ends: JD, Douyin, Kuaishou, Pinduoduo, Xiaohongshu."),
    )  # fmt: skip
    since = forms.DateField(
        label=gettext_lazy("Read from"), widget=forms.DateInput, initial=timezone.localdate,
        help_text=gettext_lazy("Orders changed from this day on are read; most platforms reach back 90 days."),
    )  # fmt: skip
    store = forms.ModelChoiceField(
        Store.objects.none(), label=gettext_lazy("Store"), required=False,
        help_text=gettext_lazy("If the shop belongs to one store; empty for a shop of HQ."),
    )  # fmt: skip
    base_url = forms.CharField(
        label=gettext_lazy("Address of the interface"), required=False, max_length=200, help_text=gettext_lazy("Empty: the platform's own.")
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = member_queries.channel_names()
        fields: Any = self.fields
        fields["channel"].choices = [(code, names.get(code, code)) for code in registry.platforms()]
        fields["store"].queryset = Store.objects.order_by("code")

    def clean_more(self) -> dict[str, str]:
        return pairs(self.cleaned_data["more"])


class KeysForm(ReasonForm):
    secret = forms.CharField(
        label=gettext_lazy("Secret"), required=False, max_length=200, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Empty: it stays as it is."),
    )  # fmt: skip
    more = forms.CharField(
        label=gettext_lazy("Further secrets"), required=False, widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=gettext_lazy("One a line, name=value."),
    )  # fmt: skip
    token = forms.CharField(
        label=gettext_lazy("Access token"), required=False, max_length=1_000, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("After the merchant has granted it anew."),
    )  # fmt: skip
    refresh_token = forms.CharField(
        label=gettext_lazy("Refresh token"), required=False, max_length=1_000, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("The one of the same grant; empty: it stays as it is."),
    )  # fmt: skip
    field_order = ("secret", "more", "token", "refresh_token", "reason")

    def clean_more(self) -> dict[str, str]:
        return pairs(self.cleaned_data["more"])


class AgainForm(forms.Form):
    first = forms.DateField(label=gettext_lazy("First day"), widget=forms.DateInput)
    last = forms.DateField(label=gettext_lazy("Last day"), widget=forms.DateInput)


class SettingsForm(forms.Form):
    """One field per open point of the shop's platform, then how its guides and stores are ours."""

    guide_mark = forms.ChoiceField(
        label=gettext_lazy("Mark that is our guide code"), required=False,
        choices=[("", gettext_lazy("none")), ("guide", gettext_lazy("guide")), ("cashier", gettext_lazy("cashier")),
                 ("sharer", gettext_lazy("who shared it")), ("talent", gettext_lazy("talent"))],
        help_text=gettext_lazy("The number that the platform gives beside the order is then the code of a guide of ours."),
    )  # fmt: skip
    is_store_code = forms.BooleanField(
        label=gettext_lazy("Store numbers of the platform are our store codes"), required=False
    )
    stores = forms.CharField(
        label=gettext_lazy("Stores"), required=False, widget=forms.Textarea(attrs={"rows": 6}),
        help_text=gettext_lazy("One a line, the platform's number=our store code, where they differ."),
    )  # fmt: skip
    field_order = ()

    @classmethod
    def of(cls, shop: ChannelShop) -> type[forms.Form]:
        """The form of a shop: the choices of its platform, with what it has now."""
        fields: dict[str, Any] = {
            f"setting_{setting.name}": forms.ChoiceField(
                label=setting.name, choices=[(value, value) for value in setting.choices], help_text=setting.why,
                initial=shop.settings.get(setting.name, setting.default),
            )
            for setting in shops.platform_of(shop).settings
        }  # fmt: skip
        made: type[forms.Form] = type("ShopSettingsForm", (cls,), fields)
        base: Any = made.base_fields
        base["guide_mark"].initial, base["is_store_code"].initial = shop.guide_mark, shop.is_store_code
        base["stores"].initial = "\n".join(f"{ref}={code}" for ref, code in shop.stores.items())
        return made

    def clean_stores(self) -> dict[str, str]:
        return pairs(self.cleaned_data["stores"])


def pairs(text: str) -> dict[str, str]:
    """``name=value`` a line. ValidationError for a line without a sign."""
    found = {}
    for line in filter(None, (each.strip() for each in text.splitlines())):
        name, sign, value = line.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise forms.ValidationError(_("Write one a line: name=value."))
        found[name.strip()] = value.strip()
    return found


@object_act(gettext_lazy("Test the connection"), icon="network_check")
def test_connection(self: Any, request: HttpRequest, shop: ChannelShop, data: dict[str, Any]) -> str:
    try:
        client.test(shop)
    except client.ChannelError as error:
        raise RuleViolation(explained(error.code), code="channel_refused") from None
    return _("The platform answers, and accepts our keys.")


@object_act(gettext_lazy("Settings"), right=Right.CHANGE, form=SettingsForm, icon="tune")
def configure(self: Any, request: HttpRequest, shop: ChannelShop, data: dict[str, Any]) -> str:
    settings = {name.removeprefix("setting_"): value for name, value in data.items() if name.startswith("setting_")}
    rest = {name: data[name] for name in ("guide_mark", "is_store_code", "stores")}
    shops.configure(actor=request.user, shop=shop, settings=settings, **rest)
    return _("The settings are changed. What was read before stays as it is until it is read again.")


@object_act(gettext_lazy("Replace the keys"), right=Right.CHANGE, form=KeysForm, icon="key")
def replace_keys(self: Any, request: HttpRequest, shop: ChannelShop, data: dict[str, Any]) -> str:
    secrets = {**data["more"], "secret": data["secret"], "refresh_token": data["refresh_token"]}
    shops.replace_keys(actor=request.user, shop=shop, secrets=secrets, token=data["token"], reason=data["reason"])
    return _("The keys are replaced.")


@object_act(
    gettext_lazy("Pause"), right=Right.CHANGE, form=ReasonForm, icon="pause", offered=lambda shop: shop.is_enabled,
    warning=gettext_lazy("Nothing is read until it is resumed; then it goes on from where it stopped."),
)  # fmt: skip
def pause(self: Any, request: HttpRequest, shop: ChannelShop, data: dict[str, Any]) -> str:
    shops.switch(actor=request.user, shop=shop, is_enabled=False, reason=data["reason"])
    return _("The shop is paused.")


@object_act(
    gettext_lazy("Resume"),
    right=Right.CHANGE,
    form=ReasonForm,
    icon="play_arrow",
    offered=lambda shop: not shop.is_enabled,
)
def resume(self: Any, request: HttpRequest, shop: ChannelShop, data: dict[str, Any]) -> str:
    shops.switch(actor=request.user, shop=shop, is_enabled=True, reason=data["reason"])
    return _("The shop is read again.")


@object_act(
    gettext_lazy("Read a period again"), form=AgainForm, icon="history",
    warning=gettext_lazy("What is known already stays as it is; what was missing comes in. 92 days at most."),
)  # fmt: skip
def read_again(self: Any, request: HttpRequest, shop: ChannelShop, data: dict[str, Any]) -> str:
    now = timezone.now()
    since, end = (_midnight(day) for day in (data["first"], data["last"] + dt.timedelta(days=1)))
    shops.read_again(actor=request.user, shop=shop, since=since, until=min(end, now), now=now)
    return _("The period is being read.")


def _midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time()))


class NamedChannel:
    """The channel's name beside its code, read once for a page."""

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = member_queries.channel_names()
        for row in rows:
            row.shown_channel = names.get(row.channel, row.channel)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("platform"))
    def channel_text(self, row: Any) -> str:
        return row.shown_channel


@admin.register(ChannelShop)
class ChannelShopAdmin(NamedChannel, FormAdmin):
    acts = (test_connection, configure, read_again, replace_keys, pause, resume)
    add_form, add_title = ConnectForm, gettext_lazy("Connect a shop")
    list_before_template = "admin/attribution/no_shops.html"
    added = gettext_lazy("The shop is connected. Test the connection, then look at its settings.")
    ordering = ("channel", "shop_no")
    list_display = ("name", "channel_text", "shop_no", "state_label", "orders_until", "refunds_until", "store")
    list_select_related = ("store",)
    search_fields = ("name__startswith", "shop_no__exact")
    fields: ClassVar[Any] = (
        "name", "channel_text", "shop_no", "store", "state_label", "orders_until", "refunds_until", "problem", "app_key", "token_until",
        "base_url", "push_path", "settings_text", "guide_mark", "created_at",
    )  # fmt: skip

    def add(self, request: HttpRequest, data: dict[str, Any]) -> ChannelShop:
        more, refresh = data.pop("more"), data.pop("refresh_token")
        secrets = {**more, "secret": data.pop("secret"), **({"refresh_token": refresh} if refresh else {})}
        since = _midnight(data.pop("since"))
        return shops.connect(actor=request.user, secrets=secrets, since=since, **data)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("cursors")

    @display(description=gettext_lazy("state"), label={"good": GOOD, "late": BUSY, "bad": BAD, "paused": QUIET})
    def state_label(self, shop: ChannelShop) -> Any:
        if not shop.is_enabled:
            return state("paused", _("paused"))
        cursors = _standing(shop)
        if any(cursor.failures for cursor in cursors):
            return state("bad", _("fails"))
        if any(cursor.lag(timezone.now()) > LATE for cursor in cursors):
            return state("late", _("is behind"))
        return state("good", _("up to date"))

    @display(description=gettext_lazy("orders read until"))
    def orders_until(self, shop: ChannelShop) -> str:
        return _shown(shop, "orders")

    @display(description=gettext_lazy("refunds read until"))
    def refunds_until(self, shop: ChannelShop) -> str:
        return _shown(shop, "refunds")

    @display(description=gettext_lazy("problem"))
    def problem(self, shop: ChannelShop) -> str:
        return "；".join(dict.fromkeys(explained(c.error_code) for c in _standing(shop) if c.error_code)) or EMPTY

    @display(description=gettext_lazy("address for pushes"))
    def push_path(self, shop: ChannelShop) -> str:
        return f"/api/channels/{shop.channel}/{shop.shop_no}/push" if shops.platform_of(shop).has_push else EMPTY

    @display(description=gettext_lazy("settings"))
    def settings_text(self, shop: ChannelShop) -> str:
        known = shops.platform_of(shop).settings
        return "；".join(f"{s.name}={shop.settings.get(s.name, s.default)}" for s in known) or EMPTY


def _standing(shop: ChannelShop) -> list[ChannelCursor]:
    return [cursor for cursor in shop.cursors.all() if cursor.stops_at is None]


def _shown(shop: ChannelShop, stream: str) -> str:
    return next((until(cursor.read_until) for cursor in _standing(shop) if cursor.stream == stream), EMPTY)


@admin.register(ChannelCursor)
class ChannelCursorAdmin(ReadOnlyAdmin):
    ordering = ("-due_at", "pk")
    list_display = ("shop", "stream", "read_until", "stops_at", "lag_text", "problem", "ran_at", "due_at", "read_count")
    list_select_related = ("shop",)
    fields = (
        "shop", "stream", "read_until", "stops_at", "lag_text", "problem", "failures", "ran_at", "succeeded_at", "due_at", "read_count",
    )  # fmt: skip

    @display(description=gettext_lazy("behind by"))
    def lag_text(self, cursor: ChannelCursor) -> str:
        minutes = int(cursor.lag(timezone.now()).total_seconds() // 60)
        return _("%(count)d min") % {"count": minutes} if cursor.stops_at is None else EMPTY

    @display(description=gettext_lazy("problem"))
    def problem(self, cursor: ChannelCursor) -> str:
        return explained(cursor.error_code) if cursor.error_code else EMPTY


@admin.register(ChannelNotice)
class ChannelNoticeAdmin(BigReadOnlyAdmin):
    list_display = (
        "order_no",
        "refund_no",
        "shop",
        "topic",
        "status_label",
        "attempts",
        "problem",
        "told_at",
        "due_at",
    )
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    list_select_related = ("shop",)
    search_fields = ("order_no__exact",)
    fields = (
        "order_no",
        "refund_no",
        "shop",
        "topic",
        "status_label",
        "told_count",
        "attempts",
        "problem",
        "told_at",
        "due_at",
    )

    @display(description=gettext_lazy("state"), label={"WAITING": BUSY, "PARKED": BAD})
    def status_label(self, notice: ChannelNotice) -> Any:
        return state(notice.status, notice.get_status_display())

    @display(description=gettext_lazy("problem"))
    def problem(self, notice: ChannelNotice) -> str:
        return explained(notice.error_code) if notice.error_code else EMPTY


@object_act(
    gettext_lazy("Take it"),
    offered=lambda push: push.taken_at is None,
    icon="move_to_inbox",
    warning=gettext_lazy("Connect the shop first. The push is then verified with its secret."),
)
def take(self: Any, request: HttpRequest, push: StrangePush, data: dict[str, Any]) -> str:
    polling.take_strange(actor=request.user, push=push, now=timezone.now())
    return _("The push is taken; its order is read soon.")


@admin.register(StrangePush)
class StrangePushAdmin(BigReadOnlyAdmin):
    acts = (take,)
    list_display = fields = ("channel", "shop_no", "told_count", "told_at", "taken_at")
