"""The forms of flash sales and group buys: a sale as people type it, its stock by store, and what its acts ask."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelect2MultipleWidget, UnfoldAdminTextareaWidget

from campaigns.communities.flash_sales import Draft
from campaigns.models import Group, Sale
from campaigns.models.flash_sales import MOST_HOLD, MOST_TEAM, MOST_TEAM_HOURS
from campaigns.models.stock import MOST_BUCKETS
from members.models import Product
from scrm import org
from scrm.admin import inputs, lists
from scrm.models import Brand, Store

SHOWN = 10  # lines named in an error
ALL = "全部"


class StockField(forms.CharField):
    """``{store: how many}`` from lines "code number", as they come out of a table; "全部 20" is every open store."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 6})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=1_000_000, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        codes = Store.objects.filter(pk__in=value).order_by("code").values_list("code", "pk")
        return "\n".join(f"{code} {value[pk]}" for code, pk in codes)

    def clean(self, value: Any) -> Any:
        wanted: dict[str, int] = {}
        bad: list[str] = []
        for line in super().clean(value).replace("，", " ").replace(",", " ").replace("\t", " ").splitlines():
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 2 or not parts[1].isascii() or not parts[1].isdigit() or not 1 <= int(parts[1]) <= 10**7:
                bad.append(line.strip()[:40])
                continue
            wanted[parts[0]] = int(parts[1])
        if bad:
            raise ValidationError(
                _("Write a store code and a number on each line; not so: %(lines)s") % {"lines": "、".join(bad[:SHOWN])}
            )
        return self._stores(wanted)

    def _stores(self, wanted: dict[str, int]) -> dict[int, int]:
        every = wanted.pop(ALL, None)
        found: dict[int, int] = {}
        if every is not None:
            found = dict.fromkeys(Store.objects.filter(closed_on=None).values_list("pk", flat=True), every)
        known = dict(Store.objects.filter(code__in=wanted).values_list("code", "pk"))
        unknown = [code for code in wanted if code not in known]
        if unknown:
            raise ValidationError(_("There is no: %(codes)s") % {"codes": "、".join(unknown[:SHOWN])}, code="unknown")
        return found | {known[code]: count for code, count in wanted.items()}


class SaleForm(forms.Form):
    kind = forms.ChoiceField(choices=Sale.Kind, label=gettext_lazy("kind"))
    brand = forms.ModelChoiceField(Brand.objects.none(), label=gettext_lazy("brand"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=64)
    sku = forms.CharField(label=gettext_lazy("SKU"), max_length=64)
    list_fen = inputs.yuan_field(gettext_lazy("usual price"), required=True)
    price_fen = inputs.yuan_field(
        gettext_lazy("sale price"), required=True, help_text=gettext_lazy("Somebody else has to approve it.")
    )
    starts_at = forms.DateTimeField(label=gettext_lazy("on sale from"))
    ends_at = forms.DateTimeField(label=gettext_lazy("on sale until"))
    stock = StockField(
        label=gettext_lazy("stock by store"),
        help_text=gettext_lazy(
            "One store a line: code and number, as copied from a table. “全部 20”: every open store has 20."
        ),
    )
    member_cap = forms.IntegerField(label=gettext_lazy("at most per member"), min_value=1, max_value=1_000, initial=1)
    hold_minutes = forms.IntegerField(
        label=gettext_lazy("minutes to pay"), min_value=1, max_value=MOST_HOLD, initial=15
    )
    team_size = forms.IntegerField(
        label=gettext_lazy("people of a team"), min_value=2, max_value=MOST_TEAM, required=False,
        help_text=gettext_lazy("Only of a group buy"),
    )  # fmt: skip
    team_hours = forms.IntegerField(
        label=gettext_lazy("hours to fill a team"), min_value=1, max_value=MOST_TEAM_HOURS, required=False,
        help_text=gettext_lazy("Only of a group buy; a team that is not complete by then is refunded"),
    )  # fmt: skip
    bucket_count = forms.IntegerField(
        label=gettext_lazy("stock buckets"), min_value=1, max_value=MOST_BUCKETS, initial=1,
        help_text=gettext_lazy("8 for a rush of many hundreds a second; otherwise 1"),
    )  # fmt: skip
    returns_stock = forms.BooleanField(
        label=gettext_lazy("refunds go back on sale"), required=False, initial=True,
        help_text=gettext_lazy("Off: what is refunded is not sold again"),
    )  # fmt: skip
    groups = forms.ModelMultipleChoiceField(
        Group.objects.none(), label=gettext_lazy("only for these customer groups"), required=False,
        help_text=gettext_lazy("Empty: every member may buy"),
    )  # fmt: skip
    terms = forms.CharField(
        label=gettext_lazy("terms for the customer"), max_length=500, required=False, widget=forms.Textarea
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        brands = Brand.objects.order_by("pk")
        fields["brand"].queryset, fields["brand"].initial = brands, brands[:1].first()
        groups = org.visible(Group.objects.filter(dissolved_at=None), org.scope_of(user)).order_by("name", "pk")
        fields["groups"].queryset = groups
        lists.styled(self)
        chosen = (
            self.data.getlist("groups")
            if isinstance(self.data, QueryDict)
            else [row.pk for row in self.initial.get("groups", [])]
        )
        # of thousands of groups those that may be chosen are asked for by name; these first
        few = list(groups.filter(pk__in=[pk for pk in chosen if str(pk).isdigit()])) + list(groups[:300])
        choices = dict.fromkeys((row.pk, str(row)) for row in few)
        fields["groups"].widget = UnfoldAdminSelect2MultipleWidget(choices=list(choices))

    def clean_sku(self) -> Product:
        row = Product.objects.filter(sku=self.cleaned_data["sku"].strip()).first()
        if row is None:
            raise ValidationError(_("There is no product with this SKU."))
        return row

    def said(self) -> Draft:
        values = {name: value for name, value in self.cleaned_data.items() if name != "sku"}
        return Draft(**{**values, "product": self.cleaned_data["sku"], "groups": tuple(self.cleaned_data["groups"])})


def initial_of(sale: Sale) -> dict[str, Any]:
    names = (
        "kind", "brand", "name", "list_fen", "price_fen", "starts_at", "ends_at", "member_cap", "hold_minutes", "team_size", "team_hours",
        "bucket_count", "returns_stock", "terms",
    )  # fmt: skip
    stock = dict(sale.planned_stock.values_list("store_id", "planned_count"))
    groups = [link.group for link in sale.only_groups.select_related("group")]
    return {**{name: getattr(sale, name) for name in names}, "sku": sale.product.sku, "stock": stock, "groups": groups}


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), max_length=200)


class StockForm(forms.Form):
    """The key makes a second click the same change."""

    store = forms.CharField(label=gettext_lazy("store code"), max_length=32)
    count = forms.IntegerField(
        label=gettext_lazy("change"), min_value=-(10**7), max_value=10**7,
        help_text=gettext_lazy("12 puts twelve in, -12 takes twelve out; only what is left can be taken out"),
    )  # fmt: skip
    reason = forms.CharField(label=gettext_lazy("reason"), max_length=200)
    key = forms.CharField(max_length=32, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].initial = secrets.token_hex(12)

    def clean_store(self) -> Store:
        row = Store.objects.filter(code=self.cleaned_data["store"].strip()).first()
        if row is None:
            raise ValidationError(_("There is no store with this code."))
        return row


class RefundForm(forms.Form):
    refund_no = forms.CharField(label=gettext_lazy("refund no."), max_length=64)
