"""Each minute: who enters, and whose next step is due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import structlog
from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from campaigns.models import Sop, SopRun, SopStep, SopStepDone, SopVersion
from campaigns.sops import anchors, group_sweeping, handed, leaving, rules, texts
from campaigns.sops.editing import steps_of
from guides import actions
from guides.actions import NewAction
from guides.models import Action
from members import consent
from members.models import MemberTag, Purpose
from scrm import db

QUICK = dt.timedelta(hours=2)  # what each minute looks back
THOROUGH, EACH = dt.timedelta(days=3), dt.timedelta(hours=1)  # orders are booked days late
CHUNK = 500
CALENDAR = "calendar "  # how the keys of events begin that the calendar makes
GIVEN_AT_ONCE = 200  # runs that are looked up together and get their coupons one after the other
Why, Result, Status = SopRun.Why, SopStepDone.Result, SopRun.Status
log = structlog.get_logger(__name__)


# --- entering ---------------------------------------------------------------------------------------------------------

# OFFSET 0: looked up for each who enters; as a join the planner would read every run there ever was
ENTERING = """
    SELECT e.member_id, e.key, e.anchored_at FROM ({events}) e
    JOIN members_member m ON m.id = e.member_id AND m.status = 'ACTIVE' AND m.brand_id = %(brand)s
    WHERE e.anchored_at >= %(floor)s AND {allowed} AND NOT EXISTS (
        SELECT 1 FROM campaigns_soprun r WHERE r.sop_id = %(sop)s AND r.member_id = e.member_id
        AND (r.anchor_key = e.key OR r.status = 'ACTIVE' OR r.ended_at >= e.anchored_at AND r.why NOT IN ('BOUGHT', 'LEFT')
             OR r.ended_at > e.anchored_at AND r.why = 'LEFT')
        OFFSET 0
    )
    ORDER BY e.anchored_at, e.member_id
"""


def enrol(*, now: dt.datetime) -> int:
    """Take in the customers and groups of new events; how many entered."""
    leaving.end(since=now - QUICK, now=now)  # before anybody enters: who joins again begins again
    versions = SopVersion.objects.filter(status=SopVersion.Status.PUBLISHED, sop__is_active=True).select_related("sop")
    return sum(_enrol_version(version, now) for version in versions.order_by("pk"))


def enrol_snapshot(*, sop: Sop, snapshot_id: int, key: str, at: dt.datetime, now: dt.datetime) -> int:
    """Take in the members of a frozen audience because of one event of ours, whose ``key`` no other event has; how many."""
    version = sop.versions.filter(status=SopVersion.Status.PUBLISHED).first()
    if version is None or not sop.is_active or sop.anchor in Sop.GROUP_ANCHORS:
        return 0
    first = rules.first(steps_of([version.pk])[version.pk])
    events = "SELECT k.member_id, %(key)s::text AS key, %(at)s::timestamptz AS anchored_at FROM members_snapshotmember k WHERE k.snapshot_id = %(snapshot)s"
    statement = ENTERING.format(events=events, allowed=consent.allowed_sql(Purpose.WECOM_MARKETING))
    values: dict[str, Any] = {
        "sop": sop.pk,
        "brand": sop.brand_id,
        "snapshot": snapshot_id,
        "key": key,
        "at": at,
        "floor": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = iter(cursor.fetchall())
    count = 0
    while piece := list(islice(rows, 2_000)):
        SopRun.objects.bulk_create([_run(version, first, *row, now=now) for row in piece], ignore_conflicts=True)
        count += len(piece)
    return count


def _enrol_version(version: SopVersion, now: dt.datetime) -> int:
    floor = _floor(version)
    if version.sop.anchor in Sop.GROUP_ANCHORS:
        return group_sweeping.enrol(version, floor=floor, now=now)
    is_thorough = version.looked_at is None or now - version.looked_at >= EACH
    if is_thorough and version.sop.anchor == Sop.Anchor.GROUP_JOINED:
        leaving.end(since=now - THOROUGH, now=now)
    if version.looked_at is not None and version.sop.anchor in anchors.DATED:
        if not is_thorough and _day(version.looked_at) == _day(now):
            return 0
        is_thorough = True
    since = floor if version.looked_at is None else max(floor, now - (THOROUGH if is_thorough else QUICK))
    first = rules.first(steps_of([version.pk])[version.pk])
    count = 0
    entering = _entering(version, floor, since, now)
    while piece := list(islice(entering, 2_000)):
        runs = [_run(version, first, *row, now=now) for row in piece]
        SopRun.objects.bulk_create(runs, ignore_conflicts=True)
        count += len(runs)
    if is_thorough:
        SopVersion.objects.filter(pk=version.pk).update(looked_at=now)
    return count


def _day(at: dt.datetime) -> dt.date:
    return at.astimezone(rules.SHANGHAI).date()


def _floor(version: SopVersion) -> dt.datetime:
    """Events before it do not enter this version."""
    published_at = version.published_at
    assert published_at is not None
    first = (
        version.sop.versions.exclude(published_at=None).order_by("published_at").values_list("published_at", flat=True)
    )
    since = first.first() or published_at
    if version.back_fill == SopVersion.BackFill.NONE:
        return since
    return min(since, published_at - dt.timedelta(days=version.back_fill_days))


def _entering(
    version: SopVersion, floor: dt.datetime, since: dt.datetime, now: dt.datetime
) -> Iterator[tuple[int, str, dt.datetime]]:
    sop = version.sop
    statement = ENTERING.format(
        events=anchors.STATEMENTS[sop.anchor], allowed=consent.allowed_sql(Purpose.WECOM_MARKETING)
    )
    values: dict[str, Any] = {
        "sop": sop.pk, "brand": sop.brand_id, "days": sop.anchor_days, "since": since, "until": now, "floor": floor,
        "since_day": _day(since), "until_day": _day(now),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = cursor.fetchall()
    yield from rows


def _run(
    version: SopVersion, first: rules.Step, member_id: int, key: str, at: dt.datetime, *, now: dt.datetime
) -> SopRun:
    assert version.published_at is not None
    is_anew = version.back_fill == SopVersion.BackFill.FROM_START and at < version.published_at
    counts_from = now if is_anew else at
    return SopRun(
        sop_id=version.sop_id, version=version, member_id=member_id, anchor_key=key, anchored_at=at, entered_at=now,
        position=first.position, due_at=rules.planned(counts_from, first),
    )  # fmt: skip


# --- going on ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """Who serves a customer now."""

    guide_id: int
    store_id: int
    guide: str
    store: str


@dataclass(slots=True)
class Around:
    """What is known of the customers of a piece of runs, each read once."""

    now: dt.datetime
    steps: dict[int, dict[int, rules.Step]]
    may_give: bool = False  # one coupon
    names: dict[int, str] = field(default_factory=dict)  # of members who are active
    refusing: set[int] = field(default_factory=set)
    servers: dict[int, Server] = field(default_factory=dict)
    bought: set[int] = field(default_factory=set)  # runs
    left: dict[int, dt.datetime] = field(default_factory=dict)  # by run, when she left the group that she had joined
    replies: dict[int, dt.datetime] = field(default_factory=dict)  # by run, the newest
    done: set[str] = field(default_factory=set)  # keys of actions that were done
    tagged: set[tuple[int, int]] = field(default_factory=set)  # member and tag


@dataclass(slots=True)
class Written:
    taken: list[SopStepDone] = field(default_factory=list)
    actions: list[NewAction] = field(default_factory=list)
    tags: list[MemberTag] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)


def advance(*, now: dt.datetime, limit: int = CHUNK) -> int:
    """Take the steps of up to ``limit`` runs that are due; how many runs. In its own transactions."""
    with transaction.atomic():
        runs = _claimed(_due(now).exclude(ON_COUPON)[:limit])
        _take_steps(runs, now, may_give=False)
    return len(runs) or group_sweeping.advance(now=now, limit=limit) or _give_coupons(now, min(limit, GIVEN_AT_ONCE))


ON_COUPON = Exists(
    SopStep.objects.filter(version=OuterRef("version"), position=OuterRef("position"), kind=SopStep.Kind.COUPON)
)


def _give_coupons(now: dt.datetime, limit: int) -> int:
    """Each in a transaction of its own: it holds the stock of its template, for which others wait, and no second one."""
    given = 0
    for run_id in list(_due(now).filter(ON_COUPON).values_list("pk", flat=True)[:limit]):
        try:
            with transaction.atomic():
                runs = _claimed(_due(now).filter(ON_COUPON, pk=run_id))
                _take_steps(runs, now, may_give=True)
                given += len(runs)
        except OperationalError as error:  # somebody holds the stock for long: the next minute comes for her
            log.warning("sop_coupon_waits", run_id=run_id, error=type(error.__cause__).__name__)
    return given


def _due(now: dt.datetime) -> QuerySet[SopRun]:
    return SopRun.objects.filter(status=Status.ACTIVE, due_at__lte=now).order_by("due_at", "pk")


def _claimed(due: QuerySet[SopRun]) -> list[SopRun]:
    return list(due.select_for_update(skip_locked=True, of=("self",)).select_related("version__sop"))


def _take_steps(runs: list[SopRun], now: dt.datetime, *, may_give: bool) -> None:
    if not runs:
        return
    around, written = _look(runs, now), Written()
    around.may_give = may_give
    for run in runs:
        _go_on(run, around, written)
    _write(runs, written, now)


def _go_on(run: SopRun, around: Around, written: Written) -> None:
    """As far as the steps are due; a branch and a step passed over take no time. Up to a coupon that is not given here."""
    steps = around.steps[run.version_id]
    why = _leaves(run, around)
    while not why and run.due_at <= around.now:
        step = steps[run.position]
        if _rests(run, step, around) or (step.kind == "COUPON" and not around.may_give):
            break
        done, answer = _take(run, step, around, written)
        written.taken.append(done)
        following = rules.follower(steps, step, answer)
        if following == rules.END:
            why = Why.THROUGH
        else:
            run.position, run.due_at = following, rules.planned(run.due_at, steps[following])
    if why:
        run.status, run.why = Status.DONE if why == Why.THROUGH else Status.STOPPED, why
        run.ended_at = around.left[run.pk] if why == Why.LEFT else around.now
        if why != Why.THROUGH:
            written.stopped.append(run.pk)


def _leaves(run: SopRun, around: Around) -> str:
    if run.member_id not in around.names:
        return Why.GONE
    if run.member_id in around.refusing:
        return Why.REFUSED
    if run.pk in around.left:
        return Why.LEFT
    return Why.BOUGHT if run.version.stops_on_purchase and run.pk in around.bought else ""


def _rests(run: SopRun, step: rules.Step, around: Around) -> bool:
    """Whether a new reply puts the step off."""
    replied_at, days = around.replies.get(run.pk), run.version.pause_days
    if replied_at is None or not days or step.kind == "BRANCH" or replied_at <= (run.rested_for or run.entered_at):
        return False
    run.rested_for = replied_at
    until = rules.awake(replied_at + dt.timedelta(days=days)).astimezone(dt.UTC)
    if until <= around.now:
        return False
    run.due_at = until
    return True


def _take(run: SopRun, step: rules.Step, around: Around, written: Written) -> tuple[SopStepDone, bool | None]:
    """What became of the step, and a branch's answer."""
    done, answer = SopStepDone(run=run, position=step.position, at=around.now), None
    if step.kind == "BRANCH":
        answer = _answer(run, step, around)
        done.result = Result.YES if answer else Result.NO
    elif step.kind == "TAG":
        assert step.tag_id is not None
        written.tags.append(MemberTag(member_id=run.member_id, tag_id=step.tag_id, source=MemberTag.Source.SOP))
        around.tagged.add((run.member_id, step.tag_id))
        done.result = Result.TAGGED
    elif around.now - run.due_at >= rules.LATE:
        done.result = Result.PASSED
    elif step.kind == "COUPON":
        _hand_coupon(run, step, done, around, written)
    elif (server := around.servers.get(run.member_id)) is None:
        done.result = Result.NOBODY
    else:
        written.actions.append(_action(run, step, server, around))
        done.result = Result.GIVEN
    return done, answer


def _hand_coupon(run: SopRun, step: rules.Step, done: SopStepDone, around: Around, written: Written) -> None:
    """The coupon is hers; her guide tells her of it."""
    assert step.coupon_id is not None
    around.may_give = False
    given = handed.give_coupon(run=run, position=step.position, template_id=step.coupon_id, now=around.now)
    done.result, done.coupon, done.note = Result.COUPON if given.coupon else Result.REFUSED, given.coupon, given.note
    if given.coupon is None:
        return
    server = around.servers.get(run.member_id)
    if server is None:
        done.note = _("No guide serves her, so nobody tells her of it.")
    else:
        written.actions.append(_action(run, step, server, around, given))


def _answer(run: SopRun, step: rules.Step, around: Around) -> bool:
    if step.question == "BOUGHT":
        return run.pk in around.bought
    if step.question == "REPLIED":
        return run.pk in around.replies
    if step.question == "TAGGED":
        return (run.member_id, step.tag_id) in around.tagged
    return any(handed.key_of(run.pk, number) in around.done for number in around.steps[run.version_id])


def _action(
    run: SopRun, step: rules.Step, server: Server, around: Around, given: handed.Handed | None = None
) -> NewAction:
    text, reason = step.text, _reason(run)
    if given is not None:
        text = texts.with_coupon(text, coupon=given.words, until=given.until)
        reason = f"{reason}，已为她发放{given.words}"
    text = texts.render(text, customer=around.names[run.member_id], guide=server.guide, store=server.store)
    return NewAction(
        key=handed.key_of(run.pk, step.position), guide_id=server.guide_id, store_id=server.store_id,
        member_id=run.member_id, kind=Action.Kind.CALL if step.kind == "CALL" else Action.Kind.MESSAGE,
        source=Action.Source.SOP, source_id=run.pk, title=step.title, reason=reason[:200], text=text, starts_at=around.now,
        due_at=around.now + dt.timedelta(hours=step.valid_hours), minutes=step.minutes,
    )  # fmt: skip


def _reason(run: SopRun) -> str:
    """In the language of who reads it: guides read Chinese. What she bought is not told: it may have been elsewhere (S1)."""
    if run.anchor_key.startswith(CALENDAR):
        return f"营销日历安排的跟进（{run.version.sop.name}）"
    day = run.anchored_at.astimezone(rules.SHANGHAI)
    said = {"FRIEND_ADDED": f"{day:%m月%d日}加了企业微信", "BIRTHDAY": "生日快到了"}
    return f"{said.get(run.version.sop.anchor, '到了该跟进的时候')}（{run.version.sop.name}）"


# --- reading and writing ----------------------------------------------------------------------------------------------

# her open binding, if its guide works somewhere now
SERVERS = """
    SELECT b.member_id, g.id, s.id, g.name, s.name FROM guides_binding b
    JOIN guides_guide g ON g.id = b.guide_id
    JOIN LATERAL (
        SELECT e.store_id FROM guides_employment e WHERE e.guide_id = g.id AND e.started_at <= %(now)s
        AND (e.ended_at IS NULL OR e.ended_at > %(now)s) ORDER BY e.started_at DESC LIMIT 1
    ) e ON true
    JOIN scrm_store s ON s.id = e.store_id
    WHERE b.member_id = ANY(%(members)s) AND b.ended_at IS NULL
"""
BOUGHT = """
    SELECT r.id FROM campaigns_soprun r WHERE r.id = ANY(%(runs)s) AND EXISTS (
        SELECT 1 FROM members_orderline l WHERE l.member_id = r.member_id AND l.paid_at > r.anchored_at
        AND l.paid_at <= %(now)s AND l.booked_on >= (r.anchored_at AT TIME ZONE 'Asia/Shanghai')::date
        AND NOT l.is_voided AND NOT l.is_test AND NOT l.is_wholesale AND 'order ' || l.order_id <> r.anchor_key
    )
"""
REPLIES = """
    SELECT r.id, max(a.ended_at) FROM campaigns_soprun r
    JOIN guides_action a ON a.member_id = r.member_id AND a.ended_at > r.entered_at AND a.outcome IN ('REPLIED', 'COMES')
    WHERE r.id = ANY(%(runs)s) GROUP BY r.id
"""
DONE = """
    SELECT a.key FROM guides_action a
    WHERE a.source = 'SOP' AND a.source_id = ANY(%(runs)s) AND a.status = 'DONE'
"""
NAMES = "SELECT id, name FROM members_member WHERE id = ANY(%(members)s) AND status = 'ACTIVE'"


def _look(runs: Sequence[SopRun], now: dt.datetime) -> Around:
    members, ids = sorted({run.member_id for run in runs}), [run.pk for run in runs]
    values = {"now": now, "members": members, "runs": ids}
    around = Around(now, steps_of({run.version_id for run in runs}))
    tags = {step.tag_id for steps in around.steps.values() for step in steps.values() if step.tag_id}
    around.names = dict(db.fetch(NAMES, values))
    around.refusing = consent.refusing(member_ids=members, purpose=Purpose.WECOM_MARKETING)
    around.servers = {row[0]: Server(*row[1:]) for row in db.fetch(SERVERS, values)}
    around.left = leaving.of_runs(ids)
    around.bought = {run for (run,) in db.fetch(BOUGHT, values)}
    around.replies = dict(db.fetch(REPLIES, values))
    around.done = {key for (key,) in db.fetch(DONE, values)}
    tagged = MemberTag.objects.filter(member_id__in=members, tag_id__in=tags).values_list("member_id", "tag_id")
    around.tagged = set(tagged) if tags else set()
    return around


def _write(runs: list[SopRun], written: Written, now: dt.datetime) -> None:
    SopStepDone.objects.bulk_create(written.taken)
    actions.give(written.actions)
    MemberTag.objects.bulk_create(written.tags, ignore_conflicts=True)
    actions.withdraw(source=Action.Source.SOP, source_ids=written.stopped, now=now)
    SopRun.objects.bulk_update(runs, ["position", "due_at", "rested_for", "status", "why", "ended_at"])
