"""Chain orders in the console: published, pasted, paid, handed over."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin.chain_orders_forms import MOST_ROWS, ROWS, ChainForm, CodeForm, ItemForm, PasteForm, PayForm
from campaigns.communities import chain_orders
from campaigns.communities.chain_orders import pasting, pickup, public
from campaigns.models import ChainLine, ChainOrder, ChainPayment, ChainPerson
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.exchange import neutral
from scrm.admin.shown import GOOD, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.models import Role
from scrm.money import yuan
from scrm.org import Right

words.register(
    {
        "chain.publish": gettext_lazy("published a chain order"),
        "chain.close": gettext_lazy("closed a chain order"),
        "chain.lines": gettext_lazy("entered lines of a chain order"),
        "chain.cancel_unpaid": gettext_lazy("cancelled unpaid lines of a chain order"),
        "chain.pay": gettext_lazy("took a payment of a chain order"),
        "chain.refund": gettext_lazy("refunded a line of a chain order"),
        "chain.redeem": gettext_lazy("handed over a chain order"),
    }
)
FOLDER = "admin/campaigns/chainorder/"
COLOURS = {ChainOrder.Status.OPEN: GOOD, ChainOrder.Status.CLOSED: QUIET}


def may_sell(request: HttpRequest) -> bool:
    """Whoever may act, and whose store it is: the goods and the till are hers. Rows are cut to her stores as everywhere."""
    return org.may(request.user, Right.ACT) or bool(
        {Role.STORE_MANAGER, Role.FRANCHISEE_OWNER} & set(org.roles_of(request.user))
    )


@object_act(
    gettext_lazy("Close the chain"), right=Right.VIEW, icon="lock", offered=lambda row: row.status == ChainOrder.Status.OPEN,
    warning=gettext_lazy("Nobody can join any more. What is not paid stays reserved until you cancel it."),
)  # fmt: skip
def close(self: Any, request: HttpRequest, row: ChainOrder, data: dict[str, Any]) -> str:
    self.require_seller(request)
    chain_orders.close(chain_id=row.pk, actor=request.user, now=timezone.now())
    return _("The chain is closed.")


@object_act(
    gettext_lazy("Cancel what is not paid"), right=Right.VIEW, icon="remove_shopping_cart",
    warning=lambda row: _("%(count)s lines are not paid; their goods go back into stock.") % {
        "count": ChainLine.objects.filter(person__chain=row, status=ChainLine.Status.TAKEN).count(),
    },
)  # fmt: skip
def cancel_unpaid(self: Any, request: HttpRequest, row: ChainOrder, data: dict[str, Any]) -> str:
    self.require_seller(request)
    count = chain_orders.cancel_unpaid(chain_id=row.pk, actor=request.user, now=timezone.now())
    return _("%(count)s lines are cancelled.") % {"count": count}


@admin.register(ChainOrder)
class ChainOrderAdmin(ReadOnlyAdmin):
    acts = (close, cancel_unpaid)
    list_display = ("title", "leader", "store", "pickup_store", "status_label", "opens_at", "closes_at")
    list_select_related = ("leader", "store", "pickup_store")
    list_filter = (("status", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter))
    search_fields = ("title__startswith",)
    ordering = ("-pk",)
    change_list_template = f"{FOLDER}list.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        one = "<int:chain_id>/"
        return [
            path("new/", view(self.new_view), name="campaigns_chainorder_new"),
            path("redeem/", view(self.redeem_view), name="campaigns_chainorder_redeem"),
            path(f"{one}paste/", view(self.paste_view), name="campaigns_chainorder_paste"),
            path(f"{one}people/", view(self.print_view), name="campaigns_chainorder_print"),
            path(f"{one}people.csv", view(self.csv_view), name="campaigns_chainorder_csv"),
            path(f"{one}people/<int:person_id>/", view(self.person_view), name="campaigns_chainorder_person"),
            *super().get_urls(),
        ]

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: ChainOrder) -> Any:
        return state(row.status, row.get_status_display())

    # --- who ---

    def require_seller(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and may_sell(request)):
            raise PermissionDenied

    def chain(self, request: HttpRequest, chain_id: int) -> ChainOrder:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row: ChainOrder = self.get_object(request, str(chain_id))
        return row

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_sell": may_sell(request)})

    def acts_for(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        return super().acts_for(request, obj) if may_sell(request) else []

    # --- pages ---

    def new_view(self, request: HttpRequest) -> HttpResponse:
        self.require_seller(request)
        scope, now = org.scope_of(request.user), timezone.now()
        asked = request.POST.get("rows") or request.GET.get("rows") or ""
        count = min(int(asked), MOST_ROWS) if asked.isdecimal() else ROWS
        data, files = (request.POST, request.FILES) if request.method == "POST" else (None, None)
        form = ChainForm(data, scope=scope)
        rows = [ItemForm(data, files, prefix=f"i{number}", scope=scope) for number in range(count)]
        if data is not None and all([form.is_valid(), *(row.is_valid() for row in rows)]):
            given = [(row, item) for row in rows if (item := row.as_item()) is not None]
            draft = chain_orders.Draft(items=[item for _row, item in given], **form.cleaned_data)
            try:
                made = chain_orders.publish(
                    draft=draft, key=f"console {request.POST.get('nonce', '')[:64]}", actor=request.user, now=now
                )
                messages.success(request, _("The chain order is open."))
                return HttpResponseRedirect(self.url_of(made))
            except RuleViolation as error:
                _show_faults(form, [row for row, _item in given], error)
        context = self.page_context(
            request, None, title=_("New chain order"), form=form, rows=rows, nonce=request.POST.get("nonce") or secrets.token_hex(12),
            list_url=reverse("admin:campaigns_chainorder_changelist"), more=min(count + ROWS, MOST_ROWS), count=count,
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}new.html", context, status=400 if data is not None else 200)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not object_id.isdecimal():
            raise Http404
        row = self.chain(request, int(object_id))  # a row outside the scope does not even refuse
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        people = pickup.standing(chain_id=row.pk)
        context = self.page_context(
            request, row, title=row.title, chain=row, people=people, offers=pickup.offers(chain_id=row.pk),
            buttons=self.acts_for(request, row), may_sell=may_sell(request), is_live=row.status == ChainOrder.Status.OPEN,
            due_fen=sum(one.due_fen for one in people), paid_fen=sum(one.paid_fen for one in people), address=public.address_of(row),
            list_url=reverse("admin:campaigns_chainorder_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}page.html", context)

    def paste_view(self, request: HttpRequest, chain_id: int) -> HttpResponse:
        """The text, what was read of it, and then what was saved: three pages of one address."""
        row = self.chain(request, chain_id)
        self.require_seller(request)
        form = PasteForm(request.POST if "text" in request.POST else None)
        plan = saved = None
        if "save" in request.POST:
            saved = pasting.save(chain_id=row.pk, rows=_rows_of(request.POST), actor=request.user, now=timezone.now())
        elif form.is_bound and form.is_valid():
            plan = pasting.plan(chain=row, text=form.cleaned_data["text"])
        items = {offer.item.pk: offer for offer in pickup.offers(chain_id=row.pk)}
        shown = (
            [(place, one, [(items[want.item_id], want) for want in one.wanted]) for place, one in enumerate(plan.rows)]
            if plan
            else []
        )
        context = self.page_context(
            request, row, title=_("Paste from the group"), chain=row, form=form, plan=plan, rows=shown, saved=saved, back=self.url_of(row),
            offers=items.values(), spare=range(len(shown), len(shown) + max(2, len(plan.unread) if plan else 0)),
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}paste.html", context)

    def print_view(self, request: HttpRequest, chain_id: int) -> HttpResponse:
        row = self.chain(request, chain_id)
        people = [one for one in pickup.standing(chain_id=row.pk) if one.live]
        context = self.page_context(
            request,
            row,
            title=_("Pick-up list"),
            chain=row,
            people=people,
            back=self.url_of(row),
            offers=pickup.offers(chain_id=row.pk),
        )
        return TemplateResponse(request, f"{FOLDER}print.html", context)

    def csv_view(self, request: HttpRequest, chain_id: int) -> HttpResponse:
        row = self.chain(request, chain_id)
        self.require_seller(request)
        answer = HttpResponse(csv_of(row), content_type="text/csv; charset=utf-8")
        answer.headers["Content-Disposition"] = f'attachment; filename="{row.code}.csv"'
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def person_view(self, request: HttpRequest, chain_id: int, person_id: int) -> HttpResponse:
        row = self.chain(request, chain_id)
        people = pickup.standing(chain_id=row.pk, person_id=person_id)
        if not people:
            raise Http404
        if request.method == "POST":
            self.require_seller(request)
            self._try(request, lambda: _do(request, row, people[0].person))
            return HttpResponseRedirect(request.path)
        has = {line.item_id: line.quantity for line in people[0].lines if line.status == ChainLine.Status.TAKEN}
        context = self.page_context(
            request, row, title=people[0].person.name, chain=row, one=people[0], back=self.url_of(row), may_sell=may_sell(request),
            kinds=ChainPayment.Kind.choices, offers=[(offer, has.get(offer.item.pk, 0)) for offer in pickup.offers(chain_id=row.pk)],
            page=public.page_of(row, people[0].person), is_open=row.status == ChainOrder.Status.OPEN and not people[0].person.picked_up_at,
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}person.html", context)

    def redeem_view(self, request: HttpRequest) -> HttpResponse:
        self.require_seller(request)
        form, done = CodeForm(request.POST or None), None
        if request.method == "POST" and form.is_valid():
            try:
                person = chain_orders.redeem(
                    code=form.cleaned_data["code"],
                    store_ids=org.scope_of(request.user).store_ids,
                    actor=request.user,
                    now=timezone.now(),
                )
                (done,) = pickup.standing(chain_id=person.chain_id, person_id=person.pk)
                form = CodeForm()
            except RuleViolation as error:
                form.add_error("code", error.message)
        context = self.page_context(
            request,
            None,
            title=_("Hand over a chain order"),
            form=form,
            done=done,
            back=reverse("admin:campaigns_chainorder_changelist"),
        )
        return TemplateResponse(request, f"{FOLDER}redeem.html", context, status=400 if form.errors else 200)

    def _try(self, request: HttpRequest, act: Callable[[], str]) -> None:
        try:
            messages.success(request, act())
        except RuleViolation as error:
            messages.error(request, error.message)


def csv_of(chain: ChainOrder) -> str:
    """The pick-up list by person: a cell that a spreadsheet would run stays text, numbers are masked."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([
        _("number"), _("name"), _("mobile number"), _("goods"), _("paid amount"), _("still to pay"), _("payment"), _("verification code"),
        _("note"), _("state"),
    ])  # fmt: skip
    for one in pickup.standing(chain_id=chain.pk):
        if not one.live:
            continue
        person = one.person
        cells = [
            person.number, person.name, one.mobile, one.goods, yuan(one.paid_fen), yuan(one.due_fen), one.paid_by, f"{person.pickup_code}\t",
            person.note, one.state_text,
        ]  # fmt: skip
        writer.writerow([neutral(cell) for cell in cells])
    return "\ufeff" + stream.getvalue()


def _show_faults(form: ChainForm, rows: list[ItemForm], error: RuleViolation) -> None:
    for field, text in (error.extra.get("fields") or {None: error.message}).items():
        name, _dot, place = (field or "").partition(".")
        if name == "items" and place:
            rows[int(place)].add_error("name", text)
        else:
            form.add_error(name if name in form.fields else None, text)


def _do(request: HttpRequest, chain: ChainOrder, person: ChainPerson) -> str:
    """What a button of a person's page asks for."""
    asked, now = request.POST, timezone.now()
    if "pay" in asked:
        form = PayForm(asked)
        if not form.is_valid():
            raise chain_orders.ChainRefused(_("Say how it was paid."))
        chain_orders.pay(person_id=person.pk, actor=request.user, now=now, **form.cleaned_data)
        return _("It is paid.")
    if "refund" in asked:
        line_id = int(asked["refund"]) if asked["refund"].isdecimal() else 0
        if not ChainLine.objects.filter(pk=line_id, person=person).exists():
            raise Http404
        chain_orders.refund(line_id=line_id, actor=request.user, now=now, reason=asked.get("reason", "")[:200])
        return _("It is refunded, and back in stock.")
    if "cancel" in asked:
        count = chain_orders.cancel_unpaid(chain_id=chain.pk, person_id=person.pk, actor=request.user, now=now)
        return _("%(count)s lines are cancelled.") % {"count": count}
    said = [
        (name[5:], str(value)) for name, value in asked.items() if name.startswith("item_") and name[5:].isdecimal()
    ]
    wishes = [
        chain_orders.Wish(int(pk), int(value), int(asked.get(f"was_{pk}") or 0))
        for pk, value in said
        if value.isdecimal()
    ]
    changed = [wish for wish in wishes if wish.quantity != wish.was]
    if not changed:
        return _("Nothing has changed.")
    who = chain_orders.Who(person_id=person.pk, is_trusted=True)
    chain_orders.join(
        chain_id=chain.pk, who=who, wishes=changed, source=ChainLine.Source.LEADER, actor=request.user, now=now
    )
    return _("It is saved.")


def _rows_of(asked: Any) -> list[pasting.Row]:
    """The rows of the preview as they were corrected; one without its tick is left out."""
    rows = []
    for place in asked.getlist("row")[: pasting.MOST_ROWS]:
        if not place.isdecimal():
            continue
        wanted = []
        for name, value in asked.items():
            if name.startswith(f"q{place}_") and value.strip().isdecimal():
                item_id = name.partition("_")[2]
                was = asked.get(f"w{place}_{item_id}", "")
                wanted.append(pasting.Wanted(int(item_id), int(value), int(was) if was.isdecimal() else 0))
        added, count = asked.get(f"add{place}", ""), asked.get(f"count{place}", "")
        if added.isdecimal() and count.isdecimal():
            wanted.append(pasting.Wanted(int(added), int(count), 0))
        person = asked.get(f"person{place}", "")
        rows.append(
            pasting.Row(
                asked.get(f"name{place}", "").strip(), tuple(wanted), asked.get(f"note{place}", "").strip(), asked.get(f"mobile{place}", ""),
                person_id=int(person) if person.isdecimal() else None,
            )
        )  # fmt: skip
    return rows
