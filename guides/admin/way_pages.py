"""The pages of codes that are no list: a new one, one for each guide, pictures and the sheet to print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides import contact_ways
from guides.contact_ways import bulk as many
from guides.contact_ways import pictures, staffing
from guides.models import ContactWay, WayStaff
from scrm.admin import lists
from scrm.errors import RuleViolation
from scrm.models import Corp, Region, Store
from scrm.wecom import contact_ways as endpoint

PER_PAGE = 9
TEMPLATES = "admin/guides/contactway/"
Purpose = ContactWay.Purpose


@dataclass(frozen=True, slots=True)
class Quota:
    used: int
    whole: int

    @property
    def share(self) -> int:
        return min(100, round(100 * self.used / self.whole))


def quota() -> Quota | None:
    """Of the corp with the fullest quota; None before a corp is entered."""
    used = [many.quota_used(corp) for corp in Corp.objects.order_by("pk")[:10]]
    return Quota(max(used), settings.WECOM_WAY_QUOTA) if used else None


class WayForm(forms.Form):
    corp = forms.ModelChoiceField(label=gettext_lazy("WeCom corp"), queryset=Corp.objects.none())
    purpose = forms.ChoiceField(label=gettext_lazy("purpose"), choices=Purpose.choices, initial=Purpose.STORE)
    name = forms.CharField(label=gettext_lazy("name"), max_length=endpoint.REMARK_CHARS)
    store = forms.CharField(
        label=gettext_lazy("store code"), required=False, max_length=32,
        help_text=gettext_lazy("For a store code; may be given for a campaign"),
    )  # fmt: skip
    people = forms.CharField(
        label=gettext_lazy("guides"), widget=forms.Textarea(attrs={"rows": 5}),
        help_text=gettext_lazy(
            "One guide a line: guide code, then as needed 备用, days, hours and 节假日休, for example “G00001 周一至周五 09:00-18:00”. A guide's own code names her alone."
        ),
    )  # fmt: skip
    skip_verify = forms.BooleanField(label=gettext_lazy("add without confirmation"), required=False, initial=True)
    daily_cap = forms.IntegerField(
        label=gettext_lazy("new friends a day, per guide"), required=False, min_value=1,
        help_text=gettext_lazy("Over it the backups take over; empty: no cap"),
    )  # fmt: skip
    expires_at = forms.SplitDateTimeField(
        label=gettext_lazy("retired by itself at"), required=False, widget=forms.SplitDateTimeWidget()
    )

    def __init__(self, *args: Any, way: ContactWay | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        corps: Any = self.fields["corp"]
        corps.queryset = Corp.objects.order_by("pk")
        corps.initial = corps.queryset.first()
        if way is not None:  # what WeCom never changes is not asked
            for name in ("corp", "purpose", "store"):
                del self.fields[name]


def edit(admin: Any, request: HttpRequest, way: ContactWay | None) -> HttpResponse:
    """A new code, or other people and hours for one that exists."""
    posted = request.POST if request.method == "POST" else None
    form = lists.styled(WayForm(posted, way=way, initial=_initial(way)))
    if posted is not None and form.is_valid():
        try:
            saved = _save(request, way, form.cleaned_data)
            messages.success(request, _("The code is saved."))
            return HttpResponseRedirect(admin.url_of(saved))
        except RuleViolation as error:
            form.add_error(None, error.message)
    title = _("Change “%(way)s”") % {"way": way} if way else _("New contact way")
    back = admin.url_of(way) if way else reverse("admin:guides_contactway_changelist")
    context = admin.page_context(request, way, title=title, form=form, back=back)
    return TemplateResponse(request, f"{TEMPLATES}edit.html", context, status=400 if form.errors else 200)


def _initial(way: ContactWay | None) -> dict[str, Any]:
    if way is None:
        return {}
    staff = way.staff.select_related("guide").order_by("is_backup", "pk")
    shown = {"people": staffing.written(staff)}
    return shown | {name: getattr(way, name) for name in ("name", "skip_verify", "daily_cap", "expires_at")}


def _save(request: HttpRequest, way: ContactWay | None, data: dict[str, Any]) -> ContactWay:
    now, staff = timezone.now(), staffing.parse(data["people"])
    wanted = {name: data[name] for name in ("name", "skip_verify", "daily_cap", "expires_at")}
    if way is not None:
        contact_ways.change(way=way, staff=staff, actor=request.user, now=now, **wanted)
        return way
    store = None
    if data["store"]:
        store = Store.objects.filter(code=data["store"].strip()).first()
        if store is None:
            raise contact_ways.BadWay(_("There is no store %(code)s.") % {"code": data["store"]})
    is_own = data["purpose"] == Purpose.GUIDE
    return contact_ways.draft(
        corp=data["corp"], purpose=data["purpose"], staff=staff, store=None if is_own else store,
        guide=staff[0].guide if is_own and len(staff) == 1 else None, actor=request.user, now=now, **wanted,
    )  # fmt: skip


# --- one for each guide -----------------------------------------------------------------------------------------------


class BulkForm(forms.Form):
    corp = forms.ModelChoiceField(label=gettext_lazy("WeCom corp"), queryset=Corp.objects.none())
    region = forms.ModelChoiceField(
        label=gettext_lazy("region"),
        queryset=Region.objects.none(),
        required=False,
        empty_label=gettext_lazy("everywhere"),
    )
    skip_verify = forms.BooleanField(label=gettext_lazy("add without confirmation"), required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        corps: Any = self.fields["corp"]
        regions: Any = self.fields["region"]
        corps.queryset, regions.queryset = Corp.objects.order_by("pk"), Region.objects.order_by("code")
        corps.initial = corps.queryset.first()


def bulk(admin: Any, request: HttpRequest) -> HttpResponse:
    """GET asks for the part of the company and shows what a run would do; POST starts it."""
    asked = request.POST if request.method == "POST" else request.GET
    form = lists.styled(BulkForm(asked if "corp" in asked else None))
    preview = None
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        store_ids = _stores_of(data["region"])
        try:
            if request.method == "POST":
                job = many.start(
                    corp=data["corp"], store_ids=store_ids, skip_verify=data["skip_verify"], actor=request.user
                )
                messages.success(request, _("The codes are being made; this page shows how far it is."))
                return HttpResponseRedirect(reverse("admin:scrm_job_change", args=(job.pk,)))
        except RuleViolation as error:
            messages.error(request, error.message)
        preview = many.preview(corp=data["corp"], store_ids=store_ids)
    context = admin.page_context(
        request, None, title=_("A code for each guide"), form=form, preview=preview,
        back=reverse("admin:guides_contactway_changelist"),
    )  # fmt: skip
    return TemplateResponse(request, f"{TEMPLATES}bulk.html", context)


def _stores_of(region: Region | None) -> list[int] | None:
    if region is None:
        return None
    below = [row.pk for row in Region.objects.descendants(region.pk, include_self=True)]
    return list(Store.objects.filter(region__in=below).order_by("pk").values_list("pk", flat=True))


# --- pictures ---------------------------------------------------------------------------------------------------------


def picture(way: ContactWay, kind: str) -> HttpResponse:
    """The code to download, ``png`` or ``svg``."""
    if not way.qr_code or kind not in ("png", "svg"):
        raise Http404
    (one,) = pictures.prints([way])
    content: bytes | str = pictures.png(one) if kind == "png" else pictures.svg(one)
    content_type = "image/png" if kind == "png" else "image/svg+xml"
    headers = {"Content-Disposition": f'attachment; filename="{way.state}.{kind}"', "Cache-Control": "private"}
    return HttpResponse(content, content_type=content_type, headers=headers)


def sheet(request: HttpRequest, ways: list[ContactWay]) -> HttpResponse:
    """A page of its own to print: nine codes on A4, with marks to cut along."""
    drawn = [mark_safe(pictures.svg(one)) for one in pictures.prints(ways)]  # noqa: S308  drawn by us, its texts escaped
    sheets = [drawn[start : start + PER_PAGE] for start in range(0, len(drawn), PER_PAGE)]
    return TemplateResponse(request, f"{TEMPLATES}sheet.html", {"sheets": sheets, "count": len(drawn)})


def hours_of(row: WayStaff) -> str:
    """When she stands behind the code, in words."""
    return " ".join(staffing.written([row]).split()[1:]) or str(_("always"))
