"""The plan of a handover: who takes over is named and checked at once, the customers are counted and spread by a job.

1. A taker works somewhere now, is not the giver, and lies within the scope of who plans. Nothing is written otherwise.
2. The customers are the active bindings of the giver and the friends of her account, each person once. For an account that
   is gone WeCom's list of unassigned customers is read too: our mirror may have lost sight of them.
3. A new plan replaces the one before; a job of an older plan writes nothing.
4. The confirmed plan starts the move once, whoever confirms first. It holds for PLAN_LIFE: people come and go.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from guides.handover import policy
from guides.handover.cases import Status, WrongState
from guides.models import Binding, Contact, Delegation, Employment, Guide, HandoverCase, HandoverGroup, HandoverItem
from guides.models import HandoverTaker as TakerRow
from members import queries as member_queries
from scrm import audit, db, jobs, org
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.wecom import corps, groups, transfers

KIND = "plan_handover"
RUN_KIND = "run_handover"
FOUR_EYES_FROM = 100  # customers from which on a second person confirms
PLAN_LIFE = dt.timedelta(days=7)
VALUE_DAYS = 365
MOST_TAKERS = 50
_CODES = re.compile(r"[\s,，;；、]+")

Policy, State = HandoverCase.Policy, HandoverItem.State


class NoTaker(RuleViolation):
    """Nobody is left who could take over."""

    code = "handover_no_taker"


class UnknownTaker(RuleViolation):
    code = "handover_unknown_taker"


class NotAllowed(RuleViolation):
    """The taker lies outside the scope of who plans."""

    code = "handover_outside_scope"


class SamePerson(RuleViolation):
    """Whoever planned a large handover does not confirm it herself."""

    code = "handover_same_person"


class TooOld(RuleViolation):
    code = "handover_plan_too_old"


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def request(
    *, case: HandoverCase, chosen: str, codes: str = "", most_each: int | None = None, message: str = "", actor: Any,
    now: dt.datetime,
) -> Job:  # fmt: skip
    """Have a plan made: ``chosen`` of ``Policy``; ``codes`` of the takers where they are named.

    Raises WrongState, NoTaker, UnknownTaker, NotAllowed.
    """
    (case,) = db.lock(HandoverCase.objects.filter(pk=case.pk))
    if case.status not in (Status.OPEN, Status.PLANNED):
        raise WrongState(_("Only a handover that has not begun can be planned."))
    takers = _takers(case, chosen, codes, now)
    require_in_scope(takers, actor)
    case.takers.all().delete()  # their items and groups go with them
    case.items.all().delete()
    case.status, case.policy, case.most_each, case.message = Status.OPEN, chosen, most_each, message
    case.planned_by, case.planned_at, case.item_count, case.needs_second = actor, None, 0, False
    case.plan_number += 1
    rows = [TakerRow(case=case, guide=guide, userid=(guide.wecom_userid or "").lower()) for guide in takers]
    TakerRow.objects.bulk_create(rows)
    case.job = jobs.enqueue(KIND, actor=actor, params={"case": case.pk, "plan": case.plan_number})
    case.save()
    audit.record(
        actor=actor, verb="handover.plan", target=case, policy=chosen, takers=[guide.pk for guide in takers], most_each=most_each
    )  # fmt: skip
    return case.job


@transaction.atomic
def confirm(*, case: HandoverCase, actor: Any, now: dt.datetime) -> HandoverCase:
    """Start the move that was planned; two people at once start it once. Raises WrongState, SamePerson, TooOld, NoTaker."""
    (case,) = db.lock(HandoverCase.objects.filter(pk=case.pk))
    if case.status != Status.PLANNED or case.planned_at is None:
        raise WrongState(_("Only a planned handover can be confirmed; perhaps somebody has confirmed it already."))
    if case.needs_second and case.planned_by == actor:
        raise SamePerson(
            _("%(count)s customers: somebody other than the planner has to confirm this.") % {"count": case.item_count}
        )
    if now - case.planned_at > PLAN_LIFE:
        raise TooOld(_("This plan is older than a week. Plan again, then confirm."))
    if not case.items.filter(state=State.PLANNED).exists() and not case.groups.exists():
        raise NoTaker(_("No customer has found a taker. Name more guides, or raise the cap."))
    case.status, case.approved_by, case.started_at = Status.RUNNING, actor, now
    case.job = jobs.enqueue(RUN_KIND, actor=actor, params={"case": case.pk}, key=f"{RUN_KIND} {case.pk}")
    case.save()
    audit.record(actor=actor, verb="handover.confirm", target=case, customers=case.item_count)
    return case


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``plan_handover``. Asks WeCom for groups and unassigned customers, then writes at once."""
    case = HandoverCase.objects.select_related("guide", "corp").get(pk=progress.job.params["case"])
    progress.stage("read")
    chats, unassigned, problem = _read_wecom(case)
    progress.stage("spread")
    with transaction.atomic():
        (case,) = db.lock(HandoverCase.objects.filter(pk=case.pk))
        if case.status != Status.OPEN or case.plan_number != progress.job.params["plan"]:
            return {"is_void": True}
        now = timezone.now()
        _write_items(case, unassigned, now)
        _value_items(case, now)
        _give_to_own_guides(case)
        takers = _spread_items(case)
        _write_groups(case, chats, takers, now)
        case.item_count = case.items.count()
        case.needs_second = case.item_count >= FOUR_EYES_FROM
        case.groups_problem, case.planned_at, case.status = problem, now, Status.PLANNED
        case.save()
    progress.done(case.item_count)
    return {"customers": case.item_count, "groups": len(chats)}


# --- who takes over ---------------------------------------------------------------------------------------------------


def _takers(case: HandoverCase, chosen: str, codes: str, now: dt.datetime) -> list[Guide]:
    if chosen == Policy.SAME_STORE:
        found = _colleagues(case, now)
        sorry = _("No colleague works in the guide's store now. Name somebody.")
    elif chosen == Policy.BRAND_ACCOUNT:
        found = list(Guide.objects.filter(wecom_userid__in=settings.WECOM_BRAND_ACCOUNTS).order_by("code"))
        sorry = _("No brand account is set up: WECOM_BRAND_ACCOUNTS names none, or none that belongs to a guide.")
    else:
        found = _named(codes)
        sorry = _("Name the guides who take over by their codes.")
    found = [guide for guide in found if guide.pk != case.guide_id]
    idle = {guide.pk for guide in found} - set(_employed(found, now))
    if idle and chosen == Policy.NAMED:
        names = "、".join(str(guide) for guide in found if guide.pk in idle)
        raise UnknownTaker(_("%(guides)s: does not work in any store now.") % {"guides": names})
    found = [guide for guide in found if guide.pk not in idle][:MOST_TAKERS]
    if not found:
        raise NoTaker(sorry)
    return found


def _colleagues(case: HandoverCase, now: dt.datetime) -> list[Guide]:
    """Who works in the store now and is not on leave."""
    away = Delegation.objects.filter(started_at__lte=now).exclude(ended_at__lte=now).values("guide_id")
    works = Employment.objects.filter(store=case.store, started_at__lte=now).exclude(ended_at__lte=now)
    return list(Guide.objects.filter(pk__in=works.values("guide_id")).exclude(pk__in=away).order_by("code"))


def _named(codes: str) -> list[Guide]:
    wanted = list(dict.fromkeys(code for code in _CODES.split(codes) if code))
    guides = {guide.code: guide for guide in Guide.objects.filter(code__in=wanted)}
    if unknown := [code for code in wanted if code not in guides]:
        raise UnknownTaker(_("There is no guide with the code %(codes)s.") % {"codes": "、".join(unknown)})
    return [guides[code] for code in wanted]


def _employed(guides: Sequence[Guide], now: dt.datetime) -> dict[int, int]:
    """``{guide: store}`` of those who work somewhere at ``now``."""
    rows = Employment.objects.filter(guide__in=guides, started_at__lte=now).exclude(ended_at__lte=now)
    return dict(rows.order_by("started_at").values_list("guide_id", "store_id"))


def employed_at(guide: Guide, now: dt.datetime) -> bool:
    return guide.pk in _employed([guide], now)


def spread(case: HandoverCase, now: dt.datetime) -> None:
    """What its items are worth, and who takes each; for a case whose items and takers are written."""
    _value_items(case, now)
    _spread_items(case)


def require_in_scope(takers: Sequence[Guide], actor: Any) -> None:
    if actor is None or org.scope_of(actor).is_everything:
        return
    keys = [guide.pk for guide in takers]
    visible = org.visible(Guide.objects.filter(pk__in=keys), org.scope_of(actor))
    if visible.count() != len(keys):
        raise NotAllowed(_("You may give customers to guides in your part of the organisation only."))


# --- customers --------------------------------------------------------------------------------------------------------


def _read_wecom(case: HandoverCase) -> tuple[list[str], list[str], str]:
    """Her groups, her customers whom WeCom calls unassigned, and what kept us from reading them."""
    if case.corp is None or not case.userid:
        return [], [], ""
    try:
        app = corps.app_of(case.corp)
        chats = [group.chat_id for group in groups.of_owners(app, [case.userid])]
        left = list(transfers.unassigned(app)) if case.is_resigned else []
    except RuleViolation as error:  # the customers that we know of can be planned all the same
        return [], [], error.code
    return chats, [one.external_userid for one in left if one.handover_userid.lower() == case.userid], ""


ITEMS = """
    WITH friends AS (
        SELECT f.contact_id, f.added_at FROM guides_friendship f
        WHERE f.corp_id = %(corp)s AND f.userid = %(userid)s AND f.ended_at IS NULL AND f.is_confirmed
          AND f.customer_left_at IS NULL
        UNION ALL
        SELECT c.id, NULL FROM guides_contact c
        WHERE c.corp_id = %(corp)s AND c.external_userid = ANY(%(unassigned)s) AND NOT EXISTS (
            SELECT 1 FROM guides_friendship f WHERE f.contact_id = c.id AND f.userid = %(userid)s AND f.ended_at IS NULL
        )
    ), persons AS (  -- of the contacts of one member the latest carries her binding
        SELECT f.contact_id, c.member_id,
               row_number() OVER (PARTITION BY c.member_id ORDER BY f.added_at DESC NULLS LAST, f.contact_id) AS place
        FROM friends f JOIN guides_contact c ON c.id = f.contact_id
    ), bound AS (
        SELECT b.id, b.member_id FROM guides_binding b WHERE b.guide_id = %(guide)s AND b.ended_at IS NULL
    )
    INSERT INTO guides_handoveritem (case_id, member_id, contact_id, binding_id, value_fen, state, code, state_at, asked_count)
    SELECT %(case)s, coalesce(b.member_id, p.member_id), p.contact_id, b.id, 0, 'NO_TAKER', '', %(now)s, 0
    FROM bound b FULL JOIN persons p ON p.member_id = b.member_id AND p.place = 1
    ORDER BY b.id, p.contact_id
"""
OWN_GUIDES = """
    SELECT i.id, b.guide_id, g.wecom_userid, i.contact_id FROM guides_handoveritem i
    JOIN guides_binding b ON b.member_id = i.member_id AND b.ended_at IS NULL AND b.guide_id <> %(guide)s
    JOIN guides_guide g ON g.id = b.guide_id
    WHERE i.case_id = %(case)s AND i.binding_id IS NULL AND g.wecom_userid <> '' ORDER BY i.id
"""
FRIENDS_ALREADY = """
    DELETE FROM guides_handoveritem i USING guides_handovertaker t
    WHERE i.case_id = %(case)s AND t.id = i.taker_id AND NOT t.is_chosen AND EXISTS (
        SELECT 1 FROM guides_friendship f
        WHERE f.contact_id = i.contact_id AND f.userid = t.userid AND f.ended_at IS NULL AND f.is_confirmed
    )
"""
GIVE = """
    UPDATE guides_handoveritem i SET taker_id = t.taker_id, state = 'PLANNED'
    FROM unnest(%s::bigint[], %s::bigint[]) t(id, taker_id) WHERE i.id = t.id
"""


def _write_items(case: HandoverCase, unassigned: Sequence[str], now: dt.datetime) -> None:
    if unassigned:
        new = [Contact(corp=case.corp, external_userid=external_userid) for external_userid in unassigned]
        Contact.objects.bulk_create(new, ignore_conflicts=True, batch_size=1_000)
    _execute(ITEMS, {
        "case": case.pk, "guide": case.guide_id, "corp": case.corp_id, "userid": case.userid, "now": now,
        "unassigned": list(unassigned),
    })  # fmt: skip


def _value_items(case: HandoverCase, now: dt.datetime) -> None:
    since = timezone.localtime(now).date() - dt.timedelta(days=VALUE_DAYS)
    members = list(case.items.filter(member__isnull=False).values_list("member_id", flat=True).distinct())
    spent = member_queries.spent(member_ids=members, since=since)
    _execute(
        "UPDATE guides_handoveritem i SET value_fen = t.fen FROM unnest(%s::bigint[], %s::bigint[]) t(member_id, fen)"
        " WHERE i.case_id = %s AND i.member_id = t.member_id",
        [list(spent), list(spent.values()), case.pk],
    )


def _give_to_own_guides(case: HandoverCase) -> None:
    """Friends who are bound to another guide go to that one (rule 6 of the handover)."""
    rows = _execute(OWN_GUIDES, {"case": case.pk, "guide": case.guide_id})
    employed = _employed(list(Guide.objects.filter(pk__in={row[1] for row in rows})), timezone.now())
    takers = {taker.guide_id: taker for taker in case.takers.all()}
    given = []
    for item_id, guide_id, userid, _contact in rows:
        if guide_id not in employed:
            continue
        if guide_id not in takers:
            takers[guide_id] = TakerRow.objects.create(
                case=case, guide_id=guide_id, userid=userid.lower(), is_chosen=False
            )
        given.append((item_id, takers[guide_id].pk))
    _give(given)
    _execute(FRIENDS_ALREADY, {"case": case.pk})


def _spread_items(case: HandoverCase) -> list[TakerRow]:
    takers = list(case.takers.order_by("pk"))
    loads = _loads([taker.guide_id for taker in takers])
    for taker in takers:
        taker.load_before = loads.get(taker.guide_id, 0)
    TakerRow.objects.bulk_update(takers, ["load_before"])
    chosen = [taker for taker in takers if taker.is_chosen]
    items = list(case.items.filter(taker=None).order_by("pk").values_list("pk", "value_fen"))
    places = policy.spread(
        [value for _pk, value in items],
        [policy.Taker(taker.pk, taker.load_before, case.most_each) for taker in chosen],
    )
    _give([(pk, taker) for (pk, _value), taker in zip(items, places, strict=True) if taker is not None])
    return chosen


def _loads(guide_ids: Sequence[int]) -> dict[int, int]:
    rows = Binding.objects.filter(guide_id__in=guide_ids, ended_at=None).values("guide_id").annotate(count=Count("pk"))
    return {row["guide_id"]: row["count"] for row in rows.order_by("guide_id")}


def _write_groups(case: HandoverCase, chats: Sequence[str], takers: Sequence[TakerRow], now: dt.datetime) -> None:
    """The groups go round among the takers who are on WeCom."""
    able = [taker for taker in takers if taker.userid]
    if able:
        rows = [
            HandoverGroup(case=case, taker=able[place % len(able)], chat_id=chat_id, state_at=now)
            for place, chat_id in enumerate(dict.fromkeys(chats))
        ]
        HandoverGroup.objects.bulk_create(rows, batch_size=1_000)


def _give(pairs: Sequence[tuple[int, int]]) -> None:
    if pairs:
        _execute(GIVE, [[pk for pk, _taker in pairs], [taker for _pk, taker in pairs]])


def _execute(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
