"""Settlement in the console: batches with their preview and approval, payout files, statements, terms, the proof."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import payouts, settlement, settlement_pages, statements
from attribution.models import Batch, PayoutFile, Proof, SettlementTerms, Statement
from attribution.settlement import batches
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, money, percent, state
from scrm.errors import RuleViolation
from scrm.models import Job, LegalEntity
from scrm.org import Right

STATUS_COLOURS = {
    Batch.Status.MAKING: BUSY,
    Batch.Status.READY: NEW,
    Batch.Status.APPROVED: BUSY,
    Batch.Status.POSTED: NEW,
    Batch.Status.SETTLED: GOOD,
    Batch.Status.CANCELLED: QUIET,
}
MAX_RESULT_BYTES = 10 * 2**20

words.register(
    {
        "settlement.request": gettext_lazy("made a settlement batch"),
        "settlement.approve": gettext_lazy("approved a settlement batch"),
        "settlement.cancel": gettext_lazy("cancelled a settlement batch"),
        "settlement.write_off": gettext_lazy("wrote a debt off"),
        "payout.produce": gettext_lazy("made a payout file"),
        "payout.download": gettext_lazy("downloaded a payout file"),
        "payout.result": gettext_lazy("took a bank's answer"),
        "statement.download": gettext_lazy("downloaded a statement"),
        "make_settlement": gettext_lazy("making a settlement batch"),
        "post_settlement": gettext_lazy("posting a settlement batch"),
        "take": gettext_lazy("taking the lines"),
        "settle": gettext_lazy("computing the statements"),
        "post": gettext_lazy("posting"),
        "summary.payees": gettext_lazy("payees"),
        "summary.paid_fen": gettext_lazy("to be paid"),
        "summary.statements": gettext_lazy("statements"),
        "SETTLEMENT": gettext_lazy("settlement"),
        "RETURNED": gettext_lazy("returned by the bank"),
        "EXIT": gettext_lazy("written off at exit"),
        "TIER": gettext_lazy("monthly step"),
        "DISPUTE": gettext_lazy("dispute"),
    }
)


class PeriodForm(forms.Form):
    period = forms.RegexField(label=gettext_lazy("period"), regex=r"^20[0-9]{2}-(0[1-9]|1[0-2])\Z", max_length=7)


class ApproveForm(forms.Form):
    count = forms.IntegerField(label=gettext_lazy("lines you have seen"), min_value=0)
    amount = forms.DecimalField(label=gettext_lazy("amount you have seen (yuan)"), min_value=0, decimal_places=2)


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Approve and close the period"), icon="check_circle", form=ApproveForm,
    offered=lambda batch: batch.status == Batch.Status.READY,
    warning=gettext_lazy("Type in the count and the amount that you have checked. Afterwards nothing of this batch changes and the period is closed."),
)  # fmt: skip
def approve(self: Any, request: HttpRequest, batch: Batch, data: dict[str, Any]) -> str:
    amount_fen = int(data["amount"] * 100)
    settlement.approve(
        batch_id=batch.pk, actor=request.user, now=timezone.now(), count=data["count"], amount_fen=amount_fen
    )
    return _("The batch is approved; it is being posted.")


@object_act(
    gettext_lazy("Reject or cancel"), icon="cancel", form=ReasonForm,
    offered=lambda batch: batch.status in (Batch.Status.MAKING, Batch.Status.READY),
    warning=gettext_lazy("Every line waits for the next batch."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, batch: Batch, data: dict[str, Any]) -> str:
    settlement.cancel(batch_id=batch.pk, actor=request.user, reason=data["reason"], now=timezone.now())
    return _("The batch is cancelled; every line waits for the next one.")


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    acts = (approve, cancel)
    change_list_template = "admin/attribution/batch/list.html"
    list_display = (
        "code_text",
        "status_label",
        "line_count",
        "payee_count",
        "earned",
        "netted",
        "paid",
        "requested_by",
        "approved_by",
    )
    list_display_links = ("code_text",)
    list_select_related = ("requested_by", "approved_by")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-period", "-number")
    fields = ("period", "number")

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"attribution_batch_{name}")

        return [
            page("make/", self.make_view, "make"),
            page("<path:object_id>/company/<int:company_id>/", self.company_view, "company"),
            page("<path:object_id>/produce/<int:company_id>/", self.produce_view, "produce"),
            page("<path:object_id>/file/<int:file_id>.<slug:kind>", self.file_view, "file"),
            page("<path:object_id>/result/<int:file_id>/", self.result_view, "result"),
            *super().get_urls(),
        ]

    @display(description=gettext_lazy("batch"))
    def code_text(self, batch: Batch) -> str:
        return batch.code

    @display(description=gettext_lazy("status"), label=STATUS_COLOURS)
    def status_label(self, batch: Batch) -> Any:
        return state(batch.status, batch.get_status_display())

    @display(description=gettext_lazy("due"))
    def earned(self, batch: Batch) -> SafeString:
        return money(batch.earned_fen)

    @display(description=gettext_lazy("netted"))
    def netted(self, batch: Batch) -> SafeString:
        return money(batch.netted_fen)

    @display(description=gettext_lazy("to be paid"))
    def paid(self, batch: Batch) -> SafeString:
        return money(batch.paid_fen)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        bars = statements.aging(now=timezone.now())
        whole = max((fen for _text, fen in bars), default=0)
        extra = {
            "may_make": self.has_right(request, Right.ACT),
            "aging": [(text, fen, round(100 * fen / whole) if whole else 0) for text, fen in bars],
            "proof": Proof.objects.order_by("-pk").first(),
        }
        return super().changelist_view(request, {**(extra_context or {}), **extra})

    # --- pages ---

    def make_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows what a batch would be; POST has it made."""
        if not self.has_right(request, Right.ACT):
            raise PermissionDenied
        now, preview = timezone.now(), None
        asked = request.POST if request.method == "POST" else request.GET
        data = asked if asked.get("period") else {"period": batches.next_period(now=now)}
        form = lists.styled(PeriodForm(data))
        if form.is_valid():
            try:
                if request.method == "POST":
                    batch = settlement.request(period=form.cleaned_data["period"], actor=request.user, now=now)
                    return HttpResponseRedirect(self.url_of(batch))
                preview = settlement.preview(period=form.cleaned_data["period"], now=now)
            except RuleViolation as error:
                messages.error(request, error.message)
        context = self.page_context(request, None, title=_("Make a settlement batch"), form=form, preview=preview)
        return TemplateResponse(request, "admin/attribution/batch/make.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        batch = self._batch(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        job = batch.job
        context = self.page_context(
            request, batch, title=_("Settlement %s") % batch.code, batch=batch, colour=STATUS_COLOURS[Batch.Status(batch.status)],
            companies=settlement_pages.companies(batch), before=settlement_pages.before(batch), top=settlement_pages.largest(batch),
            buttons=self.acts_for(request, batch), cap=percent(batch.cap_bp) if batch.cap_bp is not None else _("no cap"),
            is_busy=job is not None and job.status in (Job.Status.QUEUED, Job.Status.RUNNING),
            failure=job.error if job is not None and job.status == Job.Status.FAILED else "",
            share=round(100 * job.done_count / job.total_count) if job is not None and job.total_count else 0,
            may_act=self.has_right(request, Right.ACT), may_export=self.has_right(request, Right.EXPORT),
            is_own=batch.requested_by_id == request.user.pk,
        )  # fmt: skip
        return TemplateResponse(request, "admin/attribution/batch/page.html", context)

    def company_view(self, request: HttpRequest, object_id: str, company_id: int) -> HttpResponse:
        """A company's part: its statement and its payments, names masked."""
        batch, company = self._batch(request, object_id), self._company(company_id)
        file = PayoutFile.objects.filter(batch=batch, company=company).first()
        context = self.page_context(
            request, batch, title=f"{batch.code} · {company.name}", batch=batch, company=company, file=file,
            statement=statements.of_company(batch=batch, company=company), payments=settlement_pages.payments(batch, company),
            results=file.results.select_related("taken_by").order_by("pk") if file else [],
            may_act=self.has_right(request, Right.ACT), may_export=self.has_right(request, Right.EXPORT),
            back=self.url_of(batch),
        )  # fmt: skip
        return TemplateResponse(request, "admin/attribution/batch/company.html", context)

    def produce_view(self, request: HttpRequest, object_id: str, company_id: int) -> HttpResponse:
        batch = self._batch(request, object_id)
        if request.method != "POST" or not self.has_right(request, Right.EXPORT):
            raise PermissionDenied
        try:
            _file, is_new = payouts.produce(
                batch_id=batch.pk, company_id=company_id, actor=request.user, now=timezone.now()
            )
            if is_new:
                messages.success(request, _("The payout file is made."))
            else:
                messages.warning(request, _("This payout file was made before; there is no second one."))
        except RuleViolation as error:
            messages.error(request, error.message)
        return self._to_company(batch, company_id)

    def file_view(self, request: HttpRequest, object_id: str, file_id: int, kind: str) -> HttpResponse:
        """POST only: taking it out is an act."""
        batch = self._batch(request, object_id)
        if request.method != "POST" or not self.has_right(request, Right.EXPORT):
            raise PermissionDenied
        file = PayoutFile.objects.filter(pk=file_id, batch=batch).select_related("company").first()
        if file is None or kind not in ("csv", "xlsx"):
            raise Http404
        content = payouts.download(file=file, actor=request.user)
        if kind == "xlsx":
            content = payouts.as_xlsx(file)
        return attachment(content, f"payout-{batch.code}-{file.company.code}", kind)

    def result_view(self, request: HttpRequest, object_id: str, file_id: int) -> HttpResponse:
        batch = self._batch(request, object_id)
        if request.method != "POST" or not self.has_right(request, Right.ACT):
            raise PermissionDenied
        file = PayoutFile.objects.filter(pk=file_id, batch=batch).first()
        if file is None:
            raise Http404
        sent = request.FILES.get("file")
        if sent is None or not sent.size or sent.size > MAX_RESULT_BYTES:
            messages.error(request, _("Choose the result file of the bank, 10 MB at most."))
            return self._to_company(batch, file.company_id)
        try:
            result, is_new = payouts.take_results(
                file_id=file.pk, content=sent.read(), actor=request.user, now=timezone.now()
            )
            said = {"arrived": result.settled_count, "returned": result.returned_count}
            text = (
                _("%(arrived)d payments arrived, %(returned)d came back.")
                if is_new
                else _("This result was taken before; nothing changed.")
            )
            messages.success(request, text % said if is_new else text)
        except RuleViolation as error:
            messages.error(request, error.message)
        return self._to_company(batch, file.company_id)

    def _batch(self, request: HttpRequest, object_id: str) -> Batch:
        batch: Batch = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        return batch

    def _company(self, company_id: int) -> LegalEntity:
        company = LegalEntity.objects.filter(pk=company_id).first()
        if company is None:
            raise Http404
        return company

    def _to_company(self, batch: Batch, company_id: int) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:attribution_batch_company", args=(batch.pk, company_id)))


def attachment(content: bytes, name: str, kind: str) -> HttpResponse:
    types = {
        "csv": "text/csv; charset=utf-8", "pdf": "application/pdf",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }  # fmt: skip
    response = HttpResponse(content, content_type=types[kind])
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    response["Cache-Control"] = "no-store"
    return response


@admin.register(Statement)
class StatementAdmin(ReadOnlyAdmin):
    list_display = ("period_text", "owner", "store", "earned", "netted", "paid", "carried")
    list_display_links = ("period_text",)
    list_select_related = ("batch", "store", "beneficiary__guide", "beneficiary__store", "beneficiary__entity")
    list_filter = (("store", lists.ScopedFilter),)
    search_fields = ("beneficiary__code__exact", "batch__period__exact")
    search_help_text = gettext_lazy("Beneficiary code, or period such as 2026-05")
    ordering = ("-pk",)
    fields = ("period_text", "owner")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(batch__status__in=statements.SHOWN)

    def get_urls(self) -> list[Any]:
        download = path(
            "<path:object_id>/statement.<slug:kind>",
            self.admin_site.admin_view(self.download_view),
            name="attribution_statement_download",
        )
        return [download, *super().get_urls()]

    @display(description=gettext_lazy("period"))
    def period_text(self, statement: Statement) -> str:
        return statement.batch.period

    @display(description=gettext_lazy("beneficiary"))
    def owner(self, statement: Statement) -> str:
        return f"{statements.name_of(statement)} {statement.beneficiary.code}"

    @display(description=gettext_lazy("due"))
    def earned(self, statement: Statement) -> SafeString:
        return money(statement.due_fen)

    @display(description=gettext_lazy("netted"))
    def netted(self, statement: Statement) -> SafeString:
        return money(statement.netted_fen)

    @display(description=gettext_lazy("paid"))
    def paid(self, statement: Statement) -> SafeString:
        return money(statement.paid_fen)

    @display(description=gettext_lazy("carried over"))
    def carried(self, statement: Statement) -> SafeString:
        return money(statement.carried_fen)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        statement: Statement = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, statement):
            raise PermissionDenied
        rows = statements.lines(statement=statement, limit=201)
        context = self.page_context(
            request, statement, title=f"{statement.batch.period} · {statements.name_of(statement)}", statement=statement,
            head=statements.head(statement), lines=[{**row, "what": statements.what(row)} for row in rows[:200]], has_more=len(rows) > 200,
            debts=[{**row, "what": statements.what(row)} for row in statements.debts(statement=statement)],
            payments=statement.payments.select_related("company").order_by("pk"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/attribution/statement/page.html", context)

    def download_view(self, request: HttpRequest, object_id: str, kind: str) -> HttpResponse:
        statement: Statement = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, statement):
            raise PermissionDenied
        made = {"csv": statements.as_csv, "pdf": statements.as_pdf}.get(kind)
        if made is None:
            raise Http404
        name = f"statement-{statement.batch.period}-{statement.beneficiary.code.replace(':', '-')}"
        return attachment(made(statement), name, kind)


@admin.register(SettlementTerms)
class SettlementTermsAdmin(ScopedAdmin):
    add_right = change_right = Right.CHANGE
    list_display = ("applies_from", "batch_day", "cap", "exit_writes_off")
    ordering = ("-applies_from",)

    @display(description=gettext_lazy("netting cap"))
    def cap(self, terms: SettlementTerms) -> str:
        return _("no cap") if terms.netting_cap_bp is None else percent(terms.netting_cap_bp)


@admin.register(Proof)
class ProofAdmin(ReadOnlyAdmin):
    list_display = ("ran_at", "is_proven_label", "rows", "difference_count")
    list_display_links = ("ran_at",)
    ordering = ("-pk",)
    fields = ("ran_at", "ended_at", "is_proven_label", "rows", "differences_text")

    @display(description=gettext_lazy("result"), label={True: GOOD, False: BAD})
    def is_proven_label(self, proof: Proof) -> Any:
        return state(proof.is_proven, _("proven") if proof.is_proven else _("differs"))

    @display(description=gettext_lazy("rows proven"))
    def rows(self, proof: Proof) -> str:
        return f"{sum(proof.proven.values()):,}"

    @display(description=gettext_lazy("differences"))
    def difference_count(self, proof: Proof) -> int:
        return len(proof.differences)

    @display(description=gettext_lazy("differences"))
    def differences_text(self, proof: Proof) -> str:
        return "\n".join(" · ".join(str(cell) for cell in row) for row in proof.differences[:50]) or EMPTY


__all__ = ["BatchAdmin", "ProofAdmin", "SettlementTermsAdmin", "StatementAdmin", "link"]
