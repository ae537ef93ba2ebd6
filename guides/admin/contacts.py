"""WeCom's contacts and friends in the console: who they are, whose friends, and the proof that none is missing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from guides import contacts
from guides.admin.staff import GuideNames
from guides.contacts import held, proof, sweeps
from guides.models import Contact, ContactSweep, Follower, Friendship, HeldEnds, LinkConflict
from members.models import Member
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, ReadOnlyInline, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, link, state
from scrm.admin.words import problem_text
from scrm.copyin import problems
from scrm.errors import RuleViolation
from scrm.org import Right

SWEEP_COLOURS = {
    ContactSweep.Status.RUNNING: BUSY,
    ContactSweep.Status.PAUSED: BAD,
    ContactSweep.Status.DONE: GOOD,
    ContactSweep.Status.CANCELLED: QUIET,
}
HELD_COLOURS = {**dict.fromkeys(HeldEnds.Status, QUIET), HeldEnds.Status.WAITING: BAD, HeldEnds.Status.CONFIRMED: GOOD}

LINK_COLOURS = {"": QUIET, "UNIONID": GOOD, "CONTACT": GOOD, "MOBILE": GOOD, "CONFLICT": BAD}

words.register(
    {
        "contacts.read_again": gettext_lazy("had a contact read again from WeCom"),
        "contacts.check_again": gettext_lazy("had a conflict of identities checked again"),
        "contacts.confirm_ends": gettext_lazy("confirmed ends that a sweep had held back"),
        "contacts.dismiss_ends": gettext_lazy("did not believe ends that a sweep had held back"),
        "contact_sync": gettext_lazy("sweep of contacts"),
        "plan": gettext_lazy("listing the accounts"),
    }
)
problems.register(
    {
        "another_sweep": gettext_lazy("Another sweep of this corp is at work; it goes on after that."),
        "stopped": gettext_lazy("It was stopped and goes on by itself."),
    }
)


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), max_length=200)


class EndFilter(lists.DropdownFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("friend", gettext_lazy("friends")),
            ("left", gettext_lazy("deleted by the customer")),
            ("waits", gettext_lazy("waits for the guide")),
            ("ended", gettext_lazy("ended")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        lasts = Q(ended_at=None)
        wanted = {
            "friend": lasts & Q(is_confirmed=True, customer_left_at=None),
            "left": lasts & Q(customer_left_at__isnull=False),
            "waits": lasts & Q(is_confirmed=False),
            "ended": ~lasts,
        }
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


def friend_state(row: Friendship) -> Any:
    """What a friendship is now, with its colour."""
    if row.ended_at is not None:
        return state(BAD, row.get_ended_by_display())
    if not row.is_confirmed:
        return state(BUSY, _("waits for the guide"))
    return state(BAD, _("deleted by the customer")) if row.customer_left_at else state(GOOD, _("friends"))


STATE_LABELS = {BAD: BAD, BUSY: BUSY, GOOD: GOOD}


class FriendshipInline(ReadOnlyInline):
    model = Friendship
    fields = ("account", "state_label", "added_at", "add_way", "state", "customer_left_at", "ended_at")
    readonly_fields = fields
    ordering = ("-pk",)
    verbose_name_plural = gettext_lazy("friends among our staff")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return org.visible(super().get_queryset(request).select_related("guide"), org.scope_of(request.user))

    @display(description=gettext_lazy("guide"))
    def account(self, row: Friendship) -> SafeString | str:
        return link("guides_guide", row.guide_id, row.guide) if row.guide_id else row.userid

    @display(description=gettext_lazy("state"))
    def state_label(self, row: Friendship) -> str:
        return str(friend_state(row))


@object_act(gettext_lazy("Read again from WeCom"), icon="refresh")
def read_again(self: Any, request: HttpRequest, contact: Contact, data: dict[str, Any]) -> str:
    contacts.read_again(contact=contact, actor=request.user)
    return _("The contact is read again in a moment.")


@admin.register(Contact)
class ContactAdmin(BigReadOnlyAdmin):
    acts = (read_again,)
    inlines = (FriendshipInline,)
    list_display = ("name_text", "external_userid", "kind", "member_link", "link_label", "created_at", "read_at")
    list_display_links = ("name_text", "external_userid")
    list_filter = (("linked_by", lists.ChoicesDropdownFilter), ("created_at", lists.DayFilter))
    search_fields = ("external_userid__exact", "unionid__exact", "name__startswith")
    search_help_text = gettext_lazy("Complete WeCom contact id or unionid, or the beginning of the name")
    fields = (
        "name_text", "external_userid", "corp", "kind", "unionid", "member_link", "link_label", "linked_at", "conflict",
        "created_at", "read_at",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        members = lists.visible_names(request, Member, (row.member_id for row in rows))
        open_conflicts = LinkConflict.objects.filter(contact__in=[row.pk for row in rows], resolved_at=None)
        conflicts = set(open_conflicts.values_list("contact_id", flat=True))
        for row in rows:
            row.shown_member, row.has_conflict = members.get(row.member_id), row.pk in conflicts

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("name"))
    def name_text(self, contact: Contact) -> str:
        return contact.name or EMPTY

    @display(description=gettext_lazy("member"))
    def member_link(self, contact: Any) -> SafeString | str:
        return link("members_member", contact.member_id, contact.shown_member) if contact.shown_member else EMPTY

    @display(description=gettext_lazy("recognised by"), label=LINK_COLOURS)
    def link_label(self, contact: Any) -> Any:
        if contact.has_conflict:
            return state("CONFLICT", _("conflict of identities"))
        return state(contact.linked_by, contact.get_linked_by_display())

    @display(description=gettext_lazy("conflict of identities"), boolean=True)
    def conflict(self, contact: Any) -> bool:
        return not contact.has_conflict


@admin.register(Friendship)
class FriendshipAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = ("contact_link", "account", "state_label", "added_at", "add_way", "state", "ended_at")
    list_display_links = ("added_at",)
    list_select_related = ("contact", "guide")
    list_filter = (("guide", lists.ScopedFilter), EndFilter, ("added_at", lists.DayFilter))
    search_fields = ("state__exact", "contact__external_userid__exact")
    search_help_text = gettext_lazy("Complete state of a code, or WeCom contact id")
    fields = (
        "contact_link", "account", "state_label", "added_at", "add_way", "state", "oper_userid", "tag_ids", "customer_left_at",
        "ended_at", "heard_at",
    )  # fmt: skip

    @display(description=gettext_lazy("WeCom contact"))
    def contact_link(self, row: Friendship) -> SafeString | str:
        return link("guides_contact", row.contact_id, row.contact)

    @display(description=gettext_lazy("guide"))
    def account(self, row: Any) -> SafeString | str:
        return self.guide_link(row) if row.guide_id else row.userid

    @display(description=gettext_lazy("state"), label=STATE_LABELS)
    def state_label(self, row: Friendship) -> Any:
        return friend_state(row)


@object_act(gettext_lazy("Check again"), icon="rule")
def check_again(self: Any, request: HttpRequest, conflict: LinkConflict, data: dict[str, Any]) -> str:
    if contacts.check_again(conflict=conflict, actor=request.user, now=timezone.now()):
        return _("The conflict is resolved.")
    return _("Two members are still named. Correct the identities of one of them first.")


@admin.register(LinkConflict)
class LinkConflictAdmin(ReadOnlyAdmin):
    acts = (check_again,)
    list_display = ("contact_link", "member_link", "kind", "other_link", "other_kind", "found_at", "resolved_at")
    list_display_links = ("found_at",)
    list_select_related = ("contact", "member", "other_member")
    list_filter = (("resolved_at", lists.DayFilter),)
    ordering = ("-pk",)
    fields = list_display

    @display(description=gettext_lazy("WeCom contact"))
    def contact_link(self, row: LinkConflict) -> SafeString | str:
        return link("guides_contact", row.contact_id, row.contact)

    @display(description=gettext_lazy("member"))
    def member_link(self, row: LinkConflict) -> SafeString | str:
        return link("members_member", row.member_id, row.member)

    @display(description=gettext_lazy("other member"))
    def other_link(self, row: LinkConflict) -> SafeString | str:
        return link("members_member", row.other_member_id, row.other_member)


@object_act(
    gettext_lazy("Confirm"), icon="person_remove", form=ReasonForm, offered=lambda row: row.status == HeldEnds.Status.WAITING,
    warning=gettext_lazy("These friends are marked as ended here. Those of whom WeCom has told something since are left out."),
)  # fmt: skip
def confirm(self: Any, request: HttpRequest, row: HeldEnds, data: dict[str, Any]) -> str:
    count = held.confirm(held_ids=[row.pk], actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("%(count)s friends are marked as ended.") % {"count": count}


@object_act(
    gettext_lazy("Do not believe"), icon="undo", form=ReasonForm, offered=lambda row: row.status == HeldEnds.Status.WAITING
)  # fmt: skip
def dismiss(self: Any, request: HttpRequest, row: HeldEnds, data: dict[str, Any]) -> str:
    held.dismiss(held_ids=[row.pk], actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("The friends stay; the next sweep asks WeCom again.")


@admin.register(HeldEnds)
class HeldEndsAdmin(ReadOnlyAdmin):
    acts = (confirm, dismiss)
    actions = ("confirm_chosen", "dismiss_chosen")
    list_display = (
        "account",
        "guide_text",
        "missing_count",
        "friend_count",
        "status_label",
        "read_from",
        "decided_by",
        "decided_at",
    )
    list_display_links = ("account",)
    list_select_related = ("follower__guide", "decided_by")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    fields = (
        "account", "guide_text", "missing_count", "friend_count", "status_label", "read_from", "ended_count", "decided_by", "decided_at",
    )  # fmt: skip

    @display(description=gettext_lazy("WeCom account"))
    def account(self, row: HeldEnds) -> str:
        return row.follower.userid

    @display(description=gettext_lazy("guide"))
    def guide_text(self, row: HeldEnds) -> str:
        return str(row.follower.guide or EMPTY)

    @admin.action(description=gettext_lazy("Confirm the chosen ends"), permissions=["act"])
    def confirm_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The chosen rows come scoped, whatever keys the form names."""
        self._decide(request, queryset, held.confirm, gettext_lazy("%(count)s friends are marked as ended."))

    @admin.action(description=gettext_lazy("Do not believe the chosen ends"), permissions=["act"])
    def dismiss_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._decide(request, queryset, held.dismiss, gettext_lazy("The friends of %(count)s accounts stay."))

    def _decide(self, request: HttpRequest, queryset: QuerySet[Any], decide: Any, sentence: Any) -> None:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True))
        try:
            messages.success(
                request, sentence % {"count": decide(held_ids=ids, actor=request.user, now=timezone.now())}
            )
        except RuleViolation as error:
            messages.error(request, error.message)

    @display(description=gettext_lazy("status"), label=HELD_COLOURS)
    def status_label(self, row: HeldEnds) -> Any:
        return state(row.status, row.get_status_display())


@admin.register(ContactSweep)
class ContactSweepAdmin(ReadOnlyAdmin):
    list_display = (
        "number", "kind", "status_label", "progress", "pair_count", "added_count", "changed_count", "ended_count", "held_count",
        "failed_count", "started_at", "ended_at",
    )  # fmt: skip
    list_filter = (("status", lists.ChoicesDropdownFilter), ("kind", lists.ChoicesDropdownFilter))
    ordering = ("-pk",)
    fields = (
        "corp", "kind", "status_label", "problem", "progress", "job_link", "started_at", "ended_at", "not_before", "pause_count",
        "call_count", "pair_count", "added_count", "changed_count", "ended_count", "held_count", "failed_count",
    )  # fmt: skip

    @display(description="#")
    def number(self, sweep: ContactSweep) -> str:
        return str(sweep.pk)

    @display(description=gettext_lazy("status"), label=SWEEP_COLOURS)
    def status_label(self, sweep: ContactSweep) -> Any:
        return state(sweep.status, sweep.get_status_display())

    @display(description=gettext_lazy("progress"))
    def progress(self, sweep: ContactSweep) -> str:
        return f"{sweep.swept_count + sweep.failed_count:,} / {sweep.account_count:,}"

    @display(description=gettext_lazy("problem"))
    def problem(self, sweep: ContactSweep) -> str:
        return problem_text(sweep.error_code) if sweep.error_code else EMPTY

    @display(description=gettext_lazy("job"))
    def job_link(self, sweep: ContactSweep) -> SafeString | str:
        return link("scrm_job", sweep.job_id, f"#{sweep.job_id}")


@admin.register(Follower)
class FollowerAdmin(GuideNames):
    """The list of accounts, and the page that proves the count."""

    list_display = (
        "userid",
        "guide_text",
        "listed_label",
        "friend_count",
        "left_count",
        "counted_here",
        "wecom_count",
        "swept_at",
        "problem",
    )
    list_display_links = ("userid",)
    list_select_related = ("guide",)
    list_filter = (("guide", lists.ScopedFilter), ("is_listed", lists.BooleanRadioFilter))
    search_fields = ("userid__exact",)
    search_help_text = gettext_lazy("WeCom account")
    ordering = ("-pk",)
    fields = ("corp", *list_display)

    @display(description=gettext_lazy("guide"))
    def guide_text(self, row: Any) -> SafeString | str:
        return self.guide_link(row) if row.guide_id else EMPTY

    @display(description=gettext_lazy("customer contact"), label={True: GOOD, False: BAD, None: QUIET})
    def listed_label(self, row: Follower) -> Any:
        texts = {True: _("has the feature"), False: _("without the feature"), None: _("not asked yet")}
        return state(row.is_listed, texts[row.is_listed])

    @display(description=gettext_lazy("problem"))
    def problem(self, row: Follower) -> str:
        return problem_text(row.error_code) if row.error_code else EMPTY

    # --- the proof ---

    def get_urls(self) -> list[Any]:
        view, sweep = (
            self.admin_site.admin_view(self.proof_view),
            self.admin_site.admin_view(require_POST(self.sweep_view)),
        )
        return [
            path("proof/", view, name="guides_follower_proof"),
            path("proof/sweep/", sweep, name="guides_follower_sweep"),
            *super().get_urls(),
        ]

    def proof_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        region, store = _number(request.GET.get("region")), _number(request.GET.get("store"))
        level = "account" if store is not None else "store" if region is not None else "region"
        rows = proof.rows(scope=scope, level=level, region=region, store=store)
        running = proof.open_sweeps() if scope.is_everything else []
        for sweep in running:
            sweep.share = 100 * (sweep.swept_count + sweep.failed_count) // max(1, sweep.account_count)  # type: ignore[attr-defined]
            sweep.problem = problem_text(sweep.error_code) if sweep.error_code else ""  # type: ignore[attr-defined]
        context = self.page_context(
            request, None, title=_("Proof of the friend count"), rows=rows, total=proof.total(rows), level=level, region=region,
            store=store, sweeps=running, may_sweep=self.has_right(request, Right.ACT), now=timezone.now(),
            next_level={"region": "region", "store": "store"}.get(level, ""),
        )  # fmt: skip
        return TemplateResponse(request, "admin/guides/follower/proof.html", context)

    def sweep_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_right(request, Right.ACT):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        region, store = _number(request.POST.get("region")), _number(request.POST.get("store"))
        is_all = scope.is_everything and region is None and store is None
        jobs = sweeps.start_now(
            accounts={} if is_all else proof.accounts(scope=scope, region=region, store=store),
            is_all=is_all,
            actor=request.user,
        )
        if jobs:
            messages.success(request, _("The comparison with WeCom has begun."))
        else:
            messages.warning(request, _("There is no account to compare."))
        if len(jobs) == 1 and scope.is_everything:
            return HttpResponseRedirect(reverse("admin:scrm_job_change", args=(jobs[0].pk,)))
        return HttpResponseRedirect(reverse("admin:guides_follower_proof"))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None
