"""Choosing customer groups in a form: by region, store, owner, name and size, or by a file of their ids."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import sends
from campaigns.sends import choosing
from scrm.admin import lists
from scrm.models import Corp, Region

MOST_BYTES = 2_000_000
ORDER = ("regions", "stores", "owners", "part", "least", "most", "file")


class PickForm(forms.Form):
    """A part of a form that also asks for ``corp``; call ``choose`` when it is made."""

    regions = forms.ModelMultipleChoiceField(
        Region.objects.none(), label=gettext_lazy("regions"), required=False,
        help_text=gettext_lazy("With all stores below them. What is filled in must fit together."),
    )  # fmt: skip
    stores = forms.CharField(
        label=gettext_lazy("stores"), required=False, widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Codes of stores, separated by commas or lines: all groups of these stores."),
    )  # fmt: skip
    owners = forms.CharField(
        label=gettext_lazy("owners"), required=False, widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Staff codes of guides, separated by commas or lines."),
    )  # fmt: skip
    part = forms.CharField(label=gettext_lazy("part of the group's name"), max_length=64, required=False)
    least = forms.IntegerField(label=gettext_lazy("customers in the group, at least"), min_value=0, required=False)
    most = forms.IntegerField(label=gettext_lazy("customers in the group, at most"), min_value=0, required=False)
    file = forms.FileField(
        label=gettext_lazy("file of groups"), required=False, widget=lists.FileWidget(attrs={"accept": ".csv,.txt"}),
        help_text=gettext_lazy("Instead of the fields above: a text file with one id of a group (chat_id) a line."),
    )  # fmt: skip

    def choose(self) -> None:
        self.fields["regions"].queryset = Region.objects.order_by("name", "pk")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name, find in (("stores", choosing.by_store_codes), ("owners", choosing.by_guide_codes)):
            data[name], wrong = find(_codes(data.get(name) or ""))
            if wrong:
                self.add_error(name, wrong)
        data["groups"] = self._listed(data.pop("file", None), data.get("corp"))
        return data

    def _listed(self, file: Any, corp: Corp | None) -> list[int]:
        if file is None or corp is None:
            return []
        if file.size > MOST_BYTES:
            self.add_error("file", _("The file has more than 2 MB."))
            return []
        try:
            lines = file.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            self.add_error("file", _("The file is no text in UTF-8."))
            return []
        found, wrong = choosing.by_chat_ids(lines, corp)
        if wrong:
            self.add_error("file", wrong)
        return found

    @property
    def wish(self) -> choosing.Wish:
        """What was asked for."""
        data = self.cleaned_data
        asked: dict[str, Any] = {name: data[name] for name in ("stores", "owners", "least", "most", "groups")}
        return sends.Wish(**asked, regions=[region.pk for region in data["regions"]], name=data["part"])


def _codes(text: str) -> list[str]:
    return list(dict.fromkeys(re.split(r"[\s,，、;；]+", text.strip()))) if text.strip() else []
