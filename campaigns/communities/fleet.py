"""Plans over many groups (群管理计划): hand over, take out of codes, merge, close; previewed first, then applied as a job.

1. A preview judges every group: what would happen to it, or why it is left out. Nothing is asked of WeCom before it is applied;
   when it is, every group is judged again.
2. Handing over goes through the outbox, up to 100 groups a message, by the call for owners who work here or for those who have
   left. WeCom's limits (企微限制): 300 groups of one owner a day, so what is above waits for the next day; a group twice in 90 days
   while its owner works here. WeCom answers for each group; where it says that the owner has left after all (or has not), the
   other call is used, once. Our API calls cause no event: the new owner is written here, and the group is read again.
3. An answer that was lost is looked for: a group whose owner is the new one has moved.
4. Taking out of codes is ours: the next group in turn is filled, WeCom is told by the codes (``join_ways``).
5. WeCom cannot dissolve a group, nor move people from one into another. Merging and closing therefore first take the group out
   of the codes, then ask its owner, with the words ready to post and the steps, in her list of the day. The group is done when WeCom
   says that it is dissolved.
6. A plan ends when each of its groups is done, not done, or left out. Cancelled, what its owners have not done is taken back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from campaigns.communities import groups, join_ways
from campaigns.models import Group, GroupPlan, GroupPlanItem, JoinWay
from guides import actions
from guides.actions import NewAction
from guides.models import Action, Employment, Follower, Guide
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.wecom import corps, errors, outbox, transfers
from scrm.wecom import groups as wecom
from scrm.wecom.outbox import Intent, Verdict

KIND, TOPIC = "group_plan", "group_plan.hand_over"
ZONE = ZoneInfo("Asia/Shanghai")
A_DAY = 300  # groups of one owner, WeCom's
TWICE, IN_DAYS = 2, 90  # of one group while its owner works here, WeCom's
ASKED_FOR = dt.timedelta(days=7)  # an owner, to close or merge
ASKED_MOST = 2
MOST = 1_000  # groups of a plan
OWNER_STAYS, OWNER_LEFT = "90500", "90502"  # WeCom's word on one group: the other call is the right one
NO_ANSWER = "no_answer"

Kind, Status, State = GroupPlan.Kind, GroupPlan.Status, GroupPlanItem.State


class BadPlan(RuleViolation):
    """``extra["fields"]`` has a sentence for each field."""

    code = "bad_group_plan"


class WrongState(RuleViolation):
    code = "group_plan_state"


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to become of a group: nothing where there is a ``reason``."""

    reason: str = ""
    note: str = ""


def code_text(code: str) -> str:
    """WeCom's word on one group, and what to do, in a sentence."""
    return {
        "90500": _("WeCom says that the owner has not left: hand it over as of an owner who works here."),
        "90501": _("WeCom knows no such customer group: it is dissolved."),
        "90502": _("WeCom says that the owner has left: hand it over as of an owner who has left."),
        "90504": _("The new owner has this group already."),
        "90505": _("Handed over twice in 90 days already; WeCom allows no more for now."),
        "90506": _("300 groups of this owner were handed over today; WeCom allows no more until tomorrow."),
        NO_ANSWER: _("WeCom did not answer, and the group still has its old owner: plan it again."),
    }.get(code, _("WeCom refused it (%(code)s).") % {"code": code})


# --- previewing -------------------------------------------------------------------------------------------------------


@transaction.atomic
def draft(
    *, kind: str, groups_chosen: Sequence[Group], actor: Any, now: dt.datetime, new_owner: Guide | None = None, target: Group | None = None,
    way: JoinWay | None = None, reason: str = "",
) -> GroupPlan:  # fmt: skip
    """A plan with each of its groups judged; nothing is done yet. Raises BadPlan."""
    found: dict[str, str] = {}
    if not groups_chosen or len(groups_chosen) > MOST:
        found["groups"] = _("A plan is for 1 to %(most)s groups.") % {"most": f"{MOST:,}"}
    if kind == Kind.HAND_OVER:
        found |= _owner_problem(new_owner)
    if kind == Kind.MERGE and (target is None or target.dissolved_at is not None):
        found["target"] = _("Name the group that stays; it must not be dissolved.")
    if found:
        raise BadPlan(next(iter(found.values())), extra={"fields": found})
    plan = GroupPlan.objects.create(
        kind=kind, new_owner=new_owner if kind == Kind.HAND_OVER else None, target=target if kind == Kind.MERGE else None,
        way=way if kind == Kind.MERGE else None, reason=reason, made_by=actor,
    )  # fmt: skip
    judged = judge(plan, groups_chosen, now=now)
    GroupPlanItem.objects.bulk_create(
        GroupPlanItem(
            plan=plan, group=group, state=State.LEFT_OUT if one.reason else State.PLANNED, reason=(one.reason or one.note)[:200],
            state_at=now,
        )
        for group, one in ((group, judged[group.pk]) for group in groups_chosen)
    )  # fmt: skip
    audit.record(actor=actor, verb="group_plan.draft", target=plan, groups=len(groups_chosen))
    return plan


def _owner_problem(guide: Guide | None) -> dict[str, str]:
    if guide is None:
        return {"new_owner": _("Name the new owner.")}
    if not guide.wecom_userid:
        return {"new_owner": _("%(guide)s has no WeCom account here.") % {"guide": guide.name}}
    if not Employment.objects.filter(guide=guide, ended_at=None).exists():
        return {"new_owner": _("%(guide)s does not work here any more.") % {"guide": guide.name}}
    return {}


def judge(plan: GroupPlan, chosen: Iterable[Group], *, now: dt.datetime) -> dict[int, Judged]:
    """What is to become of each group as it stands now."""
    rows = list(chosen)
    keys = [group.pk for group in rows]
    since = now - dt.timedelta(days=IN_DAYS)
    moved = dict(
        GroupPlanItem.objects.filter(group__in=keys, asked_at__gt=since, state=State.DONE, was_resigned=False)
        .order_by().values_list("group").annotate(Count("pk"))
    )  # fmt: skip
    behind = set(
        Group.objects.filter(pk__in=keys, slots__is_out=False, slots__way__status="LIVE").values_list("pk", flat=True)
    )
    share = _also_in(plan.target, keys) if plan.kind == Kind.MERGE and plan.target is not None else {}
    return {group.pk: _judge_one(plan, group, moved.get(group.pk, 0), group.pk in behind, share) for group in rows}


def _judge_one(plan: GroupPlan, group: Group, moved: int, is_behind: bool, share: dict[int, int]) -> Judged:
    if group.dissolved_at is not None:
        return Judged(_("dissolved at WeCom"))
    if plan.kind == Kind.ROTATE:
        return (
            Judged(note=_("the next group in turn is filled"))
            if is_behind
            else Judged(_("stands behind no code in use"))
        )
    if plan.kind == Kind.HAND_OVER:
        assert plan.new_owner is not None
        if group.owner_userid == (plan.new_owner.wecom_userid or "").lower():
            return Judged(_("belongs to the new owner already"))
        if group.status != Group.Status.OWNER_LEFT and moved >= TWICE:
            return Judged(_("handed over twice in 90 days already"))
        is_left = group.status == Group.Status.OWNER_LEFT
        return Judged(note=_("its owner has left") if is_left else _("its owner works here"))
    if plan.target_id == group.pk:
        return Judged(_("is the group that stays"))
    if group.owner_id is None or group.status == Group.Status.OWNER_LEFT:
        return Judged(_("its owner has left: hand it over first"))
    if plan.kind == Kind.MERGE:
        return Judged(
            note=_("%(people)s customers, %(there)s of them in the other group already")
            % {"people": group.customer_count, "there": share.get(group.pk, 0)}
        )
    return Judged(note=_("%(people)s customers leave with it") % {"people": group.customer_count})


_ALSO_IN = """
    SELECT s.group_id, count(*) FROM campaigns_groupstay s
    WHERE s.group_id = ANY(%s::bigint[]) AND s.left_at IS NULL AND NOT s.is_staff AND EXISTS (
        SELECT 1 FROM campaigns_groupstay t WHERE t.group_id = %s AND t.userid = s.userid AND t.left_at IS NULL)
    GROUP BY 1
"""


def _also_in(target: Group, keys: Sequence[int]) -> dict[int, int]:
    return dict(db.read(_ALSO_IN, [list(keys), target.pk]))


# --- applying ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def apply(*, plan: GroupPlan, actor: Any, now: dt.datetime) -> GroupPlan:
    """Have it done by a job. Raises WrongState and BadPlan."""
    row = _locked(plan, Status.DRAFT)
    if not row.items.filter(state=State.PLANNED).exists():
        raise BadPlan(_("All groups of this plan are left out; see the reasons."))
    row.status, row.applied_at = Status.RUNNING, now
    row.job = jobs.enqueue(KIND, actor=actor, params={"plan": row.pk})
    row.save()
    audit.record(actor=actor, verb="group_plan.apply", target=row)
    return row


@transaction.atomic
def cancel(*, plan: GroupPlan, actor: Any, now: dt.datetime) -> None:
    """What WeCom was not asked for and what owners have not done is not done any more. Raises WrongState."""
    row = _locked(plan, Status.DRAFT, Status.RUNNING)
    open_ones = GroupPlanItem.objects.filter(plan=row, state__in=(State.PLANNED, State.TO_DO))
    keys = [_action_key(key) for key in open_ones.values_list("pk", flat=True)]
    Action.objects.filter(key__in=keys, status=Action.Status.OPEN).update(status=Action.Status.CANCELLED, ended_at=now)
    open_ones.update(state=State.LEFT_OUT, reason=_("the plan was cancelled"), state_at=now)
    row.status, row.ended_at = Status.CANCELLED, now
    row.save()
    audit.record(actor=actor, verb="group_plan.cancel", target=row)


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``group_plan``: piece by piece, each its own transaction; run again, it goes on."""
    plan = GroupPlan.objects.select_related("new_owner", "target", "way__store").get(pk=progress.job.params["plan"])
    progress.stage(KIND, plan.items.exclude(state=State.LEFT_OUT).count())
    while _piece(plan, db.clock()):
        progress.done(plan.items.exclude(state__in=(State.PLANNED, State.LEFT_OUT)).count())
    finish(plan_id=plan.pk, now=db.clock())
    counts = dict(plan.items.order_by().values_list("state").annotate(Count("pk")))
    return {"groups": sum(counts.values()), "left_out": counts.get(State.LEFT_OUT, 0)}


@transaction.atomic
def _piece(plan: GroupPlan, now: dt.datetime) -> int:
    """Up to 100 groups of one corp and, handing over, of one owner; how many were taken in hand."""
    if GroupPlan.objects.filter(pk=plan.pk, status=Status.CANCELLED).exists():
        return 0
    waiting = GroupPlanItem.objects.filter(plan=plan, state=State.PLANNED).select_related("group__corp", "group__owner")
    first = waiting.order_by("group__corp", "group__owner_userid", "group__status", "pk").first()
    if first is None:
        return 0
    alike = waiting.filter(
        group__corp=first.group.corp_id, group__owner_userid=first.group.owner_userid, group__status=first.group.status
    )
    keys = list(alike.order_by("pk").values_list("pk", flat=True)[: transfers.GROUPS_PER_CALL])
    items = db.lock(
        GroupPlanItem.objects.filter(pk__in=keys, state=State.PLANNED).select_related("group__corp", "group__owner")
    )
    judged = judge(plan, [item.group for item in items], now=now)
    for item in items:
        if judged[item.group_id].reason:
            item.state, item.reason, item.state_at = State.LEFT_OUT, judged[item.group_id].reason[:200], now
    todo = [item for item in items if item.state == State.PLANNED]
    if plan.kind == Kind.HAND_OVER:
        _hand_over(plan, todo, now)
    else:
        join_ways.rotate(group_ids=[item.group_id for item in todo], actor=plan.made_by, now=now)
        if plan.kind == Kind.ROTATE:
            for item in todo:
                item.state, item.state_at = State.DONE, now
        else:
            _ask_owners(plan, todo, now)
    GroupPlanItem.objects.bulk_update(
        items, ["state", "reason", "state_at", "asked_at", "asked_count", "was_resigned", "old_owner"]
    )
    return len(items)


def _hand_over(plan: GroupPlan, items: Sequence[GroupPlanItem], now: dt.datetime) -> None:
    """One message; those above the owner's 300 of a day on the first day with room."""
    if not items:
        return
    owner = items[0].group.owner_userid
    not_before = _day_with_room(owner, len(items), now)
    for item in items:
        item.state, item.state_at, item.old_owner, item.asked_at = State.ASKED, now, owner, not_before
        item.was_resigned, item.asked_count = item.group.status == Group.Status.OWNER_LEFT, item.asked_count + 1
    _enqueue(plan, items, now, not_before)


def _day_with_room(owner: str, count: int, now: dt.datetime) -> dt.datetime:
    """Today while WeCom's 300 are not used up by plans; else the first hour of a later day."""
    db.take_turns([f"group owner {owner}"])
    day = now.astimezone(ZONE).date()
    while True:
        start = dt.datetime.combine(day, dt.time(), ZONE)
        given = GroupPlanItem.objects.filter(
            old_owner=owner, asked_at__gte=start, asked_at__lt=start + dt.timedelta(days=1)
        )
        if given.count() + count <= A_DAY:
            return max(now, start + dt.timedelta(minutes=5))
        day += dt.timedelta(days=1)


def _enqueue(plan: GroupPlan, items: Sequence[GroupPlanItem], now: dt.datetime, not_before: dt.datetime) -> None:
    assert plan.new_owner is not None
    first = items[0]
    outbox.enqueue(
        topic=TOPIC, corp=first.group.corp, key=f"{plan.pk}/{first.pk}/{first.asked_count}",
        payload={
            "items": [item.pk for item in items], "chats": [item.group.chat_id for item in items],
            "owner": plan.new_owner.wecom_userid, "is_resigned": first.was_resigned,
        },
        record=f"group owner {first.old_owner}", now=now, not_before=not_before, actor=plan.made_by,
    )  # fmt: skip


def _ask_owners(plan: GroupPlan, items: Sequence[GroupPlanItem], now: dt.datetime) -> None:
    """What WeCom cannot do, in the owners' lists of the day, with the words ready."""
    new = []
    for item in items:
        group = item.group
        title, text = _words(plan, group)
        new.append(
            NewAction(
                key=_action_key(item.pk), guide_id=group.owner_id or 0, store_id=group.store_id, member_id=None,
                kind=Action.Kind.OTHER, source=Action.Source.HQ, source_id=plan.pk, title=title[:80],
                reason=(plan.reason or str(plan.get_kind_display()))[:200], text=text, starts_at=now, due_at=now + ASKED_FOR, minutes=10,
            )
        )  # fmt: skip
        item.state, item.state_at, item.asked_at = State.TO_DO, now, now
    actions.give(new)


def _words(plan: GroupPlan, group: Group) -> tuple[str, str]:
    if plan.kind == Kind.MERGE:
        code = f"，请扫码（入群码「{plan.way.name}」，可在小程序“我的群”里取图）" if plan.way else ""
        return (
            f"合群：{group} → {plan.target}",
            (
                f"1. 在群里发布：各位好，本群将并入「{plan.target}」，新群福利更多{code}进新群，本群几天后解散。\n"
                f"2. 三天后再提醒一次，并逐个邀请还没进新群的老客。\n3. 人走得差不多后：群管理 → 解散该群。"
            ),
        )
    return (
        f"关闭群：{group}",
        (
            "1. 在群里发布：感谢大家的陪伴，本群即将解散，有需要随时私聊我。\n"
            "2. 请还没加您好友的老客先加好友。\n3. 三天后：群管理 → 解散该群。"
        ),
    )


# --- WeCom's answers --------------------------------------------------------------------------------------------------


def register() -> None:
    """Called from ``AppConfig.ready``."""
    outbox.register(TOPIC, send=_send, settle=_settle, reconcile=_reconcile, is_repeatable=False)
    jobs.register(KIND, work)


def _send(intent: Intent) -> dict[str, Any]:
    said = intent.payload
    failed = transfers.start_groups(
        corps.app_of(intent.corp), chat_ids=said["chats"], new_owner=said["owner"], is_resigned=said["is_resigned"]
    )
    return {"failed": failed}


def _reconcile(intent: Intent) -> Verdict:
    app, owner = corps.app_of(intent.corp), intent.payload["owner"].lower()
    staying: dict[str, Any] = {}
    for chat_id in intent.payload["chats"]:
        try:
            has_moved = wecom.get(app, chat_id).owner.lower() == owner
        except errors.NotFound:
            staying[chat_id] = 90501
            continue
        if not has_moved:
            staying[chat_id] = NO_ANSWER
    return Verdict.done({"failed": staying}) if len(staying) < len(intent.payload["chats"]) else Verdict.NOT_DONE


def _settle(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    now = db.clock()
    rows = db.lock(
        GroupPlanItem.objects.filter(pk__in=intent.payload["items"]).select_related("group__corp", "plan__new_owner")
    )
    again = []
    for item in rows:
        code = _code(item, answer, error)
        if code in (OWNER_STAYS, OWNER_LEFT) and item.asked_count < ASKED_MOST:
            item.was_resigned, item.asked_count = code == OWNER_LEFT, item.asked_count + 1
            again.append(item)
            continue
        item.state, item.code, item.state_at = (State.FAILED if code else State.DONE), code, now
        item.reason = (error.message if error is not None else code_text(code) if code else "")[:200]
        if not code:
            _own(item)
        if code == "90501":
            groups.ask([item.group_id])
    GroupPlanItem.objects.bulk_update(rows, ["state", "code", "reason", "state_at", "was_resigned", "asked_count"])
    for was_resigned in {item.was_resigned for item in again}:
        some = [item for item in again if item.was_resigned == was_resigned]
        _enqueue(some[0].plan, some, now, now)
    for plan_id in {item.plan_id for item in rows}:
        finish(plan_id=plan_id, now=now)


def _code(item: GroupPlanItem, answer: dict[str, Any] | None, error: errors.WecomError | None) -> str:
    if error is not None or answer is None:
        number = error.errcode if error is not None else None
        return str(number) if number is not None else error.code if error is not None else NO_ANSWER
    return str(answer["failed"].get(item.group.chat_id, ""))


def _own(item: GroupPlanItem) -> None:
    """Our calls cause no event: the new owner is written here, and the group is read again."""
    guide = item.plan.new_owner
    assert guide is not None
    userid = (guide.wecom_userid or "").lower()
    works = Employment.objects.filter(guide=guide, ended_at=None).order_by("-started_at")
    follower = Follower.objects.filter(corp=item.group.corp_id, userid=userid).first()
    status = Group.Status.MOVED if item.was_resigned else Group.Status.NORMAL
    Group.objects.filter(pk=item.group_id).update(
        owner_userid=userid, owner=follower.guide_id if follower and follower.guide_id else guide.pk,
        store=works.values_list("store_id", flat=True).first(), status=status,
    )  # fmt: skip
    groups.ask([item.group_id])


# --- ending -----------------------------------------------------------------------------------------------------------


def follow(*, now: dt.datetime) -> int:
    """Groups whose owner was asked to close or merge them: those that are dissolved are done, what was not done in time is not.
    How many have ended."""
    gone = _end(Q(group__dissolved_at__isnull=False), State.DONE, _("dissolved at WeCom"), now)
    late = _end(Q(asked_at__lt=now - ASKED_FOR), State.FAILED, _("its owner has not done it in time"), now)
    for plan_id in GroupPlan.objects.filter(status=Status.RUNNING).order_by("pk").values_list("pk", flat=True):
        finish(plan_id=plan_id, now=now)
    return gone + late


@transaction.atomic
def _end(which: Q, state: str, reason: str, now: dt.datetime) -> int:
    items = db.lock(GroupPlanItem.objects.filter(which, state=State.TO_DO))
    rows = GroupPlanItem.objects.filter(pk__in=[item.pk for item in items])
    keys = [_action_key(item.pk) for item in items]
    open_ones = Action.objects.filter(key__in=keys, status=Action.Status.OPEN)
    open_ones.update(status=Action.Status.CANCELLED, ended_at=now)
    return rows.update(state=state, reason=reason[:200], state_at=now)


def finish(*, plan_id: int, now: dt.datetime) -> None:
    """The plan has ended when none of its groups is waited for."""
    open_ones = GroupPlanItem.objects.filter(plan=plan_id, state__in=(State.PLANNED, State.ASKED, State.TO_DO))
    if not open_ones.exists():
        GroupPlan.objects.filter(pk=plan_id, status=Status.RUNNING).update(status=Status.ENDED, ended_at=now)


def outcome(*, plan: GroupPlan, scope_q: Q) -> dict[str, int]:
    """How many groups of the plan are in each state."""
    return dict(plan.items.filter(scope_q).order_by().values_list("state").annotate(Count("pk")))


def _action_key(item_id: int) -> str:
    return f"group plan {item_id}"


def _locked(plan: GroupPlan, *statuses: str) -> GroupPlan:
    (row,) = db.lock(GroupPlan.objects.filter(pk=plan.pk))
    if row.status not in statuses:
        raise WrongState(_("This is not possible in the present state."))
    found: GroupPlan = row
    return found
