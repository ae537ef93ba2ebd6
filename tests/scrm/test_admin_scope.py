"""S1: who may see which row, over every address of the console. A new list or page without a line here fails."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from attribution.disputes import hearing
from attribution.models import (
    Account,
    Batch,
    Beneficiary,
    ChannelBill,
    ChannelCursor,
    ChannelDifference,
    ChannelEndpoint,
    ChannelEvent,
    ChannelNotice,
    ChannelShop,
    Decision,
    Dispute,
    Entry,
    Hold,
    Override,
    Proof,
    RuleRate,
    RuleVersion,
    SettlementTerms,
    Statement,
    StrangePush,
    Txn,
)
from campaigns import content, links, scripts
from campaigns.communities import group_buys
from campaigns.models import (
    Answer,
    CalendarAdaptation,
    CalendarDay,
    CalendarEntry,
    ChainOrder,
    ContactBudget,
    Content,
    ContentUse,
    DayRule,
    Experiment,
    FileUpload,
    Folder,
    Group,
    GroupInvitation,
    GroupNotice,
    GroupNoticePost,
    GroupPlan,
    GroupPlanItem,
    GroupRun,
    GroupSettings,
    GroupStay,
    GroupSweep,
    GroupTag,
    GroupWelcome,
    Holdout,
    JoinWay,
    LinkHost,
    Moment,
    MomentPost,
    Poster,
    Referral,
    ReferralLink,
    ReferralProgramme,
    Reservation,
    Reservoir,
    Sale,
    SaleRefund,
    Scenario,
    ScenarioDay,
    ScenarioTurn,
    Script,
    ScriptUse,
    Send,
    SendBatch,
    ShortLink,
    Sop,
    SopRun,
    SopVersion,
    Team,
)
from guides import service_acts, shares, touches
from guides.models import (
    Action,
    Binding,
    BindingRequest,
    BrandIP,
    Contact,
    ContactSweep,
    ContactWay,
    CorpTag,
    Delegation,
    Department,
    DirectorySweep,
    Employment,
    Follower,
    Friendship,
    Guide,
    HandoverCase,
    HandoverItem,
    HandoverTaker,
    HeldEnds,
    IntegrityCase,
    IntegritySettings,
    LinkConflict,
    Material,
    RewardClaim,
    RewardProgramme,
    ServiceAct,
    Share,
    StrayWay,
    TagMapping,
    TagPush,
    Touch,
    WecomMember,
    Welcome,
    WelcomeSend,
)
from members.models import (
    Audience,
    AudienceSnapshot,
    AudienceVersion,
    Category,
    Channel,
    Coupon,
    CouponBatch,
    CouponTemplate,
    Identity,
    LifecycleRule,
    Member,
    OrderLine,
    ParkedVersion,
    Product,
    ProductAttribute,
    Redemption,
    Refund,
    Tag,
    TagRule,
    TasteAttribute,
    Tier,
)
from scrm import db, org
from scrm.models import (
    Act,
    Brand,
    CallbackEndpoint,
    Corp,
    DeviceToken,
    ExportRequest,
    Grant,
    GroupWay,
    InboxEvent,
    Job,
    LegalEntity,
    OutboxMessage,
    Region,
    Store,
    Upload,
    User,
    WecomApp,
)  # fmt: skip
from tests.campaigns import inviting, referring
from tests.factories import chains, sales
from tests.factories import content as factory
from tests.factories import coupons as make_coupons
from tests.factories.console import SEES, Console, console
from tests.factories.shops import hire

STORES = ("S1", "S2", "F1")
HQ_ONLY: set[Any] = {
    Account, Act, Beneficiary, Brand, BrandIP, CallbackEndpoint, Category, Channel, ChannelBill, ChannelCursor, ChannelDifference, ChannelEndpoint,
    ChannelEvent, ChannelNotice, ChannelShop, StrangePush, ContactSweep, Corp, CouponBatch, CouponTemplate,
    CorpTag, Delegation, Department, DeviceToken, DirectorySweep, ExportRequest, Grant, InboxEvent, IntegritySettings, Job, LinkConflict, Material,
    GroupWay, OutboxMessage, StrayWay, TagMapping, TagPush, WecomApp, WecomMember, Welcome,
    LegalEntity, ParkedVersion, Product, Refund, Region, RewardProgramme, RuleRate, RuleVersion, Tag, Tier, Txn, Upload, User,
    Batch, ContactBudget, Experiment, GroupSettings, GroupSweep, GroupTag, GroupWelcome, Holdout, FileUpload, Folder, LinkHost, ProductAttribute, TasteAttribute, LifecycleRule, Proof, Scenario, ScenarioDay, DayRule, SettlementTerms, Sop, SopVersion, TagRule,
}  # fmt: skip
OTHERS = {
    "django_celery_beat.PeriodicTask", "otp_totp.TOTPDevice",  # of other packages, HQ only too
    # pages that everybody may open and that are cut inside: test_admin_simulation.py, test_fairness.py
    "attribution.Simulation", "attribution.FairnessDay",
    "campaigns.FriendMigration",  # tests/campaigns/test_friend_migration.py
    "campaigns.ReferralProgramme",  # tests/campaigns/test_referrals.py
    "members.ClearingEntry",  # tests/members/coupons/test_console.py
}  # fmt: skip
SCOPED: set[Any] = {
    Action, Coupon, Redemption, Binding, BindingRequest, Contact, ContactWay, Decision, Dispute, Employment, Entry, Follower, Friendship, Guide, HandoverCase,
    HandoverItem, HeldEnds, Hold, Identity, IntegrityCase, Member, OrderLine, RewardClaim, ServiceAct, Share, Store, Touch, WelcomeSend, Referral,
    CalendarEntry, CalendarAdaptation, CalendarDay, Group, GroupNotice, GroupPlan, GroupRun, GroupStay, JoinWay, Moment, MomentPost, ScenarioTurn, Reservation, Reservoir, Sale, SaleRefund, Send, Team, SopRun, Statement, Audience, AudienceSnapshot, Override, Answer, Poster, Content, ContentUse, Script, ScriptUse, ShortLink, GroupInvitation, ChainOrder,
}  # fmt: skip
SELLERS = set(SEES) - {"auditor"}  # who acts, and whose store it is
# pages that are no list: who may open them with GET
PAGES: dict[str, set[str]] = {
    "index": set(SEES),
    "rights": set(SEES),
    "waiting": set(SEES),
    "attribution_batch_make": {"hq", "operator"},
    "members_audience_new": {"hq", "operator", "region"},
    "members_audience_value": {"hq", "operator", "auditor"},
    "campaigns_experiment_new": {"hq", "operator"},
    "campaigns_send_new": {"hq", "operator"},
    "campaigns_send_new_groups": {"hq", "operator"},
    "campaigns_moment_new": {"hq", "operator"},
    "campaigns_scenario_new": {"hq", "operator"},
    "campaigns_groupnotice_new": {"hq", "operator"},
    "campaigns_group_board": set(SEES),
    "campaigns_sale_new": {"hq", "operator"},
    "campaigns_chainorder_new": SELLERS,
    "campaigns_chainorder_redeem": SELLERS,
    "campaigns_moment_assessment": set(SEES),
    "campaigns_joinway_new": {"hq", "operator"},
    "campaigns_reservoir_new": {"hq", "operator"},
    "campaigns_groupinvitation_new": {"hq", "operator"},
    "campaigns_group_duplicates": set(SEES),
    "campaigns_group_comparison": {"hq", "operator", "auditor"},
    "campaigns_groupwelcome_new": {"hq", "operator"},
    "campaigns_calendar": set(SEES),
    "campaigns_calendar_compile": {"hq", "operator"},
    "imports": {"hq", "operator"},
    "import_start": {"hq", "operator"},
    "attribution_fairnessday_changelist": set(SEES),
    "members_clearingentry_changelist": set(SEES),
    "members_clearingentry_file": set(SEES),
    "attribution_simulation_new": {"hq", "operator"},
    "guides_follower_proof": set(SEES),
    "guides_integritycase_figures": set(SEES),
    "guides_contactway_new": {"hq", "operator"},
    "guides_contactway_bulk": {"hq", "operator"},
    "guides_tagmapping_new": {"hq", "operator"},
}
SUFFIXES = (
    "changelist", "add", "history", "delete", "change", "act", "import", "process_import", "export", "export_action",
)  # fmt: skip
CUSTOM = {
    "campaigns_groupsweep_start",  # tests/campaigns/test_group_leaving.py
    "campaigns_chainorder_paste", "campaigns_chainorder_print", "campaigns_chainorder_csv", "campaigns_chainorder_person",
    "members_coupontemplate_give", "members_coupontemplate_codes", "members_couponbatch_state", "members_couponbatch_sheet",
    "members_clearingentry_close", "members_tag_members", "scrm_exportrequest_take",
    "attribution_batch_company", "attribution_batch_produce", "attribution_batch_file", "attribution_batch_result",
    "attribution_statement_download",
    "attribution_ruleversion_what",
    "attribution_dispute_picture", "attribution_decision_override", "attribution_fairnessday_lines", "attribution_simulation_state",
    "attribution_simulation_cancel", "attribution_simulation_export", "guides_follower_sweep",
    "members_audience_count", "members_audience_options", "members_audience_edit", "members_audience_freeze", "members_audience_why",
    "members_audiencesnapshot_state", "members_member_search", "members_member_reveal", "members_member_purchases", "import_columns", "import_job",
    "import_state", "import_run", "import_cancel", "import_errors", "second_factor", "guides_contactway_edit",
    "guides_contactway_picture", "campaigns_joinway_edit", "campaigns_joinway_picture", "campaigns_groupwelcome_edit", "campaigns_group_tag", "campaigns_groupplan_new",
    "campaigns_sale_edit", "campaigns_content_file", "campaigns_scenario_starter", "campaigns_scenario_edit", "campaigns_poster_example", "campaigns_script_preview", "wecom_check", "wecom_check_corp", "wecom_check_run", "wecom_check_state", "campaigns_referralprogramme_figures", "campaigns_friendmigration_figures",
}  # fmt: skip
DJANGO = {
    "login",
    "logout",
    "password_change",
    "password_change_done",
    "autocomplete",
    "jsi18n",
    "view_on_site",
    "app_list",
    "search",
}


@pytest.fixture
def company(db: None) -> Console:
    return console()


def rows_of(company: Console) -> dict[Any, dict[str, Any]]:
    """One row of every scoped model per store."""
    shops = company.shops
    members = {"S1": shops.members["安琪"], "S2": shops.members["白鹭"], "F1": shops.members["付雪"]}
    guides = {"S1": shops.guides["A"], "S2": shops.guides["B"], "F1": shops.guides["F"]}
    return {
        Store: {code: shops.stores[code] for code in STORES},
        Member: members,
        Identity: {code: members[code].identities.first() for code in STORES},
        OrderLine: {code: shops.lines[code] for code in STORES},
        Decision: {code: Decision.objects.get(line_id=shops.lines[code].pk) for code in STORES},
        Hold: {code: Hold.objects.filter(line_id=shops.lines[code].pk).first() for code in STORES},
        Entry: {code: Entry.objects.filter(store__code=code).first() for code in STORES},
        Guide: guides,
        Employment: {code: guides[code].employments.first() for code in STORES},
        Binding: {code: Binding.objects.get(member=members[code]) for code in STORES},
        Dispute: {code: dispute(shops, code) for code in STORES},
        Statement: statements(company),
        Send: sends_of(company, guides),
        **moments_of(company, guides),
        Reservoir: pools(company),
        **sales_of(company, members),
        **calendar_of(company),
        **turns_of(company, guides, members),
        ChainOrder: {
            code: ChainOrder.objects.filter(store=shops.stores[code]).first()
            or chains.chain(shops, {"S1": "A", "S2": "B", "F1": "F"}[code], pickup=code)
            for code in STORES
        },
        Override: {code: override(company, code) for code in STORES},
        **followed_up(company, guides, members),
        **audiences_of(shops),
        **handovers(company, guides, members),
        **content_of(company, guides, members),
        **accounts(guides),
        **friends(company, guides, members),
        **coupons_used(company, members),
        Referral: referred(company, guides, members),
    }


def referred(company: Console, guides: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    """Somebody who came through each member's link."""
    now, found = timezone.now(), {}
    programme = ReferralProgramme.objects.first() or referring.programme(now)
    for code in STORES:
        of = {
            "programme": programme,
            "referrer": members[code],
            "guide": guides[code],
            "store": company.shops.stores[code],
        }
        link = ReferralLink.objects.filter(**of).first() or ReferralLink.objects.create(
            created_at=now, expires_at=now + dt.timedelta(days=1), **of
        )
        said = {"coupon_fen": 1, "guide_fen": 1, "joined_at": now, "expires_at": now, "link": link, **of}
        found[code], _is_new = Referral.objects.get_or_create(
            brand=company.shops.brand, unionid=f"oR{code}", defaults=said
        )
    return found


def coupons_used(company: Console, members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """One coupon a member, used in her store."""
    if not Redemption.objects.exists():
        template = make_coupons.template()
        for code in STORES:
            till = make_coupons.till(company.shops.stores[code])
            make_coupons.redeem(make_coupons.give(template, members[code]), till)
    used = {code: Redemption.objects.get(store=company.shops.stores[code]) for code in STORES}
    return {Redemption: used, Coupon: {code: row.coupon for code, row in used.items()}}


def content_of(company: Console, guides: dict[str, Any], members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {
        model: {} for model in (Answer, Content, ContentUse, Poster, Script, ScriptUse, ShortLink)
    }
    now = timezone.now()
    for code in STORES:
        store, who = company.shops.stores[code], {"guide_id": guides[code].pk, "now": timezone.now()}
        row = Content.objects.filter(store=store).first() or factory.material(f"素材{code}", store=store)
        script = Script.objects.filter(store=store).first() or factory.script(f"话术{code}", store=store)
        found[Content][code], found[Script][code] = row, script
        found[Answer][code], _is_new = Answer.objects.get_or_create(question=code, answer="看刺", store=store)
        found[Poster][code] = Poster.objects.filter(store=store).first() or factory.poster(store=store)
        found[ContentUse][code] = ContentUse.objects.filter(store=store).first() or (
            content.record_use(content=row, store_id=store.pk, **who) and ContentUse.objects.get(store=store)
        )
        found[ScriptUse][code] = ScriptUse.objects.filter(store=store).first() or scripts.record_use(
            script=script, level=1, member=members[code], store_id=store.pk, **who
        )
        found[ShortLink][code] = links.make(guide_id=guides[code].pk, target=f"https://{factory.HOST}/", now=now)
    return found


def dispute(shops: Any, code: str) -> Dispute:
    """Somebody else of the store says that a line of it is hers."""
    line = shops.lines[code]
    claimant = Guide.objects.filter(code=f"D{code}").first() or hire(f"D{code}", "申诉人", shops.stores[code])
    said: dict[str, Any] = {"ground": "OTHER", "statement": "是我接待的", "actor": claimant.user, "now": timezone.now()}
    standing = Dispute.objects.filter(line_id=line.pk).first()
    return standing or hearing.open_dispute(line_id=line.pk, guide=claimant, **said)


def override(company: Console, code: str) -> Override:
    line, guide = company.shops.lines[code], company.shops.guides[{"S1": "A", "S2": "B", "F1": "F"}[code]]
    said = {
        "guide": guide,
        "store": company.shops.stores[code],
        "requested_by": company.staff["hq"],
        "reason": "补登记",
    }
    return Override.objects.get_or_create(line_id=line.pk, booked_on=line.booked_on, defaults=said)[0]


def audiences_of(shops: Any) -> dict[Any, dict[str, Any]]:
    """One that is made for each store alone."""
    found: dict[Any, dict[str, Any]] = {Audience: {}, AudienceSnapshot: {}}
    for code in STORES:
        stores = [shops.stores[code].pk]
        rule = {"field": "first_on", "is": "known"}
        row, _is_new = Audience.objects.get_or_create(
            brand=shops.brand, name=code, defaults={"rule": rule, "store_ids": stores}
        )
        version, _is_new = AudienceVersion.objects.get_or_create(
            audience=row, version_no=1, defaults={"rule": rule, "digest": "0" * 64}
        )
        found[Audience][code] = row
        found[AudienceSnapshot][code], _is_new = AudienceSnapshot.objects.get_or_create(
            version=version, defaults={"store_ids": stores}
        )
    return found


def statements(company: Console) -> dict[str, Any]:
    signed = {
        "number": 1, "status": "APPROVED", "requested_at": timezone.now(), "approved_by": company.staff["hq"], "approved_count": 0,
        "approved_fen": 0,
    }  # fmt: skip
    batch, _is_new = Batch.objects.get_or_create(period="2026-05", defaults=signed)
    sums = ("line_count", "earned_fen", "late_fen", "opening_debt_fen", "reversed_fen", "written_off_fen", "netted_fen",
            "paid_fen", "carried_fen")  # fmt: skip
    found = {}
    for code in STORES:
        hold = Hold.objects.filter(line_id=company.shops.lines[code].pk).first()
        assert hold is not None
        values = {"store": company.shops.stores[code], **dict.fromkeys(sums, 0)}
        found[code], _is_new = Statement.objects.get_or_create(
            batch=batch, beneficiary=hold.beneficiary, defaults=values
        )
    return found


def sends_of(company: Console, guides: dict[str, Any]) -> dict[str, Any]:
    """A mass send of which a guide of the store has a task."""
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwC", defaults={"name": "示例公司"})
    audience, _is_new = Audience.objects.get_or_create(
        brand=company.shops.brand, name="群发对象", defaults={"rule": {}}
    )
    version, _is_new = AudienceVersion.objects.get_or_create(
        audience=audience, version_no=1, defaults={"rule": {}, "digest": "0" * 64}
    )
    snapshot, _is_new = AudienceSnapshot.objects.get_or_create(version=version, defaults={"status": "BUILDING"})
    found = {}
    for code in STORES:
        values = {"text": "会员日", "snapshot": snapshot, "due_at": timezone.now()}
        found[code], _is_new = Send.objects.get_or_create(
            brand=company.shops.brand, corp=corp, name=code, defaults=values
        )
        task = {"guide": guides[code], "store": company.shops.stores[code], "planned_count": 1}
        SendBatch.objects.get_or_create(send=found[code], userid=code.lower(), number=0, defaults=task)
    return found


def pools(company: Console) -> dict[str, Any]:
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwC", defaults={"name": "示例公司"})
    said = {"corp": corp, "starts_on": "2027-01-01", "opens_on": "2027-02-01", "target_count": 100}
    made = {}
    for code in STORES:
        made[code], _is_new = Reservoir.objects.get_or_create(
            store=company.shops.stores[code], defaults={"name": code, **said}
        )
    return made


def sales_of(company: Console, members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """A group buy of the store, a team in it, and what its captain is owed."""
    found: dict[Any, dict[str, Any]] = {Sale: {}, Team: {}, Reservation: {}, SaleRefund: {}}
    for code in STORES:
        sale = Sale.objects.filter(name=code).first() or sales.sale(company.shops, {code: 5}, kind="GROUP", name=code)
        team = Team.objects.filter(sale=sale).first()
        if team is None:
            said = sales.wants(sale, company.shops.stores[code], members[code])
            team = group_buys.open_team(said=said, now=timezone.now()).team
        reservation = Reservation.objects.get(seat__team=team)
        due = {"store": reservation.store, "channel": "SHOP", "order_no": code, "amount_fen": 1, "reason": "PAID_LATE"}
        found[Sale][code], found[Team][code], found[Reservation][code] = sale, team, reservation
        found[SaleRefund][code], _is_new = SaleRefund.objects.get_or_create(reservation=reservation, defaults=due)
    return found


def moments_of(company: Console, guides: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """A moment that a guide of the store is to publish."""
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwC", defaults={"name": "示例公司"})
    found: dict[Any, dict[str, Any]] = {Moment: {}, MomentPost: {}}
    for code in STORES:
        values = {"text": "到货", "due_at": timezone.now()}
        moment, _is_new = Moment.objects.get_or_create(brand=company.shops.brand, corp=corp, name=code, defaults=values)
        post = {"corp": corp, "store": company.shops.stores[code], "state": "PLANNED", "at": moment.due_at}
        found[Moment][code] = moment
        found[MomentPost][code], _is_new = MomentPost.objects.get_or_create(
            moment=moment, guide=guides[code], defaults=post
        )
    return found


def turns_of(company: Console, guides: dict[str, Any], members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """A scenario has fallen on a customer of the store."""
    brand, today = company.shops.brand, timezone.localdate()
    rule = {"field": "registered_on", "is": "known"}
    audience, _is_new = Audience.objects.get_or_create(brand=brand, name="场景", defaults={"rule": rule})
    said = {"name": "问候", "audience": audience, "kind": "OTHER", "title": "问候", "reason": "好久不见", "salt": "x"}
    scenario, _is_new = Scenario.objects.get_or_create(brand=brand, code="greet", defaults=said)
    DayRule.objects.get_or_create(brand=brand)
    ScenarioDay.objects.get_or_create(brand=brand, day=today)
    db.ensure_partitions(ScenarioTurn, today, today)
    found: dict[Any, dict[str, Any]] = {ScenarioTurn: {}}
    for code in STORES:
        values = {
            "guide": guides[code], "store": company.shops.stores[code], "given_at": timezone.now(), "is_held_out": False, "stage": "NEW",
            "chance_bp": 300, "value_fen": 10_000,
        }  # fmt: skip
        found[ScenarioTurn][code], _is_new = ScenarioTurn.objects.get_or_create(
            scenario=scenario, member=members[code], given_on=today, defaults=values
        )
    return found


def calendar_of(company: Console) -> dict[Any, dict[str, Any]]:
    """An entry for each store alone, adapted by it, on one day."""
    found: dict[Any, dict[str, Any]] = {CalendarEntry: {}, CalendarAdaptation: {}, CalendarDay: {}}
    today = timezone.localdate()
    for code in STORES:
        store = company.shops.stores[code]
        said = {"kind": "TASTING", "span": "CAMPAIGN", "starts_on": today, "ends_on": today, "from_time": dt.time(9)}
        row, _is_new = CalendarEntry.objects.get_or_create(
            brand=company.shops.brand, title=code, store=store, defaults=said | {"until_time": dt.time(21)}
        )
        found[CalendarEntry][code] = row
        found[CalendarAdaptation][code], _is_new = CalendarAdaptation.objects.get_or_create(
            entry=row, store=store,
            defaults={"starts_on": today, "ends_on": today, "is_dropped": True, "reason": "修路", "made_by": company.staff["hq"]},
        )  # fmt: skip
        found[CalendarDay][code], _is_new = CalendarDay.objects.get_or_create(
            entry=row, day=today, defaults={"kind": "TASTING", "title": code, "starts_at": timezone.now()}
        )
    return found


def accounts(guides: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwC", defaults={"name": "示例公司"})
    sweep, _is_new = ContactSweep.objects.get_or_create(corp=corp, kind="FULL", defaults={"started_at": timezone.now()})
    found: dict[Any, dict[str, Any]] = {Contact: {}, Friendship: {}, Follower: {}, HeldEnds: {}}
    for code, guide in guides.items():
        contact, _is_new = Contact.objects.get_or_create(corp=corp, external_userid=f"wm{code}")
        found[Contact][code] = contact
        found[Friendship][code], _is_new = Friendship.objects.get_or_create(
            contact=contact, corp=corp, userid=code.lower(), guide=guide
        )
        follower = Follower.objects.get(userid=code.lower())
        Follower.objects.filter(pk=follower.pk).update(guide=guide)
        found[Follower][code] = follower
        found[HeldEnds][code], _is_new = HeldEnds.objects.get_or_create(
            sweep=sweep, follower=follower,
            defaults={"read_from": timezone.now(), "friendship_ids": [], "missing_count": 1, "friend_count": 1},
        )  # fmt: skip
    return found


def followed_up(company: Console, guides: dict[str, Any], members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """Each member in an SOP, with what her guide is to do for it."""
    at = timezone.now()
    sop, _is_new = Sop.objects.get_or_create(brand=company.shops.brand, name="购后回访", anchor="BOUGHT")
    version, _is_new = SopVersion.objects.get_or_create(sop=sop, number=1)
    runs, given = {}, {}
    for code in STORES:
        runs[code], _is_new = SopRun.objects.get_or_create(
            sop=sop, member=members[code],
            defaults={"version": version, "anchor_key": code, "anchored_at": at, "entered_at": at, "position": 1, "due_at": at},
        )  # fmt: skip
        given[code], _is_new = Action.objects.get_or_create(
            key=code,
            defaults={
                "guide": guides[code], "store": company.shops.stores[code], "member": members[code], "kind": "CALL",
                "source": "SOP", "source_id": runs[code].pk, "title": "回访", "reason": "买过东西", "starts_at": at,
                "due_at": at + dt.timedelta(days=1),
            },
        )  # fmt: skip
    return {SopRun: runs, Action: given, **grouped(company, guides, members, sop, version)}


def grouped(
    company: Console, guides: dict[str, Any], members: dict[str, Any], sop: Sop, version: SopVersion
) -> dict[Any, dict[str, Any]]:
    """A group of each store with its customer in it, under way in an SOP."""
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwGROUPS", defaults={"name": "示例公司"})
    at = timezone.now()
    groups, stays, runs, ways, plans, asked, notices = {}, {}, {}, {}, {}, {}, {}
    for code in STORES:
        groups[code], _is_new = Group.objects.get_or_create(
            corp=corp, chat_id=f"wr{code}",
            defaults={"name": f"{code}福利群", "owner": guides[code], "store": company.shops.stores[code], "asked_at": at},
        )  # fmt: skip
        stays[code], _is_new = GroupStay.objects.get_or_create(
            group=groups[code], userid=f"wm{code}", defaults={"member": members[code], "joined_at": at}
        )
        runs[code], _is_new = GroupRun.objects.get_or_create(
            sop=sop, group=groups[code],
            defaults={"version": version, "anchored_at": at, "entered_at": at, "position": 1, "due_at": at},
        )  # fmt: skip
        ways[code], _is_new = JoinWay.objects.get_or_create(
            corp=corp, state=f"j{code}", defaults={"name": f"{code}入群码", "store": company.shops.stores[code]}
        )
        plans[code], _is_new = GroupPlan.objects.get_or_create(kind="ROTATE", reason=code)
        GroupPlanItem.objects.get_or_create(plan=plans[code], group=groups[code])
        notices[code], _is_new = GroupNotice.objects.get_or_create(corp=corp, name=code, defaults={"wish": {}})
        GroupNoticePost.objects.get_or_create(
            notice=notices[code],
            group=groups[code],
            defaults={"store": company.shops.stores[code], "guide": guides[code]},
        )
        asked[code] = GroupInvitation.objects.filter(name=code).first() or inviting.invitation(
            company.shops, code, guides[code], company.shops.stores[code], members[code], ways[code]
        )
    return {
        Group: groups, GroupStay: stays, GroupRun: runs, JoinWay: ways, GroupPlan: plans, GroupInvitation: asked, GroupNotice: notices,
    }  # fmt: skip


def handovers(company: Console, guides: dict[str, Any], members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    cases, items = {}, {}
    for code in STORES:
        sign = {"store": company.shops.stores[code], "cause": "BY_HAND", "opened_at": timezone.now()}
        cases[code], _is_new = HandoverCase.objects.get_or_create(guide=guides[code], defaults=sign)
        taker, _is_new = HandoverTaker.objects.get_or_create(case=cases[code], guide=company.shops.guides["M"])
        items[code], _is_new = HandoverItem.objects.get_or_create(
            case=cases[code], binding=Binding.objects.get(member=members[code]),
            defaults={"taker": taker, "member": members[code], "state_at": timezone.now()},
        )  # fmt: skip
    return {HandoverCase: cases, HandoverItem: items}


def friends(company: Console, guides: dict[str, Any], members: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    corp, _is_new = Corp.objects.get_or_create(corp_id="ww1", defaults={"name": "示例公司"})
    found: dict[Any, dict[str, Any]] = {
        ContactWay: {},
        Touch: {},
        BindingRequest: {},
        WelcomeSend: {},
        Share: {},
        ServiceAct: {},
        IntegrityCase: {},
        RewardClaim: {},
    }
    programme, _is_new = RewardProgramme.objects.get_or_create(
        brand=company.shops.brand, name="加好友奖励",
        defaults={"amount_fen": 500, "starts_at": timezone.now(), "ends_at": timezone.now() + dt.timedelta(days=9)},
    )  # fmt: skip
    for code in STORES:
        store, guide, at = company.shops.stores[code], guides[code], timezone.now()
        contact, _is_new = Contact.objects.get_or_create(corp=corp, external_userid=f"wm{code}")
        friend, _is_new = Friendship.objects.get_or_create(contact=contact, userid=code, corp=corp, guide=guide)
        found[ContactWay][code], _is_new = ContactWay.objects.get_or_create(
            corp=corp, purpose="STORE", store=store, name=code, state=f"w{code}"
        )
        touch = Touch.objects.filter(key=code).first()
        found[Touch][code] = (
            touch
            or touches.record(
                key=code, kind="QR", guide_id=guide.pk, store_id=store.pk, member_id=members[code].pk, at=at
            )[0]
        )
        found[BindingRequest][code], _is_new = BindingRequest.objects.get_or_create(
            key=code, defaults={"member": members[code], "guide": guide, "store": store, "source": "SCAN", "answer": "OPEN", "at": at}
        )  # fmt: skip
        found[IntegrityCase][code], _is_new = IntegrityCase.objects.get_or_create(
            guide=guide, store=store, subject="FRIENDS",
            defaults={"brand": company.shops.brand, "opened_at": at, "since": at, "until": at, "due_at": at},
        )  # fmt: skip
        found[RewardClaim][code], _is_new = RewardClaim.objects.get_or_create(
            friendship=friend,
            defaults={
                "brand": company.shops.brand, "programme": programme, "contact": contact, "guide": guide, "store": store,
                "added_at": at, "amount_fen": 500, "expires_at": at,
            },
        )  # fmt: skip
        found[Share][code] = (
            Share.objects.filter(guide=guide).first() or shares.share(guide_id=guide.pk, kind="SHARE", now=at)[0]
        )
        act = ServiceAct.objects.filter(key=code).first()
        found[ServiceAct][code] = (
            act
            or service_acts.record(
                key=code, kind="CALL", guide_id=guide.pk, member_id=members[code].pk, at=at, note="电话回访"
            )[0]
        )
        found[WelcomeSend][code], _is_new = WelcomeSend.objects.get_or_create(
            code_hash=code, defaults={"friendship": friend, "guide": guide, "event_at": at}
        )
    return found


def hq_rows(company: Console) -> dict[Any, Any]:
    found = {model: model._default_manager.order_by("pk").first() for model in HQ_ONLY}
    return {model: row for model, row in found.items() if row is not None}


def url(row: Any, page: str) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=(row.pk,))


def status(client: Client, address: str, method: str = "get") -> int:
    return int(getattr(client, method)(address).status_code)


def test_every_list_of_the_site_has_a_line_in_this_matrix() -> None:
    registered = {model for model in admin.site._registry if model._meta.label not in OTHERS}
    assert registered == SCOPED | HQ_ONLY
    assert {model for model in registered if org.is_scoped(model)} == SCOPED


def test_every_page_of_the_site_is_known() -> None:
    labels = {f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry}
    names = {pattern.name for pattern in _patterns(admin.site.urls[0]) if pattern.name}
    lists = {f"{label}_{suffix}" for label in labels for suffix in SUFFIXES}
    assert names - lists - set(PAGES) - CUSTOM - DJANGO == set()


def _patterns(urls: Any) -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in urls:
        found += _patterns(pattern.url_patterns) if isinstance(pattern, URLResolver) else [pattern]
    return found


@pytest.mark.parametrize("name", SEES)
def test_a_row_outside_the_scope_does_not_exist(company: Console, name: str) -> None:
    client, sees = company.client(name), SEES[name]
    for model, rows in rows_of(company).items():
        for code, row in rows.items():
            is_own = sees is None or code in sees
            found = {page: status(client, url(row, page)) for page in ("change", "history")}
            assert found == dict.fromkeys(found, 200 if is_own else 404), (model, code)
            if not is_own:
                for page, method in (("delete", "get"), ("delete", "post"), ("change", "post"), ("change", "delete")):
                    assert status(client, url(row, page), method) in (404, 405), (model, code, page, method)


@pytest.mark.parametrize("name", SEES)
def test_what_belongs_to_hq_is_seen_by_hq_alone(company: Console, name: str) -> None:
    client, is_hq = company.client(name), SEES[name] is None
    for model, row in hq_rows(company).items():
        assert status(client, url(row, "change")) == (200 if is_hq else 404), model
        listed = status(client, reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist"))
        assert listed == (200 if is_hq else 403), model


@pytest.mark.parametrize("name", SEES)
def test_pages_that_are_no_list(company: Console, name: str) -> None:
    client = company.client(name)
    for page, allowed in PAGES.items():
        assert status(client, reverse(f"admin:{page}")) == (200 if name in allowed else 403), page


@pytest.mark.parametrize("name", ["region", "franchisee", "franchisee_b", "manager"])
def test_lists_show_own_rows_and_count_no_others(company: Console, name: str) -> None:
    client, sees = company.client(name), SEES[name] or set()
    for model, rows in rows_of(company).items():
        response = client.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        shown = {row.pk for row in response.context["cl"].result_list}
        assert {code for code, row in rows.items() if row.pk in shown} == sees & set(STORES), model
        count = model._default_manager.filter(pk__in=shown).count()
        assert response.context["cl"].result_count == count, model


def test_a_members_pages_beside_her_own(company: Console) -> None:
    rows = rows_of(company)[Member]
    client = company.client("manager")
    for page in ("reveal", "purchases"):
        assert status(client, reverse(f"admin:members_member_{page}", args=(rows["S1"].pk,))) == 200
        assert status(client, reverse(f"admin:members_member_{page}", args=(rows["S2"].pk,))) == 404
        assert status(client, reverse(f"admin:members_member_{page}", args=(rows["S2"].pk,)), "post") == 404


def test_autocomplete_names_own_rows_only(company: Console) -> None:
    client = company.client("manager")
    address = reverse("admin:autocomplete")
    for app, model, field, own, foreign in (
        ("members", "orderline", "store", "S1店 S1", "S2店 S2"),
        ("guides", "binding", "guide", "王芳 G00001", "李娜 G00002"),
        ("attribution", "decision", "store", "S1店 S1", "S2店 S2"),
    ):
        query = {"app_label": app, "model_name": model, "field_name": field}
        found = {row["text"] for row in client.get(address, {**query, "term": ""}).json()["results"]}
        assert own in found
        assert foreign not in found
    refused = client.get(address, {"app_label": "members", "model_name": "member", "field_name": "tier", "term": ""})
    assert refused.status_code == 403


def test_a_filter_by_a_foreign_store_finds_and_names_nothing(company: Console) -> None:
    client, foreign = company.client("manager"), company.shops.stores["S2"]
    response = client.get(reverse("admin:members_orderline_changelist"), {"store__id__exact": foreign.pk})
    assert response.context["cl"].result_count == 0
    assert foreign.name not in response.content.decode()


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("members_identity", {"value__startswith": "0"}),
        ("members_identity", {"sealed__isnull": "0"}),
        ("members_member", {"identities__value__startswith": "1"}),
        ("members_member", {"home_store__entity__code": "HQ"}),
        ("members_orderline", {"member__name__startswith": "白"}),
        ("guides_guide", {"user__password__startswith": "md5"}),
        ("attribution_decision", {"rule__author__password__startswith": "x"}),
    ],
)
def test_undeclared_look_ups_are_refused(company: Console, address: str, query: dict[str, str]) -> None:
    for name in ("hq", "manager"):
        assert company.client(name).get(reverse(f"admin:{address}_changelist"), query).status_code == 400


def test_a_filter_that_is_no_column_is_taken(company: Console) -> None:
    for name in ("hq", "manager"):
        response = company.client(name).get(reverse("admin:guides_binding_changelist"), {"active": "0"})
        assert (response.status_code, list(response.context["cl"].result_list)) == (200, [])


def test_a_forged_action_reaches_no_foreign_row(company: Console) -> None:
    """An action's rows come from the scoped list, whatever the form says; without the right there is no action."""
    foreign = company.shops.members["白鹭"]
    response = company.client("manager").post(
        reverse("admin:members_member_changelist"), {"action": "delete_selected", "_selected_action": [foreign.pk]}
    )
    assert response.status_code in (200, 302)
    assert Member.objects.filter(pk=foreign.pk).exists()


def test_popup_and_to_field_give_nothing_away(company: Console) -> None:
    client, foreign = company.client("manager"), company.shops.members["白鹭"]
    for query in ("_popup=1", "_to_field=id", "_to_field=name"):
        assert status(client, f"{url(foreign, 'change')}?{query}") in (400, 404)


def test_strangers_meet_the_login_everywhere(company: Console) -> None:
    guide = company.shops.guides["A"].user  # logs in through the mini-program only
    staffless = Client()
    staffless.force_login(guide)
    strangers: tuple[Any, ...] = (Client(), staffless)
    for client in strangers:
        for model in admin.site._registry:
            response = client.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
            assert response.status_code == 302
            assert response.url.startswith(reverse("admin:login"))


def test_every_view_of_the_site_is_wrapped() -> None:
    """Anonymous requests are turned away before the view runs: by the wrapper, not by the view."""
    open_to_all = {"login", "second_factor", "jsi18n", "logout"}
    for pattern in _patterns(admin.site.urls[0]):
        if pattern.name in open_to_all or pattern.name is None:
            continue
        arguments = dict.fromkeys(pattern.pattern.converters, 1) | {}
        keys = {"object_id": "1", "act_name": "x", "content_type_id": "1", "app_label": "scrm", **arguments}
        names = pattern.pattern.regex.groupindex
        address = reverse(f"admin:{pattern.name}", kwargs={name: keys.get(name, "1") for name in names})
        for method in ("get", "post"):
            response = getattr(Client(), method)(address)
            assert response.status_code in (302, 405), (pattern.name, method, response.status_code)


def test_the_console_is_the_only_admin() -> None:
    resolved = get_resolver().resolve("/admin/")
    assert resolved.app_name == "admin"
    assert type(admin.site._wrapped).__name__ == "ConsoleSite"  # type: ignore[attr-defined]
