"""How people type rates and amounts: percent and yuan in the form, basis points and fen behind it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminDecimalFieldWidget

HUNDRED = Decimal(100)


class HundredthsField(forms.DecimalField):
    """A number with two decimals that is kept as a whole number of hundredths; empty stays empty, 0 stays 0."""

    widget = UnfoldAdminDecimalFieldWidget

    def __init__(self, *, most: int | None = None, **kwargs: Any) -> None:
        limit = None if most is None else Decimal(most) / HUNDRED
        super().__init__(min_value=Decimal(0), max_value=limit, max_digits=14, decimal_places=2, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value // 100}.{value % 100:02d}".rstrip("0").rstrip(".")
        return value

    def clean(self, value: Any) -> int | None:
        typed = super().clean(value)
        return None if typed is None else int(typed * HUNDRED)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


def percent_field(label: Any, *, required: bool, help_text: Any = "") -> HundredthsField:
    return HundredthsField(label=label, required=required, help_text=help_text, most=10_000)


def yuan_field(label: Any, *, required: bool, help_text: Any = "") -> HundredthsField:
    return HundredthsField(label=label, required=required, help_text=help_text)
