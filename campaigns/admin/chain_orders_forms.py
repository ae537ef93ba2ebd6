"""Forms of chain orders: each fault stands at its field."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy

from campaigns import content_files
from campaigns.communities import chain_orders
from campaigns.communities.chain_orders.reading import LONGEST
from campaigns.models import ChainItem, ChainOrder, ChainPayment, ContentFile, Group
from guides.models import Guide
from scrm import org
from scrm.admin import lists
from scrm.errors import RuleViolation
from scrm.models import Store

ROWS, MOST_ROWS = 6, 60
PHOTO_NAME = "photo.jpg"


class ChainForm(forms.Form):
    """``scope``: whose leaders, groups and stores are offered."""

    title = forms.CharField(label=gettext_lazy("title"), max_length=64)
    leader = forms.ModelChoiceField(Guide.objects.none(), label=gettext_lazy("leader"))
    group = forms.ModelChoiceField(Group.objects.none(), label=gettext_lazy("customer group"), required=False)
    opens_at = forms.DateTimeField(label=gettext_lazy("open from"))
    closes_at = forms.DateTimeField(label=gettext_lazy("open until"))
    pickup_store = forms.ModelChoiceField(Store.objects.none(), label=gettext_lazy("picked up in"))
    pickup_place = forms.CharField(label=gettext_lazy("place of pick-up"), max_length=128, required=False)
    pickup_from = forms.DateTimeField(label=gettext_lazy("picked up from"))
    pickup_until = forms.DateTimeField(label=gettext_lazy("picked up until"))
    note = forms.CharField(
        label=gettext_lazy("note to the group"),
        max_length=1_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, scope: org.Scope, **kwargs: Any) -> None:
        now = timezone.localtime().replace(second=0, microsecond=0)
        tomorrow = (now + dt.timedelta(days=1)).replace(minute=0)
        initial = {
            "opens_at": now, "closes_at": now + dt.timedelta(hours=24), "pickup_from": tomorrow + dt.timedelta(hours=6),
            "pickup_until": tomorrow + dt.timedelta(hours=30),
        }  # fmt: skip
        super().__init__(*args, **{"initial": initial, **kwargs})
        fields: Any = self.fields
        fields["leader"].queryset = org.visible(
            Guide.objects.filter(employments__ended_at=None).distinct(), scope
        ).order_by("code")
        fields["group"].queryset = org.visible(Group.objects.filter(dissolved_at=None), scope).order_by("name", "pk")
        fields["pickup_store"].queryset = org.visible(Store.objects.all(), scope).order_by("code")
        lists.styled(self)


class ItemForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("name"), max_length=64, required=False)
    price = forms.DecimalField(label=gettext_lazy("price in yuan"), max_digits=9, decimal_places=2, min_value=Decimal("0.01"), required=False)  # fmt: skip
    count = forms.IntegerField(label=gettext_lazy("stock"), min_value=1, max_value=9_999, required=False)
    unit = forms.CharField(label=gettext_lazy("unit"), max_length=8, required=False, initial="个")
    aliases = forms.CharField(label=gettext_lazy("also called"), max_length=200, required=False)
    piece_no = forms.IntegerField(
        label=gettext_lazy("number of the single piece"), min_value=1, max_value=999, required=False
    )
    weight_grams = forms.IntegerField(
        label=gettext_lazy("weight in grams"), min_value=1, max_value=200_000, required=False
    )
    photo = forms.FileField(label=gettext_lazy("photo"), required=False)
    stock_of = forms.ModelChoiceField(
        ChainItem.objects.none(), label=gettext_lazy("stock of another chain"), required=False
    )

    def __init__(self, *args: Any, scope: org.Scope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        chains = org.visible(ChainOrder.objects.filter(status="OPEN"), scope)
        fields["stock_of"].queryset = ChainItem.objects.filter(chain__in=chains).select_related("chain").order_by("-pk")
        fields["stock_of"].label_from_instance = lambda item: f"{item.chain.title} · {item.label}"
        lists.styled(self)

    def clean_photo(self) -> ContentFile | None:
        upload = self.cleaned_data.get("photo")
        if not upload:
            return None
        return photo_of(upload.read())

    def as_item(self) -> chain_orders.DraftItem | None:
        """None for a row that was left empty."""
        data = self.cleaned_data
        if not (data.get("name") or data.get("stock_of") or data.get("price")):
            return None
        other = data.get("stock_of")
        return chain_orders.DraftItem(
            name=data.get("name") or (other.name if other else ""), unit_fen=int((data.get("price") or 0) * 100),
            count=data.get("count") or 0, unit=data.get("unit") or "个", aliases=aliases_of(data.get("aliases") or ""),
            piece_no=data.get("piece_no"), weight_grams=data.get("weight_grams"), photo=data.get("photo"),
            stock=other.stock if other else None, stock_store=other.stock_store if other else None,
        )  # fmt: skip


class PasteForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("text out of the group"), max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 14}),
        help_text=gettext_lazy("Paste the chain or the chat as it is. You see first what was read; nothing is saved yet."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists.styled(self)


class PayForm(forms.Form):
    kind = forms.ChoiceField(label=gettext_lazy("payment"), choices=ChainPayment.Kind.choices)
    amount_fen = forms.IntegerField(widget=forms.HiddenInput)
    order_no = forms.CharField(label=gettext_lazy("order no."), max_length=64, required=False)


class CodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("verification code"), max_length=16,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "autofocus": True}),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists.styled(self)


def photo_of(content: bytes) -> ContentFile:
    """A photo written anew, not saved yet. Raises what a form shows at its field."""
    try:
        return content_files.checked(ContentFile.Kind.IMAGE, PHOTO_NAME, content, is_cover=True)
    except RuleViolation as error:
        raise forms.ValidationError(error.message) from error


def aliases_of(text: str) -> tuple[str, ...]:
    for sign in "，,;；/ ":
        text = text.replace(sign, "、")
    return tuple(dict.fromkeys(one.strip() for one in text.split("、") if one.strip()))[:10]
