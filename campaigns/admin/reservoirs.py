"""Pre-opening pools in the console: prepared, watched day by day, the opening day by the hour, and handed over."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin.planned import PlannedAdmin
from campaigns.communities import reservoir
from campaigns.communities.reservoir import comparing, counting, handing, planning
from campaigns.models import Reservoir
from guides.models import ContactWay
from members.models import CouponTemplate
from scrm.admin import inputs, lists, words
from scrm.admin.bases import object_act
from scrm.admin.shown import BAD, BUSY, GOOD, NEW, display, state
from scrm.models import Corp, Store
from scrm.org import Right

words.register(
    {
        "reservoir.draft": gettext_lazy("prepared a pre-opening pool"),
        "reservoir.begin": gettext_lazy("started a pre-opening pool"),
        "reservoir.move": gettext_lazy("moved an opening day"),
        "reservoir.gift": gettext_lazy("changed the gift of a pool"),
        "reservoir.cancel": gettext_lazy("cancelled a pre-opening pool"),
        "reservoir.end": gettext_lazy("ended a pre-opening pool"),
        "reservoir.hand_over": gettext_lazy("planned to hand a pool over"),
    }
)
Status = Reservoir.Status
COLOURS = {Status.DRAFT: NEW, Status.OPEN: BUSY, Status.ENDED: GOOD, Status.CANCELLED: BAD}


class ReservoirForm(forms.Form):
    store = forms.ModelChoiceField(Store.objects.none(), label=gettext_lazy("store"))
    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=20)
    starts_on = forms.DateField(label=gettext_lazy("collects from"))
    opens_on = forms.DateField(label=gettext_lazy("opening day"))
    target_count = forms.IntegerField(label=gettext_lazy("friends wanted"), min_value=1, max_value=100_000)
    gift = forms.ModelChoiceField(
        CouponTemplate.objects.none(), label=gettext_lazy("gift for joining"), required=False,
        help_text=gettext_lazy("Its number and budget are the stock; empty: no gift."),
    )  # fmt: skip
    places = forms.CharField(
        label=gettext_lazy("places"), widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("One a line, each gets a code of its own; behind the name the longitude and latitude, if known: 围挡东侧 121.4737,31.2304"),
    )  # fmt: skip
    staff = forms.CharField(
        label=gettext_lazy("temporary guides"), widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("One a line: the code and her last day here, G00001 2026-10-07. They stay employed where they are."),
    )  # fmt: skip
    cost = inputs.yuan_field(
        gettext_lazy("other costs"), required=False, help_text=gettext_lazy("Signs, staff, posters; gifts are added.")
    )
    margin = inputs.percent_field(
        gettext_lazy("gross margin"), required=True, help_text=gettext_lazy("What remains of a sale, for the payback.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        corps = Corp.objects.order_by("pk")
        fields["corp"].queryset, fields["corp"].initial = corps, corps[:1].first()
        fields["store"].queryset = Store.objects.filter(closed_on=None).order_by("code")
        fields["gift"].queryset = CouponTemplate.objects.filter(status=CouponTemplate.Status.PUBLISHED).order_by("-pk")
        lists.styled(self)


class MoveForm(forms.Form):
    opens_on = forms.DateField(label=gettext_lazy("opening day"))
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


class GiftForm(forms.Form):
    gift = forms.ModelChoiceField(CouponTemplate.objects.none(), label=gettext_lazy("gift for joining"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["gift"].queryset = CouponTemplate.objects.filter(status=CouponTemplate.Status.PUBLISHED).order_by("-pk")


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Start"), right=Right.CHANGE, icon="play_arrow", offered=lambda row: row.status == Status.DRAFT,
    warning=gettext_lazy("A code for each place is made at WeCom, and the store gets its opening day."),
)  # fmt: skip
def begin(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    reservoir.begin(reservoir=row, actor=request.user, now=timezone.now())
    return _("The pool collects. The codes are being made.")


@object_act(
    gettext_lazy("Move the opening day"), right=Right.CHANGE, icon="event", form=MoveForm,
    offered=lambda row: row.status in (Status.DRAFT, Status.OPEN),
    warning=gettext_lazy("Countdown steps that are not given yet move along. What customers were told already stays said."),
)  # fmt: skip
def move_opening(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    reservoir.move_opening(reservoir=row, actor=request.user, now=timezone.now(), **data)
    return _("The opening day is moved.")


@object_act(
    gettext_lazy("Another gift"), right=Right.CHANGE, icon="redeem", form=GiftForm,
    offered=lambda row: row.status in (Status.DRAFT, Status.OPEN),
    warning=gettext_lazy("Who has a gift keeps it. Everybody who went without gets the new one."),
)  # fmt: skip
def change_gift(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    count = reservoir.change_gift(reservoir=row, gift=data["gift"], actor=request.user, now=timezone.now())
    return _("The gift is changed; %(count)s customers get it soon.") % {"count": count}


@object_act(
    gettext_lazy("Make failed codes again"), icon="qr_code_2",
    offered=lambda row: row.status == Status.OPEN and row.places.filter(way__status=ContactWay.Status.FAILED).exists(),
)  # fmt: skip
def make_codes_again(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    count = reservoir.make_codes_again(reservoir=row, actor=request.user, now=timezone.now())
    return _("%(count)s codes are being made.") % {"count": count}


def _hand_over_warning(row: Reservoir) -> str:
    found = handing.preview(reservoir=row, now=timezone.now())
    return _("%(customers)s customers of %(givers)s borrowed guides would go to %(takers)s guides of the store. Nothing moves before each handover is confirmed.") % {
        "customers": found.customers, "givers": len(found.givers), "takers": len(found.takers),
    }  # fmt: skip


@object_act(
    gettext_lazy("Hand over to the store's guides"), right=Right.CHANGE, icon="group_add",
    offered=lambda row: row.status in (Status.OPEN, Status.ENDED),
    warning=_hand_over_warning,
)  # fmt: skip
def hand_over(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    cases = handing.plan(reservoir=row, actor=request.user, now=timezone.now())
    return _("%(count)s handovers are planned; look at each and confirm it.") % {"count": len(cases)}


@object_act(
    gettext_lazy("End"), right=Right.CHANGE, icon="flag", offered=lambda row: row.status == Status.OPEN,
    warning=gettext_lazy("Nobody enters the pool any more and no gift is given. The codes stay the store's."),
)  # fmt: skip
def end(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    reservoir.end(reservoir=row, actor=request.user, now=timezone.now())
    return _("The pool has ended.")


@object_act(
    gettext_lazy("Cancel"), right=Right.CHANGE, icon="cancel", form=ReasonForm,
    offered=lambda row: row.status in (Status.DRAFT, Status.OPEN),
    warning=gettext_lazy("The codes are taken back for good: who scans a printed one reaches nobody. Gifts that were given stay valid."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, row: Reservoir, data: dict[str, Any]) -> str:
    reservoir.cancel(reservoir=row, actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("The pool is cancelled.")


@admin.register(Reservoir)
class ReservoirAdmin(PlannedAdmin):
    acts = (begin, move_opening, change_gift, make_codes_again, hand_over, end, cancel)
    list_display = ("name", "store", "status_label", "starts_on", "opens_on", "target_count", "created_at")
    list_select_related = ("store",)
    new_template = "admin/campaigns/reservoir/new.html"
    change_list_template = "admin/campaigns/reservoir/list.html"
    fields = ("name",)

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_reservoir_new")
        return [new, *super().get_urls()]

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: Reservoir) -> Any:
        return state(row.status, row.get_status_display())

    def new_view(self, request: HttpRequest) -> HttpResponse:
        form = ReservoirForm(request.POST or None, initial={"starts_on": timezone.localdate(), "margin": 30})
        return self.plan_page(
            request, form, lambda: _draft(request, form.cleaned_data), title=_("New pre-opening pool"),
            back=reverse("admin:campaigns_reservoir_changelist"),
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        now = timezone.now()
        figures = counting.figures(reservoir=row, now=now)
        left = (row.opens_on - planning.day_of(now)).days
        places = list(row.places.select_related("way").order_by("pk"))
        context = self.page_context(
            request, row, title=str(row), pool=row, figures=figures, places=[(place, *figures.places.get(place.pk, (0, 0))) for place in places],
            left=left, is_live=row.status == Status.OPEN, buttons=self.acts_for(request, row),
            board=counting.board(reservoir=row) if left <= 0 else [], most=max((count for _day, count in figures.days), default=1),
            preview=handing.preview(reservoir=row, now=now) if row.status in (Status.OPEN, Status.ENDED) else None,
            comparison=comparing.compare(reservoir=row, discount_fen=figures.discount_fen, now=now) if left < 0 else None,
            staff=list(row.staff.select_related("guide").order_by("pk")), steps=list(row.steps.order_by("-days_before")),
            cases=[one.case for one in row.cases.select_related("case__guide").order_by("pk")],
            list_url=reverse("admin:campaigns_reservoir_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/reservoir/page.html", context)


def _draft(request: HttpRequest, data: dict[str, Any]) -> Reservoir:
    data = dict(data)
    cost, margin = data.pop("cost"), data.pop("margin")
    said = reservoir.Draft(cost_fen=int((cost or 0) * 100), margin_bp=int(margin * 100), **data)
    return reservoir.draft(said=said, actor=request.user, now=timezone.now())
