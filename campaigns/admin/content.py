"""Materials in the console: written beside their preview, their versions, and who uses them."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from campaigns import content, content_files
from campaigns.models import Content, ContentFile, ContentUse, ContentVersion, FileUpload, Folder
from guides.admin.staff import GuideNames
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, ReadOnlyInline, ScopedAdmin
from scrm.admin.exchange import ConfigAdmin
from scrm.admin.shown import BAD, EMPTY, GOOD, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.org import Right
from scrm.wecom import media

TEXTS = ("text", "title", "description", "url", "app_id", "page")
STATES = {"USABLE": GOOD, "LATER": QUIET, "OVER": BAD, "OFF": QUIET}
STATE_NAMES = {
    "USABLE": gettext_lazy("usable"), "LATER": gettext_lazy("not yet"), "OVER": gettext_lazy("over"),
    "OFF": gettext_lazy("switched off"),
}  # fmt: skip


def state_of(row: Any) -> Any:
    """Of a material or a script: whether guides have it now."""
    now = timezone.now()
    code = "USABLE"
    if not row.is_active:
        code = "OFF"
    elif row.starts_at and row.starts_at > now:
        code = "LATER"
    elif row.ends_at and row.ends_at <= now:
        code = "OVER"
    return state(code, STATE_NAMES[code])


class KeywordsField(forms.CharField):
    """Keywords as somebody types them."""

    def prepare_value(self, value: Any) -> Any:
        return "，".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        try:
            return content.clean_tags(super().clean(value))
        except RuleViolation as error:
            raise forms.ValidationError(error.message) from None


def _line(label: Any, **more: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, widget=UnfoldAdminTextInputWidget(), **more)


class ContentForm(forms.ModelForm):
    tags = KeywordsField(
        label=gettext_lazy("keywords"), required=False, widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Separated by commas; guides search by them"),
    )  # fmt: skip
    text = forms.CharField(
        label=gettext_lazy("text"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}),
        help_text=gettext_lazy("Of a picture, link, card or file: what is said with it"),
    )  # fmt: skip
    title = _line(gettext_lazy("title"))
    description = _line(gettext_lazy("description"))
    url = _line(
        gettext_lazy("address"),
        help_text=gettext_lazy("https://… on an allowed host; each guide gets a short link of her own to it"),
    )
    app_id = _line(gettext_lazy("mini-program's app id"))
    page = _line(gettext_lazy("mini-program's page"))
    file = forms.FileField(
        label=gettext_lazy("file"), required=False, widget=lists.FileWidget(),
        help_text=gettext_lazy("Picture, video (MP4) or file; of a link or card its cover. Pictures are written anew, without place and time."),
    )  # fmt: skip

    class Meta:
        model = Content
        fields = ("kind", "name", "folder", "tags", "region", "entity", "store", "starts_at", "ends_at", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.version = content.current(self.instance) if self.instance.pk else None
        if self.version is not None:
            for name in TEXTS:
                self.fields[name].initial = getattr(self.version, name)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        kind = self.instance.kind if self.instance.pk else data.get("kind")
        if kind:
            self._judge(kind, data)
        return data

    def _judge(self, kind: str, data: dict[str, Any]) -> None:
        file = self.version.file if self.version else None
        if data.get("file"):
            try:
                file = content_files.checked(
                    content.FILE_KINDS.get(Content.Kind(kind), ContentFile.Kind.IMAGE), data["file"].name,
                    data["file"].read(), is_cover=kind in content.WITH_COVER,
                )  # fmt: skip
            except RuleViolation as error:
                self.add_error("file", error.message)
                return
        self.said = content.Said(**{name: data.get(name) or "" for name in TEXTS}, file=file)
        from campaigns import links

        for name, sentence in content.problems(kind, self.said, hosts=links.hosts()).items():
            self.add_error(name, sentence)


class VersionInline(ReadOnlyInline):
    model = ContentVersion
    verbose_name_plural = gettext_lazy("versions")
    fields = ("number", "said", "made_by", "made_at")
    readonly_fields = fields
    ordering = ("-number",)
    max_num = 20

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("made_by", "file").defer("file__content")

    @display(description=gettext_lazy("what it says"))
    def said(self, row: ContentVersion) -> str:
        words = " · ".join(
            part for part in (row.title, row.text, row.url or row.page, row.file.name if row.file else "") if part
        )
        return words[:120] + ("…" if len(words) > 120 else "")


@admin.register(Content)
class ContentAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    form = ContentForm
    change_form_template = "admin/campaigns/content/form.html"
    inlines = (VersionInline,)
    list_display = (
        "name",
        "kind",
        "state_label",
        "folder",
        "for_text",
        "keywords",
        "version_no",
        "use_count",
        "changed_at",
    )
    list_select_related = ("folder", "region", "entity", "store")
    list_filter = (
        ("kind", lists.ChoicesDropdownFilter), ("folder", lists.ScopedDropdownFilter), ("is_active", lists.BooleanRadioFilter),
        ("store", lists.ScopedFilter),
    )  # fmt: skip
    search_fields = ("name__startswith", "tags__contains")
    search_help_text = gettext_lazy("Beginning of the name")
    ordering = ("-pk",)
    autocomplete_fields = ("region", "entity", "store")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(name__startswith=term) | queryset.filter(tags__contains=[term]), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            (None, {"fields": (("kind", "name"), *TEXTS, "file")}),
            (
                _("Who may use it, and when"),
                {"fields": (("region", "entity", "store"), ("starts_at", "ends_at"), ("folder", "tags"), "is_active")},
            ),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("kind",) if obj is not None else ()

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_view)
        return [path("<int:object_id>/file/", view, name="campaigns_content_file"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        content.write(content=obj, said=form.said, actor=request.user, now=timezone.now())

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        obj = context.get("original")
        version = content.current(obj) if obj else None
        has_picture = version is not None and version.file is not None and version.file.kind == ContentFile.Kind.IMAGE
        context["preview"] = {
            "kind": obj.kind if obj else "",
            "file": version.file.name if version and version.file else "",
            "picture": reverse("admin:campaigns_content_file", args=(obj.pk,)) if obj and has_picture else "",
            **{name: getattr(version, name) if version else "" for name in TEXTS},
        }
        context["most"] = {"text": 4_000, "title": 128, "description": 512}
        return super().render_change_form(request, context, *args, **kwargs)

    def file_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The file of the newest version, to look at; pictures are ours by now, other files are only to be saved."""
        row = self.get_object(request, str(object_id))
        version = content.current(row)
        if not self.has_view_permission(request, row) or version is None or version.file_id is None:
            raise Http404
        return file_answer(ContentFile.objects.get(pk=version.file_id))

    @display(description=gettext_lazy("state"), label=STATES)
    def state_label(self, row: Content) -> Any:
        return state_of(row)

    @display(description=gettext_lazy("for"))
    def for_text(self, row: Content) -> str:
        return row.part_text

    @display(description=gettext_lazy("keywords"))
    def keywords(self, row: Content) -> SafeString | str:
        return format_html("{}", "、".join(row.tags)) if row.tags else EMPTY


def file_answer(file: ContentFile) -> HttpResponse:
    """A file of ours to a browser: nothing in it is run, and nothing but a picture is shown."""
    is_picture = file.kind == ContentFile.Kind.IMAGE
    from django.utils.http import content_disposition_header

    headers = {
        "Content-Disposition": content_disposition_header(not is_picture, file.name) or "",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
    }
    content_type = file.content_type if is_picture else "application/octet-stream"
    return HttpResponse(bytes(file.content), content_type=content_type, headers=headers)


@admin.register(Folder)
class FolderAdmin(ConfigAdmin):
    delete_right: ClassVar[Right | None] = Right.CHANGE
    list_display = ("name", "position")
    search_fields = ("name__startswith",)
    ordering = ("position", "pk")
    fields = ("name", "position")


@admin.register(FileUpload)
class FileUploadAdmin(ReadOnlyAdmin):
    list_display = ("file_name", "use", "corp", "expires_at", "wanted_at", "error_text")
    list_select_related = ("corp",)
    list_filter = (("use", lists.ChoicesDropdownFilter),)
    ordering = ("-wanted_at", "-pk")
    fields = ("file_name", "size_text", "use", "corp", "expires_at", "wanted_at", "tried_at", "error_text")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("file").defer("file__content")

    @display(description=gettext_lazy("file"))
    def file_name(self, row: FileUpload) -> str:
        return row.file.name

    @display(description=gettext_lazy("size"))
    def size_text(self, row: FileUpload) -> str:
        return f"{row.file.size / media.MEGABYTE:.2f} MB"


@admin.register(ContentUse)
class ContentUseAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = ("used_at", "content", "version_no", "guide_link", "store")
    list_select_related = ("guide", "store", "content")
    list_filter = (("content", lists.ScopedFilter), ("guide", lists.ScopedFilter), ("store", lists.ScopedFilter))
    fields = ("used_at", "content", "version_no", "guide_link", "store")
