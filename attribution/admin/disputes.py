"""Disputes in the console: what is due, the file of each, and the verdict of two people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import explanations
from attribution.disputes import files, hearing, pictures
from attribution.models import Dispute
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, GOOD, NEW, QUIET, display, money, state
from scrm.org import Right

STATUS_COLOURS = {
    Dispute.Status.STORE: NEW,
    Dispute.Status.HQ: BUSY,
    Dispute.Status.PROPOSED: BUSY,
    Dispute.Status.UPHELD: GOOD,
    Dispute.Status.REJECTED: BAD,
    Dispute.Status.WITHDRAWN: QUIET,
}

words.register(
    {
        "dispute.open": gettext_lazy("opened a dispute"),
        "dispute.evidence": gettext_lazy("added evidence"),
        "dispute.look": gettext_lazy("looked at a picture of the evidence"),
        "dispute.opinion": gettext_lazy("gave an opinion on a dispute"),
        "dispute.hand_on": gettext_lazy("handed a dispute on, as its time was over"),
        "dispute.propose": gettext_lazy("proposed a verdict"),
        "dispute.send_back": gettext_lazy("sent a proposed verdict back"),
        "dispute.confirm": gettext_lazy("confirmed a verdict"),
        "dispute.withdraw": gettext_lazy("withdrew a dispute"),
    }
)


class OpinionForm(forms.Form):
    opinion = forms.ChoiceField(label=gettext_lazy("opinion"), choices=Dispute.Opinion.choices)
    text = forms.CharField(label=gettext_lazy("why"), min_length=4, max_length=500, widget=forms.Textarea)


class VerdictForm(forms.Form):
    is_upheld = forms.TypedChoiceField(
        label=gettext_lazy("verdict"),
        choices=[("1", gettext_lazy("uphold: the line goes to the claimant")), ("0", gettext_lazy("reject: it stays as it is"))],
        coerce=lambda value: value == "1",
    )  # fmt: skip
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=4, max_length=500, widget=forms.Textarea)


class SendBackForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("why not"), min_length=4, max_length=200)


@object_act(
    gettext_lazy("Give an opinion"), right=Right.VIEW, form=OpinionForm, icon="rate_review",
    offered=lambda dispute: dispute.status == Dispute.Status.STORE,
    warning=gettext_lazy("Afterwards the dispute goes to the region or HQ."),
)  # fmt: skip
def opinion(self: Any, request: HttpRequest, dispute: Dispute, data: dict[str, Any]) -> str:
    hearing.give_opinion(dispute=dispute, **data, actor=request.user, now=timezone.now())
    return _("Your opinion is noted.")


@object_act(
    gettext_lazy("Propose a verdict"), form=VerdictForm, icon="gavel", offered=lambda dispute: dispute.status == Dispute.Status.HQ,
    warning=gettext_lazy("Nothing moves yet: a second person confirms it. Neither of you may be a party."),
)  # fmt: skip
def propose(self: Any, request: HttpRequest, dispute: Dispute, data: dict[str, Any]) -> str:
    hearing.propose(dispute=dispute, **data, actor=request.user, now=timezone.now())
    return _("The verdict is proposed; somebody else confirms it.")


@object_act(
    gettext_lazy("Confirm the verdict"), icon="verified", offered=lambda dispute: dispute.status == Dispute.Status.PROPOSED,
    warning=gettext_lazy("The money follows at once, by reversing entries in the open period. A verdict is final."),
)  # fmt: skip
def confirm(self: Any, request: HttpRequest, dispute: Dispute, data: dict[str, Any]) -> str:
    done = hearing.confirm(dispute=dispute, actor=request.user, now=timezone.now())
    return _("The dispute is %(status)s.") % {"status": done.get_status_display()}


@object_act(
    gettext_lazy("Send it back"), form=SendBackForm, icon="undo", offered=lambda dispute: dispute.status == Dispute.Status.PROPOSED
)  # fmt: skip
def send_back(self: Any, request: HttpRequest, dispute: Dispute, data: dict[str, Any]) -> str:
    hearing.send_back(dispute=dispute, reason=data["reason"], actor=request.user, now=timezone.now())
    return _("The verdict is to be proposed anew.")


@admin.register(Dispute)
class DisputeAdmin(BigReadOnlyAdmin):
    acts = (opinion, propose, confirm, send_back)
    list_display = ("number", "order_text", "claimant", "against", "ground", "status_label", "due", "opened")
    list_display_links = ("number", "order_text")
    list_select_related = ("claimant", "store")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter),
        ("store", lists.ScopedFilter),
        ("rule", lists.ScopedDropdownFilter),
        ("opened_at", lists.DayFilter),
    )
    search_fields = ("claimant__code__exact", "against_code__exact")
    search_help_text = gettext_lazy("Code of the claimant or of who is credited")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.picture_view)
        name = "attribution_dispute_picture"
        return [path("<int:pk>/evidence/<int:evidence_id>/picture/", view, name=name), *super().get_urls()]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = explanations.beneficiary_names(
            codes=[row.against_code for row in rows], scope=org.scope_of(request.user)
        )
        orders = explanations.order_numbers(keys={(row.line_id, row.booked_on) for row in rows})
        for row in rows:
            row.shown_against = names.get(row.against_code, row.against_code)
            row.shown_order = orders.get(row.line_id, str(row.line_id))

    @display(description="#")
    def number(self, dispute: Dispute) -> str:
        return str(dispute.pk)

    @display(description=gettext_lazy("order line"))
    def order_text(self, dispute: Any) -> str:
        return dispute.shown_order

    @display(description=gettext_lazy("credited so far"))
    def against(self, dispute: Any) -> str:
        return _("HQ pool") if dispute.against_code == "HQ_POOL" else dispute.shown_against

    @display(description=gettext_lazy("status"), label=STATUS_COLOURS)
    def status_label(self, dispute: Dispute) -> Any:
        return state(dispute.status, dispute.get_status_display())

    @display(description=gettext_lazy("due at"), label={"LATE": BAD, "": QUIET, "DUE": NEW})
    def due(self, dispute: Dispute) -> Any:
        if not dispute.is_open:
            return state("", "—")
        is_late = dispute.due_at < timezone.now()
        return state("LATE" if is_late else "DUE", timezone.localtime(dispute.due_at).strftime("%m-%d %H:%M"))

    @display(description=gettext_lazy("opened at"))
    def opened(self, dispute: Dispute) -> str:
        return timezone.localtime(dispute.opened_at).strftime("%Y-%m-%d %H:%M")

    @display(description=gettext_lazy("moved to the claimant"))
    def moved(self, dispute: Dispute) -> SafeString:
        return money(dispute.moved_fen)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The whole file on one page."""
        dispute = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, dispute):
            raise PermissionDenied
        context = self.page_context(
            request,
            dispute,
            title=_("Dispute on %s") % explanations.order_numbers(keys={(dispute.line_id, dispute.booked_on)})[dispute.line_id],
            dispute=dispute,
            file=files.file_of(dispute),
            buttons=self.acts_for(request, dispute),
            is_party=request.user.pk in hearing.parties(dispute),
            is_own_proposal=dispute.status == Dispute.Status.PROPOSED and dispute.proposed_by_id == request.user.pk,
            is_late=dispute.is_open and dispute.due_at < timezone.now(),
        )  # fmt: skip
        return TemplateResponse(request, "admin/attribution/dispute/page.html", context)

    def picture_view(self, request: HttpRequest, pk: int, evidence_id: int) -> HttpResponse:
        """On record before it leaves."""
        dispute = self.get_object(request, str(pk))
        if not self.has_view_permission(request, dispute):
            raise PermissionDenied
        evidence = dispute.evidence.filter(pk=evidence_id).exclude(picture_sealed=None).first()
        if evidence is None:
            raise Http404
        jpeg = pictures.look_at(evidence=evidence, actor=request.user)
        return HttpResponse(jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})
