"""Configuration tables as files (导入导出): Chinese columns, the rights of the console, cells that stay text.

1. Importing is a change, exporting is its own right; both are acts.
2. A cell that a spreadsheet would run as a formula goes out with an apostrophe in front and comes back without it.
3. The file between preview and confirmation lies in a folder of this server's user only, under a name nobody can guess.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from import_export import resources, widgets
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import CSV, XLSX
from import_export.tmp_storages import TempFolderStorage
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from scrm import audit
from scrm.admin.bases import ScopedAdmin
from scrm.org import Right

MAX_IMPORT_BYTES = 10 * 2**20
MAX_IMPORT_ROWS = 20_000

# blanks and quotes in front do not stop a spreadsheet; full-width signs are signs in a Chinese one
_FORMULA = re.compile("^[\\s\u3000\ufeff'\"]*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?$")


def neutral(value: Any) -> Any:
    """The cell as text that no spreadsheet runs; numbers, negative ones too, stay as they are."""
    if not isinstance(value, str) or _NUMBER.match(value):
        return value
    return "'" + value if value.startswith(("\t", "\r", "\n")) or _FORMULA.match(value) else value


def plain(value: Any) -> Any:
    """The cell that ``neutral`` changed, as it was."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and neutral(value[1:]) == value else value


class ChoiceWidget(widgets.Widget):
    """A choice by its Chinese label or by its code; anything else is refused."""

    def __init__(self, choices: Any) -> None:
        super().__init__()
        self.choices = choices

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = str(value or "").strip()
        for choice in self.choices:
            if text in (choice.value, str(choice.label)):
                return choice.value
        allowed = "、".join(str(choice.label) for choice in self.choices)
        raise ValueError(_("“%(value)s” is not one of: %(allowed)s") % {"value": text, "allowed": allowed})

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return str(self.choices(value).label) if value else ""


class ConfigResource(resources.ModelResource):
    DATE: ClassVar[Any] = widgets.DateWidget(format="%Y-%m-%d")

    class Meta:
        skip_unchanged = True
        report_skipped = True
        clean_model_instances = True
        use_transactions = True

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        if len(dataset) > MAX_IMPORT_ROWS:
            raise ValueError(_("More than %(limit)s rows: split the file.") % {"limit": f"{MAX_IMPORT_ROWS:,}"})

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        for name in row:
            row[name] = plain(row[name])

    def export_field(self, field: Any, instance: Any, **kwargs: Any) -> Any:
        return neutral(super().export_field(field, instance, **kwargs))


class PrivateStorage(TempFolderStorage):
    """The uploaded file until it is confirmed: mode 0600 in a folder of mode 0700 below SCRM_VAR."""

    name: Any

    def get_full_path(self) -> str:
        return str(_folder() / os.path.basename(self.name))

    def save(self, data: bytes | str) -> None:
        self.name = f"config-{secrets.token_hex(16)}"
        handle = os.open(self.get_full_path(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    def _open(self, mode: str = "r") -> Any:
        handle = os.open(self.get_full_path(), os.O_RDONLY | os.O_NOFOLLOW)
        return os.fdopen(handle, mode, encoding=None if "b" in mode else self.encoding)


class ConfigAdmin(ImportExportModelAdmin, ScopedAdmin):
    """Configuration: edited by who may change, taken out by who may export."""

    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    import_form_class = ImportForm
    export_form_class = ExportForm
    tmp_storage_class = PrivateStorage
    skip_admin_log = True
    formats = (CSV, XLSX)
    import_right: ClassVar[Right | None] = Right.CHANGE
    export_right: ClassVar[Right | None] = Right.EXPORT
    resource_classes: ClassVar[tuple[type[ConfigResource], ...]] = ()

    def has_import_permission(self, request: HttpRequest) -> bool:
        return bool(self.resource_classes) and self.has_right(request, self.import_right)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(self.resource_classes) and self.has_right(request, self.export_right)

    def get_export_formats(self) -> list[Any]:
        return [CSV, XLSX]

    def process_result(self, result: Any, request: HttpRequest) -> Any:
        with transaction.atomic():
            audit.record(
                actor=request.user, verb="console.import", target_type=self.model._meta.label, rows=_totals(result)
            )
        return super().process_result(result, request)

    def get_export_data(self, file_format: Any, request: HttpRequest, queryset: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            audit.record(
                actor=request.user, verb="console.export", target_type=self.model._meta.label, rows=queryset.count()
            )
        return super().get_export_data(file_format, request, queryset, **kwargs)


def _folder() -> Path:
    root = getattr(settings, "SCRM_VAR", None) or tempfile.gettempdir()
    folder = Path(root) / "config-imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _totals(result: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in result.totals.items() if count}
