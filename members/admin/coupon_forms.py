"""The forms of coupons: a template as people type it, whom to give it to, how many codes to print."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextareaWidget,
)

from members.coupons import batches, names, recipients, templates
from members.models import AudienceSnapshot, Category, Channel, CouponTemplate, Product, Tag, Tier
from scrm.admin import inputs, lists
from scrm.admin.shown import SHANGHAI
from scrm.models import LegalEntity, Region, Store

SHOWN = 10  # unknown codes named in an error


class CodesField(forms.CharField):
    """Rows by their codes, one a line; kept as ids."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 2})

    def __init__(self, model: Any, column: str, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=100_000, **kwargs)
        self.model, self.column = model, column

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        rows = self.model.objects.filter(pk__in=value).order_by(self.column)
        return "\n".join(rows.values_list(self.column, flat=True))

    def clean(self, value: Any) -> Any:
        codes = list(dict.fromkeys(super().clean(value).replace(",", "\n").replace("，", "\n").split()))
        rows = self.model.objects.filter(**{f"{self.column}__in": codes})
        known = dict(rows.values_list(self.column, "pk"))
        unknown = [code for code in codes if code not in known]
        if unknown:
            raise ValidationError(_("There is no: %(codes)s") % {"codes": "、".join(unknown[:SHOWN])}, code="unknown")
        return [known[code] for code in codes]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class IdsField(forms.TypedMultipleChoiceField):
    """Rows of a short table, chosen from a list; kept as ids (or codes)."""

    widget = UnfoldAdminSelect2MultipleWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, coerce=kwargs.pop("coerce", int), empty_value=[], **kwargs)


class TemplateForm(forms.ModelForm):
    store_ids: Any = CodesField(
        Store,
        "code",
        label=gettext_lazy("stores"),
        help_text=gettext_lazy("Store codes, one a line; everything empty: every store"),
    )
    product_ids: Any = CodesField(
        Product,
        "sku",
        label=gettext_lazy("products"),
        help_text=gettext_lazy("SKUs, one a line; everything empty: every product"),
    )
    region_ids: Any = IdsField(label=gettext_lazy("regions"))
    entity_ids: Any = IdsField(label=gettext_lazy("legal entities"))
    category_ids: Any = IdsField(label=gettext_lazy("categories"))
    channels: Any = IdsField(label=gettext_lazy("channels"), coerce=str, help_text=gettext_lazy("Empty: every channel"))
    weekdays: Any = IdsField(
        label=gettext_lazy("weekdays"), choices=list(names.WEEKDAYS.items()), widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("Empty: every day"),
    )  # fmt: skip

    class Meta:
        model = CouponTemplate
        exclude = ("number", "status", "author", "approver", "published_at", "ended_at", "created_at")  # noqa: DJ006  all the content

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in list(self.fields.items()):
            if name.endswith("_bp"):
                self.fields[name] = inputs.percent_field(
                    f"{field.label}（%）", required=field.required, help_text=field.help_text
                )
            elif name.endswith("_fen"):
                self.fields[name] = inputs.yuan_field(
                    f"{field.label}（元）", required=field.required, help_text=field.help_text
                )
            if name in ("off_bp", "threshold_fen"):
                self.fields[name].required = False
        if not self.fields:
            return  # shown, not edited
        for name, model in (("region_ids", Region), ("entity_ids", LegalEntity), ("category_ids", Category)):
            if name in self.fields:
                self.fields[name].choices = [(row.pk, str(row)) for row in model.objects.order_by("pk")[:2_000]]  # type: ignore[attr-defined]
        if "channels" in self.fields:
            self.fields["channels"].choices = [(row.code, row.name) for row in Channel.objects.order_by("pk")]  # type: ignore[attr-defined]

    def clean_off_bp(self) -> int:
        return self.cleaned_data["off_bp"] or 0

    def clean_threshold_fen(self) -> int:
        return self.cleaned_data["threshold_fen"] or 0

    def clean_code(self) -> str:
        code = self.cleaned_data["code"].strip()
        if self.instance.pk is None and CouponTemplate.objects.filter(code=code).exists():
            raise ValidationError(
                _("There is a template with this code: open it and draft a new version."), code="taken"
            )
        return code

    def _post_clean(self) -> None:
        """What the constraints of the table say without words ``templates.faults`` says at the field."""
        super()._post_clean()  # type: ignore[misc]
        found = templates.faults(self.instance)
        if found and self.errors:
            self.errors.pop(NON_FIELD_ERRORS, None)
        for name, message in found.items():
            if name in self.fields and name not in self.errors:
                self.add_error(name, message)


class SnapshotField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        as_of = f"{obj.as_of.astimezone(SHANGHAI):%Y-%m-%d %H:%M}" if obj.as_of else ""
        return f"{obj.version.audience} · {obj.member_count:,} · {as_of}"


class GiveForm(forms.Form):
    source = forms.ChoiceField(label=gettext_lazy("recipients"))
    audience = SnapshotField(
        label=gettext_lazy("frozen audience"), queryset=AudienceSnapshot.objects.none(), required=False
    )
    tag = forms.ModelChoiceField(label=gettext_lazy("tag"), queryset=Tag.objects.none(), required=False)
    tier = forms.ModelChoiceField(label=gettext_lazy("tier"), queryset=Tier.objects.none(), required=False)
    stores = CodesField(Store, "code", label=gettext_lazy("stores"), help_text=gettext_lazy("Store codes, one a line"))
    numbers = forms.CharField(
        label=gettext_lazy("list of cards or mobile numbers"), required=False, widget=forms.Textarea(attrs={"rows": 5}),
        help_text=gettext_lazy("One a line, at most 10,000"),
    )  # fmt: skip
    key = forms.CharField(widget=forms.HiddenInput, initial=lambda: secrets.token_urlsafe(12), max_length=40)
    NEEDS = {"AUDIENCE": "audience", "TAG": "tag", "TIER": "tier", "STORES": "stores", "LIST": "numbers"}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["source"].choices = [
            (each.name, each.label) for each in recipients.SOURCES.values() if each.name in self.NEEDS
        ]
        fields["tag"].queryset, fields["tier"].queryset = Tag.objects.order_by("name"), Tier.objects.order_by("rank")
        frozen = AudienceSnapshot.objects.filter(status=AudienceSnapshot.Status.READY)
        fields["audience"].queryset = frozen.select_related("version__audience").order_by("-pk")
        self.unknown: list[str] = []
        self.value: Any = None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        name = self.NEEDS.get(data.get("source", ""), "")
        if name and not data.get(name) and name not in self.errors:
            self.add_error(name, _("Say who gets one."))
        elif name == "numbers":
            self.value, self.unknown = recipients.listed(data["numbers"])
            if not self.value:
                self.add_error(name, _("None of these numbers belongs to a member."))
        elif name:
            self.value = data[name] if name == "stores" else data[name].pk if data.get(name) else None
        return data


class CodesForm(forms.Form):
    count = forms.IntegerField(label=gettext_lazy("how many codes"), min_value=1, max_value=batches.MOST_CODES)
    key = forms.CharField(widget=forms.HiddenInput, initial=lambda: secrets.token_urlsafe(12), max_length=40)


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


def styled(form: forms.Form) -> Any:
    return lists.styled(form)
