"""The sidebar in business words; a group or page that the user may not see is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from scrm import org
from scrm.org import Right

Page = tuple[Any, str, str]  # title, icon, app_model of a list or the name of a page

GROUPS: tuple[tuple[Any, tuple[Page, ...]], ...] = (
    (None, ((_("Business overview"), "monitoring", "index"), (_("Waits for me"), "inbox", "waiting"))),
    (
        _("Members"),
        (
            (_("Members"), "group", "members_member"),
            (_("Imports"), "upload_file", "imports"),
            (_("Identities"), "badge", "members_identity"),
            (_("Tiers"), "military_tech", "members_tier"),
            (_("Tags"), "sell", "members_tag"),
            (_("Automatic tags"), "autorenew", "members_tagrule"),
            (_("Audiences"), "groups", "members_audience"),
            (_("Snapshots of audiences"), "ac_unit", "members_audiencesnapshot"),
            (_("Member value"), "monitoring", "members_audience_value"),
            (_("Life-cycle rules"), "timeline", "members_lifecyclerule"),
        ),
    ),
    (
        _("Purchases"),
        (
            (_("Order lines"), "receipt_long", "members_orderline"),
            (_("Refunds"), "assignment_return", "members_refund"),
            (_("Parked versions"), "rule", "members_parkedversion"),
            (_("Products"), "inventory_2", "members_product"),
            (_("Categories"), "category", "members_category"),
            (_("Channels"), "storefront", "members_channel"),
        ),
    ),
    (
        _("Coupons"),
        (
            (_("Coupon templates"), "confirmation_number", "members_coupontemplate"),
            (_("Coupons"), "local_activity", "members_coupon"),
            (_("Batches of coupons"), "outgoing_mail", "members_couponbatch"),
            (_("Redemptions"), "point_of_sale", "members_redemption"),
            (_("Clearing of coupons"), "balance", "members_clearingentry"),
        ),
    ),
    (
        _("Guides and attribution"),
        (
            (_("Guides"), "person_pin", "guides_guide"),
            (_("Brand IPs"), "verified", "guides_brandip"),
            (_("Bindings"), "link", "guides_binding"),
            (_("Employments"), "work_history", "guides_employment"),
            (_("Delegations"), "swap_horiz", "guides_delegation"),
            (_("Handovers"), "move_up", "guides_handovercase"),
            (_("Customers handed over"), "group_add", "guides_handoveritem"),
            (_("Decisions"), "balance", "attribution_decision"),
            (_("Disputes"), "forum", "attribution_dispute"),
            (_("Manual attributions"), "edit_attributes", "attribution_override"),
            (_("Rule versions"), "gavel", "attribution_ruleversion"),
            (_("Simulations"), "science", "attribution_simulation"),
            (_("Fairness"), "diversity_2", "attribution_fairnessday"),
        ),
    ),
    (
        _("WeCom customers"),
        (
            (_("Contacts"), "contact_page", "guides_contact"),
            (_("Friends"), "diversity_1", "guides_friendship"),
            (_("Proof of the friend count"), "fact_check", "guides_follower_proof"),
            (_("Ends held back"), "person_alert", "guides_heldends"),
            (_("Conflicts of identities"), "person_search", "guides_linkconflict"),
            (_("Accounts with customers"), "support_agent", "guides_follower"),
            (_("Sweeps of contacts"), "sync", "guides_contactsweep"),
        ),
    ),
    (
        _("Codes, welcomes and corp tags"),
        (
            (_("Contact ways"), "qr_code_2", "guides_contactway"),
            (_("Welcome messages"), "waving_hand", "guides_welcome"),
            (_("Welcomes sent"), "outgoing_mail", "guides_welcomesend"),
            (_("Materials"), "attach_file", "guides_material"),
            (_("Shares"), "share", "guides_share"),
            (_("Touches"), "touch_app", "guides_touch"),
            (_("Service acts"), "volunteer_activism", "guides_serviceact"),
            (_("Binding requests"), "how_to_reg", "guides_bindingrequest"),
            (_("Tag mappings"), "sync_alt", "guides_tagmapping"),
            (_("Corp tags"), "label", "guides_corptag"),
            (_("Tags being marked"), "new_label", "guides_tagpush"),
            (_("Stray contact ways"), "qr_code_scanner", "guides_strayway"),
            (_("Codes of groups"), "groups", "scrm_groupway"),
        ),
    ),
    (
        _("Content and scripts"),
        (
            (_("Scripts"), "chat", "campaigns_script"),
            (_("Content materials"), "perm_media", "campaigns_content"),
            (_("Posters"), "wallpaper", "campaigns_poster"),
            (_("Expert answers"), "school", "campaigns_answer"),
            (_("Folders"), "folder", "campaigns_folder"),
            (_("Attributes of products"), "spa", "members_productattribute"),
            (_("Taste attributes"), "tune", "members_tasteattribute"),
            (_("Short links"), "link", "campaigns_shortlink"),
            (_("Allowed hosts"), "dns", "campaigns_linkhost"),
            (_("Uses of scripts"), "mark_chat_read", "campaigns_scriptuse"),
            (_("Uses of materials"), "outgoing_mail", "campaigns_contentuse"),
            (_("Uploads to WeCom"), "cloud_upload", "campaigns_fileupload"),
        ),
    ),
    (
        _("Add-friend rewards and integrity"),
        (
            (_("Reward claims"), "redeem", "guides_rewardclaim"),
            (_("Reward programmes"), "campaign", "guides_rewardprogramme"),
            (_("Referral programmes"), "group_add", "campaigns_referralprogramme"),
            (_("Referrals"), "share_reviews", "campaigns_referral"),
            (_("Migration of customers"), "move_down", "campaigns_friendmigration"),
            (_("Integrity cases"), "policy", "guides_integritycase"),
            (_("Paid, then proven fake"), "query_stats", "guides_integritycase_figures"),
            (_("Limits of integrity"), "tune", "guides_integritysettings"),
        ),
    ),
    (
        _("Campaigns"),
        (
            (_("Scenarios"), "psychology", "campaigns_scenario"),
            (_("Customers of scenarios"), "person_pin", "campaigns_scenarioturn"),
            (_("Mornings"), "wb_twilight", "campaigns_scenarioday"),
            (_("Rules of the day"), "hourglass_bottom", "campaigns_dayrule"),
            (_("Marketing calendar"), "calendar_month", "campaigns_calendar"),
            (_("Calendar entries"), "event_repeat", "campaigns_calendarentry"),
            (_("Adaptations of the calendar"), "edit_calendar", "campaigns_calendaradaptation"),
            (_("Days of the calendar"), "event_available", "campaigns_calendarday"),
            (_("Mass sends"), "forward_to_inbox", "campaigns_send"),
            (_("Moments"), "photo_library", "campaigns_moment"),
            (_("Assessment of moments"), "leaderboard", "campaigns_moment_assessment"),
            (_("Contact budgets"), "timer", "campaigns_contactbudget"),
            (_("SOPs"), "account_tree", "campaigns_sop"),
            (_("Versions of SOPs"), "history_edu", "campaigns_sopversion"),
            (_("Customers in SOPs"), "directions_walk", "campaigns_soprun"),
            (_("Groups in SOPs"), "group_work", "campaigns_grouprun"),
            (_("Customer groups"), "forum", "campaigns_group"),
            (_("Activity of groups"), "dashboard", "campaigns_group_board"),
            (_("Group notices"), "campaign", "campaigns_groupnotice"),
            (_("Readings of all groups"), "sync", "campaigns_groupsweep"),
            (_("Stays in groups"), "transfer_within_a_station", "campaigns_groupstay"),
            (_("Flash sales and group buys"), "bolt", "campaigns_sale"),
            (_("Teams of group buys"), "diversity_3", "campaigns_team"),
            (_("Reservations"), "shopping_cart_checkout", "campaigns_reservation"),
            (_("Refunds of sales"), "currency_exchange", "campaigns_salerefund"),
            (_("Join ways"), "qr_code_2", "campaigns_joinway"),
            (_("Welcomes of groups"), "waving_hand", "campaigns_groupwelcome"),
            (_("Tags of groups"), "sell", "campaigns_grouptag"),
            (_("Chain orders"), "format_list_numbered", "campaigns_chainorder"),
            (_("Hand over a chain order"), "qr_code_scanner", "campaigns_chainorder_redeem"),
            (_("Invitations into groups"), "person_add", "campaigns_groupinvitation"),
            (_("Plans for groups"), "playlist_add_check", "campaigns_groupplan"),
            (_("Customers in several groups"), "content_copy", "campaigns_group_duplicates"),
            (_("Group members against others"), "compare", "campaigns_group_comparison"),
            (_("Limits of group health"), "tune", "campaigns_groupsettings"),
            (_("Pre-opening pools"), "water_drop", "campaigns_reservoir"),
            (_("Actions of guides"), "checklist", "guides_action"),
            (_("Experiments"), "experiment", "campaigns_experiment"),
            (_("Universal hold-out"), "do_not_disturb_on", "campaigns_holdout"),
        ),
    ),
    (
        _("Commission"),
        (
            (_("Settlement"), "price_check", "attribution_batch"),
            (_("Statements"), "summarize", "attribution_statement"),
            (_("Commission lines"), "payments", "attribution_hold"),
            (_("Ledger transactions"), "menu_book", "attribution_txn"),
            (_("Ledger entries"), "list_alt", "attribution_entry"),
            (_("Accounts"), "account_balance_wallet", "attribution_account"),
            (_("Beneficiaries"), "diversity_3", "attribution_beneficiary"),
            (_("Proofs of the books"), "verified", "attribution_proof"),
            (_("Settlement terms"), "tune", "attribution_settlementterms"),
        ),
    ),
    (
        _("Sales channels"),
        (
            (_("Shops on platforms"), "storefront", "attribution_channelshop"),
            (_("Readings of shops"), "sync", "attribution_channelcursor"),
            (_("Notices of platforms"), "notifications", "attribution_channelnotice"),
            (_("Pushes for unknown shops"), "help_center", "attribution_strangepush"),
            (_("Channel bills"), "request_quote", "attribution_channelbill"),
            (_("Differences to bills"), "difference", "attribution_channeldifference"),
        ),
    ),
    (
        _("WeCom"),
        (
            (_("Self-check"), "troubleshoot", "wecom_check"),
            (_("WeCom members"), "contacts", "guides_wecommember"),
            (_("WeCom departments"), "lan", "guides_department"),
            (_("Directory sweeps"), "sync", "guides_directorysweep"),
            (_("Messages to WeCom"), "outbox", "scrm_outboxmessage"),
            (_("WeCom events"), "inbox", "scrm_inboxevent"),
            (_("WeCom callbacks"), "webhook", "scrm_callbackendpoint"),
            (_("WeCom apps"), "apps", "scrm_wecomapp"),
            (_("WeCom corps"), "apartment", "scrm_corp"),
        ),
    ),
    (
        _("Organisation and rights"),
        (
            (_("Stores"), "store", "scrm_store"),
            (_("Regions"), "account_tree", "scrm_region"),
            (_("Legal entities"), "domain", "scrm_legalentity"),
            (_("Brands"), "loyalty", "scrm_brand"),
            (_("Staff"), "manage_accounts", "scrm_user"),
            (_("Grants"), "key", "scrm_grant"),
            (_("Rights by role"), "fact_check", "rights"),
        ),
    ),
    (
        _("System and records"),
        (
            (_("Jobs"), "pending_actions", "scrm_job"),
            (_("Uploads"), "folder_zip", "scrm_upload"),
            (_("Requests for files"), "file_download", "scrm_exportrequest"),
            (_("Acts"), "history", "scrm_act"),
            (_("Channel endpoints"), "webhook", "attribution_channelendpoint"),
            (_("Channel events"), "inbox", "attribution_channelevent"),
            (_("Schedule"), "schedule", "django_celery_beat_periodictask"),
            (_("Devices of the second factor"), "phonelink_lock", "otp_totp_totpdevice"),
            (_("Logins of guides"), "devices", "scrm_devicetoken"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """What UNFOLD["SIDEBAR"]["navigation"] asks for."""
    lists = {f"{m._meta.app_label}_{m._meta.model_name}": a for m, a in admin.site._registry.items()}
    groups = []
    for title, pages in GROUPS:
        items = [_item(request, page, lists) for page in pages]
        shown = [item for item in items if item]
        _mark_nearest(request, shown)
        if shown:
            group = {"title": title, "separator": False, "collapsible": title is not None, "items": shown}
            marked = next((item for item in shown if "badge" in item), None)
            groups.append({**group, **{name: marked[name] for name in MARK}} if marked else group)  # it may be folded
    return groups


def _mark_nearest(request: HttpRequest, items: list[dict[str, Any]]) -> None:
    """A page below a list that has a link of its own is that link's only."""
    here = [item for item in items if item["active"](request)]
    for item in here:
        if any(len(other["link"]) > len(item["link"]) for other in here):
            item["active"] = lambda request: False


# a red mark on the link: what to call for its text
MARK = ("badge", "badge_variant", "badge_style")
BADGES = {"wecom_check": "scrm.admin.wecom_check.badge", "waiting": "scrm.admin.pages.waiting_badge"}

PAGES: dict[str, Callable[[Any], bool]] = {
    "index": lambda user: True,
    "rights": lambda user: True,
    "waiting": lambda user: org.may(user, Right.ACT) or org.may(user, Right.CHANGE),
    "campaigns_calendar": lambda user: org.may(user, Right.VIEW),
    "guides_follower_proof": lambda user: org.may(user, Right.VIEW),
    "guides_integritycase_figures": lambda user: org.may(user, Right.VIEW),
    "campaigns_group_board": lambda user: org.may(user, Right.VIEW),
    "campaigns_moment_assessment": lambda user: org.may(user, Right.VIEW),
    "members_audience_value": lambda user: org.scope_of(user).is_everything and org.may(user, Right.VIEW),
    "wecom_check": lambda user: org.scope_of(user).is_everything and org.may(user, Right.VIEW),
    "imports": lambda user: org.scope_of(user).is_everything and org.may(user, Right.ACT),
}


def _item(request: HttpRequest, page: Page, lists: dict[str, Any]) -> dict[str, Any] | None:
    title, icon, name = page
    if name in PAGES:
        if not PAGES[name](request.user):
            return None
        link = _link(request, title, icon, reverse(f"admin:{name}"), exact=True)
        mark = import_string(BADGES[name])(request) if name in BADGES else ""
        return {**link, "badge": mark, "badge_variant": "danger", "badge_style": "solid"} if mark else link
    model_admin = lists.get(name)
    if model_admin is None or not model_admin.has_view_permission(request):
        return None
    return _link(request, title, icon, reverse(f"admin:{name}_changelist"))


def _link(request: HttpRequest, title: Any, icon: str, url: str, *, exact: bool = False) -> dict[str, Any]:
    here = request.path == url if exact and url == reverse("admin:index") else request.path.startswith(url)
    return {"title": title, "icon": icon, "link": url, "active": lambda request: here}
